//! The signals that a command listens to.

use tokio::signal::unix::{Signal, SignalKind, signal};

/// What ends a command, and what asks a server to read its files again.
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    pub(super) fn listen() -> std::io::Result<Self> {
        let (terminate, interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        Ok(Self { terminate, interrupt, hangup: signal(SignalKind::hangup())? })
    }

    /// The next one.
    pub(super) async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
            _ = self.hangup.recv() => Self::HANGUP,
        }
    }

    /// The terminal is gone; for a server: read your files again.
    pub(super) const HANGUP: &str = "SIGHUP";
}
