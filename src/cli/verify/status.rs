//! `veritail verify status`: how a server's verifier stands.

use clap::Args;
use serde_json::Value;

use crate::cli::client::Connection;
use crate::cli::{Failed, table};

/// Show how the verifier stands: coverage, the newest run of each schedule, and the walks of the full run.
#[derive(Debug, Args)]
pub(super) struct Show {
    #[command(flatten)]
    connection: Connection,
    /// Print the document as it is.
    #[arg(long)]
    json: bool,
}

impl Show {
    pub(super) async fn run(self) -> Result<(), Failed> {
        let status: Value = self.connection.client()?.get("/api/v1/verify/status", "such path").await?;
        if self.json {
            println!("{status:#}");
            return Ok(());
        }
        let coverage = &status["coverage"];
        println!(
            "{} of {} kept chunks were looked at within the promised time, the oldest look was {} h ago\n\
             the slowest walk will take {} of its time\n",
            coverage["covered"],
            coverage["eligible"],
            decimal(coverage["oldest_look_age_seconds"].as_f64().map(|seconds| seconds / 3600.0)),
            decimal(coverage["projected_cycle_ratio"].as_f64()),
        );
        let list = |name: &str| status[name].as_array().cloned().unwrap_or_default();
        let schedules: Vec<Vec<String>> = list("schedules").iter().map(schedule).collect();
        table::print(&["schedule", "newest run", "state", "began", "last complete"], &schedules);
        let shards: Vec<Vec<String>> = list("shards").iter().map(shard).collect();
        if !shards.is_empty() {
            println!();
            table::print(&["shard", "run", "at job", "walked", "due", "cycle began", "projected end"], &shards);
        }
        Ok(())
    }
}

fn schedule(of: &Value) -> Vec<String> {
    let newest = &of["newest"];
    let cells = [&of["schedule"], &newest["id"], &newest["state"], &newest["started_at"], &of["completed_at"]];
    cells.into_iter().map(table::cell).collect()
}

fn shard(of: &Value) -> Vec<String> {
    vec![
        table::cell(&of["shard"]),
        table::cell(&of["run_id"]),
        table::cell(&of["at_job"]),
        decimal(of["walked"].as_f64()),
        decimal(of["due"].as_f64()),
        table::cell(&of["cycle_started_at"]),
        table::cell(&of["projected_end"]),
    ]
}

fn decimal(number: Option<f64>) -> String {
    number.map_or_else(|| "-".to_owned(), |number| format!("{number:.2}"))
}
