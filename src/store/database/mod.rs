//! The database: what a trace *is*. Status, state, epoch, records, endings, mismatches.
//!
//! Every change is one atomic statement or transaction that names the state it was decided on (epoch, state, row
//! version). `false`, `None` or a `Stale` variant means that somebody else was first: look again.

pub mod accounts;
pub mod decide;
pub mod drills;
pub mod facts;
pub mod leases;
pub mod listing;
mod migrations;
mod mismatches;
mod pages;
pub mod postgres;
mod rows;
pub mod sqlite;
pub mod verifications;
pub mod waits;

use std::time::Duration;

use async_trait::async_trait;

pub use mismatches::{Basis, CorruptTraces, Found, Mismatch, MismatchFilter, NewMismatch, Note, Opened, Resolution};

use super::Result;
use crate::trace::{
    ByteSize, ChunkIndex, ChunkRow, ChunkSize, Crc32, DataStore, Ending, Epoch, JobId, JobStatus, Location, Offset,
    ProjectId, Record, Timestamp, TraceState, Verdict, Version,
};

/// Its name in messages and labels, whichever it is.
const NAME: &str = DataStore::Database.as_str();

/// A job and its trace.
#[derive(Clone, Debug, PartialEq)]
pub struct Job {
    /// Its number.
    pub id: JobId,
    /// The project's number.
    pub project: ProjectId,
    /// The project's path, such as `group/demo`.
    pub project_path: String,
    /// Its name, such as `rspec`.
    pub name: String,
    /// SHA-256 of its token; the token itself is nowhere.
    pub token_sha256: [u8; 32],
    /// Its status, as readers see it.
    pub status: JobStatus,
    /// The state of its trace.
    pub state: TraceState,
    /// The trace's epoch.
    pub epoch: Epoch,
    /// The newest epoch that is known to have reached the live store; `None` before the first append.
    pub installed_epoch: Option<Epoch>,
    /// The trace's chunk size.
    pub chunk_size: ChunkSize,
    /// The longest trace accepted; 0 = no limit.
    pub trace_limit: ByteSize,
    /// Up to where bytes were acknowledged; one second late.
    pub acked_length: Offset,
    /// How it ended, stored before anything else happens at the end.
    pub ending: Option<Ending>,
    /// When the ending was stored.
    pub ended_at: Option<Timestamp>,
    /// How often the runner was asked to send bytes again after its final PUT.
    pub resend_attempts: u32,
    /// True once the runner was asked for everything because only the whole differed from its claim.
    pub asked_everything: bool,
    /// Whether the runner can start its log again, if it said so.
    pub trace_reset: Option<bool>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When a runner took it, or when it was made if nobody has to take it; `None` if it never ran.
    pub started_at: Option<Timestamp>,
    /// When the runner was last heard of; one second late.
    pub last_contact_at: Timestamp,
    /// When status, state or epoch last changed: set by create, rewind, end, reopen, cancel and close. And when it turned
    /// out that a closed trace is shorter than what was acknowledged.
    pub changed_at: Timestamp,
    /// When the trace was closed.
    pub closed_at: Option<Timestamp>,
    /// Size of the whole trace, once closed.
    pub size: Option<ByteSize>,
    /// CRC-32 of the whole trace, once closed.
    pub crc32: Option<Crc32>,
    /// What is known of the whole; `Pending` until closed.
    pub verdict: Verdict,
    /// When the trace was erased, and by whom.
    pub erased: Option<(Timestamp, String)>,
}

/// A job to be made.
#[derive(Clone, Debug)]
pub struct NewJob {
    /// The project's path; made if it does not exist.
    pub project_path: String,
    /// The job's name.
    pub name: String,
    /// SHA-256 of its token.
    pub token_sha256: [u8; 32],
    /// `Running`, or `Pending` if a runner has to request it.
    pub status: JobStatus,
    /// The payload for the runner, as its creator gave it.
    pub payload: Option<serde_json::Value>,
    /// The trace's chunk size.
    pub chunk_size: ChunkSize,
    /// The longest trace accepted; 0 = no limit.
    pub trace_limit: ByteSize,
    /// Whether its runner can send again, if known.
    pub trace_reset: Option<bool>,
    /// Now.
    pub at: Timestamp,
}

/// Up to where a node acknowledged a job's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Contact {
    /// The job.
    pub job: JobId,
    /// When it was made: a restored database may give its number to another.
    pub made_at: Timestamp,
    /// The acknowledged length. The database keeps the greatest.
    pub acked_length: Offset,
    /// When the runner was heard of. The database keeps the latest.
    pub at: Timestamp,
}

/// A new epoch: what was decided on, and what it becomes.
#[derive(Clone, Debug)]
pub struct Rewind {
    /// The epoch the decision was made in.
    pub from: Epoch,
    /// The new epoch, greater than `from`.
    pub to: Epoch,
    /// The state the decision was made in, `Open` or `Closing`.
    pub state: TraceState,
    /// The state afterwards. `Open` after `Closing` asks the runner of a finished job to send again.
    pub next_state: TraceState,
    /// Chunks whose bytes are lost or wrong: their rows become `Wanted` without a kept copy. A row that is not there is
    /// made.
    pub lost: Vec<Lost>,
    /// True to want every recorded chunk again and keep the persistent copies that are as recorded.
    pub everything: bool,
    /// True to count this as one of the resend attempts.
    pub counts_as_attempt: bool,
    /// Now.
    pub at: Timestamp,
}

/// A chunk that was found to be lost or wrong, and the row that it was measured against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lost {
    /// The chunk.
    pub index: ChunkIndex,
    /// The row's version; `None`: there was no row. If it is another one by now, nothing is rewound: perhaps somebody
    /// proved the bytes meanwhile.
    pub version: Option<Version>,
}

/// The end of a trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Closing {
    /// What is known of the whole.
    pub verdict: Verdict,
    /// Its size.
    pub size: ByteSize,
    /// Its CRC-32, unless bytes are missing.
    pub crc32: Option<Crc32>,
    /// Now.
    pub at: Timestamp,
}

/// What [`Database::erase`] did.
#[derive(Clone, Debug, PartialEq)]
pub enum Erased {
    /// The trace is erased, now or before.
    Done(Box<Job>),
    /// The job has not ended: nothing was changed.
    Unfinished,
    /// There is no such job.
    Unknown,
}

/// All objects of an erased trace are to go: by prefix, from a moment on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deletion {
    /// Its number.
    pub id: i64,
    /// The job.
    pub job: JobId,
}

/// What [`Database::open_chunk`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowOpened {
    /// There is a row without a record (or one that is wanted again): bytes may come.
    Ready,
    /// The chunk is recorded already: the live store is behind.
    Recorded,
    /// The job is not `Open` in this epoch any more.
    Stale,
}

/// What [`Database::record`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recorded {
    /// The row has the record now, and this version.
    Sealed(Version),
    /// The row had this record already.
    Known,
    /// The row was a hole, and the bytes are the same as those recorded before. If a persistent copy was kept, the row
    /// is `Persisted` again, otherwise `Sealed`.
    RefilledSame,
    /// The row was a hole; the new record took the place of the old one, if there was one. The row is `Sealed`.
    Refilled,
    /// The row has another record: the live store went back in time and took other bytes.
    Conflict,
    /// The job is not `Open` or `Closing` in this epoch any more, or the copy was begun before its bytes were asked for
    /// again.
    Stale,
}

/// A chunk that waits to be moved on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// Its job.
    pub job: JobId,
    /// Its row.
    pub row: ChunkRow,
}

/// How much waits to be moved on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backlog {
    /// Chunks that wait.
    pub chunks: u64,
    /// Their bytes.
    pub bytes: ByteSize,
    /// Since when the oldest waits.
    pub oldest: Option<Timestamp>,
}

/// Jobs whose ending is known and whose trace is not closed, and the live traces, for the gauges.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unfinished {
    /// Ended and not closed, by the status they will have, with the moment the oldest ended; in order of status.
    pub ended: Vec<(JobStatus, u64, Timestamp)>,
    /// Bytes that are in the live store only, by the database's count: sealed chunks, and of unfinished traces what was
    /// acknowledged behind the last recorded chunk.
    pub live_bytes: ByteSize,
    /// Chunks that are in the live store only, counted from the same bytes.
    pub live_chunks: u64,
}

/// The contract of a database.
#[async_trait]
pub trait Database: Send + Sync {
    /// Makes a job, and its project if there is none of that path. State `Open`, epoch 1, nothing installed.
    async fn create_job(&self, new: NewJob) -> Result<Job>;

    /// The job, or `None`.
    async fn job(&self, job: JobId) -> Result<Option<Job>>;

    /// Jobs in state `Open` or `Closing` with a number above `after`, in order of number.
    async fn unfinished_jobs(&self, after: JobId, limit: u32) -> Result<Vec<Job>>;

    /// Jobs of any state whose `changed_at` is `since` or later and whose number is above `after`, in order of number.
    async fn changed_jobs(&self, since: Timestamp, after: JobId, limit: u32) -> Result<Vec<Job>>;

    /// Raises `acked_length` and `last_contact_at` of all these jobs, in one statement. Unknown jobs, and jobs that were
    /// made at another time, are passed over; a job that is named twice gets the greater of both. A closed trace that is
    /// shorter than a raised `acked_length` counts as changed at `now`.
    async fn note_contacts(&self, contacts: &[Contact], now: Timestamp) -> Result<()>;

    /// Remembers whether the job's runner can send its log again.
    async fn set_trace_reset(&self, job: JobId, trace_reset: bool) -> Result<()>;

    /// The epoch has reached the live store. True if the job still is `Open` or `Closing` in it.
    async fn mark_installed(&self, job: JobId, epoch: Epoch) -> Result<bool>;

    /// Raises the epoch. True if the job was in `from` and `state`, every lost chunk's row is the one it was measured
    /// against, and the rewind [`makes sense`](Rewind::makes_sense).
    async fn rewind(&self, job: JobId, rewind: &Rewind) -> Result<bool>;

    /// Stores the ending and makes the trace `Closing`, if there is no ending yet and it is `Open`; or makes an `Open`
    /// trace whose ending is the same (`Ending::same_as`) `Closing` again. While the job is `Open` or `Closing`, the same
    /// statement stores `trace_reset`, if it is known, and raises `last_contact_at`, if the runner speaks and says what
    /// the first ending says. Answers the job
    /// as it is afterwards, changed or not.
    async fn end(&self, job: JobId, ending: &Ending, at: Timestamp, trace_reset: Option<bool>) -> Result<Option<Job>>;

    /// Makes a `Closing` trace of this epoch `Open` again and counts a resend attempt. True if it did.
    async fn reopen(&self, job: JobId, epoch: Epoch, at: Timestamp) -> Result<bool>;

    /// Cancels an `Open` job without an ending: `Running` becomes `Canceling`; `Pending` becomes `Canceled` with an ending
    /// and an empty trace, closed. Anything else stays. Answers the job as it is afterwards.
    async fn cancel(&self, job: JobId, at: Timestamp) -> Result<Option<Job>>;

    /// Closes a `Closing` trace of this epoch; the job's status becomes that of its ending, or `Canceled` if it is
    /// `Canceling`. True if it did.
    async fn close(&self, job: JobId, epoch: Epoch, closing: &Closing) -> Result<bool>;

    /// Erases a finished trace, in one transaction: state `Erased`, the epoch raised, who and when; its chunk rows are
    /// gone, its open mismatches resolved as `Erased` by whom it says, and two deletions of its objects are due: one at `at`, and one at
    /// `again_at`, after which no upload that began before can still arrive.
    async fn erase(&self, job: JobId, by: &str, at: Timestamp, again_at: Timestamp) -> Result<Erased>;

    /// Deletions that are due at `now`, oldest first.
    async fn due_deletions(&self, now: Timestamp, limit: u32) -> Result<Vec<Deletion>>;

    /// A deletion is done: a listing was empty.
    async fn deletion_done(&self, id: i64) -> Result<()>;

    /// Makes the row of a chunk, unless it is there, while the job is `Open` in this epoch.
    async fn open_chunk(&self, job: JobId, epoch: Epoch, index: ChunkIndex, at: Timestamp) -> Result<RowOpened>;

    /// Writes a chunk's record: the row of chunk `index`, whose live copy was begun in `begun`, becomes `Sealed`; the rows
    /// of `next`, if given, and of the chunk behind it are made unless they are there, but not after a conflict. `epoch`
    /// is the trace's. One statement unless the row is a hole. The decision is [`decide::record`].
    #[allow(clippy::too_many_arguments, reason = "the guard, the record and what comes next belong to one statement")]
    async fn record(
        &self,
        job: JobId,
        epoch: Epoch,
        index: ChunkIndex,
        begun: Epoch,
        record: &Record,
        next: Option<ChunkIndex>,
        at: Timestamp,
    ) -> Result<Recorded>;

    /// The row of one chunk.
    async fn chunk(&self, job: JobId, index: ChunkIndex) -> Result<Option<ChunkRow>>;

    /// The rows of a job from `from` on, in order, at most `limit`.
    async fn chunks(&self, job: JobId, from: ChunkIndex, limit: u32) -> Result<Vec<ChunkRow>>;

    /// A chunk whose row is of this version was written to `to` and read back as recorded: the row becomes `Persisted`
    /// there. Not only for `Sealed` rows: a `Wanted` chunk with a record is found again by it, and a `Persisted` one is
    /// repaired. True if it did; false also if the job is erased, and for a copy in this database whose bytes are not there
    /// (any more): the same statement looks.
    async fn persist(
        &self,
        job: JobId,
        index: ChunkIndex,
        version: Version,
        to: &Location,
        at: Timestamp,
    ) -> Result<bool>;

    /// `Sealed` chunks of any job, oldest first, sealed at or before `until`.
    async fn waiting(&self, until: Timestamp, limit: u32) -> Result<Vec<Waiting>>;

    /// How much waits for migration.
    async fn backlog(&self) -> Result<Backlog>;

    /// Chunks of any job whose copy lies in this database, those that lie there longest first: `Persisted` ones, and those
    /// of closed traces that nobody sends again any more.
    async fn spilled(&self, limit: u32) -> Result<Vec<Waiting>>;

    /// How much lies in this database and waits for the object store.
    async fn spill(&self) -> Result<Backlog>;

    /// Removes bytes of chunks that were written at least `grace` ago, by this database's clock, and that no row names:
    /// a crash came between two steps. What [`persist`](Self::persist) names at that moment stays. Some of them at a time;
    /// answers how many.
    async fn remove_unnamed_bytes(&self, grace: Duration) -> Result<u64>;

    /// How much is unfinished or live only.
    async fn unfinished(&self) -> Result<Unfinished>;

    /// Opens a mismatch, unless one of the same job, chunk, epoch, store and kind is open: then it is seen once more, and
    /// nothing else of it changes. Where a drill speaks for the chunk (see [`drills`]), it carries the drill's number, and
    /// nobody is told of it. Does nothing if what it was measured against has changed, in the same statement: a slow look at an old state must not
    /// be written down after the state was healed.
    async fn open_mismatch(&self, mismatch: &NewMismatch, basis: Basis) -> Result<Opened>;

    /// Resolves the open mismatches of a job, or of one chunk of it; `note` says who did and why. A chunk that is repaired or
    /// sent again says nothing of bytes that no row names: those of kind `Orphan` stay open then. Answers how many.
    async fn resolve_mismatches(
        &self,
        job: JobId,
        chunk: Option<ChunkIndex>,
        resolution: Resolution,
        note: &Note,
        at: Timestamp,
    ) -> Result<u64>;

    /// Resolves an open mismatch. One that is resolved stays as it is. Answers the mismatch as it is afterwards, or `None` if
    /// there is none of that number.
    async fn resolve_mismatch(
        &self,
        id: i64,
        resolution: Resolution,
        note: &Note,
        at: Timestamp,
    ) -> Result<Option<Mismatch>>;

    /// The mismatch of this number.
    async fn mismatch(&self, id: i64) -> Result<Option<Mismatch>>;

    /// Mismatches in order of number.
    async fn mismatches(&self, filter: MismatchFilter) -> Result<Vec<Mismatch>>;

    /// Mismatches of which somebody is to be told at `now` or before, those that are due longest first.
    async fn due_notifications(&self, now: Timestamp, limit: u32) -> Result<Vec<Mismatch>>;

    /// When somebody is to be told of a mismatch again; `None`: they have been. Does nothing if they had been before.
    async fn set_notification(&self, id: i64, next: Option<Timestamp>) -> Result<()>;

    /// In how many traces there are open mismatches.
    async fn corrupt_traces(&self) -> Result<CorruptTraces>;

    /// Waits at most `limit` for an answer.
    async fn ping(&self, limit: Duration) -> Result<()>;
}
