//! What every database promises, one test a rule; and that the model answers like the real ones.

#![allow(
    unreachable_pub,
    clippy::unwrap_used,
    reason = "a rule is run from wherever a store is made, and panics where it is broken"
)]

mod accounts;
mod agreement;
mod chunks;
mod drills;
mod earlier;
mod endings;
mod gauges;
mod jobs;
mod leases;
mod listing;
mod mismatches;
mod postgres;
mod postgres_tls;
mod races;
mod sqlite;
mod verifications;
mod walks;

use std::sync::Arc;

use veritail::store::database::postgres::PostgresDatabase;
use veritail::store::database::sqlite::SqliteDatabase;
use veritail::store::database::{Database, Job, NewJob, Recorded};
use veritail::store::hooked::Hooked;
use veritail::store::object::ObjectStore;
use veritail::trace::{
    ByteSize, ChunkIndex, ChunkRow, ChunkSize, Claim, Crc32, Ending, Epoch, JobId, JobStatus, Location, Origin, Record,
    Sha256, StoredObject, Timestamp,
};

use crate::support::clock::ManualClock;
use crate::support::hooks::{Faults, Recorder};
use crate::support::model::database::ModelDatabase;
use crate::support::postgres_server::TestDatabase;

/// Runs every rule against a database that `$open` makes: a future of a guard and the database.
macro_rules! database_suite {
    ($name:ident, $open:expr) => {
        database_suite!(@rules $name, $open, [
            chunks::a_copy_in_the_database_needs_its_bytes_there,
            endings::only_a_finished_trace_is_erased_and_all_of_it_at_once,
            gauges::unnamed_bytes_are_removed,
            gauges::what_lies_in_the_database_waits_oldest_first_and_is_counted,
        ];
            jobs::a_new_job_is_open_in_its_first_epoch,
            jobs::jobs_of_one_path_share_a_project_and_numbers_go_up,
            jobs::an_unknown_job_is_none_and_nothing_happens,
            jobs::unfinished_jobs_come_page_by_page,
            jobs::changed_jobs_are_those_changed_since,
            jobs::contacts_only_raise,
            jobs::contacts_of_another_job_with_this_number_are_passed_over,
            jobs::a_closed_trace_that_turns_out_to_be_short_counts_as_changed,
            jobs::only_the_present_epoch_is_installed,
            jobs::a_rewind_needs_epoch_and_state,
            jobs::a_rewind_that_was_decided_on_an_older_row_does_nothing,
            jobs::a_rewind_never_lowers_the_epoch_and_never_ends_a_trace,
            jobs::a_rewind_wants_lost_chunks_without_a_copy,
            jobs::a_rewind_of_everything_keeps_persistent_copies,
            jobs::of_many_rewinds_at_once_one_wins,
            endings::the_first_ending_stays,
            endings::the_same_ending_closes_a_reopened_trace_again,
            endings::an_ending_says_whether_the_runner_can_send_again,
            endings::only_the_runner_counts_as_contact,
            endings::reopening_counts_an_attempt,
            endings::canceling_a_running_job_waits_for_its_runner,
            endings::canceling_a_pending_job_ends_it,
            endings::canceling_an_ended_job_changes_nothing,
            endings::closing_gives_the_status_of_the_ending,
            endings::closing_a_canceling_job_makes_it_canceled,
            endings::nothing_moves_a_closed_trace,
            chunks::a_chunk_is_opened_once_and_only_in_an_open_trace,
            chunks::a_record_seals_and_makes_the_next_two_rows,
            chunks::a_record_needs_no_row_before_it,
            chunks::the_same_record_again_changes_nothing,
            chunks::another_record_is_a_conflict_and_changes_nothing,
            chunks::a_record_of_another_epoch_is_stale,
            chunks::a_closing_trace_takes_records,
            chunks::a_hole_filled_with_the_same_bytes_is_sealed_or_persisted_again,
            chunks::a_hole_filled_with_other_bytes_has_a_new_record,
            chunks::a_copy_begun_before_it_was_asked_for_does_not_fill_a_hole,
            chunks::persisting_needs_a_sealed_row_of_this_version,
            chunks::rows_are_listed_in_order_from_an_index,
            chunks::of_many_records_at_once_one_wins,
            gauges::waiting_chunks_come_oldest_first,
            gauges::the_backlog_counts_sealed_chunks,
            gauges::unfinished_counts_ended_jobs_and_live_bytes,
            gauges::ping_answers,
            endings::deletions_are_due_until_they_are_done,
            mismatches::a_healed_chunk_says_nothing_of_an_orphan,
            mismatches::a_mismatch_is_counted_once_while_open,
            mismatches::a_mismatch_is_opened_only_while_what_it_was_measured_against_is_unchanged,
            mismatches::on_an_erased_trace_no_mismatch_of_the_closed_one_is_opened,
            mismatches::a_resolved_mismatch_stays_and_may_open_again,
            mismatches::resolving_one_chunk_leaves_the_others,
            mismatches::mismatches_are_filtered_and_paged,
            mismatches::a_person_takes_note_of_an_open_mismatch_once,
            mismatches::notifications_are_due_until_they_are_done,
            mismatches::corrupt_traces_are_counted_by_kind_and_store,
            mismatches::what_harms_no_log_makes_no_trace_corrupt,
        );
    };
    (@rules $name:ident, $open:expr, [$($with_bytes:ident::$of_bytes:ident),+ $(,)?];
     $($module:ident::$rule:ident),+ $(,)?) => {
        mod $name {
            $(
                #[tokio::test]
                async fn $rule() {
                    let (_guard, database, _bytes) = $open.await;
                    super::$module::$rule(&database).await;
                }
            )+
            $(
                #[tokio::test]
                async fn $of_bytes() {
                    let (_guard, database, bytes) = $open.await;
                    super::$with_bytes::$of_bytes(&database, &*bytes).await;
                }
            )+
        }
    };
}

database_suite!(on_sqlite, super::on_sqlite());
database_suite!(on_postgres, super::on_postgres(super::postgres::open().await));
database_suite!(on_the_oldest_postgres, super::on_postgres(super::postgres::open_on_the_oldest().await));
database_suite!(on_the_model, super::on_the_model());
database_suite!(behind_hooks, super::behind_hooks());

/// The model, which promises the same.
fn model() -> ModelDatabase {
    ModelDatabase::new(Arc::new(ManualClock::at(NOW)))
}

/// What a rule is given: what goes last, a database, and where it keeps the bytes of chunks.
type Opened<G, D> = (G, D, Arc<dyn ObjectStore>);

async fn on_sqlite() -> Opened<tempfile::TempDir, SqliteDatabase> {
    let (folder, database) = sqlite::open().await;
    let bytes = Arc::new(database.chunk_bytes());
    (folder, database, bytes)
}

async fn on_postgres((guard, database): (TestDatabase, PostgresDatabase)) -> Opened<TestDatabase, PostgresDatabase> {
    let bytes = Arc::new(database.chunk_bytes());
    (guard, database, bytes)
}

async fn on_the_model() -> Opened<(), ModelDatabase> {
    let database = model();
    let bytes = database.chunk_bytes();
    ((), database, bytes)
}

/// `SQLite` behind a hook that records and one that is told to fail nothing: a wrapper keeps the contract.
async fn behind_hooks() -> Opened<tempfile::TempDir, Hooked<dyn Database>> {
    let (folder, database, bytes) = on_sqlite().await;
    let recorded: Hooked<dyn Database> =
        Hooked::new(Arc::new(database), Arc::new(Recorder::default()), Arc::new(ManualClock::at(NOW)));
    let told: Hooked<dyn Database> =
        Hooked::new(Arc::new(recorded), Arc::new(Faults::default()), Arc::new(ManualClock::at(NOW)));
    (folder, told, bytes)
}

const CHUNK: u32 = 8;
const NOW: Timestamp = Timestamp(1_000);
const FIRST: Epoch = Epoch::FIRST;
const SECOND: Epoch = Epoch(2);

fn new_job(status: JobStatus) -> NewJob {
    NewJob {
        project_path: "group/demo".to_owned(),
        name: "rspec".to_owned(),
        token_sha256: Sha256::of(b"token").0,
        status,
        payload: Some(serde_json::json!({"script": ["true"]})),
        chunk_size: ChunkSize::new(CHUNK).unwrap(),
        trace_limit: ByteSize(1 << 20),
        trace_reset: None,
        at: NOW,
    }
}

async fn running(db: &dyn Database) -> JobId {
    db.create_job(new_job(JobStatus::Running)).await.unwrap().id
}

async fn job(db: &dyn Database, job: JobId) -> Job {
    db.job(job).await.unwrap().unwrap()
}

async fn row(db: &dyn Database, job: JobId, index: u32) -> Option<ChunkRow> {
    db.chunk(job, ChunkIndex(index)).await.unwrap()
}

/// Seals a chunk in the first epoch.
async fn seal(db: &dyn Database, job: JobId, index: u32, record: &Record, at: Timestamp) -> ChunkRow {
    let recorded = db.record(job, FIRST, ChunkIndex(index), FIRST, record, None, at).await.unwrap();
    let row = row(db, job, index).await.unwrap();
    assert_eq!(recorded, Recorded::Sealed(row.version));
    row
}

/// Seals a chunk in the first epoch and makes it persistent.
async fn persist(db: &dyn Database, job: JobId, index: u32, record: &Record) -> Location {
    let sealed = seal(db, job, index, record, NOW).await;
    let to = object(&format!("{job}-{index}"));
    assert!(db.persist(job, ChunkIndex(index), sealed.version, &to, NOW).await.unwrap());
    to
}

fn object(key: &str) -> Location {
    Location::Object(StoredObject { key: key.to_owned(), size: ByteSize(21), sha256: Sha256::of(key.as_bytes()) })
}

fn in_database(key: &str) -> Location {
    Location::Database(object(key).object().clone())
}

/// Puts bytes where the database keeps them, and answers how a row names them.
async fn spill(kept: &dyn ObjectStore, key: &str) -> Location {
    let to = in_database(key);
    kept.put(&to.object().key, bytes::Bytes::from_static(b"some bytes")).await.unwrap();
    to
}

fn bytes(text: &str) -> Record {
    Record::of(text.as_bytes())
}

fn success() -> Ending {
    let claim = Claim { crc32: Crc32(7), size: Some(ByteSize(16)) };
    Ending {
        status: JobStatus::Success,
        failure_reason: None,
        exit_code: Some(0),
        claim: Some(claim),
        origin: Origin::Runner,
    }
}

fn vanished() -> Ending {
    Ending {
        status: JobStatus::Failed,
        failure_reason: Some("stuck_or_timeout_failure".to_owned()),
        exit_code: None,
        claim: None,
        origin: Origin::Vanished,
    }
}
