//! Verifications: what the verifier remembers. Its runs, how far the paced walks are, and the rows to look at.
//!
//! Nothing is written for a chunk that was found sound: where a walk stands and when its cycles began and ended say when
//! each chunk was last looked at.

use std::fmt;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::Job;
use crate::store::Result;
use crate::trace::{ByteSize, ChunkIndex, ChunkRow, DataStore, JobId, RunState, Schedule, Tally, Timestamp, Version};

/// Counts the runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(transparent)]
pub struct RunId(pub i64);

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A run to begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewRun {
    /// What it is for.
    pub schedule: Schedule,
    /// What it looks at, for people: `all`, `job 42`, `fresh/03`.
    pub scope: String,
    /// The node that does it.
    pub node: String,
    /// How many chunks it expects to look at, if that is known; for progress bars.
    pub expected: Option<u64>,
    /// Now.
    pub at: Timestamp,
}

/// A run of the verifier.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// Its number.
    pub id: RunId,
    /// What it is for.
    pub schedule: Schedule,
    /// What it looks at.
    pub scope: String,
    /// The node that does it.
    pub node: String,
    /// How many chunks it expects to look at, if that is known.
    pub expected: Option<u64>,
    /// How far it is.
    pub state: RunState,
    /// What it saw so far.
    pub tally: Tally,
    /// When it began.
    pub started_at: Timestamp,
    /// When it was last heard of.
    pub heard_at: Timestamp,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// Why it ended as it did, where there is more to say.
    pub message: Option<String>,
    /// Who asked it to stop.
    pub stop_asked_by: Option<String>,
}

/// Which runs to list, newest first.
#[derive(Clone, Copy, Debug, Default)]
pub struct RunFilter {
    /// Only of this schedule.
    pub schedule: Option<Schedule>,
    /// Only in this state.
    pub state: Option<RunState>,
    /// Only those with a smaller number.
    pub before: Option<RunId>,
    /// At most so many; 0 = 100.
    pub limit: u32,
}

impl RunFilter {
    /// The most runs to list.
    pub fn limit_or_default(&self) -> u32 {
        if self.limit == 0 { 100 } else { self.limit }
    }
}

/// Where a walk goes on: at this chunk or the next one there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The job.
    pub job: JobId,
    /// The chunk.
    pub index: ChunkIndex,
}

/// One walk through all chunks of a shard, again and again: where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// The shard's name, such as `fresh/03`; unique.
    pub shard: String,
    /// Raised by every save; a save names the version that it was made from.
    pub version: Version,
    /// The present cycle looks at jobs from this one on.
    pub from: JobId,
    /// And below this one.
    pub to: JobId,
    /// Where it goes on.
    pub at: Place,
    /// When the present cycle began.
    pub started_at: Timestamp,
    /// What the present cycle saw.
    pub tally: Tally,
    /// The run that the present cycle is written down as.
    pub run: RunId,
    /// The cycle before, once there was one.
    pub previous: Option<Cycle>,
}

/// A cycle that came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cycle {
    /// When it began.
    pub started_at: Timestamp,
    /// When it ended.
    pub ended_at: Timestamp,
    /// Chunks that it looked at.
    pub chunks: u64,
}

/// How a run ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunEnd {
    /// The run.
    pub run: RunId,
    /// Any but `Running`.
    pub state: RunState,
    /// What it saw.
    pub tally: Tally,
    /// Now.
    pub at: Timestamp,
}

/// A key that a chunk's row names: bytes in an object store or in this database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// The key of the stored bytes.
    pub key: String,
    /// The chunk.
    pub place: Place,
    /// Its row; `None` if that cannot be read.
    pub row: Option<ChunkRow>,
}

impl Named {
    /// The size of the stored bytes as written, as far as the row can be read.
    pub fn size(&self) -> Option<ByteSize> {
        let copy = self.row.as_ref().and_then(ChunkRow::persistent_copy);
        copy.map(|copy| copy.object().size)
    }
}

/// The contract.
#[async_trait]
pub trait Verifications: Send + Sync {
    /// Begins a run.
    async fn begin_run(&self, new: &NewRun) -> Result<Run>;

    /// Writes down what a run that is under way saw so far. False if it is to stop: somebody asked for it, or took it for
    /// dead and ended it.
    async fn note_progress(&self, run: RunId, tally: &Tally, at: Timestamp) -> Result<bool>;

    /// Ends a run that is under way; one that has ended stays as it is. `state` is any but `Running`.
    async fn end_run(
        &self,
        run: RunId,
        state: RunState,
        message: Option<&str>,
        tally: &Tally,
        at: Timestamp,
    ) -> Result<()>;

    /// Asks a run that is under way to stop; one that has ended stays as it is. The first one who asks is remembered.
    /// Answers the run as it is afterwards, or `None` if there is none of that number.
    async fn ask_to_stop(&self, run: RunId, by: &str) -> Result<Option<Run>>;

    /// One run.
    async fn run(&self, run: RunId) -> Result<Option<Run>>;

    /// Runs, newest first.
    async fn runs(&self, filter: RunFilter) -> Result<Vec<Run>>;

    /// Runs that are under way by the books and were last heard of before `silent_since` have lost their node: they end as
    /// `Failed` with `message`. Not those of a walk that a cursor speaks of: any node goes on with it. Answers how many.
    async fn end_silent_runs(&self, silent_since: Timestamp, message: &str, at: Timestamp) -> Result<u64>;

    /// Removes runs that ended before `before`, some of them at a time, but for those that a mismatch speaks of and the
    /// newest one of each schedule. Answers how many.
    async fn remove_runs(&self, before: Timestamp) -> Result<u64>;

    /// All cursors, in order of shard.
    async fn cursors(&self) -> Result<Vec<Cursor>>;

    /// Makes the cursor unless there is one of its shard, with version 1; whatever `cursor.version` says. Answers the one
    /// that there is.
    async fn first_cursor(&self, cursor: &Cursor) -> Result<Cursor>;

    /// Puts the cursor in place of the one of its shard and version, and raises the version. False if somebody else was
    /// first.
    async fn save_cursor(&self, cursor: &Cursor) -> Result<bool>;

    /// The same with the cursor of the next cycle, and ends the run of the one that it takes the place of: both or neither.
    async fn next_cycle(&self, next: &Cursor, ended: &RunEnd) -> Result<bool>;

    /// The jobs from `from` on and below `to`, which are to be a few thousand at most, in order; `None` for one whose row cannot be
    /// read.
    async fn passed_jobs(&self, from: JobId, to: JobId) -> Result<Vec<(JobId, Option<Job>)>>;

    /// Rows with a persistent copy, of jobs below `to`, from `at` on, in order of job and chunk: `Persisted`, and `Wanted`
    /// with a copy that is kept.
    async fn kept_chunks(&self, at: Place, to: JobId, limit: u32) -> Result<Vec<(JobId, ChunkRow)>>;

    /// Only where these rows are, which shows also of one that cannot be read.
    async fn kept_places(&self, at: Place, to: JobId, limit: u32) -> Result<Vec<Place>>;

    /// `Persisted` rows whose copy was proven at `since` or later, behind `after` in order of that moment, job and chunk.
    async fn persisted_since(
        &self,
        since: Timestamp,
        after: Option<(Timestamp, Place)>,
        limit: u32,
    ) -> Result<Vec<(JobId, ChunkRow)>>;

    /// Rows whose persistent copy lies in `store` (`Database` or `ObjectStore`) under a key above `after` that begins with
    /// `prefix` (which ends in `/`), in the order of keys, byte by byte.
    async fn named(&self, store: DataStore, prefix: &str, after: Option<&str>, limit: u32) -> Result<Vec<Named>>;

    /// The greatest number of a job; 0 if there is none.
    async fn newest_job(&self) -> Result<JobId>;

    /// The smallest number of a job made at `since` or later, as long as the nodes' clocks differ by less than an hour; one
    /// above the newest if there is none.
    async fn first_job_since(&self, since: Timestamp) -> Result<JobId>;
}
