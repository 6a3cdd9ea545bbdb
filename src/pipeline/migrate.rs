//! Migrate: move a sealed chunk from the live store to a persistent one.
//!
//! Put under a new key, read back, compare, flip the row, then release the live copy (guarantee 4). A crash at any point
//! leaves a good copy that the row names: before the flip the live one, after it the object. An object that no row came
//! to name is an orphan and harms nobody. What is corrupt is decided by `trace::verdict`, as everywhere.

use std::time::Duration;

use bytes::Bytes;
use tracing::Instrument as _;

use crate::seams::within;
use crate::store::Result;
use crate::store::object::codec;
use crate::telemetry::metrics::{self, Stage};
use crate::trace::{ByteSize, ChunkId, ChunkIndex, ChunkRow, ChunkState, JobId, Location, Record};

use super::sweep::SEALED_FOR;
use super::work::Filled;
use super::{Pipeline, points};

/// How long a worker waits for a record: while the database is slow it has other chunks to move.
const RECORD_PATIENCE: Duration = Duration::from_secs(1);

/// How a migration ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Migrated {
    /// The chunk is persistent, or waits for nothing.
    Settled,
    /// The row changed meanwhile: look again.
    Moved,
    /// The live copy is not what was recorded.
    Lost,
}

impl Pipeline {
    /// Migrates one chunk. One at a time per chunk on this node; across nodes the row's version decides.
    pub(super) async fn migrate(&self, job: JobId, index: ChunkIndex) -> Result<Migrated> {
        let _one = self.migrating.lock(&(job, index)).await;
        // After a while another node's sweep takes it up too: then it is better to look at the row first.
        let filled = self.work.take_filled(job, index).filter(|filled| self.now().since(filled.since) < SEALED_FOR);
        if let Some(filled) = filled {
            let size = filled.record.size;
            if self.measured(job, index, size, self.migrate_filled(job, filled)).await? == Migrated::Settled {
                return Ok(Migrated::Settled);
            }
        }
        let Some(row) = self.stores().database.chunk(job, index).await? else { return Ok(Migrated::Settled) };
        let ChunkState::Sealed { record } = row.state else { return Ok(Migrated::Settled) };
        self.measured(job, index, record.size, self.migrate_row(job, &row, &record)).await
    }

    async fn measured(
        &self,
        job: JobId,
        index: ChunkIndex,
        size: ByteSize,
        work: impl Future<Output = Result<Migrated>> + Send,
    ) -> Result<Migrated> {
        let started = self.now();
        let span = tracing::debug_span!("migrate", job_id = job.0, chunk = index.0);
        let migrated = work.instrument(span).await;
        let took = self.now().ms_since(started);
        match &migrated {
            Ok(Migrated::Settled) => metrics::migrated(took, true, size),
            Ok(Migrated::Moved) => {}
            Ok(Migrated::Lost) | Err(_) => metrics::migrated(took, false, ByteSize::ZERO),
        }
        migrated
    }

    /// A chunk that was filled on this node. While the database takes its record its bytes are read and encoded, and what its row
    /// is by then need not be asked for. Whatever comes up, the row is looked at: it may have changed since.
    async fn migrate_filled(&self, job: JobId, filled: Filled) -> Result<Migrated> {
        let Filled { chunk, record, recorded, since: _ } = filled;
        let Some(stored) = self.stored_form(job, chunk, &record).await? else { return Ok(Migrated::Moved) };
        // Whoever writes the record has the chunk queued again, if nobody waits for it any more.
        let recorded = within(self.seams().clock.as_ref(), RECORD_PATIENCE, recorded).await;
        let Some(Ok(version)) = recorded else { return Ok(Migrated::Moved) };
        let state = ChunkState::Sealed { record };
        let row = ChunkRow { index: chunk.index, epoch: chunk.epoch, version, state, persisted_at: None };
        self.move_out(job, &row, &record, stored).await
    }

    async fn migrate_row(&self, job: JobId, row: &ChunkRow, record: &Record) -> Result<Migrated> {
        match self.stored_form(job, row.id(), record).await? {
            Some(stored) => self.move_out(job, row, record, stored).await,
            None => Ok(Migrated::Lost),
        }
    }

    /// The live copy as it is to be stored, if it is what was recorded.
    async fn stored_form(&self, job: JobId, chunk: ChunkId, record: &Record) -> Result<Option<Bytes>> {
        let looked = self.look_live(job, chunk, record).await.reached()?;
        Ok(looked.sound().map(|bytes| codec::encode(&bytes).into()))
    }

    async fn move_out(&self, job: JobId, row: &ChunkRow, record: &Record, stored: Bytes) -> Result<Migrated> {
        let to = self.keep(job, row, stored, record).await?;
        self.point(points::READ_BACK).await;

        let persist = self.stores().database.persist(job, row.index, row.version, &to, self.now());
        if !self.stage(Stage::Persist, job, row.index, persist).await? {
            // Somebody else was first. Nobody names this object; if the row still wants these very bytes, it is given it.
            if !self.find_again(job, row.index, record, &to).await? {
                self.remove_unnamed(&to).await;
                return Ok(Migrated::Moved);
            }
        }
        self.point(points::FLIPPED).await;
        metrics::chunk_size(to.store(), record.size);
        // If this fails, the sweep of the live store releases the copy.
        self.stores().live.release(job, row.id(), self.settings().live_grace).await?;
        self.point(points::RELEASED).await;
        Ok(Migrated::Settled)
    }

    /// The live copy was given up for lost while its bytes were on their way: they are not lost.
    async fn find_again(&self, job: JobId, index: ChunkIndex, record: &Record, to: &Location) -> Result<bool> {
        let database = &self.stores().database;
        let Some(row) = database.chunk(job, index).await? else { return Ok(false) };
        let wants_it =
            matches!(&row.state, ChunkState::Wanted { record: Some(lost), kept: None, .. } if lost == record);
        if !wants_it || !database.persist(job, index, row.version, to, self.now()).await? {
            return Ok(false);
        }
        self.note_repaired(job, index, "found again: the bytes were on their way to a persistent store").await?;
        tracing::info!(
            job_id = job.0,
            chunk = index.0,
            "job {job}: chunk {index} was given up for lost, and is found again"
        );
        Ok(true)
    }
}
