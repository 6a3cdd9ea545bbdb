//! Making, finding and rewinding jobs.

use veritail::store::database::{Contact, Database, Lost, Rewind};
use veritail::trace::{
    ChunkIndex, ChunkState, Epoch, JobId, JobStatus, Offset, Timestamp, TraceState, Verdict, Version,
};

use super::*;

pub async fn a_new_job_is_open_in_its_first_epoch(db: &dyn Database) {
    let made = db.create_job(new_job(JobStatus::Pending)).await.unwrap();
    assert_eq!(job(db, made.id).await, made);
    assert_eq!((made.project_path.as_str(), made.name.as_str()), ("group/demo", "rspec"));
    assert_eq!(made.token_sha256, Sha256::of(b"token").0);
    assert_eq!((made.status, made.state, made.verdict), (JobStatus::Pending, TraceState::Open, Verdict::Pending));
    assert_eq!((made.epoch, made.installed_epoch), (FIRST, None));
    assert_eq!((u32::from(made.chunk_size), made.trace_limit), (CHUNK, ByteSize(1 << 20)));
    assert_eq!((made.acked_length, made.ending.clone(), made.ended_at), (Offset::ZERO, None, None));
    assert_eq!((made.resend_attempts, made.asked_everything, made.trace_reset), (0, false, None));
    assert_eq!((made.created_at, made.last_contact_at, made.changed_at), (NOW, NOW, NOW));
    assert_eq!((made.closed_at, made.size, made.crc32, made.started_at), (None, None, None, None));
    let nobody_takes_it = db.create_job(new_job(JobStatus::Running)).await.unwrap();
    assert_eq!(nobody_takes_it.started_at, Some(NOW));
}

pub async fn jobs_of_one_path_share_a_project_and_numbers_go_up(db: &dyn Database) {
    let one = db.create_job(new_job(JobStatus::Running)).await.unwrap();
    let other = NewJob { project_path: "group/other".to_owned(), ..new_job(JobStatus::Running) };
    let two = db.create_job(other).await.unwrap();
    let three = db.create_job(new_job(JobStatus::Running)).await.unwrap();
    assert_eq!(one.project, three.project);
    assert_ne!(one.project, two.project);
    assert!(one.id.0 > 0 && one.id < two.id && two.id < three.id);
}

pub async fn an_unknown_job_is_none_and_nothing_happens(db: &dyn Database) {
    let nobody = JobId(404);
    assert_eq!(db.job(nobody).await.unwrap(), None);
    assert_eq!(db.end(nobody, &success(), NOW, Some(true)).await.unwrap(), None);
    assert_eq!(db.cancel(nobody, NOW).await.unwrap(), None);
    assert!(!db.mark_installed(nobody, FIRST).await.unwrap());
    assert!(!db.rewind(nobody, &measured(db, nobody, rewind(&[0])).await).await.unwrap());
    assert!(!db.reopen(nobody, FIRST, NOW).await.unwrap());
    db.set_trace_reset(nobody, true).await.unwrap();
    db.note_contacts(&[Contact { job: nobody, made_at: NOW, acked_length: Offset(1), at: NOW }], NOW).await.unwrap();
    assert_eq!(row(db, nobody, 0).await, None);
    assert_eq!(db.chunks(nobody, ChunkIndex(0), 10).await.unwrap(), []);
    assert!(!db.persist(nobody, ChunkIndex(0), Version::FIRST, &object("k"), NOW).await.unwrap());
}

pub async fn unfinished_jobs_come_page_by_page(db: &dyn Database) {
    let mut jobs = Vec::new();
    for _ in 0..5 {
        jobs.push(running(db).await);
    }
    db.end(jobs[1], &success(), NOW, None).await.unwrap();
    endings::close(db, jobs[3]).await;
    let ids = |page: Vec<Job>| page.into_iter().map(|job| job.id).collect::<Vec<_>>();
    assert_eq!(ids(db.unfinished_jobs(JobId(0), 3).await.unwrap()), [jobs[0], jobs[1], jobs[2]]);
    assert_eq!(ids(db.unfinished_jobs(jobs[2], 3).await.unwrap()), [jobs[4]]);
    assert_eq!(ids(db.unfinished_jobs(jobs[4], 3).await.unwrap()), []);
}

pub async fn changed_jobs_are_those_changed_since(db: &dyn Database) {
    let (one, two, three) = (running(db).await, running(db).await, running(db).await);
    let later = NOW.plus_ms(50);
    db.cancel(three, later).await.unwrap();
    db.end(one, &success(), later.plus_ms(1), None).await.unwrap();
    // What is not a change of status, state or epoch does not count.
    db.set_trace_reset(two, true).await.unwrap();
    db.mark_installed(two, FIRST).await.unwrap();
    db.note_contacts(&[Contact { job: two, made_at: NOW, acked_length: Offset(3), at: later }], later).await.unwrap();
    let ids = |page: Vec<Job>| page.into_iter().map(|job| job.id).collect::<Vec<_>>();
    assert_eq!(ids(db.changed_jobs(later, JobId(0), 10).await.unwrap()), [one, three]);
    assert_eq!(ids(db.changed_jobs(later, JobId(0), 1).await.unwrap()), [one]);
    assert_eq!(ids(db.changed_jobs(later, one, 1).await.unwrap()), [three]);
    assert_eq!(ids(db.changed_jobs(NOW, JobId(0), 10).await.unwrap()), [one, two, three]);
}

fn contact(job: JobId, length: u64, ms: i64) -> Contact {
    Contact { job, made_at: NOW, acked_length: Offset(length), at: Timestamp(ms) }
}

pub async fn contacts_only_raise(db: &dyn Database) {
    let (one, two) = (running(db).await, running(db).await);
    let note = async |contacts: &[Contact]| db.note_contacts(contacts, Timestamp(9_000)).await.unwrap();
    note(&[]).await;
    note(&[contact(one, 10, 5), contact(JobId(404), 1, 1), contact(two, 7, 3_000)]).await;
    note(&[contact(one, 9, 4_000), contact(two, 30, 1), contact(two, 20, 2)]).await;
    let seen = |job: Job| (job.acked_length.0, job.last_contact_at.0, job.changed_at);
    assert_eq!(seen(job(db, one).await), (10, 4_000, NOW));
    assert_eq!(seen(job(db, two).await), (30, 3_000, NOW));
}

pub async fn contacts_of_another_job_with_this_number_are_passed_over(db: &dyn Database) {
    let one = running(db).await;
    let other = Contact { made_at: NOW.plus_ms(-1), ..contact(one, 10, 5_000) };
    for (contacts, expected) in [
        (&[other][..], (Offset::ZERO, NOW)),
        (&[other, contact(one, 3, 4_000)], (Offset(3), Timestamp(4_000))),
        (&[contact(one, 4, 4_000), other], (Offset(4), Timestamp(4_000))),
    ] {
        db.note_contacts(contacts, NOW).await.unwrap();
        let heard = job(db, one).await;
        assert_eq!((heard.acked_length, heard.last_contact_at), expected, "{contacts:?}");
    }
}

/// So that the sweep looks at it, however long after the close that was.
pub async fn a_closed_trace_that_turns_out_to_be_short_counts_as_changed(db: &dyn Database) {
    let id = running(db).await;
    endings::close(db, id).await;
    let closed = job(db, id).await;
    let size = closed.size.unwrap().0;
    let note = async |length, now| {
        db.note_contacts(&[contact(id, length, 5)], Timestamp(now)).await.unwrap();
        job(db, id).await.changed_at
    };
    assert_eq!(note(size, 9_000).await, closed.changed_at, "it is as long as was acknowledged");
    assert_eq!(note(size + 1, 9_001).await, Timestamp(9_001));
    assert_eq!(note(size + 1, 9_002).await, Timestamp(9_001), "nothing new");
    assert_eq!(note(size + 2, 9_000).await, Timestamp(9_001), "by a clock that is behind");
}

pub async fn only_the_present_epoch_is_installed(db: &dyn Database) {
    let id = running(db).await;
    assert!(!db.mark_installed(id, SECOND).await.unwrap());
    assert!(db.mark_installed(id, FIRST).await.unwrap());
    assert_eq!(job(db, id).await.installed_epoch, Some(FIRST));
    assert!(db.rewind(id, &measured(db, id, rewind(&[])).await).await.unwrap());
    assert_eq!(job(db, id).await.installed_epoch, Some(FIRST));
    assert!(!db.mark_installed(id, FIRST).await.unwrap());
    assert!(db.mark_installed(id, SECOND).await.unwrap());
}

/// The same rewind, its lost chunks measured against the rows as they are now.
pub(super) async fn measured(db: &dyn Database, id: JobId, mut rewind: Rewind) -> Rewind {
    for lost in &mut rewind.lost {
        lost.version = db.chunk(id, lost.index).await.unwrap().map(|row| row.version);
    }
    rewind
}

pub async fn a_rewind_that_was_decided_on_an_older_row_does_nothing(db: &dyn Database) {
    let id = running(db).await;
    db.open_chunk(id, FIRST, ChunkIndex(0), NOW).await.unwrap();
    let decided = measured(db, id, rewind(&[0, 1])).await;
    let sealed = seal(db, id, 0, &bytes("12345678"), NOW).await;
    assert!(!db.rewind(id, &decided).await.unwrap());
    assert_eq!((job(db, id).await.epoch, row(db, id, 0).await), (FIRST, Some(sealed)));
    // A chunk that had no row has one by now.
    let decided = measured(db, id, rewind(&[1])).await;
    db.open_chunk(id, FIRST, ChunkIndex(1), NOW).await.unwrap();
    assert!(!db.rewind(id, &decided).await.unwrap());
    assert!(db.rewind(id, &measured(db, id, decided).await).await.unwrap());
}

/// A rewind from the first epoch to the second.
pub(super) fn rewind(lost: &[u32]) -> Rewind {
    Rewind {
        from: FIRST,
        to: SECOND,
        state: TraceState::Open,
        next_state: TraceState::Open,
        lost: lost.iter().map(|index| Lost { index: ChunkIndex(*index), version: None }).collect(),
        everything: false,
        counts_as_attempt: false,
        at: NOW.plus_ms(10),
    }
}

pub async fn a_rewind_needs_epoch_and_state(db: &dyn Database) {
    let id = running(db).await;
    let closing = Rewind { state: TraceState::Closing, next_state: TraceState::Closing, ..rewind(&[0]) };
    assert!(!db.rewind(id, &measured(db, id, closing.clone()).await).await.unwrap());
    assert!(
        !db.rewind(id, &measured(db, id, Rewind { from: SECOND, to: Epoch(3), ..rewind(&[0]) }).await).await.unwrap()
    );
    assert_eq!((job(db, id).await.epoch, row(db, id, 0).await), (FIRST, None));

    assert!(db.rewind(id, &measured(db, id, Rewind { to: Epoch(5), ..rewind(&[]) }).await).await.unwrap());
    let rewound = job(db, id).await;
    assert_eq!((rewound.epoch, rewound.state, rewound.changed_at), (Epoch(5), TraceState::Open, NOW.plus_ms(10)));
    assert_eq!((rewound.resend_attempts, rewound.asked_everything), (0, false));
    assert!(!db.rewind(id, &measured(db, id, rewind(&[])).await).await.unwrap());

    db.end(id, &success(), NOW, None).await.unwrap();
    let asked =
        Rewind { from: Epoch(5), to: Epoch(6), counts_as_attempt: true, next_state: TraceState::Open, ..closing };
    assert!(db.rewind(id, &measured(db, id, asked.clone()).await).await.unwrap());
    let asked = job(db, id).await;
    assert_eq!((asked.epoch, asked.state, asked.resend_attempts), (Epoch(6), TraceState::Open, 1));
    assert_eq!(asked.ending, Some(success()));
}

pub async fn a_rewind_never_lowers_the_epoch_and_never_ends_a_trace(db: &dyn Database) {
    let id = running(db).await;
    assert!(!db.rewind(id, &measured(db, id, Rewind { to: FIRST, ..rewind(&[0]) }).await).await.unwrap());
    for next_state in [TraceState::Closing, TraceState::Closed, TraceState::Erased] {
        assert!(!db.rewind(id, &measured(db, id, Rewind { next_state, ..rewind(&[0]) }).await).await.unwrap());
    }
    assert_eq!((job(db, id).await.epoch, row(db, id, 0).await), (FIRST, None));
}

pub async fn a_rewind_wants_lost_chunks_without_a_copy(db: &dyn Database) {
    let id = running(db).await;
    let record = bytes("12345678");
    persist(db, id, 0, &record).await;
    let sealed = seal(db, id, 1, &record, NOW).await;
    db.open_chunk(id, FIRST, ChunkIndex(2), NOW).await.unwrap();
    assert!(db.rewind(id, &measured(db, id, rewind(&[0, 2, 4, 4])).await).await.unwrap());

    let wanted = |record| ChunkState::Wanted { record, kept: None, asked_in: SECOND };
    let rows = db.chunks(id, ChunkIndex(0), 10).await.unwrap();
    let found: Vec<_> = rows.iter().map(|row| (row.index.0, row.epoch, row.version, row.state.clone())).collect();
    assert_eq!(
        found,
        [
            (0, FIRST, Version(3), wanted(Some(record))),
            (1, FIRST, sealed.version, sealed.state),
            (2, FIRST, Version(2), wanted(None)),
            (4, SECOND, Version(1), wanted(None)),
        ]
    );
}

pub async fn a_rewind_of_everything_keeps_persistent_copies(db: &dyn Database) {
    let id = running(db).await;
    let record = bytes("12345678");
    let kept = persist(db, id, 0, &record).await;
    persist(db, id, 1, &record).await;
    seal(db, id, 2, &record, NOW).await;
    db.open_chunk(id, FIRST, ChunkIndex(3), NOW).await.unwrap();
    assert!(db.rewind(id, &measured(db, id, Rewind { everything: true, ..rewind(&[1]) }).await).await.unwrap());

    assert!(job(db, id).await.asked_everything);
    let wanted = |kept, asked_in| ChunkState::Wanted { record: Some(record), kept, asked_in };
    let states = |rows: Vec<ChunkRow>| rows.into_iter().map(|row| row.state).collect::<Vec<_>>();
    let rows = states(db.chunks(id, ChunkIndex(0), 10).await.unwrap());
    let (all, none) = (wanted(Some(kept.clone()), SECOND), wanted(None, SECOND));
    assert_eq!(rows, [all, none.clone(), none, ChunkState::Open]);

    // Once more: what was kept stays kept, and only copies of the newest epoch count.
    let again = Rewind { from: SECOND, to: Epoch(3), everything: true, ..rewind(&[]) };
    assert!(db.rewind(id, &measured(db, id, again.clone()).await).await.unwrap());
    let rows = states(db.chunks(id, ChunkIndex(0), 10).await.unwrap());
    let (all, none) = (wanted(Some(kept), Epoch(3)), wanted(None, Epoch(3)));
    assert_eq!(rows, [all, none.clone(), none, ChunkState::Open]);
}

pub async fn of_many_rewinds_at_once_one_wins(db: &dyn Database) {
    let id = running(db).await;
    let rewinds: Vec<_> = (2..12).map(|to| Rewind { to: Epoch(to), ..rewind(&[0]) }).collect();
    let won = futures::future::join_all(rewinds.iter().map(|rewind| db.rewind(id, rewind))).await;
    let winners: Vec<_> = won.into_iter().zip(&rewinds).filter(|(won, _)| *won.as_ref().unwrap()).collect();
    assert_eq!(winners.len(), 1);
    assert_eq!(job(db, id).await.epoch, winners[0].1.to);
    assert_eq!(row(db, id, 0).await.unwrap().version, Version::FIRST);
}
