//! A real Prometheus on a free loopback port, with the rules as they are shipped.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use crate::support::free_ports;
use crate::support::program::Running;
use crate::support::weed::http;

/// The name of the job that the nodes belong to.
pub const JOB: &str = "veritail";

/// The server; it dies with this value.
pub struct Prometheus {
    port: u16,
    http: reqwest::Client,
    _process: Running,
    _folder: TempDir,
}

/// A series of an answer: its labels, and its values.
#[derive(Debug)]
pub struct Series {
    /// Without the metric's name.
    pub labels: Vec<(String, String)>,
    /// In the order of time.
    pub values: Vec<f64>,
}

impl Series {
    /// Whether it has this label.
    pub fn has(&self, label: &str) -> bool {
        self.labels.iter().any(|(name, _)| name == label)
    }
}

/// The files of the rules.
pub fn rule_files() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("alerts");
    let entries = std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    files.retain(|path| path.to_string_lossy().ends_with(".rules.yml"));
    files.sort();
    assert!(!files.is_empty(), "there are rules");
    files
}

impl Prometheus {
    /// Starts a server that scrapes these nodes and itself, and evaluates all rules so often (as Prometheus writes it). It
    /// answers when this returns.
    pub fn start(nodes: &[SocketAddr], interval: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder for the server");
        let mut config =
            format!("global: {{scrape_interval: {interval}, evaluation_interval: {interval}}}\nrule_files:\n");
        for file in rule_files() {
            writeln!(config, "  - {}", file.display()).expect("a string");
        }
        let targets: Vec<String> = nodes.iter().map(|node| format!("\"{node}\"")).collect();
        let targets = targets.join(", ");
        writeln!(config, "scrape_configs:\n  - job_name: {JOB}\n    static_configs: [{{targets: [{targets}]}}]")
            .expect("a string");
        let file = folder.path().join("prometheus.yml");
        // Between finding a free port and taking it somebody else may take it.
        for _ in 0..5 {
            let port = free_ports::in_a_row(1, 0);
            let itself =
                format!("  - job_name: prometheus\n    static_configs: [{{targets: [\"127.0.0.1:{port}\"]}}]\n");
            std::fs::write(&file, config.clone() + &itself).expect("a file");
            let mut command = Command::new("prometheus");
            command.arg(format!("--config.file={}", file.display()));
            command.arg(format!("--storage.tsdb.path={}", folder.path().join("data").display()));
            command.arg(format!("--web.listen-address=127.0.0.1:{port}"));
            let mut process = Running::start(command.current_dir(folder.path()));
            if process.wait_until(|| http(port, "GET", "/-/ready", b"") == Some(200)) {
                veritail::api::server::tls::choose_cryptography();
                let http = reqwest::Client::builder().no_proxy().build().expect("a client");
                return Self { port, http, _process: process, _folder: folder };
            }
        }
        panic!("prometheus did not start on any of five free ports");
    }

    /// Where it answers.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Asks its API; what it says is wrong.
    pub async fn ask(&self, path: &str, parameters: &[(&str, String)]) -> Result<Value, String> {
        let url = format!("{}/api/v1/{path}", self.url());
        let url = reqwest::Url::parse_with_params(&url, parameters).expect("a URL");
        let answer = self.http.get(url).send().await.expect("Prometheus answers");
        let mut answer: Value = answer.json().await.expect("JSON");
        if answer["status"] == "success" { Ok(answer["data"].take()) } else { Err(answer["error"].to_string()) }
    }

    /// The series of a query at a moment, in Unix seconds.
    pub async fn at(&self, query: &str, time: f64) -> Result<Vec<Series>, String> {
        let data = self.ask("query", &[("query", query.to_owned()), ("time", time.to_string())]).await?;
        Ok(series(&data))
    }

    /// The series of a query over a time, in Unix seconds, one value every `step` seconds.
    pub async fn over(&self, query: &str, from: f64, to: f64, step: f64) -> Result<Vec<Series>, String> {
        let parameters = [("start", from), ("end", to), ("step", step)].map(|(name, value)| (name, value.to_string()));
        let data = self.ask("query_range", &[&[("query", query.to_owned())], parameters.as_slice()].concat()).await?;
        Ok(series(&data))
    }

    /// The rules as it understood them.
    pub async fn rules(&self) -> Vec<Value> {
        let data = self.ask("rules", &[]).await.expect("rules");
        let groups = data["groups"].as_array().cloned().unwrap_or_default();
        groups.iter().flat_map(|group| group["rules"].as_array().cloned().unwrap_or_default()).collect()
    }
}

fn series(data: &Value) -> Vec<Series> {
    let number = |value: &Value| value.as_str().unwrap_or_default().parse::<f64>().unwrap_or(f64::NAN);
    let results = data["result"].as_array().cloned().unwrap_or_default();
    let one = |result: &Value| {
        // A query that is a number has no series.
        if result.is_number() || result.is_string() {
            return Series { labels: Vec::new(), values: vec![number(result)] };
        }
        let labels = result["metric"].as_object().into_iter().flatten();
        let labels = labels.filter(|(name, _)| *name != "__name__");
        Series {
            labels: labels.map(|(name, value)| (name.clone(), value.as_str().unwrap_or_default().to_owned())).collect(),
            values: match result["values"].as_array() {
                Some(values) => values.iter().map(|value| number(&value[1])).collect(),
                None => vec![number(&result["value"][1])],
            },
        }
    };
    results.iter().map(one).collect()
}
