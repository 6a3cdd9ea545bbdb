//! The way to the stores: it delays, fails before the effect, or loses the answer after it; and stores that are away.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use async_trait::async_trait;
use veritail::store::hooked::{Call, Hook};
use veritail::store::{Result, StoreError};
use veritail::trace::JobId;

use super::clocks::{Pause, SimClock};
use super::machine::{Dice, Life};
use super::plan::{Mode, Trouble};
use super::tally::Tally;

/// What all nodes meet on their way.
pub struct Weather {
    pub trouble: Trouble,
    pub stormy: AtomicBool,
    pub tally: Tally,
    clock: Arc<SimClock>,
    outages: Mutex<Vec<Outage>>,
    /// Nodes that look at damage of this job die in the middle of it, so many times.
    deadly_looks: Mutex<Option<(JobId, u64)>>,
}

/// For a while a store, or the part of it that some jobs lie in, cannot be used.
struct Outage {
    store: &'static str,
    /// `None`: everything.
    jobs: Option<BTreeSet<JobId>>,
    until_ms: u64,
    /// Calls that take effect and lose their answer, per thousand; the others have no effect.
    take_effect: u64,
}

impl Weather {
    pub fn new(trouble: Trouble, clock: Arc<SimClock>) -> Self {
        let (tally, outages) = (Tally::default(), Mutex::new(Vec::new()));
        Self { trouble, stormy: AtomicBool::new(true), tally, clock, outages, deadly_looks: Mutex::default() }
    }

    pub fn is_stormy(&self) -> bool {
        self.stormy.load(Ordering::Relaxed)
    }

    /// A store is away for `ms`.
    pub fn away(&self, store: &'static str, jobs: Option<BTreeSet<JobId>>, ms: u64, take_effect: u64) {
        let until_ms = self.clock.elapsed_ms() + ms;
        self.outages.lock().expect("not poisoned").push(Outage { store, jobs, until_ms, take_effect });
    }

    /// Every store is back.
    pub fn clear(&self) {
        self.outages.lock().expect("not poisoned").clear();
    }

    /// The next `times` nodes that look at damage of `job` die before it is confirmed.
    pub fn let_lookers_die(&self, job: JobId, times: u64) {
        *self.deadly_looks.lock().expect("not poisoned") = Some((job, times));
    }

    /// Whether such a node is still waited for.
    pub fn do_lookers_die(&self) -> bool {
        self.deadly_looks.lock().expect("not poisoned").is_some()
    }

    /// Whether this call's caller dies. A row is asked for by its place once something differs from what it says.
    fn is_deadly(&self, call: &Call) -> bool {
        let mut deadly = self.deadly_looks.lock().expect("not poisoned");
        let Some((_, left)) = deadly.filter(|(job, _)| call.job == Some(*job)) else { return false };
        if (call.store, call.operation) != ("database", "chunk") {
            return false;
        }
        *deadly = deadly.map(|(job, _)| (job, left - 1)).filter(|(_, left)| *left > 0);
        true
    }

    /// How the store of this call is away, if it is: the share of calls that take effect.
    fn outage(&self, call: &Call) -> Option<u64> {
        let now = self.clock.elapsed_ms();
        let mut outages = self.outages.lock().expect("not poisoned");
        outages.retain(|outage| outage.until_ms > now);
        let concerns = |outage: &&Outage| {
            let about = outage.jobs.as_ref().is_none_or(|jobs| call.job.is_some_and(|job| jobs.contains(&job)));
            outage.store == call.store && about
        };
        outages.iter().find(concerns).map(|outage| outage.take_effect)
    }
}

/// One node's way to the stores.
pub struct FlakyNetwork {
    dice: Dice,
    weather: Arc<Weather>,
    pause: Arc<Pause>,
    life: Weak<Life>,
}

impl FlakyNetwork {
    pub fn new(dice: Dice, weather: Arc<Weather>, pause: Arc<Pause>, life: Weak<Life>) -> Self {
        Self { dice, weather, pause, life }
    }

    async fn delay(&self, is_slow: bool) {
        let trouble = &self.weather.trouble;
        let ms = if is_slow || (self.weather.is_stormy() && self.dice.chance(trouble.slow)) {
            self.dice.below(trouble.slow_ms_max)
        } else {
            self.dice.below(3)
        };
        if ms > 0 {
            #[allow(clippy::disallowed_methods, reason = "virtual time")]
            tokio::time::sleep(Duration::from_millis(ms)).await;
        }
        self.pause.over().await;
    }

    /// True if this call is the one that goes wrong in this way, and does so now.
    fn is_target(&self, call: &Call, mode: Mode) -> bool {
        self.weather.is_stormy()
            && self.weather.trouble.target.is_some_and(|target| {
                target.mode == mode && target.call == (call.store, call.operation) && self.dice.chance(target.per_mille)
            })
    }

    fn fails(&self, call: &Call, counted: &'static str, when: &'static str) -> Result<()> {
        self.weather.tally.count(counted);
        self.weather.tally.call(when, call);
        Err(StoreError::unavailable(call.store, format!("simulated, {when}")))
    }
}

#[async_trait]
impl Hook for FlakyNetwork {
    async fn before(&self, call: &Call) -> Result<()> {
        if self.weather.is_deadly(call)
            && let Some(life) = self.life.upgrade()
        {
            life.end();
            std::future::pending::<()>().await;
        }
        let is_slow = self.is_target(call, Mode::Slow);
        if is_slow {
            self.weather.tally.count("slow call");
        }
        self.delay(is_slow).await;
        if self.weather.outage(call).is_some_and(|take_effect| !self.dice.chance(take_effect)) {
            return self.fails(call, "away", BEFORE);
        }
        let chance = self.weather.is_stormy() && self.dice.chance(self.weather.trouble.fail_before);
        if chance || self.is_target(call, Mode::Before) {
            return self.fails(call, "failed", BEFORE);
        }
        Ok(())
    }

    async fn after(&self, call: &Call, _took: Duration, _failed: Option<&StoreError>) -> Result<()> {
        self.delay(false).await;
        if self.weather.outage(call).is_some() {
            return self.fails(call, "away, answer lost", AFTER);
        }
        let chance = self.weather.is_stormy() && self.dice.chance(self.weather.trouble.fail_after);
        if chance || self.is_target(call, Mode::After) {
            return self.fails(call, "answer lost", AFTER);
        }
        Ok(())
    }
}

/// The chunk copies in the database are asked like objects, and lie where the database does.
pub struct AsDatabase(pub Arc<FlakyNetwork>);

#[async_trait]
impl Hook for AsDatabase {
    async fn before(&self, call: &Call) -> Result<()> {
        self.0.before(&Call { store: "database", ..*call }).await
    }

    async fn after(&self, call: &Call, took: Duration, failed: Option<&StoreError>) -> Result<()> {
        let call = Call { store: "database", ..*call };
        if call.operation == "put" && failed.is_none() {
            self.0.weather.tally.count("chunk copy put into the database");
        }
        self.0.after(&call, took, failed).await
    }
}

/// The call had no effect.
pub const BEFORE: &str = "before the effect";
/// The call had its effect, and its caller does not know.
pub const AFTER: &str = "after the effect";
