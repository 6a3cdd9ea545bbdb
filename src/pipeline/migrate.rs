//! Migrate: move a sealed chunk from the live store to a persistent one.
//!
//! Put under a new key, read back, compare, flip the row, then release the live copy (guarantee 4). A crash at any point
//! leaves a good copy that the row names: before the flip the live one, after it the object. An object that no row came
//! to name is an orphan and harms nobody. What is corrupt is decided by `trace::verdict`, as everywhere.

use tracing::Instrument as _;

use crate::store::Result;
use crate::telemetry::metrics::{self, Stage};
use crate::trace::{ByteSize, ChunkIndex, ChunkRow, ChunkState, JobId, Location, Record};

use super::{Pipeline, points};

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
        let Some(row) = self.stores().database.chunk(job, index).await? else { return Ok(Migrated::Settled) };
        let ChunkState::Sealed { record } = row.state else { return Ok(Migrated::Settled) };
        let started = self.now();
        let span = tracing::debug_span!("migrate", job_id = job.0, chunk = index.0);
        let migrated = self.migrate_row(job, &row, &record).instrument(span).await;
        let took = self.now().ms_since(started);
        match &migrated {
            Ok(Migrated::Settled) => metrics::migrated(took, true, record.size),
            Ok(Migrated::Moved) => {}
            Ok(Migrated::Lost) | Err(_) => metrics::migrated(took, false, ByteSize::ZERO),
        }
        migrated
    }

    async fn migrate_row(&self, job: JobId, row: &ChunkRow, record: &Record) -> Result<Migrated> {
        let looked = self.look_live(job, row.id(), record).await.reached()?;
        let Some(bytes) = looked.sound() else { return Ok(Migrated::Lost) };
        let to = self.keep(job, row, &bytes, record).await?;
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
