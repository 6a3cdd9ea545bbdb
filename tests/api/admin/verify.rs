//! `/api/v1/verify`: runs that are asked for, listed and stopped, and how the verifier stands.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use reqwest::Method;
use serde_json::{Value, json};
use veritail::pipeline;
use veritail::store::database::verifications::{NewRun, RunId};
use veritail::trace::{RunState, Schedule, Tally, Timestamp};
use veritail::verify::{Budgeted, Settings};

use crate::support::server::{Answer, Away, Client, Hooks, Job, Node, Send as _, ended, log};
use crate::support::wait::until_some;

/// A node whose live copies go as soon as there is another one.
async fn node(verify: Settings) -> Node {
    let hooks = Hooks::new(Arc::new(Away::default()));
    let settings = pipeline::Settings { live_grace: Duration::ZERO, ..hooks.settings.clone() };
    Node::start(Hooks { settings, verify, ..hooks }).await
}

/// A job that ended with this log of one chunk.
async fn finished(client: &Client, more: Value, log: &[u8]) -> Job {
    let job = client.make_job_of(more).await;
    client.append_all(&job, 0, log).await;
    assert_eq!(client.put_until_decided(&job, &ended("success", log, true)).await.status, 200);
    job
}

async fn ask(client: &Client, wanted: &Value) -> Answer {
    client.admin(Method::POST, "/api/v1/verify/runs").json(wanted).answer().await
}

async fn get(client: &Client, path: &str) -> Value {
    let answer = client.admin(Method::GET, path).answer().await;
    assert_eq!(answer.status, 200, "{path}: {}", answer.text());
    answer.json()
}

/// The run once it has ended.
async fn end_of(client: &Client, run: &Value) -> Value {
    until_some(format!("the end of the run {run}"), async || {
        let run = get(client, &format!("/api/v1/verify/runs/{}", run["id"])).await;
        (run["state"] != "running").then_some(run)
    })
    .await
}

fn ids(page: &Value) -> Vec<i64> {
    page["items"].as_array().expect("items").iter().map(|item| item["id"].as_i64().expect("a number")).collect()
}

#[tokio::test]
async fn a_run_looks_at_what_was_asked_for_and_finds_what_is_wrong() {
    let node = node(Settings { repairs: false, ..Settings::default() }).await;
    let client = node.client();
    let good = finished(client, json!({}), b"abcd").await;
    let bad = finished(client, json!({}), b"efgh").await;
    finished(client, json!({"project": "group/other"}), b"ijkl").await;
    let key = client.integrity(&bad).await["chunks"][0]["copies"][0]["key"].as_str().expect("a key").to_owned();
    node.stores().objects.delete(&key).await.expect("deleted");

    for (wanted, scope, chunks, differs) in [
        (json!({"jobs": [good.id]}), format!("job {}", good.id), 1, 0),
        (json!({"jobs": [bad.id, good.id, bad.id]}), format!("2 jobs, {} to {}", good.id, bad.id), 2, 1),
        (json!({"project": "group/other"}), "project group/other".to_owned(), 1, 0),
        (json!({"project": good.project.to_string()}), "project group/demo".to_owned(), 2, 1),
        (json!({"since": "2020-01-01T00:00:00Z"}), "since 2020-01-01T00:00:00Z".to_owned(), 3, 1),
        (json!({"since": "2100-01-01T00:00:00Z"}), "since 2100-01-01T00:00:00Z".to_owned(), 0, 0),
        (json!({"all": true}), "all".to_owned(), 3, 1),
    ] {
        let begun = ask(client, &wanted).await;
        assert_eq!(begun.status, 202, "{wanted}: {}", begun.text());
        let run = end_of(client, &begun.json()).await;
        assert_eq!(
            (&run["scope"], &run["schedule"], &run["state"]),
            (&json!(scope), &json!("manual"), &json!("complete"))
        );
        assert_eq!((&run["tally"]["chunks"], &run["tally"]["differs"]), (&json!(chunks), &json!(differs)), "{wanted}");
        assert_eq!((&run["expected"], &run["progress"]), (&json!(chunks), &json!(1.0)), "{wanted}");
    }
    // Once, however often it was seen.
    let found = get(client, "/api/v1/mismatches").await;
    let [mismatch] = found["items"].as_array().expect("items").as_slice() else { panic!("{found}") };
    assert_eq!(
        (&mismatch["job_id"], &mismatch["kind"], &mismatch["detector"]),
        (&json!(bad.id), &json!("missing"), &json!("manual"))
    );
    let seen = |moment: &Value| format!("/api/v1/mismatches?seen_since={}", moment.as_str().expect("a moment"));
    assert_eq!(ids(&get(client, &seen(&mismatch["last_seen"])).await), [1]);
    assert_eq!(ids(&get(client, &seen(&json!("2100-01-01T00:00:00Z"))).await), [0; 0]);
    node.stop().await;
}

#[tokio::test]
async fn a_run_heals_what_a_good_copy_can_heal() {
    let node = Node::start(Hooks::new(Arc::new(Away::default()))).await;
    let client = node.client();
    let job = finished(client, json!({}), b"abcd").await;
    let key = client.integrity(&job).await["chunks"][0]["copies"][0]["key"].as_str().expect("a key").to_owned();
    node.stores().objects.delete(&key).await.expect("deleted");
    node.stores().objects.put(&key, Bytes::from_static(b"rot")).await.expect("written");
    let run = end_of(client, &ask(client, &json!({"jobs": [job.id]})).await.json()).await;
    assert_eq!((&run["tally"]["differs"], &run["tally"]["repaired"]), (&json!(1), &json!(1)), "{run}");
    assert_eq!(get(client, "/api/v1/mismatches").await["items"][0]["resolution"], "repaired");
    let again = end_of(client, &ask(client, &json!({"jobs": [job.id]})).await.json()).await;
    assert_eq!((&again["tally"]["differs"], &again["state"]), (&json!(0), &json!("complete")), "{again}");
    node.stop().await;
}

#[tokio::test]
async fn runs_are_listed_newest_first_and_filtered() {
    let node = node(Settings::default()).await;
    let client = node.client();
    let job = client.make_job().await;
    for _ in 0..3 {
        end_of(client, &ask(client, &json!({"jobs": [job.id]})).await.json()).await;
    }
    node.verifier().tick(Schedule::Hot).await.expect("ticked");
    for (query, expected, next) in [
        ("", vec![4, 3, 2, 1], Value::Null),
        ("per_page=3", vec![4, 3, 2], json!(2)),
        ("per_page=3&before=2", vec![1], Value::Null),
        ("schedule=manual&per_page=1000", vec![3, 2, 1], Value::Null),
        ("schedule=hot&state=complete", vec![4], Value::Null),
        ("state=running&unknown=1", vec![], Value::Null),
    ] {
        let page = get(client, &format!("/api/v1/verify/runs?{query}")).await;
        assert_eq!((ids(&page), &page["next"]), (expected, &next), "{query}");
    }
    for bad in ["schedule=x", "state=x", "before=x", "per_page=0"] {
        let refused = client.admin(Method::GET, &format!("/api/v1/verify/runs?{bad}")).answer().await;
        assert_eq!((refused.status, refused.header("Content-Type")), (400, "application/problem+json"), "{bad}");
    }
    for unknown in ["5", "x", "0", "9223372036854775808"] {
        let path = format!("/api/v1/verify/runs/{unknown}");
        assert_eq!(client.admin(Method::GET, &path).answer().await.status, 404, "{unknown}");
        assert_eq!(client.admin(Method::POST, &format!("{path}/stop")).answer().await.status, 404, "{unknown}");
    }
    for bad in [
        json!({}),
        json!({"all": false}),
        json!({"all": true, "jobs": [1]}),
        json!({"jobs": []}),
        json!({"jobs": [job.id, 4711]}),
        json!({"jobs": vec![job.id; 1001]}),
        json!({"project": "no/such"}),
        json!({"project": "a\0b"}),
        json!({"since": "yesterday"}),
        json!({"everything": true}),
    ] {
        assert_eq!(ask(client, &bad).await.status, 400, "{bad}");
    }
    assert_eq!(ids(&get(client, "/api/v1/verify/runs").await).len(), 4, "nothing of that began a run");
    node.stop().await;
}

#[tokio::test]
async fn a_run_is_stopped_in_the_middle() {
    // A chunk a second: what is left is far more than a minute's work.
    let slow = Budgeted { requests_per_second: 1, ..Settings::default().full };
    let node = node(Settings { full: slow, ..Settings::default() }).await;
    let client = node.client();
    let job = client.make_job().await;
    let log = log(131_072 * 100);
    for (at, piece) in log.chunks(131_072 * 5).enumerate() {
        client.append_all(&job, at * 131_072 * 5, piece).await;
    }
    assert_eq!(client.put_until_decided(&job, &ended("success", &log, true)).await.status, 200);
    let run = ask(client, &json!({"all": true})).await.json();
    assert_eq!(run["expected"], 100, "{run}");
    let stop = format!("/api/v1/verify/runs/{}/stop", run["id"]);
    let asked = client.admin(Method::POST, &stop).answer().await;
    assert_eq!((asked.status, &asked.json()["stop_asked_by"]), (200, &json!("admin")));
    let stopped = end_of(client, &run).await;
    assert_eq!((&stopped["state"], &stopped["stop_asked_by"]), (&json!("stopped"), &json!("admin")));
    assert!(stopped["tally"]["chunks"].as_u64().expect("a number") < 60, "{stopped}");
    // What has ended stays as it is.
    assert_eq!(client.admin(Method::POST, &stop).answer().await.json(), stopped);
    node.stop().await;
}

#[tokio::test]
async fn the_status_says_how_all_schedules_stand() {
    let node = node(Settings::default()).await;
    let client = node.client();
    let before = get(client, "/api/v1/verify/status").await;
    assert_eq!((&before["shards"], &before["coverage"]["eligible"]), (&json!([]), &json!(0)));
    assert_eq!(before["schedules"][0], json!({"schedule": "hot", "newest": null, "completed_at": null}));

    finished(client, json!({}), b"abcd").await;
    node.verifier().tick(Schedule::Hot).await.expect("ticked");
    node.verifier().tick(Schedule::Full).await.expect("ticked");
    let status = get(client, "/api/v1/verify/status").await;
    let hot = &status["schedules"][0];
    assert_eq!((&hot["newest"]["state"], &hot["completed_at"]), (&json!("complete"), &hot["newest"]["ended_at"]));
    let shards = status["shards"].as_array().expect("shards");
    assert_eq!(shards.len(), 32);
    for shard in shards {
        // Without its end a shorter fraction of a second is the smaller text.
        let moment = |name: &str| shard[name].as_str().expect("a moment").trim_end_matches('Z').to_owned();
        assert!(moment("cycle_started_at") <= moment("projected_end"), "{shard}");
    }
    // Such a walk goes on for ever.
    let stop = format!("/api/v1/verify/runs/{}/stop", shards[0]["run_id"]);
    let refused = client.admin(Method::POST, &stop).answer().await;
    assert_eq!((refused.status, refused.text().contains("verify.full")), (400, true), "{}", refused.text());
    node.stop().await;
}

#[tokio::test]
async fn runs_that_lost_their_node_end_and_old_ones_are_forgotten() {
    let node = node(Settings::default()).await;
    let runs = &node.stores().verifications;
    let now = node.pipeline().seams().clock.now();
    let begin = async |before_s: u64| {
        let at = now.before(Duration::from_secs(before_s));
        let new =
            NewRun { schedule: Schedule::Manual, scope: "all".to_owned(), node: "gone".to_owned(), expected: None, at };
        (runs.begin_run(&new).await.expect("begun").id, at)
    };
    let month = 31 * 24 * 3600;
    let end = async |(run, at): (RunId, Timestamp)| {
        runs.end_run(run, RunState::Complete, None, &Tally::default(), at).await.expect("ended");
        run
    };
    let old = end(begin(month).await).await;
    let recent = end(begin(3600).await).await;
    let (silent, _) = begin(3600).await;
    let (at_work, _) = begin(0).await;
    node.verifier().tick(Schedule::Hot).await.expect("ticked");
    assert_eq!(runs.run(old).await.expect("read"), None);
    let state = async |run| runs.run(run).await.expect("read").map(|run| (run.state, run.message));
    assert_eq!(state(recent).await, Some((RunState::Complete, None)));
    assert_eq!(state(silent).await, Some((RunState::Failed, Some("its node went away".to_owned()))));
    assert_eq!(state(at_work).await, Some((RunState::Running, None)));
    node.stop().await;
}
