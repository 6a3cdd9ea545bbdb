//! Panics: counted and logged, whoever catches them.

use std::backtrace::{Backtrace, BacktraceStatus};

use super::metrics;

/// Has every panic counted and logged. The hook that was there is replaced: its line on standard error would be a message
/// that no filter and no format applies to.
pub fn install() {
    std::panic::set_hook(Box::new(|panic| {
        metrics::panicked();
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        let message = panic.payload_as_str().unwrap_or("(no message)");
        let backtrace = Backtrace::capture();
        match backtrace.status() {
            BacktraceStatus::Captured => tracing::error!(place, %backtrace, "panic: {message}"),
            _ => tracing::error!(place, "panic: {message}"),
        }
    }));
}
