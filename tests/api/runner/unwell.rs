//! What runners are told while a store is away, full, or keeps less than it took.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use crate::support::hooks::{Faults, Side};
use crate::support::redis_server::{Durability, RedisServer};
use crate::support::server::{Answer, Away, Binary, Hooks, Node, Send as _, ended, log};
use crate::support::wait::until_some;

/// 503, and a wait in whole seconds within the range for an outage that just began.
fn assert_come_again(answer: &Answer) {
    assert_eq!(answer.status, 503, "{}", answer.text());
    let wait: u64 = answer.header("Retry-After").parse().expect("whole seconds");
    assert!((5..=16).contains(&wait), "{wait}");
    assert_eq!((answer.header("Range"), answer.header("Job-Status")), ("", ""));
}

async fn command(server: &RedisServer, words: &[&str]) {
    let client = redis::Client::open(server.url()).expect("a URL");
    let mut connection = client.get_multiplexed_async_connection().await.expect("connected");
    let mut command = redis::cmd(words[0]);
    command.arg(&words[1..]).exec_async(&mut connection).await.expect("done");
}

#[tokio::test(flavor = "multi_thread")]
async fn append_while_redis_is_away_answers_503_and_the_same_body_is_taken_afterwards() {
    let mut redis = RedisServer::start(Durability::Always);
    let server = Binary::start(&[("VERITAIL_REDIS_URL", &redis.url())]);
    let client = server.client();
    let job = client.make_job().await;
    client.append_all(&job, 0, b"before ").await;
    redis.kill();
    for _ in 0..3 {
        assert_come_again(&client.append(&job, 7, b"after").await);
    }
    assert_eq!(client.request(reqwest::Method::GET, "/readyz").answer().await.status, 200, "it is not this process");
    redis.restart();
    let answer = until_some("an answer other than 503", async || {
        Some(client.append(&job, 7, b"after").await).filter(|answer| answer.status != 503)
    })
    .await;
    assert_eq!(answer.place(), (202, "0-12"));
    assert_eq!(client.trace(&job).await, "before after");
    assert_eq!(
        client.put_until_decided(&job, &ended("success", b"before after", true)).await.state(),
        (200, "success")
    );
    assert_eq!(client.integrity(&job).await["mismatches"], json!([]), "an unreachable store is no mismatch");
}

#[tokio::test(flavor = "multi_thread")]
async fn append_while_redis_is_full_answers_503_and_nothing_of_it_is_stored() {
    let redis = RedisServer::start(Durability::Nothing);
    let server = Binary::start(&[("VERITAIL_REDIS_URL", &redis.url())]);
    let client = server.client();
    let job = client.make_job().await;
    client.append_all(&job, 0, b"before ").await;
    command(&redis, &["CONFIG", "SET", "maxmemory", "1"]).await;
    for _ in 0..2 {
        assert_come_again(&client.append(&job, 7, b"after").await);
    }
    assert_eq!(client.trace(&job).await, "before ", "what is in it can be read");
    command(&redis, &["CONFIG", "SET", "maxmemory", "0"]).await;
    client.append_all(&job, 7, b"after").await;
    assert_eq!(
        client.put_until_decided(&job, &ended("success", b"before after", true)).await.state(),
        (200, "success")
    );
    assert_eq!(client.integrity(&job).await["verdict"], "verified");
}

#[tokio::test(flavor = "multi_thread")]
async fn append_that_needs_a_row_while_the_database_is_away_answers_503() {
    let away = Arc::new(Away::default());
    let node = Node::start(Hooks::new(away.clone())).await;
    let client = node.client();
    let job = client.make_job().await;
    client.append_all(&job, 0, b"before ").await;
    away.take("database", Away::ALL);
    // In the steady state an append makes no statement, so it goes on.
    client.append_all(&job, 7, b"still ").await;
    let other = client.append(&job, 13, &log(200_000)).await;
    assert_eq!(other.place(), (416, "0-131072"), "what got in before the next row was needed is real, and said");
    let more = client.append(&job, 131_072, b"more").await;
    assert_come_again(&more);
    away.bring_back("database", Away::ALL);
    client.append_all(&job, 131_072, b"more").await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn append_while_the_database_is_away_for_too_long_answers_503() {
    let away = Arc::new(Away::default());
    let mut hooks = Hooks::new(away.clone());
    hooks.settings.database_patience = Duration::from_millis(300);
    hooks.settings.contact_interval = Duration::from_millis(50);
    let node = Node::start(hooks).await;
    let client = node.client();
    let job = client.make_job().await;
    client.append_all(&job, 0, b"x").await;
    away.take("database", Away::ALL);
    let mut size = 1;
    let refused = loop {
        let answer = client.append(&job, size, b"x").await;
        if answer.status != 202 {
            break answer;
        }
        size += 1;
        assert!(size < 1000, "it goes on for ever");
        tokio::time::sleep(Duration::from_millis(10)).await;
    };
    assert_come_again(&refused);
    away.bring_back("database", Away::ALL);
    let answer = until_some("it is taken", async || {
        Some(client.append(&job, size, b"x").await).filter(|answer| answer.status == 202)
    })
    .await;
    assert_eq!(answer.place(), (202, format!("0-{}", size + 1).as_str()));
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_later_slice_that_fails_answers_416_with_what_is_stored() {
    let faults = Arc::new(Faults::default());
    let node = Node::start(Hooks::new(faults.clone())).await;
    let client = node.client();
    let job = client.make_job().await;
    let log = log(300_000);
    client.append_all(&job, 0, &log[..131_000]).await;
    // The body's first slice ends at the chunk's border; the row of the next chunk is not to be had.
    faults.fail("database", "record", Side::Before);
    faults.fail("database", "record", Side::Before);
    let answer = client.append(&job, 131_000, &log[131_000..]).await;
    assert_eq!((answer.place(), answer.interval()), ((416, "0-131072"), "1"));
    client.append_all(&job, 131_072, &log[131_072..]).await;
    assert_eq!(client.put_until_decided(&job, &ended("success", &log, true)).await.state(), (200, "success"));
    assert!(client.trace(&job).await == log);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_append_that_was_stored_although_its_store_failed_is_acknowledged() {
    let faults = Arc::new(Faults::default());
    let node = Node::start(Hooks::new(faults.clone())).await;
    let client = node.client();
    let job = client.make_job().await;
    client.append_all(&job, 0, b"one ").await;
    faults.fail("live", "append", Side::After);
    client.append_all(&job, 4, b"two ").await;
    faults.fail("live", "append", Side::Before);
    assert_come_again(&client.append(&job, 8, b"three").await);
    assert_eq!(faults.left(), 0);
    client.append_all(&job, 8, b"three").await;
    assert_eq!(client.trace(&job).await, "one two three");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn final_put_before_the_proof_answers_202_and_appends_416() {
    let away = Arc::new(Away::default());
    let mut hooks = Hooks::new(away.clone());
    hooks.settings.finalize_wait = Duration::from_millis(200);
    let node = Node::start(hooks).await;
    let client = node.client();
    let job = client.make_job().await;
    let log = log(200_000);
    client.append_all(&job, 0, &log).await;
    away.take("object_store", "put");
    let put = ended("success", &log, true);
    for _ in 0..2 {
        let waits = client.put(&job, &put).await;
        assert_eq!((waits.state(), waits.interval()), ((202, "running"), "1"));
    }
    // The claim is stored: nothing more is taken, and the first claim decides.
    for start in [0, 200_000, 500_000] {
        assert_eq!(client.append(&job, start, b"late").await.place(), (416, "0-200000"));
    }
    assert_eq!(client.put(&job, &ended("failed", &log, true)).await.state(), (202, "running"));
    assert!(client.trace(&job).await == log, "readable all the while");
    assert_eq!(client.integrity(&job).await["verdict"], "pending");
    away.bring_back("object_store", "put");
    assert_eq!(client.put_until_decided(&job, &put).await.state(), (200, "success"));
    assert_eq!(client.put(&job, &ended("failed", &log, true)).await.state(), (403, "success"));
    assert_eq!(client.integrity(&job).await["verdict"], "verified");
    node.stop().await;
}

/// A crashed runner, or one that gave up: the proof comes without it.
#[tokio::test(flavor = "multi_thread")]
async fn after_the_first_final_put_the_job_finishes_without_its_runner() {
    let away = Arc::new(Away::default());
    let mut hooks = Hooks::new(away.clone());
    hooks.settings.finalize_wait = Duration::from_millis(100);
    let node = Node::start(hooks).await;
    let client = node.client();
    let (job, silent) = (client.make_job().await, client.make_job().await);
    client.append_all(&job, 0, b"claimed").await;
    client.append_all(&silent, 0, b"unclaimed").await;
    away.take("object_store", "put");
    assert_eq!(client.put(&job, &ended("failed", b"claimed", true)).await.state(), (202, "running"));
    // A client without a checksum takes anything but 200 for a failure.
    assert_eq!(client.put(&silent, &json!({"state": "success"})).await.state(), (200, "success"));
    away.bring_back("object_store", "put");
    client.integrity_until(&job, "the proof", |report| report["verdict"] == "verified").await;
    client.integrity_until(&silent, "the end", |report| report["verdict"] == "unclaimed").await;
    assert_eq!(client.append(&job, 0, b"x").await.state(), (403, "failed"));
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn final_put_while_a_store_is_away_answers_202_for_a_known_job() {
    let away = Arc::new(Away::default());
    let mut hooks = Hooks::new(away.clone());
    hooks.settings.finalize_wait = Duration::from_millis(200);
    let node = Node::start(hooks).await;
    let client = node.client();
    let (job, unknown) = (client.make_job().await, client.make_job().await);
    client.append_all(&job, 0, b"log").await;
    let put = ended("success", b"log", true);
    for store in ["database", "live", "object_store"] {
        away.take(store, Away::ALL);
        let waits = client.put(&job, &put).await;
        assert_eq!((waits.state(), waits.interval()), ((202, "running"), "1"), "{store}");
        away.bring_back(store, Away::ALL);
    }
    away.take("database", Away::ALL);
    assert_come_again(&client.put(&unknown, &put).await);
    away.bring_back("database", Away::ALL);
    assert_eq!(client.put_until_decided(&job, &put).await.state(), (200, "success"));
    assert_eq!(client.integrity(&job).await["mismatches"], json!([]));
    node.stop().await;
}

/// A chunk of a running job is lost: its runner is sent back to it, and from its end to where the log goes on.
#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_reaches_the_end_of_a_hole_answers_416_with_the_next_write_position() {
    let away = Arc::new(Away::default());
    let node = Node::start(Hooks::new(away.clone())).await;
    let client = node.client();
    let job = client.make_job_with_reset(true).await;
    let log = log(400_000);
    away.take("object_store", "put");
    client.append_all(&job, 0, &log).await;
    node.lose_live_copy(&job, 1, 1).await;
    // Whoever reads finds it. What a reader gets is never a log that looks complete.
    assert!(client.trace_request(&job).try_answer().await.is_err());
    let refused = client.append(&job, 400_000, b"more").await;
    assert_eq!((refused.place(), refused.interval()), ((416, "0-131072"), "1"));
    assert_eq!(client.append(&job, 131_000, &log[131_000..]).await.place(), (416, "0-131072"));
    // A part of the hole, then more than the hole.
    let part = client.append(&job, 131_072, &log[131_072..150_000]).await;
    assert_eq!((part.place(), part.interval()), ((202, "0-150000"), "1"), "it is behind");
    let over = client.append(&job, 150_000, &log[150_000..]).await;
    assert_eq!((over.place(), over.interval()), ((416, "0-400000"), "1"));
    client.append_all(&job, 400_000, b"more").await;
    away.bring_back("object_store", "put");

    let whole = [log.as_slice(), b"more"].concat();
    assert_eq!(client.put_until_decided(&job, &ended("success", &whole, true)).await.state(), (200, "success"));
    assert!(client.trace(&job).await == whole);
    let report = client.integrity(&job).await;
    assert_eq!(report["verdict"], "verified");
    let mismatches = report["mismatches"].as_array().expect("mismatches");
    assert_eq!(mismatches.len(), 1, "{report:#}");
    let mismatch = &mismatches[0];
    assert_eq!((&mismatch["kind"], &mismatch["store"]), (&json!("missing"), &json!("embedded")));
    assert_eq!((&mismatch["state"], &mismatch["resolution"]), (&json!("resolved"), &json!("resent")));
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_lost_of_a_client_that_cannot_send_again_answer_200_and_stay_an_open_mismatch() {
    let away = Arc::new(Away::default());
    let node = Node::start(Hooks::new(away.clone())).await;
    let client = node.client();
    let job = client.make_job_with_reset(false).await;
    let log = log(300_000);
    away.take("object_store", "put");
    client.append_all(&job, 0, &log).await;
    node.lose_live_copy(&job, 0, 1).await;
    away.bring_back("object_store", "put");
    assert_eq!(client.put_until_decided(&job, &ended("success", &log, false)).await.state(), (200, "success"));
    let report = client.integrity(&job).await;
    assert_eq!(report["verdict"], "corrupt");
    let mismatches = report["mismatches"].as_array().expect("mismatches");
    assert_eq!(
        (mismatches.len(), &mismatches[0]["state"], &mismatches[0]["chunk_index"]),
        (1, &json!("open"), &json!(0))
    );
    assert_eq!(client.trace_request(&job).answer().await.status, 500, "not served as good");
    let part = client.trace_request(&job).header("Range", "bytes=131072-299999").answer().await;
    assert!(part.body == log[131_072..], "what is there is served");
    node.stop().await;
}
