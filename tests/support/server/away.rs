//! A hook that takes a store, or one of its operations, away until it is brought back.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::time::Duration;

use async_trait::async_trait;
use veritail::store::hooked::{Call, Hook};
use veritail::store::{Result, StoreError};

/// What is away now. A call that meets it fails before it has an effect.
#[derive(Default)]
pub struct Away(Mutex<BTreeSet<(&'static str, &'static str)>>);

impl Away {
    /// Every operation.
    pub const ALL: &str = "*";

    /// From now on this operation of this store fails.
    pub fn take(&self, store: &'static str, operation: &'static str) {
        self.0.lock().expect("no test panics here").insert((store, operation));
    }

    /// It works again.
    pub fn bring_back(&self, store: &'static str, operation: &'static str) {
        self.0.lock().expect("no test panics here").remove(&(store, operation));
    }
}

#[async_trait]
impl Hook for Away {
    async fn before(&self, call: &Call) -> Result<()> {
        let away = self.0.lock().expect("no test panics here");
        if away.contains(&(call.store, call.operation)) || away.contains(&(call.store, Self::ALL)) {
            return Err(StoreError::unavailable(call.store, format_args!("{} was taken away", call.operation)));
        }
        Ok(())
    }

    async fn after(&self, _call: &Call, _took: Duration, _failed: Option<&StoreError>) -> Result<()> {
        Ok(())
    }
}
