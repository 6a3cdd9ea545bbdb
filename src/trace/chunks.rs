//! Chunk arithmetic: where a chunk begins, and how a range of bytes falls into chunks.

use serde::{Deserialize, Serialize};

use super::ids::{ByteSize, ChunkIndex, Offset};

/// The size of a trace's chunks in bytes; fixed for the life of the trace, never 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub struct ChunkSize(u32);

/// A chunk size of 0, or above [`ChunkSize::MAX`].
#[derive(Debug, thiserror::Error)]
#[error("chunk size {0} is not between 1 and {max} bytes", max = ChunkSize::MAX)]
pub struct BadChunkSize(pub u64);

impl ChunkSize {
    /// 128 KiB, as GitLab's.
    pub const DEFAULT: Self = Self(128 * 1024);
    /// 16 MiB: a chunk is held in memory as a whole while it is verified.
    pub const MAX: u32 = 16 * 1024 * 1024;

    /// A chunk size of `bytes`; fails for 0 and above [`ChunkSize::MAX`].
    pub fn new(bytes: u32) -> Result<Self, BadChunkSize> {
        if (1..=Self::MAX).contains(&bytes) { Ok(Self(bytes)) } else { Err(BadChunkSize(bytes.into())) }
    }

    /// The size in bytes.
    pub fn bytes(self) -> ByteSize {
        ByteSize(self.0.into())
    }

    /// The chunk that holds the byte at `offset`. A trace is never so long that the index overflows: 2^32 chunks.
    pub fn index_of(self, offset: Offset) -> ChunkIndex {
        ChunkIndex(u32::try_from(offset.0 / u64::from(self.0)).unwrap_or(u32::MAX))
    }

    /// Where a chunk begins.
    pub fn start_of(self, index: ChunkIndex) -> Offset {
        Offset(u64::from(index.0) * u64::from(self.0))
    }

    /// Splits `[from, to)` at chunk borders: spans in order, none empty, together exactly the input.
    pub fn spans(self, from: Offset, to: Offset) -> impl Iterator<Item = Span> {
        let mut at = from;
        std::iter::from_fn(move || {
            let index = self.index_of(at);
            let start = self.start_of(index);
            let end = to.min(start + self.bytes());
            // Nor is there a chunk behind the last number.
            if at >= end {
                return None;
            }
            let span = Span { index, from: at - start, to: end - start };
            at = end;
            Some(span)
        })
    }
}

impl TryFrom<u32> for ChunkSize {
    type Error = BadChunkSize;

    fn try_from(bytes: u32) -> Result<Self, BadChunkSize> {
        Self::new(bytes)
    }
}

impl From<ChunkSize> for u32 {
    fn from(size: ChunkSize) -> Self {
        size.0
    }
}

/// A part of one chunk: the bytes `[from, to)` counted from the chunk's start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Which chunk.
    pub index: ChunkIndex,
    /// First byte, counted from the chunk's start.
    pub from: ByteSize,
    /// One past the last byte, counted from the chunk's start.
    pub to: ByteSize,
}
