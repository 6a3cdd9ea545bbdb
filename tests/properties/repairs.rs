//! What becomes of bad copies and of good ones, over models.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::TryStreamExt as _;
use veritail::pipeline::examine::{Examiner, Unnamed};
use veritail::pipeline::{Pipeline, Settings, Stores};
use veritail::store::database::{Database as _, Mismatch, Resolution};
use veritail::store::hooked::Hooked;
use veritail::store::object::{Listed, codec, keys};
use veritail::trace::{
    ByteSize, ChunkIndex, ChunkState, DataStore, Detector, Epoch, JobId, Kind, Location, RunState, Schedule, Sha256,
    StoredObject,
};
use veritail::verify::{self, Verifier};

use crate::rig::{Rig, now};
use crate::support::hooks::{Faults, Side};

const CHUNK: u32 = 64;
const CYCLE: Duration = Duration::from_secs(7 * 24 * 3600);

fn log() -> Vec<u8> {
    (0..150).collect()
}

impl Rig {
    /// A closed trace of three chunks, whose live copies are gone.
    async fn kept() -> Self {
        let rig = Self::new(CHUNK).await;
        rig.send_and_prove(&log()).await;
        rig.clock.pass(Duration::from_secs(3600));
        rig
    }

    async fn copy_of(&self, index: u32) -> Location {
        let row = self.database.chunk(self.job, ChunkIndex(index)).await.expect("a model").expect("a row");
        row.persistent_copy().expect("a copy").clone()
    }

    async fn put(&self, key: &str, bytes: impl Into<Bytes>) {
        self.node.stores().objects.put(key, bytes.into()).await.expect("a model");
    }

    async fn size_of(&self, key: &str) -> Option<usize> {
        let there = self.node.stores().objects.get_whole(key).await.expect("a model");
        there.map(|bytes| bytes.len())
    }

    async fn quarantined(&self) -> Vec<ByteSize> {
        let listed = self.node.stores().objects.list("quarantine/");
        listed.map_ok(|object| object.size).try_collect().await.expect("a model")
    }

    async fn cycle(&self, verifier: &Verifier) {
        verifier.tick(Schedule::Full).await.expect("models");
        self.clock.pass(CYCLE);
        verifier.tick(Schedule::Full).await.expect("models");
    }

    fn healer(&self) -> Verifier {
        Verifier::new(self.other.clone(), verify::Settings::default())
    }

    fn known(&self) -> Vec<Mismatch> {
        self.database.all_mismatches()
    }
}

/// What was found of which chunk, and whether it was repaired.
fn told(known: &[Mismatch]) -> Vec<(Option<u32>, Kind, DataStore, bool)> {
    let is_repaired = |known: &Mismatch| matches!(known.resolved, Some((Resolution::Repaired, _)));
    let of = |known: &Mismatch| {
        let index = known.what.chunk.map(|chunk| chunk.0);
        (index, known.what.kind, known.what.store, is_repaired(known))
    };
    known.iter().map(of).collect()
}

/// One that a lost attempt left.
fn stray(job: JobId, index: u32) -> String {
    keys::chunk_key(job, ChunkIndex(index), Epoch::FIRST, "0f1e")
}

#[test]
fn a_bad_object_goes_to_quarantine_unless_it_does_not_fit_in_memory() {
    now(async {
        const MOST: usize = 67_108_864;
        for (size, is_moved) in [(5, true), (MOST, true), (MOST + 1, false)] {
            let rig = Rig::kept().await;
            let at = rig.copy_of(0).await;
            rig.put(&stray(rig.job, 0), codec::encode(&log()[..64])).await;
            rig.put(&at.object().key, vec![7; size]).await;
            rig.cycle(&rig.healer()).await;
            assert_eq!(told(&rig.known()), [(Some(0), Kind::Size, DataStore::ObjectStore, true)], "{size}");
            assert_ne!(rig.copy_of(0).await, at);
            assert_eq!(rig.read(0, 150).await, log());
            if is_moved {
                assert_eq!(
                    (rig.quarantined().await, rig.size_of(&at.object().key).await),
                    (vec![ByteSize(size as u64)], None)
                );
            } else {
                assert_eq!((rig.quarantined().await, rig.size_of(&at.object().key).await), (vec![], Some(size)));
            }
        }
    });
}

/// Only the chunk's own bytes heal it, wherever they are: not those of its neighbour, and not what merely decodes.
#[test]
fn a_chunk_is_healed_from_its_own_bytes_wherever_they_lie() {
    now(async {
        let encoded = |from: usize, to: usize| codec::encode(&log()[from..to]);
        for place in ["object_store", "database", "quarantine", "quarantine as it is"] {
            let rig = Rig::kept().await;
            let stores = rig.node.stores();
            stores.objects.delete(&rig.copy_of(1).await.object().key).await.expect("a model");
            // Another chunk's, and a wrong one of this chunk.
            rig.put(&stray(rig.job, 0), encoded(64, 128)).await;
            rig.put(&keys::chunk_key(rig.job, ChunkIndex(1), Epoch::FIRST, "0000"), encoded(0, 64)).await;
            rig.cycle(&rig.healer()).await;
            assert_eq!(told(&rig.known()), [(Some(1), Kind::Missing, DataStore::ObjectStore, false)], "{place}");

            let quarantined = keys::quarantine_key(rig.job, ChunkIndex(1), Epoch::FIRST, "0f1e");
            match place {
                "object_store" => rig.put(&stray(rig.job, 1), encoded(64, 128)).await,
                "database" => stores.spill.put(&stray(rig.job, 1), encoded(64, 128).into()).await.expect("a model"),
                "quarantine" => rig.put(&quarantined, encoded(64, 128)).await,
                _ => rig.put(&quarantined, log()[64..128].to_vec()).await,
            }
            rig.cycle(&rig.healer()).await;
            let found = told(&rig.known());
            assert!(found.contains(&(Some(1), Kind::Missing, DataStore::ObjectStore, true)), "{place}: {found:?}");
            assert_eq!(rig.read(0, 150).await, log(), "{place}");
        }
    });
}

/// Somebody puts the bytes back: the open mismatch is resolved by the next look, and only that of this chunk.
#[test]
fn what_is_sound_again_is_noted_of_its_chunk_alone() {
    now(async {
        let rig = Rig::kept().await;
        let (first, second) = (rig.copy_of(0).await.object().key.clone(), rig.copy_of(1).await.object().key.clone());
        let objects = &rig.node.stores().objects;
        let whole = objects.get_whole(&first).await.expect("a model").expect("an object");
        for key in [&first, &second] {
            objects.delete(key).await.expect("a model");
        }
        let reports = verify::Settings { repairs: false, ..verify::Settings::default() };
        let reports = Verifier::new(rig.other.clone(), reports);
        rig.cycle(&reports).await;
        let missing = |index, repaired| (Some(index), Kind::Missing, DataStore::ObjectStore, repaired);
        assert_eq!(told(&rig.known()), [missing(0, false), missing(1, false)]);
        rig.put(&first, whole).await;
        rig.cycle(&reports).await;
        assert_eq!(told(&rig.known()), [missing(0, true), missing(1, false)]);
    });
}

/// It is written down, and healed by whoever looks next.
#[test]
fn a_store_that_is_away_while_it_is_healed_leaves_the_mismatch_open() {
    now(async {
        let rig = Rig::kept().await;
        let (stores, key) = (rig.other.stores().clone(), rig.copy_of(0).await.object().key.clone());
        stores.objects.delete(&key).await.expect("a model");
        rig.put(&stray(rig.job, 0), codec::encode(&log()[..64])).await;
        let faults = Arc::new(Faults::default());
        faults.fail("object_store", "list", Side::Before);
        let objects = Arc::new(Hooked::new(stores.objects.clone(), faults.clone(), rig.clock.clone()));
        let node = Pipeline::new(Stores { objects, ..stores }, rig.other.seams().clone(), Settings::default());
        let verifier = Verifier::new(node, verify::Settings::default());
        rig.cycle(&verifier).await;
        let missing = |repaired| (Some(0), Kind::Missing, DataStore::ObjectStore, repaired);
        assert_eq!((told(&rig.known()), faults.left()), (vec![missing(false)], 0));
        rig.cycle(&verifier).await;
        assert_eq!(told(&rig.known()), [missing(true)]);
    });
}

/// The chunk is healed, and the inventory puts the bad object aside later, as it does after a crash in between.
#[test]
fn a_bad_object_that_a_repair_did_not_put_aside_comes_to_quarantine_all_the_same() {
    now(async {
        let rig = Rig::kept().await;
        let (stores, at) = (rig.other.stores().clone(), rig.copy_of(0).await);
        let key = at.object().key.clone();
        rig.put(&stray(rig.job, 0), codec::encode(&log()[..64])).await;
        rig.put(&key, vec![7; 5]).await;
        let faults = Arc::new(Faults::default());
        faults.fail("object_store", "delete", Side::Before);
        let objects = Arc::new(Hooked::new(stores.objects.clone(), faults.clone(), rig.clock.clone()));
        let node = Pipeline::new(Stores { objects, ..stores }, rig.other.seams().clone(), Settings::default());
        rig.cycle(&Verifier::new(node, verify::Settings::default())).await;
        assert_eq!(told(&rig.known()), [(Some(0), Kind::Size, DataStore::ObjectStore, true)]);
        assert_eq!((rig.size_of(&key).await, faults.left()), (Some(5), 0));
        // Two more that no row names: one is a good copy.
        rig.put(&stray(rig.job, 0), codec::encode(&log()[..64])).await;
        let before = rig.quarantined().await;
        for key in [&key, &stray(rig.job, 0)] {
            let listed = Listed { key: key.clone(), size: ByteSize(5), modified: None };
            let parsed = keys::parse(key).expect("one of ours");
            let examiner = Examiner { detector: Detector::Inventory, run: None, heals: true };
            let became = rig
                .node
                .examine_unnamed(DataStore::ObjectStore, (&listed, &parsed), examiner, (Duration::ZERO, true))
                .await;
            assert_eq!((became.expect("models"), rig.size_of(key).await), (Unnamed::Removed, None));
        }
        assert_eq!(rig.quarantined().await, [before, vec![ByteSize(5)]].concat());
    });
}

/// Both stores have the same bytes, and the record says otherwise: it waits for a person, and nothing is thrown away.
#[test]
fn copies_that_agree_accuse_the_record_and_keep_their_place() {
    now(async {
        let rig = Rig::kept().await;
        let at = rig.copy_of(0).await;
        rig.database.damage_row(rig.job, ChunkIndex(0), |row| {
            let ChunkState::Persisted { record, .. } = &mut row.state else { panic!("persisted") };
            record.sha256 = Sha256([9; 32]);
        });
        rig.cycle(&rig.healer()).await;
        assert_eq!(told(&rig.known()), [(Some(0), Kind::Record, DataStore::Database, false)]);
        assert!(rig.size_of(&at.object().key).await.is_some());
        assert_eq!((rig.quarantined().await, rig.size_of(&at.object().key).await.is_some()), (vec![], true));
        let runs = rig.node.stores().verifications.runs(Default::default()).await.expect("a model");
        let seen: Vec<_> =
            runs.iter().filter(|run| run.tally.looks > 0).map(|run| (run.state, run.tally.differs)).collect();
        assert_eq!(seen, [(RunState::Complete, 1)]);
    });
}

/// What the row says of the stored bytes is wrong: a new object with the same content is named instead.
#[test]
fn a_row_that_is_wrong_about_its_object_names_a_new_one_afterwards() {
    now(async {
        let rig = Rig::kept().await;
        let at = rig.copy_of(2).await;
        rig.database.damage_row(rig.job, ChunkIndex(2), |row| {
            let ChunkState::Persisted { at: Location::Object(object), .. } = &mut row.state else {
                panic!("an object")
            };
            *object = StoredObject { size: object.size + ByteSize(1), ..object.clone() };
        });
        rig.cycle(&rig.healer()).await;
        assert_eq!(told(&rig.known()), [(Some(2), Kind::Record, DataStore::Database, true)]);
        assert_ne!(rig.copy_of(2).await.object().key, at.object().key);
        assert_eq!(rig.read(0, 150).await, log());
    });
}

/// A row names it, so it is not what nobody needs: it stays open until the copy is right, whoever found it.
#[test]
fn a_copy_of_an_earlier_epoch_that_an_inventory_finds_stays_open_until_it_is_right() {
    now(async {
        let rig = Rig::kept().await;
        let (key, chunk) = (rig.object(0).key, ChunkIndex(0));
        let stored = rig.node.stores().objects.get_whole(&key).await.expect("a model").expect("an object");
        rig.database.damage_row(rig.job, chunk, |row| row.epoch = Epoch(2));
        let earlier = codec::encode(b"what the chunk was once");
        rig.put(&stray(rig.job, 0), earlier.clone()).await;
        rig.put(&key, earlier).await;
        let default = verify::Settings::default();
        let inventory = verify::Budgeted { requests_per_second: 0, ..default.inventory };
        let settings = verify::Settings { repairs: false, inventory, ..default };
        let day = settings.inventory_interval;
        let verifier = Verifier::new(rig.other.clone(), settings);
        let known = |is_repaired| (Some(0), Kind::StaleCopy, DataStore::ObjectStore, is_repaired);
        for _ in 0..3 {
            verifier.tick(Schedule::Inventory).await.expect("models");
            rig.clock.pass(day);
            let of_copy: Vec<_> =
                told(&rig.known()).into_iter().filter(|(_, kind, ..)| *kind != Kind::Orphan).collect();
            assert_eq!(of_copy, [known(false)]);
        }
        rig.put(&key, stored).await;
        rig.cycle(&verifier).await;
        let of_copy: Vec<_> = told(&rig.known()).into_iter().filter(|(_, kind, ..)| *kind != Kind::Orphan).collect();
        assert_eq!(of_copy, [known(true)]);
    });
}
