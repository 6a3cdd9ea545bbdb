//! Evaluate: prove a closing trace, ask for what is missing, or close it as what it is.
//!
//! In this order: what is plainly missing is asked for while its runner waits; the last chunk is sealed; all records are
//! written; every chunk is migrated and read back; then the whole is held against the claim. Each step can be repeated by
//! anybody after a crash. What the whole is worth is decided by [`Whole::finding`].

use futures::channel::oneshot;
use futures::{StreamExt, stream};

use crate::store::Result;
use crate::store::StoreError;
use crate::store::database::Job;
use crate::store::live::{Entry, Outcome};
use crate::telemetry::metrics::{RewindCause, Stage};
use crate::trace::proof::{Finding, Whole};
use crate::trace::{
    ByteSize, ChunkIndex, ChunkState, Claim, Detector, JobId, Offset, OpenEnd, Origin, TraceState, Verdict,
};

use super::migrate::Migrated;
use super::reconcile::{Agreed, Reconciled};
use super::{Pipeline, points};

/// How an evaluation ended.
#[derive(Clone, Debug)]
pub(super) enum Evaluated {
    /// The trace is closed.
    Over(Box<Job>),
    /// The runner was asked for bytes again: the write position is where they begin, in both stores.
    Asked,
    /// Nothing can be decided now: bytes are missing and the runner may still come for them.
    Waits,
    /// There is no such job.
    Unknown,
}

/// One step forward.
pub(super) enum Step {
    /// The evaluation is over.
    End(Evaluated),
    /// Look at everything again; `true`: live bytes were seen to be lost or wrong.
    Again(bool),
}

/// A runner that waits for the evaluation's outcome, and can be asked to send bytes again.
pub(super) type Asker<'a> = Option<&'a oneshot::Sender<Evaluated>>;

/// Rounds before an evaluation gives up for now: each is a step made, or a race lost.
const ROUNDS: u32 = 24;

impl Pipeline {
    /// Moves a closing trace as far as it goes. Without an asker nothing is asked for.
    pub(super) async fn evaluate(&self, job: JobId, asker: Asker<'_>) -> Result<Evaluated> {
        let mut suspect = false;
        for _ in 0..ROUNDS {
            let agreed = match self.reconcile(job, suspect, Detector::Finalize).await? {
                Reconciled::Unknown => return Ok(Evaluated::Unknown),
                Reconciled::Over(job) => return Ok(Evaluated::Over(job)),
                Reconciled::Live(agreed) => *agreed,
            };
            if agreed.job.state != TraceState::Closing {
                return Ok(Evaluated::Waits);
            }
            let once = self.evaluate_once(agreed, asker);
            match self.stage_of_trace(Stage::Evaluate, job, once).await? {
                Step::End(evaluated) => return Ok(evaluated),
                Step::Again(again) => suspect = again,
            }
        }
        Err(StoreError::unavailable("pipeline", format!("job {job}: its trace keeps changing; try again")))
    }

    async fn evaluate_once(&self, agreed: Agreed, asker: Asker<'_>) -> Result<Step> {
        let job = &agreed.job;
        let asker = asker.filter(|asker| self.can_ask(job) && !asker.is_canceled());
        let claim = job.ending.as_ref().and_then(|ending| ending.claim);
        let required = Whole::required(self.acknowledged(job), claim.as_ref());
        let lost = agreed.rows.iter().any(|row| row.is_lost() && !came_again(&agreed.end, row.index));
        if asker.is_some() && lost {
            return self.ask_for_holes(job).await;
        }
        let takes_more =
            agreed.end.tail.midstate.is_some() && !agreed.end.sealed.contains_key(&agreed.end.tail.chunk.index);
        if takes_more && agreed.end.length() < required {
            // A short tail is not sealed while its runner may still come with the rest.
            match asker {
                Some(_) => return self.ask_for_the_rest(job).await,
                None if self.may_still_ask(job) => return Ok(Step::End(Evaluated::Waits)),
                None => {}
            }
        }
        if let Some(again) = self.seal(&agreed).await? {
            return Ok(again);
        }
        self.point(points::SEALED).await;
        if self.record_all(job.id, &agreed.end, &[]).await?.is_none() {
            return Ok(Step::Again(false));
        }
        self.point(points::ALL_RECORDED).await;
        if let Some(again) = self.migrate_all(job.id).await? {
            return Ok(again);
        }
        self.weigh(agreed.job, asker).await
    }

    /// Seals the last chunk in the live store. `None` if that is done already.
    async fn seal(&self, agreed: &Agreed) -> Result<Option<Step>> {
        let tail = agreed.end.tail.chunk.index;
        if agreed.rows.iter().any(|row| row.index == tail && row.record().is_some()) {
            return Ok(None);
        }
        let Ok(sealed) = agreed.end.seal_tail() else { return Ok(Some(Step::Again(true))) };
        let Some(sealed) = sealed else { return Ok(None) };
        let expected = Some(agreed.trace.raw.clone());
        let live = &self.stores().live;
        match live.replace(agreed.job.id, expected, &Entry::Live(sealed), agreed.trace.status, None).await? {
            Outcome::Stored { .. } | Outcome::Refused(_) => Ok(Some(Step::Again(false))),
        }
    }

    /// Migrates every chunk that is sealed. `None` if all of them are persistent now.
    async fn migrate_all(&self, job: JobId) -> Result<Option<Step>> {
        let rows = self.all_rows(job).await?;
        let sealed = rows.into_iter().filter(|row| matches!(row.state, ChunkState::Sealed { .. }));
        let migrated: Vec<Result<Migrated>> = stream::iter(sealed.map(|row| row.index))
            .map(|index| self.migrate(job, index))
            .buffer_unordered(self.settings().migrate_workers)
            .collect()
            .await;
        let migrated = migrated.into_iter().collect::<Result<Vec<Migrated>>>()?;
        if migrated.contains(&Migrated::Lost) {
            Ok(Some(Step::Again(true)))
        } else if migrated.contains(&Migrated::Moved) {
            Ok(Some(Step::Again(false)))
        } else {
            Ok(None)
        }
    }

    /// Holds the whole against the claim, and acts on the finding.
    async fn weigh(&self, evaluated: Job, asker: Asker<'_>) -> Result<Step> {
        // Migrating may have taken long: what was acknowledged meanwhile, on any node, counts too.
        let now = self.stores().database.job(evaluated.id).await?;
        let same = |now: &Job| now.epoch == evaluated.epoch && now.state == TraceState::Closing;
        let Some(job) = now.filter(same) else { return Ok(Step::Again(false)) };
        let job = &job;
        let rows = self.all_rows(job.id).await?;
        if rows.iter().any(|row| matches!(row.state, ChunkState::Sealed { .. })) {
            return Ok(Step::Again(false));
        }
        let gaps = self.gaps(job.id).await?;
        let stay_open = self.note_healed(job, &rows, &gaps, false).await?;
        let Some(bad) = self.recheck(job, &rows).await? else { return Ok(Step::Again(false)) };
        if !bad.is_empty() {
            return match asker {
                Some(_) => self.ask_for_bad_copies(job, bad).await,
                None if self.may_still_ask(job) => Ok(Step::End(Evaluated::Waits)),
                None => self.close(job, &Whole::of(&rows, job.chunk_size), Verdict::Corrupt).await,
            };
        }
        let whole = Whole::of(&rows, job.chunk_size);
        let claim = job.ending.as_ref().and_then(|ending| ending.claim);
        let acknowledged = self.acknowledged(job);
        let required = Whole::required(acknowledged, claim.as_ref());
        match whole.finding(acknowledged, claim.as_ref()) {
            Finding::Equal => {
                if stay_open || !gaps.is_empty() {
                    self.heal_all(job, &rows, &gaps).await?;
                }
                self.close(job, &whole, Verdict::Verified).await
            }
            Finding::Unclaimed if gaps.is_empty() && !self.misses_known_losses(job, &rows).await? => {
                self.close(job, &whole, Verdict::Unclaimed).await
            }
            Finding::Disagrees if gaps.is_empty() => {
                // Everything is asked for once, and only if there is anything to ask for.
                let nothing_new = job.asked_everything || claims_nothing(claim);
                match asker {
                    Some(_) if !nothing_new => self.ask_for_everything(job, RewindCause::WholeDiffers).await,
                    None if !nothing_new && self.may_still_ask(job) => Ok(Step::End(Evaluated::Waits)),
                    // Bytes that are known to be missing explain it.
                    _ if self.misses_known_losses(job, &rows).await? => self.close(job, &whole, Verdict::Corrupt).await,
                    _ => self.close(job, &whole, Verdict::RunnerDisagrees).await,
                }
            }
            Finding::Missing => match asker {
                Some(_) if whole.holes().is_empty() => self.ask_for_everything(job, RewindCause::LiveLost).await,
                Some(_) => self.ask_for_holes(job).await,
                None if self.may_still_ask(job) => Ok(Step::End(Evaluated::Waits)),
                None => {
                    if !self.note_missing(job, &rows, &whole, required).await? {
                        return Ok(Step::Again(false));
                    }
                    self.close(job, &whole, Verdict::Corrupt).await
                }
            },
            Finding::Unclaimed | Finding::Disagrees => self.close(job, &whole, Verdict::Corrupt).await,
        }
    }

    /// Up to where this job's bytes were acknowledged, as far as the database or this node knows.
    pub(super) fn acknowledged(&self, job: &Job) -> Offset {
        self.contacts.pending(job.id, job.created_at).unwrap_or_default().max(job.acked_length)
    }

    /// Whether the runner of this job can be asked to send bytes again.
    pub(super) fn can_ask(&self, job: &Job) -> bool {
        let claims =
            job.ending.as_ref().is_some_and(|ending| ending.origin == Origin::Runner && ending.claim.is_some());
        claims && job.trace_reset == Some(true) && job.resend_attempts < self.settings().resend_attempts
    }

    /// Whether a runner that could be asked may still come.
    fn may_still_ask(&self, job: &Job) -> bool {
        self.can_ask(job) && !self.is_silent(job, self.settings().resend_window)
    }
}

/// True if the runner says that its log is empty.
fn claims_nothing(claim: Option<Claim>) -> bool {
    claim.and_then(|claim| claim.size).is_some_and(ByteSize::is_zero)
}

/// True for a lost chunk that the open end holds again although no record says so yet: the last chunk, which is recorded
/// only once it is sealed, or one that was sealed a moment ago. Asking for it would move no write position, and would go
/// on until all attempts are used up.
fn came_again(end: &OpenEnd, index: ChunkIndex) -> bool {
    end.sealed.contains_key(&index) || (end.tail.chunk.index == index && !end.tail.size.is_zero())
}
