//! How much one token, and all readers of one job together, may ask at once.
//!
//! Only requests with a good token get here: a stranger is told nothing and keeps nobody out. The readers of a job are
//! counted apart from its runner, so that however many look at a log, its runner can write it. What is remembered is
//! bounded; where the bound is reached, the least used is forgotten, which only makes the limits more generous.

use std::num::NonZeroU32;
use std::sync::Arc;

use governor::clock::{Clock as _, MonotonicClock};
use governor::middleware::NoOpMiddleware;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::error::Refused;
use crate::config::Http;
use crate::pipeline::Recent;
use crate::trace::JobId;

/// Tokens and jobs that are remembered; about 300 bytes each.
const REMEMBERED: usize = 50_000;
/// Seconds of the rate that may come at once.
const BURST: u32 = 10;

/// The limits; 0 = none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Allowance {
    /// Requests a second.
    pub rate: u32,
    /// Requests under way at the same time.
    pub concurrency: u32,
}

/// What is limited.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Key {
    /// Whoever has the token of this hash.
    Token([u8; 32]),
    /// All readers of a job.
    Readers(JobId),
}

type Rate = RateLimiter<NotKeyed, InMemoryState, MonotonicClock, NoOpMiddleware<std::time::Instant>>;

struct Gate {
    rate: Option<Rate>,
    slots: Option<Arc<Semaphore>>,
}

impl Gate {
    fn new(allowance: Allowance) -> Self {
        let rate = NonZeroU32::new(allowance.rate).map(|rate| {
            let burst = rate.saturating_mul(NonZeroU32::MIN.saturating_add(BURST - 1));
            RateLimiter::direct_with_clock(Quota::per_second(rate).allow_burst(burst), MonotonicClock)
        });
        let slots = (allowance.concurrency > 0).then(|| Arc::new(Semaphore::new(allowance.concurrency as usize)));
        Self { rate, slots }
    }

    fn enter(&self, held: &mut Held) -> Result<(), Refused> {
        if let Some(slots) = &self.slots {
            match slots.clone().try_acquire_owned() {
                Ok(slot) => held.0.push(slot),
                Err(_) => return Err(Refused::TooMany { seconds: 1 }),
            }
        }
        if let Some(rate) = &self.rate
            && let Err(not_until) = rate.check()
        {
            let wait = not_until.wait_time_from(MonotonicClock.now());
            return Err(Refused::TooMany { seconds: wait.as_secs() + 1 });
        }
        Ok(())
    }
}

/// A request that was let in; while this is there, it counts as under way.
#[derive(Debug, Default)]
#[must_use = "what is dropped at once limits nothing"]
pub struct Held(Vec<OwnedSemaphorePermit>);

/// The limits and who is how close to them.
pub struct Limits {
    token: Allowance,
    job: Allowance,
    gates: Recent<Key, Arc<Gate>>,
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
        Self { token, job, gates: Recent::new(REMEMBERED) }
    }

    /// A request with this token; one that reads names its job.
    pub fn enter(&self, token_sha256: [u8; 32], read: Option<JobId>) -> Result<Held, Refused> {
        let mut held = Held::default();
        self.pass(Key::Token(token_sha256), self.token, &mut held)?;
        if let Some(job) = read {
            self.pass(Key::Readers(job), self.job, &mut held)?;
        }
        Ok(held)
    }

    fn pass(&self, key: Key, allowance: Allowance, held: &mut Held) -> Result<(), Refused> {
        if allowance == Allowance::default() {
            return Ok(());
        }
        self.gates.get_or_put(key, || Arc::new(Gate::new(allowance))).enter(held)
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
    fn without_limits_nothing_is_remembered() {
        let limits = Limits::new(NONE, NONE);
        for _ in 0..1000 {
            let _ = limits.enter([1; 32], Some(JobId(1))).expect("no limit");
        }
        assert!(limits.gates.is_empty());
    }
}
