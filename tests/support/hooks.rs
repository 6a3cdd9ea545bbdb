//! Hooks for `Hooked` stores: one that counts calls, one that fails them on demand.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use async_trait::async_trait;
use veritail::store::hooked::{Call, Hook};
use veritail::store::{Result, StoreError};

use super::wait::{PATIENCE, holds_within};

/// Counts calls, so that a test can say what an operation costs.
#[derive(Default)]
pub struct Recorder(Mutex<BTreeMap<(&'static str, &'static str), u64>>);

impl Recorder {
    /// Forgets what was counted.
    pub fn reset(&self) {
        self.counts().clear();
    }

    /// How often an operation was called.
    pub fn count(&self, store: &'static str, operation: &'static str) -> u64 {
        self.counts().get(&(store, operation)).copied().unwrap_or_default()
    }

    /// Waits until an operation was called so often: some go on beside the requests that begin them.
    pub async fn until(&self, store: &'static str, operation: &'static str, count: u64) {
        let were = holds_within(PATIENCE, async || self.count(store, operation) >= count).await;
        assert!(were, "{store} {operation}: {} calls instead of {count}", self.count(store, operation));
    }

    /// Everything that was called, in order of names: store, operation, how often.
    pub fn list(&self) -> Vec<(&'static str, &'static str, u64)> {
        self.counts().iter().map(|((store, operation), count)| (*store, *operation, *count)).collect()
    }

    fn counts(&self) -> std::sync::MutexGuard<'_, BTreeMap<(&'static str, &'static str), u64>> {
        self.0.lock().expect("no test panics while it counts")
    }
}

#[async_trait]
impl Hook for Recorder {
    async fn before(&self, call: &Call) -> Result<()> {
        *self.counts().entry((call.store, call.operation)).or_default() += 1;
        Ok(())
    }

    async fn after(&self, _call: &Call, _took: Duration, _failed: Option<&StoreError>) -> Result<()> {
        Ok(())
    }
}

/// On which side of its effect a call fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Side {
    /// The store is never asked.
    Before,
    /// The store did it, and its answer is lost.
    After,
}

/// Fails calls as a test says, each order once.
#[derive(Default)]
pub struct Faults(Mutex<Vec<(&'static str, &'static str, Side)>>);

impl Faults {
    /// The next call of this operation that is not ordered to fail yet fails on this side.
    pub fn fail(&self, store: &'static str, operation: &'static str, side: Side) {
        self.orders().push((store, operation, side));
    }

    /// Orders that no call has met.
    pub fn left(&self) -> usize {
        self.orders().len()
    }

    fn meet(&self, call: &Call, side: Side) -> Result<()> {
        let mut orders = self.orders();
        match orders.iter().position(|order| *order == (call.store, call.operation, side)) {
            Some(met) => {
                orders.remove(met);
                Err(StoreError::unavailable(call.store, format_args!("{} fails {side:?} its effect", call.operation)))
            }
            None => Ok(()),
        }
    }

    fn orders(&self) -> std::sync::MutexGuard<'_, Vec<(&'static str, &'static str, Side)>> {
        self.0.lock().expect("no test panics while it orders")
    }
}

#[async_trait]
impl Hook for Faults {
    async fn before(&self, call: &Call) -> Result<()> {
        self.meet(call, Side::Before)
    }

    async fn after(&self, call: &Call, _took: Duration, _failed: Option<&StoreError>) -> Result<()> {
        self.meet(call, Side::After)
    }
}
