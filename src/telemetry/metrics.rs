//! One function for everything that happens and is counted. Cheap, never waits, never fails.

use std::time::Duration;

use super::family::LabelValue;
use super::{combinations, table};
use crate::trace::{ByteSize, DataStore, Detector, JobStatus, Kind, Timestamp};

pub use super::labels::{
    Answer, ClientChecksum, Delivery, Dependency, LossReason, Method, Operation, RedisRollback, Rejection, RewindCause,
    RewindResult, Route, SpillDirection, Stage, Status, StoreOperation, Task,
};
use super::labels::{
    Comparison, ConnectionState, Direction, Ended, Eviction, LogLevel, Source, StatusClass, Success, TaskResult,
};

/// Milliseconds as the seconds that Prometheus wants.
#[allow(clippy::cast_precision_loss, reason = "no time span here comes near 2^53 ms")]
pub(super) fn seconds(ms: u64) -> f64 {
    ms as f64 / 1000.0
}

/// A size as the double that Prometheus wants.
#[allow(clippy::cast_precision_loss, reason = "above 2^53 bytes a rounded size will do")]
fn bytes(size: ByteSize) -> f64 {
    size.0 as f64
}

/// A count as the double that Prometheus wants.
#[allow(clippy::cast_precision_loss, reason = "above 2^53 a rounded count will do")]
fn count(of: u64) -> f64 {
    of as f64
}

/// A moment as Unix time in seconds.
pub(super) fn unix(at: Timestamp) -> f64 {
    seconds(at.ms_since(Timestamp(0)))
}

/// Log bytes were taken from a runner.
pub fn appended(size: ByteSize) {
    table::TRACE_BYTES_MOVED.add((Direction::In,), size.0);
}

/// Log bytes were given to a reader.
pub fn served(size: ByteSize) {
    table::TRACE_BYTES_MOVED.add((Direction::Out,), size.0);
}

/// A chunk came to rest in a store.
pub fn chunk_size(store: DataStore, size: ByteSize) {
    table::CHUNK_SIZE.record((store,), bytes(size));
}

/// A trace was closed with this size.
pub fn trace_size(size: ByteSize) {
    table::TRACE_SIZE.record((), bytes(size));
}

/// A migration of one chunk ended; `size` is what it moved.
pub fn migrated(took_ms: u64, ok: bool, size: ByteSize) {
    table::MIGRATE_DURATION.record((Success::of(ok),), seconds(took_ms));
    table::MIGRATE_BYTES.add((), size.0);
}

/// A mismatch was opened, by this node.
pub fn mismatch(kind: Kind, store: DataStore, detector: Detector) {
    table::INTEGRITY_MISMATCHES.add((kind, store, detector), 1);
}

/// A message to the webhook was sent, and this became of it.
pub fn webhook_delivery(result: Delivery) {
    table::WEBHOOK_DELIVERIES.add((result,), 1);
}

/// The live store holds less of a trace than was acknowledged.
pub fn live_lost(reason: LossReason) {
    table::LIVE_LOST_TRACES.add((reason,), 1);
}

/// Bytes are asked for again, came again, or were given up.
pub fn rewind(cause: RewindCause, result: RewindResult) {
    table::REWINDS.add((cause, result), 1);
}

/// Something was done with a trace.
pub fn operation(operation: Operation) {
    table::TRACE_OPERATIONS.add((operation,), 1);
}

/// A runner's checksum was compared with what was accepted.
pub fn client_checksum(result: ClientChecksum) {
    table::CLIENT_CHECKSUM_RESULTS.add((result,), 1);
}

/// A finished trace was read back from persistent stores and compared with the checksum of the accepted bytes.
pub fn e2e_checksum(matches: bool) {
    let result = if matches { Comparison::Match } else { Comparison::Mismatch };
    table::E2E_CHECKSUM_RESULTS.add((result,), 1);
}

/// A trace was closed, so long after its job's ending was stored.
pub fn closed(took_ms: u64) {
    table::CLOSE_DURATION.record((), seconds(took_ms));
}

/// An append was refused.
pub fn append_rejected(reason: Rejection) {
    table::APPEND_REJECTED.add((reason,), 1);
}

/// A request began; it counts as in flight until the guard goes.
#[must_use]
pub fn request_began(route: Route) -> InFlight {
    table::HTTP_REQUESTS_IN_FLIGHT.add((route,), 1.0);
    InFlight(route)
}

/// A request in flight.
#[derive(Debug)]
pub struct InFlight(Route);

impl Drop for InFlight {
    fn drop(&mut self) {
        table::HTTP_REQUESTS_IN_FLIGHT.add((self.0,), -1.0);
    }
}

/// A connection was taken; it counts as open until the guard goes.
#[must_use]
pub fn connection_opened() -> OpenConnection {
    table::HTTP_CONNECTIONS.add((), 1.0);
    OpenConnection(())
}

/// An open connection.
#[derive(Debug)]
pub struct OpenConnection(());

impl Drop for OpenConnection {
    fn drop(&mut self) {
        table::HTTP_CONNECTIONS.add((), -1.0);
    }
}

/// A request's answer ended.
pub fn request_ended(route: Route, method: Method, status: Status) {
    table::HTTP_REQUESTS.add(combinations::request(route, method, status), 1);
}

/// The head of a request's answer, with this status code, took so long.
pub fn request_answered(route: Route, status: u16, took: Duration) {
    table::HTTP_REQUEST_DURATION.record((route, StatusClass::of(status)), took.as_secs_f64());
}

/// A request's body had this size.
pub fn request_size(route: Route, size: ByteSize) {
    table::HTTP_REQUEST_SIZE.record((route,), bytes(size));
}

/// A dependency was asked whether it answers.
pub fn dependency_up(dependency: Dependency, up: bool) {
    table::DEPENDENCY_UP.set((dependency,), f64::from(u8::from(up)));
}

/// This node has such a store: its series are there from now on, the counters at zero.
pub fn dependency_used(dependency: Dependency) {
    for (operation, answer) in combinations::calls_of(dependency) {
        table::DEPENDENCY_REQUESTS.absolute((dependency, operation, answer), 0);
        table::DEPENDENCY_REQUEST_DURATION.begin((dependency, operation));
    }
}

/// A request to a dependency ended.
pub fn dependency_answered(dependency: Dependency, operation: StoreOperation, answer: Answer, took: Duration) {
    let operation = combinations::operation(dependency, operation);
    table::DEPENDENCY_REQUESTS.add((dependency, operation, answer), 1);
    table::DEPENDENCY_REQUEST_DURATION.record((dependency, operation), took.as_secs_f64());
}

/// A stage of a log's way through this node was passed.
pub fn passed(stage: Stage, took: Duration) {
    table::STAGE_DURATION.record((stage,), took.as_secs_f64());
}

/// The connections to the database.
pub fn connections(idle: u64, in_use: u64, most: u64) {
    table::DB_POOL_CONNECTIONS.set((ConnectionState::Idle,), count(idle));
    table::DB_POOL_CONNECTIONS.set((ConnectionState::InUse,), count(in_use));
    table::DB_POOL_MAX_CONNECTIONS.set((), count(most));
}

/// A caller waited so long for a connection to the database, whether it got one or not.
pub fn connection_waited(took: Duration) {
    table::DB_POOL_ACQUIRE_DURATION.record((), took.as_secs_f64());
}

/// How the runtime is; `busy` is a share of the workers' time.
pub fn runtime(workers: u64, queued: u64, alive: u64, busy: f64) {
    table::TOKIO_WORKERS.set((), count(workers));
    table::TOKIO_GLOBAL_QUEUE_TASKS.set((), count(queued));
    table::TOKIO_ALIVE_TASKS.set((), count(alive));
    table::TOKIO_BUSY_RATIO.set((), busy);
}

/// What is in the live store, counted there by this node.
pub fn live_counted(chunks: u64, size: ByteSize) {
    table::LIVE_CHUNKS.set((Source::Store,), count(chunks));
    table::LIVE_BYTES.set((Source::Store,), bytes(size));
}

/// Another node counted since: what this one says is old.
pub fn live_count_is_old() {
    table::LIVE_CHUNKS.set((Source::Store,), f64::NAN);
    table::LIVE_BYTES.set((Source::Store,), f64::NAN);
}

/// A run of a background task ended.
pub fn task_ran(task: Task, ok: bool, took_ms: u64, now: Timestamp) {
    let result = if ok { TaskResult::Ok } else { TaskResult::Error };
    table::TASK_DURATION.record((task, result), seconds(took_ms));
    if ok {
        table::TASK_LAST_SUCCESS.set((task,), unix(now));
    }
}

/// A background task begins its life. It counts as having succeeded now, so that it is late only after its interval.
pub fn task_scheduled(task: Task, interval: Duration, now: Timestamp) {
    table::TASK_INTERVAL.set((task,), interval.as_secs_f64());
    table::TASK_LAST_SUCCESS.set((task,), unix(now));
}

/// What waits for migration; `oldest_ms` is the age of the oldest of it.
pub fn backlog(chunks: u64, size: ByteSize, oldest_ms: u64) {
    table::MIGRATE_BACKLOG_CHUNKS.set((), count(chunks));
    table::MIGRATE_BACKLOG_BYTES.set((), bytes(size));
    table::MIGRATE_OLDEST_PENDING_AGE.set((), seconds(oldest_ms));
}

/// This node puts chunks into the database, or does so no more.
pub fn spilling(now: bool) {
    table::SPILLING.set((), f64::from(u8::from(now)));
}

/// A chunk went to the database, or on from there.
pub fn spill_moved(direction: SpillDirection) {
    table::SPILL_MOVES.add((direction,), 1);
}

/// The settings that alerts measure by: how long a runner is waited for, and how much may lie in the database.
pub fn limits(resend_window: Duration, spill_max: ByteSize) {
    table::RESEND_WINDOW.set((), resend_window.as_secs_f64());
    table::SPILL_MAX_BYTES.set((), bytes(spill_max));
}

/// What lies in the database and waits for the object store; `oldest_ms` is the age of the oldest of it.
pub fn spill(chunks: u64, size: ByteSize, oldest_ms: u64) {
    table::SPILL_CHUNKS.set((), count(chunks));
    table::SPILL_BYTES.set((), bytes(size));
    table::SPILL_OLDEST_AGE.set((), seconds(oldest_ms));
}

/// What is in the live store only, by the database's count.
pub fn live(chunks: u64, size: ByteSize) {
    table::LIVE_CHUNKS.set((Source::Ledger,), count(chunks));
    table::LIVE_BYTES.set((Source::Ledger,), bytes(size));
}

/// The jobs that ended and whose traces are not closed, by status, and the age of the oldest.
pub fn finished_but_live(ended: &[(JobStatus, u64)], oldest_ms: u64) {
    for status in Ended::ALL {
        let jobs = ended.iter().filter(|(of, _)| Ended::of(*of) == Some(*status)).map(|(_, jobs)| jobs).sum();
        table::LIVE_FINISHED_TRACES.set((*status,), count(jobs));
    }
    table::LIVE_FINISHED_OLDEST_AGE.set((), seconds(oldest_ms));
}

/// The traces with open mismatches, and of these the `harmed` ones; a kind and store that is not in the list has none.
pub fn corrupt_traces(open: &[(Kind, DataStore, u64)], harmed: u64) {
    table::INTEGRITY_HARMED_TRACES.set((), count(harmed));
    let shown = <DataStore as LabelValue>::all();
    for kind in Kind::ALL {
        for store in DataStore::ALL.iter().filter(|store| shown.contains(&store.as_str())) {
            let traces = open.iter().filter(|(of, at, _)| (of, at) == (kind, store)).map(|(_, _, traces)| traces).sum();
            table::INTEGRITY_CORRUPT_TRACES.set((*kind, *store), count(traces));
        }
    }
}

/// What Redis says of its memory; `fullest`: use and limit of the master that is nearest to it.
pub fn redis_usage(used: ByteSize, limit: ByteSize, fullest: (ByteSize, ByteSize), evicted: u64) {
    table::REDIS_USED_MEMORY.set((), bytes(used));
    table::REDIS_MAXMEMORY.set((), bytes(limit));
    table::REDIS_FULLEST.set((), if fullest.1 == ByteSize::ZERO { 0.0 } else { bytes(fullest.0) / bytes(fullest.1) });
    table::REDIS_EVICTED_KEYS.absolute((), evicted);
}

/// A master came back without its last writes.
pub fn redis_rolled_back(kind: RedisRollback) {
    table::LIVE_STORE_ROLLBACKS.add((kind,), 1);
}

/// The masters, by what they do when they are full.
pub fn redis_masters(safe: usize, evicting: usize) {
    table::REDIS_MASTERS.set((Eviction::Off,), count(safe as u64));
    table::REDIS_MASTERS.set((Eviction::Possible,), count(evicting as u64));
}

/// Something panicked.
pub fn panicked() {
    table::PANICS.add((), 1);
}

/// A warning or an error was logged.
pub fn logged(level: tracing::Level) {
    let level = match level {
        tracing::Level::ERROR => LogLevel::Error,
        tracing::Level::WARN => LogLevel::Warn,
        _ => return,
    };
    table::LOG_MESSAGES.add((level,), 1);
}
