//! How far a run is, on standard error where that is a terminal; `NO_COLOR` turns it off.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use crate::cli::terminal;

pub(super) struct Progress(ProgressBar);

impl Progress {
    pub(super) fn new() -> Self {
        let bar = ProgressBar::with_draw_target(None, terminal::progress_target());
        // The template is ours; were it wrong, the plain one would do.
        let style = ProgressStyle::with_template("{spinner} {msg}  {pos} requests  {elapsed}");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
        Self(bar)
    }

    /// What goes on now.
    pub(super) fn is(&self, what: &str) {
        self.0.set_message(what.to_owned());
        self.0.set_position(0);
    }

    pub(super) fn at(&self, requests: u64) {
        self.0.set_position(requests);
    }

    /// How often it wants to be told.
    pub(super) fn interval(&self) -> Duration {
        Duration::from_millis(250)
    }

    pub(super) fn ends(&self) {
        self.0.finish_and_clear();
    }
}
