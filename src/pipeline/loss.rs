//! Writing down what is confirmed to be wrong.

use crate::store::Result;
use crate::store::database::verifications::RunId;
use crate::store::database::{Basis, Found, Job, Mismatch, MismatchFilter, NewMismatch, Note, Opened, Resolution};
use crate::telemetry::metrics;
use crate::trace::difference::first_difference;
use crate::trace::proof::persistent_record;
use crate::trace::{
    ByteSize, ChunkIndex, ChunkRow, DataStore, Detector, Epoch, JobId, Kind, Location, Look, Offset, Record, Stored,
    Timestamp, Verdict,
};

use super::Pipeline;

/// What was seen of a copy that is not as recorded.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct BadCopy {
    /// What the copy is; `None` if it is not there or cannot be decoded.
    pub(super) found: Option<Record>,
    /// What lies in the store, of an object.
    pub(super) stored: Option<Stored>,
    /// Where in the chunk it begins to differ from a good copy, if there is one to compare it with.
    pub(super) first_difference: Option<Offset>,
}

impl BadCopy {
    /// Of a copy's bytes, of what lies in its store, and of a good copy's bytes.
    pub(super) fn of(found: Option<&[u8]>, stored: Option<Stored>, good: Option<&[u8]>) -> Self {
        let first_difference = found.zip(good).and_then(|(found, good)| first_difference(found, good));
        Self { found: found.map(Record::of), stored, first_difference }
    }

    /// What was promised, and what was there: of an object also the bytes that lie in the store, for both.
    fn told(&self, row: &ChunkRow, record: &Record) -> (Found, Found) {
        let (expected, found) = (Found::from(record), self.found.as_ref().map(Found::from).unwrap_or_default());
        match (self.stored, row.persistent_copy().map(Location::object)) {
            (Some(stored), Some(written)) => {
                (expected.stored_as(written.size, written.sha256), found.stored_as(stored.size, stored.sha256))
            }
            _ => (expected, found),
        }
    }
}

/// Who found something: its label, and the run of the verifier that it belongs to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Finder {
    pub(super) detector: Detector,
    pub(super) run: Option<RunId>,
}

impl From<Detector> for Finder {
    fn from(detector: Detector) -> Self {
        Self { detector, run: None }
    }
}

impl Pipeline {
    /// Writes down that a chunk's copy differs from its record, if the row is still the one it was measured against;
    /// otherwise the answer is `Moved`. Counted only by whoever is first.
    pub(super) async fn note_difference(
        &self,
        job: &Job,
        row: &ChunkRow,
        record: &Record,
        (kind, store, finder): (Kind, DataStore, Finder),
        seen: BadCopy,
    ) -> Result<Look> {
        if self.is_misplaced(job, row.index).await? {
            return self.note_misplaced(job, row, finder).await;
        }
        let kind = self.precise_kind(job.id, row, kind, seen.found.as_ref()).await;
        let (expected, found) = seen.told(row, record);
        let place = (job.id, Some(row.index), row.epoch);
        let mismatch = NewMismatch {
            expected,
            found,
            first_difference: seen.first_difference,
            ..self.found_now(place, (kind, kind.store(store), finder))
        };
        if self.is_acknowledged(&mismatch).await? {
            return Ok(Look::Differs(kind).confirmed_if(self.is_unchanged(job.id, row).await?));
        }
        let noted = self.note_mismatch(mismatch, Basis::Row(row.version)).await?;
        Ok(Look::Differs(kind).confirmed_if(noted))
    }

    /// Writes down that a row's number cannot be: it is the row that is wrong, whatever the copies under that number are.
    pub(super) async fn note_misplaced(&self, job: &Job, row: &ChunkRow, finder: Finder) -> Result<Look> {
        let place = (job.id, Some(row.index), row.epoch);
        let mismatch = self.found_now(place, (Kind::Record, DataStore::Database, finder));
        let noted = if self.is_acknowledged(&mismatch).await? {
            self.is_unchanged(job.id, row).await?
        } else {
            self.note_mismatch(mismatch, Basis::Row(row.version)).await?
        };
        Ok(Look::Differs(Kind::Record).confirmed_if(noted))
    }

    /// True if the row is still the one that was looked at.
    pub(super) async fn is_unchanged(&self, job: JobId, row: &ChunkRow) -> Result<bool> {
        let now = self.stores().database.chunk(job, row.index).await?;
        Ok(now.is_some_and(|now| now.version == row.version))
    }

    /// Writes down that acknowledged bytes from `from` to `to` are gone that no chunk's record covers. False if the
    /// trace is of another epoch by now, or closed.
    pub(super) async fn note_gap(&self, job: &Job, from: Offset, to: Offset, detector: Detector) -> Result<bool> {
        self.note_gap_on(job, from, to, detector, Basis::Trace(job.epoch)).await
    }

    /// True if a gap at this place was ever written down: one that a person took note of is not opened again.
    async fn was_noted(&self, job: &Job, at: Offset) -> Result<bool> {
        let chunk = Some(job.chunk_size.index_of(at));
        let filter =
            MismatchFilter { job: Some(job.id), chunk, kind: Some(Kind::Gap), limit: 1000, ..Default::default() };
        let known = self.stores().database.mismatches(filter).await?;
        Ok(known.iter().any(|known| known.what.epoch == job.epoch))
    }

    /// True if a person took note of this very difference before: nobody opens it again while nothing changed.
    pub(super) async fn is_acknowledged(&self, new: &NewMismatch) -> Result<bool> {
        let filter = MismatchFilter {
            job: Some(new.job),
            chunk: new.chunk,
            kind: Some(new.kind),
            store: Some(new.store),
            open: Some(false),
            limit: 1000,
            ..Default::default()
        };
        let known = self.stores().database.mismatches(filter).await?;
        Ok(known.iter().any(|known| {
            let what = &known.what;
            let is_same = (what.chunk, what.epoch, &what.found) == (new.chunk, new.epoch, &new.found);
            is_same && matches!(known.resolved, Some((Resolution::Acknowledged, _)))
        }))
    }

    /// True if bytes that were seen to be lost or wrong in the live store are still missing, although no row and no
    /// acknowledgement says so: they were part of the open end, and what came back of their chunk is shorter or nothing.
    pub(super) async fn misses_known_losses(&self, job: &Job, rows: &[ChunkRow]) -> Result<bool> {
        let live = Some(self.stores().live.name());
        let filter = MismatchFilter { job: Some(job.id), store: live, limit: 10_000, ..Default::default() };
        let known = self.stores().database.mismatches(filter).await?;
        Ok(known.iter().any(|known| {
            let is_healed = matches!(known.resolved, Some((Resolution::Resent | Resolution::Repaired, _)));
            let row = rows.iter().find(|row| Some(row.index) == known.what.chunk);
            !is_healed && lost_size(&known.what).is_some() && !row.is_some_and(|row| reaches(row, &known.what))
        }))
    }

    async fn note_gap_on(&self, job: &Job, from: Offset, to: Offset, detector: Detector, basis: Basis) -> Result<bool> {
        let gap = |size: ByteSize| Found { offset: Some(from), size: Some(size), ..Found::default() };
        let place = (job.id, Some(job.chunk_size.index_of(from)), job.epoch);
        let label = (Kind::Gap, self.stores().live.name(), detector.into());
        let (expected, found) = (gap(to - from), gap(ByteSize::ZERO));
        let mismatch = NewMismatch { expected, found, ..self.found_now(place, label) };
        self.note_mismatch(mismatch, basis).await
    }

    /// A node that was paused or cut off may say only after the close how much it had acknowledged. Where nobody claimed
    /// how long the trace is, that is the first time anybody learns that something is missing.
    pub(super) async fn note_late_acknowledgement(&self, closed: &Job) -> Result<()> {
        let end = Offset::ZERO + closed.size.unwrap_or(ByteSize::ZERO);
        let is_short = closed.verdict == Verdict::Unclaimed && closed.acked_length > end;
        if is_short && !self.was_noted(closed, end).await? {
            let basis = Basis::Closed(closed.epoch);
            self.note_gap_on(closed, end, closed.acked_length, Detector::Sweep, basis).await?;
        }
        Ok(())
    }

    /// Writes down what is measured against no row, unless a person took note of it before: bytes that no row speaks for, and rows
    /// that cannot be read.
    pub(super) async fn note_without_row(
        &self,
        place: (JobId, Option<ChunkIndex>, Epoch),
        label: (Kind, DataStore, Finder),
        found: Found,
    ) -> Result<()> {
        let mismatch = NewMismatch { found, ..self.found_now(place, label) };
        if !self.is_acknowledged(&mismatch).await? {
            self.note_mismatch(mismatch, Basis::Nothing).await?;
        }
        Ok(())
    }

    /// A mismatch as this node finds it now. What was promised and what was there is for the finder to add.
    pub(super) fn found_now(
        &self,
        (job, chunk, epoch): (JobId, Option<ChunkIndex>, Epoch),
        (kind, store, finder): (Kind, DataStore, Finder),
    ) -> NewMismatch {
        NewMismatch {
            job,
            chunk,
            epoch,
            kind,
            store,
            detector: finder.detector,
            run: finder.run.map(|run| run.0),
            node: self.name.clone(),
            expected: Found::default(),
            found: Found::default(),
            first_difference: None,
            notify_at: self.notify_at(),
            at: self.now(),
        }
    }

    /// When the webhook is to be told of what is found now, if there is one.
    pub(super) fn notify_at(&self) -> Option<Timestamp> {
        self.settings().notify.then(|| self.now())
    }

    /// Writes a mismatch down. False if what it was measured against has changed.
    pub(super) async fn note_mismatch(&self, mismatch: NewMismatch, basis: Basis) -> Result<bool> {
        let opened = self.stores().database.open_mismatch(&mismatch, basis).await?;
        let NewMismatch { job, chunk, epoch, kind, store, detector, run, node, .. } = &mismatch;
        if let Opened::Announced { mismatch: id, drill, is_new: true } = opened {
            let chunk = chunk.map(|index| index.0);
            tracing::info!(
                mismatch_id = id, drill_id = drill.0, job_id = job.0, chunk, %kind, %store, %detector, run, node,
                "job {job}: {kind} mismatch in {store}, found by {detector}: the damage of drill {drill}"
            );
            if let Err(error) = self.settle_drills().await {
                tracing::warn!(drill_id = drill.0, %error, "drill {drill} could not be ended yet");
            }
        }
        if let Opened::New(id) = opened {
            metrics::mismatch(*kind, *store, *detector);
            // Damage is rare, and its message is worth a look: one that fails says less, and is written all the same.
            let known = self.stores().database.job(*job).await.ok().flatten();
            let project = known.as_ref().map(|known| known.project.0);
            let offset = known.as_ref().and_then(|known| offset_of(&mismatch, known)).map(|offset| offset.0);
            let chunk = chunk.map(|index| index.0);
            let first_difference = mismatch.first_difference.map(|at| at.0);
            tracing::error!(
                mismatch_id = id, project_id = project, job_id = job.0, chunk, offset, epoch = epoch.0, %kind, %store,
                %detector, run, node, expected = %mismatch.expected, found = %mismatch.found, first_difference,
                "job {job}: {kind} mismatch in {store}, found by {detector}"
            );
        }
        Ok(opened != Opened::Moved)
    }

    /// The runner sent a chunk again: what was wrong with it is healed.
    pub(super) async fn note_resent(&self, job: JobId, chunk: ChunkIndex) -> Result<()> {
        self.resolve(job, chunk, Resolution::Resent, "the runner sent the bytes again").await
    }

    /// What this node says when it resolves something by itself.
    pub(super) fn own_note(&self, why: impl Into<String>) -> Note {
        Note { by: format!("veritail node {}", self.name), comment: why.into() }
    }

    /// What was wrong with a chunk is right again; `why` is for people.
    pub(super) async fn resolve(
        &self,
        job: JobId,
        chunk: ChunkIndex,
        resolution: Resolution,
        why: &'static str,
    ) -> Result<()> {
        let (database, note) = (&self.stores().database, self.own_note(why));
        let healed = database.resolve_mismatches(job, Some(chunk), resolution, &note, self.now()).await?;
        if healed > 0 {
            tracing::info!(
                job_id = job.0, chunk = chunk.0, healed, %resolution, by = note.by, comment = why,
                "job {job}: {healed} mismatches of chunk {chunk} are {resolution}: {why}"
            );
            self.tell_of_resolved(job, chunk, healed).await;
        }
        Ok(())
    }

    /// Says of each mismatch of a chunk that was resolved a moment ago what it was. One that cannot be looked up is in the
    /// database all the same.
    async fn tell_of_resolved(&self, job: JobId, chunk: ChunkIndex, healed: u64) {
        let filter =
            MismatchFilter { job: Some(job), chunk: Some(chunk), open: Some(false), limit: 1000, ..Default::default() };
        let Ok(mut resolved) = self.stores().database.mismatches(filter).await else { return };
        resolved.sort_by_key(|mismatch| std::cmp::Reverse(mismatch.resolved.map(|(_, at)| at)));
        resolved.iter().take(usize::try_from(healed).unwrap_or(usize::MAX)).for_each(log_resolved);
    }
}

/// Says that a mismatch is resolved, with what the audit trail has of it.
pub fn log_resolved(mismatch: &Mismatch) {
    let (what, id) = (&mismatch.what, mismatch.id);
    let NewMismatch { job, chunk, epoch, kind, store, detector, run, node, .. } = what;
    let (chunk, first_difference) = (chunk.map(|index| index.0), what.first_difference.map(|at| at.0));
    let resolution = mismatch.resolved.map_or("open", |(resolution, _)| resolution.as_str());
    let note = mismatch.note.as_ref();
    let (by, comment) = (note.map(|note| note.by.as_str()), note.map(|note| note.comment.as_str()));
    tracing::info!(
        mismatch_id = id, job_id = job.0, chunk, epoch = epoch.0, %kind, %store, %detector, run, node,
        expected = %what.expected, found = %what.found, first_difference, times_seen = mismatch.times_seen, resolution,
        by, comment,
        "mismatch {id} is {resolution}: it was {kind} in {store}, of job {job}"
    );
}

/// Where in the trace a mismatch is: where a gap begins, or the first byte that differs, or the chunk.
fn offset_of(mismatch: &NewMismatch, job: &Job) -> Option<Offset> {
    let start = mismatch.chunk.map(|chunk| job.chunk_size.start_of(chunk));
    let differs = start.zip(mismatch.first_difference).map(|(start, at)| start + (at - Offset::ZERO));
    mismatch.expected.offset.or(differs).or(start)
}

/// How many bytes of its chunk were lost or wrong; `None` for a difference that is no loss.
fn lost_size(what: &NewMismatch) -> Option<ByteSize> {
    let is_loss = matches!(what.kind, Kind::Checksum | Kind::Size | Kind::Missing | Kind::StaleCopy);
    what.expected.size.filter(|_| is_loss)
}

/// True if a persistent copy of the chunk holds at least as many bytes as were lost or wrong.
pub(super) fn reaches(row: &ChunkRow, lost: &NewMismatch) -> bool {
    persistent_record(row).is_some_and(|record| record.size >= lost_size(lost).unwrap_or_default())
}
