//! What was found to be wrong.

use veritail::store::database::{
    Basis, Database, Found, Mismatch, MismatchFilter, NewMismatch, Note, Opened, Resolution,
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
        expected: (&bytes("12345678")).into(),
        found: Found { offset: Some(Offset(3)), size: Some(ByteSize(4)), ..Found::default() },
        at: NOW,
    }
}

async fn all(db: &dyn Database) -> Vec<Mismatch> {
    db.mismatches(MismatchFilter::default()).await.unwrap()
}

pub async fn a_mismatch_is_counted_once_while_open(db: &dyn Database) {
    let id = running(db).await;
    let first = mismatch(id, Some(0));
    assert_eq!(db.open_mismatch(&first, Basis::Nothing).await.unwrap(), Opened::New);
    // Who finds it again, and what was seen then, makes no other mismatch of it; nor does an older sighting.
    for at in [2_000, 500] {
        let again =
            NewMismatch { at: Timestamp(at), detector: Detector::Read, found: Found::default(), ..first.clone() };
        assert_eq!(db.open_mismatch(&again, Basis::Nothing).await.unwrap(), Opened::Known);
    }
    let listed = all(db).await;
    assert_eq!(listed.len(), 1);
    assert_eq!((&listed[0].what, listed[0].last_seen, listed[0].resolved), (&first, Timestamp(2_000), None));

    let others = [
        mismatch(id, None),
        mismatch(id, Some(1)),
        mismatch(running(db).await, Some(0)),
        NewMismatch { epoch: Epoch(2), ..first.clone() },
        NewMismatch { kind: Kind::Missing, ..first.clone() },
        NewMismatch { store: DataStore::ObjectStore, ..first.clone() },
    ];
    for other in &others {
        assert_eq!(db.open_mismatch(other, Basis::Nothing).await.unwrap(), Opened::New);
        assert_eq!(db.open_mismatch(other, Basis::Nothing).await.unwrap(), Opened::Known);
    }
    assert_eq!(all(db).await.len(), 1 + others.len());
}

/// Whoever looked at a closed trace may come after it was erased, which is forgotten with everything that was wrong with it.
pub async fn on_an_erased_trace_no_mismatch_of_the_closed_one_is_opened(db: &dyn Database) {
    let id = running(db).await;
    let open = async |chunk| db.open_mismatch(&mismatch(id, Some(chunk)), Basis::Closed(FIRST)).await.unwrap();
    assert_eq!(open(0).await, Opened::Moved, "it is not closed");
    endings::close(db, id).await;
    assert_eq!((open(0).await, open(0).await), (Opened::New, Opened::Known));
    db.erase(id, "admin", NOW, NOW).await.unwrap();
    assert_eq!((open(0).await, open(1).await), (Opened::Moved, Opened::Moved));
    let open = MismatchFilter { open: Some(true), ..MismatchFilter::default() };
    assert_eq!(db.mismatches(open).await.unwrap(), []);
}

pub async fn a_resolved_mismatch_stays_and_may_open_again(db: &dyn Database) {
    let id = running(db).await;
    assert_eq!(db.open_mismatch(&mismatch(id, Some(0)), Basis::Nothing).await.unwrap(), Opened::New);
    assert_eq!(db.open_mismatch(&mismatch(id, None), Basis::Nothing).await.unwrap(), Opened::New);
    assert_eq!(db.resolve_mismatches(id, None, Resolution::Repaired, Timestamp(5)).await.unwrap(), 2);
    assert_eq!(db.resolve_mismatches(id, None, Resolution::Resent, Timestamp(6)).await.unwrap(), 0);
    assert_eq!(db.open_mismatch(&mismatch(id, Some(0)), Basis::Nothing).await.unwrap(), Opened::New);
    let resolved: Vec<_> = all(db).await.into_iter().map(|mismatch| mismatch.resolved).collect();
    let repaired = Some((Resolution::Repaired, Timestamp(5)));
    assert_eq!(resolved, [repaired, repaired, None]);
}

pub async fn resolving_one_chunk_leaves_the_others(db: &dyn Database) {
    let (id, other) = (running(db).await, running(db).await);
    for (job, chunk) in [(id, Some(0)), (id, Some(1)), (id, None), (other, Some(0))] {
        db.open_mismatch(&mismatch(job, chunk), Basis::Nothing).await.unwrap();
    }
    assert_eq!(db.resolve_mismatches(id, Some(ChunkIndex(0)), Resolution::Resent, NOW).await.unwrap(), 1);
    let open: Vec<_> = all(db).await.into_iter().map(|mismatch| mismatch.resolved.is_none()).collect();
    assert_eq!(open, [false, true, true, true]);
}

pub async fn a_person_takes_note_of_an_open_mismatch_once(db: &dyn Database) {
    let id = running(db).await;
    db.open_mismatch(&mismatch(id, Some(0)), Basis::Nothing).await.unwrap();
    db.open_mismatch(&mismatch(id, Some(1)), Basis::Nothing).await.unwrap();
    let [first, second] = [all(db).await[0].clone(), all(db).await[1].clone()];
    let note = Note { by: "admin".to_owned(), comment: "the disk was replaced".to_owned() };
    let noted = db.acknowledge_mismatch(first.id, &note, Timestamp(7)).await.unwrap().unwrap();
    assert_eq!(noted.resolved, Some((Resolution::Acknowledged, Timestamp(7))));
    assert_eq!((noted.note.as_ref(), &noted.what), (Some(&note), &first.what));
    let other = Note { by: "somebody".to_owned(), comment: "else".to_owned() };
    assert_eq!(db.acknowledge_mismatch(first.id, &other, Timestamp(8)).await.unwrap(), Some(noted.clone()));
    assert_eq!(all(db).await, [noted, second.clone()]);

    // What something else resolved has nobody's note, and gets none.
    db.resolve_mismatches(id, None, Resolution::Resent, Timestamp(9)).await.unwrap();
    let resent = db.acknowledge_mismatch(second.id, &note, Timestamp(10)).await.unwrap().unwrap();
    assert_eq!((resent.resolved, resent.note), (Some((Resolution::Resent, Timestamp(9))), None));
    assert_eq!(db.acknowledge_mismatch(99, &note, Timestamp(10)).await.unwrap(), None);
}

pub async fn mismatches_are_filtered_and_paged(db: &dyn Database) {
    let (id, other) = (running(db).await, running(db).await);
    for (job, chunk) in [(id, 0), (other, 0), (id, 1)] {
        db.open_mismatch(&mismatch(job, Some(chunk)), Basis::Nothing).await.unwrap();
    }
    db.resolve_mismatches(id, Some(ChunkIndex(0)), Resolution::Erased, NOW).await.unwrap();
    let every = all(db).await;
    let list = async |filter| db.mismatches(filter).await.unwrap();
    let none = MismatchFilter::default();
    assert_eq!(list(MismatchFilter { job: Some(id), ..none }).await, [every[0].clone(), every[2].clone()]);
    assert_eq!(list(MismatchFilter { open: Some(true), ..none }).await, every[1..]);
    assert_eq!(list(MismatchFilter { open: Some(false), ..none }).await, every[..1]);
    assert_eq!(list(MismatchFilter { after: every[0].id, limit: 1, ..none }).await, every[1..2]);
    let gap = NewMismatch { kind: Kind::Gap, store: DataStore::Embedded, ..mismatch(id, None) };
    db.open_mismatch(&gap, Basis::Nothing).await.unwrap();
    let gap = [all(db).await[3].clone()];
    assert_eq!(list(MismatchFilter { kind: Some(Kind::Gap), ..none }).await, gap);
    assert_eq!(list(MismatchFilter { store: Some(DataStore::Embedded), job: Some(id), ..none }).await, gap);
    assert_eq!(list(MismatchFilter { store: Some(DataStore::Redis), kind: Some(Kind::Gap), ..none }).await, []);
    assert_eq!(list(MismatchFilter { kind: Some(Kind::Checksum), open: Some(true), ..none }).await, every[1..]);
    for chunk in 10..120 {
        db.open_mismatch(&mismatch(other, Some(chunk)), Basis::Nothing).await.unwrap();
    }
    assert_eq!(all(db).await.len(), 100);
}

pub async fn corrupt_traces_are_counted_by_kind_and_store(db: &dyn Database) {
    assert_eq!(db.corrupt_traces().await.unwrap(), []);
    let (id, other) = (running(db).await, running(db).await);
    for (job, chunk) in [(id, 0), (id, 1), (other, 0)] {
        db.open_mismatch(&mismatch(job, Some(chunk)), Basis::Nothing).await.unwrap();
    }
    let gap = NewMismatch { kind: Kind::Gap, store: DataStore::Embedded, ..mismatch(other, Some(2)) };
    db.open_mismatch(&gap, Basis::Nothing).await.unwrap();
    let checksum = (Kind::Checksum, DataStore::Redis);
    assert_eq!(db.corrupt_traces().await.unwrap(), [(checksum.0, checksum.1, 2), (Kind::Gap, DataStore::Embedded, 1)]);
    db.resolve_mismatches(other, None, Resolution::Acknowledged, NOW).await.unwrap();
    assert_eq!(db.corrupt_traces().await.unwrap(), [(checksum.0, checksum.1, 1)]);
}

pub async fn a_mismatch_is_opened_only_while_what_it_was_measured_against_is_unchanged(db: &dyn Database) {
    let id = running(db).await;
    db.open_chunk(id, FIRST, ChunkIndex(0), NOW).await.unwrap();
    let before = row(db, id, 0).await.unwrap().version;
    let after = seal(db, id, 0, &bytes("12345678"), NOW).await.version;
    let found = mismatch(id, Some(0));
    let other = NewMismatch { kind: Kind::Gap, ..mismatch(id, Some(0)) };

    assert_eq!(db.open_mismatch(&found, Basis::Row(before)).await.unwrap(), Opened::Moved);
    assert_eq!(db.open_mismatch(&found, Basis::Row(after)).await.unwrap(), Opened::New);
    assert_eq!(db.open_mismatch(&found, Basis::Row(after)).await.unwrap(), Opened::Known);
    assert_eq!(db.open_mismatch(&other, Basis::Trace(Epoch(2))).await.unwrap(), Opened::Moved);
    assert_eq!(db.open_mismatch(&other, Basis::Trace(FIRST)).await.unwrap(), Opened::New);
    assert_eq!(all(db).await.len(), 2);
}
