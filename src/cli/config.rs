//! `veritail config`: the configuration as `serve` would see it, and where each value comes from.

use std::process::ExitCode;

use clap::Args;
use serde_json::{Value, json};

use super::sources::Sources;
use super::{Failed, table};
use crate::config::Effective;

/// Show the configuration that `serve` would run with, and where each value comes from.
///
/// Defaults, then the file, then `VERITAIL_*` variables, then flags; the later wins. Secrets are masked. A key that nobody
/// knows or a value out of range is an error that names the place and what is allowed, so this also proves a file.
#[derive(Debug, Args)]
pub(super) struct Show {
    #[command(flatten)]
    sources: Sources,
    /// Print a JSON document: by key, the value and its origin.
    #[arg(long)]
    json: bool,
}

impl Show {
    pub(super) fn run(self) -> Result<ExitCode, Failed> {
        let (_, settings) = self.sources.effective()?;
        if self.json {
            let document: serde_json::Map<String, Value> = settings
                .iter()
                .map(|set| (set.key.to_owned(), json!({ "value": value(set), "origin": set.origin })))
                .collect();
            println!("{:#}", Value::Object(document));
            return Ok(ExitCode::SUCCESS);
        }
        let rows: Vec<Vec<String>> =
            settings.into_iter().map(|set| vec![set.key.to_owned(), set.shown.clone(), set.origin]).collect();
        table::print(&["key", "value", "from"], &rows);
        Ok(ExitCode::SUCCESS)
    }
}

/// As a file has it, as JSON: what is unset is null.
fn value(set: &Effective) -> Value {
    match set.shown.as_str() {
        "unset" => Value::Null,
        shown => serde_json::from_str(shown).unwrap_or_else(|_| Value::from(shown)),
    }
}
