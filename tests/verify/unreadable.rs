//! Rows that no version of Veritail wrote: each is named, and stops nothing.

use std::time::Duration;

use veritail::store::database::verifications::RunFilter;
use veritail::trace::{ChunkIndex, DataStore, Detector, JobId, Kind, RunState, Schedule};
use veritail::verify::{Scope, Verifier};

use crate::ground::{CHUNK_SIZE, Ground, Keeps, Place, Side};
use crate::matrix::mismatches;
use crate::support::production::Production;
use crate::support::runner::Runner;
use crate::support::server::{Job, Send as _, ended, log};
use crate::support::wait::until;

#[tokio::test(flavor = "multi_thread")]
async fn they_are_named_in_the_embedded_stores() {
    run(Side::Embedded).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn they_are_named_in_redis_postgresql_and_s3() {
    let _servers = Production::hold();
    run(Side::Production).await;
}

/// What is open of a job: which chunk, what, where, and how often it was seen.
async fn open(ground: &Ground, job: &Job) -> Vec<(Option<ChunkIndex>, Kind, DataStore)> {
    let found = mismatches(ground, job).await.into_iter().filter(|found| found.resolved.is_none());
    found.map(|found| (found.what.chunk, found.what.kind, found.what.store)).collect()
}

/// Ticks until this is so; each cycle takes a second.
async fn walk_until(verifier: &Verifier, mut is: impl AsyncFnMut() -> bool) {
    until("what the walk is to find", async || {
        verifier.tick(Schedule::Full).await.expect("no row stops it");
        is().await
    })
    .await;
}

async fn run(side: Side) {
    let ground = Ground::start(side).await;
    let (client, log) = (&ground.at(Place::Moves(Keeps::InObjectStore)).client, log(2 * CHUNK_SIZE + 100));
    let mut jobs = Vec::new();
    for _ in 0..4 {
        let job = client.make_job_with_reset(false).await;
        assert_eq!(Runner::new(client, &job).finish(&log).await.state(), (200, "success"));
        jobs.push(job);
    }
    let [chunks, whole, other, last] = &jobs[..] else { panic!("four jobs") };
    // A bit that no checksum has.
    let flip = "crc32 = crc32 + 4294967296";
    for index in [0, 2] {
        let row = format!("job_id = {} AND chunk_index = {index}", chunks.id);
        ground.change_row(format!("UPDATE trace_chunks SET {flip} WHERE {row}")).await;
    }
    ground.change_row(format!("UPDATE jobs SET {flip} WHERE id = {}", whole.id)).await;

    let verifier = ground.verifier();
    verifier.tick(Schedule::Hot).await.expect("no row stops it");
    let record = |chunk: Option<u32>| (chunk.map(ChunkIndex), Kind::Record, DataStore::Database);
    walk_until(&verifier, async || open(&ground, whole).await == [record(None)]).await;
    assert_eq!(open(&ground, chunks).await, [record(Some(0)), record(Some(2))]);
    // Cycle after cycle.
    walk_until(&verifier, async || mismatches(&ground, chunks).await.iter().all(|found| found.times_seen > 2)).await;
    for sound in [other, last] {
        assert_eq!(open(&ground, sound).await, []);
    }
    // Objects of rows that cannot be read are no orphans, and those behind them are looked at.
    verifier.tick(Schedule::Inventory).await.expect("no row stops it");
    let newest = RunFilter { schedule: Some(Schedule::Inventory), limit: 1, ..RunFilter::default() };
    let runs = verifier.node().stores().verifications.runs(newest).await.expect("a database");
    assert_eq!(runs[0].state, RunState::Complete, "{runs:?}");
    assert_eq!(open(&ground, chunks).await, [record(Some(0)), record(Some(2))]);
    let found = mismatches(&ground, chunks).await;
    assert!(found.iter().all(|found| found.what.detector == Detector::Full), "{found:?}");

    let mut told = Vec::new();
    let tally = verifier
        .verify(Scope::From(JobId(1)), "all".to_owned(), |trace| told.push((trace.job.0, trace.differences.clone())))
        .await
        .expect("no row stops it");
    let expected = [
        (chunks.id, vec![record(Some(0)), record(Some(2))]),
        (whole.id, vec![record(None)]),
        (other.id, vec![]),
        (last.id, vec![]),
    ];
    assert_eq!(told, expected);
    // Of the trace whose job cannot be read, every chunk can.
    assert_eq!((tally.differs, tally.looks - tally.sound), (3, 3), "{tally:?}");
    assert!(tally.sound >= 10, "{tally:?}");

    // Somebody puts the rows right, one after the other: the chunks' mismatches are resolved by the next walk.
    for index in [0, 2] {
        let row = format!("job_id = {} AND chunk_index = {index}", chunks.id);
        ground.change_row(format!("UPDATE trace_chunks SET crc32 = crc32 - 4294967296 WHERE {row}")).await;
        verifier.tick(Schedule::Full).await.expect("no row stops it");
    }
    walk_until(&verifier, async || open(&ground, chunks).await.is_empty()).await;

    // One without a copy, which no walk comes to: the sweep that cannot move its trace on names it.
    let unfinished = client.make_job_with_reset(false).await;
    let mut runner = Runner::new(client, &unfinished);
    runner.send(&log).await;
    let change = |sign| {
        let row = format!("job_id = {} AND chunk_index = 2", unfinished.id);
        ground.change_row(format!("UPDATE trace_chunks SET epoch = epoch {sign} 4294967296 WHERE {row}"))
    };
    change('+').await;
    let answer = client.put_request(&unfinished, &ended("success", &log, false)).answer().await;
    assert_eq!(answer.status, 202, "{answer:?}");
    verifier.node().sweep().await.expect("no row stops it");
    assert_eq!(open(&ground, &unfinished).await, [record(Some(2))]);
    assert_eq!(mismatches(&ground, &unfinished).await[0].what.detector, Detector::Sweep);
    change('-').await;
    assert_eq!(runner.finish(&log).await.state(), (200, "success"));
    assert_eq!(open(&ground, &unfinished).await, []);
    tokio::time::timeout(Duration::from_secs(60), ground.stop()).await.expect("it stops");
}
