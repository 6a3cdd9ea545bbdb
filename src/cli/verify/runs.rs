//! `veritail verify runs`, `watch` and `stop`: the runs of a server's verifier.

use std::process::ExitCode;

use clap::Args;
use clap::builder::PossibleValuesParser;
use reqwest::Method;
use serde_json::Value;

use super::place::{Place, RUNS, Run};
use super::watch::{Interrupt, watch};
use super::which::Which;
use crate::cli::client::Connection;
use crate::cli::{Failed, table};
use crate::trace::{RunState, Schedule};

/// List the verifier's runs, newest first.
#[derive(Debug, Args)]
pub(super) struct List {
    /// Only those of this schedule.
    #[arg(long, value_parser = PossibleValuesParser::new(Schedule::ALL.iter().map(|schedule| schedule.as_str())))]
    schedule: Option<String>,
    /// Only those in this state.
    #[arg(long, value_parser = PossibleValuesParser::new(RunState::ALL.iter().map(|state| state.as_str())))]
    state: Option<String>,
    /// How many at most.
    #[arg(long, value_name = "COUNT", default_value_t = 20)]
    limit: usize,
    #[command(flatten)]
    connection: Connection,
    /// Print the documents, one a line.
    #[arg(long)]
    json: bool,
}

/// Wait for the end of a run, and show what it came to. Ctrl-C ends the watching, and the run goes on.
#[derive(Debug, Args)]
pub(super) struct Watch {
    /// The run's number.
    run: i64,
    #[command(flatten)]
    connection: Connection,
    /// Print JSON lines: a `mismatch` each, and the `run` at the end.
    #[arg(long)]
    json: bool,
}

/// Ask a run to stop. Its node learns of it within seconds; one that has ended stays as it is.
#[derive(Debug, Args)]
pub(super) struct Stop {
    /// The run's number.
    run: i64,
    #[command(flatten)]
    connection: Connection,
    /// Print the document, in a line.
    #[arg(long)]
    json: bool,
}

/// Runs that one request asks for.
const PER_PAGE: usize = 100;
/// What is shown of each, in this order.
const COLUMNS: &[&str] =
    &["id", "schedule", "scope", "node", "state", "chunks", "differ", "started_at", "ended_at", "message"];

impl List {
    pub(super) async fn run(self) -> Result<(), Failed> {
        let client = self.connection.client()?;
        let mut runs: Vec<Value> = Vec::new();
        let mut before: Option<i64> = None;
        while runs.len() < self.limit {
            let mut path = format!("{RUNS}?per_page={}", PER_PAGE.min(self.limit - runs.len()));
            let before_text = before.map(|before| before.to_string());
            for (name, value) in [("schedule", &self.schedule), ("state", &self.state), ("before", &before_text)] {
                path.extend(value.iter().map(|value| format!("&{name}={value}")));
            }
            let page: Value = client.get(&path, "such list").await?;
            runs.extend(page["items"].as_array().into_iter().flatten().cloned());
            before = page["next"].as_i64();
            if before.is_none() {
                break;
            }
        }
        if self.json {
            runs.iter().for_each(|run| println!("{run}"));
        } else if runs.is_empty() {
            eprintln!("none");
        } else {
            print(&runs);
        }
        Ok(())
    }
}

impl Watch {
    pub(super) async fn run(self) -> Result<ExitCode, Failed> {
        let place = Place::Server(self.connection.client()?);
        let run = place.run(self.run).await?;
        // Which jobs it is over, its server knows: what was seen meanwhile is shown, whoever saw it.
        watch(&place, run, Interrupt::Leaves, &Which::default(), self.json).await
    }
}

impl Stop {
    pub(super) async fn run(self) -> Result<(), Failed> {
        let client = self.connection.client()?;
        let request = client.request(Method::POST, &format!("{RUNS}/{}/stop", self.run));
        let run: Value = client.document(request, &format!("run {}", self.run)).await?;
        if self.json {
            println!("{run}");
            return Ok(());
        }
        let run = Run::of(run)?;
        match run.state {
            RunState::Running => println!("run {} was asked to stop", run.id),
            state => println!("run {} had ended already: {state}", run.id),
        }
        Ok(())
    }
}

fn print(runs: &[Value]) {
    let row = |run: &Value| -> Vec<String> {
        let value = |column: &&str| match *column {
            "chunks" => table::cell(&run["tally"]["chunks"]),
            "differ" => table::cell(&run["tally"]["differs"]),
            other => table::cell(&run[other]),
        };
        COLUMNS.iter().map(value).collect()
    };
    table::print(COLUMNS, &runs.iter().map(row).collect::<Vec<_>>());
}
