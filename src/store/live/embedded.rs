//! The live store without a server: one folder, kept by `fjall`.
//!
//! Writes go to one committer thread. It takes all that wait at a moment, checks each one against the state as the ones
//! before it leave it, and commits them as one atomic batch with one fsync; only then is any of them answered. What was
//! acknowledged is therefore there after a `kill -9` or a power cut, and appends of many jobs share the cost of the disk.
//! Reads see committed state only. They may meet the disk, so they run on the runtime's blocking threads.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

pub use self::committer::CommitStats;
use self::committer::Committer;
use self::space::Space;
use super::{Append, Entry, LiveCopy, LiveStore, LiveTrace, LiveUsage, Outcome, ScanPage};
use crate::seams::Clock;
use crate::store::{Result, StoreError};
use crate::trace::{ByteSize, ChunkId, DataStore, JobId, JobStatus, Timestamp};

mod batch;
mod committer;
mod layout;
mod scan;
mod space;
mod writes;

/// The store's name in errors.
const NAME: &str = DataStore::Embedded.as_str();

/// Room on the disk that appends do not take: a write that finds no room at all would stop the store until it is opened
/// again, and what is in it has to be read, replaced and released to be moved on. A journal's size.
pub const RESERVE: ByteSize = ByteSize(128 * 1024 * 1024);

/// The live store in one folder. Only one process can have it open.
pub struct EmbeddedLive {
    space: Arc<Space>,
    clock: Arc<dyn Clock>,
    committer: Committer,
    reserve: ByteSize,
}

impl EmbeddedLive {
    /// Opens the folder, or makes it. `clock` decides when released copies and tombstones are gone.
    ///
    /// Fails if another process has it open, or if it holds what this version cannot read. Dropping the store finishes
    /// what its committer took, and stops it.
    pub fn open(path: &Path, clock: Arc<dyn Clock>) -> Result<Self> {
        Self::open_with_reserve(path, clock, RESERVE)
    }

    /// The same with another [`RESERVE`]: with less room on the disk it is full.
    pub fn open_with_reserve(path: &Path, clock: Arc<dyn Clock>, reserve: ByteSize) -> Result<Self> {
        let space = Arc::new(Space::open(path)?);
        let committer = Committer::start(space.clone(), clock.clone(), reserve)?;
        Ok(Self { space, clock, committer, reserve })
    }

    /// How many writes were committed since the store was opened, and in how many batches.
    pub fn stats(&self) -> CommitStats {
        self.committer.stats()
    }

    fn after(&self, time: Duration) -> Timestamp {
        self.clock.now().after(time)
    }

    async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Space, Timestamp) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (space, now) = (self.space.clone(), self.clock.now());
        let reading = tokio::task::spawn_blocking(move || read(&space, now));
        reading.await.map_err(|error| StoreError::unavailable(NAME, error))?
    }
}

#[async_trait]
impl LiveStore for EmbeddedLive {
    fn name(&self) -> DataStore {
        DataStore::Embedded
    }

    async fn load(&self, job: JobId) -> Result<Option<LiveTrace>> {
        self.read(move |space, now| Ok(space.view().trace(job, now)?.map(Into::into))).await
    }

    async fn append(&self, job: JobId, append: Append) -> Result<Outcome> {
        let weight = append.bytes.len() + append.next.len();
        self.committer.write(weight, move |batch| writes::append(batch, job, append)).await
    }

    async fn replace(
        &self,
        job: JobId,
        expected: Option<Bytes>,
        next: &Entry,
        status: JobStatus,
        expires: Option<Duration>,
    ) -> Result<Outcome> {
        let expires = match next {
            Entry::Live(_) => None,
            Entry::Tombstone(_) => expires.map(|time| self.after(time)),
            Entry::Unreadable { .. } => return Err(super::unreadable_is_never_written(NAME)),
        };
        let record = layout::TraceRecord {
            raw: next.encode().into(),
            epoch: next.epoch(),
            status,
            watched_until: Timestamp::default(),
            expires,
        };
        self.committer.write(record.raw.len(), move |batch| writes::replace(batch, job, expected, record)).await
    }

    async fn set_status(&self, job: JobId, status: JobStatus) -> Result<bool> {
        self.committer.write(0, move |batch| writes::set_status(batch, job, status)).await
    }

    async fn watch(&self, job: JobId, until: Timestamp) -> Result<()> {
        self.committer.write(0, move |batch| writes::watch(batch, job, until)).await
    }

    async fn read_chunk(&self, job: JobId, chunk: ChunkId) -> Result<Option<Bytes>> {
        self.read(move |space, now| space.view().bytes(job, chunk, now)).await
    }

    async fn read_open(&self, job: JobId, chunk: ChunkId) -> Result<LiveCopy> {
        self.read(move |space, now| {
            let view = space.view();
            let trace = view.trace(job, now)?.map(Into::into);
            Ok(LiveCopy { trace, bytes: view.bytes(job, chunk, now)? })
        })
        .await
    }

    async fn present(&self, copies: &[(JobId, ChunkId)]) -> Result<BTreeSet<(JobId, ChunkId)>> {
        let copies = copies.to_vec();
        self.read(move |space, now| {
            let view = space.view();
            let is_there = |(job, chunk): &(JobId, ChunkId)| Ok(view.copy(*job, *chunk, now)?.is_some());
            copies
                .into_iter()
                .filter_map(|copy| is_there(&copy).map(|there| there.then_some(copy)).transpose())
                .collect()
        })
        .await
    }

    async fn release(&self, job: JobId, chunk: ChunkId, grace: Duration) -> Result<()> {
        let at = self.after(grace);
        self.committer.write(0, move |batch| writes::release(batch, job, chunk, at)).await
    }

    async fn scan(&self, from: Option<Vec<u8>>, limit: usize) -> Result<ScanPage> {
        // Where nothing is written, what has expired is removed now.
        self.committer.nudge();
        self.read(move |space, now| scan::page(&space.view(), from.as_deref(), limit, now)).await
    }

    async fn usage(&self) -> Result<LiveUsage> {
        let reserve = self.reserve.0;
        self.read(move |space, _| {
            let used = space.disk_space()?;
            // What it could use if nothing else took room on the disk.
            let limit = used.saturating_add(space.free()?.saturating_sub(reserve));
            let mut usage = LiveUsage::default();
            usage.add(ByteSize(used), ByteSize(limit));
            Ok(usage)
        })
        .await
    }

    async fn ping(&self) -> Result<()> {
        self.committer.write(0, |batch| batch.takes_writes()).await
    }
}
