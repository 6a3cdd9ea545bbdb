//! The live store: the open ends of traces, and the bytes of chunks until they are proven elsewhere.
//!
//! Every method is atomic and takes effect wholly or not at all. In Redis each is one script or command on the keys of one
//! job, in the embedded store one batch; the contract below is the script's. No method ever removes bytes that were not
//! released by name.

use std::collections::BTreeSet;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{Result, StoreError};
use crate::trace::{ByteSize, ChunkId, DataStore, Epoch, JobId, JobStatus, OpenEnd, Timestamp};

pub mod embedded;
pub mod redis;

/// What the live store has under a job's trace key.
#[derive(Clone, Debug)]
pub struct LiveTrace {
    /// The entry exactly as stored. A change names the entry it was computed from, byte for byte.
    pub raw: Bytes,
    /// What it says.
    pub entry: Entry,
    /// The job's status as the live store was last told; for a tombstone the final one.
    pub status: JobStatus,
    /// Until when somebody watches the trace; runners are told to send often until then.
    pub watched_until: Timestamp,
}

/// The meaning of a trace key's entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// The open end of a trace.
    Live(OpenEnd),
    /// The trace is over: a stalled node cannot bring it back to life.
    Tombstone(Tombstone),
    /// Bytes that cannot be read as either: damage, or a newer version's.
    Unreadable {
        /// The epoch, which lies beside the entry.
        epoch: Epoch,
    },
}

/// Stands in place of an open end once a trace is closed or erased.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tombstone {
    /// The epoch in which the trace ended.
    pub epoch: Epoch,
    /// The job's final status.
    pub ended: JobStatus,
}

impl Entry {
    /// How the bytes of a tombstone begin, for a store that has to know one where it cannot decode it.
    pub const TOMBSTONE_BEGINS: &str = r#"{"tombstone":"#;

    /// The entry's epoch.
    pub fn epoch(&self) -> Epoch {
        match self {
            Self::Live(end) => end.epoch,
            Self::Tombstone(tombstone) => tombstone.epoch,
            Self::Unreadable { epoch } => *epoch,
        }
    }

    /// The bytes to store for this entry; [`Entry::decode`] reads them. An unreadable entry is never written.
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Self::Live(end) => end.encode(),
            Self::Tombstone(tombstone) => {
                serde_json::to_vec(&TombstoneEntry { tombstone: *tombstone }).expect("a tombstone is always valid JSON")
            }
            Self::Unreadable { .. } => Vec::new(),
        }
    }

    /// Reads an entry; `epoch` is what lies beside it in the store.
    pub fn decode(raw: &[u8], epoch: Epoch) -> Self {
        if let Ok(end) = OpenEnd::decode(raw) {
            return Self::Live(end);
        }
        match serde_json::from_slice::<TombstoneEntry>(raw) {
            Ok(entry) => Self::Tombstone(entry.tombstone),
            Err(_) => Self::Unreadable { epoch },
        }
    }
}

/// The answer to a replacement by [`Entry::Unreadable`].
fn unreadable_is_never_written(store: &'static str) -> StoreError {
    StoreError::unreadable(store, "an unreadable entry is never written")
}

#[derive(Serialize, Deserialize)]
struct TombstoneEntry {
    tombstone: Tombstone,
}

/// An append: bytes for one chunk together with the open end that follows.
#[derive(Clone, Debug)]
pub struct Append {
    /// The epoch in which the caller believes the trace to be.
    pub epoch: Epoch,
    /// The entry from which `next` was computed, byte for byte.
    pub expected: Bytes,
    /// The copy that takes the bytes.
    pub chunk: ChunkId,
    /// The size the copy must have now; 0 = it does not exist.
    pub at: ByteSize,
    /// The bytes; never empty.
    pub bytes: Bytes,
    /// True if these bytes complete the chunk: a store may then lay it out anew.
    pub seals: bool,
    /// The entry afterwards: an open end of the same epoch.
    pub next: Bytes,
}

/// How an append or a replacement ended.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// Done, durably by the store's own measure.
    Stored {
        /// The job's status, never cached by nodes.
        status: JobStatus,
        /// Until when somebody watches.
        watched_until: Timestamp,
    },
    /// Nothing was changed, and why.
    Refused(Refusal),
}

/// Why the store changed nothing.
#[derive(Clone, Debug)]
pub enum Refusal {
    /// There is no trace key. It is never made by an append.
    Absent,
    /// The entry is another one: of another epoch, or the same epoch with other contents.
    Changed(LiveTrace),
    /// The entry is the expected one, but the chunk's copy has another size: it vanished or was changed by other hands.
    ChunkSize {
        /// Its size now; 0 = it does not exist.
        found: ByteSize,
    },
}

/// A chunk's live copy together with the trace's entry, read in one step.
#[derive(Clone, Debug)]
pub struct LiveCopy {
    /// The entry at the moment of reading.
    pub trace: Option<LiveTrace>,
    /// The copy's bytes, if it exists.
    pub bytes: Option<Bytes>,
}

/// Something that a scan of the live store met.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Found {
    /// A job's trace key (live, tombstone or unreadable).
    Trace(JobId),
    /// A chunk's copy.
    Chunk {
        /// Its job.
        job: JobId,
        /// Its name.
        chunk: ChunkId,
        /// True if it was released and will go by itself.
        released: bool,
        /// Its size; 0 if it went while it was met.
        size: ByteSize,
    },
}

/// One page of a scan.
#[derive(Clone, Debug)]
pub struct ScanPage {
    /// What was met. A scan may meet a thing twice, and may miss what comes or goes during it.
    pub found: Vec<Found>,
    /// Where to go on; `None` at the end.
    pub next: Option<Vec<u8>>,
}

/// How much the live store holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LiveUsage {
    /// Memory or disk in use, in bytes, by the store's own count.
    pub used: ByteSize,
    /// Its limit in bytes; 0 = none.
    pub limit: ByteSize,
    /// Use and limit of the server that is nearest to its limit: one that is full is enough for runners to wait. Both 0 if
    /// none has a limit.
    pub fullest: (ByteSize, ByteSize),
    /// Keys it dropped by itself, as far as this process knows; more than 0 means that bytes may be lost. Never less than
    /// before: a server that starts again counts from 0.
    pub evicted: u64,
}

impl LiveUsage {
    /// A server uses so much more, of its own limit.
    pub fn add(&mut self, used: ByteSize, limit: ByteSize) {
        self.used = ByteSize(self.used.0.saturating_add(used.0));
        self.limit = ByteSize(self.limit.0.saturating_add(limit.0));
        let (most, of) = self.fullest;
        let is_fuller = u128::from(used.0) * u128::from(of.0) >= u128::from(most.0) * u128::from(limit.0);
        if limit != ByteSize::ZERO && is_fuller {
            self.fullest = (used, limit);
        }
    }
}

/// The contract of a live store.
#[async_trait]
pub trait LiveStore: Send + Sync {
    /// Which store this is, in messages, labels and the API: `redis` or `embedded`.
    fn name(&self) -> DataStore;

    /// The job's entry; `None` if there is no trace key.
    async fn load(&self, job: JobId) -> Result<Option<LiveTrace>>;

    /// Stores bytes and the next open end. In this order it is refused if there is no trace key, if the entry or its
    /// epoch is not the expected one byte for byte, or if the chunk's copy has not the expected size.
    /// Fails with `Full` when the store takes nothing more; then nothing was changed. A released copy that takes more
    /// bytes is not released any more.
    async fn append(&self, job: JobId, append: Append) -> Result<Outcome>;

    /// Puts `next` in place of `expected` (`None`: there must be no trace key). Sets the status; keeps `watched_until`.
    /// `expires` is for tombstones: the key goes by itself after that time. A live entry never expires; replacing a
    /// tombstone by one makes it stay. Chunks are not touched. Refused with `Absent` or `Changed`. A full store makes no
    /// new key (`Full`) but replaces, so that what is in it can be finished.
    async fn replace(
        &self,
        job: JobId,
        expected: Option<Bytes>,
        next: &Entry,
        status: JobStatus,
        expires: Option<Duration>,
    ) -> Result<Outcome>;

    /// Sets the status of a live entry. Does nothing, and says false, if there is no trace key or it is a tombstone.
    async fn set_status(&self, job: JobId, status: JobStatus) -> Result<bool>;

    /// Notes that somebody watches the trace until `until`, unless a later time is noted already. Never makes a key.
    async fn watch(&self, job: JobId, until: Timestamp) -> Result<()>;

    /// A chunk's copy, if it is there.
    async fn read_chunk(&self, job: JobId, chunk: ChunkId) -> Result<Option<Bytes>>;

    /// The same and the entry beside it, in one step: of a chunk that is being filled the entry says what it must be.
    async fn read_open(&self, job: JobId, chunk: ChunkId) -> Result<LiveCopy>;

    /// Those of these copies that are there, of any jobs. For whoever looks for what is left over: of most there is nothing,
    /// and that is said of many at once. They may come and go meanwhile.
    async fn present(&self, copies: &[(JobId, ChunkId)]) -> Result<BTreeSet<(JobId, ChunkId)>>;

    /// The copy is proven elsewhere: it goes by itself after `grace` (0: now). The first release counts, but for one
    /// without grace, which removes the copy in any case: an erased trace leaves nothing. A missing copy is no error.
    async fn release(&self, job: JobId, chunk: ChunkId, grace: Duration) -> Result<()>;

    /// One page of everything there is, from the start or from where a page said to go on; about `limit` things.
    async fn scan(&self, from: Option<Vec<u8>>, limit: usize) -> Result<ScanPage>;

    /// How full the store is.
    async fn usage(&self) -> Result<LiveUsage>;

    /// Asks whether the store answers.
    async fn ping(&self) -> Result<()>;
}
