//! `/api/v1/jobs`: made, canceled, looked at.

use reqwest::Method;
use serde_json::json;

use crate::support::server::{Binary, Send as _};

#[tokio::test]
async fn a_job_is_made_with_a_number_a_token_and_its_project() {
    let server = Binary::start(&[]);
    let client = server.client();
    let first = client.make_job().await;
    let second = client.make_job().await;
    assert!(first.id > 0 && second.id > first.id);
    assert_eq!(first.project, second.project, "one project of that path");
    assert!(first.token.starts_with("vtj_") && first.token != second.token);
    let wanted = json!({"project": "group/demo", "name": "rspec", "payload": {"steps": []}});
    let answer = client.admin(Method::POST, "/api/v1/jobs").json(&wanted).answer().await;
    assert_eq!((answer.status, &answer.json()["status"]), (201, &json!("pending")));
    server.assert_untroubled().await;
}

#[tokio::test]
async fn only_the_admin_makes_and_cancels_jobs() {
    let server = Binary::start(&[]);
    let client = server.client();
    let job = client.make_job().await;
    let cancel = format!("/api/v1/jobs/{}/cancel", job.id);
    for path in ["/api/v1/jobs", &cancel] {
        let wanted = json!({"project": "group/demo", "name": "rspec"});
        let bare = client.request(Method::POST, path).json(&wanted).answer().await;
        assert_eq!((bare.status, bare.header("Content-Type")), (401, "application/problem+json"), "{path}");
        for token in [job.token.as_str(), "wrong"] {
            let refused = client.request(Method::POST, path).bearer_auth(token).json(&wanted).answer().await;
            assert_eq!((refused.status, &refused.json()["status"]), (403, &json!(403)), "{path}");
        }
    }
    client.append_all(&job, 0, b"still running").await;
    for unknown in ["0", "-1", "999", "x", "99999999999999999999"] {
        let path = format!("/api/v1/jobs/{unknown}/cancel");
        assert_eq!(client.admin(Method::POST, &path).answer().await.status, 404, "{unknown}");
    }
    server.assert_untroubled().await;
}

#[tokio::test]
async fn canceling_twice_is_the_same_as_once_and_a_finished_job_stays_as_it_is() {
    let server = Binary::start(&[]);
    let client = server.client();
    let job = client.make_job().await;
    for _ in 0..2 {
        let answer = client.cancel(&job).await;
        assert_eq!((answer.status, &answer.json()["status"]), (200, &json!("canceling")));
    }
    let job = client.make_job().await;
    let done = crate::support::server::ended("success", b"", true);
    assert_eq!(client.put_until_decided(&job, &done).await.status, 200);
    assert_eq!(client.cancel(&job).await.json()["status"], "success");
    server.assert_untroubled().await;
}

#[tokio::test]
async fn the_integrity_of_a_running_job_names_what_is_live() {
    let server = Binary::start(&[]);
    let client = server.client();
    let job = client.make_job().await;
    let empty = client.integrity(&job).await;
    assert_eq!((&empty["verdict"], &empty["size"], &empty["chunks"]), (&json!("pending"), &json!(0), &json!([])));
    client.append_all(&job, 0, b"abcd").await;
    let report = client.integrity(&job).await;
    assert_eq!((&report["job_id"], &report["size"], &report["crc32"]), (&json!(job.id), &json!(4), &json!("ed82cd11")));
    let chunk = &report["chunks"][0];
    assert_eq!(
        (&chunk["data_store"], &chunk["size"], &chunk["crc32"]),
        (&json!("embedded"), &json!(4), &json!("ed82cd11"))
    );
    assert_eq!(chunk["sha256"].as_str().map(str::len), Some(64));
    assert_eq!((&chunk["copies"][0]["store"], &chunk["copies"][0]["state"]), (&json!("embedded"), &json!("verified")));
    server.assert_untroubled().await;
}
