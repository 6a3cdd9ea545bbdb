//! Turns that fail: whoever alone does not reach a store leaves them to others.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use veritail::pipeline::{Pipeline, Settings, Stores};
use veritail::seams::real::{NoFailPoints, SystemChance, TokioSpawn};
use veritail::seams::{Clock, Seams};
use veritail::store::hooked::{Call, Hook, Hooked};
use veritail::store::{Result, StoreError};
use veritail::trace::Timestamp;

use crate::passing::{BEGIN, Virtual};
use crate::rig::models;

const HOUR: Duration = Duration::from_hours(1);

/// When a node looked through the live store's keys, if it reaches them.
struct Looks {
    reaches: bool,
    clock: Arc<Virtual>,
    at: Mutex<Vec<Timestamp>>,
}

#[async_trait]
impl Hook for Looks {
    async fn before(&self, call: &Call) -> Result<()> {
        if call.operation == "scan" {
            self.at.lock().expect("nobody panics here").push(self.clock.now());
        }
        if self.reaches { Ok(()) } else { Err(StoreError::unavailable("redis", "this node is cut off")) }
    }

    async fn after(&self, _call: &Call, _took: Duration, _failed: Option<&StoreError>) -> Result<()> {
        Ok(())
    }
}

/// A node that works, over these stores.
fn node(clock: &Arc<Virtual>, stores: &Stores, reaches: bool) -> (Pipeline, Arc<Looks>) {
    let looks = Arc::new(Looks { reaches, clock: clock.clone(), at: Mutex::default() });
    let live = Arc::new(Hooked::new(stores.live.clone(), looks.clone(), clock.clone()));
    let (chance, spawn, points) = (Arc::new(SystemChance), Arc::new(TokioSpawn), Arc::new(NoFailPoints));
    let seams = Seams { clock: clock.clone(), chance, spawn, points };
    let node = Pipeline::new(Stores { live, ..stores.clone() }, seams, Settings::default());
    node.start();
    (node, looks)
}

#[tokio::test(start_paused = true)]
async fn a_node_that_is_cut_off_from_a_store_takes_no_turn_from_those_that_are_not() {
    let clock = Arc::new(Virtual::new());
    let (_, _, stores) = models(clock.clone());
    let (_cut_off, failed) = node(&clock, &stores, false);
    let (_well, done) = node(&clock, &stores, true);
    clock.sleep(24 * HOUR).await;
    let (failed, done) = (failed.at.lock().expect("no panic"), done.at.lock().expect("no panic"));
    assert!(failed.len() > 10, "it tries: {}", failed.len());
    let settings = Settings::default();
    // Until it is due, until it is asked for, and one that failed in between.
    let most = settings.live_sweep_interval + settings.lease_time * 3;
    let begins = [BEGIN].into_iter().chain(done.iter().copied());
    let longest = begins.zip(done.iter()).map(|(one, next)| next.since(one)).max().expect("it does them");
    assert!(longest <= most, "{longest:?} without a sweep");
    assert!(BEGIN.after(24 * HOUR).since(*done.last().expect("one")) <= most);
}
