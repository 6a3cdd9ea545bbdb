//! `veritail drill ...`: damage that is done on purpose, over the API of a running server.

use std::process::ExitCode;

use clap::builder::PossibleValuesParser;
use clap::{Args, Subcommand};
use reqwest::Method;
use serde_json::{Value, json};

use super::client::Connection;
use super::{Failed, exit, table};

/// Damage a copy of a log on purpose, to see that it is found; and list such drills, with what came of them.
#[derive(Debug, Args)]
pub(super) struct Drill {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Damage one copy of a job's log for real. It is announced before, is found like any other damage, and counts as a
    /// drill alone: nobody is paged for it.
    #[command(after_help = exit::OF_OTHERS)]
    Corrupt(Corrupt),
    /// List drills, the canary's too, newest first.
    #[command(after_help = exit::OF_OTHERS)]
    List(List),
}

/// Damage one copy of a job's log for real.
#[derive(Debug, Args)]
struct Corrupt {
    /// The job.
    job: i64,
    /// Where the copy lies.
    #[arg(long, value_parser = PossibleValuesParser::new(["redis", "embedded", "database", "object_store"]))]
    store: String,
    /// What will be wrong with it; record: the database's own record of it.
    #[arg(long, value_parser = PossibleValuesParser::new(["checksum", "size", "missing", "record"]))]
    kind: String,
    /// The chunk; without it the last one that has such a copy.
    #[arg(long, value_name = "N")]
    chunk: Option<u32>,
    /// Needed: the copy is damaged for real, and where no other copy is good the log is lost.
    #[arg(long)]
    yes_damage_data: bool,
    #[command(flatten)]
    connection: Connection,
    /// Print the document, in a line.
    #[arg(long)]
    json: bool,
}

/// List drills.
#[derive(Debug, Args)]
struct List {
    /// Only those of this job.
    #[arg(long, value_name = "JOB")]
    job: Option<i64>,
    /// How many at most.
    #[arg(long, value_name = "COUNT", default_value_t = 100)]
    limit: usize,
    #[command(flatten)]
    connection: Connection,
    /// Print the documents, one a line.
    #[arg(long)]
    json: bool,
}

/// Where they are.
const PATH: &str = "/api/v1/drills";
/// Drills that one request asks for.
const PER_PAGE: usize = 100;
/// What is shown of each in a table, in this order.
const COLUMNS: &[&str] = &[
    "id",
    "job_id",
    "chunk_index",
    "store",
    "kind",
    "by",
    "damaged_at",
    "found_at",
    "found_by",
    "found_store",
    "found_kind",
    "result",
];

impl Drill {
    pub(super) async fn run(self) -> Result<ExitCode, Failed> {
        match self.command {
            Command::Corrupt(corrupt) => corrupt.run().await?,
            Command::List(list) => list.run().await?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Corrupt {
    async fn run(self) -> Result<(), Failed> {
        if !self.yes_damage_data {
            return Err(Failed(format!(
                "this damages the copy of job {}'s log in {} for real, and where no other copy is good the log is lost; \
                 if that is wanted, add --yes-damage-data",
                self.job, self.store
            )));
        }
        let client = self.connection.client()?;
        let wanted = json!({
            "job_id": self.job, "chunk_index": self.chunk, "store": self.store, "kind": self.kind, "yes_damage_data": true,
        });
        let request = client.request(Method::POST, PATH).json(&wanted);
        let drill: Value = client.document(request, &format!("job {}", self.job)).await?;
        if self.json {
            println!("{drill}");
        } else {
            table::print_documents(&["id", "job_id", "chunk_index", "store", "kind", "must_be_found_by"], &[drill]);
            eprintln!("damaged; `veritail drill list` shows when it is found");
        }
        Ok(())
    }
}

impl List {
    async fn run(self) -> Result<(), Failed> {
        let client = self.connection.client()?;
        let mut found: Vec<Value> = Vec::new();
        let mut cursor: Option<String> = None;
        while found.len() < self.limit {
            let job = self.job.map_or_else(String::new, |job| format!("&job_id={job}"));
            let behind = cursor.map_or_else(String::new, |cursor| format!("&cursor={cursor}"));
            let path = format!("{PATH}?per_page={}{job}{behind}", PER_PAGE.min(self.limit - found.len()));
            let page: Value = client.document(client.request(Method::GET, &path), "such list").await?;
            found.extend(page["items"].as_array().into_iter().flatten().cloned());
            cursor = page["next"].as_str().map(str::to_owned);
            if cursor.is_none() {
                break;
            }
        }
        if self.json {
            for drill in &found {
                println!("{drill}");
            }
        } else if found.is_empty() {
            eprintln!("none");
        } else {
            table::print_documents(COLUMNS, &found);
            if cursor.is_some() {
                eprintln!("there are more; see --limit");
            }
        }
        Ok(())
    }
}
