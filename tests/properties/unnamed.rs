//! Stored bytes that no row names, over models: what they are worth by what the database says of their job and chunk.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use veritail::pipeline::examine::{Examiner, Unnamed};
use veritail::pipeline::{Appended, Pipeline, Settings, Stores};
use veritail::store::database::{Database as _, MismatchFilter};
use veritail::store::hooked::{Call, Hook, Hooked};
use veritail::store::object::{Listed, codec, keys};
use veritail::store::{Result, StoreError};
use veritail::trace::{ByteSize, ChunkId, ChunkIndex, ChunkState, DataStore, Detector, Epoch, JobId, Kind, Version};

use crate::rig::{Rig, now};

const CHUNK: u32 = 64;
const GRACE: Duration = Duration::from_secs(3600);

fn log() -> Vec<u8> {
    (0..150).collect()
}

const EXAMINER: Examiner = Examiner { detector: Detector::Inventory, run: None, heals: true };

impl Rig {
    async fn finished() -> Self {
        let rig = Self::new(CHUNK).await;
        rig.send_and_prove(&log()).await;
        rig.clock.pass(GRACE);
        rig
    }

    /// What becomes of bytes under this key.
    async fn weigh(&self, key: &str, bytes: &[u8], removes: bool) -> Unnamed {
        let objects = &self.node.stores().objects;
        objects.put(key, codec::encode(bytes).into()).await.expect("a model");
        self.weigh_what_is(key, removes).await
    }

    async fn weigh_what_is(&self, key: &str, removes: bool) -> Unnamed {
        let listed = Listed { key: key.to_owned(), size: ByteSize(17), modified: None };
        let parsed = keys::parse(key).expect("one of ours");
        let weighed = self.node.examine_unnamed(DataStore::ObjectStore, (&listed, &parsed), EXAMINER, (GRACE, removes));
        weighed.await.expect("models")
    }

    async fn has(&self, key: &str) -> bool {
        self.node.stores().objects.get(key, ByteSize(1)).await.expect("a model").is_some()
    }

    fn change_row(&self, index: u32, change: impl FnOnce(&mut veritail::trace::ChunkRow)) {
        assert!(self.database.damage_row(self.job, ChunkIndex(index), change));
    }
}

fn key_of(job: JobId, index: u32, epoch: u32) -> String {
    keys::chunk_key(job, ChunkIndex(index), Epoch(epoch), "0f1e")
}

#[test]
fn a_spare_copy_goes_where_that_is_the_policy_and_its_chunk_is_sound() {
    now(async {
        let rig = Rig::finished().await;
        let key = key_of(rig.job, 0, 1);
        assert_eq!(rig.weigh(&key, b"half of it", false).await, Unnamed::Noted);
        assert!(rig.has(&key).await);
        let [noted] = &rig.database.all_mismatches()[..] else { panic!("one mismatch") };
        assert_eq!((noted.what.kind, noted.what.found.size), (Kind::Orphan, Some(ByteSize(17))));
        assert_eq!(rig.weigh(&key, b"half of it", true).await, Unnamed::Removed);
        assert!(!rig.has(&key).await);
        assert_eq!(rig.weigh_what_is(&key, true).await, Unnamed::Settled, "it is gone");
        // What the row names is no spare copy.
        let row = rig.database.chunk(rig.job, ChunkIndex(0)).await.expect("a model").expect("a row");
        let named = row.persistent_copy().expect("a copy").object().key.clone();
        assert_eq!((rig.weigh_what_is(&named, true).await, rig.has(&named).await), (Unnamed::Settled, true));
    });
}

#[test]
fn a_copy_of_a_later_epoch_than_the_rows_is_no_spare_one() {
    now(async {
        let rig = Rig::finished().await;
        assert_eq!(rig.weigh(&key_of(rig.job, 0, 2), b"of later", true).await, Unnamed::Noted);
        rig.change_row(0, |row| row.epoch = Epoch(2));
        assert_eq!(rig.weigh(&key_of(rig.job, 0, 2), b"of the same", true).await, Unnamed::Removed);
        assert_eq!(rig.weigh(&key_of(rig.job, 0, 1), b"of before", true).await, Unnamed::Removed);
    });
}

#[test]
fn what_no_persistent_copy_stands_beside_waits_while_the_job_goes_on_and_is_an_orphan_afterwards() {
    now(async {
        let rig = Rig::new(CHUNK).await;
        assert!(matches!(rig.append(0, &log(), 150).await, Appended::Accepted { .. }));
        rig.clock.pass(GRACE);
        for index in [0, 7] {
            let key = key_of(rig.job, index, 1);
            assert_eq!(rig.weigh(&key, &log()[..64], true).await, Unnamed::Settled, "{index}");
        }
        assert_eq!(rig.weigh(&key_of(JobId(99), 0, 1), b"of before", true).await, Unnamed::Noted);

        let rig = Rig::finished().await;
        assert_eq!(rig.weigh(&key_of(rig.job, 7, 1), b"no such chunk", true).await, Unnamed::Noted);
        rig.change_row(0, |row| {
            let ChunkState::Persisted { record, .. } = row.state else { panic!("persisted") };
            row.state = ChunkState::Sealed { record };
        });
        assert_eq!(rig.weigh(&key_of(rig.job, 0, 1), &log()[..64], true).await, Unnamed::Noted);
    });
}

/// By the clock of the node: what was erased within the grace is left to the erasing.
#[test]
fn what_lies_there_of_an_erased_trace_goes_after_the_grace() {
    for quarantined in [false, true] {
        now(async {
            let rig = Rig::finished().await;
            rig.node.erase(rig.job, "admin").await.expect("models");
            let key = match quarantined {
                true => keys::quarantine_key(rig.job, ChunkIndex(0), Epoch(1), "0f1e"),
                false => key_of(rig.job, 0, 1),
            };
            rig.clock.pass(GRACE - Duration::from_millis(1));
            assert_eq!(rig.weigh(&key, b"late", true).await, Unnamed::Settled);
            rig.clock.pass(Duration::from_millis(1));
            assert_eq!(rig.weigh(&key, b"late", false).await, Unnamed::Noted);
            assert_eq!((rig.weigh(&key, b"late", true).await, rig.has(&key).await), (Unnamed::Removed, false));
        });
    }
    // Otherwise what is in quarantine stays there, whatever the database says of its chunk.
    now(async {
        let rig = Rig::finished().await;
        let key = keys::quarantine_key(rig.job, ChunkIndex(0), Epoch(1), "0f1e");
        assert_eq!(rig.weigh(&key, b"bad", true).await, Unnamed::Settled);
        let unknown = keys::quarantine_key(JobId(99), ChunkIndex(0), Epoch(1), "0f1e");
        assert_eq!(rig.weigh(&unknown, b"bad", true).await, Unnamed::Noted);
    });
}

/// The chunk was healed, perhaps from these very bytes: the next look finds nothing wrong, and removes them.
#[test]
fn a_spare_copy_stays_while_its_chunk_is_bad_and_while_it_is_healed() {
    now(async {
        let rig = Rig::finished().await;
        let row = rig.database.chunk(rig.job, ChunkIndex(0)).await.expect("a model").expect("a row");
        let (good, bad) = (key_of(rig.job, 0, 1), row.persistent_copy().expect("a copy").object().key.clone());
        rig.node.stores().objects.delete(&bad).await.expect("a model");
        // Its live copy is gone too.
        rig.clock.pass(GRACE);
        assert_eq!(rig.weigh(&good, b"as bad", true).await, Unnamed::Noted);
        assert!(rig.has(&good).await);
        assert_eq!(rig.weigh(&good, &log()[..64], true).await, Unnamed::Settled);
        assert!(rig.has(&good).await);
        assert_eq!((rig.weigh_what_is(&good, true).await, rig.has(&good).await), (Unnamed::Removed, false));
        assert_eq!(rig.read(0, 150).await, log());
    });
}

#[test]
fn an_orphan_is_resolved_once_it_is_gone_or_a_row_names_it_and_not_because_of_its_neighbours() {
    now(async {
        let rig = Rig::finished().await;
        let (one, other) = (key_of(JobId(99), 0, 1), key_of(JobId(99), 1, 1));
        let again = key_of(JobId(99), 0, 2);
        let bad = keys::quarantine_key(JobId(98), ChunkIndex(0), Epoch(1), "0f1e");
        for key in [&one, &other, &again, &bad] {
            assert_eq!(rig.weigh(key, b"of before", true).await, Unnamed::Noted);
        }
        let open = async || {
            let open = MismatchFilter { open: Some(true), ..MismatchFilter::default() };
            rig.database.mismatches(open).await.expect("a model")
        };
        let resolve = async || {
            let mut resolved = 0;
            for known in open().await {
                resolved += u32::from(rig.node.resolve_if_gone(&known).await.expect("models"));
            }
            resolved
        };
        assert_eq!((resolve().await, open().await.len()), (0, 4));
        let objects = &rig.node.stores().objects;
        objects.delete(&one).await.expect("a model");
        assert_eq!((resolve().await, open().await.len()), (1, 3));
        for key in [&other, &again, &bad] {
            objects.delete(key).await.expect("a model");
        }
        assert_eq!((resolve().await, open().await.len()), (3, 0));
    });
}

/// Two nodes of one installation may have live stores of different kinds for a while.
#[test]
fn what_lies_in_a_store_of_another_node_is_not_this_nodes_to_resolve() {
    now(async {
        let rig = Rig::finished().await;
        assert_eq!(rig.weigh(&key_of(JobId(99), 0, 1), b"of before", true).await, Unnamed::Noted);
        let mut known = rig.database.all_mismatches().remove(0);
        let live = rig.node.stores().live.name();
        known.what.store = if live == DataStore::Redis { DataStore::Embedded } else { DataStore::Redis };
        assert!(!rig.node.resolve_if_gone(&known).await.expect("models"));
        // This node's own live store has no such copy.
        known.what.store = live;
        assert!(rig.node.resolve_if_gone(&known).await.expect("models"));
    });
}

/// A live copy is left over since its trace is over, or since it or a later copy of its chunk is proven.
#[test]
fn a_live_copy_is_left_over_once_its_chunk_is_proven_in_its_epoch_or_later() {
    now(async {
        let rig = Rig::new(CHUNK).await;
        assert!(matches!(rig.append(0, &log(), 150).await, Appended::Accepted { .. }));
        rig.clock.pass(GRACE);
        let chunk = |index, epoch| ChunkId { index: ChunkIndex(index), epoch: Epoch(epoch) };
        let is_left = async |index, epoch| {
            let job = rig.database.job(rig.job).await.expect("a model").expect("a job");
            rig.node.was_left_over(&job, chunk(index, epoch), GRACE).await.expect("models")
        };
        assert!(!is_left(0, 1).await, "it waits for a persistent copy");
        rig.node.sweep().await.expect("models");
        assert!(!is_left(0, 1).await, "it was proven just now");
        rig.clock.pass(GRACE);
        assert!(is_left(0, 1).await);
        assert!(!is_left(0, 2).await, "of a later epoch than the row");
        assert!(!is_left(2, 1).await && !is_left(9, 1).await, "not proven, or unheard of");
        rig.change_row(0, |row| row.epoch = Epoch(3));
        assert!(is_left(0, 2).await && is_left(0, 3).await && !is_left(0, 4).await);
        rig.change_row(0, |row| {
            let ChunkState::Persisted { record, .. } = row.state else { panic!("persisted") };
            row.state = ChunkState::Sealed { record };
        });
        assert!(!is_left(0, 1).await, "its row changed: it is needed again");
    });
}

/// The runner is asked for the chunk again while its spare copy is weighed: that may be the only one then.
struct AskedForAgain {
    rig: Arc<Rig>,
    calls: AtomicU32,
}

#[async_trait]
impl Hook for AskedForAgain {
    async fn before(&self, call: &Call) -> Result<()> {
        if call.operation == "chunk" && self.calls.fetch_add(1, Ordering::SeqCst) == 1 {
            self.rig.change_row(0, |row| {
                let record = row.record().copied();
                row.state = ChunkState::Wanted { record, kept: None, asked_in: Epoch(2) };
                row.version = Version(row.version.0 + 1);
            });
        }
        Ok(())
    }

    async fn after(&self, _call: &Call, _took: Duration, _failed: Option<&StoreError>) -> Result<()> {
        Ok(())
    }
}

#[test]
fn a_spare_copy_of_a_chunk_that_is_asked_for_meanwhile_stays() {
    now(async {
        let rig = Arc::new(Rig::new(CHUNK).await);
        assert!(matches!(rig.append(0, &log(), 150).await, Appended::Accepted { .. }));
        rig.clock.pass(GRACE / 6);
        rig.node.sweep().await.expect("models");
        let row = rig.database.chunk(rig.job, ChunkIndex(0)).await.expect("a model").expect("a row");
        let objects = &rig.node.stores().objects;
        objects.delete(&row.persistent_copy().expect("a copy").object().key).await.expect("a model");
        assert!(rig.live.lose_chunk(rig.job, row.id()));
        let stores = rig.other.stores().clone();
        let hook = Arc::new(AskedForAgain { rig: rig.clone(), calls: AtomicU32::new(0) });
        let database = Arc::new(Hooked::new(stores.database.clone(), hook, rig.clock.clone()));
        let node = Pipeline::new(Stores { database, ..stores }, rig.other.seams().clone(), Settings::default());
        let key = key_of(rig.job, 0, 1);
        objects.put(&key, codec::encode(b"half of it").into()).await.expect("a model");
        let listed = Listed { key: key.clone(), size: ByteSize(17), modified: None };
        let parsed = keys::parse(&key).expect("one of ours");
        let weighed = node.examine_unnamed(DataStore::ObjectStore, (&listed, &parsed), EXAMINER, (GRACE, true));
        assert_eq!((weighed.await.expect("models"), rig.has(&key).await), (Unnamed::Noted, true));
    });
}
