//! Passes: who does what of them, after a crash, while a store is away, and while traces come and go.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use veritail::pipeline::Stores;
use veritail::seams::within;
use veritail::store::database::verifications::{Run, RunFilter};
use veritail::store::hooked::{Call, Hook};
use veritail::store::object::keys;
use veritail::store::{Result, StoreError};
use veritail::telemetry::verification::Tick;
use veritail::trace::{ChunkIndex, Epoch, JobId, RunState, Schedule};
use veritail::verify::{Settings, Verifier};

use super::rig::{Ahead, Rig, finish, in_production, log, on_models, open, verify_settings};
use crate::support::hooks::{Faults, Recorder, Side};

/// Once in a day.
fn daily() -> Settings {
    Settings { inventory_interval: Duration::from_secs(24 * 3600), ..verify_settings() }
}

fn daily_over(rig: &Rig, hook: Arc<dyn Hook>) -> Verifier {
    Verifier::new(rig.node_over(rig.hooked(hook)), daily())
}

#[tokio::test]
async fn nodes_take_turns_and_a_pass_is_done_once() {
    let rig = on_models();
    let (recorder, others) = (Arc::new(Recorder::default()), Arc::new(Recorder::default()));
    let (one, other) = (daily_over(&rig, recorder.clone()), daily_over(&rig, others.clone()));
    let (first, second) = futures::join!(one.tick(Schedule::Inventory), other.tick(Schedule::Inventory));
    assert!([first.unwrap(), second.unwrap()].contains(&Tick::Ran));
    // 256 prefixes, and the quarantine.
    let listings = recorder.count("object_store", "list") + others.count("object_store", "list");
    assert_eq!(listings, 257);
    assert_eq!(one.tick(Schedule::Inventory).await.unwrap(), Tick::Idle);
    rig.pass(Duration::from_secs(24 * 3600));
    assert_eq!(one.tick(Schedule::Inventory).await.unwrap(), Tick::Ran);
}

/// Stands still at a listing, as if its node had died there.
struct DiesAt(AtomicU32);

#[async_trait]
impl Hook for DiesAt {
    async fn before(&self, call: &Call) -> Result<()> {
        if call.operation == "list" && self.0.fetch_sub(1, Ordering::SeqCst) == 1 {
            std::future::pending::<()>().await;
        }
        Ok(())
    }

    async fn after(&self, _call: &Call, _took: Duration, _failed: Option<&StoreError>) -> Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn what_a_crash_left_is_taken_up_at_the_next_start_and_no_more() {
    let rig = on_models();
    let dying = daily_over(&rig, Arc::new(DiesAt(AtomicU32::new(100))));
    let died = within(rig.clock.as_ref(), Duration::from_millis(500), dying.tick(Schedule::Inventory)).await;
    assert!(died.is_none(), "it stands still in the middle");
    drop(dying);
    rig.pass(Duration::from_secs(60));

    let recorder = Arc::new(Recorder::default());
    daily_over(&rig, recorder.clone()).go_on().await.unwrap();
    let listings = recorder.count("object_store", "list");
    assert!((257 - 99..=257 - 99 + 4).contains(&listings), "{listings} listings after 99 that came to their end");
    assert_eq!(rig.last_run().await.state, RunState::Complete);

    // A start after a whole pass begins none.
    recorder.reset();
    daily_over(&rig, recorder.clone()).go_on().await.unwrap();
    assert_eq!(recorder.count("object_store", "list"), 0);
}

/// Somebody asks the newest run to stop.
async fn stop(stores: &Stores) -> Result<Option<Run>> {
    let newest = RunFilter { schedule: Some(Schedule::Inventory), limit: 1, ..RunFilter::default() };
    let run = stores.verifications.runs(newest).await?.remove(0);
    stores.verifications.ask_to_stop(run.id, "somebody").await
}

/// Somebody asks the run to stop at a call of this name, once so many of them were made.
struct StopsAt {
    stores: Stores,
    clock: Arc<Ahead>,
    operation: &'static str,
    left: AtomicU32,
    /// Listings since then.
    goes_on: AtomicU32,
}

#[async_trait]
impl Hook for StopsAt {
    async fn before(&self, call: &Call) -> Result<()> {
        if self.left.load(Ordering::SeqCst) == 0 && matches!(call.operation, "list" | "scan") {
            self.goes_on.fetch_add(1, Ordering::SeqCst);
        }
        if call.operation == self.operation && self.left.load(Ordering::SeqCst) > 0 {
            if self.left.fetch_sub(1, Ordering::SeqCst) == 1 {
                let asked = stop(&self.stores).await?;
                assert_eq!(asked.unwrap().stop_asked_by.as_deref(), Some("somebody"));
            }
            // What is seen is written down every second.
            self.clock.pass(Duration::from_secs(2));
        }
        Ok(())
    }

    async fn after(&self, _call: &Call, _took: Duration, _failed: Option<&StoreError>) -> Result<()> {
        Ok(())
    }
}

/// Something lies below every prefix, in quarantine, in the live store, and is known from before.
async fn full_of_things(rig: &Rig) {
    for number in 0..4096 {
        let key = keys::chunk_key(JobId(10_000 + number), ChunkIndex(0), Epoch(1), "0f1e");
        rig.stores.objects.put(&key, "of before".into()).await.unwrap();
    }
    let bad = keys::quarantine_key(JobId(10_000), ChunkIndex(0), Epoch(1), "0f1e");
    rig.stores.objects.put(&bad, "bad".into()).await.unwrap();
    rig.pass(Duration::from_secs(60));
    open(&rig.node, &log(1)).await;
}

#[tokio::test]
async fn a_pass_that_is_stopped_stops_wherever_it_is_and_the_next_one_does_the_rest() {
    for (operation, calls) in [("list", 1), ("list", 2), ("list", 90), ("list", 257), ("scan", 1)] {
        let rig = on_models();
        full_of_things(&rig).await;
        let (left, goes_on) = (AtomicU32::new(calls), AtomicU32::new(0));
        let stops =
            Arc::new(StopsAt { stores: rig.stores.clone(), clock: rig.clock.clone(), operation, left, goes_on });
        let verifier = daily_over(&rig, stops.clone());
        assert_eq!(verifier.tick(Schedule::Inventory).await.unwrap(), Tick::Ran);
        let run = rig.last_run().await;
        let goes_on = stops.goes_on.load(Ordering::SeqCst);
        assert_eq!((run.state, goes_on), (RunState::Stopped, 0), "{calls} times {operation}: {run:?}");
        assert_eq!(run.message, None);

        // What it did is done, and what it did not is due at once.
        let recorder = Arc::new(Recorder::default());
        assert_eq!(daily_over(&rig, recorder.clone()).tick(Schedule::Inventory).await.unwrap(), Tick::Ran);
        let listings = recorder.count("object_store", "list");
        // How many were done before the live store had its turn is by chance.
        let done = if operation == "list" { calls - 1 } else { 256 };
        assert!((257 - u64::from(done)..=257).contains(&listings), "{listings} after {calls} times {operation}");
        let last = rig.last_run().await;
        assert!(last.id > run.id && last.state == RunState::Complete, "{last:?}");
        assert_eq!(verifier.tick(Schedule::Inventory).await.unwrap(), Tick::Idle);
    }
}

#[tokio::test]
async fn a_store_that_fails_is_no_finding_and_is_asked_again() {
    let rig = on_models();
    rig.closed().await;
    let faults = Arc::new(Faults::default());
    let verifier = daily_over(&rig, faults.clone());
    faults.fail("object_store", "list", Side::Before);
    faults.fail("live", "scan", Side::After);
    assert_eq!(verifier.tick(Schedule::Inventory).await.unwrap(), Tick::Ran);
    let run = rig.last_run().await;
    assert_eq!((run.state, run.tally.unreachable, faults.left()), (RunState::Partial, 2, 0));
    assert_eq!(verifier.tick(Schedule::Inventory).await.unwrap(), Tick::Idle, "both were done a moment later");
    assert_eq!(rig.found().await, []);
}

/// Traces are written, migrated and erased while one inventory follows the other.
#[tokio::test]
async fn a_busy_installation_has_no_findings() {
    for rig in [on_models(), in_production().await] {
        // No step from a put to its row takes so long, and no erasing.
        let settings = Settings { orphan_grace: Duration::from_secs(20), ..verify_settings() };
        let verifier = Verifier::new(rig.node.clone(), settings);
        let traces = futures::future::join_all((0..20).map(async |number| {
            let log = log(number);
            let job = open(&rig.node, &log).await;
            finish(&rig.node, job, &log).await;
            if number % 3 == 0 {
                rig.node.erase(job, "admin").await.unwrap();
            }
        }));
        let inventories = async {
            for _ in 0..3 {
                assert_eq!(verifier.tick(Schedule::Inventory).await.unwrap(), Tick::Ran);
                assert_eq!(rig.last_run().await.state, RunState::Complete);
            }
        };
        futures::join!(traces, inventories);
        rig.pass(Duration::from_secs(3600));
        verifier.tick(Schedule::Inventory).await.unwrap();
        let run = rig.last_run().await;
        assert!(run.tally.chunks >= 13 * 3, "{run:?}");
        assert_eq!(rig.found().await, []);
    }
}
