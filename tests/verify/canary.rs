//! The canary, end to end, with the real program over the embedded stores and over Redis, PostgreSQL and S3: what it damages
//! is found by the verifier, named rightly, healed, and nobody's alarm; what is damaged beside it is; a verifier that is
//! off shows; nothing is left of what has served, or of a node that died in the middle.

use std::path::Path;
use std::time::{Duration, Instant};

use futures::TryStreamExt as _;
use reqwest::Method;
use serde_json::Value;
use veritail::store::object::ObjectStore;
use veritail::store::object::bucket::Bucket;

use crate::support::production::Production;
use crate::support::server::{Binary, Client, Send as _, ended, log};
use crate::support::wait::holds_within;

/// Long enough for the canary to damage everything on a busy machine.
const PATIENCE: Duration = Duration::from_secs(180);
const DETECTIONS: &str = "veritail_canary_detections_total";
const RUNS: &str = "veritail_canary_runs_total";
/// A run every two seconds.
const CANARY: &[(&str, &str)] = &[
    ("VERITAIL_VERIFY_CANARY", "*/2 * * * * *"),
    ("VERITAIL_VERIFY_CANARY_DEADLINE", "60s"),
    ("VERITAIL_VERIFY_JITTER", "0s"),
    // A dead node's turn is over soon, and so is one that takes its time.
    ("VERITAIL_LEASE_TIME", "500ms"),
];
/// And a verifier that looks every second.
const HOT: &[(&str, &str)] = &[("VERITAIL_VERIFY_HOT", "* * * * * *"), ("VERITAIL_VERIFY_OPEN_INTERVAL", "1s")];
/// Or none.
const NO_VERIFIER: &[(&str, &str)] = &[("VERITAIL_VERIFY_HOT", "off"), ("VERITAIL_VERIFY_FULL", "off")];

/// What the canary damages, over these stores.
fn damages(live: &str) -> [(&str, &str); 7] {
    [
        (live, "checksum"),
        (live, "size"),
        ("object_store", "checksum"),
        ("object_store", "size"),
        ("object_store", "missing"),
        ("database", "checksum"),
        ("database", "record"),
    ]
}

/// The stores of a test, and what goes with them.
enum Stores {
    Embedded,
    Production(Box<Production>),
}

impl Stores {
    async fn production() -> Self {
        Self::Production(Box::new(Production::start().await))
    }

    fn live(&self) -> &'static str {
        match self {
            Self::Embedded => "embedded",
            Self::Production(_) => "redis",
        }
    }

    /// A node over them. Of the embedded ones each has its own.
    fn node(&self, settings: &[&[(&str, &str)]]) -> Binary {
        let engines = match self {
            Self::Embedded => Vec::new(),
            Self::Production(engines) => engines.variables(engines.s3_port()),
        };
        let engines = engines.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        Binary::start(&engines.chain(settings.concat()).collect::<Vec<_>>())
    }

    /// The object store of such a node.
    async fn objects(&self, node: &Binary) -> std::sync::Arc<dyn ObjectStore> {
        match self {
            Self::Embedded => std::sync::Arc::new(Bucket::folder(&node.data_dir().join("objects")).expect("a folder")),
            Self::Production(engines) => engines.stores().await.objects,
        }
    }
}

async fn get(client: &Client, path: &str) -> Value {
    let answer = client.admin(Method::GET, path).answer().await;
    assert_eq!(answer.status, 200, "{path}: {}", answer.text());
    answer.json()
}

async fn items(client: &Client, path: &str) -> Vec<Value> {
    get(client, path).await["items"].as_array().expect("a list").clone()
}

/// All drills, newest first.
async fn drills(client: &Client) -> Vec<Value> {
    items(client, "/api/v1/drills?per_page=100").await
}

/// The canary's jobs, newest first.
async fn jobs(client: &Client) -> Vec<Value> {
    let answer = client.admin(Method::GET, "/api/v4/projects/veritail%2Fcanary/jobs?per_page=100").answer().await;
    // Before its first run there is no such project.
    if answer.status == 200 { answer.json().as_array().expect("a list").clone() } else { Vec::new() }
}

async fn detected(client: &Client, (store, kind): (&str, &str), result: &str) -> f64 {
    let page = client.request(Method::GET, "/metrics").answer().await;
    let series = format!("{DETECTIONS}{{store=\"{store}\",kind=\"{kind}\",result=\"{result}\"}} ");
    page.text().lines().find_map(|line| line.strip_prefix(&series)?.parse().ok()).expect("there from the start")
}

/// Waits until it is so.
async fn until(what: &str, server: &Binary, is: impl AsyncFn() -> bool) {
    let came = holds_within(PATIENCE, is).await;
    assert!(came, "{what} never came to be; {:#?}; {}", drills(server.client()).await, server.log());
}

/// Nothing of it counts as damage or loss, and nobody is told.
async fn assert_nobodys_alarm(server: &Binary) {
    let client = server.client();
    for counted in [
        "veritail_integrity_mismatches_total",
        "veritail_integrity_corrupt_traces",
        "veritail_integrity_repairs_total",
        "veritail_live_lost_traces_total",
    ] {
        assert_eq!(client.metric(counted, "").await, 0.0, "{counted}; {}", server.log());
    }
    let disagrees = client.metric("veritail_e2e_checksum_results_total", "result=\"mismatch\"").await;
    assert_eq!(disagrees, 0.0, "{}", server.log());
    for found in items(client, "/api/v1/mismatches?per_page=100").await {
        assert!(found["drill_id"].is_i64(), "{found:#}");
    }
}

/// Every run so far went well, and was measured.
async fn assert_healthy(server: &Binary, runs: f64) {
    let client = server.client();
    for result in ["mismatch", "error", "timeout"] {
        let label = format!("result=\"{result}\"");
        assert_eq!(client.metric(RUNS, &label).await, 0.0, "{result}: {}", server.log());
    }
    assert!(client.metric(RUNS, "result=\"ok\"").await >= runs);
    for stage in ["append", "finalize", "migrate", "read"] {
        let label = format!("stage=\"{stage}\"");
        assert!(client.metric("veritail_canary_stage_duration_seconds_count", &label).await >= runs, "{stage}");
    }
    assert!(client.metric("veritail_append_to_read_seconds_count", "").await >= runs);
    assert!(client.metric("veritail_canary_last_success_timestamp_seconds", "").await > 1.7e9);
}

/// Waits until each damage was found; then holds how, by whom, and what became of it.
async fn everything_is_found_and_healed(server: &Binary, live: &str) {
    let client = server.client();
    until("every kind of damage is found", server, async || {
        for damage in damages(live) {
            if detected(client, damage, "found").await < 1.0 {
                return false;
            }
        }
        true
    })
    .await;
    for result in ["late", "missed", "wrong_label"] {
        let label = format!("result=\"{result}\"");
        assert_eq!(client.metric(DETECTIONS, &label).await, 0.0, "{result}: {:#?}", drills(client).await);
    }
    assert_healthy(server, 7.0).await;
    until("what was found is healed", server, async || {
        let found = items(client, "/api/v1/mismatches?per_page=100").await;
        // A wrong record waits for a person: its trace is erased before one comes.
        found.iter().all(|found| found["state"] == "resolved" || found["kind"] == "record")
    })
    .await;
    for found in items(client, "/api/v1/mismatches?per_page=100").await {
        let (store, kind) = (found["store"].as_str().expect("text"), found["kind"].as_str().expect("text"));
        assert!(damages(live).contains(&(store, kind)), "{found:#}");
        let healed = match (store, kind) {
            (_, "record") => found["resolution"] != "repaired",
            (store, _) if store == live => found["resolution"] == "resent",
            _ => found["resolution"] == "repaired",
        };
        assert!(healed, "{found:#}");
        // What lies in the database moves on by itself, and may be met on its way.
        let by = found["detector"].as_str().expect("text");
        assert!(by == "hot" || by == "migrate" && store == "database", "{found:#}");
    }
    assert_nobodys_alarm(server).await;
}

/// Something goes bad for real meanwhile: that counts.
async fn real_damage_counts(server: &Binary, objects: &dyn ObjectStore) {
    let client = server.client();
    let job = client.make_job().await;
    let said = log(5_000);
    client.append_all(&job, 0, &said).await;
    assert_eq!(client.put_until_decided(&job, &ended("success", &said, true)).await.status, 200);
    let key = client.integrity(&job).await["chunks"][0]["copies"][0]["key"].as_str().expect("a key").to_owned();
    objects.put(&key, "rot".into()).await.expect("written");
    until("the damage that nobody announced counts", server, async || {
        let _ = client.trace_request(&job).try_answer().await;
        client.metric("veritail_integrity_mismatches_total", "kind=\"size\",store=\"object_store\"").await > 0.0
    })
    .await;
    assert_eq!(client.metric("veritail_integrity_mismatches_total", "").await, 1.0);
    let found = items(client, &format!("/api/v1/mismatches?job_id={}", job.id)).await;
    assert_eq!(found[0]["drill_id"], Value::Null);
}

/// What has served is erased, and its objects with it; what is kept is there.
async fn what_served_is_gone(server: &Binary, objects: &dyn ObjectStore) {
    let client = server.client();
    let damaged: Vec<i64> =
        drills(client).await.iter().map(|drill| drill["job_id"].as_i64().expect("a number")).collect();
    let oldest = damaged.last().expect("something was damaged");
    until("the trace that was damaged first is erased", server, async || {
        jobs(client).await.iter().any(|job| job["id"].as_i64() == Some(*oldest) && job["erased_at"].is_string())
    })
    .await;
    for prefix in ["traces/", "quarantine/"] {
        let keys: Vec<String> =
            objects.list(prefix).map_ok(|object| object.key).try_collect().await.expect("a listing");
        assert!(!keys.iter().any(|key| key.contains(&format!("/{oldest}/"))), "{keys:?}");
    }
}

async fn a_whole_life(stores: Stores) {
    let server = stores.node(&[CANARY, HOT]);
    everything_is_found_and_healed(&server, stores.live()).await;
    let objects = stores.objects(&server).await;
    what_served_is_gone(&server, objects.as_ref()).await;
    real_damage_counts(&server, objects.as_ref()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_canarys_damage_is_found_healed_and_nobodys_alarm_in_the_embedded_stores() {
    a_whole_life(Stores::Embedded).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_canarys_damage_is_found_healed_and_nobodys_alarm_in_redis_postgresql_and_s3() {
    a_whole_life(Stores::production().await).await;
}

/// Reads do not make up for a verifier that does not look: what nobody finds is missed.
async fn a_verifier_that_is_off_shows(stores: Stores) {
    let server = stores.node(&[CANARY, NO_VERIFIER, &[("VERITAIL_VERIFY_CANARY_DEADLINE", "1s")]]);
    let client = server.client();
    for damage in [(stores.live(), "checksum"), ("object_store", "checksum")] {
        until("the damage is missed", &server, async || detected(client, damage, "missed").await > 0.0).await;
    }
    assert_eq!(client.metric(DETECTIONS, "result=\"wrong_label\"").await, 0.0, "{:#?}", drills(client).await);
    assert_healthy(&server, 2.0).await;
    assert_nobodys_alarm(&server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_verifier_that_is_off_misses_the_damage_in_the_embedded_stores() {
    a_verifier_that_is_off_shows(Stores::Embedded).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_verifier_that_is_off_misses_the_damage_in_redis_postgresql_and_s3() {
    a_verifier_that_is_off_shows(Stores::production().await).await;
}

/// The canary's newest job, if its trace is under way.
async fn under_way(client: &Client) -> Option<i64> {
    let newest = jobs(client).await.into_iter().next()?;
    (newest["status"] == "running").then(|| newest["id"].as_i64().expect("a number"))
}

/// A trace that the canary does not come to an end with, for its node is killed first.
async fn killed_in_the_middle(server: &mut Binary) -> i64 {
    let end = Instant::now() + PATIENCE;
    loop {
        assert!(Instant::now() < end, "no trace is ever under way; {}", server.log());
        if let Some(job) = under_way(server.client()).await {
            server.kill();
            return job;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Waits until the next rounds have tidied up, and went on.
async fn nothing_is_left(server: &Binary, left: &[i64]) {
    let client = server.client();
    until("what the dead node left is erased", server, async || {
        let jobs = jobs(client).await;
        let is_gone = |id: &i64| jobs.iter().any(|job| job["id"].as_i64() == Some(*id) && job["erased_at"].is_string());
        left.iter().all(is_gone)
    })
    .await;
    until("the canary goes on", server, async || client.metric(RUNS, "result=\"ok\"").await >= 2.0).await;
    for drill in drills(client).await {
        let result = drill["result"].as_str();
        assert!(matches!(result, None | Some("found")), "{drill:#}");
        let is_of_the_dead = left.contains(&drill["job_id"].as_i64().expect("a number"));
        assert!(!is_of_the_dead || drill["ended_at"].is_string(), "{drill:#}");
    }
    assert_nobodys_alarm(server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_dies_in_the_middle_of_a_round_leaves_nothing_in_the_embedded_stores() {
    // What it left of announced damage is settled by then, also where it died before it had done any.
    let mut server = Stores::Embedded.node(&[CANARY, HOT, &[("VERITAIL_VERIFY_CANARY_DEADLINE", "10s")]]);
    let mut left = Vec::new();
    for _ in 0..4 {
        left.push(killed_in_the_middle(&mut server).await);
        server.restart();
    }
    nothing_is_left(&server, &left).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_dead_node_left_is_tidied_up_by_another_in_redis_postgresql_and_s3() {
    let stores = Stores::production().await;
    let settings: [&[(&str, &str)]; 3] = [CANARY, HOT, &[("VERITAIL_VERIFY_CANARY_DEADLINE", "10s")]];
    let mut left = Vec::new();
    for _ in 0..3 {
        left.push(killed_in_the_middle(&mut stores.node(&settings)).await);
    }
    nothing_is_left(&stores.node(&settings), &left).await;
}

/// All objects below a folder.
fn files(folder: &Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().map(|entry| entry.expect("an entry").path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_log_is_read_again_and_what_rotted_for_real_counts() {
    let off: &[(&str, &str)] = &[("VERITAIL_VERIFY_CANARY_DAMAGE", "off"), ("VERITAIL_LIVE_GRACE", "0s")];
    let server = Stores::Embedded.node(&[CANARY, NO_VERIFIER, off]);
    let client = server.client();
    until("the canary ran", &server, async || client.metric(RUNS, "result=\"ok\"").await >= 2.0).await;
    assert_nobodys_alarm(&server).await;
    // Of what is kept by now everything rots; later runs read back what they wrote.
    let kept = jobs(client).await.into_iter().filter(|job| job["status"] == "success");
    let kept: Vec<String> = kept.map(|job| format!("/{}/", job["id"])).collect();
    let objects = files(&server.data_dir().join("objects/traces"));
    let is_kept = |path: &&std::path::PathBuf| kept.iter().any(|job| path.to_string_lossy().contains(job));
    let rotten = objects.iter().filter(is_kept).map(|path| std::fs::write(path, "rot").expect("written")).count();
    assert_eq!(rotten, 3 * kept.len());
    until("the canary says so", &server, async || client.metric(RUNS, "result=\"error\"").await > 0.0).await;
    assert!(client.metric("veritail_integrity_mismatches_total", "detector=\"read\"").await > 0.0);
    assert_eq!(client.metric(DETECTIONS, "").await, 0.0);
    server.until_logged("the canary's run failed").await;
}
