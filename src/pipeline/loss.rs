//! Writing down what is confirmed to be wrong.

use crate::store::Result;
use crate::store::database::{Basis, Found, Job, MismatchFilter, NewMismatch, Opened, Resolution};
use crate::telemetry::metrics;
use crate::trace::{ByteSize, ChunkIndex, ChunkRow, DataStore, Detector, JobId, Kind, Look, Offset, Record, Verdict};

use super::Pipeline;

impl Pipeline {
    /// Writes down that a chunk's copy differs from its record, if the row is still the one it was measured against;
    /// otherwise the answer is `Moved`. Counted only by whoever is first.
    pub(super) async fn note_difference(
        &self,
        job: &Job,
        row: &ChunkRow,
        record: &Record,
        (kind, store, detector): (Kind, DataStore, Detector),
        found: Option<Record>,
    ) -> Result<Look> {
        let mismatch = NewMismatch {
            job: job.id,
            chunk: Some(row.index),
            epoch: row.epoch,
            kind,
            store,
            detector,
            expected: record.into(),
            found: found.as_ref().map(Found::from).unwrap_or_default(),
            at: self.now(),
        };
        let noted = self.note_mismatch(mismatch, Basis::Row(row.version)).await?;
        Ok(Look::Differs(kind).confirmed_if(noted))
    }

    /// Writes down that acknowledged bytes from `from` to `to` are gone that no chunk's record covers. False if the
    /// trace is of another epoch by now, or closed.
    pub(super) async fn note_gap(&self, job: &Job, from: Offset, to: Offset, detector: Detector) -> Result<bool> {
        self.note_gap_on(job, from, to, detector, Basis::Trace(job.epoch)).await
    }

    /// True if a gap at this place was ever written down: one that a person took note of is not opened again.
    async fn was_noted(&self, job: &Job, at: Offset) -> Result<bool> {
        let filter = MismatchFilter { job: Some(job.id), kind: Some(Kind::Gap), limit: 1000, ..Default::default() };
        let chunk = Some(job.chunk_size.index_of(at));
        let known = self.stores().database.mismatches(filter).await?;
        Ok(known.iter().any(|known| known.what.chunk == chunk && known.what.epoch == job.epoch))
    }

    async fn note_gap_on(&self, job: &Job, from: Offset, to: Offset, detector: Detector, basis: Basis) -> Result<bool> {
        let gap = |size: ByteSize| Found { offset: Some(from), size: Some(size), ..Found::default() };
        let mismatch = NewMismatch {
            job: job.id,
            chunk: Some(job.chunk_size.index_of(from)),
            epoch: job.epoch,
            kind: Kind::Gap,
            store: self.stores().live.name(),
            detector,
            expected: gap(to - from),
            found: gap(ByteSize::ZERO),
            at: self.now(),
        };
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

    async fn note_mismatch(&self, mismatch: NewMismatch, basis: Basis) -> Result<bool> {
        let opened = self.stores().database.open_mismatch(&mismatch, basis).await?;
        if opened == Opened::New {
            let NewMismatch { job, chunk, epoch, kind, store, detector, .. } = &mismatch;
            metrics::mismatch(*kind, *store, *detector);
            let chunk = chunk.map(|index| index.0);
            tracing::error!(
                job_id = job.0, chunk, epoch = epoch.0, %kind, %store, %detector,
                expected = %mismatch.expected, found = %mismatch.found,
                "job {job}: {kind} mismatch in {store}, found by {detector}"
            );
        }
        Ok(opened != Opened::Moved)
    }

    /// The runner sent a chunk (or, with `None`, everything) again: what was wrong with it is healed.
    pub(super) async fn note_resent(&self, job: JobId, chunk: Option<ChunkIndex>) -> Result<()> {
        let healed = self.stores().database.resolve_mismatches(job, chunk, Resolution::Resent, self.now()).await?;
        if healed > 0 {
            let chunk = chunk.map(|index| index.0);
            tracing::info!(
                job_id = job.0,
                chunk,
                healed,
                "job {job}: {healed} mismatches healed, the bytes were sent again"
            );
        }
        Ok(())
    }
}
