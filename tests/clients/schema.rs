//! The description is valid, and no answer is off it.

use std::process::Stdio;
use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;

use super::{answered, client, installed, run, script};
use crate::support::server::{Binary, Job, Send as _, ended};

/// How long requests are made up.
const SECONDS: &str = "60";
/// What it may take beyond that: to start, and to end.
const LIMIT: Duration = Duration::from_secs(180);

#[tokio::test]
async fn the_description_is_valid_openapi() {
    let server = Binary::start(&[]);
    let answer = server.client().request(Method::GET, "/openapi.json").answer().await;
    let mut python = client(installed("python/bin/python"));
    python.arg(script("python/valid.py")).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut python = python.spawn().expect("python starts");
    let mut stdin = python.stdin.take().expect("piped");
    stdin.write_all(&answer.body).await.expect("it reads");
    drop(stdin);
    let output = tokio::time::timeout(LIMIT, python.wait_with_output()).await.expect("in time").expect("it ran");
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("valid"), "{said}");
}

/// The fewest requests that count as a proof.
const CASES_MIN: u32 = 500;

/// How many requests were made up, and how many of them were answered as described.
fn cases(said: &str) -> (u32, u32) {
    let line = said.lines().find(|line| line.contains(" generated, ")).unwrap_or_default();
    let mut numbers = line.split(',').map(|part| part.trim().split(' ').next().and_then(|number| number.parse().ok()));
    let mut next = || numbers.next().flatten().unwrap_or_default();
    (next(), next())
}

/// The description with the values of real jobs where it says only what a value looks like.
fn with_examples(mut document: Value, grows: &Job, goes_on: &Job) -> Value {
    let only = |value: Value| json!({"type": if value.is_string() { "string" } else { "integer" }, "enum": [value]});
    for (path, method, job) in [("/api/v4/jobs/{job}/trace", "patch", grows), ("/api/v4/jobs/{job}", "put", goes_on)] {
        let parameters = document["paths"][path][method]["parameters"].as_array_mut().expect("parameters");
        for parameter in parameters {
            let value = match parameter["name"].as_str() {
                Some("job") => json!(job.id),
                Some("token") => json!(job.token),
                _ => continue,
            };
            parameter["schema"] = only(value.clone());
            parameter["example"] = value;
        }
    }
    document["components"]["schemas"]["StateOfJob"]["properties"]["token"] = only(json!(goes_on.token));
    document
}

/// Schemathesis makes up requests from the description, good and bad ones, and looks at every answer: no 5xx, and no
/// status, type, header or document that the description does not have.
#[tokio::test]
async fn no_answer_is_off_its_description() {
    let server = Binary::start(&[]);
    let http = server.client();
    // Something to be found: a job of each kind under small numbers.
    let open = http.make_job().await;
    http.append_all(&open, 0, b"efgh").await;
    let done = http.make_job().await;
    http.append_all(&done, 0, b"abcd").await;
    assert_eq!(http.put_until_decided(&done, &ended("success", b"abcd", true)).await.status, 200);
    // A runner's requests are about two more jobs, so that an end of the one does not keep the other from growing.
    let (grows, goes_on) = (http.make_job().await, http.make_job().await);
    http.append_all(&grows, 0, b"abcd").await;
    let described = http.request(Method::GET, "/openapi.json").answer().await.json();
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("openapi.json");
    std::fs::write(&file, with_examples(described, &grows, &goes_on).to_string()).expect("written");
    let mut schemathesis = client(installed("python/bin/schemathesis"));
    schemathesis
        .current_dir(folder.path())
        .env_remove("PYTHONWARNINGS")
        .arg("run")
        .arg(&file)
        .args(["--url", &format!("http://{}", http.address())])
        .args([
            "--header",
            "PRIVATE-TOKEN: admin-token-of-the-tests",
            "--header",
            &format!("JOB-TOKEN: {}", open.token),
        ])
        .args(["--checks", "not_a_server_error,status_code_conformance,content_type_conformance"])
        .args(["--checks", "response_headers_conformance,response_schema_conformance"])
        .args(["--phases", "examples,coverage,fuzzing", "--max-examples", "200", "--max-time", SECONDS])
        .args(["--seed", "1", "--request-timeout", "10", "--workers", "1", "--no-color"]);
    let (content, said) = run(schemathesis, LIMIT).await;
    assert!(content, "{said}");
    let (made, passed) = cases(&said);
    assert!(made >= CASES_MIN && made == passed, "{said}");
    // Refusals alone would prove little: each of a runner's operations came through as well.
    for (route, status) in [("append", "202"), ("append", "403"), ("finalize", "200"), ("finalize", "403")] {
        let count = answered(http, route, status).await;
        println!("{route} {status}: {count}");
        assert!(count >= 1.0, "no {route} was answered {status}\n{said}");
    }
    server.assert_untroubled().await;
}
