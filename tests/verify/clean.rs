//! Nothing is wrong, everything is under way, and every schedule runs every second: nothing is found.
//!
//! A few seconds here; `VERITAIL_CLEAN_SECONDS` makes it longer.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use futures::future::join_all;
use reqwest::Method;
use serde_json::json;

use crate::support::production::Production;
use crate::support::runner::Runner;
use crate::support::server::{Binary, Client, Send as _, log};
use crate::support::wait::{PATIENCE, holds_within};

/// Jobs at the same time.
const LANES: usize = 8;
/// Fewer looks at a store say nothing.
const LOOKS_MIN: f64 = 100.0;
/// All that go on by themselves.
const SCHEDULES: [&str; 4] = ["hot", "full", "inventory", "canary"];
/// Everything as often and as soon as it can be.
const SHORTEST: &[(&str, &str)] = &[
    ("VERITAIL_VERIFY_HOT", "* * * * * *"),
    ("VERITAIL_VERIFY_FULL", "* * * * * *"),
    ("VERITAIL_VERIFY_INVENTORY", "* * * * * *"),
    ("VERITAIL_VERIFY_INVENTORY_REQUESTS_PER_SECOND", "0"),
    ("VERITAIL_VERIFY_CANARY", "* * * * * *"),
    ("VERITAIL_VERIFY_CANARY_DAMAGE", "off"),
    ("VERITAIL_VERIFY_JITTER", "0s"),
    ("VERITAIL_VERIFY_OPEN_INTERVAL", "1s"),
    ("VERITAIL_VERIFY_FULL_SLICE", "900ms"),
    ("VERITAIL_VERIFY_FULL_CYCLE", "1s"),
    ("VERITAIL_VERIFY_FULL_CYCLE_OLD", "1s"),
    ("VERITAIL_CHUNK_SIZE", "16384"),
    ("VERITAIL_LIVE_GRACE", "1s"),
    ("VERITAIL_SWEEP_INTERVAL", "200ms"),
    ("VERITAIL_LIVE_SWEEP_INTERVAL", "1s"),
];

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_found_in_the_embedded_stores() {
    run("embedded", &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_found_in_redis_postgresql_and_s3() {
    let engines = Production::start().await;
    run("redis", &engines.variables(engines.s3_port())).await;
}

async fn run(live: &str, engines: &[(String, String)]) {
    let mut variables: Vec<(&str, &str)> =
        engines.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    variables.extend(SHORTEST);
    let server = Binary::start(&variables);
    let client = server.client();
    let seconds = std::env::var("VERITAIL_CLEAN_SECONDS").map_or(5, |text| text.parse().expect("seconds"));
    let until = Instant::now() + Duration::from_secs(seconds);
    let enough = Arc::new(AtomicBool::new(false));
    let log = Arc::new(log(300_000));
    let lanes = (0..LANES).map(|lane| tokio::spawn(upload(client.clone(), log.clone(), lane, enough.clone())));
    let lanes: Vec<_> = lanes.collect();
    // On a slow machine it takes longer until there are enough looks to say something.
    holds_within(Duration::from_secs(120), async || {
        let (live, objects) = (checks(client, live, "ok").await, checks(client, "object_store", "ok").await);
        Instant::now() >= until && live.min(objects) > LOOKS_MIN
    })
    .await;
    enough.store(true, Ordering::SeqCst);
    let jobs: usize = join_all(lanes).await.into_iter().map(|jobs| jobs.expect("a lane ends")).sum();
    // What ended last has its look too, by every schedule.
    for schedule in SCHEDULES {
        let label = format!("schedule=\"{schedule}\",result=\"ran\"");
        let before = client.metric("veritail_verify_ticks_total", &label).await;
        let ran = async || client.metric("veritail_verify_ticks_total", &label).await - before;
        let did = holds_within(PATIENCE, async || ran().await >= 2.0).await;
        assert!(did, "{schedule} ran {} times\n{}", ran().await, server.log());
    }

    let mut looks = Vec::new();
    for store in [live, "object_store"] {
        for result in ["ok", "mismatch", "missing", "moved", "error"] {
            let found = checks(client, store, result).await;
            looks.push(format!("{store} {result}: {found}"));
            match result {
                "ok" => assert!(found > LOOKS_MIN, "too few looks say nothing: {looks:?}"),
                "moved" => {}
                _ => assert_eq!(found, 0.0, "{looks:?}\n{}", server.log()),
            }
        }
    }
    println!("{jobs} jobs in {seconds} s; looks at {}", looks.join(", "));
    for wrong in ["mismatch", "error", "timeout"] {
        let label = format!("result=\"{wrong}\"");
        assert_eq!(client.metric("veritail_canary_runs_total", &label).await, 0.0, "{wrong}\n{}", server.log());
    }
    assert_eq!(client.metric("veritail_integrity_mismatches_total", "").await, 0.0, "{}", server.log());
    server.assert_untroubled().await;
}

/// How many looks at a store ended so.
async fn checks(client: &Client, store: &str, result: &str) -> f64 {
    let page = client.request(Method::GET, "/metrics").answer().await;
    let labels = [format!("store=\"{store}\""), format!("result=\"{result}\"")];
    let lines = page.text().lines().filter(|line| line.starts_with("veritail_verify_checks_total{"));
    let lines = lines.filter(|line| labels.iter().all(|label| line.contains(label.as_str())));
    lines.filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok()).sum()
}

/// One job after the other, of all sizes: sent in all kinds of pieces, read while they grow, finished, read and erased.
async fn upload(client: Client, log: Arc<Vec<u8>>, lane: usize, enough: Arc<AtomicBool>) -> usize {
    let mut jobs = 0;
    while !enough.load(Ordering::SeqCst) {
        let log = &log[..(1 + lane * 7 + jobs * 13) % 30 * 10_000 + 77];
        let job = client.make_job_with_reset(jobs % 2 == 0).await;
        let mut runner = Runner::new(&client, &job).with_patches_of(1000 + lane * 5000);
        if jobs % 2 == 1 {
            runner = runner.without_reset();
        }
        runner.send(&log[..log.len() / 2]).await;
        assert!(client.trace(&job).await == log[..log.len() / 2]);
        assert_eq!(runner.finish(log).await.state(), (200, "success"));
        assert!(client.trace(&job).await == log);
        if jobs % 3 == 2 {
            let path = format!("/api/v4/projects/{}/jobs/{}/erase", job.project, job.id);
            let erased = client.admin(Method::POST, &path).json(&json!({})).answer().await;
            assert!((200..300).contains(&erased.status), "{erased:?}");
        }
        jobs += 1;
    }
    jobs
}
