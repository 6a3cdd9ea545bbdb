//! Append: a runner's PATCH, stored slice by slice.
//!
//! Each slice is one atomic step of the live store, and lies within one chunk, so that the row of a chunk is there before
//! its first byte. The record of a full chunk is written beside the appends to the next one, whose row is there already,
//! and before the first byte of the one behind that. What got in is real: a later slice that fails takes nothing back. In
//! the steady state an append is one trip to the live store and no statement.

use std::sync::Arc;

use bytes::Bytes;
use futures::Stream;
use futures::future::BoxFuture;
use tokio::sync::{oneshot, watch};
use tracing::Instrument as _;

use crate::store::database::{Lost, Rewind, RowOpened};
use crate::store::live::{Append, Entry, Outcome};
use crate::store::{Result, StoreError};
use crate::telemetry::metrics::{self, Operation, Stage};
use crate::trace::open_end::{CannotAppend, Step};
use crate::trace::{
    ByteSize, ChunkId, ChunkIndex, Detector, Epoch, JobId, JobStatus, Offset, OpenEnd, Origin, Phase, Record,
    Timestamp, TraceState, Version,
};

use super::known::{After, Known, Recording, after};
use super::reconcile::{Agreed, Reconciled, asks};
use super::slices::{BodyBroken, Slices};
use super::{Pipeline, pace, points};

/// A PATCH, authenticated.
#[derive(Clone, Copy, Debug)]
pub struct AppendRequest {
    /// The job.
    pub job: JobId,
    /// When it was made: what the live store has of another job with this number is not its trace.
    pub made_at: Timestamp,
    /// The longest trace accepted; 0 = no limit.
    pub trace_limit: ByteSize,
    /// Where the body begins, by the client.
    pub start: Offset,
    /// The body's size, where the client declared it.
    pub declared: Option<ByteSize>,
}

/// How an append ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Appended {
    /// All of it is stored.
    Accepted {
        /// The next offset.
        length: Offset,
        /// The job's status.
        status: JobStatus,
        /// Seconds until the next patch is wanted.
        interval: u32,
    },
    /// The write position is elsewhere: before the body's start, after it, or a hole ended inside the body.
    Elsewhere {
        /// The write position.
        position: Offset,
    },
    /// The final PUT has been made: nothing is taken any more.
    Closing {
        /// The stored length, never more than the runner claims to have.
        length: Offset,
    },
    /// The job is over.
    Ended {
        /// Its final status.
        status: JobStatus,
    },
    /// The trace would pass its limit; the job fails.
    TooLarge,
    /// The body ended early.
    Broken {
        /// What is stored.
        stored: Offset,
    },
    /// There is no such job.
    Gone,
}

/// Rounds in which an append gives way to somebody else before it gives up for now.
const ROUNDS: u32 = 8;

/// An append under way.
struct Progress {
    request: AppendRequest,
    at: Offset,
    known: Known,
    status: JobStatus,
    watched_until: Timestamp,
}

/// Either go on with an open trace, or this is the answer.
type OrAnswer<T> = std::result::Result<T, Appended>;

impl Pipeline {
    /// Stores the body at `request.start`, if that is the write position.
    ///
    /// Fails when a store is away or full and nothing of this request is stored; the runner then comes back with the same
    /// body. Comparing START makes that safe, on any node.
    pub async fn append(
        &self,
        request: AppendRequest,
        body: impl Stream<Item = std::result::Result<Bytes, BodyBroken>> + Send + Unpin,
    ) -> Result<Appended> {
        if over_limit(&request, request.start, request.declared.unwrap_or_default()) {
            return Box::pin(self.exceed_limit(&request)).await;
        }
        let behind = self.known.get(&request.job).and_then(|known| known.behind);
        if request.declared == Some(ByteSize::ZERO) {
            // There will be no script that could refuse what this node remembers.
            self.known.forget(&request.job);
        }
        if self.contacts.too_far_behind(self.now(), self.settings().database_patience) {
            return Err(StoreError::unavailable("database", "acknowledged lengths cannot be written down"));
        }
        let mut progress = match self.at_write_position(request).await? {
            Ok(known) => Progress {
                request,
                at: request.start,
                status: known.status,
                watched_until: known.watched_until,
                known: Known { behind: known.behind.or(behind), ..known },
            },
            Err(answer) => return Ok(answer),
        };
        progress.known.settle_if_written();
        let answer = self.take_slices(&mut progress, &mut Slices::new(body)).await;
        if progress.at > request.start {
            self.contacts.note(request.job, request.made_at, progress.at, self.now());
            metrics::appended(progress.at - request.start);
        }
        if matches!(answer, Err(_) | Ok(Appended::Broken { .. })) {
            self.known.forget(&request.job);
        }
        match answer {
            // Something is stored already: the runner learns how much instead of an error.
            Err(error) if progress.at > request.start => {
                tracing::warn!(job_id = request.job.0, %error, "job {}: an append ended early", request.job);
                Ok(Appended::Elsewhere { position: progress.at })
            }
            answer => answer,
        }
    }

    async fn take_slices(
        &self,
        progress: &mut Progress,
        body: &mut Slices<impl Stream<Item = std::result::Result<Bytes, BodyBroken>> + Send + Unpin>,
    ) -> Result<Appended> {
        let request = progress.request;
        loop {
            let slice = match body.next(progress.known.end.room()).await {
                Ok(Some(slice)) => slice,
                Ok(None) => break,
                Err(BodyBroken) => return Ok(Appended::Broken { stored: progress.at }),
            };
            if over_limit(&request, progress.at, ByteSize::of(&slice)) {
                return Box::pin(self.exceed_limit(&request)).await;
            }
            if progress.known.end.write_position() != progress.at {
                // A hole ended inside the body.
                return Ok(Appended::Elsewhere { position: progress.known.end.write_position() });
            }
            let (job, chunk) = (request.job, progress.known.end.head().chunk.index);
            if let Err(answer) = self.stage(Stage::Append, job, chunk, self.store_slice(progress, slice)).await? {
                return Ok(answer);
            }
        }
        if !progress.known.confirmed && progress.at == request.start {
            // An empty body on a node that never saw the trace: the status must be the database's.
            if let Err(answer) = self.confirm(&mut progress.known, request.job).await? {
                return Ok(answer);
            }
        }
        if progress.at == request.start {
            self.contacts.note(request.job, request.made_at, progress.at, self.now());
        }
        let known = &mut progress.known;
        known.behind = known.behind.filter(|goal| progress.at < *goal);
        let interval =
            pace::after_append(self.now(), progress.watched_until, progress.at - request.start, known.behind.is_some());
        self.known.put(request.job, Arc::new(known.clone()));
        Ok(Appended::Accepted { length: progress.at, status: progress.status, interval })
    }

    /// Stores one slice, giving way to others as often as that makes sense.
    async fn store_slice(&self, progress: &mut Progress, slice: Bytes) -> Result<OrAnswer<()>> {
        let job = progress.request.job;
        for _ in 0..ROUNDS {
            if progress.known.end.write_position() != progress.at
                || progress.known.end.room() < ByteSize::of(&slice)
                || progress.known.end.phase == Phase::Closing
            {
                return Ok(Err(self.refuse(progress).await?));
            }
            if !progress.known.has_row()
                && let Err(answer) = Box::pin(self.open_row(progress)).await?
            {
                return Ok(Err(answer));
            }
            if progress.known.end.write_position() != progress.at {
                continue;
            }
            let step = match progress.known.end.append(&slice) {
                Ok(step) => self.leave_out_recorded(&progress.known, step),
                Err(CannotAppend::Complete) => return Ok(Err(self.refuse(progress).await?)),
                Err(CannotAppend::UnreadableMidstate(_)) => {
                    // The plan drops what cannot be gone on from; the runner begins the chunk again.
                    if let Err(answer) = self.look_again(progress, true).await? {
                        return Ok(Err(answer));
                    }
                    continue;
                }
            };
            match self.commit(progress, &slice, step).await? {
                Committed::Stored => return Ok(Ok(())),
                Committed::Answer(answer) => return Ok(Err(answer)),
                Committed::Again => {}
            }
        }
        Err(StoreError::unavailable("pipeline", format!("job {job}: other nodes keep changing the trace; try again")))
    }

    /// One attempt to store a slice together with the open end that follows it.
    async fn commit(&self, progress: &mut Progress, slice: &Bytes, step: Step) -> Result<Committed> {
        let job = progress.request.job;
        let next = Bytes::from(step.next.encode());
        let append = Append {
            epoch: progress.known.end.epoch,
            expected: progress.known.raw.clone(),
            chunk: step.chunk,
            at: step.at,
            bytes: slice.clone(),
            seals: step.seals.is_some(),
            next: next.clone(),
        };
        let outcome = match self.stores().live.append(job, append).await {
            Err(error @ StoreError::Unavailable { .. }) => self.was_it_stored(job, &next, error).await?,
            outcome => outcome?,
        };
        match outcome {
            Outcome::Refused(refusal) => match after(refusal, progress.known.end.epoch) {
                After::Again(found) => {
                    progress.known.refused(found.0, found.1);
                    Ok(Committed::Again)
                }
                After::Reconcile(suspect) => match self.look_again(progress, suspect).await? {
                    Ok(()) => Ok(Committed::Again),
                    Err(answer) => Ok(Committed::Answer(answer)),
                },
            },
            Outcome::Stored { status, watched_until } => {
                (progress.status, progress.watched_until) = (status, watched_until);
                let known = &mut progress.known;
                known.raw = next;
                (known.status, known.watched_until) = (status, watched_until);
                known.end = step.next.clone();
                // What the entry does not have any more need not be left out of it again.
                known.recorded.retain(|index| step.next.sealed.contains_key(index));
                self.point(points::COMMITTED).await;
                // The node reads epoch and state once more before its first acknowledgement.
                if let Err(answer) = self.confirm(&mut progress.known, job).await? {
                    return Ok(Committed::Answer(answer));
                }
                progress.at = progress.at + ByteSize::of(slice);
                if step.seals.is_some() {
                    self.record_sealed(progress, &step).await;
                }
                Ok(Committed::Stored)
            }
        }
    }

    /// An append whose answer got lost: look, before the runner is told that nothing was stored.
    async fn was_it_stored(&self, job: JobId, next: &Bytes, error: StoreError) -> Result<Outcome> {
        match self.stores().live.load(job).await {
            Ok(Some(trace)) if trace.raw == *next => {
                Ok(Outcome::Stored { status: trace.status, watched_until: trace.watched_until })
            }
            _ => Err(error),
        }
    }

    /// Has a full chunk's record written, and the rows of the two chunks behind it made. If that fails the open end still
    /// has the record: the next append or the sweeper writes it.
    async fn record_sealed(&self, progress: &mut Progress, step: &Step) {
        let (job, chunk, epoch) = (progress.request.job, step.chunk, step.next.epoch);
        let Some(record) = step.seals else { return };
        // One after the other, so that no more than two full chunks of a trace are without their records.
        progress.known.settle().await;
        let next = step.next.head().chunk.index;
        if next != chunk.index.next() || step.next.fill.is_some() {
            // A hole was filled: that it is healed is written down before the answer.
            if Box::pin(self.record_or_forget(job, epoch, chunk, &record, None, None)).await {
                progress.known.recorded.push(chunk.index);
            }
            return;
        }
        let (says, taken) = watch::channel(None);
        let (node, under_way) = (self.clone(), self.work.begin());
        let awaited = self.work.migrate_filled_soon(job, chunk, record, self.now());
        let write = async move {
            let taken = node.record_or_forget(job, epoch, chunk, &record, Some(next), Some(awaited)).await;
            // Perhaps nobody waits for it.
            says.send_replace(Some(taken));
            drop(under_way);
        };
        // The span goes on in it: what the runner does not wait for belongs to its request all the same.
        self.seams().spawn.spawn("record", Box::pin(write.in_current_span()));
        let rows = (epoch, next..=next.next());
        progress.known.recording = Some(Box::new(Recording { index: chunk.index, rows, taken }));
    }

    /// Writes a record; true if it was taken.
    async fn record_or_forget(
        &self,
        job: JobId,
        epoch: Epoch,
        chunk: ChunkId,
        record: &Record,
        next: Option<ChunkIndex>,
        awaited: Option<oneshot::Sender<Version>>,
    ) -> bool {
        let index = chunk.index;
        match self.record(job, epoch, chunk, record, next, awaited).await {
            Ok(recorded) if recorded.is_taken() => true,
            Ok(_) => {
                self.known.forget(&job);
                false
            }
            Err(error) => {
                tracing::warn!(job_id = job.0, chunk = index.0, %error, "job {job}: record of chunk {index} not written yet");
                false
            }
        }
    }

    /// Before the first byte of a chunk its row is there, and where that has to be made, every chunk sealed before it is
    /// recorded.
    async fn open_row(&self, progress: &mut Progress) -> Result<OrAnswer<()>> {
        let job = progress.request.job;
        for _ in 0..ROUNDS {
            if !progress.known.has_row() {
                progress.known.settle().await;
            }
            if progress.known.has_row() {
                return Ok(Ok(()));
            }
            let end = &progress.known.end;
            let wanted = (end.epoch, end.head().chunk.index);
            let recorded = self.record_all(job, end, &progress.known.recorded).await?;
            let opened = match recorded {
                Some(recorded) => {
                    progress.known.recorded.extend(recorded);
                    self.stores().database.open_chunk(job, wanted.0, wanted.1, self.now()).await?
                }
                None => RowOpened::Stale,
            };
            match opened {
                RowOpened::Ready => {
                    progress.known.rows = Some((wanted.0, wanted.1..=wanted.1));
                    self.point(points::ROW_INSERTED).await;
                    return Ok(Ok(()));
                }
                RowOpened::Recorded | RowOpened::Stale => {
                    if let Err(answer) = self.look_again(progress, false).await? {
                        return Ok(Err(answer));
                    }
                    if progress.known.end.write_position() != progress.at {
                        return Ok(Ok(()));
                    }
                    if opened == RowOpened::Recorded && !self.reopen_tail(progress).await? {
                        return Ok(Err(Appended::Elsewhere { position: progress.at }));
                    }
                }
            }
        }
        Err(StoreError::unavailable("pipeline", format!("job {job}: its rows keep changing; try again")))
    }

    /// The trace ends in a chunk that was recorded although it is not full, and its runner has more: it is asked for this
    /// chunk once more. False if it cannot be.
    async fn reopen_tail(&self, progress: &mut Progress) -> Result<bool> {
        let id = progress.request.job;
        let index = progress.known.end.head().chunk.index;
        let Some(job) = self.stores().database.job(id).await? else { return Ok(false) };
        let Some(row) = self.stores().database.chunk(id, index).await? else { return Ok(true) };
        if row.record().is_none() {
            return Ok(true);
        }
        if !asks(&job) {
            return Ok(false);
        }
        let rewind = Rewind {
            state: TraceState::Open,
            next_state: TraceState::Open,
            lost: vec![Lost { index, version: Some(row.version) }],
            ..Rewind::of(&job, self.now())
        };
        self.stores().database.rewind(id, &rewind).await?;
        self.look_again(progress, false).await.map(|_| true)
    }

    fn leave_out_recorded(&self, known: &Known, mut step: Step) -> Step {
        step.next.sealed.retain(|index, _| !known.recorded.contains(index));
        step
    }

    /// The trace, if the body begins at its write position; otherwise the answer.
    async fn at_write_position(&self, request: AppendRequest) -> Result<OrAnswer<Known>> {
        let remembered = self.known.get(&request.job).filter(|known| known.end.is_of_job_made_at(request.made_at));
        let known = match remembered {
            Some(known) => Known::clone(&known),
            None => match self.open(request.job, request.made_at).await? {
                Ok(known) => known,
                Err(answer) => return Ok(Err(answer)),
            },
        };
        if at_start(&known.end, request.start) {
            return Ok(Ok(known));
        }
        // What is remembered may be old: the live store has the last word, and the database a floor below it.
        Box::pin(self.agreed_position(request, known)).await
    }

    /// The same by what the stores agree on.
    async fn agreed_position(&self, request: AppendRequest, mut known: Known) -> Result<OrAnswer<Known>> {
        match self.reconciled(request.job, false).await? {
            Ok(agreed) => {
                known.refused(agreed.trace.clone(), agreed.end.clone());
                known.confirmed = true;
                if at_start(&known.end, request.start) {
                    return Ok(Ok(known));
                }
                if agreed.job.state == TraceState::Open && self.take_gap(&agreed, request.start).await? {
                    return self.at_write_position(request).await;
                }
                Ok(Err(self.elsewhere(known, &agreed, request)))
            }
            Err(answer) => Ok(Err(answer)),
        }
    }

    /// The trace as the live store has it, made there if this is its first append.
    async fn open(&self, job: JobId, made_at: Timestamp) -> Result<OrAnswer<Known>> {
        if let Some(trace) = self.stores().live.load(job).await?
            && let Entry::Live(end) = &trace.entry
            && end.phase == Phase::Open
            && end.is_of_job_made_at(made_at)
            && trace.status != JobStatus::Pending
        {
            let end = end.clone();
            return Ok(Ok(Known::new(trace, end, false)));
        }
        Ok(self.reconciled(job, false).await?.map(|agreed| Known::new(agreed.trace, agreed.end, true)))
    }

    /// The 416 for a body that does not begin at the write position.
    fn elsewhere(&self, mut known: Known, agreed: &Agreed, request: AppendRequest) -> Appended {
        let position = agreed.end.write_position();
        if request.start > position {
            known.behind = Some(request.start);
        } else {
            // The runner skips ahead: to it, this number says that everything before is kept.
            self.contacts.note(request.job, request.made_at, position, self.now());
        }
        self.known.put(request.job, Arc::new(known));
        metrics::operation(Operation::Conflict);
        Appended::Elsewhere { position: within_claim(agreed, position) }
    }

    /// The write position is not where the body goes on (any more).
    async fn refuse(&self, progress: &Progress) -> Result<Appended> {
        Ok(match self.reconciled(progress.request.job, false).await? {
            Ok(agreed) => self.elsewhere(progress.known.clone(), &agreed, progress.request),
            Err(answer) => answer,
        })
    }

    /// Brings the stores in line and goes on from there.
    async fn look_again(&self, progress: &mut Progress, suspect: bool) -> Result<OrAnswer<()>> {
        Ok(match self.reconciled(progress.request.job, suspect).await? {
            Ok(agreed) => {
                progress.known.refused(agreed.trace, agreed.end);
                progress.known.confirmed = true;
                Ok(())
            }
            Err(answer) => Err(answer),
        })
    }

    /// Reconciles; an open trace, or the answer for one that takes no appends.
    ///
    /// Boxed, as is whatever else is rare here: every append is moved about with room for the largest of what it may wait for.
    fn reconciled(&self, job: JobId, suspect: bool) -> BoxFuture<'_, Result<OrAnswer<Agreed>>> {
        Box::pin(async move {
            Ok(match self.reconcile(job, suspect, Detector::Append).await? {
                Reconciled::Unknown => Err(Appended::Gone),
                Reconciled::Over(job) if job.state == TraceState::Erased => Err(Appended::Gone),
                Reconciled::Over(job) => Err(Appended::Ended { status: job.status }),
                Reconciled::Live(agreed) => match (agreed.job.state, &agreed.job.ending) {
                    (TraceState::Closing, Some(ending)) if ending.origin != Origin::Runner => {
                        Err(Appended::Ended { status: ending.status })
                    }
                    // No runner has requested it yet.
                    (TraceState::Open, _) if agreed.job.status == JobStatus::Pending => {
                        Err(Appended::Ended { status: JobStatus::Pending })
                    }
                    // It was asked to send again, and its final PUT came once more after that: late, or twice.
                    (TraceState::Closing, _) if self.is_short_of_claim(&agreed) => {
                        self.ask_for_the_rest(&agreed.job).await?;
                        return self.reconciled(job, false).await;
                    }
                    (TraceState::Closing, _) => {
                        Err(Appended::Closing { length: within_claim(&agreed, agreed.end.length()) })
                    }
                    _ => Ok(*agreed),
                },
            })
        })
    }

    /// Reads in the database that the trace is open in the epoch in which this node stored something.
    async fn confirm(&self, known: &mut Known, job: JobId) -> Result<OrAnswer<()>> {
        if known.confirmed {
            return Ok(Ok(()));
        }
        if self.stores().database.mark_installed(job, known.end.epoch).await? {
            known.confirmed = true;
            return Ok(Ok(()));
        }
        self.known.forget(&job);
        Ok(match self.reconciled(job, false).await? {
            Ok(agreed) => Err(Appended::Elsewhere { position: agreed.end.write_position() }),
            Err(answer) => Err(answer),
        })
    }

    /// True if a trace holds less than its runner claims, and the runner may be asked for it.
    fn is_short_of_claim(&self, agreed: &Agreed) -> bool {
        let claimed = agreed.job.ending.as_ref().and_then(|ending| ending.claim).and_then(|claim| claim.size);
        self.can_ask(&agreed.job) && claimed.is_some_and(|size| Offset::ZERO + size > agreed.end.length())
    }

    /// The trace passed its limit: nothing of this body is stored, and the job fails.
    async fn exceed_limit(&self, request: &AppendRequest) -> Result<Appended> {
        Ok(match self.reconciled(request.job, false).await? {
            Ok(_) => {
                self.end_by_size(request.job).await?;
                Appended::TooLarge
            }
            Err(answer) => answer,
        })
    }
}

enum Committed {
    Stored,
    Again,
    Answer(Appended),
}

fn at_start(end: &OpenEnd, start: Offset) -> bool {
    end.phase == Phase::Open && end.write_position() == start
}

/// Never more than the runner has, once it claimed a size: it could not recover from that.
fn within_claim(agreed: &Agreed, position: Offset) -> Offset {
    let claimed = agreed.job.ending.as_ref().and_then(|ending| ending.claim).and_then(|claim| claim.size);
    claimed.map_or(position, |size| position.min(Offset::ZERO + size))
}

fn over_limit(request: &AppendRequest, at: Offset, size: ByteSize) -> bool {
    let limit = request.trace_limit;
    !limit.is_zero() && at.0.checked_add(size.0).is_none_or(|end| end > limit.0)
}
