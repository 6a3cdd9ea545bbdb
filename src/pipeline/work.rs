//! The queue in memory: a shortcut. Everything in it can be derived from the database, and the sweeper does so.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tokio::sync::{Mutex, mpsc};

use crate::trace::{ChunkIndex, JobId};

/// Something to do soon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Item {
    Migrate(JobId, ChunkIndex),
    Evaluate(JobId),
}

/// Waiting work, bounded: what does not fit is left to the sweeper.
pub(super) struct Work {
    sender: mpsc::Sender<Item>,
    receiver: Mutex<mpsc::Receiver<Item>>,
    draining: AtomicBool,
    under_way: Arc<AtomicUsize>,
}

/// Items that wait at most: 4096 chunks are 512 MiB at the default chunk size.
const WAITING_MAX: usize = 4096;

impl Work {
    pub(super) fn new() -> Self {
        let (sender, receiver) = mpsc::channel(WAITING_MAX);
        Self { sender, receiver: Mutex::new(receiver), draining: AtomicBool::new(false), under_way: Arc::default() }
    }

    pub(super) fn migrate_soon(&self, job: JobId, index: ChunkIndex) {
        // Full is no loss: the sweeper finds the chunk in the database.
        let _ = self.sender.try_send(Item::Migrate(job, index));
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
