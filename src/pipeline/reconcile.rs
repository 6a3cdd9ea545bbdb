//! Reconcile: bring the open end in the live store in line with the database.
//!
//! The database is read first, then the live store, so that rows are never newer than the open end they are compared
//! with. Where the two contradict each other, `trace::plan` says what the open end has to be:
//!
//! 1. An epoch that the database has and the live store does not was raised by a node that did not get further: *that*
//!    epoch is installed. Helping, not outbidding, is what makes nodes that disagree come to an end.
//! 2. Only an epoch that was installed and is lost or behind, or a new loss, raises the epoch: first in the database, with
//!    the chunks that are lost, then in the live store.
//!
//! A crash between the two leaves case 1 to the next node. Nothing is deleted: what was there keeps its name.

use std::collections::{BTreeMap, BTreeSet};

use crate::store::database::{Job, Lost, Rewind};
use crate::store::live::{Entry, LiveTrace, Outcome, Tombstone};
use crate::store::{Result, StoreError};
use crate::telemetry::metrics::{self, LossReason};
use crate::trace::plan::{Evidence, contradicts, is_far_beyond, misplaced, plan, promises};
use crate::trace::{ChunkId, ChunkIndex, ChunkRow, Detector, Epoch, JobId, Look, OpenEnd, Phase, Record, TraceState};

use super::loss::BadCopy;
use super::{Pipeline, points};

/// A trace on which both stores agree.
pub(super) enum Reconciled {
    /// It takes appends or is closing.
    Live(Box<Agreed>),
    /// It is closed, archived or erased.
    Over(Box<Job>),
    /// There is no such job.
    Unknown,
}

/// The job, its rows and its open end, all of one epoch.
pub(super) struct Agreed {
    pub(super) job: Job,
    pub(super) rows: Vec<ChunkRow>,
    pub(super) trace: LiveTrace,
    pub(super) end: OpenEnd,
}

/// A look at a live copy without its bytes: a job may have many, and all are looked at before anything is decided.
struct Seen {
    look: Look,
    /// What was there instead.
    found: Option<Record>,
}

/// Rounds before a reconciliation gives up for now: each is a race lost to somebody who got further.
const ROUNDS: u32 = 16;
/// Rows fetched at a time.
const PAGE: u32 = 512;
/// How long a closed trace's tombstone stays: longer than any node can be stalled.
const TOMBSTONE_STAYS: std::time::Duration = std::time::Duration::from_secs(24 * 3600);

impl Pipeline {
    /// Brings the stores in line. `suspect`: live bytes were seen to be lost or wrong, so every copy is looked at.
    pub(super) async fn reconcile(&self, job: JobId, mut suspect: bool, detector: Detector) -> Result<Reconciled> {
        for _ in 0..ROUNDS {
            match self.reconcile_once(job, suspect, detector).await? {
                Round::Done(done) => return Ok(done),
                Round::LookAgain => {}
                Round::Raised => suspect = false,
            }
        }
        Err(StoreError::unavailable("pipeline", format!("job {job}: other nodes keep changing the trace; try again")))
    }

    async fn reconcile_once(&self, id: JobId, suspect: bool, detector: Detector) -> Result<Round> {
        let Some(job) = self.stores().database.job(id).await? else { return Ok(Round::Done(Reconciled::Unknown)) };
        if !matches!(job.state, TraceState::Open | TraceState::Closing) {
            self.bury(&job).await?;
            return Ok(Round::Done(Reconciled::Over(Box::new(job))));
        }
        let rows = self.all_rows(id).await?;
        if let Some(row) = misplaced(&rows, job.chunk_size, self.acknowledged(&job)) {
            if self.note_misplaced(&job, row, detector.into()).await? == Look::Moved {
                return Ok(Round::LookAgain);
            }
            let index = row.index;
            let what =
                format!("job {id}: chunk {index} lies far beyond the end; the number of its row must have changed");
            return Err(StoreError::unreadable("database", what));
        }
        let live = self.stores().live.load(id).await?;
        // The open end of another job that had this number is worth nothing, and neither are its bytes.
        let end = match &live {
            Some(trace) => self.end_of(&job, &trace.entry).await?,
            None => None,
        };
        if let (Some(trace), Some(end)) = (&live, &end)
            && end.epoch == job.epoch
            && !suspect
            && end.is_readable()
            && !contradicts(&rows, end)
        {
            return self.align(job, rows, trace.clone(), end.clone()).await;
        }
        self.replan(job, rows, live, end, detector).await
    }

    /// Both stores agree but for phase, status, or the note that the epoch was installed.
    async fn align(&self, job: Job, rows: Vec<ChunkRow>, trace: LiveTrace, end: OpenEnd) -> Result<Round> {
        let phase = phase_of(&job);
        if end.phase != phase || trace.status != job.status {
            let entry = Entry::Live(end.in_phase(phase));
            self.stores().live.replace(job.id, Some(trace.raw), &entry, job.status, None).await?;
            return Ok(Round::LookAgain);
        }
        if job.installed_epoch != Some(job.epoch) && !self.stores().database.mark_installed(job.id, job.epoch).await? {
            return Ok(Round::LookAgain);
        }
        Ok(Round::Done(Reconciled::Live(Box::new(Agreed { job, rows, trace, end }))))
    }

    async fn replan(
        &self,
        job: Job,
        rows: Vec<ChunkRow>,
        live: Option<LiveTrace>,
        end: Option<OpenEnd>,
        detector: Detector,
    ) -> Result<Round> {
        let looks = self.look_at_promises(&job, &rows, end.as_ref()).await?;
        let taken = self.taken_names(job.id, end.as_ref()).await?;
        if let (Some(trace), Some(end)) = (&live, &end)
            && end.epoch == job.epoch
            && end.is_readable()
            && !contradicts(&rows, end)
            && taken.is_empty()
            && looks.values().all(|seen| seen.look == Look::Sound)
        {
            // A false alarm: everything is as promised.
            return self.align(job, rows, trace.clone(), end.clone()).await;
        }
        let intact = looks.iter().filter(|(_, look)| look.look == Look::Sound).map(|(chunk, _)| *chunk).collect();
        let live_epoch = live.as_ref().map(|trace| trace.entry.epoch());
        // Installed and lost, behind, contradicted or found damaged; or beyond what the database knows.
        let raise = job.installed_epoch == Some(job.epoch) || live_epoch.is_some_and(|epoch| epoch >= job.epoch);
        let epoch = if raise { job.epoch.max(live_epoch.unwrap_or(job.epoch)).next() } else { job.epoch };
        let evidence = Evidence {
            chunk_size: job.chunk_size,
            epoch,
            phase: phase_of(&job),
            rows: &rows,
            live: end.as_ref(),
            intact: &intact,
            taken: &taken,
            ask: asks(&job),
        };
        let plan = plan(&evidence);
        if raise || !plan.lost.is_empty() {
            if !self.note_lost(&job, &rows, &plan.lost, &looks, detector).await? {
                return Ok(Round::LookAgain);
            }
            let reason = match live.as_ref().map(|trace| &trace.entry) {
                None => LossReason::Restart,
                Some(Entry::Live(end)) if !end.is_of_job_made_at(job.created_at) => LossReason::Foreign,
                Some(_) => LossReason::Short,
            };
            let lost = plan.lost.iter().map(|index| lost(&rows, *index)).collect();
            let reason = if self.is_announced(job.id, &looks).await? { None } else { Some(reason) };
            return self.raise(&job, epoch.max(job.epoch.next()), lost, reason).await;
        }
        self.install(&job, live, plan.end).await
    }

    /// True if all that differs was damaged on purpose: it is nobody's loss.
    async fn is_announced(&self, job: JobId, looks: &BTreeMap<ChunkId, Seen>) -> Result<bool> {
        let bad = looks.iter().filter(|(_, seen)| seen.look != Look::Sound);
        let bad: BTreeSet<ChunkIndex> = bad.map(|(chunk, _)| chunk.index).collect();
        Ok(!bad.is_empty() && bad.is_subset(&self.announced_chunks(job).await?))
    }

    /// Raises the epoch in the database, together with the chunks that are lost. `reason`: why that counts as a loss, if
    /// it does.
    async fn raise(&self, job: &Job, to: Epoch, lost: Vec<Lost>, reason: Option<LossReason>) -> Result<Round> {
        let lost_chunks = lost.len();
        let rewind = Rewind { to, lost, ..Rewind::of(job, self.now()) };
        if !self.stores().database.rewind(job.id, &rewind).await? {
            return Ok(Round::LookAgain);
        }
        if let Some(reason) = reason {
            metrics::live_lost(reason);
        }
        tracing::warn!(
            job_id = job.id.0,
            from_epoch = job.epoch.0,
            to_epoch = to.0,
            lost_chunks,
            "job {}: the live store and the database disagreed; epoch raised, {lost_chunks} chunks are lost",
            job.id
        );
        self.point(points::RAISED).await;
        Ok(Round::Raised)
    }

    /// Installs the plan of the database's epoch in place of exactly what was seen.
    pub(super) async fn install(&self, job: &Job, live: Option<LiveTrace>, end: OpenEnd) -> Result<Round> {
        let expected = live.map(|trace| trace.raw);
        let entry = Entry::Live(OpenEnd { made_at: Some(job.created_at), ..end });
        let installed = self.stores().live.replace(job.id, expected, &entry, job.status, None).await?;
        if matches!(installed, Outcome::Stored { .. }) {
            self.point(points::INSTALLED).await;
        }
        // The next round sees it in place, marks it as installed, and returns it.
        Ok(Round::LookAgain)
    }

    /// Writes down the recorded chunks that are lost. False if one of them changed meanwhile: then nothing is believed.
    async fn note_lost(
        &self,
        job: &Job,
        rows: &[ChunkRow],
        lost: &[ChunkIndex],
        looks: &BTreeMap<ChunkId, Seen>,
        detector: Detector,
    ) -> Result<bool> {
        for row in rows.iter().filter(|row| lost.contains(&row.index)) {
            let (Some(record), Some(seen)) = (row.record(), looks.get(&row.id())) else { continue };
            let Look::Differs(kind) = seen.look else { return Ok(false) };
            let label = (kind, self.stores().live.name(), detector.into());
            let seen = BadCopy { found: seen.found, ..BadCopy::default() };
            if self.note_difference(job, row, record, label, seen).await? == Look::Moved {
                return Ok(false);
            }
        }
        Ok(true)
    }

    async fn look_at_promises(
        &self,
        job: &Job,
        rows: &[ChunkRow],
        end: Option<&OpenEnd>,
    ) -> Result<BTreeMap<ChunkId, Seen>> {
        let mut looks = BTreeMap::new();
        for (chunk, record) in promises(rows, end) {
            let looked = self.look_live(job.id, chunk, &record).await.reached()?;
            let found = match looked.look {
                Look::Sound => None,
                _ => looked.bytes.as_deref().map(Record::of),
            };
            looks.insert(chunk, Seen { look: looked.look, found });
        }
        Ok(looks)
    }

    /// Copies under names that an open end would give to its next bytes although it promises nothing of them: left by an
    /// append whose entry was lost. Such a name is never used again.
    async fn taken_names(&self, job: JobId, end: Option<&OpenEnd>) -> Result<BTreeSet<ChunkId>> {
        let heads = end.map(|end| [Some(&end.tail), end.fill.as_ref()]).into_iter().flatten().flatten();
        let empty: Vec<_> = heads.filter(|head| head.size.is_zero()).map(|head| (job, head.chunk)).collect();
        if empty.is_empty() {
            return Ok(BTreeSet::new());
        }
        let taken = self.stores().live.present(&empty).await?;
        Ok(taken.into_iter().map(|(_, chunk)| chunk).collect())
    }

    /// The open end in an entry, if it is this job's and where it can be.
    pub(super) async fn end_of(&self, job: &Job, entry: &Entry) -> Result<Option<OpenEnd>> {
        match entry {
            Entry::Live(end) if !end.is_of_job_made_at(job.created_at) => Ok(None),
            Entry::Live(end) if self.is_misplaced(job, end.tail.chunk.index).await? => Ok(None),
            Entry::Live(end) => Ok(Some(end.clone())),
            Entry::Tombstone(_) | Entry::Unreadable { .. } => Ok(None),
        }
    }

    /// True for a chunk of an unfinished trace whose number cannot be. The database is asked only about one that is far beyond.
    pub(super) async fn is_misplaced(&self, job: &Job, index: ChunkIndex) -> Result<bool> {
        if !self.is_far_beyond(job, index) {
            return Ok(false);
        }
        let before = ChunkIndex(index.0.saturating_sub(1));
        Ok(self.stores().database.chunk(job.id, before).await?.is_none())
    }

    /// True for a chunk of an unfinished trace that lies far beyond what was acknowledged.
    pub(super) fn is_far_beyond(&self, job: &Job, index: ChunkIndex) -> bool {
        job.is_unfinished() && is_far_beyond(index, job.chunk_size, self.acknowledged(job))
    }

    /// All rows of a job, in order.
    pub(super) async fn all_rows(&self, job: JobId) -> Result<Vec<ChunkRow>> {
        let mut rows: Vec<ChunkRow> = Vec::new();
        loop {
            let from = rows.last().map_or(Some(ChunkIndex(0)), |row| row.index.checked_next());
            let Some(from) = from else { return Ok(rows) };
            let page = self.stores().database.chunks(job, from, PAGE).await?;
            let last = page.len() < PAGE as usize;
            rows.extend(page);
            if last {
                return Ok(rows);
            }
        }
    }

    /// Puts a tombstone in place of a finished trace's open end, also where that was lost.
    pub(super) async fn bury(&self, job: &Job) -> Result<()> {
        self.known.forget(&job.id);
        for _ in 0..ROUNDS {
            let live = self.stores().live.load(job.id).await?;
            if live.as_ref().is_some_and(|trace| matches!(trace.entry, Entry::Tombstone(_))) {
                return Ok(());
            }
            let tombstone = Entry::Tombstone(Tombstone { epoch: job.epoch, ended: job.status });
            let expected = live.map(|trace| trace.raw);
            let buried =
                self.stores().live.replace(job.id, expected, &tombstone, job.status, Some(TOMBSTONE_STAYS)).await?;
            if matches!(buried, Outcome::Stored { .. }) {
                self.point(points::BURIED).await;
                return Ok(());
            }
        }
        Err(StoreError::unavailable("pipeline", format!("job {}: the finished trace keeps changing", job.id)))
    }
}

/// How one round ended.
pub(super) enum Round {
    Done(Reconciled),
    /// Somebody was first, or a step was made: read everything again.
    LookAgain,
    /// The epoch is raised: what was suspected is written down.
    Raised,
}

/// A chunk that is lost, with the row that it was measured against.
fn lost(rows: &[ChunkRow], index: ChunkIndex) -> Lost {
    Lost { index, version: rows.iter().find(|row| row.index == index).map(|row| row.version) }
}

fn phase_of(job: &Job) -> Phase {
    if job.state == TraceState::Closing { Phase::Closing } else { Phase::Open }
}

/// Whether the runner is asked to fill holes: from the moment it is known that it can.
pub(super) fn asks(job: &Job) -> bool {
    job.trace_reset == Some(true)
}
