//! Puts whose outcome nobody knows.
//!
//! A put that failed, ran out of time or was given up may still have happened, or happen a moment later. Nobody will ever
//! name its key, so the object would lie there unseen. The keys are remembered in this process and deleted a while later;
//! what a crash forgets is found by an inventory.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use object_store::MultipartUpload;

use crate::seams::Clock;
use crate::trace::Timestamp;

/// Keys remembered, at most; the oldest go first. An inventory finds their objects.
const REMEMBERED_MAX: usize = 10_000;
/// Uploads in parts remembered, at most; of older ones the bucket's lifecycle rule removes the parts.
const UPLOADS_MAX: usize = 1000;
/// Keys settled at a time: as many as S3 deletes in one request.
const SETTLED_MAX: usize = 1000;

/// The keys, and when their puts failed. Clones share them.
#[derive(Clone)]
pub(super) struct Attempts {
    clock: Arc<dyn Clock>,
    lost: Arc<Mutex<VecDeque<(Timestamp, String)>>>,
    uploads: Arc<Mutex<VecDeque<Box<dyn MultipartUpload>>>>,
}

/// A put under way. Unless it is [`kept`](Attempt::kept), its key is remembered, also when its caller gives it up.
pub(super) struct Attempt<'a> {
    attempts: &'a Attempts,
    key: Option<String>,
}

impl Attempts {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, lost: Arc::default(), uploads: Arc::default() }
    }

    pub(super) fn begin(&self, key: &str) -> Attempt<'_> {
        Attempt { attempts: self, key: Some(key.to_owned()) }
    }

    /// Takes out keys whose puts failed at least `age` ago, oldest first.
    pub(super) fn take_lost(&self, age: Duration) -> Vec<String> {
        let until = self.clock.now().before(age);
        let mut lost = self.lost();
        let due = lost.iter().take(SETTLED_MAX).take_while(|(at, _)| *at <= until).count();
        lost.drain(..due).map(|(_, key)| key).collect()
    }

    /// Remembers keys again that could not be deleted.
    pub(super) fn put_back(&self, keys: Vec<String>) {
        keys.into_iter().for_each(|key| self.remember(key));
    }

    /// Remembers a key that nobody will name.
    pub(super) fn remember(&self, key: String) {
        let now = self.clock.now();
        let mut lost = self.lost();
        if lost.len() == REMEMBERED_MAX {
            lost.pop_front();
        }
        lost.push_back((now, key));
    }

    /// Remembers an upload in parts that was neither completed nor aborted.
    pub(super) fn remember_upload(&self, upload: Box<dyn MultipartUpload>) {
        let mut uploads = self.uploads();
        if uploads.len() == UPLOADS_MAX {
            uploads.pop_front();
        }
        uploads.push_back(upload);
    }

    /// Takes out the oldest upload that is to be aborted.
    pub(super) fn take_upload(&self) -> Option<Box<dyn MultipartUpload>> {
        self.uploads().pop_front()
    }

    fn uploads(&self) -> MutexGuard<'_, VecDeque<Box<dyn MultipartUpload>>> {
        self.uploads.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lost(&self) -> MutexGuard<'_, VecDeque<(Timestamp, String)>> {
        self.lost.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Attempt<'_> {
    /// The object is there.
    pub(super) fn kept(mut self) {
        self.key = None;
    }
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        if let Some(key) = self.key.take() {
            self.attempts.remember(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seams::real::SystemClock;

    fn attempts() -> Attempts {
        Attempts::new(Arc::new(SystemClock))
    }

    #[test]
    fn what_was_kept_is_forgotten_and_what_was_not_is_remembered_once() {
        let attempts = attempts();
        attempts.begin("kept").kept();
        drop(attempts.begin("lost"));
        assert_eq!(attempts.take_lost(Duration::from_secs(60)), [""; 0]);
        assert_eq!(attempts.take_lost(Duration::ZERO), ["lost"]);
        assert_eq!(attempts.take_lost(Duration::ZERO), [""; 0]);
        attempts.put_back(vec!["lost".to_owned()]);
        assert_eq!(attempts.take_lost(Duration::ZERO), ["lost"]);
    }

    #[test]
    fn memory_is_bounded_and_so_is_a_turn() {
        let attempts = attempts();
        for number in 0..REMEMBERED_MAX + 7 {
            drop(attempts.begin(&number.to_string()));
        }
        let taken = attempts.take_lost(Duration::ZERO);
        assert_eq!((taken.len(), taken[0].as_str()), (SETTLED_MAX, "7"));
    }
}
