//! How busy the runtime is: sampled from tokio's own counters.

use std::time::Duration;

use tokio::runtime::Handle;

use crate::telemetry::metrics;
use crate::trace::Timestamp;

/// The runtime, as it was at the last sampling.
pub(super) struct Runtime {
    busy: Duration,
    at: Timestamp,
}

impl Runtime {
    /// Begins to look.
    pub(super) fn new(now: Timestamp) -> Self {
        Self { busy: busy(), at: now }
    }

    /// Tells how it is, and how busy it was since the time before.
    pub(super) fn sample(&mut self, now: Timestamp) {
        let runtime = Handle::current().metrics();
        let (workers, total) = (runtime.num_workers(), busy());
        let (worked, passed) = (total.saturating_sub(self.busy), now.since(self.at));
        let share = share(worked, passed, workers);
        (self.busy, self.at) = (total, now);
        metrics::runtime(workers as u64, runtime.global_queue_depth() as u64, runtime.num_alive_tasks() as u64, share);
    }
}

/// The time that all workers worked since the runtime began.
fn busy() -> Duration {
    let runtime = Handle::current().metrics();
    (0..runtime.num_workers()).map(|worker| runtime.worker_total_busy_duration(worker)).sum()
}

/// Two clocks are compared here: what they disagree by is cut off.
#[allow(clippy::cast_precision_loss, reason = "a number of threads")]
fn share(worked: Duration, passed: Duration, workers: usize) -> f64 {
    let most = passed.as_secs_f64() * workers as f64;
    if most > 0.0 { (worked.as_secs_f64() / most).min(1.0) } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_is_of_all_workers_and_never_over_one() {
        let seconds = Duration::from_secs;
        assert!((share(seconds(5), seconds(10), 2) - 0.25).abs() < f64::EPSILON);
        assert!((share(seconds(30), seconds(10), 2) - 1.0).abs() < f64::EPSILON);
        assert!(share(seconds(5), seconds(0), 2).abs() < f64::EPSILON);
    }
}
