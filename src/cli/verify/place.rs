//! Where a run goes on: on a server, or in this process. Both are asked alike, and answer with the same documents.

use reqwest::{Method, Url};
use serde::Deserialize;
use serde_json::Value;

use super::which::Which;
use crate::app::Offline;
use crate::cli::Failed;
use crate::cli::client::Client;
use crate::pipeline::MismatchReport;
use crate::store::database::MismatchFilter;
use crate::store::database::listing::{ListedProject, ProjectName};
use crate::store::database::verifications::RunId;
use crate::trace::{JobId, ProjectId, RunState, Tally, Timestamp};
use crate::verify::{RunReport, Wanted};

/// Where runs are.
pub(super) const RUNS: &str = "/api/v1/verify/runs";
/// Mismatches read at a time.
const AT_A_TIME: u32 = 500;
/// Who asks a run of this process to stop.
const MYSELF: &str = "veritail verify";

/// Where a run goes on.
pub(super) enum Place {
    Server(Client),
    Stores(Box<Offline>),
}

/// A run, and the document that it was read from.
#[derive(Debug, Deserialize)]
pub(super) struct Run {
    pub(super) id: i64,
    pub(super) scope: String,
    pub(super) state: RunState,
    pub(super) tally: Tally,
    pub(super) expected: Option<u64>,
    pub(super) started_at: String,
    pub(super) ended_at: Option<String>,
    pub(super) message: Option<String>,
    #[serde(skip)]
    pub(super) document: Value,
}

impl Run {
    pub(super) fn of(document: Value) -> Result<Self, Failed> {
        let run: Self = serde_json::from_value(document.clone())
            .map_err(|error| Failed(format!("something else than a run was answered: {error}")))?;
        Ok(Self { document, ..run })
    }
}

impl Place {
    /// Begins a run.
    pub(super) async fn start(&self, which: &Which) -> Result<Run, Failed> {
        match self {
            Self::Server(client) => {
                let request = client.request(Method::POST, RUNS).json(&which.request());
                Run::of(client.document(request, "such path; is it an older version?").await?)
            }
            Self::Stores(offline) => {
                let wanted = wanted(offline, which).await?;
                let run = offline.verifier.ask(wanted, offline.listing.clone()).await.map_err(Failed::because)?;
                document(&run)
            }
        }
    }

    /// The run as it is now.
    pub(super) async fn run(&self, id: i64) -> Result<Run, Failed> {
        match self {
            Self::Server(client) => Run::of(client.get(&format!("{RUNS}/{id}"), &what(id)).await?),
            Self::Stores(offline) => {
                let run = offline.verifier.node().stores().verifications.run(RunId(id)).await;
                document(&run.map_err(Failed::because)?.ok_or_else(|| Failed(format!("there is no {}", what(id))))?)
            }
        }
    }

    /// Asks the run to stop.
    pub(super) async fn stop(&self, id: i64) -> Result<(), Failed> {
        match self {
            Self::Server(client) => {
                let request = client.request(Method::POST, &format!("{RUNS}/{id}/stop"));
                client.send(request, &what(id)).await?;
            }
            Self::Stores(offline) => {
                let verifications = &offline.verifier.node().stores().verifications;
                verifications.ask_to_stop(RunId(id), MYSELF).await.map_err(Failed::because)?;
            }
        }
        Ok(())
    }

    /// The mismatches of these traces that were seen since the run began, and before it ended.
    pub(super) async fn mismatches(&self, which: &Which, run: &Run) -> Result<Vec<Value>, Failed> {
        if run.tally.differs == 0 {
            return Ok(Vec::new());
        }
        let mut found = match self {
            Self::Server(client) => {
                let mut query = vec![("format", "jsonl".to_owned()), ("seen_since", run.started_at.clone())];
                query.extend(which.job().map(|job| ("job_id", job.to_string())));
                query.extend(which.project.clone().map(|project| ("project", project)));
                exported(client, &query).await?
            }
            Self::Stores(offline) => stored(offline, which, run).await?,
        };
        let ended_at = run.ended_at.as_deref().and_then(moment);
        found.retain(|mismatch| {
            let is_later =
                mismatch["first_seen"].as_str().and_then(moment).zip(ended_at).is_some_and(|(at, end)| at > end);
            !is_later && mismatch["job_id"].as_i64().is_some_and(|job| which.includes(job))
        });
        found.sort_by_key(|mismatch| (mismatch["job_id"].as_i64(), mismatch["chunk_index"].as_i64()));
        Ok(found)
    }

    /// Ends what is under way in this process.
    pub(super) async fn close(self) {
        if let Self::Stores(offline) = self {
            offline.close().await;
        }
    }
}

/// What is asked of this process; it must be there.
async fn wanted(offline: &Offline, which: &Which) -> Result<Wanted, Failed> {
    if let Some(name) = &which.project {
        let found = project(offline, name).await?;
        return Ok(Wanted::Project(found.id, found.path));
    }
    if let Some(since) = which.since {
        return Ok(Wanted::Since(since));
    }
    if which.all {
        return Ok(Wanted::All);
    }
    let jobs: Vec<JobId> = which.jobs.iter().copied().map(JobId).collect();
    for job in &jobs {
        let found = offline.verifier.node().stores().database.job(*job).await.map_err(Failed::because)?;
        found.ok_or_else(|| Failed(format!("there is no job {job}")))?;
    }
    Ok(Wanted::Jobs(jobs))
}

async fn project(offline: &Offline, name: &str) -> Result<ListedProject, Failed> {
    let named = name.parse().map_or_else(|_| ProjectName::Path(name.to_owned()), |id| ProjectName::Id(ProjectId(id)));
    let found = offline.listing.project(&named).await.map_err(Failed::because)?;
    found.ok_or_else(|| Failed(format!("there is no project {name:?}")))
}

async fn exported(client: &Client, query: &[(&str, String)]) -> Result<Vec<Value>, Failed> {
    let encoded = Url::parse_with_params("http://localhost", query).map_err(Failed::because)?;
    let path = format!("/api/v1/mismatches?{}", encoded.query().unwrap_or_default());
    let answer = client.send(client.request(Method::GET, &path), "such list").await?;
    let text = answer.text().await.map_err(|error| Failed(format!("the list of mismatches broke off: {error}")))?;
    text.lines().map(|line| serde_json::from_str(line).map_err(Failed::because)).collect()
}

async fn stored(offline: &Offline, which: &Which, run: &Run) -> Result<Vec<Value>, Failed> {
    let started_at = moment(&run.started_at);
    let project = match &which.project {
        Some(name) => Some(project(offline, name).await?.id),
        None => None,
    };
    let mut filter = MismatchFilter {
        job: which.job().map(JobId),
        project,
        seen_since: started_at,
        limit: AT_A_TIME,
        ..MismatchFilter::default()
    };
    let mut all = Vec::new();
    loop {
        let found = offline.verifier.node().stores().database.mismatches(filter).await.map_err(Failed::because)?;
        let Some(last) = found.last() else { return Ok(all) };
        filter.after = last.id;
        for mismatch in &found {
            all.push(serde_json::to_value(MismatchReport::from(mismatch)).map_err(Failed::because)?);
        }
    }
}

/// A moment out of a document.
fn moment(text: &str) -> Option<Timestamp> {
    let at: jiff::Timestamp = text.parse().ok()?;
    Some(Timestamp(at.as_millisecond()))
}

fn document(run: &crate::store::database::verifications::Run) -> Result<Run, Failed> {
    Run::of(serde_json::to_value(RunReport::from(run)).map_err(Failed::because)?)
}

fn what(id: i64) -> String {
    format!("run {id}")
}
