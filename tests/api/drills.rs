//! The canary and drills, end to end: what is damaged on purpose is found, named rightly, and nobody's alarm; what is damaged
//! beside it is.

use std::process::{Command, Output};
use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};
use veritail::store::object::ObjectStore;

use crate::support::production::Production;
use crate::support::server::{Binary, Job, Send as _, ended, log};

/// Long enough for the canary to damage everything twice on a busy machine.
const PATIENCE: Duration = Duration::from_secs(180);
const DETECTIONS: &str = "veritail_canary_detections_total";
/// Fast, and whoever comes first finds it.
const FAST: &[(&str, &str)] = &[
    ("VERITAIL_VERIFY_CANARY", "*/4 * * * * *"),
    ("VERITAIL_VERIFY_CANARY_DEADLINE", "60s"),
    ("VERITAIL_VERIFY_HOT", "* * * * * *"),
    ("VERITAIL_VERIFY_OPEN_INTERVAL", "1s"),
    ("VERITAIL_VERIFY_JITTER", "0s"),
];

/// What the canary damages, over these stores.
fn damages(live: &str) -> Vec<(String, &'static str)> {
    let all = [
        (live, "checksum"),
        (live, "size"),
        ("object_store", "checksum"),
        ("object_store", "size"),
        ("object_store", "missing"),
        ("database", "checksum"),
        ("database", "record"),
    ];
    all.into_iter().map(|(store, kind)| (store.to_owned(), kind)).collect()
}

async fn detections(server: &Binary, result: &str) -> f64 {
    server.client().metric(DETECTIONS, &format!("result=\"{result}\"")).await
}

/// Waits until it is so.
async fn until(what: &str, server: &Binary, is: impl AsyncFn() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !is().await {
        let drills = server.client().admin(Method::GET, "/api/v1/drills?per_page=100").answer().await;
        assert!(Instant::now() < end, "{what} never came to be; {}; {}", drills.text(), server.log());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// A finished log of one chunk; the key of its object.
async fn finished(server: &Binary) -> (Job, String) {
    let client = server.client();
    let job = client.make_job().await;
    let said = log(5_000);
    client.append_all(&job, 0, &said).await;
    assert_eq!(client.put_until_decided(&job, &ended("success", &said, true)).await.status, 200);
    let key = client.integrity(&job).await["chunks"][0]["copies"][0]["key"].as_str().expect("a key").to_owned();
    (job, key)
}

/// Every kind of damage is found as what it is, none of it counts as damage, and what nobody announced does.
async fn everything_is_found(server: &Binary, live: &str, rot: impl AsyncFn(String)) {
    let client = server.client();
    let one = async |store: &str, kind: &str| {
        let label = format!("store=\"{store}\",kind=\"{kind}\",result=\"found\"");
        client.metric(DETECTIONS, &label).await
    };
    until("every kind of damage is found", server, async || {
        for (store, kind) in damages(live) {
            if one(&store, kind).await < 1.0 {
                return false;
            }
        }
        true
    })
    .await;
    for result in ["late", "missed", "wrong_label"] {
        let drills = client.admin(Method::GET, "/api/v1/drills?per_page=100").answer().await;
        assert_eq!(detections(server, result).await, 0.0, "{result}: {}", drills.text());
    }
    assert!(client.metric("veritail_canary_runs_total", "result=\"ok\"").await >= 7.0);
    for result in ["mismatch", "error", "timeout"] {
        let label = format!("result=\"{result}\"");
        assert_eq!(client.metric("veritail_canary_runs_total", &label).await, 0.0, "{result}: {}", server.log());
    }
    for stage in ["append", "finalize", "migrate", "read"] {
        let label = format!("stage=\"{stage}\"");
        assert!(client.metric("veritail_canary_stage_duration_seconds_count", &label).await >= 7.0, "{stage}");
    }
    assert!(client.metric("veritail_append_to_read_seconds_count", "").await >= 7.0);
    for counted in ["mismatches_total", "corrupt_traces", "repairs_total"] {
        assert_eq!(client.metric(&format!("veritail_integrity_{counted}"), "").await, 0.0, "{counted}");
    }

    // Meanwhile something goes bad for real.
    let (job, key) = finished(server).await;
    rot(key).await;
    until("the damage that nobody announced counts", server, async || {
        let _ = client.trace_request(&job).try_answer().await;
        client.metric("veritail_integrity_mismatches_total", "kind=\"checksum\",store=\"object_store\"").await > 0.0
    })
    .await;
    assert_eq!(client.metric("veritail_integrity_mismatches_total", "").await, 1.0);
    let found = client.admin(Method::GET, &format!("/api/v1/mismatches?job_id={}", job.id)).answer().await.json();
    assert_eq!(found["items"][0]["drill_id"], Value::Null);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_canarys_damage_is_found_in_every_store_and_is_nobodys_alarm() {
    let server = Binary::start(FAST);
    let objects = server.data_dir().join("objects");
    everything_is_found(&server, "embedded", async |key| {
        let file = objects.join(key);
        let mut bytes = std::fs::read(&file).expect("the object");
        let middle = bytes.len() / 2;
        bytes[middle] = !bytes[middle];
        std::fs::write(file, bytes).expect("written");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_canarys_damage_is_found_on_the_engines_of_production() {
    let engines = Production::start().await;
    let mut variables = engines.variables(engines.s3_port());
    variables.extend(FAST.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    let variables: Vec<(&str, &str)> = variables.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let server = Binary::start(&variables);
    let objects = engines.stores().await.objects;
    everything_is_found(&server, "redis", async |key| {
        let mut bytes = objects.get_whole(&key).await.expect("S3 answers").expect("the object").to_vec();
        let middle = bytes.len() / 2;
        bytes[middle] = !bytes[middle];
        objects.put(&key, bytes.into()).await.expect("written");
    })
    .await;
}

fn drill(server: &Binary, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_veritail"))
        .arg("drill")
        .args(args)
        .env_clear()
        .env("VERITAIL_URL", format!("http://{}", server.client().address()))
        .env("VERITAIL_TOKEN", "admin-token-of-the-tests")
        .env("no_proxy", "*")
        .output()
        .expect("the program was built for this test")
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr[..]].concat()).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_damages_a_copy_only_on_purpose_and_sees_that_it_is_found() {
    let server = Binary::start(&[("VERITAIL_VERIFY_HOT", "off"), ("VERITAIL_VERIFY_FULL", "off")]);
    let client = server.client();
    let (job, _) = finished(&server).await;
    let number = job.id.to_string();
    let order = ["corrupt", number.as_str(), "--store", "object_store", "--kind", "checksum"];
    let refused = drill(&server, &order);
    assert!(!refused.status.success() && said(&refused).contains("--yes-damage-data"), "{}", said(&refused));
    assert_eq!(client.trace(&job).await, log(5_000), "nothing is damaged");
    let elsewhere = ["corrupt", number.as_str(), "--store", "redis", "--kind", "checksum", "--yes-damage-data"];
    let refused = drill(&server, &elsewhere);
    assert!(!refused.status.success() && said(&refused).contains("embedded"), "{}", said(&refused));

    let done = drill(&server, &[&order[..], &["--yes-damage-data"]].concat());
    assert!(done.status.success(), "{}", said(&done));
    // What is not good any more is told from what was announced by nobody.
    let _ = client.trace_request(&job).try_answer().await;
    let listed = drill(&server, &["list", "--job", &number, "--json"]);
    let listed: Value = serde_json::from_slice(&listed.stdout).unwrap_or_else(|_| panic!("{}", said(&listed)));
    assert_eq!(
        (&listed["result"], &listed["found_by"], &listed["found_kind"], &listed["found_store"], &listed["by"]),
        (&json!("found"), &json!("read"), &json!("checksum"), &json!("object_store"), &json!("admin")),
        "{listed}"
    );
    assert_eq!(client.metric("veritail_integrity_mismatches_total", "").await, 0.0);
    let label = "store=\"object_store\",kind=\"checksum\",result=\"found\"";
    assert_eq!(client.metric(DETECTIONS, label).await, 1.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn damage_that_nobody_finds_is_missed() {
    let server = Binary::start(&[
        ("VERITAIL_VERIFY_HOT", "off"),
        ("VERITAIL_VERIFY_FULL", "off"),
        ("VERITAIL_VERIFY_FULL_CYCLE", "1s"),
        ("VERITAIL_VERIFY_CANARY", "* * * * * *"),
        ("VERITAIL_VERIFY_CANARY_DAMAGE", "off"),
        ("VERITAIL_VERIFY_JITTER", "0s"),
    ]);
    let (job, _) = finished(&server).await;
    let order = json!({"job_id": job.id, "store": "object_store", "kind": "missing", "chunk_index": 0, "yes_damage_data": true});
    let made = server.client().admin(Method::POST, "/api/v1/drills").json(&order).answer().await;
    assert_eq!(made.status, 201, "{}", made.text());
    until("the damage is missed", &server, async || detections(&server, "missed").await > 0.0).await;
    assert_eq!(server.client().metric(DETECTIONS, "").await, 1.0, "and the canary damages nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_canarys_project_is_its_own_and_shown_only_where_it_is_asked_for() {
    let server =
        Binary::start(&[("VERITAIL_VERIFY_CANARY", "* * * * * *"), ("VERITAIL_VERIFY_CANARY_DAMAGE", "off")]);
    let client = server.client();
    let ok = "result=\"ok\"";
    until("the canary ran", &server, async || client.metric("veritail_canary_runs_total", ok).await > 0.0).await;
    let wanted = json!({"project": "veritail/canary", "name": "rspec"});
    let refused = client.admin(Method::POST, "/api/v1/jobs").json(&wanted).answer().await;
    assert!(refused.status == 400 && refused.text().contains("reserved"), "{}", refused.text());
    let paths = async |path: &str| client.admin(Method::GET, path).answer().await.json().to_string();
    for list in ["/api/v4/projects", "/api/v1/projects"] {
        assert!(!paths(list).await.contains("veritail/canary"), "{list}");
    }
    assert!(paths("/api/v4/projects?search=canary").await.contains("veritail/canary"));
    let one = client.admin(Method::GET, "/api/v4/projects/veritail%2Fcanary").answer().await;
    assert_eq!(one.status, 200);
}
