//! The one judgement: does what was seen equal what was promised?
//!
//! Migration, reads, finalize and the verifier all look at copies through [`judge`]; only they fetch, only this decides.

use super::checksum::{Record, Sha256};
use super::ids::ByteSize;
use super::state::{StoredObject, names};

names! {
    /// What is wrong with a copy, a trace or the database's own record.
    Kind {
        /// The size is right, the bytes are not.
        Checksum = "checksum",
        /// The copy has another size.
        Size = "size",
        /// The copy is not there.
        Missing = "missing",
        /// Bytes that were acknowledged were never recorded in a chunk and are gone.
        Gap = "gap",
        /// Bytes that no row names.
        Orphan = "orphan",
        /// A copy of an earlier epoch where the present one belongs.
        StaleCopy = "stale_copy",
        /// Every chunk is as recorded, the whole is not as it was proven.
        TraceChecksum = "trace_checksum",
        /// The chunks do not add up to the trace's size.
        TraceSize = "trace_size",
        /// The stored bytes are as written and cannot be decoded to what was recorded.
        Undecodable = "undecodable",
        /// The database's own record changed.
        Record = "record",
    }
}

names! {
    /// The stores that can hold a copy; the closed set of the `store` label.
    DataStore {
        /// Redis or Valkey, the live store of a production set-up.
        Redis = "redis",
        /// The live store of a set-up without servers.
        Embedded = "embedded",
        /// The SQL database.
        Database = "database",
        /// The object store.
        ObjectStore = "object_store",
        /// The second copy of archives.
        ArchiveMirror = "archive_mirror",
    }
}

names! {
    /// Who found a mismatch.
    Detector {
        /// An append.
        Append = "append",
        /// Migration from the live to a persistent store.
        Migrate = "migrate",
        /// A reader's request.
        Read = "read",
        /// The evaluation of a finished trace.
        Finalize = "finalize",
        /// The sweeper.
        Sweep = "sweep",
        /// The frequent run over what is live or fresh.
        Hot = "hot",
        /// The continuous run over everything.
        Full = "full",
        /// The comparison of listings.
        Inventory = "inventory",
        /// Archiving.
        Archive = "archive",
        /// A person's command.
        Manual = "manual",
    }
}

names! {
    /// What is known of a whole trace.
    Verdict {
        /// Every byte is persistent, was read back, and the whole equals the runner's claim.
        Verified = "verified",
        /// Not finished.
        Pending = "pending",
        /// Finished as recorded; the runner claimed nothing to compare with.
        Unclaimed = "unclaimed",
        /// Every byte is as recorded, and the runner's claim says otherwise.
        RunnerDisagrees = "runner_disagrees",
        /// Bytes are lost or wrong.
        Corrupt = "corrupt",
        /// Erased on request.
        Erased = "erased",
    }
}

/// What fetching a copy gave.
#[derive(Clone, Copy, Debug)]
pub enum Seen<'a> {
    /// The raw bytes of a live or `database` copy.
    Raw(&'a [u8]),
    /// An object: its stored bytes, what was written, and what decoding gave (`None`: it failed).
    Object {
        /// The bytes as they lie in the store.
        stored: &'a [u8],
        /// What the row says was written.
        written: &'a StoredObject,
        /// The decoded bytes.
        decoded: Option<&'a [u8]>,
    },
    /// The store says that there is no such copy.
    Absent,
    /// The store could not be asked.
    Unreachable,
}

/// How a look at a copy ends. Only one of the four is a mismatch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// As recorded.
    Sound,
    /// Different, and how.
    Differs(Kind),
    /// The row changed meanwhile: look again.
    Moved,
    /// The store could not be asked: an error, never a mismatch.
    Unreachable,
}

impl std::fmt::Display for Look {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Sound => f.write_str("sound"),
            Self::Differs(kind) => write!(f, "differs: {kind}"),
            Self::Moved => f.write_str("moved"),
            Self::Unreachable => f.write_str("unreachable"),
        }
    }
}

impl Look {
    /// A difference counts only while the row it was measured against is unchanged.
    #[must_use]
    pub fn confirmed_if(self, row_unchanged: bool) -> Self {
        match self {
            Self::Differs(_) if !row_unchanged => Self::Moved,
            look => look,
        }
    }
}

/// Compares what was seen of a copy with its record.
pub fn judge(record: &Record, seen: Seen<'_>) -> Look {
    match seen {
        Seen::Unreachable => Look::Unreachable,
        Seen::Absent => Look::Differs(Kind::Missing),
        Seen::Raw(bytes) => compare(record, bytes),
        Seen::Object { stored, written, decoded } => {
            if ByteSize::of(stored) != written.size {
                Look::Differs(Kind::Size)
            } else if Sha256::of(stored) != written.sha256 {
                Look::Differs(Kind::Checksum)
            } else {
                // The store kept what it was given. If that is not the chunk, the encoder was wrong.
                match decoded.map(|bytes| compare(record, bytes)) {
                    Some(Look::Sound) => Look::Sound,
                    _ => Look::Differs(Kind::Undecodable),
                }
            }
        }
    }
}

fn compare(record: &Record, bytes: &[u8]) -> Look {
    if ByteSize::of(bytes) != record.size {
        Look::Differs(Kind::Size)
    } else if Record::of(bytes) != *record {
        Look::Differs(Kind::Checksum)
    } else {
        Look::Sound
    }
}
