//! The queue in memory: a shortcut. Everything in it can be derived from the stores, and the sweeper and the next append do so.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError};

use tokio::sync::{Mutex, mpsc, oneshot};

use crate::trace::{ChunkId, ChunkIndex, JobId, Record, Timestamp, Version};

/// Something to do soon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Item {
    Migrate(JobId, ChunkIndex),
    Evaluate(JobId),
}

/// A chunk whose record is on its way to the database, or was just taken there.
pub(super) struct Filled {
    pub(super) chunk: ChunkId,
    pub(super) record: Record,
    /// Since when.
    pub(super) since: Timestamp,
    /// The version that its row has by the record. Closed without one: it was not taken, or not as the first.
    pub(super) recorded: oneshot::Receiver<Version>,
}

/// Waiting work, bounded: what does not fit is left to the sweeper.
pub(super) struct Work {
    sender: mpsc::Sender<Item>,
    receiver: Mutex<mpsc::Receiver<Item>>,
    /// What is known of chunks among the items, so that their rows need not be asked for.
    filled: std::sync::Mutex<HashMap<(JobId, ChunkIndex), Filled>>,
    draining: AtomicBool,
    under_way: Arc<AtomicUsize>,
}

/// Items that wait at most: 4096 chunks are 512 MiB at the default chunk size.
const WAITING_MAX: usize = 4096;

impl Work {
    pub(super) fn new() -> Self {
        let (sender, receiver) = mpsc::channel(WAITING_MAX);
        Self {
            sender,
            receiver: Mutex::new(receiver),
            filled: std::sync::Mutex::default(),
            draining: AtomicBool::new(false),
            under_way: Arc::default(),
        }
    }

    pub(super) fn migrate_soon(&self, job: JobId, index: ChunkIndex) {
        // Full is no loss: the sweeper finds the chunk in the database.
        let _ = self.sender.try_send(Item::Migrate(job, index));
    }

    /// Migrates a chunk whose record is about to be written; who writes it says what version its row has by then.
    pub(super) fn migrate_filled_soon(
        &self,
        job: JobId,
        chunk: ChunkId,
        record: Record,
        since: Timestamp,
    ) -> oneshot::Sender<Version> {
        let (says, recorded) = oneshot::channel();
        // Before the item, so that it is there whoever takes that; without one nobody would take it out.
        if let Ok(place) = self.sender.try_reserve() {
            self.filled().insert((job, chunk.index), Filled { chunk, record, since, recorded });
            place.send(Item::Migrate(job, chunk.index));
        }
        says
    }

    /// What is known of a chunk that was filled on this node; only once.
    pub(super) fn take_filled(&self, job: JobId, index: ChunkIndex) -> Option<Filled> {
        self.filled().remove(&(job, index))
    }

    fn filled(&self) -> std::sync::MutexGuard<'_, HashMap<(JobId, ChunkIndex), Filled>> {
        self.filled.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn evaluate_soon(&self, job: JobId) {
        let _ = self.sender.try_send(Item::Evaluate(job));
    }

    /// The next item. The node holds both ends, so the channel never closes.
    pub(super) async fn next(&self) -> Option<Item> {
        self.receiver.lock().await.recv().await
    }

    pub(super) fn drain(&self) {
        self.draining.store(true, Ordering::SeqCst);
    }

    pub(super) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::SeqCst)
    }

    /// Counts something under way until the guard goes.
    pub(super) fn begin(&self) -> UnderWay {
        self.under_way.fetch_add(1, Ordering::SeqCst);
        UnderWay(self.under_way.clone())
    }

    pub(super) fn is_idle(&self) -> bool {
        self.under_way.load(Ordering::SeqCst) == 0
    }
}

/// Something is under way; a draining node waits for it.
pub(super) struct UnderWay(Arc<AtomicUsize>);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}
