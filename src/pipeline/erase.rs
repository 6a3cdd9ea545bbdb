//! Erase: a finished trace goes, from every store, and nothing brings it back.
//!
//! The database first, in one transaction: from then on no node serves, migrates or repairs it. Then the live store, then
//! the objects, by prefix and not by row, so that what no row names goes too. An upload that was under way can still
//! arrive: the prefix is deleted once more after that. What a crash leaves is a committed deletion, due at the next sweep.

use std::time::Duration;

use crate::store::Result;
use crate::store::database::{Deletion, Erased, Job};
use crate::store::object::keys;
use crate::trace::{ChunkId, ChunkRow, Epoch, JobId};

use super::sweep::SweepReport;
use super::{Pipeline, points};

/// No upload takes longer: a migration that began before the erase has put its object by then, or never will.
const UPLOAD_DEADLINE: Duration = Duration::from_secs(900);
/// Epochs of one chunk whose live copies are removed at once; what is older goes with the sweep of the live store.
const EPOCHS_MAX: u32 = 16;
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

    async fn remove_copies(&self, job: &Job, rows: &[ChunkRow]) -> Result<()> {
        self.bury(job).await?;
        let live = &self.stores().live;
        for row in rows {
            for epoch in (1..=job.epoch.0).rev().take(EPOCHS_MAX as usize) {
                let chunk = ChunkId { index: row.index, epoch: Epoch(epoch) };
                live.release(job.id, chunk, Duration::ZERO).await?;
            }
        }
        self.delete_objects(job.id).await
    }

    /// Deletes every object of a job, quarantine and what lies in the database included, until a listing is empty.
    async fn delete_objects(&self, job: JobId) -> Result<()> {
        let (objects, spill) = (&self.stores().objects, &self.stores().spill);
        for (objects, prefix) in
            [(objects, keys::job_prefix(job)), (objects, keys::quarantine_prefix(job)), (spill, keys::job_prefix(job))]
        {
            while objects.delete_below(&prefix).await? > 0 {}
        }
        Ok(())
    }

    /// The deletions that are due.
    pub(super) async fn sweep_deletions(&self, report: &mut SweepReport) -> Result<()> {
        for Deletion { id, job } in self.stores().database.due_deletions(self.now(), DELETIONS_MAX).await? {
            let deleted = self.delete_objects(job).await;
            if report.count("deleting an erased trace's objects", job, deleted).is_some() {
                let noted = self.stores().database.deletion_done(id).await;
                report.count("noting a deletion", job, noted);
            }
        }
        Ok(())
    }
}
