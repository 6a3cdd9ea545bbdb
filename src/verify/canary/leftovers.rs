//! What earlier runs of the canary left: some is kept and read again, the rest goes.

use std::collections::HashMap;
use std::time::Duration;

use crate::store::Result;
use crate::store::database::Job;
use crate::store::database::drills::{CANARY, DrillFilter};
use crate::trace::{JobId, JobStatus};

use super::super::Verifier;
use super::client::CanaryJob;

/// How long a sound trace is kept, to be read again.
const KEPT_FOR: Duration = Duration::from_secs(6 * 3600);
/// A trace that is not finished after this time has lost its node.
const ABANDONED_AFTER: Duration = Duration::from_secs(3600);
/// Traces and drills that are looked at.
const MOST: u32 = 1000;

impl Verifier {
    /// Erases traces that have served, ends those that were abandoned, and removes what was erased long ago. Answers the
    /// sound ones, to be read again.
    pub(super) async fn clear_canaries(&self) -> Result<Vec<CanaryJob>> {
        let stores = self.node.stores();
        let drills = DrillFilter { by: Some(CANARY.to_owned()), limit: MOST, ..DrillFilter::default() };
        let drills = stores.drills.drills(&drills).await?;
        let has_ended: HashMap<JobId, bool> =
            drills.iter().map(|drill| (drill.what.job, drill.ended_at.is_some())).collect();
        let mut kept = Vec::new();
        for job in stores.drills.canary_jobs(MOST).await? {
            let age = self.now().since(job.created_at);
            match has_ended.get(&job.id) {
                _ if job.is_unfinished() => self.give_up(&job, age).await?,
                Some(false) => {}
                None if age < KEPT_FOR => {
                    kept.push(CanaryJob { id: job.id, project: job.project, token: String::new() });
                }
                Some(true) | None => self.node.erase(job.id, CANARY).await.map(drop)?,
            }
        }
        stores.drills.remove_canary_jobs(self.now().before(self.settings.runs_kept_for)).await?;
        Ok(kept)
    }

    async fn give_up(&self, job: &Job, age: Duration) -> Result<()> {
        if job.status == JobStatus::Running && age >= ABANDONED_AFTER {
            self.node.cancel(job.id).await?;
        }
        Ok(())
    }
}
