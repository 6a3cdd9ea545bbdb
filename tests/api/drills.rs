//! Drills over HTTP: damage that a person does on purpose is done only where that is said, is found as what it is, and is
//! nobody's alarm; what it is of is its own project or anybody's log.

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::server::{Answer, Binary, Job, Send as _, ended, log};
use crate::support::wait::{PATIENCE, holds_within};

const DETECTIONS: &str = "veritail_canary_detections_total";

/// Waits until it is so.
async fn until(what: &str, server: &Binary, is: impl AsyncFn() -> bool) {
    let came = holds_within(PATIENCE, is).await;
    assert!(came, "{what} never came to be; {}; {}", drills(server, "").await, server.log());
}

/// A page of drills.
async fn drills(server: &Binary, parameters: &str) -> Value {
    let page = server.client().admin(Method::GET, &format!("/api/v1/drills{parameters}")).answer().await;
    assert_eq!(page.status, 200, "{}", page.text());
    page.json()
}

async fn order(server: &Binary, order: Value) -> Answer {
    server.client().admin(Method::POST, "/api/v1/drills").json(&order).answer().await
}

/// A finished log of one chunk.
async fn finished(server: &Binary) -> Job {
    let client = server.client();
    let job = client.make_job().await;
    let said = log(5_000);
    client.append_all(&job, 0, &said).await;
    assert_eq!(client.put_until_decided(&job, &ended("success", &said, true)).await.status, 200);
    job
}

/// No verifier: whoever reads finds it.
const READERS_ONLY: &[(&str, &str)] = &[("VERITAIL_VERIFY_HOT", "off"), ("VERITAIL_VERIFY_FULL", "off")];

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_damaged_unless_it_is_there_and_that_is_said() {
    let server = Binary::start(READERS_ONLY);
    let client = server.client();
    let job = finished(&server).await;
    let yes = json!({"job_id": job.id, "store": "object_store", "kind": "checksum", "yes_damage_data": true});
    let but = |name: &str, value: Value| {
        let mut order = yes.clone();
        order[name] = value;
        order
    };
    for (refused, status, why) in [
        (but("yes_damage_data", json!(false)), 400, "yes_damage_data"),
        (but("yes_damage_data", Value::Null), 400, "null"),
        (but("job_id", json!(4_711)), 404, "not"),
        (but("chunk_index", json!(1)), 400, "no sound copy of chunk 1"),
        (but("store", json!("redis")), 400, "the live store of this server is embedded"),
        (but("store", json!("embedded")), 400, "no sound copy"),
        (but("store", json!("database")), 400, "no sound copy"),
        (but("kind", json!("gap")), 400, "choose checksum, size or missing"),
        (but("kind", json!("record")), 400, "choose checksum, size or missing"),
    ] {
        let answer = order(&server, refused.clone()).await;
        assert!(answer.status == status && answer.text().to_lowercase().contains(why), "{refused}: {}", answer.text());
    }
    assert_eq!(drills(&server, "").await, json!({"items": [], "next": null}));
    assert_eq!(client.trace(&job).await, log(5_000), "nothing is damaged");
    assert_eq!(client.metric("veritail_integrity_mismatches_total", "").await, 0.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drill_is_found_as_what_it_is_and_the_audit_trail_says_that_it_was_one() {
    let server = Binary::start(READERS_ONLY);
    let client = server.client();
    let cases = [
        ("object_store", "checksum", "repaired"),
        ("object_store", "size", "repaired"),
        ("object_store", "missing", "repaired"),
        ("database", "record", ""),
    ];
    for (store, kind, resolution) in cases {
        let job = finished(&server).await;
        let ordered =
            order(&server, json!({"job_id": job.id, "store": store, "kind": kind, "yes_damage_data": true})).await;
        assert_eq!(ordered.status, 201, "{}", ordered.text());
        let drill = ordered.json();
        assert_eq!((&drill["by"], &drill["chunk_index"], &drill["result"]), (&json!("admin"), &json!(0), &Value::Null));
        assert!(drill["damaged_at"].is_string() && drill["found_at"].is_null(), "{drill}");
        // The live copy is still there, and good.
        let read = client.trace_request(&job).try_answer().await;
        assert!(kind == "record" || read.is_ok_and(|read| read.body == log(5_000)), "{kind} in {store}");
        let found = drills(&server, &format!("?job_id={}", job.id)).await["items"][0].clone();
        let fields = ["result", "found_by", "found_kind", "found_store"].map(|field| found[field].clone());
        assert_eq!(fields, [json!("found"), json!("read"), json!(kind), json!(store)], "{found}");

        let trail = client.admin(Method::GET, &format!("/api/v1/mismatches?job_id={}", job.id)).answer().await.json();
        assert_eq!(trail["items"].as_array().map(Vec::len), Some(1), "{trail}");
        let mismatch = &trail["items"][0];
        assert_eq!((&mismatch["drill_id"], &mismatch["kind"]), (&drill["id"], &json!(kind)), "{mismatch}");
        assert_eq!(mismatch["resolution"].as_str().unwrap_or_default(), resolution, "{mismatch}");
        let label = format!("store=\"{store}\",kind=\"{kind}\",result=\"found\"");
        assert_eq!(client.metric(DETECTIONS, &label).await, 1.0);
    }
    for counted in ["mismatches_total", "corrupt_traces", "repairs_total"] {
        assert_eq!(client.metric(&format!("veritail_integrity_{counted}"), "").await, 0.0, "{counted}");
    }
    assert!(!server.log().contains("ERROR"), "{}", server.log());
    server.until_logged("is damaged in object_store on purpose, for admin").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_damaged_already_is_not_damaged_again() {
    let server = Binary::start(&[READERS_ONLY, &[("VERITAIL_LIVE_GRACE", "0s")]].concat());
    let job = finished(&server).await;
    let wanted = json!({"job_id": job.id, "store": "object_store", "kind": "missing", "yes_damage_data": true});
    assert_eq!(order(&server, wanted.clone()).await.status, 201);
    assert_eq!(server.client().trace_request(&job).answer().await.status, 500, "it is lost for good");
    let again = order(&server, wanted).await;
    assert!(again.status == 400 && again.text().contains("open mismatch"), "{}", again.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn drills_are_listed_newest_first_and_in_pages() {
    let server = Binary::start(READERS_ONLY);
    for _ in 0..3 {
        let job = finished(&server).await;
        let wanted = json!({"job_id": job.id, "store": "object_store", "kind": "size", "yes_damage_data": true});
        assert_eq!(order(&server, wanted).await.status, 201);
    }
    let numbers = |page: &Value| -> Vec<i64> {
        let items = page["items"].as_array().expect("a list");
        items.iter().map(|drill| drill["id"].as_i64().expect("a number")).collect()
    };
    let first = drills(&server, "?per_page=2").await;
    assert_eq!(numbers(&first), [3, 2]);
    let last = drills(&server, &format!("?per_page=2&cursor={}", first["next"].as_str().expect("a cursor"))).await;
    assert_eq!((numbers(&last), &last["next"]), (vec![1], &Value::Null));
    assert_eq!(numbers(&drills(&server, "?job_id=2").await), [2]);
    for refused in ["?per_page=0", "?cursor=x", "?job_id=x"] {
        let path = format!("/api/v1/drills{refused}");
        assert_eq!(server.client().admin(Method::GET, &path).answer().await.status, 400, "{refused}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn damage_that_nobody_finds_is_missed() {
    let server = Binary::start(&[
        ("VERITAIL_VERIFY_HOT", "off"),
        ("VERITAIL_VERIFY_FULL", "off"),
        ("VERITAIL_VERIFY_FULL_CYCLE", "1s"),
        ("VERITAIL_SWEEP_INTERVAL", "1s"),
    ]);
    let job = finished(&server).await;
    let order = json!({"job_id": job.id, "store": "object_store", "kind": "missing", "chunk_index": 0, "yes_damage_data": true});
    let made = server.client().admin(Method::POST, "/api/v1/drills").json(&order).answer().await;
    assert_eq!(made.status, 201, "{}", made.text());
    until("the damage is missed", &server, async || {
        server.client().metric(DETECTIONS, "result=\"missed\"").await > 0.0
    })
    .await;
    assert_eq!(server.client().metric(DETECTIONS, "").await, 1.0);
    let drill = drills(&server, "").await["items"][0].clone();
    assert_eq!((&drill["result"], &drill["found_at"]), (&json!("missed"), &Value::Null));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_canarys_project_is_its_own_and_shown_only_where_it_is_asked_for() {
    let server = Binary::start(&[("VERITAIL_VERIFY_CANARY", "* * * * * *"), ("VERITAIL_VERIFY_CANARY_DAMAGE", "off")]);
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
