//! The folder and its three keyspaces, and reads at one moment.

use std::path::{Path, PathBuf};

use bytes::{Bytes, BytesMut};
use fjall::{Database, Guard, Keyspace, KeyspaceCreateOptions, OwnedWriteBatch, PersistMode, Readable, Snapshot};

use super::NAME;
use super::layout::{self, CopyRecord, TraceRecord};
use crate::store::{Result, StoreError};
use crate::trace::{ChunkId, JobId, Timestamp};

/// What a keyspace gathers in memory before it is written as a table. Live bytes are short-lived: more memory would hold
/// what is about to be released, and the default (64 MiB each) would be most of a server's memory.
const MEMTABLE: u64 = 8 * 1024 * 1024;
/// Blocks of tables kept in memory; the open ends that are read back are mostly in the memtables still.
const CACHE: u64 = 16 * 1024 * 1024;

/// Journals are kept until what they hold is in tables; beyond this size the tables are written early.
const MAX_JOURNAL: u64 = 128 * 1024 * 1024;

/// The open folder.
pub(super) struct Space {
    path: PathBuf,
    database: Database,
    pub(super) traces: Keyspace,
    pub(super) copies: Keyspace,
    pub(super) pieces: Keyspace,
}

impl Space {
    pub(super) fn open(path: &Path) -> Result<Self> {
        let opened = Database::builder(path).max_journaling_size(MAX_JOURNAL).cache_size(CACHE).open();
        let database = opened.map_err(|error| match error {
            fjall::Error::Locked => StoreError::unavailable(
                NAME,
                format_args!("another veritail serve uses this data folder: {}", path.display()),
            ),
            error => StoreError::unavailable(NAME, format_args!("cannot open {}: {error}", path.display())),
        })?;
        let options = || KeyspaceCreateOptions::default().max_memtable_size(MEMTABLE);
        let keyspace = |name| database.keyspace(name, options).map_err(error);
        let (traces, copies, pieces) = (keyspace("traces")?, keyspace("copies")?, keyspace("pieces")?);
        Ok(Self { path: path.to_owned(), database, traces, copies, pieces })
    }

    /// Everything as committed at this moment.
    pub(super) fn view(&self) -> View<'_> {
        View { space: self, snapshot: self.database.snapshot() }
    }

    /// A batch that is on disk when its commit returns.
    pub(super) fn batch(&self) -> OwnedWriteBatch {
        self.database.batch().durability(Some(PersistMode::SyncAll))
    }

    /// Bytes on disk.
    pub(super) fn disk_space(&self) -> Result<u64> {
        self.database.disk_space().map_err(error)
    }

    /// Bytes that the disk has room for.
    pub(super) fn free(&self) -> Result<u64> {
        let disk = rustix::fs::statvfs(&self.path).map_err(|error| StoreError::unavailable(NAME, error))?;
        Ok(disk.f_bavail.saturating_mul(disk.f_frsize))
    }

    /// Fails if an earlier write failed: then nothing is taken until the folder is opened again.
    pub(super) fn takes_writes(&self) -> Result<()> {
        self.database.persist(PersistMode::Buffer).map_err(error)
    }
}

/// Everything as committed at one moment.
pub(super) struct View<'a> {
    pub(super) space: &'a Space,
    pub(super) snapshot: Snapshot,
}

impl View<'_> {
    /// A job's trace, unless it has expired.
    pub(super) fn trace(&self, job: JobId, now: Timestamp) -> Result<Option<TraceRecord>> {
        let found = self.snapshot.get(&self.space.traces, layout::trace_key(job)).map_err(error)?;
        let record = found.map(|value| TraceRecord::decode(&value)).transpose()?;
        Ok(record.filter(|record| !is_past(record.expires, now)))
    }

    /// What is known of a copy, unless it has expired.
    pub(super) fn copy(&self, job: JobId, chunk: ChunkId, now: Timestamp) -> Result<Option<CopyRecord>> {
        let found = self.snapshot.get(&self.space.copies, layout::copy_key(job, chunk)).map_err(error)?;
        let record = found.map(|value| CopyRecord::decode(&value)).transpose()?;
        Ok(record.filter(|record| !is_past(record.expires, now)))
    }

    /// The bytes of a copy, unless it has expired: as they are, also where they are not what the size says.
    pub(super) fn bytes(&self, job: JobId, chunk: ChunkId, now: Timestamp) -> Result<Option<Bytes>> {
        let Some(record) = self.copy(job, chunk, now)? else { return Ok(None) };
        let mut bytes = BytesMut::with_capacity(record.size.as_usize().min(MAX_RESERVED));
        for piece in self.snapshot.prefix(&self.space.pieces, layout::copy_key(job, chunk)) {
            bytes.extend_from_slice(&piece.value().map_err(error)?);
        }
        Ok(Some(bytes.freeze()))
    }

    /// The keys of all pieces of a copy.
    pub(super) fn piece_keys(&self, job: JobId, chunk: ChunkId) -> Result<Vec<Vec<u8>>> {
        let pieces = self.snapshot.prefix(&self.space.pieces, layout::copy_key(job, chunk));
        pieces.map(|piece| Ok(piece.key().map_err(error)?.to_vec())).collect()
    }
}

/// A damaged size must not reserve all memory.
const MAX_RESERVED: usize = crate::trace::ChunkSize::MAX as usize;

/// True if what expires at `expires` is gone by `now`.
pub(super) fn is_past(expires: Option<Timestamp>, now: Timestamp) -> bool {
    expires.is_some_and(|at| at <= now)
}

/// A key and its value.
pub(super) fn both(item: Guard) -> Result<(Vec<u8>, Bytes)> {
    let (key, value) = item.into_inner().map_err(error)?;
    Ok((key.to_vec(), Bytes::copy_from_slice(&value)))
}

/// An error of the engine as one of the store. After a failed write it is not known whether the batch will be there when
/// the folder is opened again, so none of them is `Full`.
pub(super) fn error(error: fjall::Error) -> StoreError {
    match error {
        fjall::Error::Poisoned => StoreError::unavailable(
            NAME,
            "an earlier write to the disk failed; nothing is taken until the data folder is opened again",
        ),
        fjall::Error::Io(error) => StoreError::unavailable(NAME, error),
        fjall::Error::Storage(_)
        | fjall::Error::Decompress(_)
        | fjall::Error::InvalidTag(_)
        | fjall::Error::InvalidTrailer
        | fjall::Error::JournalRecovery(_)
        | fjall::Error::Unrecoverable => StoreError::unreadable(NAME, error),
        error => StoreError::unavailable(NAME, error),
    }
}
