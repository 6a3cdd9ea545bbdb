//! How long stores have been away, and when a client should come again.

use std::sync::atomic::{AtomicI64, Ordering};

use crate::seams::{Chance, Clock};
use crate::trace::Timestamp;

/// Since when requests fail; forgotten with the first that succeeds.
#[derive(Debug, Default)]
pub struct Outage {
    /// Milliseconds since 1970; 0 = all is well.
    since: AtomicI64,
}

/// The outage after which clients are told to wait longest.
const LONG_MS: u64 = 120_000;
/// What the shortest wait grows by until then, in seconds.
const GROWTH: u64 = 15;
/// The shortest wait at first, in seconds.
const SHORTEST: u64 = 5;
/// What chance adds at most, in seconds, so that clients do not all come at once.
const JITTER: u64 = 10;

impl Outage {
    /// A request that needs the stores succeeded.
    pub fn is_over(&self) {
        // Only a first success after a failure writes: the rest of the time the line stays shared between cores.
        if self.since.load(Ordering::Relaxed) != 0 {
            self.since.store(0, Ordering::Relaxed);
        }
    }

    /// A request failed for want of a store: the seconds after which the client should come again.
    pub fn retry_after(&self, clock: &dyn Clock, chance: &dyn Chance) -> u64 {
        let now = clock.now();
        let first = self.since.compare_exchange(0, now.0, Ordering::Relaxed, Ordering::Relaxed);
        let since = Timestamp(first.err().unwrap_or(now.0));
        wait(now.ms_since(since), chance.bits())
    }
}

/// 5 to 15 seconds, growing with the outage to 20 to 30.
fn wait(outage_ms: u64, bits: u64) -> u64 {
    SHORTEST + GROWTH * outage_ms.min(LONG_MS) / LONG_MS + bits % (JITTER + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_is_jittered_and_grows_with_the_outage() {
        let waits = |outage_ms: u64| (0..1000).map(move |bits| wait(outage_ms, bits));
        assert_eq!((waits(0).min(), waits(0).max()), (Some(5), Some(15)));
        assert_eq!((waits(60_000).min(), waits(60_000).max()), (Some(12), Some(22)));
        assert_eq!((waits(u64::MAX).min(), waits(u64::MAX).max()), (Some(20), Some(30)));
    }
}
