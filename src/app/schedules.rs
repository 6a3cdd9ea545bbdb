//! The verifier's schedules: at the moments that the cron expressions name, its ticks are set going.
//!
//! The ticks are tasks of the node like all others, and end with it; here is only decided when they begin.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio_cron_scheduler::{Job, JobScheduler, JobSchedulerError};

use crate::config::Verify;
use crate::config::cron::Cron;
use crate::telemetry::verification as telemetry;
use crate::trace::Schedule;
use crate::verify::Verifier;

/// Keeps the schedules until it is stopped.
pub(super) struct Schedules(JobScheduler);

/// Starts all schedules that are not off.
pub(super) async fn start(config: &Verify, verifier: &Verifier) -> Result<Schedules, JobSchedulerError> {
    let scheduler = JobScheduler::new().await?;
    let seams = verifier.node().seams();
    // The scheduler keeps what it is given for longer than the node lives: it is given no more than this.
    let (due, is_due) = mpsc::unbounded_channel();
    let schedules = [
        (Schedule::Hot, &config.hot),
        (Schedule::Full, &config.full),
        (Schedule::Inventory, &config.inventory),
        (Schedule::Canary, &config.canary),
    ];
    for (schedule, cron) in schedules {
        let Some(expression) = cron.expression() else { continue };
        telemetry::interval(schedule, promised(schedule, cron, config), cron.interval());
        // It counts as having made progress now, so that it is late only after its interval.
        telemetry::progressed(schedule, seams.clock.now());
        if schedule == Schedule::Canary {
            telemetry::canary_scheduled(seams.clock.now());
        }
        let due = due.clone();
        let job = Job::new_async(expression, move |_, _| {
            // Where nobody listens any more, nothing is due.
            let _ = due.send(schedule);
            Box::pin(std::future::ready(()))
        });
        scheduler.add(job?).await?;
    }
    if config.inventory.expression().is_some() {
        seams.spawn.spawn("verify", Box::pin(go_on(verifier.clone(), config.jitter.0)));
    }
    seams.spawn.spawn("schedules", Box::pin(begin_what_is_due(verifier.clone(), config.jitter.0, is_due)));
    scheduler.start().await?;
    Ok(Schedules(scheduler))
}

async fn begin_what_is_due(verifier: Verifier, jitter: Duration, mut is_due: mpsc::UnboundedReceiver<Schedule>) {
    while let Some(schedule) = is_due.recv().await {
        verifier.node().seams().spawn.spawn("verify", Box::pin(tick(verifier.clone(), schedule, jitter)));
    }
}

/// What is promised: for *full* the time of a cycle, else from one run to the next.
fn promised(schedule: Schedule, cron: &Cron, config: &Verify) -> Duration {
    if schedule == Schedule::Full { config.full_cycle.0 } else { cron.interval() }
}

async fn tick(verifier: Verifier, schedule: Schedule, jitter: Duration) {
    wait_by_chance(&verifier, jitter).await;
    if let Err(error) = verifier.tick(schedule).await {
        tracing::warn!(%error, "the verifier's {schedule} run could not be done");
    }
}

async fn go_on(verifier: Verifier, jitter: Duration) {
    wait_by_chance(&verifier, jitter).await;
    if let Err(error) = verifier.go_on().await {
        tracing::warn!(%error, "what a crash left of an inventory could not be taken up");
    }
}

async fn wait_by_chance(verifier: &Verifier, jitter: Duration) {
    let seams = verifier.node().seams();
    let jitter_ms = u64::try_from(jitter.as_millis()).unwrap_or(u64::MAX);
    if jitter_ms > 0 {
        seams.clock.sleep(Duration::from_millis(seams.chance.bits() % jitter_ms)).await;
    }
}

impl Schedules {
    /// No tick begins any more.
    pub(super) async fn stop(mut self) {
        if let Err(error) = self.0.shutdown().await {
            tracing::warn!(%error, "the verifier's schedules could not be stopped in order");
        }
    }
}
