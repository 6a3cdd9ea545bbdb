//! A chunk's copies, fetched and judged: the one way in which migration, reads, finalize and the verifier look at bytes.

use bytes::Bytes;

use super::live::LiveStore;
use super::object::{ObjectStore, codec};
use super::{Result, StoreError};
use crate::trace::state::StoredObject;
use crate::trace::verdict::{Seen, judge};
use crate::trace::{ByteSize, ChunkId, ChunkSize, JobId, Look, Record};

/// A look at a copy: how it ended, and the chunk's bytes where they could be had (also where they differ).
#[derive(Clone, Debug)]
pub struct Looked {
    /// How the look ended.
    pub look: Look,
    /// The decoded bytes, as they are.
    pub bytes: Option<Bytes>,
    /// Why the store could not be asked.
    pub error: Option<StoreError>,
}

impl Looked {
    /// The store could not be asked.
    pub fn unreachable(error: StoreError) -> Self {
        Self { look: Look::Unreachable, bytes: None, error: Some(error) }
    }

    /// The bytes, if they are as recorded.
    pub fn sound(self) -> Option<Bytes> {
        if self.look == Look::Sound { self.bytes } else { None }
    }

    /// The look; an unreachable store is the error it gave.
    pub fn reached(self) -> Result<Self> {
        match self.error {
            Some(error) => Err(error),
            None => Ok(self),
        }
    }
}

/// Looks at a live copy.
pub async fn look_live(live: &dyn LiveStore, job: JobId, chunk: ChunkId, record: &Record) -> Looked {
    match live.read_chunk(job, chunk).await {
        Err(error) => Looked::unreachable(error),
        Ok(copy) => {
            let look = judge(record, copy.bytes.as_deref().map_or(Seen::Absent, Seen::Raw));
            Looked { look, bytes: copy.bytes, error: None }
        }
    }
}

/// The longest that a chunk can be, whatever a record says of its size.
const CHUNK_MAX: ByteSize = ByteSize(ChunkSize::MAX as u64);

/// Looks at a copy in the object store. Of one that is longer than what was written, and than any chunk of the recorded
/// size is when it is stored, only so much is read as shows that.
///
/// Row and copy are read so that either may be wrong: a size in the row that is too small neither cuts the copy nor makes
/// it undecodable.
pub async fn look_object(objects: &dyn ObjectStore, written: &StoredObject, record: &Record) -> Looked {
    let most = written.size.max(codec::stored_max(record.size.min(CHUNK_MAX))) + ByteSize(1);
    match objects.get(&written.key, most).await {
        Err(error) => Looked::unreachable(error),
        Ok(None) => Looked { look: judge(record, Seen::Absent), bytes: None, error: None },
        Ok(Some(stored)) => {
            let decoded = codec::decode(&stored, record.size).or_else(|_| codec::decode(&stored, CHUNK_MAX)).ok();
            let look = judge(record, Seen::Object { stored: &stored, written, decoded: decoded.as_deref() });
            Looked { look, bytes: decoded, error: None }
        }
    }
}
