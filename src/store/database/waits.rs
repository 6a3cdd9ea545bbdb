//! How long callers wait for a connection, for whoever wants to know.

use std::sync::Arc;
use std::time::Duration;

/// The connections of one node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Connections {
    /// Open, and waiting for a caller.
    pub idle: u64,
    /// In use.
    pub in_use: u64,
    /// The most that there can be.
    pub most: u64,
}

/// Is told how long a caller waited, whether it got a connection or not.
pub type Waited = Arc<dyn Fn(Duration) + Send + Sync>;

/// Tells of waits, if anybody wants to know.
#[derive(Clone, Default)]
pub(super) struct Waits(pub(super) Option<Waited>);

impl Waits {
    /// Waits, and tells how long it took.
    #[allow(
        clippy::disallowed_methods,
        reason = "the wait is the machine's, and shorter than the clock's milliseconds"
    )]
    pub(super) async fn told<T>(&self, wait: impl Future<Output = T>) -> T {
        let Some(waited) = &self.0 else { return wait.await };
        let began = std::time::Instant::now();
        let done = wait.await;
        waited(began.elapsed());
        done
    }
}
