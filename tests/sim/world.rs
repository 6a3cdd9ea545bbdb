//! The stores, the nodes over them, and the network between runners and nodes.
#![allow(clippy::disallowed_methods, reason = "tokio's paused clock and tasks are what the simulation hands in")]

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures::channel::oneshot;
use futures::stream;
use veritail::pipeline::{BodyBroken, Pipeline, Settings, Stores};
use veritail::seams::{Clock, Seams, Spawn};
use veritail::store::database::accounts::Accounts;
use veritail::store::database::drills::Drills;
use veritail::store::database::leases::Leases;
use veritail::store::database::verifications::Verifications;
use veritail::store::database::{Database, Job};
use veritail::store::hooked::Hooked;
use veritail::store::live::LiveStore;
use veritail::store::object::ObjectStore;
use veritail::trace::{ByteSize, JobId};
use veritail::verify::Verifier;

use super::clocks::{NodeClock, Pause, SimClock};
use super::machine::{DeadlyPoints, Dice, Life};
use super::network::{AsDatabase, FlakyNetwork, Weather};
use super::oracle::Oracle;
use super::plan::{NODES, Trouble};
use super::support::model::database::ModelDatabase;
use super::support::model::leases::ModelLeases;
use super::support::model::live::ModelLive;
use super::support::model::objects::ModelObjects;
use super::verifying::{self, Pace};

pub struct World {
    pub dice: Dice,
    pub weather: Arc<Weather>,
    pub clock: Arc<SimClock>,
    pub live: Arc<ModelLive>,
    pub database: Arc<ModelDatabase>,
    pub objects: Arc<ModelObjects>,
    leases: Arc<ModelLeases>,
    pub oracle: Mutex<Oracle>,
    /// One failover at a time.
    pub failing_over: AtomicBool,
    /// No verifier begins anything while this is set.
    pub verifiers_rest: Arc<AtomicBool>,
    pace: Pace,
    deadly: Arc<AtomicU64>,
    nodes: Mutex<Vec<Node>>,
}

struct Node {
    doors: Doors,
    life: Arc<Life>,
    pause: Arc<Pause>,
}

/// Where requests come in.
#[derive(Clone)]
pub struct Doors {
    pub pipeline: Pipeline,
    pub verifier: Verifier,
    pub accounts: Arc<dyn Accounts>,
}

/// The request was not answered: the node is down, died, or its answer was lost.
#[derive(Clone, Copy, Debug)]
pub struct NoAnswer;

/// A client gives up after that time.
const CLIENT_TIMEOUT: Duration = Duration::from_secs(60);

pub fn settings() -> Settings {
    Settings {
        live_grace: Duration::from_secs(20),
        resend_window: Duration::from_secs(200),
        sweep_interval: Duration::from_secs(5),
        live_sweep_interval: Duration::from_secs(30),
        cancel_timeout: Duration::from_secs(200),
        runner_timeout: Duration::from_secs(400),
        migrate_workers: 2,
        spill_after: Duration::from_secs(1),
        spill_max: ByteSize(2000),
        ..Settings::default()
    }
}

impl World {
    pub fn new(seed: u64) -> Arc<Self> {
        let dice = Dice::new(seed);
        let trouble = Trouble::roll(&dice);
        Self::with(dice, trouble, Pace::Minutes)
    }

    /// Whatever goes wrong, no byte that was kept is harmed; and the verifiers look as often as they can.
    pub fn unharmed(seed: u64) -> Arc<Self> {
        let dice = Dice::new(seed);
        let trouble = Trouble::roll(&dice).without_harm();
        Self::with(dice, trouble, Pace::Shortest)
    }

    fn with(dice: Dice, trouble: Trouble, pace: Pace) -> Arc<Self> {
        let clock = Arc::new(SimClock::new());
        let live = Arc::new(ModelLive::new(clock.clone()));
        let deadly = Arc::new(AtomicU64::new(trouble.die_at_point));
        let objects = Arc::new(ModelObjects::lagging(clock.clone(), trouble.listing_lag_ms));
        let world = Arc::new(Self {
            dice,
            weather: Arc::new(Weather::new(trouble, clock.clone())),
            clock: clock.clone(),
            live,
            database: Arc::new(ModelDatabase::new(clock.clone())),
            objects,
            leases: Arc::new(ModelLeases::new(clock)),
            oracle: Mutex::new(Oracle::default()),
            failing_over: AtomicBool::new(false),
            verifiers_rest: Arc::default(),
            pace,
            deadly,
            nodes: Mutex::new(Vec::new()),
        });
        for node in 0..NODES {
            let born = world.give_birth(node);
            world.nodes.lock().expect("not poisoned").push(born);
        }
        world
    }

    fn give_birth(&self, node: usize) -> Node {
        let pause = Arc::new(Pause::default());
        let view = self.weather.trouble.clocks[node];
        let clock: Arc<dyn Clock> = Arc::new(NodeClock { truth: *self.clock, view, pause: pause.clone() });
        let life = Arc::new(Life::default());
        let hook =
            Arc::new(FlakyNetwork::new(self.dice.fork(), self.weather.clone(), pause.clone(), Arc::downgrade(&life)));
        let points =
            DeadlyPoints { life: Arc::downgrade(&life), dice: self.dice.fork(), per_mille: self.deadly.clone() };
        let accounts: Arc<dyn Accounts> = self.database.clone();
        let accounts = Arc::new(Hooked::new(accounts, hook.clone(), clock.clone()));
        let seams = Seams {
            clock: clock.clone(),
            chance: Arc::new(self.dice.fork()),
            spawn: life.clone(),
            points: Arc::new(points),
        };
        let live: Arc<dyn LiveStore> = self.live.clone();
        let database: Arc<dyn Database> = self.database.clone();
        let objects: Arc<dyn ObjectStore> = self.objects.clone();
        let spill: Arc<dyn ObjectStore> = self.database.chunk_bytes();
        let leases: Arc<dyn Leases> = self.leases.clone();
        let verifications: Arc<dyn Verifications> = self.database.clone();
        let drills: Arc<dyn Drills> = self.database.clone();
        let stores = Stores {
            live: Arc::new(Hooked::new(live, hook.clone(), clock.clone())),
            database: Arc::new(Hooked::new(database, hook.clone(), clock.clone())),
            objects: Arc::new(Hooked::new(objects, hook.clone(), clock.clone())),
            spill: Arc::new(Hooked::new(spill, Arc::new(AsDatabase(hook.clone())), clock.clone())),
            leases: Arc::new(Hooked::new(leases, hook.clone(), clock.clone())),
            verifications: Arc::new(Hooked::new(verifications, hook.clone(), clock.clone())),
            drills: Arc::new(Hooked::new(drills, hook, clock)),
        };
        let pipeline = Pipeline::new(stores, seams, settings());
        pipeline.start();
        let verifier = Verifier::new(pipeline.clone(), self.pace.settings(&self.weather.trouble.clocks));
        verifying::keep_schedules(&verifier, self.pace, &self.verifiers_rest);
        Node { doors: Doors { pipeline, verifier, accounts }, life, pause }
    }

    /// Lets a node die, if it lives, and a new one take its place.
    pub fn restart(&self, node: usize) {
        let born = self.give_birth(node);
        let old = std::mem::replace(&mut self.nodes.lock().expect("not poisoned")[node], born);
        old.life.end();
    }

    pub fn kill(&self, node: usize) {
        self.nodes.lock().expect("not poisoned")[node].life.end();
    }

    pub fn is_down(&self, node: usize) -> bool {
        self.nodes.lock().expect("not poisoned")[node].life.is_over()
    }

    /// The storm is over: nothing fails any more, and every node is up.
    pub fn calm(&self) {
        self.weather.stormy.store(false, Ordering::Relaxed);
        self.weather.clear();
        self.deadly.store(0, Ordering::Relaxed);
        self.live.set_full(false);
        self.objects.set_lag(0);
        // What no put of the storm met must not meet one in the calm.
        self.objects.be_good();
        for node in 0..NODES {
            if self.is_down(node) {
                self.restart(node);
            } else if let Some(pause) = self.pause_of(node) {
                pause.set(false);
            }
        }
    }

    /// Nobody is at work for a long time, then everybody.
    pub async fn all_down_for(&self, ms: u64) {
        (0..NODES).for_each(|node| self.kill(node));
        self.sleep_ms(ms).await;
        (0..NODES).for_each(|node| self.restart(node));
    }

    pub fn is_stormy(&self) -> bool {
        self.weather.is_stormy()
    }

    pub fn pause_of(&self, node: usize) -> Option<Arc<Pause>> {
        let nodes = self.nodes.lock().expect("not poisoned");
        nodes.get(node).filter(|node| !node.life.is_over()).map(|node| node.pause.clone())
    }

    pub fn count_if(&self, occurred: bool, fault: &'static str) {
        if occurred {
            self.weather.tally.count(fault);
        }
    }

    /// A job as the database has it.
    pub fn job(&self, id: JobId) -> Job {
        self.database.jobs().into_iter().find(|job| job.id == id).expect("a job of this simulation")
    }

    pub async fn sleep_ms(&self, ms: u64) {
        tokio::time::sleep(Duration::from_millis(ms)).await;
    }

    /// Sends a request to some node and waits for its answer.
    pub async fn request<T, F>(&self, dice: &Dice, work: impl FnOnce(Pipeline) -> F) -> Result<T, NoAnswer>
    where
        T: Send + 'static,
        F: Future<Output = T> + Send + 'static,
    {
        self.ask(dice, |doors| work(doors.pipeline)).await
    }

    /// Sends the same request to two nodes at once, as a balancer does that tries again too early; the first answer
    /// counts.
    pub async fn request_twice<T, F>(&self, dice: &Dice, work: impl Fn(Pipeline) -> F) -> Result<T, NoAnswer>
    where
        T: Send + 'static,
        F: Future<Output = T> + Send + 'static,
    {
        self.weather.tally.count("request delivered twice");
        let first = std::pin::pin!(self.request(dice, &work));
        let second = std::pin::pin!(self.request(dice, &work));
        futures::future::select(first, second).await.factor_first().0
    }

    /// The same, for everything that a node has.
    pub async fn ask<T, F>(&self, dice: &Dice, work: impl FnOnce(Doors) -> F) -> Result<T, NoAnswer>
    where
        T: Send + 'static,
        F: Future<Output = T> + Send + 'static,
    {
        let (doors, life) = {
            let nodes = self.nodes.lock().expect("not poisoned");
            let node = &nodes[dice.below(NODES as u64) as usize];
            (node.doors.clone(), node.life.clone())
        };
        if life.is_over() {
            return Err(NoAnswer);
        }
        let (sender, answer) = oneshot::channel();
        let work = work(doors);
        // A client that hangs up: the server drops the request's handler wherever it is.
        let hangs_up = self.is_stormy() && dice.chance(self.weather.trouble.clients_hang_up);
        self.count_if(hangs_up, "client hung up");
        let patience = Duration::from_millis(if hangs_up { dice.below(60) } else { 3_600_000 });
        life.spawn(
            "request",
            Box::pin(async move {
                if let Ok(answer) = tokio::time::timeout(patience, work).await {
                    let _ = sender.send(answer);
                }
            }),
        );
        let answer = tokio::time::timeout(CLIENT_TIMEOUT, answer).await;
        if self.is_stormy() && dice.chance(self.weather.trouble.answers_lost) {
            self.weather.tally.count("answer to a client lost");
            return Err(NoAnswer);
        }
        answer.map_err(|_| NoAnswer)?.map_err(|_| NoAnswer)
    }

    /// A request's body as the network brings it: in pieces, and sometimes not to its end.
    pub fn body(
        &self,
        dice: &Dice,
        bytes: &[u8],
    ) -> impl futures::Stream<Item = Result<Bytes, BodyBroken>> + Send + Unpin + use<> {
        let mut pieces = Vec::new();
        let mut rest = Bytes::copy_from_slice(bytes);
        while !rest.is_empty() {
            let size = dice.between(1, rest.len() as u64 + 1) as usize;
            pieces.push(Ok(rest.split_to(size)));
        }
        if self.is_stormy() && dice.chance(self.weather.trouble.bodies_broken) {
            pieces.truncate(dice.below(pieces.len() as u64 + 1) as usize);
            pieces.push(Err(BodyBroken));
            self.weather.tally.count("body broken");
        }
        stream::iter(pieces)
    }
}
