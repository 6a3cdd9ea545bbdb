//! What came of drills, and what they speak for.

use std::collections::BTreeSet;

use crate::store::Result;
use crate::store::database::MismatchFilter;
use crate::store::database::drills::DrillFilter;
use crate::telemetry::verification as telemetry;
use crate::trace::{ChunkIndex, Detection, JobId};

use super::super::Pipeline;

/// Drills and mismatches of one job that are looked through.
const MOST: u32 = 1000;

impl Pipeline {
    /// Ends drills of which it is known what came of them, and counts them.
    pub async fn settle_drills(&self) -> Result<()> {
        for drill in self.stores().drills.settle_drills(self.now()).await? {
            let Some(result) = drill.result else { continue };
            let (id, job, kind, store) = (drill.id, drill.what.job, drill.what.kind, drill.what.store);
            telemetry::detected(store, kind, result);
            let detector = drill.found.map(|found| found.detector.as_str());
            if result == Detection::Found {
                tracing::info!(drill_id = id.0, job_id = job.0, %kind, %store, detector, "drill {id}: {result}");
            } else {
                let found = drill.found.map(|found| format!("{} in {}", found.kind, found.store));
                tracing::error!(
                    drill_id = id.0, job_id = job.0, %kind, %store, %result, detector, found,
                    "drill {id}: announced damage was not found as it should be: {result}"
                );
            }
        }
        Ok(())
    }

    /// True if what is wrong with the chunk is announced damage.
    pub(in crate::pipeline) async fn is_drill(&self, job: JobId, index: ChunkIndex) -> Result<bool> {
        let filter = MismatchFilter { job: Some(job), chunk: Some(index), limit: MOST, ..MismatchFilter::default() };
        let known = self.stores().database.mismatches(filter).await?;
        let newest = known.last();
        Ok(newest.is_some_and(|newest| newest.drill.is_some()))
    }

    /// The chunks of a job whose copies were damaged on purpose, as far as that was announced and not called off.
    pub(in crate::pipeline) async fn announced_chunks(&self, job: JobId) -> Result<BTreeSet<ChunkIndex>> {
        let filter = DrillFilter { job: Some(job), limit: MOST, ..DrillFilter::default() };
        let drills = self.stores().drills.drills(&filter).await?;
        let counts = drills.iter().filter(|drill| drill.ended_at.is_none() || drill.result.is_some());
        Ok(counts.map(|drill| drill.what.chunk).collect())
    }
}
