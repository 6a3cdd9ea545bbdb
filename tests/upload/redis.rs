//! Uploads while Redis is full, forgets everything at once, or is taken over by a replica.

use std::time::Duration;

use crate::loss::CHUNK;
use crate::support::redis_cluster::RedisCluster;
use crate::support::redis_sentinel::RedisSentinel;
use crate::support::redis_server::{Durability, Product, RedisServer, order};
use crate::support::runner::{PATCH_MAX, Runner, pause};
use crate::support::server::{Binary, log};
use crate::support::wait::{PATIENCE, holds_within};

/// The real program; only a rollback that was noticed makes it sweep.
fn program(url: &str) -> Binary {
    Binary::start(&[
        ("VERITAIL_REDIS_URL", url),
        ("VERITAIL_SWEEP_INTERVAL", "10m"),
        ("VERITAIL_FINALIZE_WAIT", "500ms"),
        ("VERITAIL_GAUGE_INTERVAL", "1s"),
    ])
}

async fn until_metric(server: &Binary, name: &str, labels: &str, least: f64) {
    let came = holds_within(PATIENCE, async || server.client().metric(name, labels).await >= least).await;
    assert!(came, "{name}{{{labels}}} stays below {least}\n{}", server.log());
}

/// A full Redis: 503 with `Retry-After`, nothing lost, and the same bytes get in afterwards.
#[tokio::test(flavor = "multi_thread")]
async fn full_redis_makes_the_runner_wait_and_loses_nothing() {
    let redis = RedisServer::start(Durability::Nothing);
    let server = program(&redis.url());
    let (client, log) = (server.client(), log(3 * CHUNK + 77));
    let job = client.make_job_with_reset(true).await;
    let mut runner = Runner::new(client, &job).with_patches_of(50_000);
    runner.send(&log[..150_000]).await;
    order(redis.port(), &["CONFIG", "SET", "maxmemory", "1"]).expect("a setting");
    let refused = client.append(&job, 150_000, &log[150_000..200_000]).await;
    assert_eq!(refused.status, 503, "{}", refused.text());
    assert!(!refused.header("Retry-After").is_empty());
    order(redis.port(), &["CONFIG", "SET", "maxmemory", "0"]).expect("a setting");
    assert_eq!(runner.finish(&log).await.state(), (200, "success"));
    assert_eq!((runner.counts.moved, runner.counts.asked_again), (0, 0), "{:?}", runner.counts);
    assert!(client.trace(&job).await == log);
}

/// `FLUSHALL` with no sweep due for minutes: it is noticed, counted, and the loss is found although the runner is silent.
#[tokio::test(flavor = "multi_thread")]
async fn flushall_is_noticed_and_what_is_missing_is_looked_for_at_once() {
    let redis = RedisServer::start(Durability::Nothing);
    let server = program(&redis.url());
    let (client, log) = (server.client(), log(PATCH_MAX / 2));
    let job = client.make_job_with_reset(true).await;
    let mut runner = Runner::new(client, &job);
    runner.send(&log[..100_000]).await;
    // The acknowledged length is in the database after a second, and marks have been raised by then.
    pause(2500).await;
    assert_eq!(client.metric("veritail_live_store_rollbacks_total", "").await, 0.0);
    assert_eq!(client.metric("veritail_redis_masters", "eviction=\"off\"").await, 1.0);
    order(redis.port(), &["FLUSHALL"]).expect("done");
    until_metric(&server, "veritail_live_store_rollbacks_total", "kind=\"empty\"", 1.0).await;
    until_metric(&server, "veritail_live_lost_traces_total", "", 1.0).await;
    server.until_logged("lost its last writes").await;
    assert_eq!(runner.finish(&log).await.state(), (200, "success"));
    assert!(client.trace(&job).await == log);
    assert_eq!(client.metric("veritail_live_store_rollbacks_total", "").await, 1.0);
}

/// The master dies while runners send: each ends with its whole log, whatever the replica had of it.
#[tokio::test(flavor = "multi_thread")]
async fn failover_under_load_ends_with_every_log_whole() {
    let mut sentinel = RedisSentinel::start(Product::Redis);
    send_while(&sentinel.url(), move || {
        sentinel.fail_over();
        sentinel
    })
    .await;
}

/// One of three masters dies while runners send to all of them, and its replica takes its slots.
#[tokio::test(flavor = "multi_thread")]
async fn a_master_of_a_cluster_lost_under_load_costs_no_log_a_byte() {
    let mut cluster = RedisCluster::start(Product::Redis);
    cluster.add_replica(1, Product::Redis);
    send_while(&cluster.url(), move || {
        cluster.fail_over();
        cluster
    })
    .await;
}

/// Sends logs while something happens; each is whole in the end.
async fn send_while<T: Send + 'static>(url: &str, happens: impl FnOnce() -> T + Send + 'static) {
    let server = program(url);
    let client = server.client().clone();
    let logs: Vec<Vec<u8>> = (0..12).map(|job| log(400_000 + 1000 * job)).collect();
    let uploads: Vec<_> = logs
        .iter()
        .map(|log| {
            let (client, log) = (client.clone(), log.clone());
            tokio::spawn(async move {
                let job = client.make_job_with_reset(true).await;
                let mut runner = Runner::new(&client, &job).with_patches_of(4000);
                for end in (0..log.len()).step_by(4000).skip(1) {
                    // As `send`, but it comes back for as long as a failover takes.
                    while runner.position() < end {
                        runner.try_once(&log[..end]).await;
                    }
                    pause(20).await;
                }
                let answer = runner.finish(&log).await;
                (job, answer.state().0, runner.counts)
            })
        })
        .collect();
    pause(700).await;
    let servers = tokio::task::spawn_blocking(happens).await.expect("the replica takes over");
    let mut failed = 0;
    for (upload, log) in uploads.into_iter().zip(&logs) {
        let (job, status, counts) =
            tokio::time::timeout(Duration::from_secs(120), upload).await.expect("in time").expect("done");
        assert_eq!(status, 200, "{counts:?}");
        assert!(client.trace(&job).await == *log, "job {}: {counts:?}", job.id);
        failed += counts.failed;
    }
    assert!(failed > 0, "no upload met the failover");
    drop(servers);
}
