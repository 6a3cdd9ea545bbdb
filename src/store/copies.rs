//! A chunk's copies, fetched and judged: the one way in which migration, reads, finalize and the verifier look at bytes.

use bytes::Bytes;

use super::hashing::Hashing;
use super::live::LiveStore;
use super::object::{ObjectStore, codec};
use super::{Result, StoreError};
use crate::trace::state::StoredObject;
use crate::trace::verdict::{Seen, judge, judge_encoding};
use crate::trace::{ByteSize, ChunkId, ChunkSize, JobId, Kind, Look, Record, Stored};

/// A look at a copy: how it ended, and the chunk's bytes where they could be had (also where they differ).
#[derive(Clone, Debug)]
pub struct Looked {
    /// How the look ended.
    pub look: Look,
    /// The decoded bytes, as they are.
    pub bytes: Option<Bytes>,
    /// What lies in the store, of an object that differs: all there is to say of one that cannot be decoded.
    pub stored: Option<Stored>,
    /// Why the store could not be asked.
    pub error: Option<StoreError>,
}

impl Looked {
    /// The store could not be asked.
    pub fn unreachable(error: StoreError) -> Self {
        Self { look: Look::Unreachable, bytes: None, stored: None, error: Some(error) }
    }

    /// The bytes, if they are as recorded.
    pub fn sound(self) -> Option<Bytes> {
        if self.look == Look::Sound { self.bytes } else { None }
    }

    /// A difference counts only if the next look sees one too: what is seen once may be bytes that were on their way.
    /// Nothing is asked `again` otherwise.
    pub async fn confirmed_by(self, again: impl Future<Output = Self> + Send) -> Self {
        let Look::Differs(_) = self.look else { return self };
        let again = again.await;
        if let Look::Sound = again.look {
            tracing::warn!(look = %self.look, "a copy was read wrong once, and right a moment later");
        }
        again
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
pub async fn look_live(live: &dyn LiveStore, hashing: &Hashing, job: JobId, chunk: ChunkId, record: &Record) -> Looked {
    match live.read_chunk(job, chunk).await {
        Err(error) => Looked::unreachable(error),
        Ok(None) => Looked { look: judge(record, Seen::Absent), bytes: None, stored: None, error: None },
        Ok(Some(bytes)) => {
            let mut found = hashing.record(&bytes).await;
            if found != *record {
                // Before anything is said of it, it is hashed by itself, and by the code that hashes at the door.
                found = Record::of(&bytes);
            }
            let look = judge(record, Seen::Raw(found));
            Looked { look, bytes: Some(bytes), stored: None, error: None }
        }
    }
}

/// The most that is read of an object that is not as the row says: any chunk, and the frame around it.
pub const STORED_MAX: ByteSize = ByteSize(ChunkSize::MAX as u64 + 64 * 1024);

/// Looks at a copy in the object store. Where sizes do not fit, the whole object is read and decoded all the same: it may
/// be the row that is wrong.
pub async fn look_object(
    objects: &dyn ObjectStore,
    hashing: &Hashing,
    written: &StoredObject,
    record: &Record,
) -> Looked {
    let bytes = match get(objects, written).await {
        Err(error) => return Looked::unreachable(error),
        Ok(None) => return Looked { look: judge(record, Seen::Absent), bytes: None, stored: None, error: None },
        Ok(Some(bytes)) => bytes,
    };
    let most = ByteSize(ChunkSize::MAX.into());
    let decoded = codec::decode(&bytes, record.size).or_else(|_| codec::decode(&bytes, most)).ok();
    let of_decoded = async {
        match &decoded {
            Some(bytes) => Some(hashing.record(bytes).await),
            None => None,
        }
    };
    let (mut stored, mut found) = futures::join!(hashing.stored(&bytes), of_decoded);
    if stored.sha256 != written.sha256 || found != Some(*record) {
        // As above.
        (stored, found) = (Stored::of(&bytes), decoded.as_deref().map(Record::of));
    }
    let mut look = judge(record, Seen::Object { stored, written, decoded: found });
    if look == Look::Differs(Kind::Record)
        && let Some(right) = decoded.as_deref().filter(|_| found == Some(*record))
    {
        look = judge_encoding(stored.size, written, Stored::of(&codec::encode(right)));
    }
    let stored = matches!(look, Look::Differs(_)).then_some(stored);
    Looked { look, bytes: decoded, stored, error: None }
}

async fn get(objects: &dyn ObjectStore, written: &StoredObject) -> Result<Option<Bytes>> {
    let stored = objects.get(&written.key, written.size + ByteSize(1)).await?;
    match stored {
        Some(stored) if ByteSize::of(&stored) > written.size => objects.get(&written.key, STORED_MAX).await,
        stored => Ok(stored),
    }
}
