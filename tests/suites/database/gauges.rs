//! What waits and what is unfinished.

use std::time::Duration;

use bytes::Bytes;
use veritail::store::database::{Backlog, Contact, Database, Unfinished};
use veritail::store::object::ObjectStore;
use veritail::trace::{ByteSize, ChunkIndex, JobStatus, Offset, Timestamp};

use super::*;

pub async fn waiting_chunks_come_oldest_first(db: &dyn Database) {
    let (one, two) = (running(db).await, running(db).await);
    let bytes = bytes("12345678");
    seal(db, one, 0, &bytes, Timestamp(30)).await;
    seal(db, two, 0, &bytes, Timestamp(10)).await;
    let youngest = seal(db, two, 1, &bytes, Timestamp(40)).await;
    seal(db, one, 1, &bytes, Timestamp(10)).await;
    db.open_chunk(one, FIRST, ChunkIndex(2), Timestamp(1)).await.unwrap();
    let waiting = async |until: i64, limit: u32| {
        let waiting = db.waiting(Timestamp(until), limit).await.unwrap();
        waiting.into_iter().map(|waiting| (waiting.job, waiting.row.index.0)).collect::<Vec<_>>()
    };
    assert_eq!(waiting(30, 10).await, [(one, 1), (two, 0), (one, 0)]);
    assert_eq!(waiting(29, 10).await, [(one, 1), (two, 0)]);
    assert_eq!(waiting(100, 1).await, [(one, 1)]);
    assert_eq!(waiting(9, 10).await, []);
    let all = db.waiting(Timestamp(100), 10).await.unwrap();
    assert_eq!(all[3].row, youngest);
    assert!(db.persist(two, ChunkIndex(1), youngest.version, &object("k"), NOW).await.unwrap());
    assert_eq!(waiting(100, 10).await.len(), 3);
}

pub async fn the_backlog_counts_sealed_chunks(db: &dyn Database) {
    assert_eq!(db.backlog().await.unwrap(), Backlog::default());
    let id = running(db).await;
    seal(db, id, 0, &bytes("12345678"), Timestamp(30)).await;
    let first = seal(db, id, 1, &bytes("123"), Timestamp(20)).await;
    persist(db, id, 2, &bytes("12345678")).await;
    let both = Backlog { chunks: 2, bytes: ByteSize(11), oldest: Some(Timestamp(20)) };
    assert_eq!(db.backlog().await.unwrap(), both);
    assert!(db.persist(id, ChunkIndex(1), first.version, &object("k"), NOW).await.unwrap());
    let one = Backlog { chunks: 1, bytes: ByteSize(8), oldest: Some(Timestamp(30)) };
    assert_eq!(db.backlog().await.unwrap(), one);
}

pub async fn what_lies_in_the_database_waits_oldest_first_and_is_counted(db: &dyn Database, kept: &dyn ObjectStore) {
    assert_eq!((db.spill().await.unwrap(), db.spilled(10).await.unwrap()), (Backlog::default(), Vec::new()));
    let id = running(db).await;
    for (index, text, at) in [(0, "12345678", 30), (1, "123", 20), (2, "12345678", 10)] {
        let row = seal(db, id, index, &bytes(text), NOW).await;
        let to = if index < 2 { spill(kept, &format!("{id}-{index}")).await } else { object("k") };
        assert!(db.persist(id, ChunkIndex(index), row.version, &to, Timestamp(at)).await.unwrap());
    }
    let spilled = async |limit| db.spilled(limit).await.unwrap().into_iter().map(|waiting| waiting.row.index.0);
    assert_eq!(spilled(10).await.collect::<Vec<_>>(), [1, 0]);
    assert_eq!(spilled(1).await.collect::<Vec<_>>(), [1]);
    let both = Backlog { chunks: 2, bytes: ByteSize(11), oldest: Some(Timestamp(20)) };
    assert_eq!(db.spill().await.unwrap(), both);

    let first = row(db, id, 1).await.unwrap();
    assert!(db.persist(id, ChunkIndex(1), first.version, &object("later"), Timestamp(40)).await.unwrap());
    let one = Backlog { chunks: 1, bytes: ByteSize(8), oldest: Some(Timestamp(30)) };
    assert_eq!(db.spill().await.unwrap(), one);
}

/// Bytes that no row names go after their grace; `bytes` is where this database keeps them.
pub async fn unnamed_bytes_are_removed(db: &dyn Database, kept: &dyn ObjectStore) {
    let id = running(db).await;
    let row = seal(db, id, 0, &bytes("12345678"), NOW).await;
    for key in ["named", "unnamed"] {
        kept.put(key, Bytes::from_static(b"12345678")).await.unwrap();
    }
    assert!(db.persist(id, ChunkIndex(0), row.version, &in_database("named"), NOW).await.unwrap());
    assert_eq!(db.remove_unnamed_bytes(Duration::from_secs(3600)).await.unwrap(), 0);
    assert_eq!(db.remove_unnamed_bytes(Duration::ZERO).await.unwrap(), 1);
    assert_eq!(kept.get_whole("unnamed").await.unwrap(), None);
    assert!(kept.get_whole("named").await.unwrap().is_some());
}

pub async fn unfinished_counts_ended_jobs_and_live_bytes(db: &dyn Database) {
    assert_eq!(db.unfinished().await.unwrap(), Unfinished::default());
    let mut jobs = Vec::new();
    for _ in 0..6 {
        jobs.push(running(db).await);
    }
    db.end(jobs[0], &success(), Timestamp(50), None).await.unwrap();
    db.end(jobs[1], &success(), Timestamp(40), None).await.unwrap();
    db.cancel(jobs[2], NOW).await.unwrap();
    db.end(jobs[2], &success(), Timestamp(60), None).await.unwrap();
    db.end(jobs[3], &vanished(), Timestamp(70), None).await.unwrap();
    endings::close(db, jobs[4]).await;

    // One chunk persistent, one sealed, and 19 bytes acknowledged behind them: three chunks begun.
    persist(db, jobs[5], 0, &bytes("12345678")).await;
    seal(db, jobs[5], 1, &bytes("12345678"), NOW).await;
    db.open_chunk(jobs[5], FIRST, ChunkIndex(2), NOW).await.unwrap();
    let acked = |job, length| Contact { job, made_at: NOW, acked_length: Offset(length), at: NOW };
    db.note_contacts(&[acked(jobs[5], 35), acked(jobs[4], 100), acked(jobs[0], 1)], NOW).await.unwrap();
    let unfinished = db.unfinished().await.unwrap();
    assert_eq!(
        unfinished.ended,
        [
            (JobStatus::Success, 2, Timestamp(40)),
            (JobStatus::Failed, 1, Timestamp(70)),
            (JobStatus::Canceled, 1, Timestamp(60)),
        ]
    );
    assert_eq!((unfinished.live_bytes, unfinished.live_chunks), (ByteSize(8 + 19 + 1), 1 + 3 + 1));
}

pub async fn ping_answers(db: &dyn Database) {
    db.ping(Duration::from_secs(10)).await.unwrap();
}
