//! Record: what was computed at the door goes to the database, in which it is the promise from then on.

use std::time::Duration;

use tokio::sync::oneshot;

use crate::store::Result;
use crate::store::database::Recorded;
use crate::telemetry::metrics::{self, Operation, RewindCause, RewindResult, Stage};
use crate::trace::{ChunkId, ChunkIndex, ChunkState, Epoch, JobId, Look, OpenEnd, Record, Version};

use super::{Pipeline, points};

impl Pipeline {
    /// Writes the record of a sealed chunk and, if `next` is given, makes the row of that chunk, in one statement. Then the chunk is
    /// migrated: by whoever awaits the version that its row has by it, or by the next worker.
    pub(super) async fn record(
        &self,
        job: JobId,
        epoch: Epoch,
        chunk: ChunkId,
        record: &Record,
        next: Option<ChunkIndex>,
        awaited: Option<oneshot::Sender<Version>>,
    ) -> Result<Recorded> {
        let database = &self.stores().database;
        let recorded = database.record(job, epoch, chunk.index, chunk.epoch, record, next, self.now());
        let recorded = self.stage(Stage::Record, job, chunk.index, recorded).await?;
        self.point(points::RECORDED).await;
        match recorded {
            Recorded::Sealed(_) | Recorded::Known => {
                metrics::operation(Operation::Chunked);
                metrics::chunk_size(self.stores().live.name(), record.size);
                let is_told = match (recorded, awaited) {
                    (Recorded::Sealed(version), Some(awaited)) => awaited.send(version).is_ok(),
                    _ => false,
                };
                if !is_told {
                    self.work.migrate_soon(job, chunk.index);
                }
            }
            Recorded::Refilled | Recorded::RefilledSame => self.refilled(job, chunk).await?,
            Recorded::Conflict | Recorded::Stale => {}
        }
        Ok(recorded)
    }

    /// A hole is filled: what was wrong with the chunk is healed.
    async fn refilled(&self, job: JobId, chunk: ChunkId) -> Result<()> {
        let Some(known) = self.stores().database.job(job).await? else { return Ok(()) };
        if self.holds_filler(&known, chunk.index).await? {
            self.work.migrate_soon(job, chunk.index);
            return Ok(());
        }
        metrics::rewind(RewindCause::Hole, RewindResult::Refilled);
        let row = self.stores().database.chunk(job, chunk.index).await?;
        match row.as_ref().map(|row| (row, &row.state)) {
            // The persistent copy was kept. What was sent again is not needed, unless that copy has gone bad since.
            Some((row, ChunkState::Persisted { record, at })) => {
                if self.look_persisted(at, record).await.reached()?.look == Look::Sound {
                    self.note_resent(job, chunk.index).await?;
                } else {
                    let sent_again = self.look_live(job, chunk, record).await.reached()?;
                    let Some(bytes) = sent_again.sound() else { return Ok(()) };
                    if !self.repair(job, row, record, &bytes, "replaced by what the runner sent again").await? {
                        return Ok(());
                    }
                }
                self.stores().live.release(job, chunk, Duration::ZERO).await
            }
            _ => {
                self.note_resent(job, chunk.index).await?;
                self.work.migrate_soon(job, chunk.index);
                Ok(())
            }
        }
    }

    /// Writes the records of all sealed chunks that the open end still has, but for those in `known`. Answers which were
    /// written; `None` if the database says otherwise, so that the stores have to be reconciled.
    pub(super) async fn record_all(
        &self,
        job: JobId,
        end: &OpenEnd,
        known: &[ChunkIndex],
    ) -> Result<Option<Vec<ChunkIndex>>> {
        let mut written = Vec::new();
        for (index, sealed) in end.sealed.iter().filter(|(index, _)| !known.contains(index)) {
            let chunk = ChunkId { index: *index, epoch: sealed.epoch };
            match self.record(job, end.epoch, chunk, &sealed.record, None, None).await? {
                recorded if recorded.is_taken() => written.push(*index),
                _ => return Ok(None),
            }
        }
        Ok(Some(written))
    }
}
