//! `veritail bench`: what it writes is proven, what it counts is what an append costs, and damage does not go unseen.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::response::Response;
use serde_json::Value;

use crate::program::{Server, code, text, veritail};
use crate::support::redis_server::{Durability, RedisServer};
use crate::support::server::flipped;

/// Nothing is written down, sampled or verified by itself while a short run is measured.
const QUIET: [(&str, &str); 6] = [
    ("VERITAIL_CONTACT_INTERVAL", "10s"),
    ("VERITAIL_GAUGE_INTERVAL", "300s"),
    ("VERITAIL_VERIFY_HOT", "off"),
    ("VERITAIL_VERIFY_FULL", "off"),
    ("VERITAIL_VERIFY_INVENTORY", "off"),
    ("VERITAIL_VERIFY_CANARY", "off"),
];

fn json(output: &Output) -> Value {
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

/// Runs it with a Veritail of its own.
fn started(arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    let mut command = veritail(&["bench"]);
    command.args(arguments).args(["--start", "--json"]).envs(QUIET).envs(variables.iter().copied());
    command.output().expect("it runs")
}

/// Runs it in a thread of its own against a server, so that whoever waits can be asked meanwhile.
async fn against(server: &Server, arguments: &[&str]) -> Output {
    let mut command = server.command(&["bench"]);
    command.args(arguments);
    tokio::task::spawn_blocking(move || command.output().expect("it runs")).await.expect("it ends")
}

fn assert_head(document: &Value, bench: &str) {
    assert_eq!(document["bench"], bench);
    assert_eq!(document["version"], env!("CARGO_PKG_VERSION"));
    assert!(document["machine"]["cores"].as_u64() >= Some(1), "{document}");
    assert!(document["seed"].is_u64() && document["plan"].is_object(), "{document}");
}

fn assert_latency(latency: &Value, count: u64) {
    assert_eq!(latency["count"], count, "{latency}");
    let at = |name: &str| latency[name].as_f64().expect("milliseconds");
    let all = ["p50", "p90", "p99", "p99.9", "max"].map(at);
    assert!(all[0] > 0.0 && all.is_sorted(), "{latency}");
}

#[test]
fn an_append_costs_one_call_to_the_live_store_and_no_statement() {
    let redis = RedisServer::start(Durability::Nothing);
    let url = redis.url();
    for variables in [&[("VERITAIL_REDIS_URL", url.as_str())][..], &[]] {
        let run = ["ingest", "--runners", "4", "--patch", "1KiB", "--bytes-per-job", "64KiB", "--seed", "7"];
        let document = json(&started(&run, variables));
        assert_head(&document, "ingest");
        let live = if variables.is_empty() { "embedded" } else { "redis" };
        assert_eq!(document["target"]["live_store"], live);
        // All but each runner's first.
        assert_eq!(document["load"]["patches"], 4 * 63);
        assert_eq!(document["load"]["bytes"], 4 * 63 * 1024);
        assert_latency(&document["load"]["milliseconds"]["from_sending"], 4 * 63);
        assert_latency(&document["load"]["milliseconds"]["last_tenth"], 4 * 7);
        assert!(document["load"]["milliseconds"]["from_intended_start"].is_null(), "no rate was asked for");
        assert_eq!(document["per_append"]["calls"][live]["append"], 4 * 63, "{document}");
        let each = &document["per_append"]["each"];
        assert_eq!((&each["live"], &each["database"], &each["object_store"]), (&1.0.into(), &0.0.into(), &0.0.into()));
        assert_eq!(document["load"]["answers"], serde_json::json!({ "200": 4, "202": 256 }));
        assert_eq!(document["load"]["final_puts"], serde_json::json!({ "1": 4 }));
        assert_eq!(document["proof"], serde_json::json!({ "holds": true, "verified": 4, "wrong": 0, "first": [] }));
    }
}

/// Job 1 of the bench would be taken for the job 1 that is there.
#[test]
fn a_redis_with_traces_of_other_jobs_is_left_alone() {
    let redis = RedisServer::start(Durability::Nothing);
    let mut connection = redis::Client::open(redis.url()).expect("a URL").get_connection().expect("connected");
    redis::cmd("SET").arg("veritail:{1}:chunk:0-0").arg("somebody's log").exec(&mut connection).expect("set");
    let run = ["ingest", "--runners", "1", "--bytes-per-job", "8KiB"];
    let (status, said) = code(&started(&run, &[("VERITAIL_REDIS_URL", &redis.url())]));
    assert_eq!(status, Some(1), "{said}");
    assert!(said.contains("has traces of other jobs already"), "{said}");
    let keys: Vec<String> = redis::cmd("KEYS").arg("*").query(&mut connection).expect("answered");
    assert_eq!(keys, ["veritail:{1}:chunk:0-0"]);

    // Another database of the same server is as good as another server.
    let other = format!("{}1", redis.url());
    assert_eq!(json(&started(&run, &[("VERITAIL_REDIS_URL", &other)]))["proof"]["verified"], 1);
}

/// A server that stalls delays what comes behind; whoever counts from the sending does not see it.
#[tokio::test(flavor = "multi_thread")]
async fn a_rate_is_kept_and_times_are_counted_from_the_intended_start_too() {
    let server = Server::start(&[]);
    let run = ["ingest", "--runners", "5", "--patch", "3000", "--rate", "40", "--for", "1s", "--json"];
    let document = json(&against(&server, &run).await);
    let load = &document["load"];
    let sent = load["patches"].as_u64().expect("a count");
    assert_eq!(sent + load["missed"].as_u64().expect("a count"), 200, "{load}");
    let times = &load["milliseconds"];
    assert_latency(&times["from_sending"], sent);
    assert_latency(&times["from_intended_start"], sent);
    assert!(times["from_intended_start"]["max"].as_f64() >= times["from_sending"]["p50"].as_f64(), "{times}");
    assert_eq!(document["target"]["started"], false);
    assert_eq!(document["proof"]["verified"], 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn people_get_tables() {
    let server = Server::start(&[]);
    let output = against(&server, &["ingest", "--runners", "2", "--for", "300ms"]).await;
    let (status, said) = (output.status.code(), text(&output.stdout));
    assert_eq!(status, Some(0), "{}", text(&output.stderr));
    for part in ["patches in", "p99.9", "calls per", "answers by status: 200: 2, 202:", "proven: 2 jobs"] {
        assert!(said.contains(part), "{part} is not in\n{said}");
    }
    assert!(!said.contains('\x1b') && output.stderr.is_empty(), "{}", text(&output.stderr));
}

#[test]
fn the_bare_minimum_is_measured_in_turns() {
    let redis = RedisServer::start(Durability::Nothing);
    let url = redis.url();
    for (variables, what, goal) in [
        (&[("VERITAIL_REDIS_URL", url.as_str())][..], "one APPEND a patch, over HTTP", 0.7),
        (&[][..], "the embedded live store, without HTTP", 0.5),
    ] {
        let run = ["ingest", "--runners", "4", "--for", "200ms", "--baseline", "--rounds", "2"];
        let document = json(&started(&run, variables));
        let (rounds, baseline) = (&document["rounds"], &document["baseline"]);
        assert_eq!((&baseline["what"], &baseline["requests_goal"]), (&what.into(), &goal.into()));
        for round in 0..2 {
            assert_eq!(rounds[round]["proof"]["holds"], true);
            assert!(rounds[round]["load"]["patches"].as_u64() > Some(0), "{document}");
            assert!(baseline["rounds"][round]["patches"].as_u64() > Some(0), "{document}");
        }
        let rate = |load: &Value| load["patches_per_second"].as_f64().expect("a rate");
        let ours = f64::midpoint(rate(&rounds[0]["load"]), rate(&rounds[1]["load"]));
        let bare = f64::midpoint(rate(&baseline["rounds"][0]), rate(&baseline["rounds"][1]));
        assert!((baseline["requests_ratio"].as_f64().expect("a ratio") - ours / bare).abs() < 1e-6, "{baseline}");
    }
    let mut left = redis::Client::open(url).expect("a URL").get_connection().expect("connected");
    let keys: Vec<String> = redis::cmd("KEYS").arg("veritail-bench:*").query(&mut left).expect("answered");
    assert!(keys.is_empty(), "{keys:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn whole_logs_ranges_and_growing_ends_are_read_and_compared() {
    let server = Server::start(&[]);
    let few = ["--readers", "3", "--for", "500ms", "--json"];
    let write = ["--write", "2", "--bytes-per-job", "300KiB"];
    for (more, status) in [(&[][..], "200"), (&["--range", "10KiB"][..], "206")] {
        let document = json(&against(&server, &[&["read"], &few[..], &write[..], more].concat()).await);
        assert_head(&document, "read");
        let read = &document["read"];
        let reads = read["reads"].as_u64().expect("a count");
        assert!(reads > 0 && read["answers"][status] == reads, "{read}");
        assert_latency(&read["milliseconds"]["first_byte"], reads);
        assert_latency(&read["milliseconds"]["whole"], reads);
        assert_eq!(read["bytes"], reads * if more.is_empty() { 300 * 1024 } else { 10 * 1024 });
    }
    let document = json(&against(&server, &[&["read", "--tail", "--rate", "20"], &few[..]].concat()).await);
    assert!(document["read"]["reads"].as_u64() >= Some(3), "{document}");
    assert_eq!((&document["plan"]["what"], &document["holds"]), (&"tail".into(), &true.into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn migration_is_measured_beside_the_object_store() {
    let document = json(&started(&["migrate", "--chunks", "5"], &[]));
    assert_head(&document, "migrate");
    let times = &document["milliseconds"];
    assert_latency(&times["until_persistent"], 5);
    assert_latency(&times["put_and_get"], 5);
    assert!(document["median_ratio"].as_f64() > Some(0.0) && times["mean_of_server"].is_number(), "{document}");
    let calls = &document["per_chunk"]["calls"]["object_store"];
    assert_eq!((&calls["put"], document["proof"]["verified"].as_u64()), (&5.into(), Some(5)), "{document}");

    let server = Server::start(&[("VERITAIL_CHUNK_SIZE", "65536")]);
    let run = ["migrate", "--chunks", "3", "--chunk-size", "64KiB", "--json"];
    let document = json(&against(&server, &run).await);
    assert_latency(&document["milliseconds"]["until_persistent"], 3);
    assert!(document["milliseconds"]["put_and_get"].is_null(), "that store is not ours to ask");
}

#[test]
fn idle_traces_are_weighed_in_a_process_of_their_own() {
    let output = veritail(&["bench", "idle", "--runners", "50", "--warm-up", "20", "--rest", "1s", "--json"])
        .output()
        .expect("it runs");
    let document = json(&output);
    assert_head(&document, "idle");
    assert!(document["memory"]["before"].as_u64() > Some(1 << 20), "{document}");
    assert!(document["memory"]["each"].is_number() && document["memory"]["goal"] == 2048.0, "{document}");
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    entries.flat_map(|path| if path.is_dir() { files_below(&path) } else { vec![path] }).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_object_fails_the_run() {
    let server = Server::start(&[("VERITAIL_LIVE_GRACE", "0s")]);
    let run = ["ingest", "--runners", "1", "--bytes-per-job", "200KiB", "--json"];
    assert_eq!(json(&against(&server, &run).await)["proof"]["verified"], 1);
    let read = ["read", "--job", "1", "--readers", "2", "--for", "300ms", "--json"];
    assert_eq!(json(&against(&server, &read).await)["holds"], true);

    for file in files_below(&server.data_dir().join("objects")) {
        let bytes = fs::read(&file).expect("readable");
        fs::write(&file, flipped(&bytes)).expect("writable");
    }
    let output = against(&server, &read).await;
    let (status, said) = code(&output);
    assert_eq!(status, Some(1), "{said}");
    assert!(said.contains("job 1: reading it broke off after 0 bytes"), "{said}");
    let document: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!((&document["holds"], &document["read"]["reads"]), (&false.into(), &0.into()));
}

/// Passes everything on, but for one bit of every log that is read.
async fn lie(State((upstream, client)): State<(String, reqwest::Client)>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let body = axum::body::to_bytes(body, usize::MAX).await.expect("a whole body");
    let reads = head.method == "GET" && head.uri.path().ends_with("/trace");
    let mut asked = client.request(head.method, format!("{upstream}{}", head.uri));
    for (name, value) in head.headers.iter().filter(|(name, _)| *name != "host" && *name != "content-length") {
        asked = asked.header(name, value);
    }
    let answer = asked.body(body).send().await.expect("answered");
    let mut told = Response::builder().status(answer.status());
    for (name, value) in answer.headers().iter().filter(|(name, _)| *name != "transfer-encoding") {
        told = told.header(name, value);
    }
    let mut body = answer.bytes().await.expect("whole").to_vec();
    if reads && !body.is_empty() {
        let middle = body.len() / 2;
        body[middle] ^= 1;
    }
    told.body(Body::from(Bytes::from(body))).expect("a response")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_byte_that_comes_back_another_fails_the_run() {
    let server = Server::start(&[]);
    veritail::api::server::tls::choose_cryptography();
    let client = reqwest::Client::builder().no_proxy().build().expect("a client");
    let routes = Router::new().fallback(lie).with_state((server.url(), client));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("bound"));
    let proxy = tokio::spawn(async move { axum::serve(listener, routes).await });

    let run = ["ingest", "--runners", "2", "--for", "200ms", "--json", "--url", &url];
    let output = against(&server, &run).await;
    proxy.abort();
    let (status, said) = code(&output);
    assert_eq!(status, Some(1), "{said}");
    assert!(said.contains("not proven: 2 wrong, 0 verified") && said.contains("SHA-256"), "{said}");
    let document: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!((&document["proof"]["holds"], &document["proof"]["wrong"]), (&false.into(), &2.into()));
}

#[test]
fn a_server_that_is_not_there_is_named() {
    let output = veritail(&["bench", "ingest", "--url", "http://127.0.0.1:1", "--token", "t", "--for", "1s"]).output();
    let (status, said) = code(&output.expect("it runs"));
    assert_eq!(status, Some(1), "{said}");
    assert!(said.contains("http://127.0.0.1:1 does not answer"), "{said}");
}

#[test]
fn everything_that_is_kept_is_looked_at_beside_others_and_within_a_budget() {
    let run = ["bench", "verify", "--jobs", "4", "--bytes-per-job", "1MiB", "--rounds", "1", "--budget", "1MiB"];
    let mut command = veritail(&run);
    command.args(["--for", "1s", "--runners", "4", "--json"]);
    let document = json(&command.output().expect("it runs"));
    assert_head(&document, "verify");
    let pass = &document["rounds"][0]["pass"];
    assert_eq!((&pass["bytes"], &pass["chunks"], &pass["looks"]), (&(4 << 20).into(), &32.into(), &32.into()));
    assert_eq!(document["memory"]["half"]["chunks"], 16);
    let positive = |figure: &Value| assert!(figure.as_f64() > Some(0.0), "{document}");
    positive(&pass["bytes_per_second"]);
    positive(&document["rounds"][0]["decoding_seconds"]);
    positive(&document["rounds"][0]["sha256"]["bytes_per_second"]);
    assert!(document["rounds"][0]["rclone"].is_null(), "a folder is not compared with S3");
    // What a tenth of a second brings may come at once.
    let within = &document["budget"]["pass"];
    let (bytes, seconds) = (within["bytes"].as_f64().expect("bytes"), within["seconds"].as_f64().expect("seconds"));
    assert!(bytes <= (seconds + 0.11) * f64::from(1 << 20), "{within}");
    let beside = &document["beside_appends"];
    positive(&beside["requests_ratio"]);
    assert!(beside["rounds"][0]["looks"].as_u64() > Some(0), "{beside}");
    assert_eq!(document["proof"]["holds"], true);
}
