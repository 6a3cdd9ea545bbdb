//! Whether what is written to may have colours and lines that move.

use std::io::{IsTerminal, stderr};

use indicatif::ProgressDrawTarget;

/// True for a terminal that understands it, unless `NO_COLOR` (<https://no-color.org>) is set.
pub(super) fn is_fancy(out: &impl IsTerminal) -> bool {
    let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
    out.is_terminal() && !refused && !dumb
}

/// Where a progress bar is drawn: on standard error, or nowhere.
pub(super) fn progress_target() -> ProgressDrawTarget {
    if is_fancy(&stderr()) { ProgressDrawTarget::stderr_with_hz(10) } else { ProgressDrawTarget::hidden() }
}
