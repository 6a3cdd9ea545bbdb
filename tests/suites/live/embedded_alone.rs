//! What only the embedded store promises: it is there again after any end of its process, and appends share the disk.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use veritail::store::StoreError;
use veritail::store::live::embedded::EmbeddedLive;
use veritail::store::live::{Entry, Found, LiveStore, Outcome};
use veritail::trace::{ByteSize, JobId, JobStatus};

use super::manual_clock;
use super::steps::{JOB, append, append_of, bury, bytes, chunk, load, open, scan};
use crate::support::clock::ManualClock;

fn reopen(folder: &Path, clock: Arc<ManualClock>) -> EmbeddedLive {
    EmbeddedLive::open(folder, clock).expect("the folder opens")
}

#[tokio::test]
async fn reopening_keeps_everything_acknowledged() {
    let (clock, folder) = (manual_clock(), tempfile::tempdir().unwrap());
    let store = reopen(folder.path(), clock.clone());
    let mut end = open(&store, JOB).await;
    for part in [&b"0123456789"[..], b"abcdef", b"tail"] {
        end = append(&store, JOB, &end, part).await;
    }
    let buried = open(&store, JobId(43)).await;
    let tombstone = bury(&store, JobId(43), &buried, Some(Duration::from_secs(60))).await;
    store.release(JOB, chunk(0), Duration::from_secs(60)).await.unwrap();
    drop(store);

    let store = reopen(folder.path(), clock.clone());
    assert_eq!(load(&store, JOB).await.unwrap().entry, Entry::Live(end.clone()));
    assert_eq!(load(&store, JobId(43)).await.unwrap().entry, tombstone);
    assert_eq!(bytes(&store, JOB, chunk(0)).await.as_deref(), Some(&b"0123456789abcdef"[..]));
    assert_eq!(bytes(&store, JOB, chunk(1)).await.as_deref(), Some(&b"tail"[..]));
    append(&store, JOB, &end, b" goes on").await;
    assert_eq!(bytes(&store, JOB, chunk(1)).await.as_deref(), Some(&b"tail goes on"[..]));
    drop(store);

    // What expires does so also where it was noted by an earlier process.
    clock.pass(Duration::from_secs(60));
    let store = reopen(folder.path(), clock);
    let rest = [Found::Trace(JOB), Found::Chunk { job: JOB, chunk: chunk(1), released: false, size: ByteSize(12) }];
    assert_eq!(scan(&store, 10).await, rest.into());
}

#[tokio::test]
async fn folder_in_use_is_refused_with_a_clear_error() {
    let folder = tempfile::tempdir().unwrap();
    let _first = reopen(folder.path(), manual_clock());
    match EmbeddedLive::open(folder.path(), manual_clock()) {
        Err(error @ StoreError::Unavailable { .. }) => {
            assert!(error.to_string().contains("another veritail serve uses this data folder"), "{error}");
        }
        Err(error) => panic!("{error:?}"),
        Ok(_) => panic!("two stores on one folder"),
    }
}

#[tokio::test]
async fn appends_that_wait_together_share_a_commit() {
    let folder = tempfile::tempdir().unwrap();
    let store = reopen(folder.path(), manual_clock());
    let jobs = (1..=64).map(JobId);
    let mut ends = join_all(jobs.clone().map(|job| open(&store, job))).await;
    let before = store.stats();
    for _ in 0..8 {
        ends = join_all(jobs.clone().zip(&ends).map(|(job, end)| append(&store, job, end, b"!"))).await;
    }
    let after = store.stats();
    let (writes, commits) = (after.writes - before.writes, after.commits - before.commits);
    assert_eq!(writes, 8 * 64);
    assert!(commits <= writes / 4, "{commits} commits for {writes} appends that waited together");
    for job in jobs {
        assert_eq!(bytes(&store, job, chunk(0)).await.as_deref(), Some(&b"!!!!!!!!"[..]));
    }
}

#[tokio::test]
async fn appends_to_one_copy_in_one_batch_follow_each_other() {
    let folder = tempfile::tempdir().unwrap();
    let store = reopen(folder.path(), manual_clock());
    let end = open(&store, JOB).await;
    let (first, next) = append_of(&end, b"abc");
    let (second, last) = append_of(&next, b"def");
    let outcomes = join_all([store.append(JOB, first), store.append(JOB, second)]).await;
    assert!(outcomes.iter().all(|outcome| matches!(outcome, Ok(Outcome::Stored { .. }))), "{outcomes:?}");
    assert_eq!(bytes(&store, JOB, chunk(0)).await.as_deref(), Some(&b"abcdef"[..]));
    assert_eq!(load(&store, JOB).await.unwrap().entry, Entry::Live(last));
}

#[tokio::test]
async fn append_whose_caller_goes_away_is_whole_or_not_there() {
    let (clock, folder) = (manual_clock(), tempfile::tempdir().unwrap());
    let store = reopen(folder.path(), clock.clone());
    let end = open(&store, JOB).await;
    let (append, next) = append_of(&end, b"abc");
    // Polled once: it is in the committer's queue, and nobody waits for the answer.
    let _left = futures::FutureExt::now_or_never(store.append(JOB, append));
    drop(store);
    let store = reopen(folder.path(), clock);
    assert_eq!(load(&store, JOB).await.unwrap().entry, Entry::Live(next));
    assert_eq!(bytes(&store, JOB, chunk(0)).await.as_deref(), Some(&b"abc"[..]));
}

#[tokio::test]
async fn full_disk_refuses_appends_unchanged_and_lets_traces_be_finished() {
    let (clock, folder) = (manual_clock(), tempfile::tempdir().unwrap());
    let store = reopen(folder.path(), clock.clone());
    let end = append(&store, JOB, &open(&store, JOB).await, b"abc").await;
    let usage = store.usage().await.unwrap();
    assert!(usage.limit > usage.used, "{usage:?}");
    drop(store);

    // No disk has so much room that it would not be full with this reserve.
    let store = EmbeddedLive::open_with_reserve(folder.path(), clock, ByteSize(u64::MAX)).unwrap();
    let (more, _) = append_of(&end, b"def");
    let answer = store.append(JOB, more).await;
    assert!(matches!(answer, Err(StoreError::Full { .. })), "{answer:?}");
    let new = store.replace(JobId(43), None, &Entry::Live(end.clone()), JobStatus::Running, None).await;
    assert!(matches!(new, Err(StoreError::Full { .. })), "{new:?}");
    assert!(load(&store, JobId(43)).await.is_none());
    assert_eq!(load(&store, JOB).await.unwrap().raw, end.encode());
    assert_eq!(bytes(&store, JOB, chunk(0)).await.as_deref(), Some(&b"abc"[..]));
    let usage = store.usage().await.unwrap();
    assert_eq!(usage.limit, usage.used);

    assert!(store.set_status(JOB, JobStatus::Canceling).await.unwrap());
    bury(&store, JOB, &end, None).await;
    store.release(JOB, chunk(0), Duration::ZERO).await.unwrap();
    assert_eq!(bytes(&store, JOB, chunk(0)).await, None);
    store.ping().await.unwrap();
}

#[tokio::test]
async fn expired_bytes_are_really_removed() {
    let (clock, folder) = (manual_clock(), tempfile::tempdir().unwrap());
    let store = reopen(folder.path(), clock.clone());
    // More than one batch removes.
    for job in (1..=100).map(JobId) {
        let end = open(&store, job).await;
        let end = append(&store, job, &end, b"0123456789").await;
        let end = append(&store, job, &end, b"abcdef").await;
        bury(&store, job, &end, Some(Duration::from_secs(60))).await;
        store.release(job, chunk(0), Duration::from_secs(60)).await.unwrap();
    }
    clock.pass(Duration::from_secs(60));
    // A scan is what a store without writes gets from the sweep. Each ping waits for a batch, which removes its share.
    assert!(scan(&store, 1000).await.is_empty());
    for _ in 0..4 {
        store.ping().await.unwrap();
    }
    drop(store);
    assert_eq!(records(folder.path()), [("traces", 0), ("copies", 0), ("pieces", 0)]);
}

/// How many records the folder has, removed or not.
fn records(folder: &Path) -> [(&'static str, usize); 3] {
    let database = fjall::Database::builder(folder).open().unwrap();
    ["traces", "copies", "pieces"].map(|name| {
        let keyspace = database.keyspace(name, fjall::KeyspaceCreateOptions::default).unwrap();
        (name, keyspace.len().unwrap())
    })
}

/// Set for [`appends_until_it_is_killed`] only: where it writes.
const FOLDER: &str = "VERITAIL_TEST_KILLED_FOLDER";

#[tokio::test]
async fn kill_loses_nothing_that_was_acknowledged() {
    let folder = tempfile::tempdir().unwrap();
    let mut acknowledged = 0;
    for round in 1..=3 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "live::embedded_alone::appends_until_it_is_killed", "--ignored", "--nocapture"])
            .env(FOLDER, folder.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut lines = lines.map_while(Result::ok).filter_map(|line| line.strip_prefix("have ")?.parse::<u64>().ok());
        let target = round * 300;
        acknowledged = lines.by_ref().find(|have| *have >= target).expect("the child appends until it is killed");
        child.kill().unwrap();
        child.wait().unwrap();
        // What it still said before it died counts as well.
        acknowledged = lines.last().unwrap_or(acknowledged);

        let store = reopen(folder.path(), manual_clock());
        let Entry::Live(end) = load(&store, JOB).await.unwrap().entry else { panic!("the entry is whole") };
        assert!(end.length().0 >= acknowledged, "{} bytes of {acknowledged} acknowledged", end.length());
        let mut found = Vec::new();
        for index in 0..=end.tail.chunk.index.0 {
            found.extend(bytes(&store, JOB, chunk(index)).await.unwrap_or_default());
        }
        let expected: Vec<u8> = (0..end.length().0).map(byte_at).collect();
        assert!(found == expected, "the bytes are those that were sent");
    }
    assert!(acknowledged >= 900);
}

fn byte_at(offset: u64) -> u8 {
    u8::try_from(offset % 251).unwrap()
}

#[tokio::test]
#[ignore = "the other half of kill_loses_nothing_that_was_acknowledged"]
async fn appends_until_it_is_killed() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let store = reopen(Path::new(&folder), manual_clock());
    let mut end = match load(&store, JOB).await.map(|trace| trace.entry) {
        Some(Entry::Live(end)) => end,
        _ => open(&store, JOB).await,
    };
    // A limit, in case nobody kills it.
    for _ in 0..100_000 {
        let from = end.length().0;
        let size = ByteSize(from % 5 + 1).min(end.room());
        let bytes: Vec<u8> = (from..from + size.0).map(byte_at).collect();
        end = append(&store, JOB, &end, &bytes).await;
        println!("have {}", end.length());
    }
}
