//! Several runners ask for jobs at once: each job is given to one of them, and only while it waits.

use std::sync::Arc;

use veritail::seams::Clock;
use veritail::store::database::accounts::{Accounts, NewRunner, Reach, RunnerId, Taken};
use veritail::trace::{JobId, JobStatus};

use super::machine::Dice;
use super::plan::JobPlan;
use super::runner::Runner;
use super::world::World;

/// A job that waits, with what its runner will send.
pub type Waiting = (JobId, JobPlan, Vec<u8>);

/// Registers runners. Answers their numbers.
pub async fn register(world: &World, count: u64) -> Vec<RunnerId> {
    let mut runners = Vec::new();
    for number in 0..count {
        let new = NewRunner {
            description: format!("runner-{number}"),
            token_sha256: [number as u8; 32],
            projects: Reach::All,
            at: world.clock.now(),
        };
        let made = world.database.create_runner(new).await;
        runners.push(made.map_err(|error| error.to_string()).expect("the model takes runners").id);
    }
    runners
}

/// One runner: asks, works, asks again, until nothing waits any more or the storm is over.
pub async fn ask_for_jobs(world: Arc<World>, dice: Dice, runner: RunnerId, waiting: Arc<Vec<Waiting>>) {
    while world.is_stormy() && waiting.iter().any(|(job, ..)| world.job(*job).status == JobStatus::Pending) {
        world.sleep_ms(dice.between(100, 6000)).await;
        if let Some((job, plan, log)) = ask(&world, &dice, runner, &waiting).await {
            Runner::new(world.clone(), dice.fork(), job, plan, log).run().await;
        }
    }
}

async fn ask(world: &Arc<World>, dice: &Dice, runner: RunnerId, waiting: &[Waiting]) -> Option<Waiting> {
    // The request says what this kind of runner can do; the model hands out the first job that waits.
    let first = waiting.iter().find(|(job, ..)| world.job(*job).status == JobStatus::Pending);
    let trace_reset = first.and_then(|(_, plan, _)| plan.trace_reset_at_first());
    let over = world.oracle.lock().expect("not poisoned").known_to_be_over();
    let now = world.clock.now();
    let token = [dice.next() as u8; 32];
    let taken = world
        .ask(dice, move |node| async move { node.accounts.take_pending_job(runner, trace_reset, token, now).await });
    let Ok(Ok(Some(Taken { job, .. }))) = taken.await else { return None };
    world.weather.tally.count("job taken");
    world.oracle.lock().expect("not poisoned").taken(job.id, over.contains(&job.id));
    waiting.iter().find(|(id, ..)| *id == job.id).cloned()
}
