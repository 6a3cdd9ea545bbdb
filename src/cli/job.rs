//! `veritail job ...`: jobs, made, looked at and canceled by hand.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use reqwest::Method;
use serde_json::{Value, json};

use super::client::Connection;
use super::{Failed, exit, table};

/// Make, show and cancel jobs.
#[derive(Debug, Args)]
pub(super) struct Job {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a job. Its token is shown this once.
    #[command(after_help = exit::OF_OTHERS)]
    Create(Create),
    /// Show how far a job's log is and what is known of it. `inspect` shows every chunk.
    #[command(after_help = exit::OF_OTHERS)]
    Show(Named),
    /// Cancel a job. Its runner learns it with its next request; its last lines still count.
    #[command(after_help = exit::OF_OTHERS)]
    Cancel(Named),
}

/// Make a job. Its token is shown this once.
#[derive(Debug, Args)]
struct Create {
    /// The project's path; it is made if there is none.
    #[arg(long, value_name = "PATH")]
    project: String,
    /// The job's name.
    #[arg(long)]
    name: String,
    /// A JSON file with what a runner is to do; the job then waits for one. Without it whoever made the job runs it.
    #[arg(long, value_name = "FILE")]
    payload: Option<PathBuf>,
    #[command(flatten)]
    connection: Connection,
    /// Print the document as it is.
    #[arg(long)]
    json: bool,
}

/// A job by its number.
#[derive(Debug, Args)]
struct Named {
    /// The job's number.
    job: i64,
    #[command(flatten)]
    connection: Connection,
    /// Print the document as it is.
    #[arg(long)]
    json: bool,
}

impl Job {
    pub(super) async fn run(self) -> Result<ExitCode, Failed> {
        match self.command {
            Command::Create(create) => create.run().await?,
            Command::Show(named) => named.show().await?,
            Command::Cancel(named) => named.cancel().await?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Create {
    async fn run(self) -> Result<(), Failed> {
        let mut wanted = json!({ "project": self.project, "name": self.name });
        if let Some(path) = &self.payload {
            let failed = |error: &dyn std::fmt::Display| Failed(format!("{}: {error}", path.display()));
            let text = std::fs::read(path).map_err(|error| failed(&error))?;
            wanted["payload"] = serde_json::from_slice(&text).map_err(|error| failed(&error))?;
        }
        let client = self.connection.client()?;
        let request = client.request(Method::POST, "/api/v1/jobs").json(&wanted);
        let made: Value = client.document(request, "such project").await?;
        print(&made, &["id", "project_id", "status", "token"], self.json);
        Ok(())
    }
}

impl Named {
    async fn show(self) -> Result<(), Failed> {
        let client = self.connection.client()?;
        let path = format!("/api/v1/jobs/{}/integrity", self.job);
        let report: Value = client.get(&path, &format!("job {}", self.job)).await?;
        let count = |list: &str| report[list].as_array().map_or(0, Vec::len);
        let shown = json!({
            "id": self.job, "project_id": report["project_id"], "size": report["size"], "crc32": report["crc32"],
            "verdict": report["verdict"], "chunks": count("chunks"), "mismatches": count("mismatches"),
        });
        let columns = ["id", "project_id", "size", "crc32", "verdict", "chunks", "mismatches"];
        print(&shown, &columns, self.json);
        Ok(())
    }

    async fn cancel(self) -> Result<(), Failed> {
        let client = self.connection.client()?;
        let request = client.request(Method::POST, &format!("/api/v1/jobs/{}/cancel", self.job));
        let canceled: Value = client.document(request, &format!("job {}", self.job)).await?;
        print(&canceled, &["id", "project_id", "status"], self.json);
        Ok(())
    }
}

fn print(document: &Value, columns: &[&str], json: bool) {
    if json {
        println!("{document:#}");
        return;
    }
    let cell = |column: &&str| match &document[*column] {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    table::print(columns, &[columns.iter().map(cell).collect()]);
}
