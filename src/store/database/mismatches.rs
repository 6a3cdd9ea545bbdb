//! What is written down of a mismatch: the audit trail of everything that was ever found to be wrong.

use serde::{Deserialize, Serialize};

use super::drills::DrillId;
use crate::trace::state::names;
use crate::trace::{
    ByteSize, ChunkIndex, Crc32, DataStore, Detector, Epoch, JobId, Kind, Offset, ProjectId, Record, Sha256, Timestamp,
    Version,
};

/// A confirmed difference to be written down.
#[derive(Clone, Debug, PartialEq)]
pub struct NewMismatch {
    /// The job.
    pub job: JobId,
    /// The chunk, of a gap the one in which it begins; `None` for a difference of the whole.
    pub chunk: Option<ChunkIndex>,
    /// The chunk's epoch, or the trace's.
    pub epoch: Epoch,
    /// What is wrong.
    pub kind: Kind,
    /// Where.
    pub store: DataStore,
    /// Who found it.
    pub detector: Detector,
    /// The verification run that found it, if one did.
    pub run: Option<i64>,
    /// The node that found it; empty if a version before this one did, which did not say.
    pub node: String,
    /// What was promised; never log bytes.
    pub expected: Found,
    /// What was there.
    pub found: Found,
    /// Where in the chunk the first byte is that differs, counted from the chunk's start; `None` where not both sides'
    /// bytes are known.
    pub first_difference: Option<Offset>,
    /// When somebody outside is to be told of it; `None` if nobody is, as of damage that was done on purpose.
    pub notify_at: Option<Timestamp>,
    /// Now.
    pub at: Timestamp,
}

/// Size and checksums, as far as known, of what a mismatch is about; for a gap also where it begins.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Found {
    /// Where it begins in the trace, for a gap.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offset: Option<Offset>,
    /// Size in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<ByteSize>,
    /// CRC-32.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub crc32: Option<Crc32>,
    /// SHA-256.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<Sha256>,
    /// Size in bytes of the object that holds it, as it lies in its store: encoded, whatever it decodes to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stored_size: Option<ByteSize>,
    /// SHA-256 of that object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stored_sha256: Option<Sha256>,
}

impl Found {
    /// The same, with what is known of the object that holds it.
    #[must_use]
    pub fn stored_as(self, size: ByteSize, sha256: Sha256) -> Self {
        Self { stored_size: Some(size), stored_sha256: Some(sha256), ..self }
    }
}

/// As a log message has it: `131072 bytes, crc32 ca975130, sha256 0011…`.
impl std::fmt::Display for Found {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let offset = self.offset.map(|offset| format!("from {offset}"));
        let size = self.size.map(|size| format!("{size} bytes"));
        let crc32 = self.crc32.map(|crc32| format!("crc32 {crc32}"));
        let sha256 = self.sha256.map(|sha256| format!("sha256 {sha256}"));
        let stored = self.stored_size.map(|size| format!("{size} bytes as stored"));
        let stored_sha256 = self.stored_sha256.map(|sha256| format!("sha256 {sha256} as stored"));
        let known = [offset, size, crc32, sha256, stored, stored_sha256];
        let known: Vec<String> = known.into_iter().flatten().collect();
        f.write_str(if known.is_empty() { "nothing" } else { "" })?;
        f.write_str(&known.join(", "))
    }
}

impl From<&Record> for Found {
    fn from(record: &Record) -> Self {
        Self { size: Some(record.size), crc32: Some(record.crc32), sha256: Some(record.sha256), ..Self::default() }
    }
}

/// What a mismatch was measured against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Basis {
    /// The chunk's row, in this version.
    Row(Version),
    /// The trace, in this epoch and not closed.
    Trace(Epoch),
    /// The trace, in this epoch, closed and not erased.
    Closed(Epoch),
    /// Nothing that the database knows of: bytes that no row speaks for.
    Nothing,
}

/// In how many traces there are open mismatches. Those of drills do not count.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CorruptTraces {
    /// By kind and store, in this order; a trace counts for each kind and store that it has.
    pub by_kind: Vec<(Kind, DataStore, u64)>,
    /// With a kind that harms a log ([`Kind::is_of_a_log`]), each trace counted once.
    pub traces: u64,
}

/// What [`Database::open_mismatch`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opened {
    /// It is open now, with this number; only this one counts.
    New(i64),
    /// It was open already.
    Known,
    /// It is damage that was announced, and does not count: it is open with this number.
    Announced {
        /// Its number.
        mismatch: i64,
        /// The drill that it is of.
        drill: DrillId,
        /// True if it was not open before.
        is_new: bool,
    },
    /// Nothing: its basis has changed. Look again.
    Moved,
}

names! {
    /// How a mismatch was resolved.
    Resolution {
        /// Healed from a good copy.
        Repaired = "repaired",
        /// The runner sent the bytes again.
        Resent = "resent",
        /// A person took note.
        Acknowledged = "acknowledged",
        /// The trace was erased.
        Erased = "erased",
    }
}

/// A mismatch as written down.
#[derive(Clone, Debug, PartialEq)]
pub struct Mismatch {
    /// Its number.
    pub id: i64,
    /// What was found; `notify_at` is when somebody is to be told of it next.
    pub what: NewMismatch,
    /// When it was last seen; first is `what.at`.
    pub last_seen: Timestamp,
    /// How often it was seen, at least once.
    pub times_seen: u64,
    /// The drill that it is the announced damage of: then it does not count.
    pub drill: Option<DrillId>,
    /// How and when it was resolved; `None` while open.
    pub resolved: Option<(Resolution, Timestamp)>,
    /// Who resolved it, and why; `None` while open, or where a version before this one healed it, which did not say.
    pub note: Option<Note>,
}

/// Who resolved a mismatch, and why nothing more is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// A person, by their token's name, or `veritail node NAME`.
    pub by: String,
    /// Why, in their words.
    pub comment: String,
}

impl Note {
    /// Of the mismatches of a trace that `by` erased.
    pub(super) fn of_erasure(by: &str) -> Self {
        Self { by: by.to_owned(), comment: "the trace was erased".to_owned() }
    }
}

/// Which mismatches to list.
#[derive(Clone, Copy, Debug, Default)]
pub struct MismatchFilter {
    /// Only this job's.
    pub job: Option<JobId>,
    /// Only those of this chunk of the job.
    pub chunk: Option<ChunkIndex>,
    /// Only those of this project's jobs.
    pub project: Option<ProjectId>,
    /// Only those by which a log misses something, or may: not of bytes that nobody names.
    pub of_logs: bool,
    /// Only open (true) or resolved (false) ones.
    pub open: Option<bool>,
    /// Only those of this kind.
    pub kind: Option<Kind>,
    /// Only those in this store.
    pub store: Option<DataStore>,
    /// Only those that were found by it.
    pub detector: Option<Detector>,
    /// Only those that were first seen then or later.
    pub since: Option<Timestamp>,
    /// Only those that were last seen then or later.
    pub seen_since: Option<Timestamp>,
    /// Only those with a greater number.
    pub after: i64,
    /// At most so many; 0 = 100.
    pub limit: u32,
}

impl MismatchFilter {
    /// The most mismatches to list.
    pub fn limit_or_default(&self) -> u32 {
        if self.limit == 0 { 100 } else { self.limit }
    }
}
