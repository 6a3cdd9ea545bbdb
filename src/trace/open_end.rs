//! The open end of a trace: the one thing that the live store decides.
//!
//! The value is pure; each append computes the next one here, and the live store puts it in place of the one it was
//! computed from, byte for byte, in the same atomic step that stores the bytes. A trace has one *tail*, the chunk at its
//! end. While holes are being filled again the write position is in the first hole (the *fill*), and the tail waits.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::checksum::{Midstate, Record, UnreadableMidstate};
use super::chunks::ChunkSize;
use super::ids::{ByteSize, ChunkId, ChunkIndex, Epoch, Offset, Timestamp};

/// Whether appends are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// Appends are taken at the write position.
    Open,
    /// The ending is known; every append is refused.
    Closing,
}

/// A chunk that is being written: its name, how many bytes it has, and its checksum so far.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// The live copy that takes the bytes.
    pub chunk: ChunkId,
    /// Bytes in it.
    pub size: ByteSize,
    /// The checksum computation so far. `None` where the chunk was recorded although it is not full: it is the last of
    /// its trace, and takes no more bytes.
    pub midstate: Option<Midstate>,
}

impl Head {
    /// A chunk without bytes, begun in `epoch`.
    pub fn empty(index: ChunkIndex, epoch: Epoch) -> Self {
        Self { chunk: ChunkId { index, epoch }, size: ByteSize::ZERO, midstate: Some(Midstate::empty()) }
    }
}

/// A full (or last) chunk whose record may not be in the database yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unrecorded {
    /// The epoch of its live copy.
    pub epoch: Epoch,
    /// The record computed at the door.
    pub record: Record,
}

/// How long the open end of a trace is, and how its checksums stand.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenEnd {
    /// The trace's epoch; every script names it.
    pub epoch: Epoch,
    /// Whether appends are taken.
    pub phase: Phase,
    /// The size of the trace's chunks.
    pub chunk_size: ChunkSize,
    /// The chunk at the trace's end.
    pub tail: Head,
    /// Chunks below the tail that the runner is asked for again. The first is being filled.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub holes: BTreeSet<ChunkIndex>,
    /// The progress in the first hole; there exactly when `holes` is not empty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fill: Option<Head>,
    /// Sealed chunks that the database may not have recorded yet.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub sealed: BTreeMap<ChunkIndex, Unrecorded>,
    /// When its job was made. A database that is restored or begun anew gives out the numbers of jobs again, and a live
    /// store that went on still has the open ends of those that had them before. `None`: written by an older version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub made_at: Option<Timestamp>,
}

/// An append as the live store has to make it: these bytes at this place, then the next open end.
#[derive(Clone, Debug)]
pub struct Step {
    /// The live copy that takes the bytes.
    pub chunk: ChunkId,
    /// The size it must have before: a copy that vanished or was changed is not appended to.
    pub at: ByteSize,
    /// The record, if these bytes complete the chunk.
    pub seals: Option<Record>,
    /// The open end afterwards.
    pub next: OpenEnd,
}

/// Why [`OpenEnd::append`] cannot take bytes.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum CannotAppend {
    /// The checksum state is of an unknown format: the chunk has to begin again.
    #[error("the checksum state of chunk {0} cannot be read")]
    UnreadableMidstate(ChunkIndex),
    /// The last chunk was recorded although it is not full: the trace has its final length.
    #[error("the trace has its final length")]
    Complete,
}

impl OpenEnd {
    /// The open end of a trace without bytes.
    pub fn new(epoch: Epoch, chunk_size: ChunkSize) -> Self {
        Self {
            epoch,
            phase: Phase::Open,
            chunk_size,
            tail: Head::empty(ChunkIndex(0), epoch),
            holes: BTreeSet::new(),
            fill: None,
            sealed: BTreeMap::new(),
            made_at: None,
        }
    }

    /// False if it is the open end of another job, which had the same number and was made at another time.
    pub fn is_of_job_made_at(&self, at: Timestamp) -> bool {
        self.made_at.is_none_or(|made_at| made_at == at)
    }

    /// The trace's length: the end of its tail, holes counted as if they were there.
    pub fn length(&self) -> Offset {
        self.end_of(&self.tail)
    }

    /// The only offset at which an append is accepted.
    pub fn write_position(&self) -> Offset {
        self.end_of(self.head())
    }

    /// How many bytes can be read from the start without meeting a hole.
    pub fn readable(&self) -> Offset {
        self.write_position().min(self.length())
    }

    /// The chunk at the write position.
    pub fn head(&self) -> &Head {
        self.fill.as_ref().unwrap_or(&self.tail)
    }

    /// How many bytes the chunk at the write position still takes; never 0.
    pub fn room(&self) -> ByteSize {
        self.chunk_size.bytes() - self.head().size
    }

    /// The live copy that holds the bytes of a chunk which has no record in the database, with what they must be: the
    /// chunk being written, or one sealed and not yet recorded.
    pub fn promised(&self, index: ChunkIndex) -> Option<(ChunkId, Record)> {
        if let Some(sealed) = self.sealed.get(&index) {
            return Some((ChunkId { index, epoch: sealed.epoch }, sealed.record));
        }
        [Some(&self.tail), self.fill.as_ref()]
            .into_iter()
            .flatten()
            .find(|head| head.chunk.index == index)
            .and_then(|head| Some((head.chunk, head.midstate.as_ref()?.record().ok()?)))
    }

    /// The append of `bytes` at the write position; they must not be empty nor longer than [`room`](Self::room).
    pub fn append(&self, bytes: &[u8]) -> Result<Step, CannotAppend> {
        let head = self.head();
        let size = ByteSize::of(bytes);
        debug_assert!(!size.is_zero() && size <= self.room(), "an append stays within its chunk");
        let midstate = head.midstate.as_ref().ok_or(CannotAppend::Complete)?;
        let unreadable = |_: UnreadableMidstate| CannotAppend::UnreadableMidstate(head.chunk.index);
        let midstate = midstate.absorb(bytes).map_err(unreadable)?;
        let full = size == self.room();
        let seals = if full { Some(midstate.record().map_err(unreadable)?) } else { None };

        let mut next = self.clone();
        let grown = Head { chunk: head.chunk, size: head.size + size, midstate: Some(midstate) };
        match (seals, self.fill.is_some()) {
            (None, true) => next.fill = Some(grown),
            (None, false) => next.tail = grown,
            (Some(record), filling) => {
                next.sealed.insert(head.chunk.index, Unrecorded { epoch: head.chunk.epoch, record });
                if filling {
                    next.holes.remove(&head.chunk.index);
                    next.fill = next.holes.first().map(|hole| Head::empty(*hole, self.epoch));
                } else {
                    next.tail = Head::empty(head.chunk.index.next(), self.epoch);
                }
            }
        }
        Ok(Step { chunk: head.chunk, at: head.size, seals, next })
    }

    /// Seals the tail of a closing trace as it is. `None` if it has no bytes or is sealed already.
    pub fn seal_tail(&self) -> Result<Option<Self>, UnreadableMidstate> {
        let index = self.tail.chunk.index;
        if self.tail.size.is_zero() || self.sealed.contains_key(&index) {
            return Ok(None);
        }
        let Some(midstate) = &self.tail.midstate else { return Ok(None) };
        let mut next = self.clone();
        let record = midstate.record()?;
        next.sealed.insert(index, Unrecorded { epoch: self.tail.chunk.epoch, record });
        Ok(Some(next))
    }

    /// The same open end in another phase.
    #[must_use]
    pub fn in_phase(&self, phase: Phase) -> Self {
        Self { phase, ..self.clone() }
    }

    /// The same open end without the sealed chunks that `is_recorded` says the database has.
    #[must_use]
    pub fn without_recorded(&self, is_recorded: impl Fn(ChunkIndex, &Unrecorded) -> bool) -> Self {
        let mut next = self.clone();
        next.sealed.retain(|index, sealed| !is_recorded(*index, sealed));
        next
    }

    fn end_of(&self, head: &Head) -> Offset {
        self.chunk_size.start_of(head.chunk.index) + head.size
    }
}

/// About the size of an open end as bytes: one without holes, with a sealed chunk or two.
const ENCODED: usize = 768;

/// Bytes in the live store that are not an open end this version understands.
#[derive(Debug, thiserror::Error)]
#[error("the state of the open end cannot be read: {0}")]
pub struct UnreadableOpenEnd(String);

impl OpenEnd {
    /// True if the checksum state of every chunk being written can be gone on from, and is of the chunk's size.
    pub fn is_readable(&self) -> bool {
        [Some(&self.tail), self.fill.as_ref()].into_iter().flatten().all(|head| match &head.midstate {
            Some(midstate) => midstate.record().is_ok_and(|record| record.size == head.size),
            None => true,
        })
    }

    /// As bytes for the live store: JSON, so that a person can read it with the store's own tools.
    pub fn encode(&self) -> Vec<u8> {
        let mut encoded = Vec::with_capacity(ENCODED);
        // Serialising to a vector cannot fail: every map has keys that are numbers, and there is no I/O.
        serde_json::to_writer(&mut encoded, self).expect("an open end is always valid JSON");
        // It is remembered for as long as the trace is open.
        encoded.shrink_to_fit();
        encoded
    }

    /// Reads what [`encode`](Self::encode) wrote, and refuses states that no sequence of appends leads to.
    pub fn decode(bytes: &[u8]) -> Result<Self, UnreadableOpenEnd> {
        let end: Self = serde_json::from_slice(bytes).map_err(|error| UnreadableOpenEnd(error.to_string()))?;
        let full = end.chunk_size.bytes();
        let heads_fit = end.tail.size < full && end.fill.as_ref().is_none_or(|fill| fill.size < full);
        let fill_is_first_hole = end.fill.as_ref().map(|fill| fill.chunk.index) == end.holes.first().copied();
        let holes_below_tail = end.holes.last().is_none_or(|hole| *hole < end.tail.chunk.index);
        // The tail itself is sealed once the log has ended.
        let sealed_up_to_tail = end.sealed.keys().next_back().is_none_or(|index| *index <= end.tail.chunk.index);
        if heads_fit && fill_is_first_hole && holes_below_tail && sealed_up_to_tail {
            Ok(end)
        } else {
            Err(UnreadableOpenEnd("its sizes, holes or records contradict each other".to_owned()))
        }
    }
}
