//! The closed sets of label values that are not words of `trace`.

mod requests;
mod stores;

pub use requests::{Method, Route, Status, StatusClass};
pub use stores::{Answer, ConnectionState, Dependency, StoreOperation};

use crate::telemetry::family::{LabelValue, label_values};
use crate::trace::state::names;
use crate::trace::{DataStore, Detection, Detector, JobStatus, Kind, Look, RunState, Schedule};

names! {
    /// A stage of a log's way through a node.
    Stage {
        /// A slice of a patch is made durable in the live store, its chunk's row included.
        Append = "append",
        /// The record of a full chunk is written to the database.
        Record = "record",
        /// A chunk is written to a persistent store.
        Put = "put",
        /// What was written is read back and compared.
        ReadBack = "read_back",
        /// The chunk's row comes to name the persistent copy.
        Persist = "persist",
        /// A finished trace is looked at and closed, or found to lack something.
        Evaluate = "evaluate",
        /// One chunk is fetched for a reader and compared.
        Read = "read",
    }
}

names! {
    /// How a run of the verifier ended.
    RunResult {
        /// It looked at everything that it was for.
        Complete = "complete",
        /// It ended early.
        Partial = "partial",
        /// It could not be done.
        Failed = "failed",
        /// Somebody stopped it.
        Stopped = "stopped",
    }
}

impl RunResult {
    /// The value for a state; `None` for a run that has not ended.
    pub fn of(state: RunState) -> Option<Self> {
        match state {
            RunState::Running => None,
            RunState::Complete => Some(Self::Complete),
            RunState::Partial => Some(Self::Partial),
            RunState::Failed => Some(Self::Failed),
            RunState::Stopped => Some(Self::Stopped),
        }
    }
}

names! {
    /// What was done with a trace, in GitLab's words.
    Operation {
        /// A patch was stored.
        Appended = "appended",
        /// A trace was served to a reader.
        Streamed = "streamed",
        /// A chunk was sealed.
        Chunked = "chunked",
        /// A final PUT was taken.
        Accepted = "accepted",
        /// A trace was closed.
        Finalized = "finalized",
        /// A patch began elsewhere than at the write position.
        Conflict = "conflict",
        /// The runner's claim differs from what it sent.
        Invalid = "invalid",
        /// A trace was closed as corrupt.
        Corrupted = "corrupted",
        /// Bytes were asked for again.
        Rewound = "rewound",
    }
}

names! {
    /// Which way log bytes went.
    Direction {
        /// From a runner.
        In = "in",
        /// To a reader.
        Out = "out",
    }
}

names! {
    /// Why an append was refused.
    Rejection {
        /// It does not begin at the write position, or ran into the end of a hole.
        Range = "range",
        /// The final PUT has been made.
        Closing = "closing",
        /// The trace would pass its limit.
        SizeLimit = "size_limit",
        /// The job is over.
        Finished = "finished",
        /// Its token asked too much at once.
        RateLimit = "rate_limit",
        /// A store is away or full.
        Unavailable = "unavailable",
        /// `Content-Range` is missing or cannot be read.
        Malformed = "malformed",
        /// An unknown job, a wrong token, or an erased job.
        Forbidden = "forbidden",
        /// The body stalled or broke off.
        BrokenOff = "broken_off",
    }
}

names! {
    /// Who counted what is live.
    Source {
        /// The database's records and acknowledged lengths.
        Ledger = "ledger",
        /// The live store's keys.
        Store = "store",
    }
}

names! {
    /// How something that can fail went.
    Success {
        /// It did what it should.
        Ok = "ok",
        /// It failed.
        Error = "error",
    }
}

impl Success {
    /// From a plain yes or no.
    pub fn of(ok: bool) -> Self {
        if ok { Self::Ok } else { Self::Error }
    }
}

names! {
    /// How a runner's checksum compares with what was accepted.
    ClientChecksum {
        /// They are equal.
        Match = "match",
        /// They differ.
        Mismatch = "mismatch",
        /// The runner sent none.
        Absent = "absent",
    }
}

names! {
    /// How the whole, read back from persistent stores, compares with what was accepted.
    Comparison {
        /// They are equal.
        Match = "match",
        /// They differ.
        Mismatch = "mismatch",
    }
}

names! {
    /// The final statuses of a job.
    Ended {
        /// It ended well.
        Success = "success",
        /// It ended badly.
        Failed = "failed",
        /// It was canceled.
        Canceled = "canceled",
    }
}

impl Ended {
    /// The value for a final status; `None` for any other.
    pub fn of(status: JobStatus) -> Option<Self> {
        match status {
            JobStatus::Success => Some(Self::Success),
            JobStatus::Failed => Some(Self::Failed),
            JobStatus::Canceled => Some(Self::Canceled),
            JobStatus::Pending | JobStatus::Running | JobStatus::Canceling => None,
        }
    }
}

names! {
    /// How the live store came to hold less than was acknowledged.
    LossReason {
        /// It knows the trace no longer, or only an older state of it.
        Restart = "restart",
        /// It knows the trace, and bytes of it are missing.
        Short = "short",
        /// What it knows is of another job that had the same number: a database was restored or begun anew beside it.
        Foreign = "foreign",
    }
}

names! {
    /// How a Redis came back that lost its last writes.
    RedisRollback {
        /// Without anything of it.
        Empty = "empty",
        /// With an older state.
        Younger = "younger",
    }
}

names! {
    /// What a full Redis does.
    Eviction {
        /// It refuses writes.
        Off = "off",
        /// It drops keys.
        Possible = "possible",
    }
}

names! {
    /// Why bytes were asked for again.
    RewindCause {
        /// The live store lost them.
        LiveLost = "live_lost",
        /// The live store's copy is damaged.
        LiveDamaged = "live_damaged",
        /// A hole was found.
        Hole = "hole",
        /// Every chunk is as recorded, and the whole differs from the runner's claim.
        WholeDiffers = "whole_differs",
    }
}

names! {
    /// How asking again went.
    RewindResult {
        /// The runner was asked.
        Started = "started",
        /// It sent the bytes.
        Refilled = "refilled",
        /// It did not.
        GivenUp = "given_up",
    }
}

names! {
    /// Which way a chunk went that the object store did not take.
    SpillDirection {
        /// From the live store to the database.
        ToDatabase = "to_database",
        /// From the database to the object store.
        ToObjectStore = "to_object_store",
    }
}

names! {
    /// Work that goes on by itself at an interval.
    Task {
        /// The sweep of unfinished traces and waiting chunks.
        Sweep = "sweep",
        /// The sweep of the live store's keys.
        LiveSweep = "live_sweep",
        /// Acknowledged lengths go to the database.
        Contacts = "contacts",
        /// Telling the webhook of mismatches.
        Notify = "notify",
        /// The sampling of gauges.
        Gauges = "gauges",
    }
}

names! {
    /// What became of a message to the webhook.
    Delivery {
        /// It was taken.
        Delivered = "delivered",
        /// It was answered with a status that is none of success.
        Refused = "refused",
        /// It was not answered.
        Unreachable = "unreachable",
    }
}

names! {
    /// How a run of such work ended.
    TaskResult {
        /// It did what it should.
        Ok = "ok",
        /// It failed.
        Error = "error",
    }
}

names! {
    /// How the verifier's look at a copy ended.
    CheckResult {
        /// As recorded.
        Ok = "ok",
        /// It differs.
        Mismatch = "mismatch",
        /// It is not there.
        Missing = "missing",
        /// Its row changed meanwhile.
        Moved = "moved",
        /// Its store could not be asked.
        Error = "error",
    }
}

impl From<Look> for CheckResult {
    fn from(look: Look) -> Self {
        match look {
            Look::Sound => Self::Ok,
            Look::Differs(Kind::Missing) => Self::Missing,
            Look::Differs(_) => Self::Mismatch,
            Look::Moved => Self::Moved,
            Look::Unreachable => Self::Error,
        }
    }
}

names! {
    /// What came of an attempt to heal.
    Repair {
        /// A good copy took the place of the bad one.
        Repaired = "repaired",
        /// No copy is as recorded.
        Unrepairable = "unrepairable",
    }
}

names! {
    /// Why the verifier removed an object.
    Removal {
        /// No row named it, and nobody can miss it.
        Orphan = "orphan",
        /// It was in quarantine for as long as it was to be.
        Quarantine = "quarantine",
    }
}

names! {
    /// What came of the moment at which a schedule is due on a node.
    Tick {
        /// There was work, and it was done.
        Ran = "ran",
        /// Other nodes had it, or nothing was due.
        Idle = "idle",
        /// The one before was still at work: this one was left out.
        Overlapped = "overlapped",
        /// It could not be done.
        Failed = "failed",
    }
}

names! {
    /// How a run of the canary ended.
    CanaryResult {
        /// The trace was kept, proven, and read back as it was sent.
        Ok = "ok",
        /// What was read is not what was sent.
        Mismatch = "mismatch",
        /// A request was refused, or not answered.
        Error = "error",
        /// It took too long.
        Timeout = "timeout",
    }
}

names! {
    /// A stage of the canary's trace.
    CanaryStage {
        /// All of it is accepted.
        Append = "append",
        /// From its end to its proof.
        Finalize = "finalize",
        /// From the last append to the first chunk being in a persistent store.
        Migrate = "migrate",
        /// All of it is read.
        Read = "read",
    }
}

names! {
    /// The levels of log messages that are counted.
    LogLevel {
        /// A person must look.
        Error = "error",
        /// Something is not as it should be, and is dealt with.
        Warn = "warn",
    }
}

label_values!(
    Answer,
    CanaryResult,
    CanaryStage,
    CheckResult,
    ClientChecksum,
    Comparison,
    ConnectionState,
    Delivery,
    Dependency,
    Detection,
    Direction,
    Ended,
    Eviction,
    Kind,
    LogLevel,
    LossReason,
    Method,
    Operation,
    RedisRollback,
    Rejection,
    Removal,
    Repair,
    RewindCause,
    RewindResult,
    Route,
    RunResult,
    Schedule,
    Source,
    SpillDirection,
    Stage,
    Status,
    StatusClass,
    StoreOperation,
    Success,
    Task,
    TaskResult,
    Tick,
);

/// Traces are not archived as one object: nothing is found in a mirror of archives.
const NO_STORE_YET: &[DataStore] = &[DataStore::ArchiveMirror];
/// Nor is anything found by archiving.
const NO_DETECTOR_YET: &[Detector] = &[Detector::Archive];

impl LabelValue for DataStore {
    fn name(self) -> &'static str {
        self.as_str()
    }

    fn all() -> Vec<&'static str> {
        Self::ALL.iter().filter(|store| !NO_STORE_YET.contains(store)).map(|store| store.as_str()).collect()
    }

    const COUNT: usize = Self::ALL.len();

    fn place(self) -> usize {
        self as usize
    }
}

impl LabelValue for Detector {
    fn name(self) -> &'static str {
        self.as_str()
    }

    fn all() -> Vec<&'static str> {
        Self::ALL.iter().filter(|detector| !NO_DETECTOR_YET.contains(detector)).map(|who| who.as_str()).collect()
    }

    const COUNT: usize = Self::ALL.len();

    fn place(self) -> usize {
        self as usize
    }
}
