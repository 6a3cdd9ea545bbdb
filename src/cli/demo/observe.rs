//! Prometheus beside the demo, with the rules that are shipped, where it is installed.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use reqwest::Client;
use serde_json::Value;

use super::screen::Screen;
use crate::cli::Failed;
use crate::seams::real::SystemClock;
use crate::seams::{Clock as _, within};

/// The program.
const PROGRAM: &str = "prometheus";
/// How long it may take to start, and then to see what happened.
const PATIENCE: Duration = Duration::from_secs(30);
/// The rules, as they are shipped.
const RULES: &[(&str, &str)] = &[
    ("recording.rules.yml", include_str!("../../../alerts/recording.rules.yml")),
    ("integrity.rules.yml", include_str!("../../../alerts/integrity.rules.yml")),
    ("slo.rules.yml", include_str!("../../../alerts/slo.rules.yml")),
    ("storage.rules.yml", include_str!("../../../alerts/storage.rules.yml")),
    ("dependencies.rules.yml", include_str!("../../../alerts/dependencies.rules.yml")),
];

/// A Prometheus that runs; it ends with this value.
pub(super) struct Observed {
    child: Child,
    client: Client,
    /// Where it listens.
    pub(super) url: String,
}

impl Observed {
    /// Starts it below `folder`, over the Veritail that listens at `veritail`. `None` if it is not installed.
    pub(super) async fn start(folder: &Path, veritail: SocketAddr) -> Result<Option<Self>, Failed> {
        let folder = folder.join("prometheus");
        std::fs::create_dir(&folder).map_err(Failed::because)?;
        for (name, rules) in RULES {
            std::fs::write(folder.join(name), rules).map_err(Failed::because)?;
        }
        // More often than in real life: the demo lasts for seconds.
        let config = format!(
            "global: {{scrape_interval: 1s, evaluation_interval: 1s}}\nrule_files: ['*.rules.yml']\n\
             scrape_configs: [{{job_name: veritail, static_configs: [{{targets: ['{veritail}']}}]}}]\n"
        );
        let file = folder.join("prometheus.yml");
        std::fs::write(&file, config).map_err(Failed::because)?;
        let address = free_address().map_err(Failed::because)?;
        let started = Command::new(PROGRAM)
            .arg(format!("--config.file={}", file.display()))
            .arg(format!("--storage.tsdb.path={}", folder.join("data").display()))
            .arg(format!("--web.listen-address={address}"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let child = match started {
            Ok(child) => child,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Failed(format!("{PROGRAM} cannot be started: {error}"))),
        };
        let client = Client::builder().no_proxy().build().map_err(Failed::because)?;
        let observed = Self { child, client, url: format!("http://{address}") };
        observed.until_ready().await?;
        Ok(Some(observed))
    }

    async fn until_ready(&self) -> Result<(), Failed> {
        let ready = async {
            loop {
                let answer = self.client.get(format!("{}/-/ready", self.url)).send().await;
                if answer.is_ok_and(|answer| answer.status().is_success()) {
                    return;
                }
                SystemClock.sleep(Duration::from_millis(100)).await;
            }
        };
        let ready = within(&SystemClock, PATIENCE, ready).await;
        ready.ok_or_else(|| Failed(format!("{PROGRAM} is not ready after {} s", PATIENCE.as_secs())))
    }

    /// Shows that the page about the damaged byte fires, and where to look at it.
    pub(super) async fn show(&self, screen: &mut Screen) -> Result<(), Failed> {
        let found = async {
            loop {
                if let Some(alert) = self.page().await? {
                    return Ok(alert);
                }
                SystemClock.sleep(Duration::from_millis(200)).await;
            }
        };
        let found: Option<Result<Value, Failed>> = within(&SystemClock, PATIENCE, found).await;
        let alert = found.transpose()?.unwrap_or_default();
        let label = |name: &str| alert["labels"][name].as_str().unwrap_or("nothing");
        let seen = format!("{} in {}, {}", label("kind"), label("store"), label("severity"));
        let expected = "checksum in object_store, critical".to_owned();
        screen.check(format!("VeritailChecksumMismatch fires: {seen}"), expected, seen);
        screen.detail(alert["annotations"]["summary"].as_str().unwrap_or_default());
        screen.detail(format_args!("Prometheus, with all rules: {}/alerts", self.url));
        screen.detail("In a Grafana: this Prometheus as a data source, then import dashboards/veritail-*.json");
        Ok(())
    }

    /// The page about wrong bytes, if it fires.
    async fn page(&self) -> Result<Option<Value>, Failed> {
        let answer = self.client.get(format!("{}/api/v1/alerts", self.url)).send().await.map_err(Failed::because)?;
        let answer: Value = answer.json().await.map_err(Failed::because)?;
        let mut alerts = answer["data"]["alerts"].as_array().into_iter().flatten();
        let is_it =
            |alert: &&Value| alert["labels"]["alertname"] == "VeritailChecksumMismatch" && alert["state"] == "firing";
        Ok(alerts.find(is_it).cloned())
    }
}

impl Drop for Observed {
    fn drop(&mut self) {
        // It has nothing that anybody would miss.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An address of the loopback interface that nobody listens on now.
fn free_address() -> std::io::Result<SocketAddr> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()
}
