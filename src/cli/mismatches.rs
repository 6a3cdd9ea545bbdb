//! `veritail mismatches ...`: what was found to be wrong, over the API of a running server.

use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::builder::PossibleValuesParser;
use clap::{Args, Subcommand};
use futures::StreamExt as _;
use reqwest::{Method, Url};
use serde_json::{Value, json};

use super::client::{Client, Connection};
use super::{Failed, exit, table};
use crate::telemetry::errors::innermost;
use crate::trace::{DataStore, Detector, Kind};

/// List, show and resolve mismatches: what was found to be wrong with logs.
#[derive(Debug, Args)]
pub(super) struct Mismatches {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List mismatches, oldest first.
    #[command(after_help = exit::OF_OTHERS)]
    List(List),
    /// Show all that is known of a mismatch.
    #[command(after_help = exit::OF_OTHERS)]
    Show(Show),
    /// Take note of a mismatch: it counts as resolved, and keeps who and why. One that is resolved stays as it is.
    #[command(after_help = exit::OF_OTHERS)]
    Resolve(Resolve),
}

/// List mismatches, oldest first.
#[derive(Debug, Args)]
struct List {
    /// Only open or only resolved ones.
    #[arg(long, value_parser = ["open", "resolved"])]
    state: Option<String>,
    /// Only those of this job.
    #[arg(long, value_name = "JOB")]
    job: Option<i64>,
    /// Only those of this project's jobs, by number or path.
    #[arg(long, value_name = "PROJECT")]
    project: Option<String>,
    /// Only those of this kind.
    #[arg(long, value_parser = PossibleValuesParser::new(Kind::ALL.iter().map(|kind| kind.as_str())))]
    kind: Option<String>,
    /// Only those in this store.
    #[arg(long, value_parser = PossibleValuesParser::new(DataStore::ALL.iter().map(|store| store.as_str())))]
    store: Option<String>,
    /// Only those that were found in this way.
    #[arg(long, value_parser = PossibleValuesParser::new(Detector::ALL.iter().map(|detector| detector.as_str())))]
    detector: Option<String>,
    /// Only those that were first seen at this moment or later, as in RFC 3339: 2026-01-31T12:00:00Z.
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// How many at most in the table.
    #[arg(long, value_name = "COUNT", default_value_t = 100)]
    limit: usize,
    #[command(flatten)]
    connection: Connection,
    /// Print all of them, a document a line.
    #[arg(long, conflicts_with = "limit")]
    json: bool,
}

/// Show all that is known of a mismatch.
#[derive(Debug, Args)]
struct Show {
    /// The mismatch's number.
    mismatch: i64,
    #[command(flatten)]
    connection: Connection,
    /// Print the document, in a line.
    #[arg(long)]
    json: bool,
}

/// Take note of a mismatch: it counts as resolved, and keeps who and why.
#[derive(Debug, Args)]
struct Resolve {
    /// The mismatch's number.
    mismatch: i64,
    /// Why nothing more is to be done.
    #[arg(long, value_name = "TEXT")]
    comment: String,
    #[command(flatten)]
    connection: Connection,
    /// Print the document, in a line.
    #[arg(long)]
    json: bool,
}

impl Mismatches {
    pub(super) async fn run(self) -> Result<ExitCode, Failed> {
        match self.command {
            Command::List(list) => list.run().await?,
            Command::Show(show) => show.run().await?,
            Command::Resolve(resolve) => resolve.run().await?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Where they are.
const PATH: &str = "/api/v1/mismatches";
/// Mismatches that one request asks for.
const PER_PAGE: usize = 100;
/// What is shown of each in a table, in this order.
const COLUMNS: &[&str] =
    &["id", "job_id", "chunk_index", "kind", "store", "detector", "first_seen", "last_seen", "times_seen", "state"];

/// What is shown of one, in this order.
const SHOWN: &[&str] = &[
    "id",
    "job_id",
    "chunk_index",
    "epoch",
    "kind",
    "store",
    "detector",
    "run_id",
    "node",
    "expected",
    "found",
    "first_difference",
    "first_seen",
    "last_seen",
    "times_seen",
    "drill_id",
    "state",
    "resolution",
    "resolved_by",
    "comment",
    "resolved_at",
];

impl List {
    async fn run(self) -> Result<(), Failed> {
        let client = self.connection.client()?;
        if self.json {
            return self.export(&client).await;
        }
        let mut found: Vec<Value> = Vec::new();
        let mut cursor: Option<String> = None;
        while found.len() < self.limit {
            let mut query = self.filters();
            query.push(("per_page", PER_PAGE.min(self.limit - found.len()).to_string()));
            query.extend(cursor.map(|cursor| ("cursor", cursor)));
            let request = client.request(Method::GET, &path(&query));
            let page: Value = client.document(request, "such list").await?;
            found.extend(page["items"].as_array().into_iter().flatten().cloned());
            cursor = page["next"].as_str().map(str::to_owned);
            if cursor.is_none() {
                break;
            }
        }
        if found.is_empty() {
            eprintln!("none");
            return Ok(());
        }
        table::print_documents(COLUMNS, &found);
        if cursor.is_some() {
            eprintln!("there are more; see --limit, or --json for all of them");
        }
        Ok(())
    }

    /// Line by line as they come, however many there are.
    async fn export(&self, client: &Client) -> Result<(), Failed> {
        let mut query = self.filters();
        query.push(("format", "jsonl".to_owned()));
        let answer = client.send(client.request(Method::GET, &path(&query)), "such list").await?;
        let mut lines = answer.bytes_stream();
        let mut out = io::stdout().lock();
        while let Some(piece) = lines.next().await {
            let piece = piece
                .map_err(|error| Failed(format!("the list broke off ({}); not all was printed", innermost(&error))))?;
            if out.write_all(&piece).is_err() {
                // Whoever does not read on need not.
                return Ok(());
            }
        }
        let _ = out.flush();
        Ok(())
    }

    fn filters(&self) -> Vec<(&'static str, String)> {
        let all = [
            ("state", self.state.clone()),
            ("job_id", self.job.map(|job| job.to_string())),
            ("project", self.project.clone()),
            ("kind", self.kind.clone()),
            ("store", self.store.clone()),
            ("detector", self.detector.clone()),
            ("since", self.since.clone()),
        ];
        all.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
    }
}

impl Show {
    async fn run(self) -> Result<(), Failed> {
        let client = self.connection.client()?;
        let found: Value = client.get(&format!("{PATH}/{}", self.mismatch), &what(self.mismatch)).await?;
        if self.json {
            println!("{found}");
            return Ok(());
        }
        for field in SHOWN {
            println!("{field:<16} {}", table::cell(&found[*field]));
        }
        Ok(())
    }
}

impl Resolve {
    async fn run(self) -> Result<(), Failed> {
        let client = self.connection.client()?;
        let request = client.request(Method::POST, &format!("{PATH}/{}/resolve", self.mismatch));
        let request = request.json(&json!({ "comment": self.comment }));
        let noted: Value = client.document(request, &what(self.mismatch)).await?;
        if self.json {
            println!("{noted}");
        } else {
            table::print_documents(&["id", "job_id", "state", "resolution", "resolved_by", "comment"], &[noted]);
        }
        Ok(())
    }
}

/// The list's path with a query, encoded.
fn path(query: &[(&str, String)]) -> String {
    let encoded = Url::parse_with_params("http://localhost", query).ok();
    let encoded = encoded.as_ref().and_then(Url::query).unwrap_or_default();
    format!("{PATH}?{encoded}")
}

fn what(mismatch: i64) -> String {
    format!("mismatch {mismatch}")
}
