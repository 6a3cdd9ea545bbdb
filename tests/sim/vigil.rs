//! The vigil: nothing that was kept is harmed, everything else goes wrong, and the verifiers look as often as they can. They
//! must find nothing at all.

use veritail::trace::JobId;

use super::oracle::{Seen, is_unnamed};
use super::plan::JobPlan;
use super::run::{create_jobs, in_virtual_time, reckon, storm};
use super::world::World;

/// So long they look at logs that are over.
const AFTERMATH_MS: u64 = 120_000;

/// Runs a seed. The error is the first finding.
pub fn keep(seed: u64) -> Result<Seen, String> {
    in_virtual_time(watch(seed))
}

async fn watch(seed: u64) -> Result<Seen, String> {
    let world = World::unharmed(seed);
    tracing::info!(?world.weather.trouble, "vigil {seed}");
    let jobs = create_jobs(&world, seed, JobPlan::long).await;
    let ids: Vec<JobId> = jobs.iter().map(|(id, _, _)| *id).collect();
    storm(&world, jobs).await?;
    world.sleep_ms(AFTERMATH_MS).await;
    // What a node left that died is no harm.
    for found in world.database.all_mismatches().iter().filter(|found| !is_unnamed(found)) {
        let what = format!("found where nothing was harmed: {found:?}");
        world.oracle.lock().expect("not poisoned").violation(what);
    }
    reckon(&world, &ids).await
}
