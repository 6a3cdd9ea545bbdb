//! `/api/v1/mismatches`: listed, filtered, taken note of.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use reqwest::Method;
use serde_json::{Value, json};
use veritail::pipeline::Settings;
use veritail::store::database::{Basis, Found, NewMismatch};
use veritail::store::hooked::{Call, Hook};
use veritail::store::object::codec;
use veritail::store::{Result, StoreError};
use veritail::trace::{ByteSize, ChunkIndex, DataStore, Detector, Epoch, JobId, Kind, Offset, Record, Timestamp};

use crate::support::server::{Away, Client, Hooks, Job, Node, Send as _, ended};

/// One that the webhook is not told of.
pub(super) async fn found(node: &Node, job: &Job, chunk: u32, kind: Kind) {
    write_down(node, &mismatch(job, chunk, kind)).await;
}

/// One that it is told of.
pub(super) async fn found_and_told(node: &Node, job: &Job, chunk: u32, kind: Kind) {
    let found = mismatch(job, chunk, kind);
    write_down(node, &NewMismatch { notify_at: Some(found.at), ..found }).await;
}

async fn write_down(node: &Node, mismatch: &NewMismatch) {
    node.stores().database.open_mismatch(mismatch, Basis::Nothing).await.expect("written down");
}

fn mismatch(job: &Job, chunk: u32, kind: Kind) -> NewMismatch {
    NewMismatch {
        job: JobId(job.id),
        chunk: Some(ChunkIndex(chunk)),
        epoch: Epoch::FIRST,
        kind,
        store: DataStore::ObjectStore,
        detector: Detector::Read,
        run: None,
        node: "one".to_owned(),
        expected: Found { size: Some(ByteSize(4)), ..Found::default() },
        found: Found::default(),
        first_difference: None,
        notify_at: None,
        at: Timestamp(1_700_000_000_000),
    }
}

async fn list(client: &Client, query: &str) -> Value {
    let answer = client.admin(Method::GET, &format!("/api/v1/mismatches?{query}")).answer().await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()
}

fn ids(page: &Value) -> Vec<i64> {
    page["items"].as_array().expect("items").iter().map(|item| item["id"].as_i64().expect("a number")).collect()
}

#[tokio::test]
async fn mismatches_are_listed_by_cursor_and_filtered() {
    let node = Node::start(Hooks::new(Arc::new(Away::default()))).await;
    let client = node.client();
    assert_eq!(list(client, "").await, json!({"items": [], "next": null}));
    let (one, two) = (client.make_job().await, client.make_job().await);
    for chunk in 0..3 {
        found(&node, &one, chunk, Kind::Checksum).await;
    }
    found(&node, &two, 0, Kind::Missing).await;
    let first = list(client, "per_page=3").await;
    assert_eq!((ids(&first), &first["next"]), (vec![1, 2, 3], &json!("3")));
    let second = list(client, "per_page=3&cursor=3").await;
    assert_eq!((ids(&second), &second["next"]), (vec![4], &Value::Null));
    let item = &second["items"][0];
    assert_eq!((&item["job_id"], &item["kind"], &item["state"]), (&json!(two.id), &json!("missing"), &json!("open")));
    assert_eq!((&item["expected"], &item["first_seen"]), (&json!({"size": 4}), &json!("2023-11-14T22:13:20Z")));
    for (query, expected) in [
        (format!("job_id={}", one.id), vec![1, 2, 3]),
        ("kind=missing".to_owned(), vec![4]),
        ("store=redis".to_owned(), vec![]),
        ("store=object_store&kind=checksum&unknown=1".to_owned(), vec![1, 2, 3]),
        ("detector=read".to_owned(), vec![1, 2, 3, 4]),
        ("detector=hot".to_owned(), vec![]),
        ("project=group%2Fdemo&job_id=2".to_owned(), vec![4]),
        ("project=1".to_owned(), vec![1, 2, 3, 4]),
        ("since=2023-11-14T22:13:20Z".to_owned(), vec![1, 2, 3, 4]),
        ("since=2023-11-14T23:13:21%2B01:00".to_owned(), vec![]),
        ("state=resolved".to_owned(), vec![]),
        ("state=open&per_page=1000".to_owned(), vec![1, 2, 3, 4]),
        ("cursor=9223372036854775807".to_owned(), vec![]),
    ] {
        assert_eq!(ids(&list(client, &query).await), expected, "{query}");
    }
    for bad in [
        "state=x",
        "kind=x",
        "store=x",
        "detector=x",
        "project=no/such",
        "project=99",
        "since=yesterday",
        "format=csv",
        "job_id=x",
        "per_page=0",
        "cursor=x",
        "cursor=9223372036854775808",
    ] {
        let refused = client.admin(Method::GET, &format!("/api/v1/mismatches?{bad}")).answer().await;
        assert_eq!((refused.status, refused.header("Content-Type")), (400, "application/problem+json"), "{bad}");
    }
    node.stop().await;
}

#[tokio::test]
async fn one_mismatch_is_shown_with_all_that_is_known_of_it() {
    let node = Node::start(Hooks::new(Arc::new(Away::default()))).await;
    let client = node.client();
    let job = client.make_job().await;
    let all = NewMismatch {
        run: Some(12),
        found: Found { size: Some(ByteSize(4)), ..Found::default() },
        first_difference: Some(Offset(3)),
        ..mismatch(&job, 0, Kind::Checksum)
    };
    for _ in 0..3 {
        write_down(&node, &all).await;
    }
    let show = async |id: &str| client.admin(Method::GET, &format!("/api/v1/mismatches/{id}")).answer().await;
    let first_seen = "2023-11-14T22:13:20Z";
    let document = json!({
        "id": 1, "job_id": job.id, "chunk_index": 0, "epoch": 1, "kind": "checksum", "store": "object_store",
        "detector": "read", "run_id": 12, "node": "one", "expected": {"size": 4}, "found": {"size": 4},
        "first_difference": 3, "first_seen": first_seen, "last_seen": first_seen, "times_seen": 3, "state": "open",
        "drill_id": null,
        "resolution": null, "resolved_by": null, "comment": null, "resolved_at": null,
    });
    assert_eq!(show("1").await.json(), document);
    for unknown in ["2", "x", "0", "9223372036854775808"] {
        assert_eq!(show(unknown).await.status, 404, "{unknown}");
    }
    node.stop().await;
}

#[tokio::test]
async fn what_veritail_healed_says_where_it_differed_by_whom_it_was_healed_and_how() {
    let hooks = Hooks::new(Arc::new(Away::default()));
    let settings = Settings { node_name: Some("node-7".to_owned()), ..hooks.settings };
    let node = Node::start(Hooks { settings, ..hooks }).await;
    let client = node.client();
    let job = client.make_job().await;
    client.append_all(&job, 0, b"abcdefgh").await;
    assert_eq!(client.put_until_decided(&job, &ended("success", b"abcdefgh", true)).await.status, 200);
    // The object is another one; the live copy is there for a while.
    let key = client.integrity(&job).await["chunks"][0]["copies"][0]["key"].as_str().expect("a key").to_owned();
    let objects = &node.stores().objects;
    objects.delete(&key).await.expect("deleted");
    objects.put(&key, codec::encode(b"abcdeXgh").into()).await.expect("written");
    assert_eq!(client.trace(&job).await, "abcdefgh");

    let known = list(client, "").await["items"][0].clone();
    let of = |bytes: &[u8]| {
        let (of, stored) = (Record::of(bytes), codec::encode(bytes));
        json!({
            "size": 8, "crc32": of.crc32, "sha256": of.sha256,
            "stored_size": stored.len(), "stored_sha256": Record::of(&stored).sha256,
        })
    };
    assert_eq!((&known["expected"], &known["found"]), (&of(b"abcdefgh"), &of(b"abcdeXgh")));
    assert_eq!(
        (&known["first_difference"], &known["node"], &known["run_id"]),
        (&json!(5), &json!("node-7"), &Value::Null)
    );
    assert_eq!((&known["state"], &known["resolution"]), (&json!("resolved"), &json!("repaired")));
    let note = (&known["resolved_by"], &known["comment"]);
    assert_eq!(note, (&json!("veritail node node-7"), &json!("repaired from the live copy")));
    node.stop().await;
}

#[tokio::test]
async fn an_export_is_every_mismatch_a_line_however_many() {
    let node = Node::start(Hooks::new(Arc::new(Away::default()))).await;
    let client = node.client();
    let job = client.make_job().await;
    for chunk in 0..1203 {
        found(&node, &job, chunk, if chunk % 2 == 0 { Kind::Checksum } else { Kind::Size }).await;
    }
    let export = async |query: &str| {
        let answer = client.admin(Method::GET, &format!("/api/v1/mismatches?format=jsonl{query}")).answer().await;
        assert_eq!((answer.status, answer.header("Content-Type")), (200, "application/jsonl"));
        assert!(answer.body.is_empty() || answer.body.ends_with(b"\n"));
        answer.text().lines().map(|line| serde_json::from_str(line).expect("JSON")).collect::<Vec<Value>>()
    };
    let all = export("").await;
    let ids: Vec<i64> = all.iter().map(|item| item["id"].as_i64().expect("a number")).collect();
    assert_eq!(ids, (1..=1203).collect::<Vec<_>>());
    assert_eq!(all[..100], list(client, "per_page=100").await["items"].as_array().expect("items")[..]);
    assert_eq!(export("&kind=size&cursor=1000").await.len(), 101);
    assert_eq!(export("&state=resolved").await, [Value::Null; 0]);
    node.stop().await;
}

/// Answers the first reads of mismatches, and then no more.
struct Reads(AtomicU32);

#[async_trait]
impl Hook for Reads {
    async fn before(&self, call: &Call) -> Result<()> {
        let is_meant = call.operation == "mismatches";
        let left = |left: u32| left.checked_sub(1);
        if is_meant && self.0.fetch_update(Ordering::SeqCst, Ordering::SeqCst, left).is_err() {
            return Err(StoreError::unavailable(call.store, "it was taken away"));
        }
        Ok(())
    }

    async fn after(&self, _call: &Call, _took: Duration, _failed: Option<&StoreError>) -> Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn an_export_that_the_database_fails_is_cut_and_not_short() {
    let reads = Arc::new(Reads(AtomicU32::new(1)));
    let node = Node::start(Hooks { works: false, ..Hooks::new(reads) }).await;
    let client = node.client();
    let job = client.make_job().await;
    for chunk in 0..600 {
        found(&node, &job, chunk, Kind::Checksum).await;
    }
    let answer = client.admin(Method::GET, "/api/v1/mismatches?format=jsonl").try_answer().await;
    assert!(answer.is_err(), "the second part is missing, and that is seen");
    let answer = client.admin(Method::GET, "/api/v1/mismatches?format=jsonl").answer().await;
    assert_eq!(answer.status, 503, "where nothing was sent yet, it is said");
    node.stop().await;
}

#[tokio::test]
async fn a_person_takes_note_and_the_mismatch_keeps_who_and_why() {
    let node = Node::start(Hooks::new(Arc::new(Away::default()))).await;
    let client = node.client();
    let job = client.make_job().await;
    found(&node, &job, 0, Kind::Checksum).await;
    let resolve = async |id: &str, comment: &str| {
        let path = format!("/api/v1/mismatches/{id}/resolve");
        client.admin(Method::POST, &path).json(&json!({"comment": comment})).answer().await
    };
    let noted = resolve("1", "the disk was replaced").await;
    assert_eq!(noted.status, 200);
    let document = noted.json();
    let said = ["state", "resolution", "resolved_by", "comment"].map(|name| document[name].as_str().expect(name));
    assert_eq!(said, ["resolved", "acknowledged", "admin", "the disk was replaced"]);
    // The first word stays, and the list tells it too.
    assert_eq!(resolve("1", "another").await.json(), document);
    assert_eq!(list(client, "state=resolved").await["items"][0], document);
    assert_eq!(client.integrity(&job).await["mismatches"][0], document);
    for (id, status) in [("2", 404), ("x", 404), ("0", 404)] {
        assert_eq!(resolve(id, "c").await.status, status, "{id}");
    }
    assert_eq!(resolve("1", "").await.status, 400);
    node.stop().await;
}

#[tokio::test]
async fn mismatches_are_for_the_admin_alone() {
    let node = Node::start(Hooks::new(Arc::new(Away::default()))).await;
    let client = node.client();
    let job = client.make_job().await;
    for (method, path) in [
        (Method::GET, "/api/v1/mismatches"),
        (Method::GET, "/api/v1/mismatches?format=jsonl"),
        (Method::GET, "/api/v1/mismatches/1"),
        (Method::POST, "/api/v1/mismatches/1/resolve"),
    ] {
        assert_eq!(client.request(method.clone(), path).answer().await.status, 401);
        for token in [job.token.as_str(), "wrong"] {
            assert_eq!(client.request(method.clone(), path).bearer_auth(token).answer().await.status, 403);
        }
    }
    node.stop().await;
}
