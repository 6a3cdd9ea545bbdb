//! `veritail job ...`: jobs, made, looked at and canceled by hand.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use reqwest::Method;
use serde_json::{Value, json};

use super::client::Connection;
use super::{Failed, exit, inspect, table};

/// Make, list, show and cancel jobs.
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
    /// List a project's jobs, newest first.
    #[command(after_help = exit::OF_OTHERS)]
    List(List),
    /// Show a job, and what was promised of its log: the verdict, checksums, every chunk and where its copies are.
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

/// List a project's jobs, newest first.
#[derive(Debug, Args)]
struct List {
    /// The project, by number or path.
    #[arg(long, value_name = "PROJECT")]
    project: String,
    /// Only jobs with this status; may be repeated.
    #[arg(long = "status", value_name = "STATUS", value_parser = ["pending", "running", "canceling", "success", "failed", "canceled"])]
    statuses: Vec<String>,
    /// How many at most.
    #[arg(long, value_name = "COUNT", default_value_t = 100)]
    limit: usize,
    #[command(flatten)]
    connection: Connection,
    /// Print the documents as they are.
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
            Command::List(list) => list.run().await?,
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

/// Jobs that one request asks for.
const PER_PAGE: usize = 100;

impl List {
    async fn run(self) -> Result<(), Failed> {
        let client = self.connection.client()?;
        let mut jobs: Vec<Value> = Vec::new();
        while jobs.len() < self.limit {
            let wanted = PER_PAGE.min(self.limit - jobs.len());
            let request = client.request(Method::GET, &self.page(jobs.last(), wanted));
            let page: Vec<Value> = client.document(request, &format!("project {}", self.project)).await?;
            let is_last = page.len() < wanted;
            jobs.extend(page);
            if is_last {
                break;
            }
        }
        if self.json {
            println!("{:#}", Value::Array(jobs));
        } else if jobs.is_empty() {
            eprintln!("none");
        } else {
            let columns = ["id", "name", "status", "created_at", "started_at", "finished_at"];
            table::print_documents(&columns, &jobs);
        }
        Ok(())
    }

    /// The page behind a job: found by its number, so that it costs the same however far in it is.
    fn page(&self, behind: Option<&Value>, size: usize) -> String {
        let project = self.project.replace('%', "%25").replace('/', "%2F").replace(['?', '#'], "%3F");
        let mut path = format!("/api/v4/projects/{project}/jobs?pagination=keyset&per_page={size}");
        for status in &self.statuses {
            path.push_str(&format!("&scope[]={status}"));
        }
        if let Some(id) = behind.and_then(|job| job["id"].as_i64()) {
            path.push_str(&format!("&id_before={id}"));
        }
        path
    }
}

impl Named {
    async fn show(self) -> Result<(), Failed> {
        let client = self.connection.client()?;
        let what = format!("job {}", self.job);
        let job: Value = client.get(&format!("/api/v1/jobs/{}", self.job), &what).await?;
        let integrity: Value = client.get(&format!("/api/v1/jobs/{}/integrity", self.job), &what).await?;
        if self.json {
            println!("{:#}", json!({ "job": job, "integrity": integrity }));
            return Ok(());
        }
        let page = inspect::page_of(integrity)?;
        for field in SHOWN {
            println!("{field:<16} {}", table::cell(&job[*field]));
        }
        print!("\n{page}");
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

/// What is shown of a job, in this order.
const SHOWN: &[&str] = &[
    "id",
    "project",
    "name",
    "status",
    "state",
    "failure_reason",
    "exit_code",
    "created_at",
    "started_at",
    "finished_at",
    "closed_at",
    "erased_at",
    "last_contact_at",
];

fn print(document: &Value, columns: &[&str], json: bool) {
    if json {
        println!("{document:#}");
        return;
    }
    table::print_documents(columns, std::slice::from_ref(document));
}
