//! What the verifier does and finds: one recording function for everything that happens, as in [`metrics`](super::metrics).

use std::time::Duration;

pub use super::labels::{CanaryResult, CanaryStage, Tick};
use super::labels::{Removal, Repair, RunResult};
use super::metrics::{seconds, unix};
use super::table;
use crate::trace::{ByteSize, DataStore, Detection, Kind, Look, RunState, Schedule, Timestamp};

/// A copy was looked at.
pub fn looked(store: DataStore, look: Look, read: ByteSize, took_ms: u64) {
    table::VERIFY_CHECKS.add((store, look.into()), 1);
    table::VERIFY_BYTES.add((store,), read.0);
    table::VERIFY_DURATION.record((store,), seconds(took_ms));
}

/// A difference was healed, or could not be.
pub fn repaired(done: bool) {
    table::INTEGRITY_REPAIRS.add((if done { Repair::Repaired } else { Repair::Unrepairable },), 1);
}

/// A schedule was due on this node.
pub fn ticked(schedule: Schedule, tick: Tick) {
    table::VERIFY_TICKS.add((schedule, tick), 1);
}

/// Something was looked at for a schedule, or there was nothing to look at.
pub fn progressed(schedule: Schedule, now: Timestamp) {
    table::VERIFY_LAST_PROGRESS.set((schedule,), unix(now));
}

/// A run ended on this node.
pub fn run_ended(schedule: Schedule, state: RunState, took_ms: u64) {
    if let Some(result) = RunResult::of(state) {
        table::VERIFY_RUN_DURATION.record((schedule, result), seconds(took_ms));
    }
}

/// When a schedule last came to its end, by the database.
pub fn completed(schedule: Schedule, at: Timestamp) {
    table::VERIFY_LAST_COMPLETE.set((schedule,), unix(at));
}

/// The time from one run of a schedule to the next, and from one moment at which it is due to the next.
pub fn interval(schedule: Schedule, time: Duration, tick: Duration) {
    table::VERIFY_INTERVAL.set((schedule,), time.as_secs_f64());
    table::VERIFY_TICK_INTERVAL.set((schedule,), tick.as_secs_f64());
}

/// How the full run stands, by the database.
#[allow(clippy::cast_precision_loss, reason = "Prometheus has doubles only, and these are counts of chunks")]
pub fn coverage(eligible: u64, covered: u64, oldest_ms: u64, projected: f64) {
    table::VERIFY_ELIGIBLE.set((), eligible as f64);
    table::VERIFY_COVERED.set((), covered as f64);
    table::VERIFY_OLDEST_UNVERIFIED_AGE.set((), seconds(oldest_ms));
    table::VERIFY_CYCLE_PROJECTED.set((), projected);
}

/// Announced damage was found, or not.
pub fn detected(store: DataStore, kind: Kind, result: Detection) {
    table::CANARY_DETECTIONS.add((store, kind, result), 1);
}

/// The canary wrote a trace and read it back, or could not.
pub fn canary_ran(result: CanaryResult, now: Timestamp) {
    table::CANARY_RUNS.add((result,), 1);
    if result == CanaryResult::Ok {
        table::CANARY_LAST_SUCCESS.set((), unix(now));
    }
}

/// The canary begins its life. It counts as having succeeded now, so that it is late only after its interval.
pub fn canary_scheduled(now: Timestamp) {
    table::CANARY_LAST_SUCCESS.set((), unix(now));
}

/// A stage of the canary's trace was passed.
pub fn canary_stage(stage: CanaryStage, took_ms: u64) {
    table::CANARY_STAGE_DURATION.record((stage,), seconds(took_ms));
}

/// What the canary appended could be read so long after it was sent.
pub fn append_to_read(took_ms: u64) {
    table::APPEND_TO_READ.record((), seconds(took_ms));
}

/// The inventory met something in a listing.
pub fn listed(store: DataStore) {
    table::VERIFY_LISTED.add((store,), 1);
}

/// A key that no version of Veritail wrote.
pub fn foreign_key(store: DataStore) {
    table::VERIFY_FOREIGN_KEYS.add((store,), 1);
}

/// An object that no row named was removed.
pub fn orphan_removed() {
    table::VERIFY_REMOVED.add((Removal::Orphan,), 1);
}

/// An object in quarantine was removed after its time.
pub fn quarantine_expired() {
    table::VERIFY_REMOVED.add((Removal::Quarantine,), 1);
}

/// What is in quarantine.
#[allow(clippy::cast_precision_loss, reason = "Prometheus has doubles only, and these are counts of objects and bytes")]
pub fn quarantine(objects: u64, bytes: ByteSize) {
    table::QUARANTINE_OBJECTS.set((), objects as f64);
    table::QUARANTINE_BYTES.set((), bytes.0 as f64);
}
