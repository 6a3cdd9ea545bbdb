//! How far a run is, on standard error where that is a terminal.

use indicatif::{ProgressBar, ProgressStyle};

use super::place::Run;
use crate::cli::terminal;

pub(super) struct Progress(ProgressBar);

impl Progress {
    /// A bar where it is known how many chunks there are, else a count.
    pub(super) fn of(run: &Run) -> Self {
        let bar = ProgressBar::with_draw_target(run.expected, terminal::progress_target());
        let template = match run.expected {
            Some(_) => "{bar:30} {pos} of about {len} chunks  {msg}  {elapsed}, {eta} left",
            None => "{spinner} {pos} chunks  {msg}  {elapsed}",
        };
        // The template is ours; were it wrong, the plain one would do.
        bar.set_style(ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()));
        Self(bar)
    }

    pub(super) fn show(&self, run: &Run) {
        let differs = run.tally.differs;
        self.0.set_message(if differs == 0 { String::new() } else { format!("{differs} differ") });
        // What is expected is an estimate.
        if run.expected.is_some_and(|expected| run.tally.chunks > expected) {
            self.0.set_length(run.tally.chunks);
        }
        self.0.set_position(run.tally.chunks);
    }

    pub(super) fn ends(&self) {
        self.0.finish_and_clear();
    }
}
