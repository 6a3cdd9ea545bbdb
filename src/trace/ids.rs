//! Numbers that must not be confused with each other, each a type of its own.

use std::fmt;
use std::ops::{Add, Sub};
use std::time::Duration;

use serde::{Deserialize, Serialize};

macro_rules! number {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema)]
        #[serde(transparent)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

number!(
    /// A job, as the database numbers it; positive.
    JobId(i64)
);
number!(
    /// A project, as the database numbers it; positive.
    ProjectId(i64)
);
number!(
    /// The place of a chunk in its trace, from 0.
    ChunkIndex(u32)
);
number!(
    /// Counts the rewinds, restorations and the erase of one trace; the first is 1. Every chunk row and every key of a
    /// copy carries the epoch it was written in, so that nothing written before a rewind is taken for what came after.
    Epoch(u32)
);
number!(
    /// The version of a chunk row: raised by every change of the row, compared by every next one.
    Version(i64)
);
number!(
    /// A position in a trace, in bytes from its start.
    Offset(u64)
);
number!(
    /// A size in bytes.
    ByteSize(u64)
);
number!(
    /// A moment: milliseconds since 1970-01-01T00:00:00Z.
    Timestamp(i64)
);

impl ChunkIndex {
    /// The chunk after this one; after the last number there is, which no log comes near, that number again.
    pub fn next(self) -> Self {
        self.checked_next().unwrap_or(self)
    }

    /// The chunk after this one, if there is a number for it.
    pub fn checked_next(self) -> Option<Self> {
        self.0.checked_add(1).map(Self)
    }
}

impl Epoch {
    /// The epoch of a trace that was never rewound.
    pub const FIRST: Self = Self(1);

    /// The epoch after this one.
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl Version {
    /// The version of a row just inserted.
    pub const FIRST: Self = Self(1);
}

impl ByteSize {
    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// The length of a slice.
    pub fn of(bytes: &[u8]) -> Self {
        Self(bytes.len() as u64)
    }

    /// True for no bytes at all.
    pub fn is_zero(self) -> bool {
        self.0 == 0
    }

    /// As a length in memory, which a chunk's or a slice's size always is.
    pub fn as_usize(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

impl Offset {
    /// The start of a trace.
    pub const ZERO: Self = Self(0);
}

impl Add<ByteSize> for Offset {
    type Output = Self;

    fn add(self, size: ByteSize) -> Self {
        Self(self.0 + size.0)
    }
}

impl Sub for Offset {
    type Output = ByteSize;

    fn sub(self, earlier: Self) -> ByteSize {
        ByteSize(self.0 - earlier.0)
    }
}

impl Add for ByteSize {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self(self.0 + other.0)
    }
}

impl Sub for ByteSize {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self(self.0 - other.0)
    }
}

impl Timestamp {
    /// This moment moved by a number of milliseconds, either way.
    pub fn plus_ms(self, ms: i64) -> Self {
        Self(self.0.saturating_add(ms))
    }

    /// The moment that is `time` later.
    pub fn after(self, time: Duration) -> Self {
        self.plus_ms(i64::try_from(time.as_millis()).unwrap_or(i64::MAX))
    }

    /// The moment that was `time` earlier.
    pub fn before(self, time: Duration) -> Self {
        self.plus_ms(i64::try_from(time.as_millis()).map_or(i64::MIN, i64::wrapping_neg))
    }

    /// The time that passed since `earlier`; nothing if that is later.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.ms_since(earlier))
    }

    /// As the API shows it: RFC 3339 in UTC.
    pub fn to_rfc3339(self) -> String {
        jiff::Timestamp::from_millisecond(self.0).map(|at| at.to_string()).unwrap_or_default()
    }

    /// Milliseconds from `earlier` to this moment; 0 if it lies after.
    pub fn ms_since(self, earlier: Self) -> u64 {
        u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0)
    }
}

/// Names one live copy: the chunk's place, and the epoch in which its first byte was written. A chunk that is sent
/// again after a rewind gets a new name, so a refill never overwrites what was there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ChunkId {
    /// The chunk's place in its trace.
    pub index: ChunkIndex,
    /// The epoch in which this copy was begun.
    pub epoch: Epoch,
}

impl fmt::Display for ChunkId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.index, self.epoch)
    }
}
