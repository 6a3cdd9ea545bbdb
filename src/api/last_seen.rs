//! When tokens and runners were last seen, written down once a minute for all of them in one statement.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use crate::trace::Timestamp;

/// What was seen and is not written yet; as many as were used since.
pub(super) struct LastSeen<K>(Mutex<BTreeMap<K, Timestamp>>);

impl<K: Ord + Copy> LastSeen<K> {
    pub(super) fn new() -> Self {
        Self(Mutex::new(BTreeMap::new()))
    }

    /// `who` was seen.
    pub(super) fn note(&self, who: K, at: Timestamp) {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let last = seen.entry(who).or_insert(at);
        *last = at.max(*last);
    }

    /// Takes out what is to be written.
    pub(super) fn take(&self) -> Vec<(K, Timestamp)> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner)).into_iter().collect()
    }

    /// It could not be written: next time.
    pub(super) fn put_back(&self, seen: Vec<(K, Timestamp)>) {
        for (who, at) in seen {
            self.note(who, at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_is_kept_and_taken_once() {
        let seen = LastSeen::new();
        seen.note(1, Timestamp(5));
        seen.note(1, Timestamp(3));
        seen.note(2, Timestamp(4));
        let taken = seen.take();
        assert_eq!(taken, [(1, Timestamp(5)), (2, Timestamp(4))]);
        assert_eq!(seen.take(), []);
        seen.note(1, Timestamp(6));
        seen.put_back(taken);
        assert_eq!(seen.take(), [(1, Timestamp(6)), (2, Timestamp(4))]);
    }
}
