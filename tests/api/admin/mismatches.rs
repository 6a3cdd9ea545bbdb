//! `/api/v1/mismatches`: listed, filtered, taken note of.

use std::sync::Arc;

use reqwest::Method;
use serde_json::{Value, json};
use veritail::store::database::{Basis, Found, NewMismatch};
use veritail::trace::{ByteSize, ChunkIndex, DataStore, Detector, Epoch, JobId, Kind, Timestamp};

use crate::support::server::{Away, Client, Hooks, Job, Node, Send as _};

async fn found(node: &Node, job: &Job, chunk: u32, kind: Kind) {
    let mismatch = NewMismatch {
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
    };
    node.stores().database.open_mismatch(&mismatch, Basis::Nothing).await.expect("written down");
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
        ("state=resolved".to_owned(), vec![]),
        ("state=open&per_page=1000".to_owned(), vec![1, 2, 3, 4]),
        ("cursor=9223372036854775807".to_owned(), vec![]),
    ] {
        assert_eq!(ids(&list(client, &query).await), expected, "{query}");
    }
    for bad in ["state=x", "kind=x", "store=x", "job_id=x", "per_page=0", "cursor=x", "cursor=9223372036854775808"] {
        let refused = client.admin(Method::GET, &format!("/api/v1/mismatches?{bad}")).answer().await;
        assert_eq!((refused.status, refused.header("Content-Type")), (400, "application/problem+json"), "{bad}");
    }
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
    for (method, path) in [(Method::GET, "/api/v1/mismatches"), (Method::POST, "/api/v1/mismatches/1/resolve")] {
        assert_eq!(client.request(method.clone(), path).answer().await.status, 401);
        for token in [job.token.as_str(), "wrong"] {
            assert_eq!(client.request(method.clone(), path).bearer_auth(token).answer().await.status, 403);
        }
    }
    node.stop().await;
}
