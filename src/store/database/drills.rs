//! Drills: damage that is done on purpose, and whether it was found.
//!
//! Damage is announced here before it is done. Every mismatch of an announced chunk carries its drill's number from the
//! moment it is written down, and does not count as damage. A drill speaks for its chunk until one of its mismatches is
//! resolved: from then on the chunk is as it was, and what is found there is real. One that was missed may have been undone by
//! what nobody wrote down, such as an append that asked for the bytes again: it speaks for what was announced and nothing else.

use std::fmt;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::Job;
use crate::store::Result;
use crate::trace::{ChunkIndex, DataStore, Detection, Detector, JobId, Kind, Sha256, Timestamp, Version};

/// The project of the canary's jobs. Nobody else makes jobs in it, and lists show it only to those who ask for it.
pub const CANARY_PROJECT: &str = "veritail/canary";
/// Who the canary is, in what it announces and erases.
pub const CANARY: &str = "canary";

/// Counts the drills.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(transparent)]
pub struct DrillId(pub i64);

impl fmt::Display for DrillId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Damage to be announced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewDrill {
    /// The job.
    pub job: JobId,
    /// The chunk.
    pub chunk: ChunkIndex,
    /// What will be wrong, as it has to be named by whoever finds it.
    pub kind: Kind,
    /// Where.
    pub store: DataStore,
    /// Who does it: [`CANARY`], or a person by their token's name.
    pub by: String,
    /// Now.
    pub at: Timestamp,
    /// Until when it has to be found.
    pub must_be_found_by: Timestamp,
}

/// How announced damage was found first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Finding {
    /// When.
    pub at: Timestamp,
    /// As what.
    pub kind: Kind,
    /// Where.
    pub store: DataStore,
    /// By whom.
    pub detector: Detector,
}

/// A drill.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Drill {
    /// Its number.
    pub id: DrillId,
    /// What was announced.
    pub what: NewDrill,
    /// When the damage was done; `None` before, or where it is not known whether it was.
    pub damaged_at: Option<Timestamp>,
    /// How it was found, if it was before the drill ended.
    pub found: Option<Finding>,
    /// What came of it; `None` while it is under way, or where it was called off.
    pub result: Option<Detection>,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
}

/// Which drills to list, newest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DrillFilter {
    /// Only those of this job.
    pub job: Option<JobId>,
    /// Only those that were announced by it.
    pub by: Option<String>,
    /// Only those that are under way (true) or have ended (false).
    pub under_way: Option<bool>,
    /// Only those with a smaller number.
    pub before: Option<DrillId>,
    /// At most so many; 0 = 100.
    pub limit: u32,
}

impl DrillFilter {
    /// The most drills to list.
    pub fn limit_or_default(&self) -> u32 {
        if self.limit == 0 { 100 } else { self.limit }
    }
}

/// The contract.
#[async_trait]
pub trait Drills: Send + Sync {
    /// Announces damage that is about to be done.
    async fn announce(&self, new: &NewDrill) -> Result<DrillId>;

    /// The damage was done.
    async fn note_damaged(&self, drill: DrillId, at: Timestamp) -> Result<()>;

    /// The damage was not done, and will not be. A drill that has ended stays as it is.
    async fn call_off(&self, drill: DrillId, at: Timestamp) -> Result<()>;

    /// Puts a wrong SHA-256 into the record of the announced chunk: the one way in which this database damages itself. The
    /// row has another version from then on. False, and nothing is changed, unless the drill is under way and of kind
    /// `Record`, and the chunk's row is of this version and has a record.
    async fn damage_record(&self, drill: DrillId, version: Version, wrong: Sha256) -> Result<bool>;

    /// One drill.
    async fn drill(&self, drill: DrillId) -> Result<Option<Drill>>;

    /// Drills, newest first.
    async fn drills(&self, filter: &DrillFilter) -> Result<Vec<Drill>>;

    /// Ends the drills of which it is known what came of them: the first mismatch that carries a drill's number decides,
    /// and where there is none once twice the time has passed, the damage was missed. Where it is not known that the damage
    /// was done, because who did it died meanwhile, a wrong label or none tells nothing: after twice the time such a drill
    /// is called off. Answers those that ended by this call, so that each is counted once.
    async fn settle_drills(&self, now: Timestamp) -> Result<Vec<Drill>>;

    /// The canary's jobs whose traces are not erased, oldest first.
    async fn canary_jobs(&self, limit: u32) -> Result<Vec<Job>>;

    /// Removes what the canary left before `before`: its ended drills, its jobs that are erased and whose objects are gone,
    /// and their mismatches. Some at a time; answers how many jobs.
    async fn remove_canary_jobs(&self, before: Timestamp) -> Result<u64>;
}
