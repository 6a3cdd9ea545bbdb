//! What the records of a finished trace add up to, held against what was acknowledged and what the runner claims.

use super::checksum::{Crc32, Record};
use super::chunks::ChunkSize;
use super::claim::Claim;
use super::ids::{ByteSize, Offset};
use super::ranges::Ranges;
use super::state::{ChunkRow, ChunkState};

/// The whole of a trace, by its chunk rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Whole {
    /// The end of its last good chunk, or of the last chunk that was ever recorded, if that lies beyond.
    pub length: Offset,
    /// CRC-32 of all bytes; `None` if some are missing.
    pub crc32: Option<Crc32>,
    holes: Ranges,
}

/// How a whole compares with what is known of it from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finding {
    /// Nothing is missing, and the whole is what the runner claims.
    Equal,
    /// Nothing is missing, and the runner claims nothing.
    Unclaimed,
    /// Nothing is missing, and the whole is not what the runner claims.
    Disagrees,
    /// Bytes are missing: inside, or at the end.
    Missing,
}

/// The record of a chunk that has good bytes in a persistent store. A chunk that is merely wanted once more counts: its
/// copy is as recorded, it was the runner's claim about the whole that cast doubt on it.
pub fn persistent_record(row: &ChunkRow) -> Option<&Record> {
    match &row.state {
        ChunkState::Persisted { record, .. } | ChunkState::Wanted { record: Some(record), kept: Some(_), .. } => {
            Some(record)
        }
        ChunkState::Open | ChunkState::Sealed { .. } | ChunkState::Wanted { .. } => None,
    }
}

impl Whole {
    /// Adds up the rows of a trace; `rows` in order of index.
    pub fn of<'a>(rows: impl IntoIterator<Item = &'a ChunkRow, IntoIter: Clone>, chunk_size: ChunkSize) -> Self {
        let rows = rows.into_iter();
        let end_of = |row: &ChunkRow| {
            let size = match &row.state {
                ChunkState::Wanted { record: Some(record), .. } => Some(record.size),
                _ => persistent_record(row).map(|record| record.size),
            };
            size.map(|size| chunk_size.start_of(row.index) + size)
        };
        let length = rows.clone().filter_map(end_of).max().unwrap_or(Offset::ZERO);
        let mut whole = Self { length, crc32: Some(Crc32::default()), holes: Ranges::default() };
        let mut next = 0;
        for row in rows {
            let (index, start) = (u64::from(row.index.0), chunk_size.start_of(row.index));
            if index < next || start >= length {
                continue;
            }
            whole.holes.push(next..index);
            let size = (length - start).min(chunk_size.bytes());
            match persistent_record(row).filter(|record| record.size == size) {
                Some(record) => whole.crc32 = whole.crc32.map(|crc| crc.then(record.crc32, record.size)),
                None => whole.holes.push(index..index + 1),
            }
            next = index + 1;
        }
        whole.holes.push(next..(length - Offset::ZERO).0.div_ceil(chunk_size.bytes().0));
        whole.crc32 = whole.crc32.filter(|_| whole.holes.is_empty());
        whole
    }

    /// Chunks below `length` without good bytes.
    pub fn holes(&self) -> &Ranges {
        &self.holes
    }

    /// How far the trace must reach: up to what was acknowledged and, for a runner that says so, what it has.
    pub fn required(acknowledged: Offset, claim: Option<&Claim>) -> Offset {
        let claimed = claim.and_then(|claim| claim.size).unwrap_or(ByteSize::ZERO);
        acknowledged.max(Offset::ZERO + claimed)
    }

    /// Compares the whole with what was acknowledged and claimed.
    pub fn finding(&self, acknowledged: Offset, claim: Option<&Claim>) -> Finding {
        let equal = claim.is_some_and(|claim| {
            let size_fits = claim.size.is_none_or(|size| Offset::ZERO + size == self.length);
            size_fits && self.crc32 == Some(claim.crc32)
        });
        if equal {
            Finding::Equal
        } else if !self.holes.is_empty() || self.length < Self::required(acknowledged, claim) {
            Finding::Missing
        } else if claim.is_none() {
            Finding::Unclaimed
        } else {
            Finding::Disagrees
        }
    }
}
