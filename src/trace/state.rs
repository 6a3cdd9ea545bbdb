//! The states of a job, its trace and its chunks, as the database knows them.

use serde::{Deserialize, Serialize};

use super::DataStore;
use super::checksum::{Record, Sha256};
use super::ids::{ByteSize, ChunkId, ChunkIndex, Epoch, Timestamp, Version};

/// Declares an enum whose variants have names in the database, the API and metric labels, and lists them all.
macro_rules! names {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $text:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
        pub enum $name {
            $($(#[$vdoc])* #[serde(rename = $text)] $variant),+
        }

        impl $name {
            /// Every value, in order of declaration.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The name in the database, in the API and in metric labels.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $text),+
                }
            }
        }

        // Not derived: the derive does not see a name that a macro puts into `rename`.
        impl utoipa::PartialSchema for $name {
            fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
                let text = utoipa::openapi::ObjectBuilder::new().schema_type(utoipa::openapi::schema::Type::String);
                text.enum_values(Some([$($text),+])).build().into()
            }
        }

        impl utoipa::ToSchema for $name {
            fn name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::trace::state::UnknownName;

            fn from_str(text: &str) -> std::result::Result<Self, Self::Err> {
                match text {
                    $($text => Ok(Self::$variant),)+
                    _ => Err($crate::trace::state::UnknownName { what: stringify!($name), name: text.to_owned() }),
                }
            }
        }
    };
}
pub(crate) use names;

/// A name that the enum it should belong to does not have.
#[derive(Debug, thiserror::Error)]
#[error("{name:?} is not a {what}")]
pub struct UnknownName {
    /// The enum.
    pub what: &'static str,
    /// What was read.
    pub name: String,
}

names! {
    /// The status of a job, in GitLab's words. Readers see a final one only after the whole trace is readable.
    JobStatus {
        /// Waits for a runner to request it.
        Pending = "pending",
        /// A runner works on it, or has finished and its trace is being proven.
        Running = "running",
        /// Somebody canceled it; the runner's last lines still count.
        Canceling = "canceling",
        /// Ended well.
        Success = "success",
        /// Ended badly.
        Failed = "failed",
        /// Ended by a cancel.
        Canceled = "canceled",
    }
}

impl JobStatus {
    /// True for success, failed and canceled.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Success | Self::Failed | Self::Canceled)
    }
}

names! {
    /// How far a trace is. Only the database decides it, and it only moves forward, but for `closing` -> `open` when
    /// the runner is asked for bytes again.
    TraceState {
        /// Takes appends.
        Open = "open",
        /// The ending is known, appends are refused. The runner's repeated final PUT or the sweeper moves it on.
        Closing = "closing",
        /// Proven or given up; what there is lies in persistent stores. Nothing moves it on but archive and erase.
        Closed = "closed",
        /// The whole trace lies in one object.
        Archived = "archived",
        /// No byte is left, and nothing may bring one back.
        Erased = "erased",
    }
}

/// Where a persistent copy lies; the row says so, never today's configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Location {
    /// In the object store.
    Object(StoredObject),
    /// In the database itself, which takes chunks while the object store cannot.
    Database(StoredObject),
}

impl Location {
    /// The copy as it was written.
    pub fn object(&self) -> &StoredObject {
        match self {
            Self::Object(object) | Self::Database(object) => object,
        }
    }

    /// The data store that it lies in.
    pub fn store(&self) -> DataStore {
        match self {
            Self::Object(_) => DataStore::ObjectStore,
            Self::Database(_) => DataStore::Database,
        }
    }
}

/// An object as it was written: its key, and size and checksum of the *stored* (compressed) bytes, so that damage in
/// the store and a bad encoder can be told apart.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredObject {
    /// The object's key; unique per attempt, never written twice.
    pub key: String,
    /// Size of the stored bytes.
    pub size: ByteSize,
    /// SHA-256 of the stored bytes.
    pub sha256: Sha256,
}

/// What the database knows of one chunk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChunkRow {
    /// The chunk's place.
    pub index: ChunkIndex,
    /// The epoch in which the copy that `state` speaks of was begun.
    pub epoch: Epoch,
    /// Compared and raised by every change of the row.
    pub version: Version,
    /// What is known, and where the bytes are.
    pub state: ChunkState,
    /// When the persistent copy that `state` speaks of was read back; `None` if there is none.
    pub persisted_at: Option<Timestamp>,
}

/// What is known of a chunk, where its bytes are, and who moves it on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChunkState {
    /// No record yet. Bytes, if any, and their running checksum are in the live store only. Moved on by the append that
    /// fills the chunk, or by finalize. Above the acknowledged length it means nothing.
    Open,
    /// The record is known, the bytes are in the live store only. Moved on by migrate.
    Sealed {
        /// What was promised.
        record: Record,
    },
    /// A persistent copy was read back and equals the record. The live copy is expiring or gone.
    Persisted {
        /// What was promised.
        record: Record,
        /// Where the copy lies.
        at: Location,
    },
    /// The bytes are lost or wrong, or are wanted once more: a hole. Moved on by the runner that sends them again;
    /// in a closed trace by nobody but a repair.
    Wanted {
        /// What was promised, if that was known.
        record: Option<Record>,
        /// A copy that is still as recorded: the runner was asked for everything because only the whole differs.
        kept: Option<Location>,
        /// The epoch in which the bytes were asked for: only copies begun in it or later count.
        asked_in: Epoch,
    },
}

impl ChunkRow {
    /// The name of the live copy that the row speaks of.
    pub fn id(&self) -> ChunkId {
        ChunkId { index: self.index, epoch: self.epoch }
    }

    /// The record, if the chunk's bytes are known and not lost.
    pub fn record(&self) -> Option<&Record> {
        match &self.state {
            ChunkState::Sealed { record } | ChunkState::Persisted { record, .. } => Some(record),
            ChunkState::Open | ChunkState::Wanted { .. } => None,
        }
    }

    /// Where its persistent copy is, if it has one: of a persisted chunk, or the one that is kept while its bytes are wanted
    /// again.
    pub fn persistent_copy(&self) -> Option<&Location> {
        match &self.state {
            ChunkState::Persisted { at, .. } => Some(at),
            ChunkState::Wanted { kept, .. } => kept.as_ref(),
            ChunkState::Open | ChunkState::Sealed { .. } => None,
        }
    }

    /// True for a hole.
    pub fn is_wanted(&self) -> bool {
        matches!(self.state, ChunkState::Wanted { .. })
    }

    /// True for a hole whose bytes are gone and not merely wanted once more.
    pub fn is_lost(&self) -> bool {
        matches!(self.state, ChunkState::Wanted { kept: None, .. })
    }
}
