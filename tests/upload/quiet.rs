//! Uploads in which nothing is lost: by themselves, twice, by two at once, with answers that get lost.

use serde_json::json;

use crate::proxy::Proxy;
use crate::stage::{Stage, on_every_stage};
use crate::support::runner::{PATCH_MAX, Runner};
use crate::support::server::{Binary, log};

on_every_stage! {
    a_log_goes_up_in_whole_patches_and_not_a_byte_twice
    an_answer_lost_after_the_bytes_were_stored_costs_one_patch
    a_lost_answer_to_the_final_put_ends_well
    the_same_patch_twice_is_stored_once
    two_writers_at_once_leave_one_log
    a_claim_that_disagrees_is_a_ticket_after_one_full_resend
}

async fn a_log_goes_up_in_whole_patches_and_not_a_byte_twice(stage: Stage) {
    let log = log(5 * PATCH_MAX + 12_345);
    let job = stage.client().make_job().await;
    let mut runner = Runner::new(stage.client(), &job);
    runner.send(&log[..2_000_000]).await;
    runner.touch().await;
    let done = runner.finish(&log).await;
    assert_eq!(done.state(), (200, "success"));
    assert_eq!(stage.assert_log(&job, &log, "verified").await, Vec::<serde_json::Value>::new());
    assert_eq!((runner.counts.sent, runner.counts.moved, runner.counts.failed), (log.len(), 0, 0));
    stage.stop().await;
}

async fn an_answer_lost_after_the_bytes_were_stored_costs_one_patch(stage: Stage) {
    let log = log(4 * PATCH_MAX);
    let job = stage.client().make_job().await;
    let proxy = Proxy::start(stage.client().address()).await;
    let mut runner = Runner::new(&stage.client().by_way_of(proxy.address()), &job);
    runner.send(&log[..PATCH_MAX]).await;
    proxy.lose_answers(1);
    runner.send(&log[..3 * PATCH_MAX]).await;
    assert_eq!(proxy.left(), 0);
    assert_eq!(runner.finish(&log).await.state(), (200, "success"));
    assert_eq!(stage.assert_log(&job, &log, "verified").await, Vec::<serde_json::Value>::new());
    let counts = runner.counts;
    assert_eq!((counts.failed, counts.moved, counts.sent - log.len()), (1, 1, PATCH_MAX), "{counts:?}");
    stage.stop().await;
}

async fn a_lost_answer_to_the_final_put_ends_well(stage: Stage) {
    let log = log(300_000);
    let job = stage.client().make_job().await;
    let proxy = Proxy::start(stage.client().address()).await;
    let mut runner = Runner::new(&stage.client().by_way_of(proxy.address()), &job);
    runner.send(&log).await;
    proxy.lose_answers(3);
    assert_eq!(runner.finish(&log).await.state(), (200, "success"));
    assert_eq!((proxy.left(), runner.counts.failed, runner.counts.sent), (0, 3, log.len()));
    assert_eq!(stage.assert_log(&job, &log, "verified").await, Vec::<serde_json::Value>::new());
    stage.stop().await;
}

async fn the_same_patch_twice_is_stored_once(stage: Stage) {
    let log = log(700_000);
    let client = stage.client();
    let job = client.make_job().await;
    let mut at = 0;
    for patch in log.chunks(200_000) {
        let end = format!("0-{}", at + patch.len());
        // At the same time, and once more afterwards.
        let (one, other) = tokio::join!(client.append(&job, at, patch), client.append(&job, at, patch));
        let mut statuses = [one.status, other.status];
        statuses.sort_unstable();
        assert_eq!(statuses, [202, 416], "{one:?} {other:?}");
        assert_eq!(client.append(&job, at, patch).await.place(), (416, end.as_str()));
        at += patch.len();
    }
    let mut runner = Runner::new(client, &job);
    assert_eq!(runner.finish(&log).await.state(), (200, "success"));
    assert_eq!(stage.assert_log(&job, &log, "verified").await, Vec::<serde_json::Value>::new());
    stage.stop().await;
}

async fn two_writers_at_once_leave_one_log(stage: Stage) {
    let log = log(3_000_000);
    let job = stage.client().make_job().await;
    let mut first = Runner::new(stage.client(), &job).with_patches_of(50_000);
    let mut second = Runner::new(stage.client(), &job).with_patches_of(70_001);
    let (one, other) = tokio::join!(first.finish(&log), second.finish(&log));
    assert_eq!((one.state(), other.state()), ((200, "success"), (200, "success")));
    assert!(first.counts.moved + second.counts.moved > 0, "they met");
    assert_eq!(stage.assert_log(&job, &log, "verified").await, Vec::<serde_json::Value>::new());
    stage.stop().await;
}

/// The runner's own file changed after it was sent: every byte is as it was sent, and the whole is not what it says.
async fn a_claim_that_disagrees_is_a_ticket_after_one_full_resend(stage: Stage) {
    let log = log(600_000);
    let client = stage.client();
    let job = client.make_job().await;
    let mut runner = Runner::new(client, &job);
    runner.send(&log).await;
    let mut put = crate::support::server::ended("success", &log, true);
    put["output"]["checksum"] = "crc32:deadbeef".into();
    put["checksum"] = "crc32:deadbeef".into();
    assert_eq!(client.put_until_decided(&job, &put).await.state(), (412, "running"));
    let mut again = Runner::new(client, &job);
    again.send(&log).await;
    assert_eq!((again.counts.sent, again.counts.moved), (log.len(), 0), "everything, once");
    assert_eq!(client.put_until_decided(&job, &put).await.state(), (200, "success"));
    let report = client.integrity(&job).await;
    assert_eq!((&report["verdict"], &report["mismatches"]), (&json!("runner_disagrees"), &json!([])));
    assert!(client.trace(&job).await == log);
    stage.stop().await;
}

/// The whole loop on the program as it comes, with nothing set, killed in the middle.
#[tokio::test(flavor = "multi_thread")]
async fn the_program_as_it_comes_keeps_a_log_over_kill_9() {
    let mut server = Binary::start(&[]);
    let log = log(3 * PATCH_MAX + 777);
    let job = server.client().make_job().await;
    let mut runner = Runner::new(server.client(), &job);
    runner.send(&log[..1_500_000]).await;
    server.restart();
    let mut runner_after = Runner::new(server.client(), &job);
    assert_eq!(runner_after.finish(&log).await.state(), (200, "success"));
    assert!(server.client().trace(&job).await == log);
    let report = server.client().integrity(&job).await;
    assert_eq!((&report["verdict"], &report["mismatches"]), (&json!("verified"), &json!([])));
    // What was acknowledged before the kill was not asked for again: the first patch is refused, and says so.
    assert_eq!(runner.position(), 1_500_000);
    assert_eq!(runner_after.counts.sent - (log.len() - 1_500_000), PATCH_MAX);
    server.assert_untroubled().await;
}
