//! Which traces are verified.

use clap::Args;
use serde_json::{Value, json};

use crate::trace::Timestamp;

/// Which traces.
#[derive(Debug, Default, Args)]
#[group(required = true, multiple = false)]
pub(super) struct Which {
    /// Those of these jobs.
    #[arg(value_name = "JOB", value_parser = clap::value_parser!(i64).range(1..))]
    pub(super) jobs: Vec<i64>,
    /// Those of one project's jobs, by its number or path.
    #[arg(long, value_name = "PROJECT")]
    pub(super) project: Option<String>,
    /// Those of all jobs made at this moment or later, as in RFC 3339: 2026-01-31T12:00:00Z.
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub(super) since: Option<Timestamp>,
    /// All.
    #[arg(long)]
    pub(super) all: bool,
}

fn moment(text: &str) -> Result<Timestamp, &'static str> {
    let at: jiff::Timestamp = text.parse().map_err(|_| "not a time as in RFC 3339, such as 2026-01-31T12:00:00Z")?;
    Ok(Timestamp(at.as_millisecond()))
}

impl Which {
    /// As the API has it.
    pub(super) fn request(&self) -> Value {
        match (&self.project, self.since, self.all) {
            (Some(project), ..) => json!({ "project": project }),
            (_, Some(since), _) => json!({ "since": since.to_rfc3339() }),
            (_, _, true) => json!({ "all": true }),
            _ => json!({ "jobs": self.jobs }),
        }
    }

    /// Whether a mismatch of this job is of interest; of a project or a time only its server knows.
    pub(super) fn includes(&self, job: i64) -> bool {
        self.jobs.is_empty() || self.jobs.contains(&job)
    }

    /// The only job, if there is one.
    pub(super) fn job(&self) -> Option<i64> {
        if let [job] = self.jobs[..] { Some(job) } else { None }
    }
}
