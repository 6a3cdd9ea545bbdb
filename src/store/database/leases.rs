//! Leases: what must not run on two nodes at once takes turns.
//!
//! By the database's clock, for the nodes' clocks differ. A lease saves work, it guards nothing: a node that was paused
//! may go on after its lease ran out, so every step under a lease is one that two nodes may take at once.

use std::time::Duration;

use async_trait::async_trait;

use crate::store::Result;

/// Counts the turns that were taken of one lease; a turn is known by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Generation(pub i64);

/// When a turn may be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// Once it is due.
    Due,
    /// Even before it is due: a node that has just started looks at what was left behind.
    Early,
}

/// The contract of the leases.
#[async_trait]
pub trait Leases: Send + Sync {
    /// Takes a turn, if nobody holds the lease and the turn is due. It ends by itself after `time` unless it is renewed.
    /// `holder` is for people who look.
    async fn take(&self, name: &str, holder: &str, time: Duration, when: When) -> Result<Option<Generation>>;

    /// The turn goes on for `time` from now. False if it has ended.
    async fn renew(&self, name: &str, turn: Generation, time: Duration) -> Result<bool>;

    /// Ends the turn; the next one is due after `next_in`. Does nothing if the turn has ended.
    async fn finish(&self, name: &str, turn: Generation, next_in: Duration) -> Result<()>;
}

/// A time in whole milliseconds; one that is too long is longer than anybody waits.
pub(super) fn milliseconds(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX / 4)
}
