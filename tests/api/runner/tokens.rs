//! Tokens in every place where clients put them, and what a stranger learns.

use reqwest::Method;
use serde_json::json;

use crate::support::server::{Binary, Send as _, ended};

#[tokio::test]
async fn a_patch_takes_its_token_from_a_header_in_any_case_or_from_the_parameter() {
    let server = Binary::start(&[]);
    let client = server.client();
    let job = client.make_job().await;
    let path = format!("/api/v4/jobs/{}/trace", job.id);
    let with_token = format!("{path}?debug_trace=false&token={}", job.token);
    let good = job.token.as_str();
    let mut size = 0;
    for (path, header, status) in [
        (&path, Some(("JOB-TOKEN", good)), 202),
        (&path, Some(("job-token", good)), 202),
        (&path, Some(("Job-Token", good)), 202),
        (&with_token, None, 202),
        (&with_token, Some(("JOB-TOKEN", "wrong")), 202),
        (&format!("{path}?token=wrong"), Some(("JOB-TOKEN", good)), 403),
        (&format!("{path}?token="), Some(("JOB-TOKEN", good)), 202),
        (&path, Some(("PRIVATE-TOKEN", good)), 403),
        (&path, Some(("Authorization", good)), 403),
        (&path, None, 403),
    ] {
        let mut request =
            client.request(Method::PATCH, path).header("Content-Range", format!("{size}-{size}")).body("x");
        if let Some((name, value)) = header {
            request = request.header(name, value);
        }
        assert_eq!(request.answer().await.status, status, "{path} {header:?}");
        size += usize::from(status == 202);
    }
    assert_eq!(client.trace(&job).await.len(), size);
    server.assert_untroubled().await;
}

#[tokio::test]
async fn a_put_takes_its_token_from_the_body_a_header_or_the_parameter() {
    let server = Binary::start(&[]);
    let client = server.client();
    let job = client.make_job().await;
    let path = format!("/api/v4/jobs/{}", job.id);
    let good = job.token.as_str();
    for (query, header, body, status) in [
        ("", None, json!({"state": "running", "token": good}), 200),
        ("", Some(good), json!({"state": "running"}), 200),
        ("", Some(good), json!({"state": "running", "token": ""}), 200),
        ("", Some(good), json!({"state": "running", "token": null}), 200),
        ("", Some("wrong"), json!({"state": "running", "token": good}), 200),
        ("", Some(good), json!({"state": "running", "token": "wrong"}), 403),
        ("?token=", None, json!({"state": "running", "token": good}), 200),
        (&format!("?token={good}"), None, json!({"state": "running"}), 200),
        (&format!("?token={good}&state=running"), None, json!({}), 200),
        ("", None, json!({"state": "running"}), 403),
    ] {
        let mut request = client.request(Method::PUT, &format!("{path}{query}")).json(&body);
        if let Some(token) = header {
            request = request.header("JOB-TOKEN", token);
        }
        assert_eq!(request.answer().await.status, status, "{query} {header:?} {body}");
    }
    server.assert_untroubled().await;
}

/// Unknown job, wrong token, another job's token, no token, and numbers that are none: all the same to a stranger.
#[tokio::test]
async fn a_stranger_cannot_tell_a_job_that_is_from_one_that_is_not() {
    let server = Binary::start(&[]);
    let client = server.client();
    let (job, other) = (client.make_job().await, client.make_job().await);
    client.append_all(&job, 0, b"secret").await;
    let id = job.id.to_string();
    let strangers = [
        (id.as_str(), "wrong"),
        (id.as_str(), other.token.as_str()),
        (id.as_str(), ""),
        ("999999", "wrong"),
        ("999999", job.token.as_str()),
        ("0", job.token.as_str()),
        ("-1", job.token.as_str()),
        ("x", job.token.as_str()),
        ("9223372036854775807", job.token.as_str()),
        ("9223372036854775808", job.token.as_str()),
        ("99999999999999999999999999", job.token.as_str()),
    ];
    let (mut patched, mut put, mut read, mut proofs) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for (id, token) in strangers {
        let request = client.request(Method::PATCH, &format!("/api/v4/jobs/{id}/trace"));
        let request = request.header("JOB-TOKEN", token).header("Content-Range", "0-1").body("x");
        patched.push((id, request.answer().await.looks()));
        let body = ended("success", b"secret", true);
        let request = client.request(Method::PUT, &format!("/api/v4/jobs/{id}")).header("JOB-TOKEN", token);
        put.push((id, request.json(&body).answer().await.looks()));
        if token.is_empty() {
            continue;
        }
        for project in [job.project.to_string().as_str(), "group%2Fdemo"] {
            let path = format!("/api/v4/projects/{project}/jobs/{id}/trace");
            read.push((id, client.request(Method::GET, &path).header("PRIVATE-TOKEN", token).answer().await.looks()));
        }
        let path = format!("/api/v1/jobs/{id}/integrity");
        proofs.push((id, client.request(Method::GET, &path).bearer_auth(token).answer().await.looks()));
    }
    for (answers, status) in [(patched, 403), (put, 403), (read, 404), (proofs, 404)] {
        let (_, first) = &answers[0];
        assert_eq!(first.0, status);
        for (id, looks) in &answers {
            assert_eq!(looks, first, "job {id}");
        }
        assert!(first.1.iter().all(|(name, _)| name != "job-status" && name != "range"));
    }
    assert_eq!(client.trace(&job).await, "secret");
    assert_eq!(client.integrity(&job).await["verdict"], "pending");
    server.assert_untroubled().await;
}
