//! The writes of one moment: committed state, with the changes of the writes before on top.
//!
//! Every key is changed at most once in what reaches the engine, which gives all of a batch one sequence number.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::NAME;
use super::layout::{self, CopyRecord, TraceRecord};
use super::space::{self, Space, View};
use crate::store::{Result, StoreError};
use crate::trace::{ByteSize, ChunkId, JobId, Timestamp};

/// Something that goes by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Expiring {
    /// A tombstone.
    Trace(JobId),
    /// A released copy.
    Copy(JobId, ChunkId),
}

impl std::fmt::Display for Expiring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Trace(job) => write!(f, "the tombstone of job {job}"),
            Self::Copy(job, chunk) => write!(f, "the released copy of chunk {chunk} of job {job}"),
        }
    }
}

/// The changes so far. A write reads all it needs before it changes anything, so that one that fails leaves no half.
pub(super) struct Batch<'a> {
    view: View<'a>,
    now: Timestamp,
    is_full: bool,
    traces: BTreeMap<JobId, Option<TraceRecord>>,
    copies: BTreeMap<(JobId, ChunkId), Option<CopyRecord>>,
    pieces: BTreeMap<Vec<u8>, Option<Bytes>>,
    expiring: Vec<(Timestamp, Expiring)>,
}

impl<'a> Batch<'a> {
    pub(super) fn on(space: &'a Space, now: Timestamp, is_full: bool) -> Self {
        Self {
            view: space.view(),
            now,
            is_full,
            traces: BTreeMap::new(),
            copies: BTreeMap::new(),
            pieces: BTreeMap::new(),
            expiring: Vec::new(),
        }
    }

    pub(super) fn now(&self) -> Timestamp {
        self.now
    }

    /// Fails if the disk has no room for more than what finishes the traces that are there.
    pub(super) fn has_room(&self) -> Result<()> {
        if self.is_full {
            let message = "the disk is full but for a reserve; nothing new is taken".to_owned();
            return Err(StoreError::Full { store: NAME, message });
        }
        Ok(())
    }

    pub(super) fn takes_writes(&self) -> Result<()> {
        self.view.space.takes_writes()
    }

    /// A job's trace as the writes before leave it, unless it has expired.
    pub(super) fn trace(&self, job: JobId) -> Result<Option<TraceRecord>> {
        match self.traces.get(&job) {
            Some(changed) => Ok(changed.clone().filter(|record| !space::is_past(record.expires, self.now))),
            None => self.view.trace(job, self.now),
        }
    }

    /// A copy as the writes before leave it, unless it has expired.
    pub(super) fn copy(&self, job: JobId, chunk: ChunkId) -> Result<Option<CopyRecord>> {
        match self.copies.get(&(job, chunk)) {
            Some(changed) => Ok(changed.filter(|record| !space::is_past(record.expires, self.now))),
            None => self.view.copy(job, chunk, self.now),
        }
    }

    /// The keys of all pieces of a copy, also of an expired one that was not removed yet.
    pub(super) fn piece_keys(&self, job: JobId, chunk: ChunkId) -> Result<Vec<Vec<u8>>> {
        let mut keys = self.view.piece_keys(job, chunk)?;
        let prefix = layout::copy_key(job, chunk);
        let added = self.pieces.range(prefix.to_vec()..).take_while(|(key, _)| key.starts_with(&prefix));
        keys.extend(added.map(|(key, _)| key.clone()));
        Ok(keys)
    }

    pub(super) fn set_trace(&mut self, job: JobId, record: TraceRecord) {
        self.expiring.extend(record.expires.map(|at| (at, Expiring::Trace(job))));
        self.traces.insert(job, Some(record));
    }

    pub(super) fn set_copy(&mut self, job: JobId, chunk: ChunkId, record: CopyRecord) {
        self.expiring.extend(record.expires.map(|at| (at, Expiring::Copy(job, chunk))));
        self.copies.insert((job, chunk), Some(record));
    }

    pub(super) fn add_piece(&mut self, job: JobId, chunk: ChunkId, offset: ByteSize, bytes: Bytes) {
        self.pieces.insert(layout::piece_key(job, chunk, offset), Some(bytes));
    }

    pub(super) fn remove_pieces(&mut self, keys: Vec<Vec<u8>>) {
        self.pieces.extend(keys.into_iter().map(|key| (key, None)));
    }

    pub(super) fn remove_copy(&mut self, job: JobId, chunk: ChunkId, pieces: Vec<Vec<u8>>) {
        self.copies.insert((job, chunk), None);
        self.remove_pieces(pieces);
    }

    /// Removes what has expired, if it is still so: it may have been written again since.
    pub(super) fn purge(&mut self, what: Expiring) -> Result<()> {
        match what {
            Expiring::Trace(job) if self.trace(job)?.is_none() => {
                self.traces.insert(job, None);
            }
            Expiring::Copy(job, chunk) if self.copy(job, chunk)?.is_none() => {
                let pieces = self.piece_keys(job, chunk)?;
                self.remove_copy(job, chunk, pieces);
            }
            Expiring::Trace(_) | Expiring::Copy(..) => {}
        }
        Ok(())
    }

    /// False if every write was refused or had nothing to do: then a commit touches no disk.
    pub(super) fn changes_anything(&self) -> bool {
        !(self.traces.is_empty() && self.copies.is_empty() && self.pieces.is_empty())
    }

    /// Makes all changes durable, or none. Answers what will expire because of them.
    pub(super) fn commit(self) -> Result<Vec<(Timestamp, Expiring)>> {
        let space = self.view.space;
        let mut batch = space.batch();
        for (job, record) in self.traces {
            match record {
                Some(record) => batch.insert(&space.traces, layout::trace_key(job), record.encode()),
                None => batch.remove(&space.traces, layout::trace_key(job)),
            }
        }
        for ((job, chunk), record) in self.copies {
            match record {
                Some(record) => batch.insert(&space.copies, layout::copy_key(job, chunk), record.encode()),
                None => batch.remove(&space.copies, layout::copy_key(job, chunk)),
            }
        }
        for (key, bytes) in self.pieces {
            match bytes {
                Some(bytes) => batch.insert(&space.pieces, key, &*bytes),
                None => batch.remove(&space.pieces, key),
            }
        }
        batch.commit().map_err(space::error)?;
        Ok(self.expiring)
    }
}
