//! Asking the runner of a finished job for bytes again.
//!
//! The new write position is in the database and in the live store before anybody is told: a 412 whose position has not
//! moved would go on for ever. What is asked for is only what is missing; nothing is deleted.

use crate::store::Result;
use crate::store::database::{Job, Lost, Rewind};
use crate::telemetry::metrics::{self, Operation, RewindCause, RewindResult};
use crate::trace::{Detector, TraceState};

use super::evaluate::{Evaluated, Step};
use super::reconcile::Reconciled;
use super::{Pipeline, points};

impl Pipeline {
    /// The trace is only short: it is opened again where it ends, in the same epoch.
    pub(super) async fn ask_for_the_rest(&self, job: &Job) -> Result<Step> {
        if !self.stores().database.reopen(job.id, job.epoch, self.now()).await? {
            return Ok(Step::Again(false));
        }
        self.point(points::REOPENED).await;
        metrics::rewind(RewindCause::LiveLost, RewindResult::Started);
        self.install_the_asking(job).await
    }

    /// Chunks are lost: the write position moves back to the first of them, in a new epoch.
    pub(super) async fn ask_for_holes(&self, job: &Job) -> Result<Step> {
        self.ask(job, Vec::new(), false, RewindCause::Hole).await
    }

    /// Persistent copies have gone bad before the proof: their chunks are asked for as well.
    pub(super) async fn ask_for_bad_copies(&self, job: &Job, bad: Vec<Lost>) -> Result<Step> {
        self.ask(job, bad, false, RewindCause::Hole).await
    }

    /// Every chunk is as recorded and the whole is not as claimed: everything once more.
    pub(super) async fn ask_for_everything(&self, job: &Job, cause: RewindCause) -> Result<Step> {
        self.ask(job, Vec::new(), true, cause).await
    }

    async fn ask(&self, job: &Job, lost: Vec<Lost>, everything: bool, cause: RewindCause) -> Result<Step> {
        let rewind = Rewind {
            state: TraceState::Closing,
            next_state: TraceState::Open,
            lost,
            everything,
            counts_as_attempt: true,
            ..Rewind::of(job, self.now())
        };
        if !self.stores().database.rewind(job.id, &rewind).await? {
            return Ok(Step::Again(false));
        }
        self.point(points::RAISED).await;
        metrics::rewind(cause, RewindResult::Started);
        self.install_the_asking(job).await
    }

    async fn install_the_asking(&self, job: &Job) -> Result<Step> {
        metrics::operation(Operation::Rewound);
        match self.reconcile(job.id, false, Detector::Finalize).await? {
            Reconciled::Live(agreed) if agreed.job.state == TraceState::Open => {
                tracing::info!(
                    job_id = job.id.0,
                    position = agreed.end.write_position().0,
                    attempt = agreed.job.resend_attempts,
                    "job {}: the runner is asked to send again from {}",
                    job.id,
                    agreed.end.write_position()
                );
                Ok(Step::End(Evaluated::Asked))
            }
            // Somebody else moved it on meanwhile.
            _ => Ok(Step::Again(false)),
        }
    }
}
