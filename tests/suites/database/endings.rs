//! Endings, cancels, closing.

use veritail::store::database::{Basis, Closing, Database, Erased, MismatchFilter, Note, Resolution, Rewind, decide};
use veritail::trace::{ByteSize, Crc32, Ending, Epoch, JobId, JobStatus, Origin, Timestamp, TraceState, Verdict};

use super::*;

const LATER: Timestamp = Timestamp(2_000);
const LATEST: Timestamp = Timestamp(3_000);

pub(super) fn closing() -> Closing {
    Closing { verdict: Verdict::Verified, size: ByteSize(16), crc32: Some(Crc32(7)), at: LATEST }
}

/// Ends a job well and closes it.
pub(super) async fn close(db: &dyn Database, id: JobId) {
    db.end(id, &success(), LATER, None).await.unwrap();
    assert!(db.close(id, FIRST, &closing()).await.unwrap());
}

pub async fn the_first_ending_stays(db: &dyn Database) {
    let id = running(db).await;
    let ended = db.end(id, &success(), LATER, None).await.unwrap().unwrap();
    assert_eq!(ended, job(db, id).await);
    assert_eq!((ended.state, ended.status), (TraceState::Closing, JobStatus::Running));
    assert_eq!((&ended.ending, ended.ended_at, ended.changed_at), (&Some(success()), Some(LATER), LATER));

    for other in [vanished(), Ending { exit_code: Some(1), failure_reason: Some("x".to_owned()), ..success() }] {
        let same = db.end(id, &other, LATEST, None).await.unwrap().unwrap();
        assert_eq!((same.ending, same.ended_at), (Some(success()), Some(LATER)));
        assert_eq!((same.state, same.changed_at), (TraceState::Closing, LATER));
    }

    assert!(db.reopen(id, FIRST, LATEST).await.unwrap());
    let reopened = db.end(id, &vanished(), LATEST, None).await.unwrap().unwrap();
    assert_eq!((reopened.state, reopened.ending), (TraceState::Open, Some(success())));
}

pub async fn the_same_ending_closes_a_reopened_trace_again(db: &dyn Database) {
    let id = running(db).await;
    db.end(id, &success(), LATER, None).await.unwrap();
    for other in [
        Ending { claim: None, ..success() },
        Ending { status: JobStatus::Failed, ..success() },
        Ending { origin: Origin::Cancel, ..success() },
        Ending { claim: Some(Claim { crc32: Crc32(8), size: Some(ByteSize(16)) }), ..success() },
        Ending { claim: Some(Claim { crc32: Crc32(7), size: None }), ..success() },
    ] {
        db.reopen(id, FIRST, LATER).await.unwrap();
        let job = db.end(id, &other, LATEST, None).await.unwrap().unwrap();
        assert_eq!(job.state, TraceState::Open, "{other:?}");
    }
    // Only status, claim and origin make two endings the same; the first one stays as it was.
    let again = db.end(id, &Ending { exit_code: Some(3), ..success() }, LATEST, None).await.unwrap().unwrap();
    assert_eq!((again.state, again.changed_at), (TraceState::Closing, LATEST));
    assert_eq!((again.ending, again.ended_at), (Some(success()), Some(LATER)));
}

pub async fn an_ending_says_whether_the_runner_can_send_again(db: &dyn Database) {
    let id = running(db).await;
    assert_eq!(db.end(id, &success(), LATER, None).await.unwrap().unwrap().trace_reset, None);
    assert_eq!(db.end(id, &success(), LATER, Some(true)).await.unwrap().unwrap().trace_reset, Some(true));
    assert_eq!(db.end(id, &vanished(), LATER, Some(false)).await.unwrap().unwrap().trace_reset, Some(false));
    assert_eq!(db.end(id, &success(), LATER, None).await.unwrap().unwrap().trace_reset, Some(false));
    assert!(db.close(id, FIRST, &closing()).await.unwrap());
    assert_eq!(db.end(id, &success(), LATER, Some(true)).await.unwrap().unwrap().trace_reset, Some(false));
    db.set_trace_reset(id, true).await.unwrap();
    assert_eq!(job(db, id).await.trace_reset, Some(true));
}

pub async fn only_the_runner_counts_as_contact(db: &dyn Database) {
    let (one, two) = (running(db).await, running(db).await);
    assert_eq!(db.end(one, &vanished(), LATER, None).await.unwrap().unwrap().last_contact_at, NOW);
    assert_eq!(db.end(two, &success(), LATEST, None).await.unwrap().unwrap().last_contact_at, LATEST);
    assert_eq!(db.end(two, &success(), LATER, None).await.unwrap().unwrap().last_contact_at, LATEST);
    // One that claims something else than the first ending would keep the job waiting for ever if it counted.
    assert_eq!(db.end(one, &success(), LATEST, None).await.unwrap().unwrap().last_contact_at, NOW);
}

pub async fn reopening_counts_an_attempt(db: &dyn Database) {
    let id = running(db).await;
    assert!(!db.reopen(id, FIRST, LATER).await.unwrap());
    db.end(id, &success(), LATER, None).await.unwrap();
    assert!(!db.reopen(id, SECOND, LATEST).await.unwrap());
    assert!(db.reopen(id, FIRST, LATEST).await.unwrap());
    let reopened = job(db, id).await;
    assert_eq!((reopened.state, reopened.resend_attempts, reopened.changed_at), (TraceState::Open, 1, LATEST));
    assert!(!db.reopen(id, FIRST, LATEST).await.unwrap());
}

pub async fn canceling_a_running_job_waits_for_its_runner(db: &dyn Database) {
    let id = running(db).await;
    let canceled = db.cancel(id, LATER).await.unwrap().unwrap();
    assert_eq!(canceled, job(db, id).await);
    assert_eq!((canceled.status, canceled.state), (JobStatus::Canceling, TraceState::Open));
    assert_eq!((&canceled.ending, canceled.changed_at), (&None, LATER));
    assert_eq!(db.cancel(id, LATEST).await.unwrap(), Some(canceled));
}

pub async fn canceling_a_pending_job_ends_it(db: &dyn Database) {
    let id = db.create_job(new_job(JobStatus::Pending)).await.unwrap().id;
    let canceled = db.cancel(id, LATER).await.unwrap().unwrap();
    assert_eq!(canceled, job(db, id).await);
    assert_eq!((canceled.status, canceled.state), (JobStatus::Canceled, TraceState::Closed));
    assert_eq!(canceled.ending, Some(decide::canceled_before_it_ran()));
    assert_eq!((canceled.ended_at, canceled.closed_at, canceled.changed_at), (Some(LATER), Some(LATER), LATER));
    assert_eq!((canceled.size, canceled.crc32), (Some(ByteSize::ZERO), Some(Crc32(0))));
    assert_eq!(canceled.verdict, Verdict::Unclaimed);
    assert_eq!(db.cancel(id, LATEST).await.unwrap(), Some(canceled));
}

pub async fn canceling_an_ended_job_changes_nothing(db: &dyn Database) {
    let (closing, reopened, closed) = (running(db).await, running(db).await, running(db).await);
    db.end(closing, &success(), LATER, None).await.unwrap();
    db.end(reopened, &success(), LATER, None).await.unwrap();
    db.reopen(reopened, FIRST, LATER).await.unwrap();
    close(db, closed).await;
    for id in [closing, reopened, closed] {
        let before = job(db, id).await;
        assert_eq!(db.cancel(id, LATEST.plus_ms(1)).await.unwrap(), Some(before));
    }
}

pub async fn closing_gives_the_status_of_the_ending(db: &dyn Database) {
    let id = running(db).await;
    assert!(!db.close(id, FIRST, &closing()).await.unwrap());
    db.end(id, &success(), LATER, None).await.unwrap();
    assert!(!db.close(id, SECOND, &closing()).await.unwrap());
    assert!(db.close(id, FIRST, &closing()).await.unwrap());
    let closed = job(db, id).await;
    assert_eq!(
        (closed.status, closed.state, closed.verdict),
        (JobStatus::Success, TraceState::Closed, Verdict::Verified)
    );
    assert_eq!((closed.size, closed.crc32), (Some(ByteSize(16)), Some(Crc32(7))));
    assert_eq!((closed.closed_at, closed.changed_at), (Some(LATEST), LATEST));
    assert!(!db.close(id, FIRST, &closing()).await.unwrap());
}

pub async fn closing_a_canceling_job_makes_it_canceled(db: &dyn Database) {
    let id = running(db).await;
    db.cancel(id, LATER).await.unwrap();
    let ended = db.end(id, &success(), LATER, None).await.unwrap().unwrap();
    assert_eq!((ended.status, ended.state), (JobStatus::Canceling, TraceState::Closing));
    assert!(db.close(id, FIRST, &Closing { crc32: None, ..closing() }).await.unwrap());
    let closed = job(db, id).await;
    assert_eq!((closed.status, closed.ending, closed.crc32), (JobStatus::Canceled, Some(success()), None));
}

pub async fn nothing_moves_a_closed_trace(db: &dyn Database) {
    let id = running(db).await;
    let sealed = seal(db, id, 0, &bytes("12345678"), NOW).await;
    close(db, id).await;
    let closed = job(db, id).await;
    assert!(!db.reopen(id, FIRST, LATEST).await.unwrap());
    for state in [TraceState::Open, TraceState::Closing, TraceState::Closed] {
        let rewind = Rewind { state, next_state: state, ..jobs::rewind(&[0]) };
        assert!(!db.rewind(id, &jobs::measured(db, id, rewind.clone()).await).await.unwrap());
    }
    assert!(!db.mark_installed(id, FIRST).await.unwrap());
    let record = db.record(id, FIRST, ChunkIndex(1), FIRST, &bytes("1"), None, LATEST).await.unwrap();
    assert_eq!(record, Recorded::Stale);
    assert_eq!(db.end(id, &vanished(), LATEST, None).await.unwrap(), Some(closed.clone()));
    assert_eq!(job(db, id).await, closed);
    // What is sealed still has to be brought to a persistent store.
    assert!(db.persist(id, ChunkIndex(0), sealed.version, &object("k"), LATEST).await.unwrap());
    assert_eq!(closed.epoch, Epoch(1));
}

pub async fn only_a_finished_trace_is_erased_and_all_of_it_at_once(db: &dyn Database) {
    let id = running(db).await;
    let record = bytes("12345678");
    db.open_chunk(id, FIRST, ChunkIndex(0), NOW).await.unwrap();
    let sealed = seal(db, id, 0, &record, NOW).await;
    assert!(db.persist(id, ChunkIndex(0), sealed.version, &in_database("kept"), NOW).await.unwrap());
    db.open_mismatch(&mismatches::mismatch(id, Some(0)), Basis::Nothing).await.unwrap();
    assert_eq!(db.erase(id, "admin", LATER, LATEST).await.unwrap(), Erased::Unfinished);
    assert_eq!(db.erase(JobId(77), "admin", LATER, LATEST).await.unwrap(), Erased::Unknown);

    db.end(id, &success(), NOW, None).await.unwrap();
    let closing = Closing { verdict: Verdict::Unclaimed, size: ByteSize(8), crc32: Some(record.crc32), at: NOW };
    assert!(db.close(id, FIRST, &closing).await.unwrap());
    let Erased::Done(erased) = db.erase(id, "admin", LATER, LATEST).await.unwrap() else { panic!("it is finished") };
    assert_eq!(*erased, job(db, id).await);
    assert_eq!((erased.state, erased.epoch, erased.verdict), (TraceState::Erased, SECOND, Verdict::Erased));
    assert_eq!((erased.erased.clone(), erased.crc32), (Some((LATER, "admin".to_owned())), None));
    assert_eq!(row(db, id, 0).await, None);
    let open = MismatchFilter { open: Some(true), ..MismatchFilter::default() };
    assert_eq!(db.mismatches(open).await.unwrap(), []);
    let erased_with_it = db.mismatches(MismatchFilter::default()).await.unwrap().remove(0);
    assert_eq!(erased_with_it.resolved, Some((Resolution::Erased, LATER)));
    let note = Note { by: "admin".to_owned(), comment: "the trace was erased".to_owned() };
    assert_eq!(erased_with_it.note, Some(note));
    // Who comes second learns what the first one did, and changes nothing.
    assert_eq!(db.erase(id, "other", LATEST, LATEST).await.unwrap(), Erased::Done(erased));
}

pub async fn deletions_are_due_until_they_are_done(db: &dyn Database) {
    let id = running(db).await;
    db.end(id, &success(), NOW, None).await.unwrap();
    let closing = Closing { verdict: Verdict::Unclaimed, size: ByteSize(0), crc32: None, at: NOW };
    assert!(db.close(id, FIRST, &closing).await.unwrap());
    db.erase(id, "admin", LATER, LATEST).await.unwrap();
    assert_eq!(db.due_deletions(NOW, 9).await.unwrap(), []);
    let due = db.due_deletions(LATER, 9).await.unwrap();
    assert_eq!(due.iter().map(|deletion| deletion.job).collect::<Vec<_>>(), [id]);
    assert_eq!(db.due_deletions(LATEST, 9).await.unwrap().len(), 2);
    assert_eq!(db.due_deletions(LATEST, 1).await.unwrap(), due);
    db.deletion_done(due[0].id).await.unwrap();
    db.deletion_done(due[0].id).await.unwrap();
    assert_eq!(db.due_deletions(LATER, 9).await.unwrap(), []);
    assert_eq!(db.due_deletions(LATEST, 9).await.unwrap().len(), 1);
}
