//! How far every runner is: bars on a terminal, a line at every half elsewhere.

use std::fmt::Write;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};

use super::screen::{Screen, grouped};

/// The bars of all jobs.
pub(super) struct Bars {
    together: Option<MultiProgress>,
}

/// One job's progress.
pub(super) struct Progress {
    name: String,
    size: usize,
    bar: Option<ProgressBar>,
    halves: usize,
}

impl Bars {
    pub(super) fn on(screen: &Screen) -> Self {
        let together =
            screen.is_terminal().then(|| MultiProgress::with_draw_target(ProgressDrawTarget::stdout_with_hz(20)));
        Self { together }
    }

    /// A bar for a job whose log has `size` bytes, of which `from` are acknowledged.
    pub(super) fn job(&self, name: &str, size: usize, from: usize) -> Progress {
        let bar = self.together.as_ref().map(|together| {
            let bar = together.add(ProgressBar::new(size as u64));
            let template = "  {prefix:<14} {bar:22.cyan/dim} {at:>9} of {end} bytes  {msg}";
            // The template is ours; were it wrong, the plain bar would do.
            let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
            let style = style.with_key("at", |state: &ProgressState, to: &mut dyn Write| write(to, Some(state.pos())));
            let style = style.with_key("end", |state: &ProgressState, to: &mut dyn Write| write(to, state.len()));
            bar.set_style(style.progress_chars("━╸─"));
            bar.set_prefix(name.to_owned());
            bar.set_position(from as u64);
            bar
        });
        Progress { name: name.to_owned(), size, bar, halves: halves(from, size) }
    }
}

impl Progress {
    /// So many bytes are acknowledged.
    pub(super) fn at(&mut self, acknowledged: usize) {
        match &self.bar {
            Some(bar) => bar.set_position(acknowledged as u64),
            None => {
                let halves = halves(acknowledged, self.size);
                if halves > self.halves {
                    self.halves = halves;
                    self.line(&format!("{} of {} bytes acknowledged", grouped(acknowledged), grouped(self.size)));
                }
            }
        }
    }

    /// What goes on with it now.
    pub(super) fn is(&self, what: &str) {
        if let Some(bar) = &self.bar {
            bar.set_message(what.to_owned());
        }
    }

    /// Nothing more will happen.
    pub(super) fn ends(&self, how: &str) {
        match &self.bar {
            Some(bar) => bar.abandon_with_message(how.to_owned()),
            None => self.line(how),
        }
    }

    fn line(&self, text: &str) {
        // Whoever does not read on need not.
        let _ = std::io::Write::write_fmt(&mut std::io::stdout(), format_args!("  {:<14} {text}\n", self.name));
    }
}

/// A size as everywhere else in the demo; a terminal that takes no more of it is left alone.
fn write(to: &mut dyn Write, size: Option<u64>) {
    let size = usize::try_from(size.unwrap_or_default()).unwrap_or(usize::MAX);
    let _ = to.write_str(&grouped(size));
}

fn halves(acknowledged: usize, size: usize) -> usize {
    2 * acknowledged / size.max(1)
}
