//! What this node acknowledged, written to the database once a second for all jobs in one statement.
//!
//! So the database knows, one second late, how much of every trace must exist.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::store::Result;
use crate::store::database::{Contact, Database};
use crate::trace::{JobId, Offset, Timestamp};

/// Acknowledged lengths that the database may not know yet.
pub(super) struct Contacts {
    inner: Mutex<Inner>,
}

struct Inner {
    pending: BTreeMap<JobId, Contact>,
    /// Since when the database refuses to take them.
    failing_since: Option<Timestamp>,
}

impl Contacts {
    pub(super) fn new() -> Self {
        Self { inner: Mutex::new(Inner { pending: BTreeMap::new(), failing_since: None }) }
    }

    /// The runner of `job` was heard of, and everything up to `acked_length` was acknowledged to it.
    pub(super) fn note(&self, job: JobId, acked_length: Offset, at: Timestamp) {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let contact = inner.pending.entry(job).or_insert(Contact { job, acked_length, at });
        contact.acked_length = contact.acked_length.max(acked_length);
        contact.at = contact.at.max(at);
    }

    /// What this node acknowledged and the database may not know yet.
    pub(super) fn pending(&self, job: JobId) -> Option<Offset> {
        let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.pending.get(&job).map(|contact| contact.acked_length)
    }

    /// True if the database has not taken anything for longer than `patience`: what is acknowledged now might be lost
    /// unseen.
    pub(super) fn too_far_behind(&self, now: Timestamp, patience: Duration) -> bool {
        let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.failing_since.is_some_and(|since| u128::from(now.ms_since(since)) > patience.as_millis())
    }

    /// Writes all pending contacts; those that grow meanwhile stay pending.
    pub(super) async fn write(&self, database: &dyn Database, now: Timestamp) -> Result<()> {
        let contacts: Vec<Contact> = {
            let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
            inner.pending.values().copied().collect()
        };
        let written = if contacts.is_empty() { Ok(()) } else { database.note_contacts(&contacts).await };
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        match &written {
            Ok(()) => {
                for contact in contacts {
                    if inner.pending.get(&contact.job) == Some(&contact) {
                        inner.pending.remove(&contact.job);
                    }
                }
                inner.failing_since = None;
            }
            Err(_) => {
                inner.failing_since.get_or_insert(now);
            }
        }
        written
    }
}
