//! The committer: one thread that writes, so that all who wait share one fsync.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;

use tokio::sync::mpsc::error::TryRecvError;
use tokio::sync::{mpsc, oneshot};

use super::NAME;
use super::batch::{Batch, Expiring};
use super::layout::{self, CopyRecord, TraceRecord};
use super::space::{self, Space};
use crate::seams::Clock;
use crate::store::{Result, StoreError};
use crate::trace::{ByteSize, Timestamp};

/// Writes that may wait; with slices of at most 256 KiB that is 64 MiB. Whoever comes later waits for room.
const MAX_WAITING: usize = 256;
/// Bytes after which a batch takes no more writes, so that the first of them does not wait for long.
const MAX_BATCH_BYTES: usize = 8 * 1024 * 1024;
/// Expired things removed with one batch.
const MAX_PURGED: usize = 64;

/// What the committer did since it was started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CommitStats {
    /// Writes in these batches, refused ones included.
    pub writes: u64,
    /// Batches that changed something; each cost one fsync.
    pub commits: u64,
}

#[derive(Default)]
struct Counters {
    writes: AtomicU64,
    commits: AtomicU64,
}

/// A write that waits: makes its changes, and gives what answers its caller once they are durable, or are not.
struct Waiting {
    weight: usize,
    write: Box<dyn FnOnce(&mut Batch<'_>) -> Answer + Send>,
}

type Answer = Box<dyn FnOnce(Result<()>) + Send>;

/// The way to the committer's thread.
pub(super) struct Committer {
    /// `None` only while it is being dropped.
    queue: Option<mpsc::Sender<Waiting>>,
    thread: Option<JoinHandle<()>>,
    counters: Arc<Counters>,
}

impl Committer {
    pub(super) fn start(space: Arc<Space>, clock: Arc<dyn Clock>, reserve: ByteSize) -> Result<Self> {
        let expiring = find_expiring(&space)?;
        let (queue, waiting) = mpsc::channel(MAX_WAITING);
        let counters = Arc::new(Counters::default());
        let work = Work { space, clock, reserve, expiring, counters: counters.clone() };
        let thread = std::thread::Builder::new().name("live-committer".to_owned()).spawn(move || work.run(waiting));
        let thread = thread.map_err(|error| StoreError::unavailable(NAME, error))?;
        Ok(Self { queue: Some(queue), thread: Some(thread), counters })
    }

    pub(super) fn stats(&self) -> CommitStats {
        CommitStats {
            writes: self.counters.writes.load(Ordering::Relaxed),
            commits: self.counters.commits.load(Ordering::Relaxed),
        }
    }

    /// Commits a write, and answers what it answered once it is durable. `weight` is about how many bytes it brings.
    pub(super) async fn write<T: Send + 'static>(
        &self,
        weight: usize,
        write: impl FnOnce(&mut Batch<'_>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (answer, answered) = oneshot::channel();
        let write = move |batch: &mut Batch<'_>| {
            let outcome = write(batch);
            let answer = move |committed: Result<()>| {
                // A caller that went away meanwhile needs no answer; its write is as good as any.
                let _gone = answer.send(committed.and(outcome));
            };
            Box::new(answer) as Answer
        };
        let queue = self.queue.as_ref().ok_or_else(stopped)?;
        queue.send(Waiting { weight, write: Box::new(write) }).await.map_err(|_| stopped())?;
        answered.await.map_err(|_| stopped())?
    }

    /// Makes the committer look for what has expired, unless it has other things to do.
    pub(super) fn nudge(&self) {
        let write = |_: &mut Batch<'_>| Box::new(|_| {}) as Answer;
        if let Some(queue) = &self.queue {
            let _busy = queue.try_send(Waiting { weight: 0, write: Box::new(write) });
        }
    }
}

impl Drop for Committer {
    fn drop(&mut self) {
        self.queue = None;
        if let Some(thread) = self.thread.take() {
            let _panicked = thread.join();
        }
    }
}

fn stopped() -> StoreError {
    StoreError::unavailable(NAME, "the committer has stopped")
}

/// What will expire, as it lies in the folder.
fn find_expiring(space: &Space) -> Result<BTreeSet<(Timestamp, Expiring)>> {
    let mut expiring = BTreeSet::new();
    for item in space.traces.iter() {
        let (key, value) = space::both(item)?;
        let expires = TraceRecord::decode(&value)?.expires;
        let job = layout::read_trace_key(&key)?;
        expiring.extend(expires.map(|at| (at, Expiring::Trace(job))));
    }
    for item in space.copies.iter() {
        let (key, value) = space::both(item)?;
        let expires = CopyRecord::decode(&value)?.expires;
        let (job, chunk) = layout::read_copy_key(&key)?;
        expiring.extend(expires.map(|at| (at, Expiring::Copy(job, chunk))));
    }
    Ok(expiring)
}

/// What the thread has.
struct Work {
    space: Arc<Space>,
    clock: Arc<dyn Clock>,
    reserve: ByteSize,
    expiring: BTreeSet<(Timestamp, Expiring)>,
    counters: Arc<Counters>,
}

impl Work {
    fn run(mut self, mut waiting: mpsc::Receiver<Waiting>) {
        loop {
            // With expired things left over it does not wait for a write.
            let first = match waiting.try_recv() {
                Ok(first) => Some(first),
                Err(TryRecvError::Disconnected) => return,
                Err(TryRecvError::Empty) if self.due(self.clock.now()).is_some() => None,
                Err(TryRecvError::Empty) => match waiting.blocking_recv() {
                    Some(first) => Some(first),
                    None => return,
                },
            };
            let mut writes = Vec::with_capacity(waiting.len() + 1);
            let mut weight = 0;
            let rest = std::iter::from_fn(|| waiting.try_recv().ok());
            for next in first.into_iter().chain(rest) {
                weight += next.weight;
                writes.push(next);
                if weight >= MAX_BATCH_BYTES || writes.len() >= MAX_WAITING {
                    break;
                }
            }
            self.commit(writes);
        }
    }

    fn commit(&mut self, writes: Vec<Waiting>) {
        let now = self.clock.now();
        // The handle is cloned so that the batch does not borrow what is changed beside it.
        let space = self.space.clone();
        // A disk that cannot be asked is not called full: the commit says what is wrong with it.
        let is_full = space.free().is_ok_and(|free| free < self.reserve.0);
        let mut batch = Batch::on(&space, now, is_full);
        let count = writes.len() as u64;
        let answers: Vec<Answer> = writes.into_iter().map(|waiting| (waiting.write)(&mut batch)).collect();
        for _ in 0..MAX_PURGED {
            let Some(due) = self.due(now) else { break };
            self.expiring.remove(&due);
            if let Err(error) = batch.purge(due.1) {
                tracing::warn!(%error, what = %due.1, "expired bytes stay in the live store until it is opened again");
            }
        }
        let changes = batch.changes_anything();
        let committed = batch.commit().map(|expiring| self.expiring.extend(expiring));
        if changes && committed.is_ok() {
            self.counters.writes.fetch_add(count, Ordering::Relaxed);
            self.counters.commits.fetch_add(1, Ordering::Relaxed);
        }
        for answer in answers {
            answer(committed.clone());
        }
    }

    fn due(&self, now: Timestamp) -> Option<(Timestamp, Expiring)> {
        self.expiring.first().copied().filter(|(at, _)| *at <= now)
    }
}
