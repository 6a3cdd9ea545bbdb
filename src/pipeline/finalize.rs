//! Finalize: a runner's final PUT.
//!
//! The claim comes first: one statement stores how the job ended and makes the trace `closing`, which stops appends. From
//! then on the job finishes without the runner. What is left here is to wait a moment for the proof, and to say what
//! came of it. A final PUT never fails: while a store is unwell the answer is "not yet", and the runner polls.

use futures::channel::oneshot;
use tracing::Instrument as _;

use crate::seams::within;
use crate::store::database::Job;
use crate::store::{Result, StoreError};
use crate::telemetry::metrics::{self, Operation};
use crate::trace::{Ending, JobId, JobStatus, Origin, TraceState};

use super::evaluate::Evaluated;
use super::{Pipeline, pace, points};

/// A final PUT, authenticated.
#[derive(Clone, Debug)]
pub struct FinalPut {
    /// The job.
    pub job: JobId,
    /// How it ended, and what its runner claims; the origin is always the runner.
    pub ending: Ending,
    /// Whether the runner can send its log again, if the request says so.
    pub trace_reset: Option<bool>,
}

/// What to answer to a final PUT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finalized {
    /// The job has its final status. With a claim: everything is proven, or what is wrong is written down.
    Done {
        /// The final status.
        status: JobStatus,
    },
    /// Not yet; the runner asks again.
    Proving {
        /// In so many seconds.
        interval: u32,
    },
    /// Bytes are missing or wrong, and the write position is where they begin: the runner sends them again.
    Resend {
        /// In so many seconds.
        interval: u32,
    },
    /// The job ended before, and otherwise.
    Ended {
        /// Its final status.
        status: JobStatus,
    },
    /// There is no such job.
    Gone,
}

impl Pipeline {
    /// Takes a final PUT, and waits at most `finalize_wait` for the proof.
    pub async fn finalize(&self, put: FinalPut) -> Finalized {
        let end = self.stores().database.end(put.job, &put.ending, self.now(), put.trace_reset);
        let ended = within(self.seams().clock.as_ref(), self.settings().finalize_wait, end).await;
        let ended = ended.unwrap_or_else(|| Err(StoreError::unavailable("database", "it does not answer in time")));
        let job = match ended {
            Ok(Some(job)) => job,
            Ok(None) => return Finalized::Gone,
            Err(error) => {
                tracing::warn!(job_id = put.job.0, %error, "job {}: its ending could not be stored yet", put.job);
                return Finalized::Proving { interval: pace::BEHIND };
            }
        };
        self.point(points::CLAIMED).await;
        metrics::operation(Operation::Accepted);
        self.known.forget(&put.job);
        let first = matches!(&job.ending, Some(ending) if ending.same_as(&put.ending));
        match (job.state, &job.ending) {
            (TraceState::Erased, _) => Finalized::Gone,
            (TraceState::Closed | TraceState::Archived, _) => over(&job, &put.ending),
            (_, Some(ending)) if ending.origin != Origin::Runner => Finalized::Ended { status: ending.status },
            // Another final claim came before: the first one stays, and decides.
            _ if !first => self.proving(&job),
            _ => self.wait_for_proof(&job, &put.ending).await,
        }
    }

    async fn wait_for_proof(&self, job: &Job, ending: &Ending) -> Finalized {
        let (asker, answer) = oneshot::channel();
        let (node, id) = (self.clone(), job.id);
        let evaluation = async move { node.evaluate_for(id, asker).await };
        self.seams().spawn.spawn("evaluate", Box::pin(evaluation.in_current_span()));
        let evaluated = within(self.seams().clock.as_ref(), self.settings().finalize_wait, answer).await;
        match evaluated {
            Some(Ok(Evaluated::Unknown)) => Finalized::Gone,
            Some(Ok(Evaluated::Over(closed))) => over(&closed, ending),
            Some(Ok(Evaluated::Asked)) => Finalized::Resend { interval: pace::BEHIND },
            // These clients take anything but 200 for a failure; the trace is proven without them.
            _ if ending.claim.is_none() => Finalized::Done { status: ending.status },
            _ => self.proving(job),
        }
    }

    /// Evaluates on behalf of a final PUT. One evaluation of a job at a time on this node: a second one waits, and then
    /// finds everything done.
    async fn evaluate_for(&self, job: JobId, asker: oneshot::Sender<Evaluated>) {
        let _under_way = self.work.begin();
        let _one = self.evaluating.lock(&job).await;
        if asker.is_canceled() {
            return;
        }
        match self.evaluate(job, Some(&asker)).await {
            Ok(evaluated) => {
                let _ = asker.send(evaluated);
            }
            Err(error) => {
                tracing::warn!(job_id = job.0, %error, "job {job}: not proven yet");
            }
        }
    }

    /// Evaluates without a runner that waits: for the sweeper, and for endings that no runner brought.
    pub(super) async fn evaluate_alone(&self, job: JobId) -> Result<Evaluated> {
        let _one = self.evaluating.lock(&job).await;
        self.evaluate(job, None).await
    }

    fn proving(&self, job: &Job) -> Finalized {
        let now = self.now();
        Finalized::Proving { interval: pace::while_proving(job.ended_at.unwrap_or(now), now) }
    }
}

/// The answer for a job that is over: the same final PUT again is fine, its first answer may have been lost.
fn over(job: &Job, ending: &Ending) -> Finalized {
    match &job.ending {
        Some(first) if first.same_as(ending) => Finalized::Done { status: job.status },
        _ => Finalized::Ended { status: job.status },
    }
}
