//! What a person asks for: certain traces, whole, now.

use std::collections::VecDeque;

use crate::store::Result;
use crate::store::database::verifications::Run;
use crate::trace::DataStore;
use crate::trace::{ChunkIndex, Detector, JobId, Kind, Schedule, Tally};

use super::runs::Running;
use super::{Open, Verifier};

/// Which traces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// These.
    Jobs(Vec<JobId>),
    /// All from this one to the newest.
    From(JobId),
}

/// What one trace came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceChecked {
    /// The job.
    pub job: JobId,
    /// In numbers.
    pub tally: Tally,
    /// What differs, and where; `None` for the chunk: the whole.
    pub differences: Vec<(Option<ChunkIndex>, Kind, DataStore)>,
}

/// Rows fetched at a time.
const PAGE: u32 = 256;

impl Verifier {
    /// Begins a run over these traces and answers at once; the run goes on by itself.
    pub async fn start(&self, scope: Scope, label: String) -> Result<Run> {
        let mut run = self.begin(Schedule::Manual, label, None).await?;
        let (begun, verifier) = (run.run().clone(), self.clone());
        let work = async move {
            let done = verifier.check(scope, &mut run, |_| ()).await;
            if let Err(error) = run.end(done).await {
                tracing::warn!(%error, "a run of the verifier that was asked for failed");
            }
        };
        self.node.seams().spawn.spawn("verify", Box::pin(work));
        Ok(begun)
    }

    /// Looks at these traces one after the other and says of each what it came to, beyond the first problem. A run that
    /// is asked to stop ends without an error.
    pub async fn verify(&self, scope: Scope, label: String, tell: impl FnMut(&TraceChecked) + Send) -> Result<Tally> {
        let mut run = self.begin(Schedule::Manual, label, None).await?;
        let done = self.check(scope, &mut run, tell).await;
        let tally = run.run().tally;
        run.end(done).await?;
        Ok(tally)
    }

    async fn check(&self, scope: Scope, run: &mut Running, mut tell: impl FnMut(&TraceChecked) + Send) -> Result<()> {
        let open = self.open_mismatches().await?;
        let (mut listed, mut next) = match scope {
            Scope::Jobs(jobs) => (VecDeque::from(jobs), None),
            Scope::From(job) => (VecDeque::new(), Some(job)),
        };
        loop {
            let job = match (listed.pop_front(), next) {
                (Some(job), _) => job,
                (None, Some(job)) if job <= self.verifications().newest_job().await? => {
                    next = Some(JobId(job.0 + 1));
                    job
                }
                (None, _) => return Ok(()),
            };
            let Some(checked) = self.check_trace(job, &open, run).await? else { return Ok(()) };
            tell(&checked);
        }
    }

    /// One trace: every recorded chunk, what is live, and the whole. `None`: the run is to stop.
    async fn check_trace(&self, job: JobId, open: &Open, run: &mut Running) -> Result<Option<TraceChecked>> {
        let examiner = self.examiner(Detector::Manual, run.id());
        let mut checked = TraceChecked { job, tally: Tally::default(), differences: Vec::new() };
        let mut from = ChunkIndex(0);
        loop {
            let rows = self.node.stores().database.chunks(job, from, PAGE).await?;
            for row in &rows {
                let examined = self.look(&self.full_budget, (job, row), examiner, open).await?;
                checked.tally += examined.tally;
                let differences = examined.differences.iter().map(|(kind, store)| (Some(row.index), *kind, *store));
                checked.differences.extend(differences);
                if !run.add(examined.tally).await? {
                    return Ok(None);
                }
            }
            match rows.last() {
                Some(last) if rows.len() == PAGE as usize => from = last.index.next(),
                _ => break,
            }
        }
        let live = self.node.examine_unfinished(job, examiner).await?;
        checked.tally += live;
        let mut more = live;
        if checked.differences.is_empty()
            && let Some(kind) = self.node.examine_whole(job, examiner).await?
        {
            checked.differences.push((None, kind, DataStore::Database));
            checked.tally.differs += 1;
            more.differs += 1;
        }
        Ok(run.add(more).await?.then_some(checked))
    }
}
