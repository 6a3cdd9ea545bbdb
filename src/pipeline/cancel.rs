//! Endings that no final PUT brings: cancel, the trace limit, a runner that vanished.
//!
//! Each writes the database first, then the live store; the sweeper repeats the second step. From then on the trace takes
//! the same path as any other, with a verdict of its own.

use crate::store::Result;
use crate::store::database::{Job, Rewind};
use crate::trace::{ChunkRow, Detector, Ending, JobId, JobStatus, Origin, TraceState};

use super::Pipeline;
use super::reconcile::asks;

impl Pipeline {
    /// Cancels a job. Its runner learns it from its next append, and its last lines still count. Answers the job as it is
    /// afterwards; `None` if there is none.
    pub async fn cancel(&self, job: JobId) -> Result<Option<Job>> {
        let Some(canceled) = self.stores().database.cancel(job, self.now()).await? else { return Ok(None) };
        if canceled.status == JobStatus::Canceling {
            self.stores().live.set_status(job, canceled.status).await?;
        }
        Ok(Some(canceled))
    }

    /// The runner says that the job goes on. Answers the job's status; `None` if there is no such job.
    pub async fn still_running(&self, job: JobId, trace_reset: Option<bool>) -> Result<Option<JobStatus>> {
        let Some(known) = self.stores().database.job(job).await? else { return Ok(None) };
        if known.state == TraceState::Erased {
            return Ok(None);
        }
        self.contacts.note(job, known.created_at, known.acked_length, self.now());
        if trace_reset.is_some() && known.trace_reset != trace_reset {
            self.stores().database.set_trace_reset(job, trace_reset == Some(true)).await?;
            self.ask_for_known_holes(job).await?;
        }
        Ok(Some(self.status_for_runner(&known)))
    }

    /// It has just become known that the runner can send again: holes that were found before are asked for at once.
    async fn ask_for_known_holes(&self, id: JobId) -> Result<()> {
        let Some(job) = self.stores().database.job(id).await?.filter(|job| job.state == TraceState::Open) else {
            return Ok(());
        };
        if !asks(&job) || !self.all_rows(id).await?.iter().any(ChunkRow::is_wanted) {
            return Ok(());
        }
        let rewind = Rewind::of(&job, self.now());
        self.stores().database.rewind(id, &rewind).await?;
        self.reconcile(id, false, Detector::Append).await.map(drop)
    }

    /// The status that a runner is told: the final one as soon as somebody else ended the job.
    fn status_for_runner(&self, job: &Job) -> JobStatus {
        match &job.ending {
            Some(ending) if ending.origin != Origin::Runner => ending.status,
            _ => job.status,
        }
    }

    /// Ends a job whose trace passed its limit.
    pub(super) async fn end_by_size(&self, job: JobId) -> Result<()> {
        self.end_without_runner(job, JobStatus::Failed, "trace_size_exceeded", Origin::SizeLimit).await
    }

    /// Ends a running job whose runner has vanished.
    pub async fn give_up(&self, job: JobId) -> Result<()> {
        self.end_without_runner(job, JobStatus::Failed, "stuck_or_timeout_failure", Origin::Vanished).await
    }

    /// Ends a job without a word of its runner.
    pub(super) async fn end_without_runner(
        &self,
        job: JobId,
        status: JobStatus,
        failure_reason: &str,
        origin: Origin,
    ) -> Result<()> {
        let ending =
            Ending { status, failure_reason: Some(failure_reason.to_owned()), exit_code: None, claim: None, origin };
        self.stores().database.end(job, &ending, self.now(), None).await?;
        self.known.forget(&job);
        self.work.evaluate_soon(job);
        Ok(())
    }
}
