//! The inventory over stores of every kind: what it finds, what it leaves alone, and what it never takes for a finding.

#![allow(unreachable_pub, reason = "a rule is run from wherever stores are made")]

mod passes;
mod rig;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use veritail::pipeline::{Stores, UNNAMED_GRACE};
use veritail::store::database::{Found, MismatchFilter};
use veritail::store::object::{codec, keys};
use veritail::telemetry::verification::Tick;
use veritail::trace::{
    ByteSize, ChunkId, ChunkIndex, DataStore, Detector, Epoch, JobId, Kind, RunState, Schedule, Verdict,
};
use veritail::verify::{Settings, Verifier};

use crate::support::hooks::{Faults, Side};
use crate::support::model::database::ModelDatabase;
use rig::{CHUNK, DAY, MINUTE, Rig, create, finish, log, open, verify_settings};

/// Runs every rule over the stores that `$open` makes.
macro_rules! inventory_suite {
    ($name:ident, $open:expr) => {
        inventory_suite!(@rules $name, $open;
            stores_that_agree_have_no_findings,
            what_a_row_names_and_nobody_has_is_missing,
            a_copy_of_another_size_is_found_by_its_listing,
            what_is_missing_comes_back_from_an_orphan,
            a_lost_attempt_is_left_alone_and_removed_after_its_grace,
            a_spare_copy_stays_where_the_own_one_is_bad,
            what_nobody_knows_is_an_orphan_until_it_is_gone,
            by_policy_every_orphan_is_reported,
            what_an_erased_trace_left_behind_goes,
            keys_of_others_are_left_alone,
            quarantine_is_kept_for_its_time,
            live_copies_of_an_unknown_job_are_orphans,
            a_live_copy_that_the_sweep_left_is_stale,
            bytes_in_the_database_that_no_row_names_are_weighed_too,
        );
    };
    (@rules $name:ident, $open:expr; $($rule:ident),+ $(,)?) => {
        mod $name {
            $(
                #[tokio::test]
                async fn $rule() {
                    let rig = $open;
                    super::$rule(&rig).await;
                }
            )+
        }
    };
}

inventory_suite!(on_models_whose_listings_lag, super::rig::on_models());
inventory_suite!(on_the_embedded_stores, super::rig::embedded().await);
inventory_suite!(in_production, super::rig::in_production().await);

/// The key of a copy that no row names.
fn stray(job: JobId, index: u32) -> String {
    keys::chunk_key(job, ChunkIndex(index), Epoch(1), "0f1e")
}

async fn put(rig: &Rig, key: &str, bytes: &[u8]) {
    rig.stores.objects.put(key, codec::encode(bytes).into()).await.unwrap();
}

pub async fn stores_that_agree_have_no_findings(rig: &Rig) {
    let closed = rig.closed().await;
    let erased = rig.closed().await;
    rig.node.erase(erased, "admin").await.unwrap();
    open(&rig.node, &log(1)).await;
    for _ in 0..2 {
        assert_eq!(rig.inventory().await, Tick::Ran);
        let run = rig.last_run().await;
        assert_eq!((run.state, run.tally.differs, run.tally.unreachable), (RunState::Complete, 0, 0), "{run:?}");
        rig.pass(DAY);
    }
    // By now no listing lags: three objects of the closed trace, and what is live of the open one.
    let run = rig.last_run().await;
    assert!(run.tally.chunks >= 3, "{run:?}");
    assert_eq!(rig.found().await, []);
    assert!(rig.is_there(&rig.key(closed, 0).await).await);
}

pub async fn what_a_row_names_and_nobody_has_is_missing(rig: &Rig) {
    let job = rig.closed().await;
    rig.stores.objects.delete(&rig.key(job, 1).await).await.unwrap();
    rig.pass(MINUTE);
    for _ in 0..2 {
        rig.inventory().await;
        assert_eq!(rig.last_run().await.tally.differs, 1);
    }
    assert_eq!(rig.found().await, [(job, Kind::Missing, DataStore::ObjectStore, true)]);
    let known = rig.stores.database.mismatches(MismatchFilter::default()).await.unwrap().remove(0);
    assert_eq!((known.what.detector, known.what.chunk), (Detector::Inventory, Some(ChunkIndex(1))));
    assert!(known.what.run.is_some());
}

pub async fn a_copy_of_another_size_is_found_by_its_listing(rig: &Rig) {
    let job = rig.closed().await;
    let key = rig.key(job, 0).await;
    rig.stores.objects.put(&key, Bytes::from_static(b"short")).await.unwrap();
    rig.pass(MINUTE);
    rig.inventory().await;
    let found = rig.found().await;
    assert!(matches!(found[..], [(of, Kind::Size, DataStore::ObjectStore, true)] if of == job), "{found:?}");
}

pub async fn what_is_missing_comes_back_from_an_orphan(rig: &Rig) {
    let job = rig.closed().await;
    put(rig, &stray(job, 0), &log(0)[..CHUNK]).await;
    rig.stores.objects.delete(&rig.key(job, 0).await).await.unwrap();
    rig.pass(DAY);
    rig.inventory().await;
    assert_eq!(rig.found().await, [(job, Kind::Missing, DataStore::ObjectStore, false)]);
    assert!(rig.is_there(&rig.key(job, 0).await).await);
    rig.pass(MINUTE);
    rig.inventory().await;
    assert!(!rig.is_there(&stray(job, 0)).await, "now nobody can miss it");
    assert_eq!(rig.found().await.len(), 1);
}

pub async fn a_lost_attempt_is_left_alone_and_removed_after_its_grace(rig: &Rig) {
    let job = rig.closed().await;
    put(rig, &stray(job, 0), b"half of it").await;
    rig.pass(MINUTE);
    rig.inventory().await;
    assert!(rig.is_there(&stray(job, 0)).await, "an upload may be under way");
    rig.pass(DAY);
    rig.inventory().await;
    assert!(!rig.is_there(&stray(job, 0)).await);
    assert!(rig.is_there(&rig.key(job, 0).await).await);
    assert_eq!(rig.found().await, []);
}

pub async fn a_spare_copy_stays_where_the_own_one_is_bad(rig: &Rig) {
    let job = rig.closed().await;
    put(rig, &stray(job, 0), b"bad as well").await;
    let key = rig.key(job, 0).await;
    let mut bytes = rig.stores.objects.get_whole(&key).await.unwrap().unwrap().to_vec();
    *bytes.last_mut().unwrap() ^= 1;
    rig.stores.objects.put(&key, bytes.into()).await.unwrap();
    rig.pass(DAY);
    rig.inventory().await;
    assert!(rig.is_there(&stray(job, 0)).await);
    let found = rig.found().await;
    assert!(found.contains(&(job, Kind::Orphan, DataStore::ObjectStore, true)), "{found:?}");
    assert!(found.contains(&(job, Kind::Checksum, DataStore::ObjectStore, true)), "{found:?}");
}

/// As after a database was restored from a backup: these may be the only copies.
pub async fn what_nobody_knows_is_an_orphan_until_it_is_gone(rig: &Rig) {
    let (unknown, job) = (JobId(1000), rig.closed().await);
    for key in [stray(unknown, 0), stray(job, 7)] {
        put(rig, &key, b"of before").await;
    }
    rig.pass(DAY);
    for _ in 0..2 {
        rig.inventory().await;
        assert_eq!(rig.last_run().await.tally.differs, 2);
    }
    let mut found = rig.found().await;
    found.sort_unstable();
    let orphan = |job, open| (job, Kind::Orphan, DataStore::ObjectStore, open);
    assert_eq!(found, [orphan(job, true), orphan(unknown, true)]);
    let known = rig.stores.database.mismatches(MismatchFilter::default()).await.unwrap();
    assert!(known.iter().all(|known| known.times_seen == 2 && known.what.found.size.is_some()), "{known:?}");
    assert_eq!(known[0].what.expected, Found::default());

    rig.stores.objects.delete(&stray(unknown, 0)).await.unwrap();
    rig.pass(MINUTE);
    rig.inventory().await;
    let mut found = rig.found().await;
    found.sort_unstable();
    assert_eq!(found, [orphan(job, true), orphan(unknown, false)]);
    assert!(rig.is_there(&stray(job, 7)).await);
}

pub async fn by_policy_every_orphan_is_reported(rig: &Rig) {
    let job = rig.closed().await;
    put(rig, &stray(job, 0), b"half of it").await;
    rig.pass(DAY);
    for settings in
        [Settings { removes_orphans: false, ..verify_settings() }, Settings { repairs: false, ..verify_settings() }]
    {
        let verifier = Verifier::new(rig.node.clone(), settings);
        assert_eq!(verifier.tick(Schedule::Inventory).await.unwrap(), Tick::Ran);
        assert_eq!(rig.found().await, [(job, Kind::Orphan, DataStore::ObjectStore, true)]);
        assert!(rig.is_there(&stray(job, 0)).await);
    }
}

pub async fn what_an_erased_trace_left_behind_goes(rig: &Rig) {
    let job = rig.closed().await;
    rig.node.erase(job, "admin").await.unwrap();
    let late = [stray(job, 0), keys::quarantine_key(job, ChunkIndex(0), Epoch(1), "0f1e")];
    for key in &late {
        put(rig, key, b"late").await;
    }
    rig.pass(MINUTE);
    rig.inventory().await;
    assert!(rig.is_there(&late[0]).await, "that is for the erasing to finish");
    rig.pass(DAY);
    rig.inventory().await;
    assert_eq!((rig.is_there(&late[0]).await, rig.is_there(&late[1]).await), (false, false));
    assert_eq!(rig.found().await, []);
}

pub async fn keys_of_others_are_left_alone(rig: &Rig) {
    let foreign = ["traces/00/read.me", "traces/73/42/c/007-2-0f1e.zst", "quarantine/00/notes"];
    for key in foreign {
        put(rig, key, b"not ours").await;
    }
    rig.pass(100 * DAY);
    rig.inventory().await;
    for key in foreign {
        assert!(rig.is_there(key).await, "{key}");
    }
    assert_eq!((rig.last_run().await.state, rig.found().await), (RunState::Complete, vec![]));
}

pub async fn quarantine_is_kept_for_its_time(rig: &Rig) {
    let job = rig.closed().await;
    let key = |random| keys::quarantine_key(job, ChunkIndex(0), Epoch(1), random);
    put(rig, &key("0f1e"), b"bad").await;
    for _ in 0..2 {
        rig.pass(10 * DAY);
        rig.inventory().await;
        assert!(rig.is_there(&key("0f1e")).await);
    }
    let for_ever = Settings { quarantine_kept_for: Duration::ZERO, ..verify_settings() };
    rig.pass(20 * DAY);
    Verifier::new(rig.node.clone(), for_ever).tick(Schedule::Inventory).await.unwrap();
    assert!(rig.is_there(&key("0f1e")).await);
    rig.inventory().await;
    assert!(!rig.is_there(&key("0f1e")).await);
    assert_eq!(rig.found().await, []);
}

pub async fn live_copies_of_an_unknown_job_are_orphans(rig: &Rig) {
    let other = Arc::new(ModelDatabase::new(rig.clock.clone()));
    let stores = Stores { database: other.clone(), verifications: other, ..rig.stores.clone() };
    let elsewhere = rig.node_over(stores);
    let known = rig.closed().await;
    for _ in 0..3 {
        create(&elsewhere).await;
    }
    let unknown = open(&elsewhere, b"of another installation").await;
    assert!(unknown > known);
    for _ in 0..2 {
        rig.inventory().await;
    }
    let live = rig.stores.live.name();
    assert_eq!(rig.found().await, [(unknown, Kind::Orphan, live, true)]);
    let chunk = ChunkId { index: ChunkIndex(0), epoch: Epoch(1) };
    rig.stores.live.release(unknown, chunk, Duration::ZERO).await.unwrap();
    rig.inventory().await;
    assert_eq!(rig.found().await, [(unknown, Kind::Orphan, live, false)]);
}

pub async fn a_live_copy_that_the_sweep_left_is_stale(rig: &Rig) {
    let faults = Arc::new(Faults::default());
    let node = rig.node_over(rig.hooked(faults.clone()));
    let job = open(&node, &log(0)).await;
    faults.fail("live", "release", Side::Before);
    finish(&node, job, &log(0)).await;
    assert_eq!(faults.left(), 0);
    let closed = rig.stores.database.job(job).await.unwrap().unwrap();
    assert_eq!(closed.verdict, Verdict::Verified, "one of its copies is live all the same");
    rig.inventory().await;
    assert_eq!(rig.found().await, [], "the sweep will come");

    rig.pass(DAY);
    rig.inventory().await;
    let live = rig.stores.live.name();
    assert_eq!(rig.found().await, [(job, Kind::Orphan, live, true)]);
    let known = rig.stores.database.mismatches(MismatchFilter::default()).await.unwrap().remove(0);
    assert_eq!(known.what.found.size.map(|size| size <= ByteSize(CHUNK as u64)), Some(true));

    rig.node.sweep_live().await.unwrap();
    rig.inventory().await;
    assert_eq!(rig.found().await, [(job, Kind::Orphan, live, false)]);
}

/// The sweep removes them by itself: what is there an hour after it should have is the inventory's, however short its own
/// grace is.
pub async fn bytes_in_the_database_that_no_row_names_are_weighed_too(rig: &Rig) {
    let (unknown, job) = (JobId(1000), rig.closed().await);
    let spill = rig.stores.spill.as_ref();
    let (spare, of_before) = (stray(job, 0), stray(unknown, 3));
    for key in [&spare, &of_before] {
        spill.put(key, codec::encode(b"of before").into()).await.unwrap();
    }
    let is_there = async |key: &str| spill.get(key, ByteSize(1)).await.unwrap().is_some();
    let hasty = Settings { orphan_grace: Duration::ZERO, ..verify_settings() };
    let hasty = Verifier::new(rig.node.clone(), hasty);
    rig.pass(UNNAMED_GRACE + 59 * MINUTE);
    assert_eq!(hasty.tick(Schedule::Inventory).await.unwrap(), Tick::Ran);
    assert_eq!((rig.found().await, is_there(&spare).await), (vec![], true), "that is for the sweep to finish");

    rig.pass(2 * MINUTE);
    assert_eq!(hasty.tick(Schedule::Inventory).await.unwrap(), Tick::Ran);
    assert_eq!((is_there(&spare).await, is_there(&of_before).await), (false, true));
    assert_eq!(rig.found().await, [(unknown, Kind::Orphan, DataStore::Database, true)]);
    let known = rig.stores.database.mismatches(MismatchFilter::default()).await.unwrap().remove(0);
    let what = (known.what.chunk, known.what.epoch, known.what.detector);
    assert_eq!(what, (Some(ChunkIndex(3)), Epoch(1), Detector::Inventory));

    rig.inventory().await;
    assert_eq!(rig.found().await, [(unknown, Kind::Orphan, DataStore::Database, true)], "it is still there");
    spill.delete(&of_before).await.unwrap();
    rig.inventory().await;
    assert_eq!(rig.found().await, [(unknown, Kind::Orphan, DataStore::Database, false)]);
}
