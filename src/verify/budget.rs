//! How fast the verifier may go: bytes and requests a second, on this node, over all that it does.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::seams::Clock;
use crate::trace::{ByteSize, ChunkRow, Timestamp};

use super::Budgeted;

/// What may be taken at once after a pause: what this time brings. Short, so that a store sees no bursts.
const BURST: Duration = Duration::from_millis(100);

/// Two leaky buckets. What is taken is paid for in time that is still to come, so over any time the rate is at most the
/// allowed one, but for one burst.
pub struct Budget {
    clock: Arc<dyn Clock>,
    bytes: Bucket,
    requests: Bucket,
}

struct Bucket {
    /// A second's worth; 0 = no limit.
    per_second: u64,
    paid: Mutex<Paid>,
}

/// Times in microseconds since 1970, by the node's clock.
#[derive(Clone, Copy, Default)]
struct Paid {
    /// Until when everything that was taken is paid for.
    until: i64,
    /// When it was last asked.
    asked: i64,
}

impl Bucket {
    fn new(per_second: u64) -> Self {
        Self { per_second, paid: Mutex::default() }
    }

    /// Takes `amount`; how long to wait before it is used.
    fn take(&self, amount: u64, now: Timestamp) -> Duration {
        if self.per_second == 0 {
            return Duration::ZERO;
        }
        let now = now.0.saturating_mul(1000);
        let burst = i64::try_from(BURST.as_micros()).unwrap_or(i64::MAX);
        let cost = u128::from(amount) * 1_000_000 / u128::from(self.per_second);
        let mut paid = self.paid.lock().unwrap_or_else(PoisonError::into_inner);
        // A clock that was set back takes what is owed back with it.
        let until = paid.until - (paid.asked - now).max(0);
        let until = until.max(now - burst).saturating_add(i64::try_from(cost).unwrap_or(i64::MAX));
        *paid = Paid { until, asked: now };
        Duration::from_micros(u64::try_from(until - now).unwrap_or(0))
    }
}

impl Budget {
    /// A budget of so many bytes and requests a second.
    pub fn new(of: Budgeted, clock: Arc<dyn Clock>) -> Self {
        Self { clock, bytes: Bucket::new(of.bytes_per_second.0), requests: Bucket::new(of.requests_per_second) }
    }

    /// Waits until a look at this chunk is within the budget: one request, and its bytes as recorded.
    pub async fn take(&self, row: &ChunkRow) {
        let size = row.record().map_or(ByteSize::ZERO, |record| record.size);
        self.take_amount(size, 1).await;
    }

    /// Waits until so much is within the budget.
    pub async fn take_amount(&self, bytes: ByteSize, requests: u64) {
        let now = self.clock.now();
        let wait = self.bytes.take(bytes.0, now).max(self.requests.take(requests, now));
        if !wait.is_zero() {
            self.clock.sleep(wait).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use async_trait::async_trait;
    use proptest::prelude::*;

    use super::*;
    use crate::trace::{ChunkIndex, ChunkState, Epoch, Record, Version};

    /// Time stands still; remembers for how long it was asked to pass.
    #[derive(Default)]
    struct Slept(Mutex<Vec<Duration>>);

    #[async_trait]
    impl Clock for Slept {
        fn now(&self) -> Timestamp {
            Timestamp(1_000_000)
        }

        async fn sleep(&self, time: Duration) {
            self.0.lock().expect("no test panics here").push(time);
        }
    }

    #[tokio::test]
    async fn a_look_is_one_request_and_as_many_bytes_as_are_recorded() {
        let record = Record::of(&[0; 5000]);
        let row = ChunkRow {
            index: ChunkIndex(0),
            epoch: Epoch::FIRST,
            version: Version::FIRST,
            state: ChunkState::Sealed { record },
            persisted_at: None,
        };
        let waited_of = |bytes_per_second, requests_per_second| {
            let (clock, row) = (Arc::new(Slept::default()), row.clone());
            let of = Budgeted { bytes_per_second: ByteSize(bytes_per_second), requests_per_second, concurrency: 1 };
            async move {
                let budget = Budget::new(of, clock.clone());
                for _ in 0..3 {
                    budget.take(&row).await;
                }
                let slept = clock.0.lock().expect("no test panics here");
                slept.iter().map(Duration::as_millis).collect::<Vec<u128>>()
            }
        };
        // A tenth of a second's worth is there at once.
        assert_eq!(waited_of(1000, 0).await, [4900, 9900, 14_900]);
        assert_eq!(waited_of(0, 1).await, [900, 1900, 2900]);
        assert_eq!(waited_of(1000, 1).await, [4900, 9900, 14_900], "the longer one counts");
        assert_eq!(waited_of(0, 0).await, [0; 0]);
    }

    proptest! {
        /// Whoever waits as told never passes the rate, but for one burst, whatever is taken and whenever.
        #[test]
        fn the_rate_is_never_passed(takes in proptest::collection::vec((0u64..5000, 0i64..3000), 1..60), rate in 1u64..10_000) {
            let bucket = Bucket::new(rate);
            let (mut now, mut taken) = (1_000_000i64, 0u64);
            let start = now;
            for (amount, pause) in takes {
                now += pause;
                let wait = bucket.take(amount, Timestamp(now));
                now += i64::try_from(wait.as_millis()).expect("short") + 1;
                taken += amount;
                let seconds = (now - start) as f64 / 1000.0;
                prop_assert!(taken as f64 <= rate as f64 * (seconds + 0.1) + 1.0, "{taken} in {seconds} s at {rate}/s");
            }
        }

        /// Nobody waits longer because the clock was set back meanwhile.
        #[test]
        fn a_clock_that_is_set_back_keeps_nobody_waiting(back in 1i64..100_000_000, amount in 1u64..100) {
            let bucket = Bucket::new(100);
            bucket.take(amount, Timestamp(200_000_000));
            let wait = bucket.take(amount, Timestamp(200_000_000 - back));
            prop_assert!(wait <= Duration::from_secs(2), "{wait:?}");
        }

        #[test]
        fn no_limit_never_waits(amount in any::<u64>()) {
            prop_assert_eq!(Bucket::new(0).take(amount, Timestamp(0)), Duration::ZERO);
        }
    }
}
