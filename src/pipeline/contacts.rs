//! What this node acknowledged, written to the database once a second for all jobs in one statement.
//!
//! So the database knows, one second late, how much of every trace must exist.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::seams::{Clock, within};
use crate::store::database::{Contact, Database};
use crate::store::{Result, StoreError};
use crate::trace::{JobId, Offset, Timestamp};

/// Acknowledged lengths that the database may not know yet.
pub(super) struct Contacts {
    inner: Mutex<Inner>,
}

struct Inner {
    /// By the job and when it was made: a number may come again in a restored database.
    pending: BTreeMap<(JobId, Timestamp), Contact>,
    /// Since when something waits to be written, whether the database refuses it or does not answer.
    waiting_since: Option<Timestamp>,
    /// Since when no outage has lasted: the node's start, or the end of the last one. Before that nobody could be heard.
    hearing_since: Timestamp,
    failing: bool,
}

impl Contacts {
    pub(super) fn new(now: Timestamp) -> Self {
        let inner = Inner { pending: BTreeMap::new(), waiting_since: None, hearing_since: now, failing: false };
        Self { inner: Mutex::new(inner) }
    }

    /// The runner of `job` was heard of, and everything up to `acked_length` was acknowledged to it.
    pub(super) fn note(&self, job: JobId, made_at: Timestamp, acked_length: Offset, at: Timestamp) {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.waiting_since.get_or_insert(at);
        let contact = inner.pending.entry((job, made_at)).or_insert(Contact { job, made_at, acked_length, at });
        contact.acked_length = contact.acked_length.max(acked_length);
        contact.at = contact.at.max(at);
    }

    /// What this node acknowledged and the database may not know yet.
    pub(super) fn pending(&self, job: JobId, made_at: Timestamp) -> Option<Offset> {
        let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.pending.get(&(job, made_at)).map(|contact| contact.acked_length)
    }

    /// True if what was acknowledged waits for longer than `patience`: what is acknowledged now might be lost unseen.
    pub(super) fn too_far_behind(&self, now: Timestamp, patience: Duration) -> bool {
        let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.waiting_since.is_some_and(|since| now.since(since) > patience)
    }

    /// Since when a runner that says nothing is silent, and not merely unheard.
    pub(super) fn hearing_since(&self) -> Timestamp {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner).hearing_since
    }

    /// Writes all pending contacts within `patience`; those that grow meanwhile stay pending.
    pub(super) async fn write(&self, database: &dyn Database, clock: &dyn Clock, patience: Duration) -> Result<()> {
        let contacts: Vec<Contact> = {
            let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
            inner.pending.values().copied().collect()
        };
        let begun = clock.now();
        let written = if contacts.is_empty() {
            Ok(())
        } else {
            let answer = within(clock, patience, database.note_contacts(&contacts, begun)).await;
            answer.unwrap_or_else(|| Err(StoreError::unavailable("database", "acknowledged lengths are not taken")))
        };
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        match &written {
            Ok(()) => {
                for contact in contacts {
                    let key = (contact.job, contact.made_at);
                    if inner.pending.get(&key) == Some(&contact) {
                        inner.pending.remove(&key);
                    }
                }
                inner.waiting_since = (!inner.pending.is_empty()).then_some(begun);
                if std::mem::take(&mut inner.failing) {
                    inner.hearing_since = clock.now();
                }
            }
            Err(_) => inner.failing = true,
        }
        written
    }
}
