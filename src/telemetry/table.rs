//! Every metric, declared once: name, type, labels, buckets, meaning.
//!
//! Names are written in full, for bucket settings match the name as written here. Names, labels and meanings are a
//! contract with dashboards and alerts.

use super::combinations;
use super::family::{Counter, Gauge, Histogram, Row, Start};
use super::labels::{
    Answer, CanaryResult, CanaryStage, CheckResult, ClientChecksum, Comparison, ConnectionState, Delivery, Dependency,
    Direction, Ended, Eviction, LogLevel, LossReason, Method, Operation, RedisRollback, Rejection, Removal, Repair,
    RewindCause, RewindResult, Route, RunResult, Source, SpillDirection, Stage, Status, StatusClass, StoreOperation,
    Success, Task, TaskResult, Tick,
};
use crate::trace::{DataStore, Detection, Detector, Kind, Schedule};

/// An append is quick if it is answered within this time, in seconds: the threshold of the objective on latency, and a
/// bound of the histogram, so that the share of quick ones is counted and not estimated.
pub const QUICK_APPEND: f64 = 0.5;
/// Requests and stages: 1 ms to 60 s.
const SECONDS: &[f64] = &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, QUICK_APPEND, 1.0, 2.5, 10.0, 60.0];
/// Store calls: 0.25 ms to 30 s.
const CALL_SECONDS: &[f64] = &[0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.25, 1.0, 5.0, 30.0];
/// Background tasks: 10 ms to 5 min.
const TASK_SECONDS: &[f64] = &[0.01, 0.05, 0.25, 1.0, 5.0, 15.0, 60.0, 300.0];
/// Runs of the verifier: 1 s to 12 h.
const RUN_SECONDS: &[f64] = &[1.0, 15.0, 60.0, 300.0, 900.0, 3600.0, 14400.0, 43200.0];
/// The bounds of GitLab's finalize histogram.
const CLOSE_SECONDS: &[f64] = &[0.1, 0.5, 1.0, 2.0, 3.0, 5.0, 7.0, 10.0, 20.0, 30.0, 60.0, 300.0];
/// Up to two default chunks.
const CHUNK_BYTES: &[f64] = &[256.0, 1024.0, 4096.0, 16384.0, 32768.0, 65536.0, 98304.0, 131_072.0, 262_144.0];
/// 1 KiB to 1 GiB by fours.
const TRACE_BYTES: &[f64] = &[
    1024.0,
    4096.0,
    16384.0,
    65536.0,
    262_144.0,
    1_048_576.0,
    4_194_304.0,
    16_777_216.0,
    67_108_864.0,
    268_435_456.0,
    1_073_741_824.0,
];

/// Declares the families, and the table of them all. A family's doc comment is its HELP.
macro_rules! table {
    ($(
        $(#[doc = $help:literal])+
        $family:ident: $kind:ident[$name:literal $(; $($label:ident: $values:ty),+)?]
            $(in $buckets:expr)?, starts $start:expr;
    )+) => {
        $(
            $(#[doc = $help])+
            pub static $family: $kind<($($($values,)+)?)> =
                $kind::new($name, &[$($(stringify!($label)),+)?]);
        )+

        /// All of them, in order of declaration.
        pub fn rows() -> Vec<Row> {
            vec![$(Row {
                name: $name,
                metric_type: $family.metric_type(),
                buckets: { let buckets: &'static [f64] = &[]; $(let _ = buckets; let buckets = $buckets;)? buckets },
                labels: $family.labels(),
                start: $start,
                help: concat!($($help),+).trim_ascii(),
            }),+]
        }
    };
}

table! {
    /// Requests that were answered. A method or a status that is none of the route's own counts as other. A log that is read counts
    /// when it has ended: as `cut` if it broke off because a store could not be asked, as `damaged` if its bytes are wrong or gone (broken off or refused), as 500 by a defect.
    HTTP_REQUESTS: Counter["veritail_http_requests_total"; route: Route, method: Method, status: Status],
        starts Start::Listed(combinations::requests);
    /// Time from a request's head to the end of its answer's head.
    HTTP_REQUEST_DURATION: Histogram["veritail_http_request_duration_seconds"; route: Route, status_class: StatusClass]
        in SECONDS, starts Start::Zero;
    /// Requests that are being answered. Of this node: the sum counts.
    HTTP_REQUESTS_IN_FLIGHT: Gauge["veritail_http_requests_in_flight"; route: Route], starts Start::Zero;
    /// Connections that are open. Of this node: the sum counts.
    HTTP_CONNECTIONS: Gauge["veritail_http_connections"], starts Start::Zero;
    /// Size of request bodies: what came of those that runners send, what was declared of all others.
    HTTP_REQUEST_SIZE: Histogram["veritail_http_request_size_bytes"; route: Route] in TRACE_BYTES, starts Start::Zero;
    /// What was done with traces, in GitLab's words.
    TRACE_OPERATIONS: Counter["veritail_trace_operations_total"; operation: Operation], starts Start::Zero;
    /// Log bytes accepted from runners and served to readers.
    TRACE_BYTES_MOVED: Counter["veritail_trace_bytes_total"; direction: Direction], starts Start::Zero;
    /// Appends that were refused, by cause.
    APPEND_REJECTED: Counter["veritail_append_rejected_total"; reason: Rejection], starts Start::Zero;
    /// Size of chunks as they come to rest in a store.
    CHUNK_SIZE: Histogram["veritail_chunk_size_bytes"; store: DataStore] in CHUNK_BYTES, starts Start::Zero;
    /// Size of finished traces.
    TRACE_SIZE: Histogram["veritail_trace_size_bytes"] in TRACE_BYTES, starts Start::Zero;
    /// Log bytes that are in the live store and not released. By the ledger, which is the database's: every node says the
    /// same. By the live store itself: counted by the sweep of the live store; each node shows its last count for two
    /// intervals, and then NaN: the greatest counts.
    LIVE_BYTES: Gauge["veritail_live_bytes"; source: Source], starts Start::WhenKnown;
    /// Chunks that are in the live store and not released, counted in the same two ways: every node says the same, or
    /// what it counted last.
    LIVE_CHUNKS: Gauge["veritail_live_chunks"; source: Source], starts Start::WhenKnown;
    /// Time to move one chunk from the live to the object store, read back and recorded. Of a chunk that was just filled on this node it includes the wait for its record, a second at most.
    MIGRATE_DURATION: Histogram["veritail_migrate_duration_seconds"; result: Success] in SECONDS, starts Start::Zero;
    /// Log bytes migrated.
    MIGRATE_BYTES: Counter["veritail_migrate_bytes_total"], starts Start::Zero;
    /// Sealed chunks that wait for migration. From the database: every node says the same.
    MIGRATE_BACKLOG_CHUNKS: Gauge["veritail_migrate_backlog_chunks"], starts Start::WhenKnown;
    /// Log bytes that wait for migration. From the database: every node says the same.
    MIGRATE_BACKLOG_BYTES: Gauge["veritail_migrate_backlog_bytes"], starts Start::WhenKnown;
    /// Age of the oldest sealed chunk that waits for migration; 0 if none does. What is at risk in the live store. From the
    /// database: every node says the same.
    MIGRATE_OLDEST_PENDING_AGE: Gauge["veritail_migrate_oldest_pending_age_seconds"], starts Start::WhenKnown;
    /// 1 while this node puts chunks into the database because the object store takes nothing, else 0. Of this node: the
    /// sum counts.
    SPILLING: Gauge["veritail_spilling"], starts Start::Zero;
    /// Chunks that went to the database instead of the object store, and on from there.
    SPILL_MOVES: Counter["veritail_spill_moves_total"; direction: SpillDirection], starts Start::Zero;
    /// Chunks that lie in the database and wait for the object store. From the database: every node says the same.
    SPILL_CHUNKS: Gauge["veritail_spill_chunks"], starts Start::WhenKnown;
    /// Their log bytes. From the database: every node says the same.
    SPILL_BYTES: Gauge["veritail_spill_bytes"], starts Start::WhenKnown;
    /// How many log bytes the database takes at most; 0 if it takes none. As configured: every node says the same.
    SPILL_MAX_BYTES: Gauge["veritail_spill_max_bytes"], starts Start::WhenKnown;
    /// How long the oldest of them lies there; 0 if there is none. From the database: every node says the same.
    SPILL_OLDEST_AGE: Gauge["veritail_spill_oldest_age_seconds"], starts Start::WhenKnown;
    /// Time from a job's ending to its trace being whole and proven in persistent stores, or given up.
    CLOSE_DURATION: Histogram["veritail_close_duration_seconds"] in CLOSE_SECONDS, starts Start::Zero;
    /// Differences confirmed between what was promised and what is stored. Any increase pages, but of `orphan`.
    INTEGRITY_MISMATCHES: Counter["veritail_integrity_mismatches_total"; kind: Kind, store: DataStore, detector: Detector],
        starts Start::Zero;
    /// Traces with open mismatches, for each kind and store that they have. From the database: every node says the same.
    INTEGRITY_CORRUPT_TRACES: Gauge["veritail_integrity_corrupt_traces"; kind: Kind, store: DataStore],
        starts Start::WhenKnown;
    /// Traces with open mismatches of a kind that harms a log (all but `orphan`), each counted once. From the
    /// database: every node says the same.
    INTEGRITY_HARMED_TRACES: Gauge["veritail_integrity_harmed_traces"], starts Start::WhenKnown;
    /// Attempts to heal what was found. Unrepairable ones stay open until a person looks.
    INTEGRITY_REPAIRS: Counter["veritail_integrity_repairs_total"; result: Repair], starts Start::Zero;
    /// Copies that the verifier looked at.
    VERIFY_CHECKS: Counter["veritail_verify_checks_total"; store: DataStore, result: CheckResult], starts Start::Zero;
    /// Log bytes that the verifier read, decoded.
    VERIFY_BYTES: Counter["veritail_verify_bytes_total"; store: DataStore], starts Start::Zero;
    /// Time of one look of the verifier at one copy.
    VERIFY_DURATION: Histogram["veritail_verify_duration_seconds"; store: DataStore] in SECONDS, starts Start::Zero;
    /// Time of the verifier's runs that ended on this node; of the full run, of whole cycles of its shards.
    VERIFY_RUN_DURATION: Histogram["veritail_verify_run_duration_seconds"; schedule: Schedule, result: RunResult]
        in RUN_SECONDS, starts Start::Zero;
    /// Moments at which a schedule of the verifier was due on this node.
    VERIFY_TICKS: Counter["veritail_verify_ticks_total"; schedule: Schedule, result: Tick], starts Start::Zero;
    /// When this node last looked at something for a schedule, or found nothing to look at. Of this node: the newest
    /// counts.
    VERIFY_LAST_PROGRESS: Gauge["veritail_verify_last_progress_timestamp_seconds"; schedule: Schedule],
        starts Start::WhenKnown;
    /// When a schedule last came to its end; of the full run, the shard that ended its cycle first.
    /// From the database: every node says the same.
    VERIFY_LAST_COMPLETE: Gauge["veritail_verify_last_complete_timestamp_seconds"; schedule: Schedule],
        starts Start::WhenKnown;
    /// The time from one run of a schedule to the next; of the full run, the promised time of a cycle of fresh chunks. As
    /// configured: every node says the same.
    VERIFY_INTERVAL: Gauge["veritail_verify_interval_seconds"; schedule: Schedule], starts Start::WhenKnown;
    /// The time from one moment at which a schedule is due to the next. As configured: every node says the same.
    VERIFY_TICK_INTERVAL: Gauge["veritail_verify_tick_interval_seconds"; schedule: Schedule], starts Start::WhenKnown;
    /// How long the slowest shard's present cycle of the full run will take at its pace so far, as a share of the
    /// promised time: more than 1 is late. From the database: every node says the same.
    VERIFY_CYCLE_PROJECTED: Gauge["veritail_verify_cycle_projected_ratio"], starts Start::WhenKnown;
    /// Chunks with a persistent copy that the full run is for, as counted by its cycles. From the
    /// database: every node says the same.
    VERIFY_ELIGIBLE: Gauge["veritail_verify_eligible_chunks"], starts Start::WhenKnown;
    /// Those of them that were looked at within the promised time. From the database: every node says the same.
    VERIFY_COVERED: Gauge["veritail_verify_covered_chunks"], starts Start::WhenKnown;
    /// Time since the chunk was looked at that was looked at longest ago. From the database: every node says
    /// the same.
    VERIFY_OLDEST_UNVERIFIED_AGE: Gauge["veritail_verify_oldest_unverified_age_seconds"], starts Start::WhenKnown;
    /// Runs of the canary: a synthetic trace, written and read back through the API.
    CANARY_RUNS: Counter["veritail_canary_runs_total"; result: CanaryResult], starts Start::Zero;
    /// When a run of the canary last ended well on this node; at first, when its process started. Of this node: the newest
    /// counts.
    CANARY_LAST_SUCCESS: Gauge["veritail_canary_last_success_timestamp_seconds"], starts Start::WhenKnown;
    /// Time of the stages of the canary's traces.
    CANARY_STAGE_DURATION: Histogram["veritail_canary_stage_duration_seconds"; stage: CanaryStage] in SECONDS,
        starts Start::Zero;
    /// Time from the answer to an append to having read those bytes back, as the canary sees it.
    APPEND_TO_READ: Histogram["veritail_append_to_read_seconds"] in SECONDS, starts Start::Zero;
    /// Damage that was announced and done on purpose, by the canary or in a drill, and what the verifier made of it. It
    /// counts nowhere else. What is `missed` or has a `wrong_label` is a reason to page: real damage would fare the same.
    CANARY_DETECTIONS: Counter["veritail_canary_detections_total"; store: DataStore, kind: Kind, result: Detection],
        starts Start::Zero;
    /// Things that the inventory met in the listing of a store.
    VERIFY_LISTED: Counter["veritail_verify_listed_total"; store: DataStore], starts Start::Zero;
    /// Keys among them that no version of Veritail wrote. They are left alone, and counted again with every inventory.
    VERIFY_FOREIGN_KEYS: Counter["veritail_verify_foreign_keys_total"; store: DataStore], starts Start::Zero;
    /// Objects that the inventory removed, by reason.
    VERIFY_REMOVED: Counter["veritail_verify_removed_total"; reason: Removal], starts Start::Zero;
    /// Bad copies in quarantine, as this node counted them when that was last its turn. Of this node: that of the newest
    /// inventory counts.
    QUARANTINE_OBJECTS: Gauge["veritail_quarantine_objects"], starts Start::WhenKnown;
    /// Their bytes. Of this node: that of the newest inventory counts.
    QUARANTINE_BYTES: Gauge["veritail_quarantine_bytes"], starts Start::WhenKnown;
    /// Messages to the webhook about mismatches, by what became of them. What was not delivered is sent again.
    WEBHOOK_DELIVERIES: Counter["veritail_webhook_deliveries_total"; result: Delivery], starts Start::Zero;
    /// Finished traces, read back from persistent stores, against the checksum of the accepted bytes.
    E2E_CHECKSUM_RESULTS: Counter["veritail_e2e_checksum_results_total"; result: Comparison], starts Start::Zero;
    /// The runners' own checksums against the accepted bytes. Some disagree without any fault in storage.
    CLIENT_CHECKSUM_RESULTS: Counter["veritail_client_checksum_results_total"; result: ClientChecksum],
        starts Start::Zero;
    /// Jobs that ended and whose traces are not closed yet. From the database: every node says the same.
    LIVE_FINISHED_TRACES: Gauge["veritail_live_finished_traces"; status: Ended], starts Start::WhenKnown;
    /// Time since the ending of the oldest of them; 0 if there is none. From the database: every node says the same.
    LIVE_FINISHED_OLDEST_AGE: Gauge["veritail_live_finished_oldest_age_seconds"], starts Start::WhenKnown;
    /// How long a runner is waited for that was asked to send bytes again (`pipeline.resend_window`): no log need be unproven for
    /// much longer. As configured: every node says the same.
    RESEND_WINDOW: Gauge["veritail_resend_window_seconds"], starts Start::WhenKnown;
    /// Traces of which the live store holds less than was acknowledged.
    LIVE_LOST_TRACES: Counter["veritail_live_lost_traces_total"; reason: LossReason], starts Start::Zero;
    /// Bytes asked for again, and how it ended.
    REWINDS: Counter["veritail_rewinds_total"; cause: RewindCause, result: RewindResult], starts Start::Zero;
    /// 1 if the dependency answered this node when it was last asked, else 0. Of this node: the least counts.
    DEPENDENCY_UP: Gauge["veritail_dependency_up"; dependency: Dependency], starts Start::WhenKnown;
    /// Requests to a dependency, by how they ended.
    DEPENDENCY_REQUESTS: Counter["veritail_dependency_requests_total";
        dependency: Dependency, operation: StoreOperation, result: Answer], starts Start::Used(combinations::calls);
    /// Time of requests to a dependency, however they ended.
    DEPENDENCY_REQUEST_DURATION: Histogram["veritail_dependency_request_duration_seconds";
        dependency: Dependency, operation: StoreOperation] in CALL_SECONDS, starts Start::Used(combinations::operations);
    /// Time of the stages of a log's way through this node: what a runner, a reader or a migration waits for.
    STAGE_DURATION: Histogram["veritail_stage_duration_seconds"; stage: Stage] in SECONDS, starts Start::Zero;
    /// Connections to the database that are in use, and that are open and wait for a caller. Of this node: the sum counts.
    DB_POOL_CONNECTIONS: Gauge["veritail_db_pool_connections"; state: ConnectionState], starts Start::WhenKnown;
    /// The most connections to the database that this node makes. Of this node: the sum counts.
    DB_POOL_MAX_CONNECTIONS: Gauge["veritail_db_pool_max_connections"], starts Start::WhenKnown;
    /// How long callers waited for a connection to the database; one that has to be made counts too.
    DB_POOL_ACQUIRE_DURATION: Histogram["veritail_db_pool_acquire_duration_seconds"] in CALL_SECONDS, starts Start::Zero;
    /// Memory that Redis uses, by its own count; in a Cluster that of all masters. From Redis: every node says the same.
    REDIS_USED_MEMORY: Gauge["veritail_redis_used_memory_bytes"], starts Start::WhenKnown;
    /// The memory limit of Redis; 0 if it has none. In a Cluster that of all masters, 0 if one has none. From Redis: every
    /// node says the same.
    REDIS_MAXMEMORY: Gauge["veritail_redis_maxmemory_bytes"], starts Start::WhenKnown;
    /// The share of its memory limit that the fullest master of Redis uses: runners of its jobs wait from 1 on, however empty
    /// the others are. 0 if no master has a limit. From Redis: every node says the same.
    REDIS_FULLEST: Gauge["veritail_redis_fullest_master_ratio"], starts Start::WhenKnown;
    /// Keys that Redis dropped for want of memory: log bytes may be lost. By its own count, in a Cluster that of all masters. From
    /// Redis: every node says the same.
    REDIS_EVICTED_KEYS: Counter["veritail_redis_evicted_keys_total"], starts Start::WhenKnown;
    /// Masters that came back without their last writes, as this process saw it: it looks every second. Of one Redis: every node
    /// says the same, since its start.
    LIVE_STORE_ROLLBACKS: Counter["veritail_live_store_rollbacks_total"; kind: RedisRollback], starts Start::Zero;
    /// Masters of Redis by what they do when they are full. Any that may evict can lose log bytes that nobody else has. From
    /// Redis: every node says the same.
    REDIS_MASTERS: Gauge["veritail_redis_masters"; eviction: Eviction], starts Start::WhenKnown;
    /// Time of one run of a background task.
    TASK_DURATION: Histogram["veritail_task_duration_seconds"; task: Task, result: TaskResult] in TASK_SECONDS,
        starts Start::Zero;
    /// When a background task last ended well on this node; at first, when its process started. Of this node: the oldest
    /// counts, and of the sweeps, at which nodes take turns, the newest.
    TASK_LAST_SUCCESS: Gauge["veritail_task_last_success_timestamp_seconds"; task: Task], starts Start::WhenKnown;
    /// The interval of a background task. As configured: every node says the same.
    TASK_INTERVAL: Gauge["veritail_task_interval_seconds"; task: Task], starts Start::WhenKnown;
    /// Panics; each is a defect.
    PANICS: Counter["veritail_panics_total"], starts Start::Zero;
    /// Log messages of the levels at which somebody should look.
    LOG_MESSAGES: Counter["veritail_log_messages_total"; level: LogLevel], starts Start::Zero;
    /// Worker threads of the runtime that everything runs on. Of this node: the sum counts.
    TOKIO_WORKERS: Gauge["veritail_tokio_workers"], starts Start::WhenKnown;
    /// Tasks that no worker has taken yet. More than a handful for long: the workers do not keep up. Of this node: the sum
    /// counts.
    TOKIO_GLOBAL_QUEUE_TASKS: Gauge["veritail_tokio_global_queue_tasks"], starts Start::WhenKnown;
    /// Tasks that are alive: one for every connection, and those of the background. Of this node: the sum counts.
    TOKIO_ALIVE_TASKS: Gauge["veritail_tokio_alive_tasks"], starts Start::WhenKnown;
    /// Share of the workers' time in which they worked, since the sampling before; 1 is all of it. Of this node: the
    /// greatest counts.
    TOKIO_BUSY_RATIO: Gauge["veritail_tokio_busy_ratio"], starts Start::WhenKnown;
}
