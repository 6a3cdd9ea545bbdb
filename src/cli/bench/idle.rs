//! `veritail bench idle`: what a trace costs in memory while nothing happens to it.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use clap::Args;
use serde_json::json;
use tempfile::TempDir;

use super::clock;
use super::ingest::{Load, merge};
use super::load::{self, Shared, Work};
use super::process;
use super::progress::Progress;
use super::report;
use super::size::Size;
use super::wire::Wire;
use crate::api::auth::ADMIN_TOKEN_FILE;
use crate::cli::Failed;
use crate::cli::client::Client;
use crate::cli::signals::Signals;
use crate::config::value::Span;

/// Open many traces, leave them alone, and see by how much the server's memory grew.
///
/// Starts `veritail serve` as a process of its own, over a folder that is gone afterwards, with the `VERITAIL_*` of this one.
#[derive(Debug, Args)]
pub(super) struct Idle {
    /// Traces to open. Many, so that it does not count much how full the write buffers are at either look.
    #[arg(long, value_name = "COUNT", default_value = "30000", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    runners: u32,
    /// What each of them says.
    #[arg(long, value_name = "SIZE", default_value = "1KiB")]
    patch: Size,
    /// Traces to open before, so that what is bounded is full and does not count: the buffers that the embedded store gathers
    /// writes in, caches of tables and pages.
    #[arg(long, value_name = "COUNT", default_value = "20000", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    warm_up: u32,
    /// How long the server rests before it is measured: by default until it has forgotten what it remembers only of those that
    /// ask for something.
    #[arg(long, value_name = "TIME", default_value = "25s")]
    rest: Span,
    /// What the logs are made from.
    #[arg(long, default_value = "1")]
    seed: u64,
    /// Print a JSON document.
    #[arg(long)]
    json: bool,
}

/// What a trace may cost.
const GOAL: f64 = 2048.0;

/// `veritail serve` in a process of its own; it dies with this value.
struct Server {
    child: Child,
    wire: Wire,
    _folder: TempDir,
}

impl Server {
    fn start() -> Result<Self, Failed> {
        let folder = tempfile::Builder::new().prefix("veritail-bench-").tempdir().map_err(Failed::because)?;
        let program = std::env::current_exe().map_err(Failed::because)?;
        let mut child = Command::new(program)
            .args(["serve", "--listen", "127.0.0.1:0", "--data-dir"])
            .arg(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(Failed::because)?;
        let mut line = String::new();
        if let Some(stdout) = child.stdout.take() {
            // It says where it listens, or ends, which closes its side.
            let read = BufReader::new(stdout).read_line(&mut line);
            read.map_err(Failed::because)?;
        }
        let url = line.split_once("listens on ").and_then(|(_, rest)| rest.split(';').next());
        let token = std::env::var("VERITAIL_ADMIN_TOKEN").ok();
        let token = token.or_else(|| std::fs::read_to_string(folder.path().join(ADMIN_TOKEN_FILE)).ok());
        let ready = url.zip(token).ok_or_else(|| Failed("the server did not start".to_owned()));
        let wire = ready.and_then(|(url, token)| {
            let client = Client::loopback(url.to_owned(), token.trim().to_owned())?;
            Ok(Wire { client })
        });
        match wire {
            Ok(wire) => Ok(Self { child, wire, _folder: folder }),
            Err(failed) => {
                let _ = child.kill().and_then(|()| child.wait());
                Err(failed)
            }
        }
    }

    /// Its resident memory in bytes.
    fn memory(&self) -> Result<u64, Failed> {
        process::memory(&self.child.id().to_string(), "VmRSS")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Its own child; that it has ended already is as good.
        let _ = self.child.kill().and_then(|()| self.child.wait());
    }
}

impl Idle {
    /// True if all traces could be opened.
    pub(super) async fn run(self, signals: &mut Signals) -> Result<bool, Failed> {
        let server = Server::start()?;
        tokio::select! {
            done = self.measure(&server) => done,
            signal = signals.next() => Err(Failed(format!("ended by {signal}"))),
        }
    }

    async fn measure(&self, server: &Server) -> Result<bool, Failed> {
        let progress = Progress::new();
        progress.is("opening traces");
        self.open(server, self.warm_up, &progress).await?;
        clock::sleep(self.rest.0).await;
        let before = server.memory()?;
        self.open(server, self.runners, &progress).await?;
        clock::sleep(self.rest.0).await;
        let after = server.memory()?;
        progress.ends();
        let each = (after as f64 - before as f64) / f64::from(self.runners);
        if self.json {
            let plan = json!({ "runners": self.runners, "patch": self.patch, "warm_up": self.warm_up, "rest": self.rest.to_string() });
            let mut document = report::head("idle", self.seed, None, plan);
            merge(&mut document, json!({ "memory": { "before": before, "after": after, "each": each, "goal": GOAL } }));
            report::print_json(document);
        } else {
            println!("{} idle traces: memory grew from {} to {}", self.runners, Size(before), Size(after));
            println!("{each:.0} bytes each (goal: less than {GOAL:.0})");
        }
        Ok(true)
    }

    async fn open(&self, server: &Server, count: u32, progress: &Progress) -> Result<(), Failed> {
        let load = Load {
            runners: count,
            patch: self.patch,
            rate: 0.0,
            span: None,
            bytes_per_job: Some(self.patch),
            seed: self.seed,
            project: "veritail/bench".to_owned(),
        };
        let (plan, content, shared) = (load.plan()?, load.content(), Arc::new(Shared::default()));
        let mut jobs = load::make_jobs(&server.wire, &load.project, plan.runners).await?;
        // A few at a time: connections cost memory too, and are not what is measured.
        while !jobs.is_empty() {
            let some = jobs.split_off(jobs.len().saturating_sub(32));
            let runners = load::runners(&server.wire, &content, &shared, some, plan.patch);
            load::all(runners, Work::First, &plan, progress).await;
        }
        match shared.so_far().failures.into_iter().next() {
            Some(why) => Err(Failed(why)),
            None => Ok(()),
        }
    }
}
