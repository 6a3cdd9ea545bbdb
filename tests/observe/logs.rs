//! Log messages as JSON: found by the ids of a client's trace, and of a mismatch all that is known.

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::server::{Binary, Client, Send as _, ended};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

/// The messages that a server wrote, each as the object that it is.
fn messages(server: &Binary) -> Vec<Value> {
    let log = server.log();
    log.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect()
}

/// The message that a request with this id was answered.
async fn answered(server: &Binary, client: &Client, id: &str, traceparent: &[&str]) -> Value {
    let mut request = client.request(Method::GET, "/healthz").header("X-Request-Id", id);
    for parent in traceparent {
        request = request.header("traceparent", *parent);
    }
    request.answer().await;
    let is_it = |message: &Value| message["message"] == "answered" && message["span"]["request_id"] == id;
    messages(server).into_iter().find(is_it).unwrap_or_else(|| panic!("{id} is not in {}", server.log()))
}

fn is_id(id: &Value, digits: usize) -> bool {
    let id = id.as_str().unwrap_or_default();
    id.len() == digits && id.bytes().all(|b| b.is_ascii_hexdigit()) && id.bytes().any(|b| b != b'0')
}

#[tokio::test]
async fn messages_are_found_by_the_clients_trace() {
    let server = Binary::start(&[("VERITAIL_LOG_FORMAT", "json"), ("VERITAIL_LOG", "debug")]);
    let client = server.client();
    let good = format!("00-{TRACE}-00f067aa0ba902b7-01");

    let message = answered(&server, client, "one", &[&good]).await;
    assert_eq!(message["trace_id"], TRACE);
    assert!(is_id(&message["span_id"], 16) && message["span_id"] != "00f067aa0ba902b7", "{message}");

    let alone = answered(&server, client, "two", &[]).await;
    assert!(is_id(&alone["trace_id"], 32) && alone["trace_id"] != TRACE, "{alone}");
    let other = answered(&server, client, "three", &[]).await;
    assert_ne!(alone["trace_id"], other["trace_id"]);

    for bad in [&["nonsense"][..], &[&good, &good], &[&good.to_uppercase()]] {
        let message = answered(&server, client, &format!("bad{}", bad.len() + bad[0].len()), bad).await;
        assert!(is_id(&message["trace_id"], 32) && message["trace_id"] != TRACE, "{bad:?}: {message}");
    }
}

#[tokio::test]
async fn a_mismatch_is_logged_with_all_that_is_known_and_no_byte_of_the_log() {
    const SECRET: &[u8] = b"this is what a job printed and nobody else may read";
    let server = Binary::start(&[
        ("VERITAIL_LOG_FORMAT", "json"),
        ("VERITAIL_LIVE_GRACE", "0s"),
        ("VERITAIL_NODE_NAME", "node-7"),
    ]);
    let client = server.client();
    let job = client.make_job().await;
    client.append_all(&job, 0, SECRET).await;
    assert_eq!(client.put_until_decided(&job, &ended("success", SECRET, true)).await.status, 200);
    let report = client.integrity(&job).await;
    let chunk = &report["chunks"][0];
    let object = server.data_dir().join("objects").join(chunk["copies"][0]["key"].as_str().expect("a key"));
    let good = std::fs::read(&object).expect("there");
    std::fs::write(&object, &good[..good.len() - 1]).expect("written");

    let request = client.trace_request(&job).header("traceparent", format!("00-{TRACE}-00f067aa0ba902b7-00"));
    assert_eq!(request.answer().await.status, 500);
    let written = messages(&server);
    let line = written.iter().find(|message| message["level"] == "ERROR").expect("it is logged");
    let trail = &client.integrity(&job).await["mismatches"][0];
    assert_eq!(line["mismatch_id"], trail["id"]);
    assert_eq!((&line["job_id"], &line["project_id"]), (&json!(job.id), &json!(job.project)));
    assert_eq!((&line["chunk"], &line["offset"], &line["epoch"]), (&json!(0), &json!(0), &trail["epoch"]));
    assert_eq!((&line["kind"], &line["store"]), (&trail["kind"], &trail["store"]));
    assert_eq!((&line["detector"], &line["node"]), (&json!("read"), &json!("node-7")));
    let expected = line["expected"].as_str().expect("text");
    for part in [format!("{} bytes", SECRET.len()), text(&chunk["crc32"]), text(&chunk["sha256"])] {
        assert!(expected.contains(&part), "{part} is not in {expected}");
    }
    assert!(line["found"].is_string(), "{line}");
    assert_eq!(line["trace_id"], TRACE, "and with the request that met it");

    // A person takes note: how it ended is told in the same words.
    let path = format!("/api/v1/mismatches/{}/resolve", trail["id"]);
    let noted = client.admin(Method::POST, &path).json(&json!({"comment": "the disk was replaced"})).answer().await;
    assert_eq!(noted.status, 200, "{}", noted.text());
    let written = messages(&server);
    let line = written.iter().find(|message| message["resolution"] == "acknowledged").expect("it is logged");
    assert_eq!((&line["mismatch_id"], &line["kind"], &line["store"]), (&trail["id"], &trail["kind"], &trail["store"]));
    assert_eq!(line["comment"], "the disk was replaced");
    assert!(line["by"].is_string() && line["node"] == "node-7", "{line}");

    assert!(!server.log().contains("what a job printed"), "{}", server.log());
}

fn text(value: &Value) -> String {
    value.as_str().expect("text").to_owned()
}
