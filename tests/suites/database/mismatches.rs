//! What was found to be wrong.

use veritail::store::database::{
    Basis, CorruptTraces, Database, Found, Mismatch, MismatchFilter, NewMismatch, Note, Opened, Resolution,
};
use veritail::trace::{ByteSize, ChunkIndex, DataStore, Detector, Epoch, JobId, Kind, Offset, Timestamp};

use super::*;

pub(super) fn mismatch(job: JobId, chunk: Option<u32>) -> NewMismatch {
    NewMismatch {
        job,
        chunk: chunk.map(ChunkIndex),
        epoch: FIRST,
        kind: Kind::Checksum,
        store: DataStore::Redis,
        detector: Detector::Migrate,
        run: Some(7),
        node: "one".to_owned(),
        expected: (&bytes("12345678")).into(),
        found: Found { offset: Some(Offset(3)), size: Some(ByteSize(4)), ..Found::default() },
        first_difference: Some(Offset(2)),
        notify_at: Some(NOW),
        at: NOW,
    }
}

pub(super) fn note(comment: &str) -> Note {
    Note { by: "veritail node one".to_owned(), comment: comment.to_owned() }
}

/// Writes it down for the first time; its number.
async fn open(db: &dyn Database, mismatch: &NewMismatch) -> i64 {
    match db.open_mismatch(mismatch, Basis::Nothing).await.unwrap() {
        Opened::New(id) => id,
        other => panic!("{other:?}"),
    }
}

async fn all(db: &dyn Database) -> Vec<Mismatch> {
    db.mismatches(MismatchFilter::default()).await.unwrap()
}

pub async fn a_mismatch_is_counted_once_while_open(db: &dyn Database) {
    let id = running(db).await;
    let first = mismatch(id, Some(0));
    let number = open(db, &first).await;
    // Who finds it again, and what was seen then, makes no other mismatch of it; nor does an older sighting.
    for at in [2_000, 500] {
        let again = NewMismatch {
            at: Timestamp(at),
            detector: Detector::Read,
            run: None,
            node: "two".to_owned(),
            found: Found::default(),
            first_difference: None,
            notify_at: None,
            ..first.clone()
        };
        assert_eq!(db.open_mismatch(&again, Basis::Nothing).await.unwrap(), Opened::Known);
    }
    let listed = all(db).await;
    assert_eq!(listed.len(), 1);
    let seen = Mismatch {
        id: number,
        what: first.clone(),
        last_seen: Timestamp(2_000),
        times_seen: 3,
        drill: None,
        resolved: None,
        note: None,
    };
    assert_eq!(listed[0], seen);
    assert_eq!(db.mismatch(number).await.unwrap(), Some(seen));
    assert_eq!(db.mismatch(number + 1).await.unwrap(), None);
    // What is not known of it is not made up.
    let bare = NewMismatch {
        run: None,
        node: String::new(),
        first_difference: None,
        notify_at: None,
        ..mismatch(id, Some(9))
    };
    let number = open(db, &bare).await;
    assert_eq!(db.mismatch(number).await.unwrap().map(|known| known.what), Some(bare));

    let others = [
        mismatch(id, None),
        mismatch(id, Some(1)),
        mismatch(running(db).await, Some(0)),
        NewMismatch { epoch: Epoch(2), ..first.clone() },
        NewMismatch { kind: Kind::Missing, ..first.clone() },
        NewMismatch { store: DataStore::ObjectStore, ..first.clone() },
    ];
    for other in &others {
        open(db, other).await;
        assert_eq!(db.open_mismatch(other, Basis::Nothing).await.unwrap(), Opened::Known);
    }
    assert_eq!(all(db).await.len(), 2 + others.len());
}

/// Whoever looked at a closed trace may come after it was erased, which is forgotten with everything that was wrong with it.
pub async fn on_an_erased_trace_no_mismatch_of_the_closed_one_is_opened(db: &dyn Database) {
    let id = running(db).await;
    let open = async |chunk| db.open_mismatch(&mismatch(id, Some(chunk)), Basis::Closed(FIRST)).await.unwrap();
    assert_eq!(open(0).await, Opened::Moved, "it is not closed");
    endings::close(db, id).await;
    assert!(matches!((open(0).await, open(0).await), (Opened::New(_), Opened::Known)));
    db.erase(id, "admin", NOW, NOW).await.unwrap();
    assert_eq!((open(0).await, open(1).await), (Opened::Moved, Opened::Moved));
    let open = MismatchFilter { open: Some(true), ..MismatchFilter::default() };
    assert_eq!(db.mismatches(open).await.unwrap(), []);
}

pub async fn a_resolved_mismatch_stays_and_may_open_again(db: &dyn Database) {
    let id = running(db).await;
    let first = open(db, &mismatch(id, Some(0))).await;
    open(db, &mismatch(id, None)).await;
    let repaired = note("repaired from the live copy");
    assert_eq!(db.resolve_mismatches(id, None, Resolution::Repaired, &repaired, Timestamp(5)).await.unwrap(), 2);
    assert_eq!(db.resolve_mismatches(id, None, Resolution::Resent, &note("later"), Timestamp(6)).await.unwrap(), 0);
    assert!(open(db, &mismatch(id, Some(0))).await > first, "another one, and counted again");
    let resolved: Vec<_> = all(db).await.into_iter().map(|mismatch| mismatch.resolved.zip(mismatch.note)).collect();
    let repaired = Some(((Resolution::Repaired, Timestamp(5)), repaired));
    assert_eq!(resolved, [repaired.clone(), repaired, None]);
}

pub async fn resolving_one_chunk_leaves_the_others(db: &dyn Database) {
    let (id, other) = (running(db).await, running(db).await);
    for (job, chunk) in [(id, Some(0)), (id, Some(1)), (id, None), (other, Some(0))] {
        db.open_mismatch(&mismatch(job, chunk), Basis::Nothing).await.unwrap();
    }
    assert_eq!(
        db.resolve_mismatches(id, Some(ChunkIndex(0)), Resolution::Resent, &note("resent"), NOW).await.unwrap(),
        1
    );
    let open: Vec<_> = all(db).await.into_iter().map(|mismatch| mismatch.resolved.is_none()).collect();
    assert_eq!(open, [false, true, true, true]);
}

/// Bytes that no row names are there all the same, however sound the chunk's own copy is.
pub async fn a_healed_chunk_says_nothing_of_an_orphan(db: &dyn Database) {
    let id = running(db).await;
    let orphan = NewMismatch { kind: Kind::Orphan, ..mismatch(id, Some(0)) };
    let number = open(db, &orphan).await;
    for healed in [Resolution::Repaired, Resolution::Resent] {
        for chunk in [None, Some(ChunkIndex(0))] {
            assert_eq!(db.resolve_mismatches(id, chunk, healed, &note("healed"), NOW).await.unwrap(), 0);
        }
    }
    let gone = db.resolve_mismatch(number, Resolution::Repaired, &note("gone"), NOW).await.unwrap().unwrap();
    assert_eq!(gone.resolved, Some((Resolution::Repaired, NOW)));
    open(db, &orphan).await;
    assert_eq!(db.resolve_mismatches(id, None, Resolution::Erased, &note("erased"), NOW).await.unwrap(), 1);
}

pub async fn a_person_takes_note_of_an_open_mismatch_once(db: &dyn Database) {
    let id = running(db).await;
    db.open_mismatch(&mismatch(id, Some(0)), Basis::Nothing).await.unwrap();
    db.open_mismatch(&mismatch(id, Some(1)), Basis::Nothing).await.unwrap();
    let [first, second] = [all(db).await[0].clone(), all(db).await[1].clone()];
    let note = Note { by: "admin".to_owned(), comment: "the disk was replaced".to_owned() };
    let noted = db.resolve_mismatch(first.id, Resolution::Acknowledged, &note, Timestamp(7)).await.unwrap().unwrap();
    assert_eq!(noted.resolved, Some((Resolution::Acknowledged, Timestamp(7))));
    assert_eq!((noted.note.as_ref(), &noted.what), (Some(&note), &first.what));
    let other = Note { by: "somebody".to_owned(), comment: "else".to_owned() };
    assert_eq!(
        db.resolve_mismatch(first.id, Resolution::Repaired, &other, Timestamp(8)).await.unwrap(),
        Some(noted.clone())
    );
    assert_eq!(all(db).await, [noted, second.clone()]);

    // What was resolved otherwise keeps the note that it has.
    let resent = self::note("the runner sent the bytes again");
    db.resolve_mismatches(id, None, Resolution::Resent, &resent, Timestamp(9)).await.unwrap();
    let still = db.resolve_mismatch(second.id, Resolution::Acknowledged, &note, Timestamp(10)).await.unwrap().unwrap();
    assert_eq!((still.resolved, still.note), (Some((Resolution::Resent, Timestamp(9))), Some(resent)));
    assert_eq!(db.resolve_mismatch(99, Resolution::Acknowledged, &note, Timestamp(10)).await.unwrap(), None);
}

pub async fn mismatches_are_filtered_and_paged(db: &dyn Database) {
    let (id, other) = (running(db).await, running(db).await);
    for (job, chunk) in [(id, 0), (other, 0), (id, 1)] {
        db.open_mismatch(&mismatch(job, Some(chunk)), Basis::Nothing).await.unwrap();
    }
    db.resolve_mismatches(id, Some(ChunkIndex(0)), Resolution::Erased, &note("gone"), NOW).await.unwrap();
    let every = all(db).await;
    let list = async |filter| db.mismatches(filter).await.unwrap();
    let none = MismatchFilter::default();
    assert_eq!(list(MismatchFilter { job: Some(id), ..none }).await, [every[0].clone(), every[2].clone()]);
    assert_eq!(list(MismatchFilter { open: Some(true), ..none }).await, every[1..]);
    assert_eq!(list(MismatchFilter { job: Some(id), chunk: Some(ChunkIndex(1)), ..none }).await, every[2..]);
    assert_eq!(list(MismatchFilter { open: Some(false), ..none }).await, every[..1]);
    assert_eq!(list(MismatchFilter { after: every[0].id, limit: 1, ..none }).await, every[1..2]);
    let gap = NewMismatch {
        kind: Kind::Gap,
        store: DataStore::Embedded,
        detector: Detector::Hot,
        at: Timestamp(1_500),
        ..mismatch(id, None)
    };
    db.open_mismatch(&gap, Basis::Nothing).await.unwrap();
    let gap = [all(db).await[3].clone()];
    assert_eq!(list(MismatchFilter { kind: Some(Kind::Gap), ..none }).await, gap);
    assert_eq!(list(MismatchFilter { store: Some(DataStore::Embedded), job: Some(id), ..none }).await, gap);
    assert_eq!(list(MismatchFilter { store: Some(DataStore::Redis), kind: Some(Kind::Gap), ..none }).await, []);
    assert_eq!(list(MismatchFilter { kind: Some(Kind::Checksum), open: Some(true), ..none }).await, every[1..]);
    assert_eq!(list(MismatchFilter { detector: Some(Detector::Hot), ..none }).await, gap);
    assert_eq!(list(MismatchFilter { since: Some(Timestamp(1_500)), ..none }).await, gap);
    assert_eq!(list(MismatchFilter { since: Some(NOW), ..none }).await.len(), 4);
    // Seen again later: it counts as seen since, and its first time stays.
    db.open_mismatch(&NewMismatch { at: Timestamp(2_000), ..mismatch(other, Some(0)) }, Basis::Nothing).await.unwrap();
    let seen_since = MismatchFilter { seen_since: Some(Timestamp(1_501)), ..none };
    assert_eq!(list(seen_since).await.iter().map(|found| found.id).collect::<Vec<_>>(), [every[1].id]);
    assert_eq!(list(MismatchFilter { since: Some(Timestamp(1_501)), ..none }).await, []);
    let project = Some(job(db, id).await.project);
    assert_eq!(list(MismatchFilter { project, ..none }).await.len(), 4);
    let orphan = NewMismatch { kind: Kind::Orphan, ..mismatch(id, Some(7)) };
    let orphan = open(db, &orphan).await;
    let of_seven = MismatchFilter { job: Some(id), chunk: Some(ChunkIndex(7)), ..none };
    assert_eq!(list(of_seven).await.iter().map(|found| found.id).collect::<Vec<_>>(), [orphan]);
    assert_eq!(list(MismatchFilter { of_logs: true, ..of_seven }).await, []);
    assert_eq!(list(MismatchFilter { of_logs: true, ..none }).await.len(), 4);
    db.resolve_mismatch(orphan, Resolution::Acknowledged, &note("known"), NOW).await.unwrap();
    let elsewhere = NewJob { project_path: "group/other".to_owned(), ..new_job(JobStatus::Running) };
    let elsewhere = db.create_job(elsewhere).await.unwrap();
    let there = open(db, &mismatch(elsewhere.id, Some(0))).await;
    let there = [db.mismatch(there).await.unwrap().unwrap()];
    assert_eq!(list(MismatchFilter { project: Some(elsewhere.project), ..none }).await, there);
    assert_eq!(list(MismatchFilter { project, job: Some(elsewhere.id), ..none }).await, []);
    for chunk in 10..120 {
        db.open_mismatch(&mismatch(other, Some(chunk)), Basis::Nothing).await.unwrap();
    }
    assert_eq!(all(db).await.len(), 100);
}

pub async fn corrupt_traces_are_counted_by_kind_and_store(db: &dyn Database) {
    let none = CorruptTraces::default();
    assert_eq!(db.corrupt_traces().await.unwrap(), none);
    let (id, other) = (running(db).await, running(db).await);
    for (job, chunk) in [(id, 0), (id, 1), (other, 0)] {
        db.open_mismatch(&mismatch(job, Some(chunk)), Basis::Nothing).await.unwrap();
    }
    let gap = NewMismatch { kind: Kind::Gap, store: DataStore::Embedded, ..mismatch(other, Some(2)) };
    db.open_mismatch(&gap, Basis::Nothing).await.unwrap();
    let checksum = (Kind::Checksum, DataStore::Redis);
    let by_kind = vec![(checksum.0, checksum.1, 2), (Kind::Gap, DataStore::Embedded, 1)];
    assert_eq!(db.corrupt_traces().await.unwrap(), CorruptTraces { by_kind, traces: 2 });
    db.resolve_mismatches(other, None, Resolution::Acknowledged, &note("known"), NOW).await.unwrap();
    let by_kind = vec![(checksum.0, checksum.1, 1)];
    assert_eq!(db.corrupt_traces().await.unwrap(), CorruptTraces { by_kind, traces: 1 });
}

pub async fn what_harms_no_log_makes_no_trace_corrupt(db: &dyn Database) {
    for kind in Kind::ALL {
        let (kind, job) = (*kind, running(db).await);
        db.open_mismatch(&NewMismatch { kind, ..mismatch(job, Some(0)) }, Basis::Nothing).await.unwrap();
        let CorruptTraces { by_kind, traces } = db.corrupt_traces().await.unwrap();
        assert_eq!((by_kind, traces), (vec![(kind, DataStore::Redis, 1)], u64::from(kind.is_of_a_log())), "{kind:?}");
        db.resolve_mismatches(job, None, Resolution::Acknowledged, &note("known"), NOW).await.unwrap();
    }
}

pub async fn a_mismatch_is_opened_only_while_what_it_was_measured_against_is_unchanged(db: &dyn Database) {
    let id = running(db).await;
    db.open_chunk(id, FIRST, ChunkIndex(0), NOW).await.unwrap();
    let before = row(db, id, 0).await.unwrap().version;
    let after = seal(db, id, 0, &bytes("12345678"), NOW).await.version;
    let found = mismatch(id, Some(0));
    let other = NewMismatch { kind: Kind::Gap, ..mismatch(id, Some(0)) };

    assert_eq!(db.open_mismatch(&found, Basis::Row(before)).await.unwrap(), Opened::Moved);
    assert!(matches!(db.open_mismatch(&found, Basis::Row(after)).await.unwrap(), Opened::New(_)));
    assert_eq!(db.open_mismatch(&found, Basis::Row(after)).await.unwrap(), Opened::Known);
    assert_eq!(db.open_mismatch(&other, Basis::Trace(Epoch(2))).await.unwrap(), Opened::Moved);
    assert!(matches!(db.open_mismatch(&other, Basis::Trace(FIRST)).await.unwrap(), Opened::New(_)));
    assert_eq!(all(db).await.len(), 2);
}

pub async fn notifications_are_due_until_they_are_done(db: &dyn Database) {
    let id = running(db).await;
    let at = |chunk, notify_at: Option<i64>| NewMismatch {
        notify_at: notify_at.map(Timestamp),
        ..mismatch(id, Some(chunk))
    };
    let [late, early, never, healed] = [at(0, Some(3_000)), at(1, Some(2_000)), at(2, None), at(3, Some(4_000))];
    let (late, early) = (open(db, &late).await, open(db, &early).await);
    open(db, &never).await;
    let healed = open(db, &healed).await;
    // Somebody is told of it even if it was healed meanwhile.
    db.resolve_mismatches(id, Some(ChunkIndex(3)), Resolution::Resent, &note("resent"), NOW).await.unwrap();
    let due = async |now, limit| {
        let due = db.due_notifications(Timestamp(now), limit).await.unwrap();
        due.into_iter().map(|due| due.id).collect::<Vec<_>>()
    };
    assert_eq!(due(1_999, 9).await, [0; 0]);
    assert_eq!(due(2_000, 9).await, [early]);
    assert_eq!(due(9_000, 9).await, [early, late, healed]);
    assert_eq!(due(9_000, 2).await, [early, late]);
    // What failed goes to the back; what is done stays done, whatever a slower node says.
    db.set_notification(early, Some(Timestamp(5_000))).await.unwrap();
    assert_eq!(due(9_000, 9).await, [late, healed, early]);
    assert_eq!(due(4_999, 9).await, [late, healed]);
    db.set_notification(late, None).await.unwrap();
    db.set_notification(late, Some(Timestamp(1))).await.unwrap();
    assert_eq!(due(9_000, 9).await, [healed, early]);
    assert_eq!(db.mismatch(late).await.unwrap().unwrap().what.notify_at, None);
    db.set_notification(99, Some(Timestamp(1))).await.unwrap();
}

/// What a node of the version before writes beside this one: a mismatch of job 1, resolved by itself.
pub(super) const OF_AN_OLDER_VERSION: &str = "
    INSERT INTO mismatches (job_id, chunk_index, epoch, kind, store, detector, expected, found, first_seen, last_seen)
    VALUES (1, 0, 1, 'checksum', 'redis', 'migrate', '{}', '{}', 1000, 1000);
    UPDATE mismatches SET resolution = 'repaired', resolved_at = 2000 WHERE job_id = 1";

/// It says less, nobody is told of it, and it is read all the same.
pub(super) async fn reads_what_an_older_version_wrote(db: &dyn Database) {
    let [known] = all(db).await.try_into().unwrap();
    let what = NewMismatch {
        run: None,
        node: String::new(),
        expected: Found::default(),
        found: Found::default(),
        first_difference: None,
        notify_at: None,
        ..mismatch(JobId(1), Some(0))
    };
    let resolved = Some((Resolution::Repaired, Timestamp(2_000)));
    assert_eq!(
        known,
        Mismatch { id: known.id, what, last_seen: NOW, times_seen: 1, drill: None, resolved, note: None }
    );
}
