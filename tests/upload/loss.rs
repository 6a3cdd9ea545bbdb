//! Uploads in which the live store loses bytes. A lost chunk costs one patch, not the log.

use crate::stage::{Stage, assert_mismatches, on_every_stage};
use crate::support::runner::{PATCH_MAX, Runner};
use crate::support::server::log;

/// A chunk's size, as it is by default.
pub const CHUNK: usize = 131_072;

on_every_stage! {
    the_tail_lost_after_the_last_patch_is_sent_again
    the_tail_lost_while_the_job_runs_is_sent_again
    a_chunk_lost_in_the_middle_of_a_running_job_costs_one_patch
    a_chunk_lost_in_the_middle_of_a_closing_job_costs_one_patch
    two_chunks_lost_at_once_cost_two_patches
    a_chunk_lost_of_a_runner_that_cannot_send_again_stays_an_open_mismatch
    a_chunk_lost_again_after_it_was_sent_again_is_sent_a_third_time
}

async fn the_tail_lost_after_the_last_patch_is_sent_again(stage: Stage) {
    let log = log(2 * PATCH_MAX + 50_000);
    let job = stage.client().make_job().await;
    let mut runner = Runner::new(stage.client(), &job);
    runner.send(&log).await;
    let before = runner.counts;
    stage.lose(&job, 16, 1).await;
    assert_eq!(runner.finish(&log).await.state(), (200, "success"));
    let mismatches = stage.assert_log(&job, &log, "verified").await;
    assert_mismatches(&mismatches, stage.live(), &[(16, "missing", "resent")]);
    let counts = runner.counts;
    assert_eq!(counts.asked_again, 1, "{counts:?}");
    // From 0, where it is told where to go on, and then the tail.
    assert_eq!(counts.sent - before.sent, PATCH_MAX + 50_000, "{counts:?}");
    stage.stop().await;
}

async fn the_tail_lost_while_the_job_runs_is_sent_again(stage: Stage) {
    let log = log(500_000);
    let job = stage.client().make_job_with_reset(true).await;
    let mut runner = Runner::new(stage.client(), &job);
    runner.send(&log[..400_000]).await;
    stage.lose(&job, 3, 1).await;
    runner.send(&log).await;
    assert_eq!(runner.finish(&log).await.state(), (200, "success"));
    let mismatches = stage.assert_log(&job, &log, "verified").await;
    assert_mismatches(&mismatches, stage.live(), &[]);
    let counts = runner.counts;
    assert_eq!((counts.moved, counts.asked_again), (1, 0), "{counts:?}");
    assert_eq!(counts.sent - log.len(), 100_000 + (400_000 - 3 * CHUNK), "{counts:?}");
    stage.stop().await;
}

async fn a_chunk_lost_in_the_middle_of_a_running_job_costs_one_patch(stage: Stage) {
    let log = log(3 * PATCH_MAX);
    let job = stage.client().make_job_with_reset(true).await;
    let mut runner = Runner::new(stage.client(), &job);
    stage.take_objects_away();
    runner.send(&log[..2 * PATCH_MAX]).await;
    stage.lose(&job, 5, 1).await;
    // Whoever moves chunks on finds it. A body that came before the live store knows would be taken.
    stage.until_found(&job).await;
    stage.until_epoch(&job, 2).await;
    stage.bring_objects_back();
    runner.send(&log).await;
    let counts = runner.counts;
    // Refused at the end, refused at the hole's end, and then as if nothing had been. What of the first body was stored
    // before the runner was sent back counts.
    assert_eq!(counts.moved, 2, "{counts:?}");
    assert!(counts.sent - log.len() <= 2 * PATCH_MAX, "{counts:?}");
    assert_eq!(runner.finish(&log).await.state(), (200, "success"));
    assert_eq!(runner.counts.asked_again, 0);
    let mismatches = stage.assert_log(&job, &log, "verified").await;
    assert_mismatches(&mismatches, stage.live(), &[(5, "missing", "resent")]);
    stage.stop().await;
}

async fn a_chunk_lost_in_the_middle_of_a_closing_job_costs_one_patch(stage: Stage) {
    let log = log(3 * PATCH_MAX);
    let job = stage.client().make_job().await;
    let mut runner = Runner::new(stage.client(), &job);
    stage.take_objects_away();
    runner.send(&log).await;
    let put = crate::support::server::ended("success", &log, true);
    assert_eq!(stage.client().put(&job, &put).await.state(), (202, "running"));
    stage.lose(&job, 7, 1).await;
    // A reader finds it at once, however it learns of it.
    drop(crate::support::server::Send::try_answer(stage.client().trace_request(&job)).await);
    stage.until_found(&job).await;
    stage.bring_objects_back();
    let before = runner.counts;
    assert_eq!(runner.finish(&log).await.state(), (200, "success"));
    let counts = runner.counts;
    // From 0, where it is told of the hole; from the hole to a patch's length, of which the chunk is taken.
    assert_eq!((counts.asked_again, counts.moved), (1, 2), "{counts:?}");
    assert_eq!(counts.sent - before.sent, 2 * PATCH_MAX, "{counts:?}");
    let mismatches = stage.assert_log(&job, &log, "verified").await;
    assert_mismatches(&mismatches, stage.live(), &[(7, "missing", "resent")]);
    stage.stop().await;
}

async fn two_chunks_lost_at_once_cost_two_patches(stage: Stage) {
    let log = log(4 * PATCH_MAX);
    let job = stage.client().make_job().await;
    let mut runner = Runner::new(stage.client(), &job);
    stage.take_objects_away();
    runner.send(&log).await;
    stage.lose(&job, 0, 1).await;
    stage.lose(&job, 20, 1).await;
    stage.until_lost(&job, 2).await;
    stage.bring_objects_back();
    let before = runner.counts;
    assert_eq!(runner.finish(&log).await.state(), (200, "success"));
    let counts = runner.counts;
    assert!(counts.sent - before.sent <= 3 * PATCH_MAX, "{counts:?}");
    let mismatches = stage.assert_log(&job, &log, "verified").await;
    assert_mismatches(&mismatches, stage.live(), &[(0, "missing", "resent"), (20, "missing", "resent")]);
    stage.stop().await;
}

async fn a_chunk_lost_of_a_runner_that_cannot_send_again_stays_an_open_mismatch(stage: Stage) {
    let log = log(PATCH_MAX);
    let client = stage.client();
    let job = client.make_job_with_reset(false).await;
    let mut runner = Runner::new(client, &job).without_reset();
    stage.take_objects_away();
    runner.send(&log).await;
    stage.lose(&job, 2, 1).await;
    stage.until_found(&job).await;
    stage.bring_objects_back();
    assert_eq!(runner.finish(&log).await.state(), (200, "success"));
    assert_eq!((runner.counts.sent, runner.counts.asked_again), (log.len(), 0));
    let report = client.integrity(&job).await;
    assert_eq!(report["verdict"], "corrupt", "{report:#}");
    assert_mismatches(report["mismatches"].as_array().expect("a list"), stage.live(), &[(2, "missing", "open")]);
    stage.stop().await;
}

async fn a_chunk_lost_again_after_it_was_sent_again_is_sent_a_third_time(stage: Stage) {
    let log = log(PATCH_MAX);
    let client = stage.client();
    let job = client.make_job().await;
    let mut runner = Runner::new(client, &job);
    stage.take_objects_away();
    runner.send(&log).await;
    stage.lose(&job, 3, 1).await;
    let put = crate::support::server::ended("success", &log, true);
    // Only moving the chunk on would find that it is lost, and nothing moves yet: a reader does.
    let read = crate::support::server::Send::try_answer(client.trace_request(&job)).await;
    assert!(read.is_err(), "a log that looks complete");
    assert_eq!(client.put_until_decided(&job, &put).await.state(), (412, "running"));
    runner.resume_at(0);
    runner.send(&log).await;
    let report = client.integrity(&job).await;
    let epoch = report["chunks"][3]["epoch"].as_u64().expect("an epoch");
    stage.lose(&job, 3, u32::try_from(epoch).expect("small")).await;
    stage.until_lost(&job, 2).await;
    stage.bring_objects_back();
    assert_eq!(runner.finish(&log).await.state(), (200, "success"));
    let mismatches = stage.assert_log(&job, &log, "verified").await;
    assert_mismatches(&mismatches, stage.live(), &[(3, "missing", "resent"), (3, "missing", "resent")]);
    stage.stop().await;
}

/// Redis forgets everything while a job runs: what was proven elsewhere stays, the rest comes again.
#[tokio::test(flavor = "multi_thread")]
async fn flushall_in_the_middle_costs_what_was_not_proven_yet() {
    let stage = Stage::redis().await;
    let log = log(3 * PATCH_MAX + 60_000);
    let job = stage.client().make_job_with_reset(true).await;
    let mut runner = Runner::new(stage.client(), &job);
    runner.send(&log[..2 * PATCH_MAX + 10_000]).await;
    let persisted = |report: &serde_json::Value| {
        let chunks = report["chunks"].as_array().map_or(&[][..], Vec::as_slice);
        chunks.iter().filter(|chunk| chunk["data_store"] == "object_store").count() == 16
    };
    stage.client().integrity_until(&job, "16 chunks in the object store", persisted).await;
    stage.lose_everything().await;
    assert_eq!(runner.finish(&log).await.state(), (200, "success"));
    let mismatches = stage.assert_log(&job, &log, "verified").await;
    assert_mismatches(&mismatches, stage.live(), &[]);
    let counts = runner.counts;
    assert_eq!((counts.moved, counts.sent - log.len()), (1, PATCH_MAX + 10_000), "{counts:?}");
    stage.stop().await;
}

/// The same with nothing proven yet: everything comes again.
#[tokio::test(flavor = "multi_thread")]
async fn flushall_before_anything_was_proven_costs_the_log_once() {
    let stage = Stage::redis().await;
    let log = log(2 * PATCH_MAX);
    let job = stage.client().make_job_with_reset(true).await;
    let mut runner = Runner::new(stage.client(), &job);
    stage.take_objects_away();
    runner.send(&log[..PATCH_MAX]).await;
    stage.lose_everything().await;
    runner.send(&log).await;
    stage.bring_objects_back();
    assert_eq!(runner.finish(&log).await.state(), (200, "success"));
    let mismatches = stage.assert_log(&job, &log, "verified").await;
    let expected: Vec<(u64, &str, &str)> = (0..8).map(|chunk| (chunk, "missing", "resent")).collect();
    assert_mismatches(&mismatches, stage.live(), &expected);
    assert!(runner.counts.sent - log.len() <= 2 * PATCH_MAX, "{:?}", runner.counts);
    stage.stop().await;
}

/// And after the final PUT: the claim is in the database, the job is not forgotten.
#[tokio::test(flavor = "multi_thread")]
async fn flushall_while_closing_costs_the_log_once() {
    let stage = Stage::redis().await;
    let log = log(PATCH_MAX + 5);
    let job = stage.client().make_job().await;
    let mut runner = Runner::new(stage.client(), &job);
    stage.take_objects_away();
    runner.send(&log).await;
    let put = crate::support::server::ended("success", &log, true);
    assert_eq!(stage.client().put(&job, &put).await.state(), (202, "running"));
    stage.until_all_recorded().await;
    stage.lose_everything().await;
    stage.until_lost(&job, 9).await;
    stage.bring_objects_back();
    assert_eq!(runner.finish(&log).await.state(), (200, "success"));
    let mismatches = stage.assert_log(&job, &log, "verified").await;
    let expected: Vec<(u64, &str, &str)> = (0..9).map(|chunk| (chunk, "missing", "resent")).collect();
    assert_mismatches(&mismatches, stage.live(), &expected);
    assert!(runner.counts.sent <= 3 * log.len(), "{:?}", runner.counts);
    stage.stop().await;
}

/// A client that cannot send again goes on behind a loss of many chunks, which are filled with NUL bytes. Here its log
/// held nothing else in that place, as its claim shows: what was taken for a gap is none, and no chunk of it stays lost.
#[tokio::test(flavor = "multi_thread")]
async fn a_gap_that_the_claim_shows_to_be_none_leaves_no_chunk_of_it_open() {
    let stage = Stage::redis().await;
    let client = stage.client();
    let mut nul_and_more = vec![0; 3 * CHUNK + 5];
    let lost = nul_and_more.len();
    nul_and_more.extend(log(CHUNK));
    let job = client.make_job_with_reset(false).await;
    stage.take_objects_away();
    client.append_all(&job, 0, &nul_and_more[..lost]).await;
    stage.lose_everything().await;
    // It is told where its log ends now, and has nothing of what it is asked for.
    assert_eq!(client.append(&job, lost, &nul_and_more[lost..]).await.place(), (416, "0-0"));
    client.append_all(&job, lost, &nul_and_more[lost..]).await;
    stage.bring_objects_back();
    let put = crate::support::server::ended("success", &nul_and_more, false);
    assert_eq!(client.put_until_decided(&job, &put).await.state(), (200, "success"));
    let mismatches = stage.assert_log(&job, &nul_and_more, "verified").await;
    let missing = (0..3).map(|chunk| (chunk, "missing", "resent"));
    let expected: Vec<(u64, &str, &str)> = std::iter::once((0, "gap", "resent")).chain(missing).collect();
    assert_mismatches(&mismatches, stage.live(), &expected);
    stage.stop().await;
}
