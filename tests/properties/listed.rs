//! The inventory over models, in virtual time: one request a second, so that the time it takes says how many it makes.

#![allow(clippy::disallowed_methods, reason = "its time is virtual")]

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;
use veritail::pipeline::{Finalized, Pipeline, Settings, Stores};
use veritail::seams::real::{NoFailPoints, SystemChance, TokioSpawn};
use veritail::seams::{Chance, Seams};
use veritail::store::database::verifications::{Run, RunFilter, Verifications as _};
use veritail::store::database::{Basis, Database as _, Mismatch};
use veritail::store::hooked::Hooked;
use veritail::store::object::{ObjectStore as _, codec, keys};
use veritail::trace::{ChunkId, ChunkIndex, DataStore, Detector, Epoch, JobId, Kind, RunState, Schedule, Tally};
use veritail::verify::{self, Verifier};

use crate::passing::{BEGIN, Page, Virtual, counted};
use crate::rig::{found_by_another, models, running_job, sent_to};
use crate::support::hooks::Recorder;
use crate::support::model::database::ModelDatabase;
use crate::support::model::live::ModelLive;
use crate::support::model::objects::ModelObjects;

const DAY: Duration = Duration::from_secs(24 * 3600);
/// For each of 256 prefixes, in both stores: a listing and a page of rows. And the listings of quarantine and of what is live.
const BARE: u64 = 256 * 2 * 2 + 2;

/// Every pass begins with its first part: what is known from before.
struct InOrder;

impl Chance for InOrder {
    fn bits(&self) -> u64 {
        0
    }

    fn name(&self) -> String {
        SystemChance.name()
    }
}

/// An installation, and its verifier.
struct Place {
    verifier: Verifier,
    node: Pipeline,
    live: Arc<ModelLive>,
    database: Arc<ModelDatabase>,
    recorder: Arc<Recorder>,
    job: JobId,
}

impl Place {
    /// With one closed trace of so many bytes, in chunks of 64. Its live copies are gone.
    async fn new(size: usize) -> Self {
        let clock = Arc::new(Virtual::new());
        let (live, database, stores) = models(clock.clone());
        let recorder = Arc::new(Recorder::default());
        let hooked = Arc::new(Hooked::new(stores.database.clone(), recorder.clone(), clock.clone()));
        let (chance, spawn, points) = (Arc::new(InOrder), Arc::new(TokioSpawn), Arc::new(NoFailPoints));
        let seams = Seams { clock, chance, spawn, points };
        let node = Pipeline::new(Stores { database: hooked, ..stores }, seams, Settings::default());
        let log: Vec<u8> = (0..size).map(|at| (at % 251) as u8).collect();
        let job = closed(&node, &log).await;
        let default = verify::Settings::default();
        let inventory = verify::Budgeted { requests_per_second: 1, ..default.inventory };
        let settings = verify::Settings { inventory, quarantine_kept_for: 10 * DAY, ..default };
        tokio::time::sleep(2 * DAY).await;
        assert_eq!(live.chunks(), []);
        Self { verifier: Verifier::new(node.clone(), settings), node, live, database, recorder, job }
    }

    /// How many requests it took, and what it saw; a day later.
    async fn inventory(&self) -> (u64, Tally) {
        let began = Instant::now();
        self.verifier.tick(Schedule::Inventory).await.expect("models");
        // A tenth of a second may be taken at once.
        let took = began.elapsed() + Duration::from_millis(100);
        tokio::time::sleep_until(began + DAY).await;
        (u64::try_from(took.as_millis()).expect("short") / 1000, self.run().await.tally)
    }

    async fn run(&self) -> Run {
        let newest = RunFilter { schedule: Some(Schedule::Inventory), limit: 1, ..RunFilter::default() };
        self.database.runs(newest).await.expect("a model").remove(0)
    }

    async fn put(&self, key: &str, bytes: &[u8]) {
        self.node.stores().objects.put(key, Bytes::copy_from_slice(bytes)).await.expect("a model");
    }

    async fn key(&self, index: u32) -> String {
        let row = self.database.chunk(self.job, ChunkIndex(index)).await.expect("a model").expect("a row");
        row.persistent_copy().expect("a copy").object().key.clone()
    }

    async fn note(&self, job: JobId, kind: Kind, store: DataStore, detector: Detector) {
        let what = found_by_another((job, 0), kind, store, detector, BEGIN);
        self.database.open_mismatch(&what, Basis::Nothing).await.expect("a model");
    }

    fn open(&self) -> Vec<(JobId, Kind, DataStore)> {
        let known = self.database.all_mismatches();
        let open = known.iter().filter(|known: &&Mismatch| known.resolved.is_none());
        open.map(|known| (known.what.job, known.what.kind, known.what.store)).collect()
    }
}

async fn closed(node: &Pipeline, log: &[u8]) -> JobId {
    let put = sent_to(node, running_job(64, BEGIN), log).await;
    let job = put.job;
    assert!(matches!(node.finalize(put).await, Finalized::Done { .. }));
    job
}

/// A key of a job that nobody knows.
fn unknown(index: u32) -> String {
    keys::chunk_key(JobId(1000), ChunkIndex(index), Epoch::FIRST, "0f1e")
}

fn seen(chunks: u64, differs: u64) -> Tally {
    Tally { chunks, looks: differs, differs, ..Tally::default() }
}

fn listed(page: &Page, what: &str, store: DataStore) -> f64 {
    page.value(&format!("verify_{what}_total{{store=\"{}\"}}", store.as_str()))
}

#[test]
fn an_inventory_of_what_agrees_asks_for_listings_and_rows_alone() {
    let ((), page) = counted(async {
        let place = Place::new(150).await;
        assert_eq!(place.inventory().await, (BARE, seen(3, 0)));
        // Keys of others are counted, and looked at no further.
        place.put("traces/00/read.me", b"not ours").await;
        place.put("quarantine/notes", b"not ours").await;
        tokio::time::sleep(40 * DAY).await;
        assert_eq!(place.inventory().await, (BARE, seen(5, 0)));
        assert_eq!((place.open(), place.run().await.state), (vec![], RunState::Complete));
    });
    assert_eq!(listed(&page, "listed", DataStore::ObjectStore), 8.0);
    assert_eq!(listed(&page, "foreign_keys", DataStore::ObjectStore), 2.0);
    assert_eq!((page.value("quarantine_objects"), page.value("quarantine_bytes")), (1.0, 8.0));
    assert!(page.value("verify_last_complete_timestamp_seconds{schedule=\"inventory\"}") > 0.0);
}

/// A listing is paid for a thousand things at a time, whosever they are.
#[test]
fn long_listings_are_paid_for_a_thousand_at_a_time() {
    for (keys, more) in [(999, 0), (1000, 1), (2000, 2)] {
        counted(async {
            let place = Place::new(150).await;
            for key in 0..keys {
                place.put(&format!("quarantine/{key:04}"), b"not ours").await;
            }
            assert_eq!(place.inventory().await, (BARE + more, seen(3 + keys, 0)));
        });
    }
}

/// A copy that is missing is asked for by its key, and then looked at; one of another size is looked at.
#[test]
fn what_differs_costs_a_look_each() {
    counted(async {
        let place = Place::new(150).await;
        let (lost, cut) = (place.key(0).await, place.key(1).await);
        place.node.stores().objects.delete(&lost).await.expect("a model");
        let one = Tally { chunks: 3, looks: 1, differs: 1, ..Tally::default() };
        assert_eq!(place.inventory().await, (BARE + 2, one));
        place.put(&cut, b"cut").await;
        let two = Tally { looks: 2, differs: 2, ..one };
        assert_eq!(place.inventory().await, (BARE + 3, two));
        let object_store = DataStore::ObjectStore;
        assert_eq!(place.open(), [(place.job, Kind::Missing, object_store), (place.job, Kind::Size, object_store)]);
    });
}

/// An object that is not listed yet is there all the same.
#[test]
fn a_listing_that_lags_is_no_finding() {
    counted(async {
        let place = Place::new(150).await;
        let lagging = Arc::new(ModelObjects::lagging(place.node.seams().clock.clone(), 10 * 24 * 3600 * 1000));
        for index in 0..3 {
            let key = place.key(index).await;
            let bytes = place.node.stores().objects.get_whole(&key).await.expect("a model").expect("an object");
            lagging.put(&key, bytes).await.expect("a model");
        }
        let stores = Stores { objects: lagging, ..place.node.stores().clone() };
        let node = Pipeline::new(stores, place.node.seams().clone(), Settings::default());
        let verifier = Verifier::new(node, place.verifier.settings().clone());
        let place = Place { verifier, ..place };
        assert_eq!(place.inventory().await, (BARE + 3, seen(3, 0)));
        assert_eq!(place.open(), []);
    });
}

/// What is known from before is looked at again, one after the other; what others found is not the inventory's.
#[test]
fn orphans_are_found_known_and_resolved_one_by_one() {
    let ((), page) = counted(async {
        let place = Place::new(150).await;
        for index in 0..3 {
            place.put(&unknown(index), &codec::encode(b"of before")).await;
        }
        // An upload may be under way.
        assert_eq!((place.inventory().await, place.open()), ((BARE, seen(6, 0)), vec![]));
        assert_eq!(place.inventory().await, (BARE + 3, seen(6, 3)));
        assert_eq!(place.open().len(), 3);
        let (lost, object_store) = (JobId(1001), DataStore::ObjectStore);
        place.note(lost, Kind::StaleCopy, object_store, Detector::Full).await;
        place.note(lost, Kind::Missing, object_store, Detector::Inventory).await;
        assert_eq!(place.inventory().await, (BARE + 6, seen(6, 3)));
        assert_eq!(place.open().len(), 5);
        for index in 0..2 {
            place.node.stores().objects.delete(&unknown(index)).await.expect("a model");
        }
        assert_eq!(place.inventory().await, (BARE + 4, seen(4, 1)));
        let others = [(lost, Kind::StaleCopy, object_store), (lost, Kind::Missing, object_store)];
        assert_eq!(place.open(), [vec![(JobId(1000), Kind::Orphan, object_store)], others.to_vec()].concat());
        // What is resolved is not looked at again.
        place.node.stores().objects.delete(&unknown(2)).await.expect("a model");
        assert_eq!(place.inventory().await, (BARE + 1, seen(3, 0)));
        assert_eq!(place.inventory().await, (BARE, seen(3, 0)));
        assert_eq!(place.open(), others);
    });
    assert_eq!(page.value("verify_removed_total{reason=\"orphan\"}"), 0.0);
}

#[test]
fn what_is_known_is_fetched_five_hundred_at_a_time() {
    counted(async {
        let place = Place::new(150).await;
        for job in 0..501 {
            place.note(JobId(2000 + job), Kind::Orphan, DataStore::ObjectStore, Detector::Inventory).await;
        }
        place.recorder.reset();
        assert_eq!(place.inventory().await, (BARE + 501, seen(3, 0)));
        // Two pages and an empty one.
        assert_eq!((place.recorder.count("database", "mismatches"), place.open()), (3, vec![]));
    });
}

#[test]
fn what_is_in_quarantine_is_counted_and_goes_after_its_time() {
    let ((), page) = counted(async {
        let place = Place::new(150).await;
        let key = |index: u32| keys::quarantine_key(place.job, ChunkIndex(index), Epoch::FIRST, "0f1e");
        place.put(&key(0), b"bad").await;
        place.put(&key(1), b"worse").await;
        tokio::time::sleep(5 * DAY).await;
        place.put(&key(2), b"bad as well").await;
        tokio::time::sleep(2 * DAY).await;
        // They are nobody's chunk: each is weighed, and settled.
        assert_eq!(place.inventory().await, (BARE + 3, seen(6, 0)));
        tokio::time::sleep(3 * DAY).await;
        assert_eq!(place.inventory().await, (BARE + 3, seen(6, 0)));
        assert_eq!(place.inventory().await, (BARE + 1, seen(4, 0)));
    });
    assert_eq!((page.value("quarantine_objects"), page.value("quarantine_bytes")), (1.0, 11.0));
    assert_eq!(page.value("verify_removed_total{reason=\"quarantine\"}"), 2.0);
    assert_eq!(page.value("verify_foreign_keys_total{store=\"object_store\"}"), 0.0);
}

/// By whoever may repair, and unless it is kept for ever.
#[test]
fn nobody_else_removes_what_is_in_quarantine() {
    for (repairs, kept_for) in [(false, 10 * DAY), (true, Duration::ZERO), (false, Duration::ZERO)] {
        counted(async {
            let place = Place::new(150).await;
            let key = keys::quarantine_key(place.job, ChunkIndex(0), Epoch::FIRST, "0f1e");
            place.put(&key, b"bad").await;
            tokio::time::sleep(40 * DAY).await;
            let settings =
                verify::Settings { repairs, quarantine_kept_for: kept_for, ..place.verifier.settings().clone() };
            let place = Place { verifier: Verifier::new(place.node.clone(), settings), ..place };
            assert_eq!(place.inventory().await, (BARE + 1, seen(4, 0)));
            let kept = place.node.stores().objects.get_whole(&key).await.expect("a model");
            assert_eq!(kept.as_deref(), Some(&b"bad"[..]));
        });
    }
}

/// Copies of a job are one request, however many they are; an unknown job's are written down.
#[test]
fn live_copies_are_weighed_by_their_job() {
    let ((), page) = counted(async {
        let place = Place::new(150).await;
        let chunk = |index| ChunkId { index: ChunkIndex(index), epoch: Epoch::FIRST };
        for index in 0..2 {
            place.live.put_chunk(JobId(77), chunk(index), b"of another installation");
        }
        assert_eq!(place.inventory().await, (BARE + 1, seen(5, 2)));
        let live = place.node.stores().live.name();
        assert_eq!(place.open(), [(JobId(77), Kind::Orphan, live), (JobId(77), Kind::Orphan, live)]);
        assert!(place.live.lose_chunk(JobId(77), chunk(0)));
        assert_eq!(place.inventory().await, (BARE + 3, seen(4, 1)));
        assert_eq!(place.open(), [(JobId(77), Kind::Orphan, live)]);
    });
    assert_eq!(listed(&page, "listed", DataStore::Embedded), 3.0);
}
