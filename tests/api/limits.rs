//! How much may be under way at the same time: with one token, and by all readers of a job.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use reqwest::Method;
use serde_json::json;

use crate::support::server::{Answer, Binary, Client, Job, Send as _};
use crate::support::wait::until;

fn connect(client: &Client) -> TcpStream {
    let stream = TcpStream::connect(client.address()).expect("connected");
    stream.set_read_timeout(Some(Duration::from_secs(30))).expect("set");
    stream
}

fn assert_told_to_come_again(answer: &Answer) {
    assert_eq!((answer.status, answer.header("Retry-After")), (429, "1"), "{}", answer.text());
}

/// A body that is on its way takes one of the job token's places until its request is over.
#[tokio::test(flavor = "multi_thread")]
async fn a_token_has_so_many_requests_under_way_and_no_more() {
    let server = Binary::start(&[("VERITAIL_HTTP_TOKEN_CONCURRENCY", "1")]);
    let client = server.client();
    let (job, other) = (client.make_job().await, client.make_job().await);
    // Known to the node, so that a request is let in as soon as it is seen.
    client.append_all(&job, 0, b"").await;
    let mut slow = connect(client);
    let head = format!(
        "PATCH /api/v4/jobs/{}/trace HTTP/1.1\r\nHost: x\r\nJOB-TOKEN: {}\r\nContent-Range: 0-3\r\nContent-Length: 4\r\nConnection: close\r\n\r\nab",
        job.id, job.token
    );
    slow.write_all(head.as_bytes()).expect("sent");
    client.metric_until("veritail_http_requests_in_flight", "append", |count| count >= 1.0).await;
    let refused = client.append(&job, 0, b"x").await;
    assert_told_to_come_again(&refused);
    assert_eq!(refused.text(), r#"{"message":"429 Too Many Requests"}"#);
    let put = client.put(&job, &json!({"state": "running"})).await;
    assert_told_to_come_again(&put);
    // Others have places of their own.
    client.append_all(&other, 0, b"log").await;
    slow.write_all(b"cd").expect("sent");
    let mut answer = String::new();
    slow.read_to_string(&mut answer).expect("answered");
    assert!(answer.starts_with("HTTP/1.1 202"), "{answer}");
    client.append_all(&job, 4, b"efgh").await;
    assert_eq!(client.trace(&job).await, "abcdefgh");
    server.assert_untroubled().await;
}

/// Answers that nobody takes are under way; a job's readers share its places, and none of them is its runner's.
#[tokio::test(flavor = "multi_thread")]
async fn readers_of_a_job_have_so_many_requests_under_way_and_its_runner_writes_on() {
    let server = Binary::start(&[("VERITAIL_HTTP_JOB_CONCURRENCY", "2")]);
    let client = server.client();
    let (job, other) = (client.make_job().await, client.make_job().await);
    // More than the buffers between the two hold.
    for at in 0..24 {
        client.append_all(&job, at << 20, &vec![b'x'; 1 << 20]).await;
    }
    let mut tokens = Vec::new();
    for _ in 0..3 {
        let wanted = json!({"name": "x", "projects": "all"});
        let made = client.admin(Method::POST, "/api/v1/tokens").json(&wanted).answer().await.json();
        tokens.push(made["token"].as_str().expect("a token").to_owned());
    }
    let path = |job: &Job| format!("/api/v4/projects/{}/jobs/{}/trace", job.project, job.id);
    let mut held = Vec::new();
    for token in &tokens[..2] {
        let mut stream = connect(client);
        let head = format!("GET {} HTTP/1.1\r\nHost: x\r\nPRIVATE-TOKEN: {token}\r\n\r\n", path(&job));
        stream.write_all(head.as_bytes()).expect("sent");
        let mut first = [0; 12];
        stream.read_exact(&mut first).expect("an answer");
        assert_eq!(&first, b"HTTP/1.1 200");
        held.push(stream);
    }
    let ask = async |job: &Job| client.request(Method::HEAD, &path(job)).bearer_auth(&tokens[2]).answer().await;
    let refused = ask(&job).await;
    assert_eq!((refused.status, refused.header("Retry-After")), (429, "1"));
    assert_eq!(ask(&other).await.status, 200, "another job's places are its own");
    client.append_all(&job, 24 << 20, b"the runner writes on").await;
    drop(held);
    until("there is a place again", async || ask(&job).await.status == 200).await;
}
