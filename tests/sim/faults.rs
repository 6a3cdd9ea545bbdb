//! What goes wrong: on the way to the stores, in the stores, and with the nodes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use veritail::store::hooked::{Call, Hook};
use veritail::store::{Result, StoreError};
use veritail::trace::{ByteSize, JobId};

use super::machine::Dice;
use super::plan::Trouble;
use super::world::{NODES, World};

/// A network that delays, fails before the effect, or loses the answer after it.
pub struct FlakyNetwork {
    dice: Dice,
    trouble: Trouble,
    stormy: Arc<AtomicBool>,
}

impl FlakyNetwork {
    pub fn new(dice: Dice, trouble: Trouble, stormy: Arc<AtomicBool>) -> Self {
        Self { dice, trouble, stormy }
    }

    fn is_stormy(&self) -> bool {
        self.stormy.load(Ordering::Relaxed)
    }

    async fn delay(&self) {
        let ms = if self.is_stormy() && self.dice.chance(self.trouble.slow) {
            self.dice.below(self.trouble.slow_ms_max)
        } else {
            self.dice.below(3)
        };
        if ms > 0 {
            #[allow(clippy::disallowed_methods, reason = "virtual time")]
            tokio::time::sleep(Duration::from_millis(ms)).await;
        }
    }
}

#[async_trait]
impl Hook for FlakyNetwork {
    async fn before(&self, call: &Call) -> Result<()> {
        self.delay().await;
        if self.is_stormy() && self.dice.chance(self.trouble.fail_before) {
            return Err(StoreError::unavailable(call.store, "simulated, before the effect"));
        }
        Ok(())
    }

    async fn after(&self, call: &Call, _took: Duration, _failed: Option<&StoreError>) -> Result<()> {
        self.delay().await;
        if self.is_stormy() && self.dice.chance(self.trouble.fail_after) {
            return Err(StoreError::unavailable(call.store, "simulated, after the effect"));
        }
        Ok(())
    }
}

/// Harms the stores and the nodes from time to time until the storm is over.
pub async fn harm(world: Arc<World>, dice: Dice) {
    let mut backup = world.live.snapshot();
    while world.is_stormy() {
        world.sleep_ms(dice.between(200, 6000)).await;
        if !world.is_stormy() {
            return;
        }
        if world.trouble.node_dies && dice.chance(200) {
            let node = dice.below(NODES as u64) as usize;
            tracing::info!(node, "a node dies");
            world.kill(node);
        }
        for node in 0..NODES {
            if world.is_down(node) && dice.chance(500) {
                tracing::info!(node, "a node comes back");
                world.restart(node);
            }
        }
        if world.trouble.live_full {
            world.live.set_full(dice.chance(300));
        }
        if world.trouble.live_harm && dice.chance(250) {
            harm_live(&world, &dice, &mut backup);
        } else if dice.chance(300) {
            backup = world.live.snapshot();
        }
        if world.trouble.object_rot && dice.chance(250) {
            harm_objects(&world, &dice);
        }
        if world.trouble.puts_damaged && dice.chance(300) {
            // Found by the read-back before anything was promised: no harm to any trace.
            world.objects.damage_next_put();
        }
    }
}

fn harm_live(world: &World, dice: &Dice, backup: &mut super::support::model::live::Snapshot) {
    let (traces, chunks) = (world.live.traces(), world.live.chunks());
    match dice.below(8) {
        0 => {
            tracing::info!("the live store is wiped");
            world.oracle.lock().expect("not poisoned").live_harmed_all();
            world.live.wipe();
        }
        1 | 2 => {
            tracing::info!("the live store goes back in time");
            world.oracle.lock().expect("not poisoned").live_harmed_all();
            world.live.restore(backup);
        }
        3 if !traces.is_empty() => {
            let job = *dice.pick(&traces);
            tracing::info!("the live store loses the key of job {job}");
            world.oracle.lock().expect("not poisoned").live_harmed(job);
            world.live.lose_trace(job);
        }
        harm @ 4..=7 if !chunks.is_empty() => {
            let (job, chunk, size, _) = *dice.pick(&chunks);
            tracing::info!("the live store harms ({harm}) chunk {chunk} of job {job}");
            world.oracle.lock().expect("not poisoned").live_harmed(job);
            match harm {
                4 => world.live.lose_chunk(job, chunk),
                5 => world.live.truncate_chunk(job, chunk, ByteSize(dice.below(size.0.max(1)))),
                _ => world.live.flip_byte(job, chunk, ByteSize(dice.below(size.0.max(1)))),
            };
        }
        _ => {}
    }
}

fn harm_objects(world: &World, dice: &Dice) {
    let keys = world.objects.keys();
    if keys.is_empty() {
        return;
    }
    let key = dice.pick(&keys);
    let Some(job) = job_of(key) else { return };
    tracing::info!("the object store harms {key}");
    world.oracle.lock().expect("not poisoned").object_harmed(job);
    match dice.below(3) {
        0 => world.objects.lose(key),
        1 => world.objects.truncate(key, 3),
        _ => world.objects.flip_byte(key, dice.below(20) as usize),
    };
}

/// `traces/<shard>/<job>/...`
fn job_of(key: &str) -> Option<JobId> {
    key.split('/').nth(2)?.parse().ok().map(JobId)
}
