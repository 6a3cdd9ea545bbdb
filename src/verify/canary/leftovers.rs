//! What earlier runs of the canary left: some is kept and read again, the rest goes.

use std::collections::HashMap;
use std::time::Duration;

use crate::store::Result;
use crate::store::database::drills::{CANARY, DrillFilter};
use crate::trace::{JobId, JobStatus};

use super::super::Verifier;
use super::client::CanaryJob;

/// How long a sound trace is kept, to be read again.
const KEPT_FOR: Duration = Duration::from_hours(6);
/// Traces and drills that are looked at.
const MOST: u32 = 1000;

impl Verifier {
    /// Erases traces that have served, ends those that their node left unfinished, and removes what was erased long ago.
    /// Answers the sound ones, to be read again. Whoever has the turn has it alone: what is unfinished now nobody finishes.
    pub(super) async fn clear_canaries(&self) -> Result<Vec<CanaryJob>> {
        let stores = self.node.stores();
        let drills = stores.drills.drills(&DrillFilter { limit: MOST, ..DrillFilter::default() }).await?;
        let mut has_ended: HashMap<JobId, bool> = HashMap::new();
        for drill in &drills {
            has_ended
                .entry(drill.what.job)
                .and_modify(|all| *all &= drill.ended_at.is_some())
                .or_insert(drill.ended_at.is_some());
        }
        let mut kept = Vec::new();
        for job in stores.drills.canary_jobs(MOST).await? {
            let (age, was_damaged) = (self.now().since(job.created_at), has_ended.get(&job.id));
            if was_damaged == Some(&false) {
                // What came of it is to be seen first.
            } else if job.is_unfinished() {
                if job.ending.is_none() {
                    self.node.give_up(job.id).await?;
                }
            } else if was_damaged.is_none() && job.status == JobStatus::Success && age < KEPT_FOR {
                kept.push(CanaryJob { id: job.id, project: job.project, token: String::new() });
            } else {
                self.node.erase(job.id, CANARY).await.map(drop)?;
            }
        }
        stores.drills.remove_canary_jobs(self.now().before(self.settings.runs_kept_for)).await?;
        Ok(kept)
    }
}
