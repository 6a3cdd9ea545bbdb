//! Writing down what is confirmed to be wrong.

use crate::store::Result;
use crate::store::copies::Looked;
use crate::store::database::{Found, Job, NewMismatch, Resolution};
use crate::telemetry::metrics;
use crate::trace::{ByteSize, ChunkIndex, ChunkRow, DataStore, Detector, JobId, Kind, Offset, Record};

use super::Pipeline;

impl Pipeline {
    /// Writes down that a chunk's copy differs from its record. Counted only by whoever is first.
    pub(super) async fn note_difference(
        &self,
        job: &Job,
        row: &ChunkRow,
        record: &Record,
        (kind, store, detector): (Kind, DataStore, Detector),
        looked: Option<&Looked>,
    ) -> Result<()> {
        let found = looked.and_then(|looked| looked.bytes.as_deref()).map(Record::of);
        self.note_mismatch(NewMismatch {
            job: job.id,
            chunk: Some(row.index),
            epoch: row.epoch,
            kind,
            store,
            detector,
            expected: record.into(),
            found: found.as_ref().map(Found::from).unwrap_or_default(),
            at: self.now(),
        })
        .await
    }

    /// Writes down that acknowledged bytes from `from` to `to` are gone that no chunk's record covers.
    pub(super) async fn note_gap(&self, job: &Job, from: Offset, to: Offset, detector: Detector) -> Result<()> {
        let gap = |size: ByteSize| Found { offset: Some(from), size: Some(size), ..Found::default() };
        self.note_mismatch(NewMismatch {
            job: job.id,
            chunk: Some(job.chunk_size.index_of(from)),
            epoch: job.epoch,
            kind: Kind::Gap,
            store: self.stores().live.name(),
            detector,
            expected: gap(to - from),
            found: gap(ByteSize::ZERO),
            at: self.now(),
        })
        .await
    }

    async fn note_mismatch(&self, mismatch: NewMismatch) -> Result<()> {
        if self.stores().database.open_mismatch(&mismatch).await? {
            let NewMismatch { job, chunk, epoch, kind, store, detector, .. } = &mismatch;
            metrics::mismatch(*kind, *store, *detector);
            let chunk = chunk.map(|index| index.0);
            tracing::error!(
                job_id = job.0, chunk, epoch = epoch.0, %kind, %store, %detector,
                expected = ?mismatch.expected, found = ?mismatch.found,
                "job {job}: {kind} mismatch in {store}, found by {detector}"
            );
        }
        Ok(())
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
