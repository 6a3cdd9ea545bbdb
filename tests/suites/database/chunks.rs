//! The rows of chunks.

use veritail::store::database::{Database, Recorded, Rewind, RowOpened};
use veritail::store::object::ObjectStore;
use veritail::trace::{ChunkIndex, ChunkRow, ChunkState, Epoch, JobId, Location, Record, Version};

use super::*;

async fn record(
    db: &dyn Database,
    job: JobId,
    (epoch, index, begun): (u32, u32, u32),
    record: &Record,
    next: Option<u32>,
) -> Recorded {
    let next = next.map(ChunkIndex);
    db.record(job, Epoch(epoch), ChunkIndex(index), Epoch(begun), record, next, NOW).await.unwrap()
}

fn sealed(index: u32, epoch: Epoch, version: i64, record: Record) -> Option<ChunkRow> {
    Some(ChunkRow {
        index: ChunkIndex(index),
        epoch,
        version: Version(version),
        state: ChunkState::Sealed { record },
        persisted_at: None,
    })
}

fn empty(index: u32, epoch: Epoch) -> Option<ChunkRow> {
    Some(ChunkRow {
        index: ChunkIndex(index),
        epoch,
        version: Version::FIRST,
        state: ChunkState::Open,
        persisted_at: None,
    })
}

pub async fn a_chunk_is_opened_once_and_only_in_an_open_trace(db: &dyn Database) {
    let id = running(db).await;
    let open = async |epoch: u32, index: u32| db.open_chunk(id, Epoch(epoch), ChunkIndex(index), NOW).await.unwrap();
    assert_eq!(open(1, 0).await, RowOpened::Ready);
    assert_eq!(open(1, 0).await, RowOpened::Ready);
    assert_eq!(row(db, id, 0).await, empty(0, FIRST));
    assert_eq!(open(2, 1).await, RowOpened::Stale);
    assert_eq!(row(db, id, 1).await, None);
    let before = seal(db, id, 0, &bytes("12345678"), NOW).await;
    assert_eq!(open(1, 0).await, RowOpened::Recorded);
    assert_eq!(row(db, id, 0).await, Some(before));
    assert!(db.rewind(id, &jobs::measured(db, id, jobs::rewind(&[0])).await).await.unwrap());
    assert_eq!(open(2, 0).await, RowOpened::Ready);
    db.end(id, &success(), NOW, None).await.unwrap();
    assert_eq!(open(2, 5).await, RowOpened::Stale);
    assert_eq!(row(db, id, 5).await, None);
}

pub async fn a_record_seals_and_makes_the_next_two_rows(db: &dyn Database) {
    let id = running(db).await;
    let first = bytes("12345678");
    db.open_chunk(id, FIRST, ChunkIndex(0), NOW).await.unwrap();
    assert_eq!(record(db, id, (1, 0, 1), &first, Some(1)).await, Recorded::Sealed(Version(2)));
    assert_eq!(row(db, id, 0).await, sealed(0, FIRST, 2, first));
    assert_eq!(row(db, id, 1).await, empty(1, FIRST));
    assert_eq!(row(db, id, 2).await, empty(2, FIRST));
    assert_eq!(row(db, id, 3).await, None);

    // A row that was opened before a rewind names the epoch in which its copy was begun.
    assert!(db.rewind(id, &jobs::measured(db, id, jobs::rewind(&[])).await).await.unwrap());
    let second = bytes("abcdefgh");
    assert_eq!(record(db, id, (2, 1, 2), &second, Some(2)).await, Recorded::Sealed(Version(2)));
    assert_eq!(row(db, id, 1).await, sealed(1, SECOND, 2, second));
    assert_eq!(row(db, id, 2).await, empty(2, FIRST));
    assert_eq!(row(db, id, 3).await, empty(3, SECOND));
}

pub async fn a_record_needs_no_row_before_it(db: &dyn Database) {
    let id = running(db).await;
    let whole = bytes("");
    assert_eq!(record(db, id, (1, 3, 1), &whole, None).await, Recorded::Sealed(Version(1)));
    assert_eq!(row(db, id, 3).await, sealed(3, FIRST, 1, whole));
    assert_eq!(db.chunks(id, ChunkIndex(0), 10).await.unwrap().len(), 1);
}

pub async fn the_same_record_again_changes_nothing(db: &dyn Database) {
    let id = running(db).await;
    let bytes = bytes("12345678");
    let before = seal(db, id, 0, &bytes, NOW).await;
    assert_eq!(record(db, id, (1, 0, 1), &bytes, None).await, Recorded::Known);
    assert_eq!(row(db, id, 0).await, Some(before.clone()));
    // But for the next row, which may not have been made.
    assert_eq!(record(db, id, (1, 0, 1), &bytes, Some(1)).await, Recorded::Known);
    assert_eq!(row(db, id, 1).await, empty(1, FIRST));
    db.persist(id, ChunkIndex(0), before.version, &object("k"), NOW).await.unwrap();
    let before = row(db, id, 0).await;
    assert_eq!(record(db, id, (1, 0, 1), &bytes, None).await, Recorded::Known);
    assert_eq!(row(db, id, 0).await, before);
}

pub async fn another_record_is_a_conflict_and_changes_nothing(db: &dyn Database) {
    let id = running(db).await;
    let before = seal(db, id, 0, &bytes("12345678"), NOW).await;
    persist(db, id, 2, &bytes("12345678")).await;
    assert_eq!(record(db, id, (1, 0, 1), &bytes("abcdefgh"), Some(1)).await, Recorded::Conflict);
    assert_eq!(row(db, id, 0).await, Some(before));
    assert_eq!(row(db, id, 1).await, None);
    assert_eq!(record(db, id, (1, 2, 1), &bytes("abcdefgh"), Some(3)).await, Recorded::Conflict);
    assert_eq!(row(db, id, 3).await, None);
}

pub async fn a_record_of_another_epoch_is_stale(db: &dyn Database) {
    let id = running(db).await;
    assert!(db.rewind(id, &jobs::measured(db, id, jobs::rewind(&[])).await).await.unwrap());
    for epoch in [1, 3] {
        assert_eq!(record(db, id, (epoch, 0, 1), &bytes("12345678"), Some(1)).await, Recorded::Stale);
    }
    assert_eq!(db.chunks(id, ChunkIndex(0), 10).await.unwrap(), []);
    assert_eq!(record(db, JobId(404), (1, 0, 1), &bytes("12345678"), Some(1)).await, Recorded::Stale);
}

pub async fn a_closing_trace_takes_records(db: &dyn Database) {
    let id = running(db).await;
    db.end(id, &success(), NOW, None).await.unwrap();
    assert_eq!(record(db, id, (1, 0, 1), &bytes("12"), None).await, Recorded::Sealed(Version(1)));
    assert_eq!(row(db, id, 0).await, sealed(0, FIRST, 1, bytes("12")));
}

pub async fn a_hole_filled_with_the_same_bytes_is_sealed_or_persisted_again(db: &dyn Database) {
    let id = running(db).await;
    let bytes = bytes("12345678");
    let kept = persist(db, id, 0, &bytes).await;
    persist(db, id, 1, &bytes).await;
    let rewind = Rewind { everything: true, ..jobs::rewind(&[1]) };
    assert!(db.rewind(id, &jobs::measured(db, id, rewind.clone()).await).await.unwrap());

    // The copy that was kept is the one that the row speaks of, with its epoch.
    assert_eq!(record(db, id, (2, 0, 2), &bytes, None).await, Recorded::RefilledSame);
    let state = ChunkState::Persisted { record: bytes, at: kept };
    let row_of_kept =
        ChunkRow { index: ChunkIndex(0), epoch: FIRST, version: Version(4), state, persisted_at: Some(NOW) };
    assert_eq!(row(db, id, 0).await, Some(row_of_kept));

    assert_eq!(record(db, id, (2, 1, 2), &bytes, Some(2)).await, Recorded::RefilledSame);
    assert_eq!(row(db, id, 1).await, sealed(1, SECOND, 4, bytes));
    assert_eq!(row(db, id, 2).await, empty(2, SECOND));
}

pub async fn a_hole_filled_with_other_bytes_has_a_new_record(db: &dyn Database) {
    let id = running(db).await;
    persist(db, id, 0, &bytes("12345678")).await;
    let rewind = Rewind { everything: true, ..jobs::rewind(&[1]) };
    assert!(db.rewind(id, &jobs::measured(db, id, rewind.clone()).await).await.unwrap());
    let other = bytes("abcdefgh");
    assert_eq!(record(db, id, (2, 0, 2), &other, None).await, Recorded::Refilled);
    assert_eq!(row(db, id, 0).await, sealed(0, SECOND, 4, other));
    assert_eq!(record(db, id, (2, 1, 2), &other, None).await, Recorded::Refilled);
    assert_eq!(row(db, id, 1).await, sealed(1, SECOND, 2, other));
}

pub async fn a_copy_begun_before_it_was_asked_for_does_not_fill_a_hole(db: &dyn Database) {
    let id = running(db).await;
    let bytes = bytes("12345678");
    seal(db, id, 0, &bytes, NOW).await;
    assert!(db.rewind(id, &jobs::measured(db, id, jobs::rewind(&[0])).await).await.unwrap());
    let before = row(db, id, 0).await;
    assert_eq!(record(db, id, (2, 0, 1), &bytes, Some(1)).await, Recorded::Stale);
    assert_eq!((row(db, id, 0).await, row(db, id, 1).await), (before, None));
}

pub async fn persisting_needs_a_sealed_row_of_this_version(db: &dyn Database) {
    let id = running(db).await;
    let bytes = bytes("12345678");
    let persist =
        async |index: u32, version, to: &Location| db.persist(id, ChunkIndex(index), version, to, NOW).await.unwrap();
    db.open_chunk(id, FIRST, ChunkIndex(0), NOW).await.unwrap();
    assert!(!persist(0, Version::FIRST, &object("k")).await);
    assert!(!persist(7, Version::FIRST, &object("k")).await);
    let sealed = seal(db, id, 0, &bytes, NOW).await;
    assert!(!persist(0, Version(sealed.version.0 - 1), &object("k")).await);
    assert!(persist(0, sealed.version, &object("k")).await);
    let state = ChunkState::Persisted { record: bytes, at: object("k") };
    assert_eq!(row(db, id, 0).await, Some(ChunkRow { version: Version(3), state, persisted_at: Some(NOW), ..sealed }));
    // A repair: the same bytes under another key.
    assert!(persist(0, Version(3), &object("other")).await);
    assert!(!persist(0, Version(3), &object("late")).await);
}

/// A node that was paused between writing bytes and naming them may come after they were removed as nobody's.
pub async fn a_copy_in_the_database_needs_its_bytes_there(db: &dyn Database, kept: &dyn ObjectStore) {
    let id = running(db).await;
    let record = bytes("12345678");
    let sealed = seal(db, id, 0, &record, NOW).await;
    let gone = spill(kept, "gone").await;
    kept.delete("gone").await.unwrap();
    assert!(!db.persist(id, ChunkIndex(0), sealed.version, &gone, NOW).await.unwrap());
    assert_eq!(row(db, id, 0).await, Some(sealed.clone()), "it waits as before");
    let there = spill(kept, "there").await;
    assert!(db.persist(id, ChunkIndex(0), sealed.version, &there, NOW).await.unwrap());
    let state = ChunkState::Persisted { record, at: there };
    assert_eq!(row(db, id, 0).await.map(|row| row.state), Some(state));
}

pub async fn rows_are_listed_in_order_from_an_index(db: &dyn Database) {
    let (id, other) = (running(db).await, running(db).await);
    for index in [5, 0, 3] {
        db.open_chunk(id, FIRST, ChunkIndex(index), NOW).await.unwrap();
        db.open_chunk(other, FIRST, ChunkIndex(index + 1), NOW).await.unwrap();
    }
    let list = async |from: u32, limit: u32| {
        let rows = db.chunks(id, ChunkIndex(from), limit).await.unwrap();
        rows.into_iter().map(|row| row.index.0).collect::<Vec<_>>()
    };
    assert_eq!(list(0, 10).await, [0, 3, 5]);
    assert_eq!(list(1, 1).await, [3]);
    assert_eq!(list(5, 10).await, [5]);
    assert!(list(6, 10).await.is_empty());
}

pub async fn of_many_records_at_once_one_wins(db: &dyn Database) {
    let id = running(db).await;
    let records: Vec<_> = (0..10).map(|number| bytes(&format!("{number}234567"))).collect();
    let answers = records.iter().map(|bytes| record(db, id, (1, 0, 1), bytes, Some(1)));
    let answers = futures::future::join_all(answers).await;
    let won = Recorded::Sealed(Version(1));
    let winners: Vec<_> = answers.iter().zip(&records).filter(|(answer, _)| **answer == won).collect();
    assert_eq!(winners.len(), 1);
    assert_eq!(row(db, id, 0).await, sealed(0, FIRST, 1, *winners[0].1));
    assert_eq!(answers.iter().filter(|answer| **answer == Recorded::Conflict).count(), 9);
}
