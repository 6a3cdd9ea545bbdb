//! Clients that read: python-gitlab, gitbeaker, curl.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::{client, installed, run, script};
use crate::support::server::{Binary, Client, Job, ended};

const LIMIT: Duration = Duration::from_secs(60);
const TOKEN: &str = "admin-token-of-the-tests";

/// A server with seven jobs, one of them finished, and what a client has to find there.
struct Ground {
    server: Binary,
    folder: TempDir,
    finished: Job,
    expected: Value,
}

impl Ground {
    async fn prepare() -> Self {
        let server = Binary::start(&[]);
        let folder = tempfile::tempdir().expect("a folder");
        // Three chunks of text, with letters of more than one byte across their borders.
        let log: String = (0..30_000).map(|line| format!("{line} grün\n")).collect();
        let (finished, ids) = jobs(server.client(), log.as_bytes()).await;
        let file = folder.path().join("log");
        std::fs::write(&file, &log).expect("written");
        let expected = json!({
            "path": "group/demo", "ids": ids, "finished": finished.id, "job_token": finished.token, "log": file,
            "version": env!("CARGO_PKG_VERSION"),
        });
        Self { server, folder, finished, expected }
    }

    fn url(&self) -> String {
        format!("http://{}", self.server.client().address())
    }

    fn log(&self) -> PathBuf {
        self.folder.path().join("log")
    }
}

/// The finished job, and the numbers of all, newest first.
async fn jobs(client: &Client, log: &[u8]) -> (Job, Vec<i64>) {
    let mut ids = Vec::new();
    let finished = client.make_job().await;
    ids.push(finished.id);
    client.append_all(&finished, 0, log).await;
    assert_eq!(client.put_until_decided(&finished, &ended("success", log, true)).await.status, 200);
    for _ in 0..6 {
        ids.push(client.make_job().await.id);
    }
    ids.reverse();
    (finished, ids)
}

#[tokio::test]
async fn python_gitlab_finds_projects_jobs_and_logs() {
    let ground = Ground::prepare().await;
    let mut python = client(installed("python/bin/python"));
    python.arg(script("python/gitlab_client.py")).args([&ground.url(), TOKEN, &ground.expected.to_string()]);
    let (content, said) = run(python, LIMIT).await;
    assert!(content && said.contains("read everything"), "{said}");
    ground.server.assert_untroubled().await;
}

#[tokio::test]
async fn gitbeaker_finds_projects_jobs_and_logs() {
    let ground = Ground::prepare().await;
    let folder = installed("node");
    let mut node = client("node");
    node.arg(script("node/gitbeaker.mjs")).arg(folder).args([&ground.url(), TOKEN, &ground.expected.to_string()]);
    let (content, said) = run(node, LIMIT).await;
    assert!(content && said.contains("read everything"), "{said}");
    ground.server.assert_untroubled().await;
}

/// A log that broke off is taken up again with a range, which only the size and the `ETag` make safe.
#[tokio::test]
async fn curl_reads_a_log_and_takes_up_a_broken_download() {
    let ground = Ground::prepare().await;
    let url = format!("{}/api/v4/projects/group%2Fdemo/jobs/{}/trace", ground.url(), ground.finished.id);
    let whole = std::fs::read(ground.log()).expect("the log");
    let file = ground.folder.path().join("downloaded");
    std::fs::write(&file, &whole[..100_001]).expect("written");
    let mut curl = client("curl");
    curl.args(["--silent", "--show-error", "--fail", "--max-time", "30", "--continue-at", "-", "--output"]).arg(&file);
    curl.args(["--header", &format!("PRIVATE-TOKEN: {TOKEN}"), &url]);
    let (content, said) = run(curl, LIMIT).await;
    assert!(content, "{said}");
    assert!(std::fs::read(&file).expect("the download") == whole, "the rest was added to what was there");
    let mut stranger = client("curl");
    stranger.args(["--silent", "--fail", "--max-time", "30", &url]);
    assert!(!run(stranger, LIMIT).await.0, "without a token there is no log");
    ground.server.assert_untroubled().await;
}
