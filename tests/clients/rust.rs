//! A runner in Rust: the crate `gitlab-runner`, which sends whatever there is at each tick, and no checksum.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use super::{answered, client, installed, run};
use crate::support::server::Send as _;
use crate::support::server::{Binary, Job};

const LIMIT: Duration = Duration::from_secs(60);

/// What a GitLab would give the client, as far as it needs it.
fn payload(script: &[&str]) -> Value {
    let step = |name: &str, script: &[&str]| json!({"name": name, "script": script, "timeout": 60, "when": "on_success", "allow_failure": false});
    json!({
        "allow_git_fetch": false, "variables": [], "dependencies": [], "artifacts": [],
        "steps": [step("script", script), step("after_script", &["say the end"])],
    })
}

/// Runs the client for one job: what it said, the job, and its log.
async fn one_job(server: &Binary, token: &str, script: &[&str]) -> (String, Job, String) {
    let http = server.client();
    let waiting = http.make_job_of(json!({ "payload": payload(script) })).await;
    let mut runner = client(installed("rust/debug/rust-runner"));
    runner.args([&format!("http://{}", http.address()), token]);
    let (content, said) = run(runner, LIMIT).await;
    assert!(content, "{said}\n{}", server.log());
    assert!(said.contains(&format!("job {}", waiting.id)), "{said}");
    let job = Job { token: String::new(), ..waiting };
    // This client sends no checksum, so nobody claims anything of the whole.
    http.integrity_until(&job, "closed", |report| report["verdict"] == "unclaimed").await;
    let log = String::from_utf8(http.trace(&job).await.to_vec()).expect("text");
    (said, job, log)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_crate_gitlab_runner_takes_jobs_streams_their_logs_and_ends_them() {
    let server = Binary::start(&[]);
    let http = server.client();
    http.make_job().await;
    let wanted = json!({"description": "rust", "projects": "all"});
    let runner = http.admin(Method::POST, "/api/v1/runners").json(&wanted).answer().await.json();
    let token = runner["token"].as_str().expect("a token");

    // Three chunks and more, of letters that are more than one byte, over several ticks.
    let (said, job, log) = one_job(&server, token, &["say gr\u{fc}\u{df}e", "lines 20000"]).await;
    assert!(said.contains("taken"), "{said}");
    assert!(log.len() > 3 * 131_072, "{}", log.len());
    let lines: Vec<&str> = log.lines().collect();
    let first = lines.iter().position(|line| line.ends_with("gr\u{fc}\u{df}e")).expect("the first line");
    for (number, line) in lines[first + 1..first + 20_001].iter().enumerate() {
        assert!(line.ends_with(&format!("line {number} of 20000: gr\u{fc}n")), "{number}: {line}");
    }
    assert!(lines[first + 20_001].ends_with("the end"), "{:?}", &lines[first + 20_001..]);
    let status = |job: &Job| format!("/api/v4/projects/{}/jobs/{}", job.project, job.id);
    assert_eq!(http.admin(Method::GET, &status(&job)).answer().await.json()["status"], "success");
    let patches = answered(http, "append", "202").await;
    assert!(patches >= 2.0, "it was not streamed: {patches} patches");

    let (_, job, log) = one_job(&server, token, &["say before", "fail", "say never"]).await;
    assert!(log.contains("before") && !log.contains("never"), "{log}");
    assert_eq!(http.admin(Method::GET, &status(&job)).answer().await.json()["status"], "failed");

    let mut idle = client(installed("rust/debug/rust-runner"));
    idle.args([&format!("http://{}", http.address()), token]);
    let (content, said) = run(idle, LIMIT).await;
    assert!(content && said.contains("nothing is pending"), "{said}");
    server.assert_untroubled().await;
}
