//! The stores as dependencies: what is asked of them, and how that ends.

use crate::trace::DataStore;
use crate::trace::state::names;

names! {
    /// A store that Veritail depends on, by its real name.
    Dependency {
        /// The live store of a production set-up.
        Redis = "redis",
        /// The live store without servers.
        Embedded = "embedded",
        /// The SQL database.
        Database = "database",
        /// The object store.
        ObjectStore = "object_store",
    }
}

impl Dependency {
    /// The live store's value.
    pub fn of_live(live: DataStore) -> Self {
        if live == DataStore::Redis { Self::Redis } else { Self::Embedded }
    }
}

names! {
    /// How a request to a dependency ended.
    Answer {
        /// It did what it was asked.
        Ok = "ok",
        /// It failed.
        Error = "error",
        /// It did not answer in time.
        Timeout = "timeout",
    }
}

names! {
    /// What is asked of a store; the methods of the three contracts.
    StoreOperation {
        /// Live: the entry of a trace.
        Load = "load",
        /// Live: bytes together with the next open end.
        Append = "append",
        /// Live: one entry in place of another.
        Replace = "replace",
        /// Live: the status of a job.
        SetStatus = "set_status",
        /// Live: somebody watches.
        Watch = "watch",
        /// Live: a chunk's copy.
        ReadChunk = "read_chunk",
        /// Live: a chunk's copy and the entry beside it.
        ReadOpen = "read_open",
        /// Live: which copies are there.
        Present = "present",
        /// Live: a copy may go.
        Release = "release",
        /// Live: one page of everything.
        Scan = "scan",
        /// Live: how full it is.
        Usage = "usage",
        /// Any: does it answer.
        Ping = "ping",
        /// Object store: write.
        Put = "put",
        /// Object store: read.
        Get = "get",
        /// Object store: remove.
        Delete = "delete",
        /// Object store: a listing.
        List = "list",
        /// Database: a statement that only reads.
        Query = "query",
        /// Database: a statement that changes something.
        Change = "change",
        /// Anything that has no name here yet.
        Other = "other",
    }
}

impl StoreOperation {
    /// The value for a method's name. The database's many methods fall into those that change and those that do not.
    pub fn of(dependency: Dependency, method: &str) -> Self {
        const QUERIES: &[&str] = &[
            "job",
            "unfinished_jobs",
            "changed_jobs",
            "chunk",
            "chunks",
            "waiting",
            "backlog",
            "spilled",
            "spill",
            "unfinished",
            "mismatches",
            "corrupt_traces",
            "token",
            "tokens",
            "runner",
            "runners",
            "runner_of",
            "project",
            "project_at",
            "projects",
            "jobs",
            "due_deletions",
            "mismatch",
            "due_notifications",
            "run",
            "runs",
            "cursors",
            "passed_jobs",
            "kept_chunks",
            "kept_places",
            "persisted_since",
            "named",
            "newest_job",
            "first_job_since",
            "drill",
            "drills",
            "canary_jobs",
            "get",
            "list",
        ];
        match (dependency, method) {
            (_, "ping") => Self::Ping,
            (Dependency::Database, method) if QUERIES.contains(&method) => Self::Query,
            (Dependency::Database, _) => Self::Change,
            (_, "delete_below") => Self::Delete,
            (_, method) => method.parse().unwrap_or(Self::Other),
        }
    }
}

names! {
    /// What a connection to the database does.
    ConnectionState {
        /// It waits for a caller.
        Idle = "idle",
        /// A caller has it.
        InUse = "in_use",
    }
}
