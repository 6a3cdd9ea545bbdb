//! Time in microseconds, which a load generator needs and nothing else does.
#![allow(
    clippy::disallowed_methods,
    reason = "what is measured is this machine's own time; nothing is replayed from it"
)]

use std::time::Duration;

pub(super) use std::time::Instant;

pub(super) fn now() -> Instant {
    Instant::now()
}

/// Returns at `at`, or up to a millisecond later: the timer has no finer steps.
pub(super) async fn sleep_until(at: Instant) {
    tokio::time::sleep_until(at.into()).await;
}

pub(super) async fn sleep(time: Duration) {
    tokio::time::sleep(time).await;
}
