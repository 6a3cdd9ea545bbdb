//! Passes: who does what of them, after a crash, while a store is away, and while traces come and go.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use veritail::seams::within;
use veritail::store::hooked::{Call, Hook};
use veritail::store::{Result, StoreError};
use veritail::telemetry::verification::Tick;
use veritail::trace::{RunState, Schedule};
use veritail::verify::{Settings, Verifier};

use super::rig::{Rig, finish, in_production, log, on_models, open, verify_settings};
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
