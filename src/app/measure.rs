//! Measures every request to a store, from outside.

use std::time::Duration;

use async_trait::async_trait;

use crate::store::hooked::{Call, Hook};
use crate::store::{Result, StoreError};
use crate::telemetry::metrics::{self, Answer, Dependency, StoreOperation};

/// Counts and times requests to one store.
pub(super) struct Measure(Dependency);

impl Measure {
    /// From now on there are series about it.
    pub(super) fn new(dependency: Dependency) -> Self {
        metrics::dependency_used(dependency);
        Self(dependency)
    }
}

#[async_trait]
impl Hook for Measure {
    async fn before(&self, _: &Call) -> Result<()> {
        Ok(())
    }

    async fn after(&self, call: &Call, took: Duration, failed: Option<&StoreError>) -> Result<()> {
        let answer = if failed.is_some() { Answer::Error } else { Answer::Ok };
        metrics::dependency_answered(self.0, StoreOperation::of(self.0, call.operation), answer, took);
        Ok(())
    }
}
