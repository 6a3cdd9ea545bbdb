//! Turns that fail: whoever alone does not reach a store leaves them to others.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use veritail::pipeline::{AppendRequest, Appended, BodyBroken, Pipeline, Settings, Stores};
use veritail::seams::real::{NoFailPoints, SystemChance, TokioSpawn};
use veritail::seams::{Clock, Seams};
use veritail::store::hooked::{Call, Hook, Hooked};
use veritail::store::{Result, StoreError};
use veritail::trace::{ByteSize, Offset, Timestamp};

use crate::passing::{BEGIN, Virtual};
use crate::rig::{models, running_job};

/// When a node made a call to the live store, if it reaches it.
struct Calls {
    reaches: bool,
    operation: &'static str,
    clock: Arc<Virtual>,
    at: Mutex<Vec<Timestamp>>,
}

#[async_trait]
impl Hook for Calls {
    async fn before(&self, call: &Call) -> Result<()> {
        if call.operation == self.operation {
            self.at.lock().expect("nobody panics here").push(self.clock.now());
        }
        if self.reaches { Ok(()) } else { Err(StoreError::unavailable("redis", "this node is cut off")) }
    }

    async fn after(&self, _call: &Call, _took: Duration, _failed: Option<&StoreError>) -> Result<()> {
        Ok(())
    }
}

/// A node that works, over these stores.
fn node(clock: &Arc<Virtual>, stores: &Stores, reaches: bool, operation: &'static str) -> (Pipeline, Arc<Calls>) {
    let calls = Arc::new(Calls { reaches, operation, clock: clock.clone(), at: Mutex::default() });
    let live = Arc::new(Hooked::new(stores.live.clone(), calls.clone(), clock.clone()));
    let (chance, spawn, points) = (Arc::new(SystemChance), Arc::new(TokioSpawn), Arc::new(NoFailPoints));
    let seams = Seams { clock: clock.clone(), chance, spawn, points };
    let node = Pipeline::new(Stores { live, ..stores.clone() }, seams, Settings::default());
    node.start();
    (node, calls)
}

/// The longest part of this time in which no node that reaches the live store made this call, where another is cut off.
async fn longest_without(operation: &'static str, time: Duration) -> Duration {
    let clock = Arc::new(Virtual::new());
    let (_, _, stores) = models(clock.clone());
    let job = stores.database.create_job(running_job(1024, BEGIN)).await.expect("a model").id;
    let (_cut_off, failed) = node(&clock, &stores, false, operation);
    let (well, done) = node(&clock, &stores, true, operation);
    // Of an unfinished log each sweep asks the live store.
    let (start, declared, trace_limit) = (Offset::ZERO, Some(ByteSize(5)), ByteSize::ZERO);
    let append = AppendRequest { job, made_at: BEGIN, trace_limit, start, declared };
    let body = futures::stream::iter([Ok::<_, BodyBroken>(Bytes::from_static(b"begun"))]);
    assert!(matches!(well.append(append, body).await.expect("a model"), Appended::Accepted { .. }));
    clock.sleep(time).await;
    let (failed, done) = (failed.at.lock().expect("no panic"), done.at.lock().expect("no panic"));
    assert!(failed.len() > 2, "the other tries: {}", failed.len());
    let begins = [BEGIN].into_iter().chain(done.iter().copied());
    let ends = done.iter().copied().chain([BEGIN.after(time)]);
    begins.zip(ends).map(|(one, next)| next.since(one)).max().expect("it does them")
}

#[tokio::test(start_paused = true)]
async fn a_node_that_is_cut_off_from_a_store_takes_no_turn_after_another() {
    let settings = Settings::default();
    // By chance the one that is cut off never has a turn.
    for _ in 0..3 {
        // Not done at all: until it is due, until it is asked for, and one that failed in between.
        let swept = longest_without("scan", Duration::from_hours(2)).await;
        assert!(
            swept <= settings.live_sweep_interval + settings.lease_time * 3,
            "{swept:?} without a sweep of live keys"
        );
        // Done as far as it went: one that failed in between takes its interval.
        let swept = longest_without("load", Duration::from_mins(50)).await;
        assert!(swept <= settings.sweep_interval * 2 + settings.lease_time * 2, "{swept:?} without a sweep");
    }
}
