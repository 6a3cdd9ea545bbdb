//! One seed from beginning to end: a storm with jobs in it, then calm, then the reckoning.
#![allow(clippy::disallowed_methods, reason = "tokio's paused clock and tasks are what the simulation hands in")]

use std::sync::Arc;
use std::time::Duration;

use veritail::store::database::{Database, Erased, Job, NewJob};
use veritail::store::live::Found;
use veritail::store::live::LiveStore;
use veritail::store::object::keys;
use veritail::trace::{ByteSize, ChunkSize, ChunkState, JobId, Location, JobStatus, TraceState};

use super::oracle::Seen;
use super::plan::{JobPlan, Kind};
use super::runner::Runner;
use super::world::World;
use super::{faults, reader};

/// The storm lasts at most so long; runners that are still at work go on in the calm.
const STORM_MS: u64 = 120_000;
/// Virtual time in which every job must have closed after the storm: far above every timeout of the settings.
const CALM_MS_MAX: u64 = 6 * 3_600_000;
/// After the last job closed: two sweeps of the live store, the grace of live copies, and the second deletion of an
/// erased trace's objects.
const AFTERMATH_MS: u64 = 1_000_000;

/// Runs a seed. The error is the first guarantee that did not hold.
pub fn simulate(seed: u64) -> Result<Seen, String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime without I/O");
    runtime.block_on(storm_and_calm(seed))
}

async fn storm_and_calm(seed: u64) -> Result<Seen, String> {
    let world = World::new(seed);
    tracing::info!(?world.trouble, "seed {seed}");
    let jobs = create_jobs(&world, seed).await;
    let ids: Vec<JobId> = jobs.iter().map(|(id, _, _)| *id).collect();
    tokio::spawn(faults::harm(world.clone(), world.dice.fork()));
    tokio::spawn(reader::read_now_and_then(world.clone(), world.dice.fork(), ids.clone()));
    let mut runners = Vec::new();
    for (id, plan, log) in jobs {
        if let Some(after) = plan.cancel_after_ms {
            tokio::spawn(cancel(world.clone(), id, after));
        }
        if let Some(after) = plan.erase_after_ms {
            tokio::spawn(erase(world.clone(), id, after));
        }
        let runner = Runner::new(world.clone(), world.dice.fork(), id, plan, log);
        runners.push(tokio::spawn(runner.run()));
    }
    let all = futures::future::join_all(runners);
    let _ = tokio::time::timeout(Duration::from_millis(STORM_MS), all).await;
    tracing::info!("the storm is over");
    world.calm();
    wait_for_the_end(&world).await?;
    world.sleep_ms(AFTERMATH_MS).await;
    reckon(&world, &ids).await
}

async fn create_jobs(world: &Arc<World>, seed: u64) -> Vec<(JobId, JobPlan, Vec<u8>)> {
    let mut jobs = Vec::new();
    for number in 0..world.dice.between(1, 4) {
        let plan = JobPlan::roll(&world.dice);
        let log = plan.log(seed.wrapping_add(number * 1_000_003));
        let trace_reset = match plan.kind {
            Kind::Resends { known_at_once, .. } => known_at_once.then_some(true),
            Kind::Forgetful { known_at_once } => known_at_once.then_some(false),
            Kind::ClaimsOnly => Some(false),
            Kind::Liar | Kind::Vanishes => Some(true),
        };
        let new = NewJob {
            project_path: "group/demo".to_owned(),
            name: format!("job-{number}"),
            token_sha256: [0; 32],
            status: JobStatus::Running,
            payload: None,
            chunk_size: ChunkSize::new(plan.chunk_size).expect("a chunk size"),
            trace_limit: ByteSize(plan.trace_limit),
            trace_reset,
            at: veritail::seams::Clock::now(world.clock.as_ref()),
        };
        let job =
            world.database.create_job(new).await.map_err(|error| error.to_string()).expect("the model takes jobs");
        tracing::info!("job {}: {plan:?}", job.id);
        world.oracle.lock().expect("not poisoned").add_job(job.id, plan.clone(), log.clone());
        jobs.push((job.id, plan, log));
    }
    jobs
}

async fn cancel(world: Arc<World>, job: JobId, after_ms: u64) {
    world.sleep_ms(after_ms).await;
    let dice = world.dice.fork();
    let _ = world.request(&dice, move |node| async move { node.cancel(job).await }).await;
}

/// Asks to erase until it is done: it is refused as long as the job has not ended.
async fn erase(world: Arc<World>, job: JobId, after_ms: u64) {
    world.sleep_ms(after_ms).await;
    let dice = world.dice.fork();
    loop {
        let erased = world.request(&dice, move |node| async move { node.erase(job, "somebody").await }).await;
        if matches!(erased, Ok(Ok(Erased::Done(_)))) {
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
async fn reckon(world: &Arc<World>, ids: &[JobId]) -> Result<Seen, String> {
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
    nothing_is_left_behind(world).await;
    let oracle = world.oracle.lock().expect("not poisoned");
    match oracle.first_violation() {
        Some(violation) => Err(violation),
        None => Ok(oracle.seen(&world.database.jobs(), &world.database.all_mismatches())),
    }
}

/// The live store holds nothing but tombstones of finished jobs, the object store nothing of erased ones.
async fn nothing_is_left_behind(world: &World) {
    for key in world.objects.keys() {
        let job = keys::parse(&key).map(|key| key.job).expect("a key of ours");
        if world.oracle.lock().expect("not poisoned").plan(job).erase_after_ms.is_some() {
            let what = format!("job {job}: erased, and {key} is still there");
            world.oracle.lock().expect("not poisoned").violation(what);
        }
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
        if let Found::Chunk { job, chunk, released } = found {
            let what = format!("job {job}: the live copy of chunk {chunk} is left behind (released: {released})");
            world.oracle.lock().expect("not poisoned").violation(what);
        }
    }
}
