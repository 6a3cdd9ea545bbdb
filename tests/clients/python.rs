//! Clients in Python; `tests/run prepare` installs them.

use std::path::Path;
use std::process::{Command, Output};

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::server::{Binary, Job, Send as _};

/// Runs a script beside this file with the clients' Python, for at most a minute.
fn python(script: &str, arguments: &[&str]) -> Output {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let python = root.join("target/clients/python/bin/python3");
    assert!(python.exists(), "the clients are not installed; run: tests/run prepare");
    Command::new("timeout")
        .arg("60")
        .arg(python)
        .arg(root.join("tests/clients").join(script))
        .args(arguments)
        .env("no_proxy", "*")
        .output()
        .expect("timeout runs")
}

/// What a GitLab would give the client, as far as it needs it.
fn payload() -> Value {
    let variable = |key: &str, value: &str| json!({"key": key, "value": value, "public": true, "masked": false});
    json!({
        "job_info": {"name": "rspec", "stage": "test"},
        "git_info": {"ref": "main", "ref_type": "branch", "sha": "0", "repo_url": "http://localhost/x.git"},
        "variables": [variable("CI_PROJECT_PATH", "group/demo"), variable("CI_JOB_URL", "http://localhost/x")],
        "steps": [{"name": "script", "script": ["echo hello"]}],
        "credentials": [],
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn gitlab_runner_api_requests_a_job_sends_its_log_and_finishes_it() {
    let server = Binary::start(&[]);
    let client = server.client();
    let wanted = json!({"description": "python", "projects": ["group/demo"]});
    client.make_job().await;
    let runner = client.admin(Method::POST, "/api/v1/runners").json(&wanted).answer().await.json();
    let (url, id) = (format!("http://{}", client.address()), runner["id"].to_string());
    let token = runner["token"].as_str().expect("a token");
    let waiting = client.make_job_of(json!({"payload": payload()})).await;

    let output = python("runner_api.py", &[&url, &id, token]);
    let (said, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}\n{errors}\n{}", server.log());
    assert_eq!(said.trim(), format!("job {} echo hello; then nothing; a wrong token is refused", waiting.id));

    let job = Job { token: String::new(), ..waiting };
    let log = client.trace(&job).await;
    let log = std::str::from_utf8(&log).expect("text");
    assert!(
        log.starts_with("Running with gitlab_runner_api") && log.ends_with("gr\u{fc}\u{df}e from python\n"),
        "{log}"
    );
    // This client sends no checksum.
    client.integrity_until(&job, "closed", |report| report["verdict"] == "unclaimed").await;
    server.assert_untroubled().await;
}
