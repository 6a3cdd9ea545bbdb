//! What operations cost, counted in calls to the stores. Workers and sweeps are off: only what the requests do is counted.

use std::sync::Arc;

use crate::support::hooks::Recorder;
use crate::support::server::{Hooks, Node, ended, log};

async fn counted() -> (Arc<Recorder>, Node) {
    let recorder = Arc::new(Recorder::default());
    let mut hooks = Hooks::new(recorder.clone());
    hooks.works = false;
    let node = Node::start(hooks).await;
    (recorder, node)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_append_in_the_steady_state_is_one_call_to_the_live_store_and_no_statement() {
    let (recorder, node) = counted().await;
    let client = node.client();
    let job = client.make_job().await;
    client.append_all(&job, 0, b"first").await;
    recorder.reset();
    for at in 0..20 {
        client.append_all(&job, 5 + at * 4, b"more").await;
    }
    assert_eq!(recorder.list(), [("live", "append", 20)]);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chunk_costs_one_statement_on_the_append_path() {
    let (recorder, node) = counted().await;
    let client = node.client();
    let job = client.make_job().await;
    let log = log(10 * 131_072);
    client.append_all(&job, 0, &log[..1000]).await;
    recorder.reset();
    // 4 KiB patches, of which most chunks' last one reaches over the border.
    let mut sent = 1000;
    let mut slices = 0;
    for patch in log[1000..].chunks(4096) {
        client.append_all(&job, sent, patch).await;
        let ends = sent + patch.len();
        slices += if sent / 131_072 != (ends - 1) / 131_072 { 2 } else { 1 };
        sent = ends;
    }
    recorder.until("database", "record", 10).await;
    assert_eq!(recorder.list(), [("database", "record", 10), ("live", "append", slices)]);

    // One body over many chunks: as many slices as chunks.
    let job = client.make_job().await;
    client.append_all(&job, 0, b"x").await;
    recorder.reset();
    client.append_all(&job, 1, &log[1..]).await;
    recorder.until("database", "record", 10).await;
    assert_eq!(recorder.list(), [("database", "record", 10), ("live", "append", 10)]);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_append_of_a_job_costs_a_fixed_number_of_calls() {
    let (recorder, node) = counted().await;
    let client = node.client();
    let job = client.make_job().await;
    recorder.reset();
    client.append_all(&job, 0, b"first").await;
    let (database, live): (Vec<_>, Vec<_>) = recorder.list().into_iter().partition(|(store, ..)| *store == "database");
    let sum = |calls: &[(_, _, u64)]| calls.iter().map(|(_, _, count)| count).sum::<u64>();
    assert!(sum(&database) <= 9 && sum(&live) <= 6, "{database:?} {live:?}");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_offset_costs_no_call_that_changes_anything() {
    let (recorder, node) = counted().await;
    let client = node.client();
    let job = client.make_job().await;
    client.append_all(&job, 0, b"first").await;
    recorder.reset();
    assert_eq!(client.append(&job, 0, b"first").await.status, 416);
    assert_eq!(recorder.list(), [("database", "chunks", 1), ("database", "job", 1), ("live", "load", 1)]);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_of_a_persisted_chunk_costs_one_statement_and_one_object() {
    let (recorder, node) = counted().await;
    let client = node.client();
    let job = client.make_job().await;
    let log = log(5 * 131_072);
    client.append_all(&job, 0, &log).await;
    assert_eq!(client.put_until_decided(&job, &ended("success", &log, true)).await.status, 200);
    assert_eq!(client.trace(&job).await.len(), log.len());
    recorder.reset();
    assert!(client.trace(&job).await == log);
    // Once for the whole: the job and its gaps. Then per chunk its row and its object.
    let expected =
        [("database", "chunk", 5), ("database", "job", 1), ("database", "mismatches", 1), ("object_store", "get", 5)];
    assert_eq!(recorder.list(), expected);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_and_a_known_tag_cost_no_chunk() {
    let (recorder, node) = counted().await;
    let client = node.client();
    let job = client.make_job().await;
    client.append_all(&job, 0, b"log").await;
    assert_eq!(client.put_until_decided(&job, &ended("success", b"log", true)).await.status, 200);
    let answer = crate::support::server::Send::answer(client.trace_request(&job)).await;
    recorder.reset();
    let request = client.trace_request(&job).header("If-None-Match", answer.header("ETag"));
    assert_eq!(crate::support::server::Send::answer(request).await.status, 304);
    assert_eq!(recorder.list(), [("database", "job", 1), ("database", "mismatches", 1)]);
    node.stop().await;
}
