//! How much one token, and all readers of one job together, may ask at once.
//!
//! Only requests with a good token get here: a stranger is told nothing and keeps nobody out. The readers of a job are
//! counted apart from its runner, so that however many look at a log, its runner can write it. Whoever asks for nothing is
//! forgotten, so an idle trace costs nothing here.

use std::collections::HashMap;
use std::hash::Hash;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use governor::clock::{Clock as _, MonotonicClock};
use governor::middleware::NoOpMiddleware;
use governor::state::keyed::HashMapStateStore;
use governor::{Quota, RateLimiter};

use super::error::Refused;
use crate::config::Http;
use crate::trace::JobId;

/// Seconds of the rate that may come at once.
const BURST: u32 = 10;
/// How often those who asked for nothing are to be forgotten: a rate is whole again after that time.
pub const FORGETS: Duration = Duration::from_secs(BURST as u64);

/// The limits; 0 = none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Allowance {
    /// Requests a second.
    pub rate: u32,
    /// Requests under way at the same time.
    pub concurrency: u32,
}

type Rate<K> = RateLimiter<K, HashMapStateStore<K>, MonotonicClock, NoOpMiddleware<std::time::Instant>>;

/// The same allowance for each of many.
struct Gates<K: Hash + Eq + Clone> {
    rate: Option<Rate<K>>,
    concurrency: u32,
    under_way: Arc<UnderWay<K>>,
}

impl<K: Hash + Eq + Clone> Gates<K> {
    fn new(allowance: Allowance) -> Self {
        let rate = NonZeroU32::new(allowance.rate).map(|rate| {
            let burst = rate.saturating_mul(NonZeroU32::MIN.saturating_add(BURST - 1));
            RateLimiter::hashmap_with_clock(Quota::per_second(rate).allow_burst(burst), MonotonicClock)
        });
        Self { rate, concurrency: allowance.concurrency, under_way: Arc::default() }
    }

    fn enter(&self, key: K) -> Result<Option<Slot<K>>, Refused> {
        let slot = match self.concurrency {
            0 => None,
            most => Some(self.under_way.begin(key.clone(), most).ok_or(Refused::TooMany { seconds: 1 })?),
        };
        if let Some(rate) = &self.rate
            && let Err(not_until) = rate.check_key(&key)
        {
            let wait = not_until.wait_time_from(MonotonicClock.now());
            return Err(Refused::TooMany { seconds: wait.as_secs() + 1 });
        }
        Ok(slot)
    }

    fn forget_idle(&self) {
        if let Some(rate) = &self.rate {
            rate.retain_recent();
            rate.shrink_to_fit();
        }
    }
}

/// Requests under way, by whom. Whoever has none is not in it.
struct UnderWay<K>(Mutex<HashMap<K, u32>>);

impl<K> Default for UnderWay<K> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Hash + Eq + Clone> UnderWay<K> {
    fn counts(&self) -> MutexGuard<'_, HashMap<K, u32>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One more, if there are fewer than `most`.
    fn begin(self: &Arc<Self>, key: K, most: u32) -> Option<Slot<K>> {
        let mut counts = self.counts();
        let count = counts.entry(key.clone()).or_default();
        if *count >= most {
            return None;
        }
        *count += 1;
        Some(Slot { of: self.clone(), key })
    }
}

/// A request that is under way for as long as this is there.
struct Slot<K: Hash + Eq + Clone> {
    of: Arc<UnderWay<K>>,
    key: K,
}

impl<K: Hash + Eq + Clone> Drop for Slot<K> {
    fn drop(&mut self) {
        let mut counts = self.of.counts();
        if let Some(count) = counts.get_mut(&self.key) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.key);
            }
        }
    }
}

/// A request that was let in; while this is there, it counts as under way.
#[derive(Default)]
#[must_use = "what is dropped at once limits nothing"]
pub struct Held {
    _token: Option<Slot<[u8; 32]>>,
    _readers: Option<Slot<JobId>>,
}

/// The limits and who is how close to them.
pub struct Limits {
    /// For each token, by its hash.
    tokens: Gates<[u8; 32]>,
    /// For all readers of each job together.
    readers: Gates<JobId>,
}

impl From<&Http> for Limits {
    fn from(http: &Http) -> Self {
        let token = Allowance { rate: http.token_requests_per_second, concurrency: http.token_concurrency };
        let job = Allowance { rate: http.job_requests_per_second, concurrency: http.job_concurrency };
        Self::new(token, job)
    }
}

impl Limits {
    /// `token` is for each token, `job` for all readers of a job together.
    pub fn new(token: Allowance, job: Allowance) -> Self {
        Self { tokens: Gates::new(token), readers: Gates::new(job) }
    }

    /// A request with this token; one that reads names its job.
    pub fn enter(&self, token_sha256: [u8; 32], read: Option<JobId>) -> Result<Held, Refused> {
        let token = self.tokens.enter(token_sha256)?;
        let readers = read.map(|job| self.readers.enter(job)).transpose()?.flatten();
        Ok(Held { _token: token, _readers: readers })
    }

    /// Forgets everybody whose rate is whole again. To be called every [`FORGETS`].
    pub fn forget_idle(&self) {
        self.tokens.forget_idle();
        self.readers.forget_idle();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: Allowance = Allowance { rate: 0, concurrency: 0 };

    #[test]
    fn a_token_has_so_many_slots_and_gets_them_back() {
        let limits = Limits::new(Allowance { rate: 0, concurrency: 2 }, NONE);
        let first = limits.enter([1; 32], None).expect("a slot");
        let _second = limits.enter([1; 32], None).expect("a slot");
        assert!(matches!(limits.enter([1; 32], None), Err(Refused::TooMany { seconds: 1 })));
        let _other = limits.enter([2; 32], None).expect("another token's slots are its own");
        drop(first);
        let _third = limits.enter([1; 32], None).expect("the slot is back");
    }

    #[test]
    fn a_rate_allows_a_burst_and_then_says_how_long_to_wait() {
        let limits = Limits::new(Allowance { rate: 1, concurrency: 0 }, NONE);
        for _ in 0..BURST {
            let _ = limits.enter([1; 32], None).expect("within the burst");
        }
        assert!(matches!(limits.enter([1; 32], None), Err(Refused::TooMany { seconds: 1..=2 })));
    }

    #[test]
    fn readers_of_a_job_share_and_its_runner_is_counted_apart() {
        let limits = Limits::new(NONE, Allowance { rate: 0, concurrency: 1 });
        let _reader = limits.enter([1; 32], Some(JobId(1))).expect("a slot");
        assert!(limits.enter([2; 32], Some(JobId(1))).is_err());
        assert!(limits.enter([2; 32], Some(JobId(2))).is_ok());
        assert!(limits.enter([3; 32], None).is_ok());
    }

    #[test]
    fn without_limits_nothing_is_refused() {
        let limits = Limits::new(NONE, NONE);
        let all: Vec<_> = (0..1000).map(|_| limits.enter([1; 32], Some(JobId(1))).expect("no limit")).collect();
        assert_eq!(all.len(), 1000);
    }

    #[test]
    fn a_refusal_holds_nothing_and_a_rate_that_is_used_up_is_not_forgotten() {
        let one_a_second = Allowance { rate: 1, concurrency: 2 };
        let limits = Limits::new(one_a_second, Allowance { rate: 0, concurrency: 1 });
        let reading = limits.enter([1; 32], Some(JobId(1))).expect("a slot");
        // By the readers' gate, and then by the rate.
        assert!(limits.enter([2; 32], Some(JobId(1))).is_err());
        (0..BURST).for_each(|_| drop(limits.enter([1; 32], None)));
        limits.forget_idle();
        assert!(limits.enter([1; 32], None).is_err());
        assert_eq!(limits.tokens.under_way.counts().len(), 1);
        drop(reading);
        assert!(limits.tokens.under_way.counts().is_empty() && limits.readers.under_way.counts().is_empty());
    }

    #[test]
    fn whoever_asks_for_nothing_is_forgotten_and_nobody_else() {
        for (rate, is_whole_soon) in [(1, false), (1_000_000, true)] {
            let limits = Limits::new(Allowance { rate, concurrency: 2 }, NONE);
            let held = limits.enter([1; 32], None).expect("a slot");
            assert_eq!(limits.tokens.under_way.counts().len(), 1);
            drop(held);
            assert!(limits.tokens.under_way.counts().is_empty());
            let is_forgotten = || {
                limits.forget_idle();
                limits.tokens.rate.as_ref().expect("a rate").is_empty()
            };
            assert_eq!((0..10_000).any(|_| is_forgotten()), is_whole_soon, "{rate} a second");
        }
    }
}
