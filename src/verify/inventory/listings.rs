//! What all parts do with a listing: pay for it, count it, and pass over what is not ours.

use std::time::Duration;

use crate::pipeline::UNNAMED_GRACE;
use crate::store::object::Listed;
use crate::store::object::keys::{self, ObjectKey};
use crate::telemetry::verification as telemetry;
use crate::trace::{ByteSize, DataStore};

use super::Verifier;

/// Things that a store lists in one request.
const LISTED_AT_ONCE: u64 = 1000;
/// The sweep removes unnamed bytes from the database by itself after [`UNNAMED_GRACE`]; what is there so much later stayed.
const SWEEP_IS_LATE: Duration = Duration::from_secs(3600);

/// A listing on its way.
pub(super) struct Counting {
    store: DataStore,
    listed: u64,
    /// Keys that no version of Veritail wrote, and the first of them.
    foreign: (u64, Option<String>),
}

impl Counting {
    /// Of a listing that is to begin; waits until that is within the budget.
    pub(super) async fn begin(verifier: &Verifier, store: DataStore) -> Self {
        verifier.pay(1).await;
        Self { store, listed: 0, foreign: (0, None) }
    }

    /// Counts one thing; waits where the next request is not within the budget yet.
    pub(super) async fn count(&mut self, verifier: &Verifier) {
        self.listed += 1;
        if self.listed.is_multiple_of(LISTED_AT_ONCE) {
            verifier.pay(1).await;
        }
        telemetry::listed(self.store);
    }

    /// What a key names, if it is one of ours.
    pub(super) fn ours(&mut self, object: &Listed) -> Option<ObjectKey> {
        let key = keys::parse(&object.key).ok();
        if key.is_none() {
            telemetry::foreign_key(self.store);
            self.foreign.0 += 1;
            self.foreign.1.get_or_insert_with(|| object.key.clone());
        }
        key
    }

    /// Says once what was not ours.
    pub(super) fn end(self, below: &str) {
        if let (count, Some(first)) = self.foreign {
            let store = self.store;
            tracing::warn!(
                key = first,
                "{count} keys below {below} in {store} are none of Veritail's, such as {first}"
            );
        }
    }
}

impl Verifier {
    /// Waits until so many requests are within the inventory's budget.
    pub(super) async fn pay(&self, requests: u64) {
        self.inventory_budget.take_amount(ByteSize::ZERO, requests).await;
    }

    /// How long bytes that no row names are left alone: an upload may be under way, and the store's clock be another one.
    pub(super) fn grace(&self, store: DataStore) -> Duration {
        match store {
            DataStore::Database => self.settings.orphan_grace.max(UNNAMED_GRACE + SWEEP_IS_LATE),
            _ => self.settings.orphan_grace,
        }
    }

    /// True if the store says that the object is at least this old.
    pub(super) fn is_older(&self, object: &Listed, age: Duration) -> bool {
        object.modified.is_some_and(|modified| modified <= self.now().before(age))
    }
}
