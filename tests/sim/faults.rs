//! What goes wrong in the stores, and with the nodes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use veritail::trace::{ByteSize, JobId};

use super::machine::{Dice, spawn};
use super::plan::NODES;
use super::support::model::live::Snapshot;
use super::world::World;

/// No look takes longer, with its second one.
const ONE_LOOK_MS: u64 = 60_000;

/// Harms the stores and the nodes from time to time until the storm is over.
pub async fn harm(world: Arc<World>, dice: Dice) {
    let mut backup = world.live.snapshot();
    let mut misread = BTreeMap::new();
    while world.is_stormy() {
        world.sleep_ms(dice.between(200, 6000)).await;
        if !world.is_stormy() {
            return;
        }
        harm_nodes(&world, &dice);
        let trouble = &world.weather.trouble;
        if trouble.live_full {
            let is_full = dice.chance(300);
            world.live.set_full(is_full);
            world.count_if(is_full, "live store full");
        }
        if trouble.live_harm && dice.chance(250) {
            harm_live(&world, &dice, &mut backup);
        } else if dice.chance(300) && trouble.live_harm {
            backup = world.live.snapshot();
        }
        if trouble.object_rot && dice.chance(250) {
            harm_objects(&world, &dice);
        }
        if trouble.misreads
            && let keys = world.objects.keys()
            && !keys.is_empty()
        {
            let (key, now) = (dice.pick::<String>(&keys), world.clock.elapsed_ms());
            // Read wrong twice in a row is what nobody can tell from damage.
            if misread.get(key).is_none_or(|at| now - at > ONE_LOOK_MS) {
                world.weather.tally.count("object read wrong once");
                world.objects.misread_once(key);
                misread.insert(key.clone(), now);
            }
        }
        if trouble.puts_damaged && dice.chance(300) {
            // Found by the read-back before anything was promised: no harm to any trace.
            world.weather.tally.count("object not kept as written");
            world.objects.damage_next_put();
        }
        if trouble.failovers && dice.chance(120) {
            spawn(fail_over(world.clone(), dice.fork()));
        }
        if trouble.database_set_back && dice.chance(60) {
            spawn(set_back_the_database(world.clone(), dice.fork()));
        }
        if trouble.shards_move && dice.chance(250) {
            move_slots(&world, &dice);
        }
        if trouble.outages && dice.chance(100) {
            let store = *dice.pick(&["live", "database", "object_store", "object_store"]);
            let (longest, counted) = match store {
                "live" => (15_000, "live store away"),
                "database" => (20_000, "database away"),
                _ => (90_000, "object store away"),
            };
            world.weather.tally.count(counted);
            world.weather.away(store, None, dice.between(500, longest), dice.below(500));
        }
    }
}

fn harm_nodes(world: &Arc<World>, dice: &Dice) {
    if world.weather.trouble.node_dies && dice.chance(200) {
        let node = dice.below(NODES as u64) as usize;
        tracing::info!(node, "a node dies");
        world.weather.tally.count("node died");
        world.kill(node);
    }
    for node in 0..NODES {
        if world.is_down(node) && dice.chance(500) {
            tracing::info!(node, "a node comes back");
            world.weather.tally.count("node came back");
            world.restart(node);
        }
    }
    if world.weather.trouble.node_pauses && dice.chance(100) {
        let (node, ms) = (dice.below(NODES as u64) as usize, dice.between(1000, 75_000));
        spawn(pause(world.clone(), node, ms));
    }
}

/// A node stands still, and goes on with what it knew.
async fn pause(world: Arc<World>, node: usize, ms: u64) {
    let Some(pause) = world.pause_of(node).filter(|pause| !pause.is_set()) else { return };
    tracing::info!(node, ms, "a node stands still");
    world.weather.tally.count("node paused");
    pause.set(true);
    world.sleep_ms(ms).await;
    tracing::info!(node, "a node goes on");
    pause.set(false);
}

/// The live store's primary goes, and a replica takes over that is some time behind: for everything, or for the jobs of
/// one shard. Around it calls fail, and what the old primary still took is lost with it.
async fn fail_over(world: Arc<World>, dice: Dice) {
    if world.failing_over.swap(true, Ordering::Relaxed) {
        return;
    }
    let replica = world.live.snapshot();
    let shard = dice.chance(500).then(|| some_jobs(&world, &dice));
    world.sleep_ms(dice.between(100, 5000)).await;
    world.weather.away("live", shard.clone(), dice.between(100, 4000), 500);
    world.sleep_ms(dice.below(1500)).await;
    if world.is_stormy() {
        let empty = dice.chance(150);
        let replica = if empty { Snapshot::default() } else { replica };
        let mut oracle = world.oracle.lock().expect("not poisoned");
        let now = world.clock.elapsed_ms();
        match &shard {
            Some(jobs) => {
                world.weather.tally.count(if empty { "shard emptied" } else { "shard failed over" });
                jobs.iter().for_each(|job| oracle.live_harmed(*job, now));
                world.live.restore_jobs(&replica, jobs);
            }
            None => {
                world.weather.tally.count(if empty { "live store emptied" } else { "live store failed over" });
                oracle.live_harmed_all(now);
                world.live.restore(&replica);
            }
        }
        tracing::info!(?shard, empty, "a stale replica of the live store takes over");
    }
    world.failing_over.store(false, Ordering::Relaxed);
}

/// The database is lost, and comes back as it was some seconds before. In between nobody reaches it.
async fn set_back_the_database(world: Arc<World>, dice: Dice) {
    let backup = world.database.back_up();
    world.sleep_ms(dice.between(100, 20_000)).await;
    if !world.is_stormy() {
        return;
    }
    let away_ms = dice.between(500, 10_000);
    world.weather.away("database", None, away_ms, 0);
    world.weather.tally.count("database set back");
    tracing::info!("the database is restored from a backup");
    world.oracle.lock().expect("not poisoned").database_set_back(world.clock.elapsed_ms());
    world.database.restore(&backup);
}

/// The keys of some jobs move to another shard: for a while calls fail, before or after they took effect. Nothing is lost.
fn move_slots(world: &World, dice: &Dice) {
    let jobs = some_jobs(world, dice);
    tracing::info!(?jobs, "slots move");
    world.weather.tally.count("slots moved");
    world.weather.away("live", Some(jobs), dice.between(50, 3000), dice.below(1000));
}

fn some_jobs(world: &World, dice: &Dice) -> BTreeSet<JobId> {
    let jobs = world.database.jobs();
    let mut some: BTreeSet<JobId> = jobs.iter().map(|job| job.id).filter(|_| dice.chance(500)).collect();
    some.insert(dice.pick(&jobs).id);
    some
}

fn harm_live(world: &World, dice: &Dice, backup: &mut Snapshot) {
    let (traces, chunks) = (world.live.traces(), world.live.chunks());
    let mut oracle = world.oracle.lock().expect("not poisoned");
    let now = world.clock.elapsed_ms();
    match dice.below(8) {
        0 => {
            tracing::info!("the live store is wiped");
            world.weather.tally.count("live store wiped");
            oracle.live_harmed_all(now);
            world.live.wipe();
        }
        1 | 2 => {
            tracing::info!("the live store goes back in time");
            world.weather.tally.count("live store restored");
            oracle.live_harmed_all(now);
            world.live.restore(backup);
        }
        3 if !traces.is_empty() => {
            let job = *dice.pick(&traces);
            tracing::info!("the live store loses the key of job {job}");
            world.weather.tally.count("live key lost");
            oracle.live_harmed(job, now);
            world.live.lose_trace(job);
        }
        harm @ 4..=7 if !chunks.is_empty() => {
            let (job, chunk, size, _) = *dice.pick(&chunks);
            tracing::info!("the live store harms ({harm}) chunk {chunk} of job {job}");
            world.weather.tally.count("live copy harmed");
            oracle.live_harmed(job, now);
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
    let mut oracle = world.oracle.lock().expect("not poisoned");
    oracle.object_harmed(job);
    let harm = dice.below(3);
    world.weather.tally.count(if harm == 0 { "object lost" } else { "object rotted" });
    match harm {
        0 => world.objects.lose(key),
        1 => world.objects.truncate(key, 3),
        _ => world.objects.flip_byte(key, dice.below(20) as usize),
    };
}

/// `traces/<shard>/<job>/...`
fn job_of(key: &str) -> Option<JobId> {
    key.split('/').nth(2)?.parse().ok().map(JobId)
}
