//! The verifiers of the simulated nodes: the same ticks as in production, with cycles of minutes in place of weeks, and
//! people who ask for a run of their own.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use veritail::pipeline::examine::Examiner;
use veritail::store::database::verifications::{Run, RunFilter, RunId, Verifications};
use veritail::trace::{ByteSize, Detector, JobId, Offset, RunState, Schedule};
use veritail::verify::{Budgeted, Scope, Settings, Verifier};

use super::clocks::{self, View};
use super::machine::Dice;
use super::world::World;

/// The promised time of both cycles.
pub const CYCLE: Duration = Duration::from_secs(60);
/// A tick begins by chance so much later.
const JITTER_MS: u64 = 3000;
const HOT_EVERY: Duration = Duration::from_secs(15);
const FULL_EVERY: Duration = Duration::from_secs(12);
/// The time between two inventories.
pub const INVENTORY_EVERY: Duration = Duration::from_secs(60);
/// Younger than this, and than clocks are apart, unnamed objects are left alone.
const ORPHAN_GRACE: Duration = Duration::from_secs(60);

/// How long what no row names is left alone, by clocks that are so far apart.
pub fn orphan_grace(clocks: &[View]) -> Duration {
    ORPHAN_GRACE + Duration::from_millis(clocks::apart_ms(clocks))
}

/// Looks at a log that is written at full speed, at most.
const WATCHED: u32 = 250;
/// The shortest time between two ticks.
const SHORTEST: Duration = Duration::from_secs(2);

/// How often the verifiers look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// Cycles of a minute, within narrow budgets.
    Minutes,
    /// As often as can be, without a budget.
    Shortest,
}

impl Pace {
    fn schedules(self) -> [(Schedule, Duration); 3] {
        let [hot, full, inventory] = match self {
            Self::Minutes => [HOT_EVERY, FULL_EVERY, INVENTORY_EVERY],
            Self::Shortest => [SHORTEST, SHORTEST, INVENTORY_EVERY],
        };
        [(Schedule::Hot, hot), (Schedule::Full, full), (Schedule::Inventory, inventory)]
    }

    pub fn settings(self, clocks: &[View]) -> Settings {
        let settings = settings(clocks);
        if self == Self::Minutes {
            return settings;
        }
        let unlimited =
            |concurrency| Budgeted { bytes_per_second: ByteSize::ZERO, requests_per_second: 0, concurrency };
        Settings {
            hot: unlimited(4),
            hot_interval: SHORTEST,
            open_interval: Duration::ZERO,
            full: unlimited(3),
            full_slice: Duration::from_secs(10),
            fresh_cycle: SHORTEST,
            old_cycle: SHORTEST,
            inventory: unlimited(1),
            ..settings
        }
    }
}

fn settings(clocks: &[View]) -> Settings {
    let budget = |concurrency| Budgeted { bytes_per_second: ByteSize(20_000), requests_per_second: 200, concurrency };
    Settings {
        repairs: true,
        hot: budget(4),
        hot_interval: HOT_EVERY,
        open_interval: Duration::from_secs(20),
        full: budget(3),
        full_slice: Duration::from_secs(5),
        fresh_cycle: CYCLE,
        old_cycle: CYCLE,
        // Jobs grow old in the middle of a simulation.
        fresh_for: Duration::from_secs(100),
        inventory: Budgeted { bytes_per_second: ByteSize::ZERO, requests_per_second: 1000, concurrency: 1 },
        inventory_interval: INVENTORY_EVERY,
        orphan_grace: orphan_grace(clocks),
        runs_kept_for: Duration::from_secs(24 * 3600),
        ..Settings::default()
    }
}

/// Ticks by the node's clock until the node dies. What an inventory left half done is gone on with at once.
pub fn keep_schedules(verifier: &Verifier, pace: Pace, rest: &Arc<AtomicBool>) {
    let going_on = verifier.clone();
    let go_on = async move {
        if let Err(error) = going_on.go_on().await {
            tracing::debug!(%error, "the inventory could not be gone on with");
        }
    };
    verifier.node().seams().spawn.spawn("verify", Box::pin(go_on));
    for (schedule, every) in pace.schedules() {
        let ticking = tick_for_ever(verifier.clone(), schedule, every, rest.clone());
        verifier.node().seams().spawn.spawn("schedule", Box::pin(ticking));
    }
}

/// While they `rest` no tick begins: long waits in which nothing happens would cost most of the time.
async fn tick_for_ever(verifier: Verifier, schedule: Schedule, every: Duration, rest: Arc<AtomicBool>) {
    let seams = verifier.node().seams();
    loop {
        seams.clock.sleep(every + Duration::from_millis(seams.chance.bits() % JITTER_MS)).await;
        if rest.load(Ordering::Relaxed) {
            continue;
        }
        let verifier = verifier.clone();
        let tick = async move {
            if let Err(error) = verifier.tick(schedule).await {
                tracing::debug!(%error, "the {schedule} run could not be done");
            }
        };
        seams.spawn.spawn("verify", Box::pin(tick));
    }
}

/// Somebody verifies one job or all of them now and then, until the storm is over.
pub async fn verify_now_and_then(world: Arc<World>, dice: Dice, jobs: Vec<JobId>) {
    while world.is_stormy() {
        world.sleep_ms(dice.between(500, 8000)).await;
        let scope = if dice.chance(500) { Scope::From(JobId(1)) } else { Scope::Jobs(vec![*dice.pick(&jobs)]) };
        let run = |doors: super::world::Doors| async move {
            doors.verifier.verify(scope, "a person".to_owned(), |_| ()).await.is_ok()
        };
        // What it answers is the oracle's to judge by the mismatches that it opens.
        let _ = world.ask(&dice, run).await;
    }
}

/// A log that is written at full speed is looked at as often as can be: by everybody who looks at what is live.
pub async fn watch_it_grow(world: Arc<World>, dice: Dice, job: JobId, burst: u64) {
    let examiner = Examiner { detector: Detector::Hot, run: None, heals: true };
    world.sleep_ms(dice.below(100)).await;
    for _ in 0..WATCHED {
        if world.job(job).acked_length >= Offset(burst) || !world.is_stormy() {
            return;
        }
        world.weather.tally.count("log looked at while it grew at full speed");
        let look =
            |doors: super::world::Doors| async move { doors.pipeline.examine_unfinished(job, examiner).await.is_ok() };
        let _ = world.ask(&dice, look).await;
        world.sleep_ms(dice.below(10)).await;
    }
}

/// Looks at copies, over all runs.
pub async fn looks(world: &World) -> u64 {
    runs(world, RunFilter::default()).await.iter().map(|run| run.tally.looks).sum()
}

/// The run that began last.
pub async fn newest_run(world: &World) -> Option<RunId> {
    runs(world, RunFilter::default()).await.first().map(|run| run.id)
}

/// The cycles of the full run over old jobs, newest first: the one under way, and those that saw everything. What two nodes
/// began at once, of which one was not needed, is none.
pub async fn whole_cycles(world: &World) -> Vec<Run> {
    let full = RunFilter { schedule: Some(Schedule::Full), ..RunFilter::default() };
    let is_whole = |run: &Run| match run.state {
        RunState::Running => true,
        RunState::Complete => run.ended_at.is_some_and(|at| at.since(run.started_at) > CYCLE / 4),
        _ => false,
    };
    runs(world, full).await.into_iter().filter(|run| is_whole(run) && run.scope.starts_with("old/")).collect()
}

async fn runs(world: &World, filter: RunFilter) -> Vec<Run> {
    let all = RunFilter { limit: u32::MAX, ..filter };
    world.database.runs(all).await.map_err(|error| error.to_string()).expect("the model answers")
}
