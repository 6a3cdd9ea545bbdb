//! Erase: a finished trace goes, from every store, and nothing brings it back.
//!
//! The database first, in one transaction: from then on no node serves, migrates or repairs it. Then the live store, then
//! the objects, by prefix and not by row, so that what no row names goes too. An upload that was under way can still
//! arrive: the prefix is deleted once more after that. What a crash leaves is a committed deletion, due at the next sweep.

use std::time::Duration;

use crate::store::database::{Deletion, Erased, Job};
use crate::store::object::{ObjectStore, keys};
use crate::store::{Result, StoreError};
use crate::trace::{ChunkId, ChunkRow, Epoch, JobId};

use super::sweep::SweepReport;
use super::{Pipeline, points};

/// No upload takes longer: a migration that began before the erase has put its object by then, or never will.
const UPLOAD_DEADLINE: Duration = Duration::from_secs(900);
/// Epochs of one chunk whose live copies are removed at once; what is older goes with the sweep of the live store.
const EPOCHS_MAX: u32 = 16;
/// Time for them, after which the rest is left to the next sweep: a store that hangs must not hold up everything else.
const DELETIONS_FOR: Duration = Duration::from_secs(60);
/// Times that a prefix is deleted before a listing has to be empty.
const ROUNDS: u32 = 10;
/// Deletions taken up in one sweep.
const DELETIONS_MAX: u32 = 100;

impl Pipeline {
    /// Erases a finished trace on behalf of `by`. When it returns, the trace is erased for everybody, and every copy that
    /// could be reached is gone; the sweeper removes what could not.
    pub async fn erase(&self, job: JobId, by: &str) -> Result<Erased> {
        let rows = self.all_rows(job).await?;
        let now = self.now();
        let again_at = now.after(UPLOAD_DEADLINE);
        let erased = self.stores().database.erase(job, by, now, again_at).await?;
        if let Erased::Done(job) = &erased {
            self.point(points::ERASED).await;
            tracing::info!(job_id = job.id.0, by, "job {}: its trace is erased by {by}", job.id);
            if let Err(error) = self.remove_copies(job, &rows).await {
                tracing::warn!(job_id = job.id.0, %error, "job {}: erased, and not every copy is gone yet", job.id);
            }
        }
        Ok(erased)
    }

    /// What one store cannot do now keeps no other from it.
    async fn remove_copies(&self, job: &Job, rows: &[ChunkRow]) -> Result<()> {
        let live = self.remove_live_copies(job, rows).await;
        let persistent = self.delete_objects(job.id).await;
        live.and(persistent)
    }

    async fn remove_live_copies(&self, job: &Job, rows: &[ChunkRow]) -> Result<()> {
        self.bury(job).await?;
        let live = &self.stores().live;
        for row in rows {
            for epoch in (1..=job.epoch.0).rev().take(EPOCHS_MAX as usize) {
                let chunk = ChunkId { index: row.index, epoch: Epoch(epoch) };
                live.release(job.id, chunk, Duration::ZERO).await?;
            }
        }
        Ok(())
    }

    /// Deletes every object of a job, quarantine and what lies in the database included, until a listing is empty. The
    /// database comes first: something lies there while the object store is away.
    async fn delete_objects(&self, job: JobId) -> Result<()> {
        let (objects, spill) = (self.stores().objects.as_ref(), self.stores().spill.as_ref());
        let in_database = delete_all(spill, &keys::job_prefix(job)).await;
        let in_store = delete_all(objects, &keys::job_prefix(job)).await;
        let in_quarantine = delete_all(objects, &keys::quarantine_prefix(job)).await;
        in_database.and(in_store).and(in_quarantine)
    }

    /// The deletions that are due.
    pub(super) async fn sweep_deletions(&self, report: &mut SweepReport) -> Result<()> {
        let begun = self.now();
        let due = self.stores().database.due_deletions(begun, DELETIONS_MAX).await?;
        let work = due.into_iter().take_while(|_| self.now().since(begun) < DELETIONS_FOR);
        let work =
            work.map(|Deletion { id, job }| async move { (id, job, self.in_time(self.delete_objects(job)).await) });
        for (id, job, deleted) in self.side_by_side(work).await {
            if report.count("deleting an erased trace's objects", job, deleted).is_some() {
                let noted = self.stores().database.deletion_done(id).await;
                report.count("noting a deletion", job, noted);
            }
        }
        Ok(())
    }
}

async fn delete_all(objects: &dyn ObjectStore, prefix: &str) -> Result<()> {
    for _ in 0..ROUNDS {
        if objects.delete_below(prefix).await? == 0 {
            return Ok(());
        }
    }
    Err(StoreError::unavailable("object_store", format!("what is below {prefix} is listed although it was deleted")))
}
