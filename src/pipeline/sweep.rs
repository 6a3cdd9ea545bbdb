//! Sweep: whatever must happen and was not finished, found in the database and taken up again.
//!
//! The queue in memory is a shortcut; this is what makes a node's death harmless. Oldest first, in bounded batches, several
//! at a time, and no error is swallowed: each is logged, counted, and does not keep the rest from going on.

use std::collections::BTreeSet;
use std::time::Duration;

use futures::{StreamExt as _, stream};

use crate::seams::within;
use crate::store::database::{Job, Waiting};
use crate::store::{Result, StoreError};
use crate::telemetry::metrics::{self, RewindCause, RewindResult};
use crate::trace::{ChunkIndex, Detector, JobId, JobStatus, Offset, Origin, Timestamp, TraceState};

use super::Pipeline;
use super::migrate::Migrated;

/// What a sweep did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SweepReport {
    /// Jobs looked at.
    pub jobs: u64,
    /// Chunks migrated, or found to be settled.
    pub chunks: u64,
    /// Chunks moved from the database to the object store.
    pub moved: u64,
    /// Live keys of finished jobs that were removed.
    pub removed: u64,
    /// Steps that failed and are left to the next sweep.
    pub errors: u64,
}

impl SweepReport {
    pub(super) fn count<T>(&mut self, what: &'static str, job: JobId, result: Result<T>) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(error) => {
                self.errors += 1;
                tracing::warn!(job_id = job.0, %error, "job {job}: {what} failed, the next sweep tries again");
                None
            }
        }
    }
}

/// Chunks that were tried in this sweep. Those that fail stay first in line; asking for that many more reaches those behind
/// them.
#[derive(Default)]
pub(super) struct Tried(BTreeSet<(JobId, ChunkIndex)>);

impl Tried {
    /// How many to ask for, so that `batch` of them were not tried.
    pub(super) fn ask(&self, batch: u32) -> u32 {
        batch.saturating_add(u32::try_from(self.0.len()).unwrap_or(u32::MAX))
    }

    /// Those that were not tried so far; from now on they were.
    pub(super) fn untried(&mut self, mut found: Vec<Waiting>) -> Vec<Waiting> {
        found.retain(|chunk| self.0.insert((chunk.job, chunk.row.index)));
        found
    }
}

/// Jobs or chunks fetched at a time.
const BATCH: u32 = 100;
/// Chunks looked for in one sweep: 4096 chunks are 512 MiB at the default size.
const CHUNKS_MAX: u64 = 4096;
/// A sealed chunk that its node did not migrate by then is taken up by the sweeper.
pub(super) const SEALED_FOR: Duration = Duration::from_secs(5);
/// Time for the chunks of one sweep, after which the rest is left to the next.
const CHUNKS_FOR: Duration = Duration::from_secs(60);
/// Time for one job or chunk.
const ONE_THING_FOR: Duration = Duration::from_secs(120);
/// Cancels, endings and rewinds of the last minutes are brought to the live store again.
const CHANGED_WITHIN: Duration = Duration::from_secs(300);

impl Pipeline {
    /// One sweep over everything unfinished: first what is cheap and must not wait, last the chunks, which may be many and
    /// their store slow. A pass that fails does not keep the next one from its turn. Fails if one could not ask the
    /// database at all.
    pub async fn sweep(&self) -> Result<SweepReport> {
        let mut report = SweepReport::default();
        let now = self.now();
        let passes = [
            self.write_contacts().await,
            self.sweep_changed(now.before(CHANGED_WITHIN), &mut report).await,
            self.sweep_unfinished(&mut report).await,
            self.settle_drills().await,
            self.sweep_deletions(&mut report).await,
            self.sweep_chunks(now.before(SEALED_FOR), &mut report).await,
            self.sweep_spilled(&mut report).await,
        ];
        passes.into_iter().collect::<Result<Vec<()>>>().map(|_| report)
    }

    /// Sealed chunks that wait for longer than the node that sealed them should need.
    async fn sweep_chunks(&self, until: Timestamp, report: &mut SweepReport) -> Result<()> {
        let mut tried = Tried::default();
        let begun = self.now();
        while report.chunks < CHUNKS_MAX && self.now().since(begun) < CHUNKS_FOR {
            let untried = tried.untried(self.stores().database.waiting(until, tried.ask(BATCH)).await?);
            if untried.is_empty() {
                break;
            }
            report.chunks += untried.len() as u64;
            let work = untried.into_iter().map(|chunk| async move {
                let migrating = self.migrate_or_rewind(chunk.job, chunk.row.index, Detector::Sweep);
                (chunk.job, self.in_time(migrating).await)
            });
            for (job, migrated) in self.side_by_side(work).await {
                report.count("migrating a chunk", job, migrated);
            }
        }
        Ok(())
    }

    /// Migrates a chunk; one whose live copy is lost or wrong goes through the reconciliation, which writes that down.
    pub(super) async fn migrate_or_rewind(&self, job: JobId, index: ChunkIndex, detector: Detector) -> Result<()> {
        if self.migrate(job, index).await? == Migrated::Lost {
            metrics::rewind(RewindCause::LiveDamaged, RewindResult::Started);
            self.reconcile(job, true, detector).await?;
        }
        Ok(())
    }

    async fn sweep_unfinished(&self, report: &mut SweepReport) -> Result<()> {
        let mut after = JobId(0);
        loop {
            let jobs = self.stores().database.unfinished_jobs(after, BATCH).await?;
            let Some(last) = jobs.last() else { return Ok(()) };
            after = last.id;
            report.jobs += jobs.len() as u64;
            let work = jobs.into_iter().map(|job| async move { (job.id, self.in_time(self.sweep_job(&job)).await) });
            for (job, swept) in self.side_by_side(work).await {
                if swept.as_ref().is_err_and(StoreError::is_unreadable) {
                    report.count("naming a row", job, self.name_unreadable(job).await);
                }
                report.count("moving an unfinished job on", job, swept);
            }
        }
    }

    /// Does several of these at a time; what each came to, in the order in which they ended. Nodes do the same things at
    /// the same time anyway, so nothing has to be kept apart.
    pub(super) async fn side_by_side<F: Future>(&self, work: impl Iterator<Item = F>) -> Vec<F::Output> {
        stream::iter(work).buffer_unordered(self.settings().sweep_concurrency.max(1)).collect().await
    }

    /// One thing that hangs must not keep everything else waiting. Given up, it is as if the node had died there.
    pub(super) async fn in_time<T>(&self, work: impl Future<Output = Result<T>> + Send) -> Result<T> {
        let done = within(self.seams().clock.as_ref(), ONE_THING_FOR, work).await;
        done.unwrap_or_else(|| Err(StoreError::unavailable("pipeline", format!("not done within {ONE_THING_FOR:?}"))))
    }

    async fn sweep_job(&self, listed: &Job) -> Result<()> {
        // The list may be old by the time its last job's turn comes.
        let Some(job) = &self.stores().database.job(listed.id).await? else { return Ok(()) };
        let silent = |limit: Duration| self.is_silent(job, limit);
        let settings = self.settings();
        match (job.state, job.status, &job.ending) {
            (TraceState::Closed | TraceState::Archived | TraceState::Erased, ..) => {}
            (TraceState::Closing, _, _) => {
                self.evaluate_alone(job.id).await?;
            }
            // The runner was asked to send again and has not come.
            (_, _, Some(ending)) if silent(settings.resend_window) => {
                self.stores().database.end(job.id, ending, job.last_contact_at, None).await?;
                self.evaluate_alone(job.id).await?;
            }
            (_, JobStatus::Canceling, None) if self.canceled_for_too_long(job) => {
                self.end_without_runner(job.id, JobStatus::Canceled, "job_canceled", Origin::Cancel).await?;
            }
            (_, JobStatus::Running, None) if silent(settings.runner_timeout) => {
                self.give_up(job.id).await?;
            }
            (_, JobStatus::Pending, _) => {}
            _ => self.look_for_losses(job).await?,
        }
        Ok(())
    }

    fn canceled_for_too_long(&self, job: &Job) -> bool {
        let limit = self.settings().cancel_timeout;
        self.now().since(job.changed_at) >= limit && self.is_silent(job, limit)
    }

    /// A live store that holds less than was acknowledged has lost something, whether or not a runner speaks now. One that
    /// takes a canceled job for a running one was not told: whoever canceled it died in between.
    async fn look_for_losses(&self, job: &Job) -> Result<()> {
        if job.acked_length == Offset::ZERO {
            return Ok(());
        }
        let live = self.stores().live.load(job.id).await?;
        if job.status == JobStatus::Canceling && live.as_ref().is_some_and(|trace| trace.status == JobStatus::Running) {
            self.stores().live.set_status(job.id, JobStatus::Canceling).await?;
        }
        let end = match &live {
            Some(trace) => self.end_of(job, &trace.entry).await?,
            None => None,
        };
        let holds = end.filter(|end| end.epoch == job.epoch).map_or(Offset::ZERO, |end| end.length());
        if holds < job.acked_length || job.installed_epoch != Some(job.epoch) {
            self.reconcile(job.id, false, Detector::Sweep).await?;
        }
        Ok(())
    }

    /// Brings what was decided lately to the live store, in case the node that decided it died in between.
    async fn sweep_changed(&self, since: Timestamp, report: &mut SweepReport) -> Result<()> {
        let mut after = JobId(0);
        loop {
            let jobs = self.stores().database.changed_jobs(since, after, BATCH).await?;
            let Some(last) = jobs.last() else { return Ok(()) };
            after = last.id;
            let work = jobs.into_iter().map(|job| async move { (job.id, self.in_time(self.tell_live(&job)).await) });
            for (job, told) in self.side_by_side(work).await {
                report.count("bringing its state to the live store", job, told);
            }
        }
    }

    async fn tell_live(&self, job: &Job) -> Result<()> {
        match job.state {
            TraceState::Closed | TraceState::Archived => {
                self.note_late_acknowledgement(job).await?;
                self.bury(job).await
            }
            TraceState::Erased => self.bury(job).await,
            TraceState::Open | TraceState::Closing if job.installed_epoch.is_some() => {
                self.reconcile(job.id, false, Detector::Sweep).await.map(drop)
            }
            TraceState::Open | TraceState::Closing => Ok(()),
        }
    }
}
