//! One seed from beginning to end: a storm with jobs in it, then calm, then the reckoning.
#![allow(clippy::disallowed_methods, reason = "tokio's paused clock and tasks are what the simulation hands in")]

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use veritail::store::database::{Database, Erased, Job, NewJob};
use veritail::store::live::{Entry, Found, LiveStore};
use veritail::store::object::keys;
use veritail::trace::{ByteSize, ChunkSize, ChunkState, JobId, JobStatus, Location, TraceState};

use super::machine::Dice;
use super::oracle::Seen;
use super::plan::JobPlan;
use super::runner::Runner;
use super::unnamed::{self, orphans};
use super::world::World;
use super::{faults, planted, queue, reader, verifying};

/// The storm lasts at most so long; runners that are still at work go on in the calm.
const STORM_MS: u64 = 120_000;
/// Virtual time in which every job must have closed after the storm: far above every timeout of the settings.
const CALM_MS_MAX: u64 = 6 * 3_600_000;
/// After the last job closed: some sweeps of the live store, and the grace of live copies.
const AFTERMATH_MS: u64 = 150_000;
/// The second deletion of an erased trace's objects comes late, by clocks that are apart. For so long no node is up: three
/// that have nothing to do cost as much as three at work.
const UNTIL_ERASED_AGAIN_MS: u64 = 1_000_000;

/// Runs a seed. The error is the first guarantee that did not hold.
pub fn simulate(seed: u64) -> Result<Seen, String> {
    in_virtual_time(storm_and_calm(seed))
}

pub fn in_virtual_time<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime without I/O");
    runtime.block_on(work)
}

async fn storm_and_calm(seed: u64) -> Result<Seen, String> {
    let world = World::new(seed);
    tracing::info!(?world.weather.trouble, "seed {seed}");
    let jobs = create_jobs(&world, seed, JobPlan::roll).await;
    let ids: Vec<JobId> = jobs.iter().map(|(id, _, _)| *id).collect();
    let is_erased = jobs.iter().any(|(_, plan, _)| plan.erase_after_ms.is_some());
    storm(&world, jobs).await?;
    world.verifiers_rest.store(true, Ordering::Relaxed);
    world.sleep_ms(AFTERMATH_MS).await;
    if is_erased {
        world.all_down_for(UNTIL_ERASED_AGAIN_MS).await;
        world.sleep_ms(AFTERMATH_MS).await;
    }
    world.verifiers_rest.store(false, Ordering::Relaxed);
    nothing_is_left_behind(&world).await;
    let orphans = orphans(&world).len() as u64;
    planted::plant_and_find(&world).await;
    unnamed::everything_is_known(&world);
    reckon(&world, &ids).await.map(|seen| Seen { orphans, ..seen })
}

/// The lives of jobs in a storm, and then in the calm until each of them is over.
pub async fn storm(world: &Arc<World>, jobs: Vec<(JobId, JobPlan, Vec<u8>)>) -> Result<(), String> {
    let ids: Vec<JobId> = jobs.iter().map(|(id, _, _)| *id).collect();
    tokio::spawn(faults::harm(world.clone(), world.dice.fork()));
    tokio::spawn(verifying::verify_now_and_then(world.clone(), world.dice.fork(), ids.clone()));
    tokio::spawn(reader::read_now_and_then(world.clone(), world.dice.fork(), ids.clone()));
    let mut runners = Vec::new();
    let mut waiting = Vec::new();
    for (id, plan, log) in jobs {
        if let Some(after) = plan.cancel_after_ms {
            tokio::spawn(cancel(world.clone(), id, after));
        }
        if let Some(after) = plan.erase_after_ms {
            tokio::spawn(erase(world.clone(), id, after));
        }
        if plan.pending {
            waiting.push((id, plan, log));
            continue;
        }
        if plan.burst > 0 {
            tokio::spawn(verifying::watch_it_grow(world.clone(), world.dice.fork(), id, plan.burst));
        }
        let runner = Runner::new(world.clone(), world.dice.fork(), id, plan, log);
        runners.push(tokio::spawn(runner.run()));
    }
    if !waiting.is_empty() {
        let waiting = Arc::new(waiting);
        for runner in queue::register(world, world.dice.between(2, 4)).await {
            runners.push(tokio::spawn(queue::ask_for_jobs(world.clone(), world.dice.fork(), runner, waiting.clone())));
        }
    }
    let all = futures::future::join_all(runners);
    let _ = tokio::time::timeout(Duration::from_millis(STORM_MS), all).await;
    tracing::info!("the storm is over");
    world.calm();
    give_up_waiting(world, &ids).await?;
    wait_for_the_end(world).await
}

pub async fn create_jobs(world: &Arc<World>, seed: u64, plan: fn(&Dice) -> JobPlan) -> Vec<(JobId, JobPlan, Vec<u8>)> {
    let mut jobs = Vec::new();
    for number in 0..world.dice.between(1, 4) {
        let mut plan = plan(&world.dice);
        // A job that waits again after a restore is given to another runner, whose bytes are not the first one's.
        plan.pending &= !world.weather.trouble.database_set_back;
        let log = plan.log(seed.wrapping_add(number * 1_000_003));
        let new = NewJob {
            project_path: "group/demo".to_owned(),
            name: format!("job-{number}"),
            token_sha256: [0; 32],
            status: if plan.pending { JobStatus::Pending } else { JobStatus::Running },
            payload: None,
            chunk_size: ChunkSize::new(plan.chunk_size).expect("a chunk size"),
            trace_limit: ByteSize(plan.trace_limit),
            trace_reset: plan.trace_reset_at_first().filter(|_| !plan.pending),
            at: veritail::seams::Clock::now(world.clock.as_ref()),
        };
        let job =
            world.database.create_job(new).await.map_err(|error| error.to_string()).expect("the model takes jobs");
        tracing::info!("job {}: {plan:?}", job.id);
        world.oracle.lock().expect("not poisoned").add_job(job.id, plan.clone(), log.clone(), &world.weather.trouble);
        jobs.push((job.id, plan, log));
    }
    jobs
}

async fn cancel(world: Arc<World>, job: JobId, after_ms: u64) {
    world.sleep_ms(after_ms).await;
    let dice = world.dice.fork();
    let canceled = world.request(&dice, move |node| async move { node.cancel(job).await }).await;
    if let Ok(Ok(Some(canceled))) = canceled
        && canceled.state == TraceState::Closed
    {
        world.oracle.lock().expect("not poisoned").is_over_now(job);
    }
}

/// Jobs that no runner took are canceled, so that they end.
async fn give_up_waiting(world: &World, ids: &[JobId]) -> Result<(), String> {
    for id in ids.iter().copied().filter(|id| world.job(*id).status == JobStatus::Pending) {
        let canceled = world.request(&world.dice, move |node| async move { node.cancel(id).await }).await;
        let canceled = canceled.map_err(|_| format!("job {id}: not canceled in the calm"))?;
        canceled.map_err(|error| format!("job {id}: not canceled in the calm: {error}"))?;
    }
    Ok(())
}

/// Asks to erase until it is done: it is refused as long as the job has not ended.
async fn erase(world: Arc<World>, job: JobId, after_ms: u64) {
    world.sleep_ms(after_ms).await;
    let dice = world.dice.fork();
    loop {
        let erased = world.request(&dice, move |node| async move { node.erase(job, "somebody").await }).await;
        if matches!(erased, Ok(Ok(Erased::Done(_)))) {
            world.oracle.lock().expect("not poisoned").is_erased_now(job);
            return;
        }
        world.sleep_ms(dice.between(200, 9000)).await;
    }
}

/// Every job closes.
async fn wait_for_the_end(world: &World) -> Result<(), String> {
    let begun = world.clock.elapsed_ms();
    loop {
        let jobs = world.database.jobs();
        let is_over = |job: &Job, plan: &JobPlan| match plan.erase_after_ms {
            // What was erased after the backup is not erased any more.
            Some(_) if world.weather.trouble.database_set_back => !job.is_unfinished(),
            Some(_) => job.state == TraceState::Erased,
            None => job.state == TraceState::Closed,
        };
        let open: Vec<String> = jobs
            .iter()
            .filter(|job| !is_over(job, &world.oracle.lock().expect("not poisoned").plan(job.id)))
            .map(|job| format!("job {} is {} and {}", job.id, job.state, job.status))
            .collect();
        if open.is_empty() {
            return Ok(());
        }
        if world.clock.elapsed_ms() - begun > CALM_MS_MAX {
            return Err(format!("not every job closes: {}", open.join(", ")));
        }
        world.sleep_ms(5000).await;
    }
}

/// The guarantees, held against what there is.
pub async fn reckon(world: &Arc<World>, ids: &[JobId]) -> Result<Seen, String> {
    let dice = world.dice.fork();
    for id in ids.iter().copied() {
        let read = world.request(&dice, move |node| async move { reader::read(&node, id).await }).await;
        let read = read.map_err(|_| format!("job {id}: not readable in the calm"))?;
        let read = read.map_err(|error| format!("job {id}: not readable in the calm: {error}"))?;
        let job = world.database.jobs().into_iter().find(|job| job.id == id).expect("a job of this simulation");
        let mismatches: Vec<_> =
            world.database.all_mismatches().into_iter().filter(|mismatch| mismatch.what.job == id).collect();
        world.oracle.lock().expect("not poisoned").check_end(&job, &mismatches, &read);
        let sealed = world.database.all_rows(id).iter().any(|row| matches!(row.state, ChunkState::Sealed { .. }));
        if sealed {
            let what = format!("job {id}: closed with a chunk that is only in the live store");
            world.oracle.lock().expect("not poisoned").violation(what);
        }
    }
    let looks = verifying::looks(world).await;
    let oracle = world.oracle.lock().expect("not poisoned");
    match oracle.first_violation() {
        Some(violation) => Err(violation),
        None => Ok(Seen {
            looks,
            faults: world.weather.tally.counts(),
            ..oracle.seen(&world.database.jobs(), &world.database.all_mismatches())
        }),
    }
}

/// The live store holds nothing but tombstones of finished jobs, the object store nothing of erased ones.
async fn nothing_is_left_behind(world: &World) {
    for key in world.objects.keys() {
        let job = keys::parse(&key).map(|key| key.job).expect("a key of ours");
        if world.oracle.lock().expect("not poisoned").must_be_erased(job) {
            let what = format!("job {job}: erased, and {key} is still there");
            world.oracle.lock().expect("not poisoned").violation(what);
        }
    }
    if world.weather.trouble.is_orderly()
        && let Some(key) = orphans(world).first()
    {
        let what = format!("no row names {key}, and nothing kept a node from its work");
        world.oracle.lock().expect("not poisoned").violation(what);
    }
    for job in world.database.jobs() {
        let rows = world.database.all_rows(job.id);
        if rows.iter().any(|row| matches!(&row.state, ChunkState::Persisted { at: Location::Database(_), .. })) {
            let what = format!("job {}: a chunk lies in the database and does not move on", job.id);
            world.oracle.lock().expect("not poisoned").violation(what);
        }
    }
    world.database.remove_unnamed_bytes(Duration::ZERO).await.expect("the model answers");
    for key in world.database.chunk_bytes().keys() {
        let what = format!("{key}: its bytes are left behind in the database");
        world.oracle.lock().expect("not poisoned").violation(what);
    }
    let page = world.live.scan(None, 10_000).await.map_err(|error| error.to_string()).expect("the model answers");
    for found in page.found {
        let what = match found {
            Found::Chunk { job, chunk, released, .. } => {
                format!("job {job}: the live copy of chunk {chunk} is left behind (released: {released})")
            }
            Found::Trace(job) => match world.live.load(job).await.ok().flatten().map(|trace| trace.entry) {
                None | Some(Entry::Tombstone(_)) => continue,
                Some(_) => format!("job {job}: it is over, and its live entry is no tombstone"),
            },
        };
        world.oracle.lock().expect("not poisoned").violation(what);
    }
}
