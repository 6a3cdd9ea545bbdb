//! Prometheus and Alertmanager over the set-ups, with the files of `alerts/`, in which only time is shorter.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use super::post::Post;
use crate::alerts::{files, folder, read};
use crate::support::program::Running;
use crate::support::redis_server::free_port;
use crate::support::wait::{PATIENCE, holds_within};

/// How many seconds a minute of the rules lasts.
#[derive(Clone, Copy)]
pub struct Minute(pub u64);

/// Of the rules that page.
pub const OF_PAGES: Minute = Minute(5);
/// Of those that wait for hours.
pub const OF_TICKETS: Minute = Minute(2);

impl Minute {
    /// Waits for so many of them.
    pub async fn times(self, count: u64) {
        tokio::time::sleep(Duration::from_secs(count * self.0)).await;
    }
}

/// Waits for minutes of the rules that page.
pub async fn minutes(count: u64) {
    OF_PAGES.times(count).await;
}

/// Both programs; they end with this value.
pub struct Watch {
    prometheus: Running,
    alertmanager: Running,
    address: String,
    jobs: Vec<String>,
    http: reqwest::Client,
    folder: TempDir,
}

impl Watch {
    /// Starts them; they answer when this returns.
    pub async fn start(post: &Post, jobs: &[(String, Vec<String>)], minute: Minute) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let (one, other) = (free_port(), free_port());
        let (address, alerts_to) = (format!("127.0.0.1:{one}"), format!("127.0.0.1:{other}"));
        let path = write_all(folder.path(), post, minute);
        write_config(folder.path(), jobs, &alerts_to);
        jobs.iter().for_each(|(job, targets)| write_targets(folder.path(), job, targets));
        let arg = |name: &str, value: &Path| format!("--{name}={}", value.display());
        let mut alertmanager = Command::new("prometheus-alertmanager");
        alertmanager.args([
            arg("config.file", &path("alertmanager.yml")),
            arg("storage.path", &path("alertmanager")),
            format!("--web.listen-address={alerts_to}"),
            // Of several none knows of the others.
            "--cluster.listen-address=".to_owned(),
        ]);
        let mut alertmanager = Running::start(&mut alertmanager);
        let mut prometheus = Command::new("prometheus");
        prometheus.args([
            arg("config.file", &path("prometheus.yml")),
            arg("storage.tsdb.path", &path("prometheus")),
            format!("--web.listen-address={address}"),
            "--rules.alert.resend-delay=5s".to_owned(),
        ]);
        let mut prometheus = Running::start(&mut prometheus);
        for (program, port) in [(&mut prometheus, one), (&mut alertmanager, other)] {
            let answers = || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok();
            assert!(tokio::task::block_in_place(|| program.wait_until(answers)), "no answer on port {port}");
        }
        let http = reqwest::Client::builder().no_proxy().build().expect("a client");
        let jobs = jobs.iter().map(|(job, _)| job.clone()).collect();
        Self { prometheus, alertmanager, address, jobs, http, folder }
    }

    /// From now on only what is in this list is scraped. A job that is not in it stays, without targets.
    pub fn scrape(&self, jobs: &[(String, Vec<String>)]) {
        for job in &self.jobs {
            let targets = jobs.iter().find(|(known, _)| known == job).map_or(&[][..], |(_, targets)| targets);
            write_targets(self.folder.path(), job, targets);
        }
    }

    /// Waits until all targets are scraped.
    pub async fn all_up(&self, targets: usize) {
        let (mut last, wanted) = (Value::Null, Value::from(targets.to_string()));
        let url = format!("http://{}/api/v1/query?query=sum(up)", self.address);
        let look = async || {
            if let Ok(answer) = self.http.get(&url).send().await {
                last = answer.json().await.expect("JSON");
            }
            last["data"]["result"][0]["value"][1] == wanted
        };
        assert!(holds_within(PATIENCE, look).await, "not all of {targets} targets are scraped: {last}");
    }

    /// Neither of them has ended.
    pub fn is_well(&mut self) {
        assert!(self.prometheus.wait_until(|| true) && self.alertmanager.wait_until(|| true));
    }
}

/// Writes rules and routes below a folder; answers how to find a file there.
fn write_all(below: &Path, post: &Post, minute: Minute) -> impl Fn(&str) -> std::path::PathBuf + use<> {
    let below = below.to_owned();
    let write = |name: &str, text: &str| std::fs::write(below.join(name), text).expect("written");
    for file in files(".rules.yml") {
        write(&file.file_name().unwrap_or_default().to_string_lossy(), &shortened(&read(&file), minute));
    }
    let mut alertmanager = shortened(&read(&folder().join("alertmanager.example.yml")), minute);
    for to in ["pager", "tickets", "watchdog"] {
        let url = format!("https://{to}.example/veritail");
        assert!(alertmanager.contains(&url), "{url} is not in the example");
        alertmanager = alertmanager.replace(&url, &post.url(to));
    }
    // In the clear, to a server of this test.
    let smarthost = "smarthost: mail.example:587";
    assert!(alertmanager.contains(smarthost), "{smarthost} is not in the example");
    let here = format!("smarthost: 127.0.0.1:{}\n        require_tls: false", post.mail().port());
    alertmanager = alertmanager.replace(smarthost, &here);
    write("alertmanager.yml", &alertmanager);
    write("veritail.tmpl", &read(&folder().join("veritail.tmpl")));
    move |name| below.join(name)
}

/// Writes what Prometheus is to do. Its targets are in files of their own, which it looks at every second: a job that is
/// taken out of its configuration may be remembered for five minutes.
fn write_config(below: &Path, jobs: &[(String, Vec<String>)], alerts_to: &str) {
    let mut prometheus = format!(
        "global:\n  scrape_interval: 2s\n  scrape_timeout: 2s\n  evaluation_interval: 1s\nrule_files: ['*.rules.yml']\n\
         alerting:\n  alertmanagers:\n    - static_configs:\n        - targets: ['{alerts_to}']\nscrape_configs:\n"
    );
    for (job, _) in jobs {
        writeln!(
            prometheus,
            "  - job_name: {job}\n    file_sd_configs:\n      - files: [{job}.json]\n        refresh_interval: 1s"
        )
        .expect("a string");
    }
    std::fs::write(below.join("prometheus.yml"), prometheus).expect("written");
}

/// Writes where the nodes of a job are, in one step.
fn write_targets(below: &Path, job: &str, targets: &[String]) {
    let written = below.join(format!("{job}.new"));
    std::fs::write(&written, serde_json::json!([{ "targets": targets }]).to_string()).expect("written");
    std::fs::rename(written, below.join(format!("{job}.json"))).expect("moved");
}

/// The same file, in which a minute lasts so long: what waits, ranges, offsets, and seconds written as `N * 60`. Nothing else
/// of it is touched.
pub fn shortened(text: &str, minute: Minute) -> String {
    let short = |time: &str| short(time, minute);
    const KEYS: &[&str] = &["for", "keep_firing_for", "group_wait", "group_interval", "repeat_interval"];
    let mut shorter = String::new();
    for line in text.lines() {
        let key = KEYS.iter().find_map(|key| Some((*key, line.trim_start().strip_prefix(&format!("{key}: "))?)));
        if let Some((key, time)) = key {
            let indent = &line[..line.len() - line.trim_start().len()];
            shorter += &format!("{indent}{key}: {}\n", short(time).unwrap_or_else(|| time.to_owned()));
            continue;
        }
        let mut rest = line.replace("* 60", &format!("* {}", minute.0));
        for begin in ["[", " offset "] {
            let parts: Vec<&str> = rest.split(begin).collect();
            let mut changed = parts[0].to_owned();
            for part in &parts[1..] {
                let end = part.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(part.len());
                let time = short(&part[..end]).unwrap_or_else(|| part[..end].to_owned());
                changed += &format!("{begin}{time}{}", &part[end..]);
            }
            rest = changed;
        }
        shorter += &rest;
        shorter.push('\n');
    }
    shorter
}

/// A time that is shorter; `None` if it is none.
fn short(time: &str, minute: Minute) -> Option<String> {
    let (number, unit) = time.split_at_checked(time.len().checked_sub(1)?)?;
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86400,
        _ => return None,
    };
    let ms = number.parse::<u64>().ok()? * seconds * 1000 * minute.0 / 60;
    Some(if ms == 0 { "0s".to_owned() } else { format!("{ms}ms") })
}

#[test]
fn only_times_become_shorter() {
    let rule = "expr: |\n  sum by (job) (increase(a_total{x=\"60\"}[15m])) > 15 * 60 unless a offset 1h\nfor: 5m\nwindow: 1h\n";
    let expected = "expr: |\n  sum by (job) (increase(a_total{x=\"60\"}[75000ms])) > 15 * 5 unless a offset 300000ms\nfor: 25000ms\nwindow: 1h\n";
    assert_eq!(shortened(rule, Minute(5)), expected);
    assert_eq!(shortened("group_by: [job]\ngroup_wait: 0s\n", Minute(2)), "group_by: [job]\ngroup_wait: 0s\n");
}
