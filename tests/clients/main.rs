//! Real clients of GitLab's API, unmodified, against the real program; and tools that hold it to its own description.
//! `tests/run prepare` installs them below `target/clients`.
#![allow(clippy::disallowed_methods, reason = "the tests wait for real clients")]

#[path = "../support/mod.rs"]
mod support;

mod glab;
mod python;
mod readers;
mod rust;
mod schema;

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use reqwest::Method;
use tokio::process::Command;

use crate::support::server::{Client, Send as _};

/// Where the clients are installed.
fn installed(part: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/clients").join(part);
    assert!(path.exists(), "{} is missing: run tests/run prepare", path.display());
    path
}

/// A script of these tests.
fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients").join(name)
}

/// A program that speaks to this machine alone.
fn client(program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new(program);
    command.env("no_proxy", "*").env("NO_PROXY", "*").env("PYTHONWARNINGS", "default").kill_on_drop(true);
    command.stdin(Stdio::null());
    command
}

/// Runs a client to its end: true if it was content, and what it said.
async fn run(mut command: Command, limit: Duration) -> (bool, String) {
    let output = tokio::time::timeout(limit, command.output()).await.expect("the client ends in time");
    let output = output.expect("the client can be started");
    let said = [output.stdout, output.stderr].map(|said| String::from_utf8_lossy(&said).into_owned());
    (output.status.success(), said.concat())
}

/// How many requests were answered with a status.
async fn answered(client: &Client, route: &str, status: &str) -> f64 {
    let page = client.request(Method::GET, "/metrics").answer().await;
    let (route, status) = (format!("route=\"{route}\""), format!("status=\"{status}\""));
    let lines = page.text().lines().filter(|line| line.starts_with("veritail_http_requests_total{"));
    let lines = lines.filter(|line| line.contains(&route) && line.contains(&status));
    lines.filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok()).sum()
}
