//! The verifier over models, at a time that the test moves: what it looks at, and what it says of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use veritail::pipeline::{Appended, Finalized, Pipeline, Settings, Stores};
use veritail::store::database::leases::When;
use veritail::store::database::verifications::{Run, RunFilter};
use veritail::store::database::{Basis, Database, Job, Mismatch, MismatchFilter, Note, Resolution};
use veritail::store::hooked::{Call, Hook, Hooked};
use veritail::store::object::codec;
use veritail::store::{Result, StoreError};
use veritail::trace::{
    ByteSize, ChunkId, ChunkIndex, ChunkState, DataStore, Detector, Epoch, JobId, Kind, Location, Offset, RunState,
    Schedule, Sha256, StoredObject, Verdict,
};
use veritail::verify::{self, Scope, Verifier};

use crate::rig::{Rig, found_by_another, now};
use crate::support::hooks::Recorder;

const CHUNK: u32 = 64;
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
/// The promised time of a cycle of the full run.
const CYCLE: Duration = Duration::from_secs(7 * 24 * 3600);

/// Two chunks and a bit.
fn log() -> Vec<u8> {
    (0..150).collect()
}

impl Rig {
    fn verifier(&self) -> Verifier {
        Verifier::new(self.other.clone(), verify::Settings::default())
    }

    fn verifier_over(&self, stores: Stores) -> Verifier {
        let node = Pipeline::new(stores, self.other.seams().clone(), Settings::default());
        Verifier::new(node, verify::Settings::default())
    }

    async fn hot(&self, verifier: &Verifier) {
        self.clock.pass(MINUTE);
        verifier.tick(Schedule::Hot).await.expect("models");
    }

    /// A whole cycle of the full run.
    async fn full(&self, verifier: &Verifier) {
        verifier.tick(Schedule::Full).await.expect("models");
        self.clock.pass(CYCLE);
        verifier.tick(Schedule::Full).await.expect("models");
    }

    async fn closed(&self) {
        self.send_and_prove(&log()).await;
    }

    async fn job(&self) -> Job {
        self.database.job(self.job).await.expect("a model").expect("a job")
    }

    async fn found(&self) -> Vec<Mismatch> {
        self.database.mismatches(MismatchFilter::default()).await.expect("a model")
    }

    async fn runs(&self, schedule: Schedule) -> Vec<Run> {
        let filter = RunFilter { schedule: Some(schedule), ..RunFilter::default() };
        self.node.stores().verifications.runs(filter).await.expect("a model")
    }

    /// The key of a chunk's object.
    async fn key(&self, index: u32) -> String {
        let row = self.database.chunk(self.job, ChunkIndex(index)).await.expect("a model").expect("a row");
        row.persistent_copy().expect("a copy").object().key.clone()
    }

    /// One byte of the only live copy rots.
    fn rot(&self) {
        let [(job, chunk, ..)] = self.live.chunks()[..] else { panic!("one live copy") };
        assert!(self.live.flip_byte(job, chunk, ByteSize(3)));
    }
}

/// The acknowledgement of these bytes is not written down yet, and no record speaks for them. The verifier's mismatch does.
#[test]
fn bytes_of_the_open_end_that_were_found_damaged_and_did_not_come_again_make_a_trace_corrupt() {
    for (sent_again, verdict, resolution) in
        [(0, Verdict::Corrupt, None), (10, Verdict::Corrupt, None), (40, Verdict::Unclaimed, Some(Resolution::Resent))]
    {
        now(async {
            let rig = Rig::new(CHUNK).await;
            assert!(matches!(rig.append(0, &[7; 40], 40).await, Appended::Accepted { .. }));
            rig.rot();
            rig.verifier().tick(Schedule::Hot).await.expect("models");
            let [found] = &rig.found().await[..] else { panic!("one mismatch") };
            assert_eq!((found.what.kind, found.what.detector), (Kind::Checksum, Detector::Hot));

            if sent_again > 0 {
                let appended = rig.append(0, &vec![7; sent_again], 40).await;
                assert!(matches!(appended, Appended::Accepted { .. }), "{appended:?}");
            }
            rig.end_on(&rig.other, None).await;
            let closed = rig.job().await;
            assert_eq!((closed.verdict, closed.size), (verdict, Some(ByteSize(sent_again as u64))));
            let known = rig.found().await;
            assert_eq!(known.len(), 1, "{known:?}");
            assert_eq!(known[0].resolved.map(|(resolution, _)| resolution), resolution);
        });
    }
}

#[test]
fn a_live_store_that_holds_less_than_was_acknowledged_counts_as_a_difference_and_is_asked_for() {
    now(async {
        let rig = Rig::new(CHUNK).await;
        assert!(matches!(rig.append(0, &[7; 40], 40).await, Appended::Accepted { .. }));
        // It writes down what was acknowledged.
        rig.node.sweep().await.expect("models");
        rig.live.wipe();
        let verifier = rig.verifier();
        rig.hot(&verifier).await;
        let tally = rig.runs(Schedule::Hot).await[0].tally;
        assert_eq!((tally.looks, tally.differs, tally.sound), (1, 1, 0), "{tally:?}");
        // It is no mismatch as long as it can be sent again, which is asked for.
        assert_eq!(rig.found().await, []);
        assert_eq!(rig.append(40, &[7; 8], 8).await, Appended::Elsewhere { position: Offset(0) });
        assert_eq!(rig.job().await.epoch, Epoch(2), "a live store that lost an epoch gets another one");

        assert!(matches!(rig.append(0, &[7; 40], 40).await, Appended::Accepted { .. }));
        rig.clock.pass(Duration::from_secs(300));
        rig.hot(&verifier).await;
        let tally = rig.runs(Schedule::Hot).await[0].tally;
        assert_eq!((tally.looks, tally.sound), (1, 1), "{tally:?}");
    });
}

#[test]
fn a_finished_trace_whose_rows_are_gone_is_found_once() {
    now(async {
        let rig = Rig::new(CHUNK).await;
        rig.closed().await;
        let verifier = rig.verifier();
        rig.full(&verifier).await;
        assert_eq!(rig.found().await, [], "nothing is wrong");

        rig.database.lose_rows(rig.job, |_| true);
        rig.full(&verifier).await;
        let [found] = &rig.found().await[..] else { panic!("one mismatch") };
        let what = &found.what;
        assert_eq!(
            (what.chunk, what.kind, what.store, what.detector),
            (None, Kind::TraceSize, DataStore::Database, Detector::Full)
        );
        assert_eq!((what.expected.size, what.found.size), (Some(ByteSize(150)), Some(ByteSize::ZERO)));
        let ended = rig.runs(Schedule::Full).await.into_iter().filter(|run| run.state == RunState::Complete);
        assert_eq!(ended.map(|run| run.tally.differs).sum::<u64>(), 1);

        rig.full(&verifier).await;
        let [again] = &rig.found().await[..] else { panic!("counted twice") };
        assert_eq!(again.times_seen, 2);
    });
}

/// Of a trace that closed as corrupt no checksum is proven, but its length is.
#[test]
fn so_is_one_that_closed_as_corrupt() {
    now(async {
        let rig = Rig::new(CHUNK).await;
        assert!(matches!(rig.append(0, &log(), 150).await, Appended::Accepted { .. }));
        rig.node.sweep().await.expect("models");
        rig.live.wipe();
        rig.end_on(&rig.other, None).await;
        let closed = rig.job().await;
        assert_eq!(closed.verdict, Verdict::Corrupt);
        let verifier = rig.verifier();
        let known = rig.found().await.len();
        rig.full(&verifier).await;
        assert_eq!(rig.found().await.len(), known, "what is wrong is known");

        assert!(closed.size.is_some_and(|size| !size.is_zero()), "{:?}", closed.size);
        rig.database.lose_rows(rig.job, |_| true);
        rig.full(&verifier).await;
        let found: Vec<Kind> = rig.found().await[known..].iter().map(|found| found.what.kind).collect();
        assert_eq!(found, [Kind::TraceSize]);
    });
}

/// A chunk's object goes, and comes back as it was.
async fn lose_and_bring_back(rig: &Rig, meanwhile: impl AsyncFnOnce()) {
    let (objects, key) = (&rig.node.stores().objects, rig.key(1).await);
    let whole = objects.get(&key, ByteSize(1000)).await.expect("a model").expect("an object");
    objects.delete(&key).await.expect("a model");
    rig.full(&rig.verifier()).await;
    meanwhile().await;
    objects.put(&key, whole).await.expect("a model");
    rig.full(&rig.verifier()).await;
    let resolved: Vec<_> =
        rig.found().await.iter().map(|found| found.resolved.map(|(resolution, _)| resolution)).collect();
    assert_eq!(resolved, [Some(Resolution::Repaired)]);
}

/// The verdict that a reader is told.
async fn told(rig: &Rig) -> (Verdict, bool) {
    let report = rig.node.integrity(rig.job).await.expect("models").expect("a job");
    (report.verdict, report.crc32.is_some())
}

#[test]
fn the_verdict_is_corrupt_while_damage_that_was_found_later_is_open_and_what_it_was_once_that_is_healed() {
    now(async {
        let rig = Rig::new(CHUNK).await;
        rig.closed().await;
        assert_eq!(told(&rig).await.0, Verdict::Verified);
        lose_and_bring_back(&rig, async || assert_eq!(told(&rig).await.0, Verdict::Corrupt)).await;
        assert_eq!(told(&rig).await, (Verdict::Verified, true));
    });
}

/// The first job's shard is another node's, which dies with it.
#[test]
fn a_hot_run_of_the_other_shards_does_not_stand_for_one_of_this_shard() {
    now(async {
        let rig = Rig::new(CHUNK).await;
        let leases = &rig.node.stores().leases;
        let held = leases.take("verify/hot/01", "another", HOUR, When::Early).await.expect("a model");
        assert!(held.is_some());
        rig.closed().await;
        let verifier = rig.verifier();
        for _ in 0..10 {
            rig.hot(&verifier).await;
        }
        let lost = rig.node.stores().objects.delete(&rig.key(1).await).await;
        lost.expect("a model");
        rig.hot(&verifier).await;
        assert_eq!(rig.found().await, [], "it is not this node's");
        assert_eq!(rig.runs(Schedule::Hot).await[0].scope, "shards 0, 2-15");

        rig.clock.pass(HOUR);
        rig.hot(&verifier).await;
        assert_eq!(rig.runs(Schedule::Hot).await[0].scope, "all shards");
        let found: Vec<_> = rig.found().await.iter().map(|found| (found.what.chunk, found.what.kind)).collect();
        assert_eq!(found, [(Some(ChunkIndex(1)), Kind::Missing)]);

        // From now on it goes by that run: a chunk that was proven long before it is the full run's.
        let lost = rig.node.stores().objects.delete(&rig.key(0).await).await;
        lost.expect("a model");
        for _ in 0..10 {
            rig.hot(&verifier).await;
        }
        assert_eq!(rig.found().await.len(), 1);
    });
}

/// Calls of this name fail, so often.
struct Fails(&'static str, AtomicU64);

impl Fails {
    fn always(call: &'static str) -> Self {
        Self(call, AtomicU64::new(u64::MAX))
    }

    fn is_left(&self) -> bool {
        self.1.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok()
    }
}

#[async_trait]
impl Hook for Fails {
    async fn before(&self, call: &Call) -> Result<()> {
        if call.operation == self.0 && self.is_left() {
            return Err(StoreError::unavailable("database", "as the test says"));
        }
        Ok(())
    }

    async fn after(&self, _call: &Call, _took: Duration, _failed: Option<&StoreError>) -> Result<()> {
        Ok(())
    }
}

/// Whoever dies behind the statement that begins the next cycle has ended the one before with it.
#[test]
fn a_cycle_that_ended_is_complete_whatever_becomes_of_its_node() {
    now(async {
        let rig = Rig::new(CHUNK).await;
        rig.closed().await;
        let stores = rig.other.stores().clone();
        let fails = Arc::new(Fails::always("end_run"));
        let verifications = Arc::new(Hooked::new(stores.verifications.clone(), fails, rig.clock.clone()));
        let verifier = rig.verifier_over(Stores { verifications, ..stores });
        for _ in 0..3 {
            let _ = verifier.tick(Schedule::Full).await;
            rig.clock.pass(CYCLE);
        }
        let cursors = rig.node.stores().verifications.cursors().await.expect("a model");
        for cursor in cursors.iter().filter(|cursor| cursor.shard.starts_with("fresh/")) {
            let runs = rig.runs(Schedule::Full).await.into_iter().filter(|run| run.scope == cursor.shard);
            let (present, ended): (Vec<Run>, Vec<Run>) = runs.partition(|run| run.id == cursor.run);
            assert_eq!((present.len(), present[0].state), (1, RunState::Running), "{}", cursor.shard);
            assert!(!ended.is_empty() && ended.iter().all(|run| run.state == RunState::Complete), "{ended:?}");
        }
    });
}

/// A node dies while it looks: what it did not come to is looked at by the next one.
#[test]
fn a_walk_goes_on_at_what_was_not_looked_at() {
    now(async {
        let rig = Rig::new(CHUNK).await;
        rig.closed().await;
        let stores = rig.other.stores().clone();
        let fails = Arc::new(Fails("passed_jobs", AtomicU64::new(1)));
        let verifications = Arc::new(Hooked::new(stores.verifications.clone(), fails, rig.clock.clone()));
        let dies = rig.verifier_over(Stores { verifications, ..stores });
        dies.tick(Schedule::Full).await.expect("nothing is due");
        rig.clock.pass(CYCLE);
        assert!(dies.tick(Schedule::Full).await.is_err(), "it did not come to the whole of the trace");
        let next = rig.verifier();
        next.tick(Schedule::Full).await.expect("models");
        let ended = rig.runs(Schedule::Full).await.into_iter().filter(|run| run.state == RunState::Complete);
        assert_eq!(ended.map(|run| run.tally.chunks).sum::<u64>(), 3);
    });
}

/// Somebody repairs the chunk between the two looks that a difference needs: the row names another object then, in the same
/// epoch.
struct RepairsMeanwhile {
    rig: Arc<Rig>,
    good: Bytes,
    gets: AtomicU64,
}

#[async_trait]
impl Hook for RepairsMeanwhile {
    async fn before(&self, call: &Call) -> Result<()> {
        if call.operation == "get" && self.gets.fetch_add(1, Ordering::SeqCst) == 1 {
            let rig = &self.rig;
            let row = rig.database.chunk(rig.job, ChunkIndex(0)).await?.expect("a row");
            let at = row.persistent_copy().expect("a copy").object();
            let to = StoredObject { key: format!("{}9", at.key), ..at.clone() };
            rig.node.stores().objects.put(&to.key, self.good.clone()).await?;
            let to = Location::Object(to);
            let at = rig.node.seams().clock.now();
            assert!(rig.database.persist(rig.job, row.index, row.version, &to, at).await?);
        }
        Ok(())
    }

    async fn after(&self, _call: &Call, _took: Duration, _failed: Option<&StoreError>) -> Result<()> {
        Ok(())
    }
}

#[test]
fn a_chunk_that_is_repaired_while_it_is_looked_at_is_sound() {
    for is_acknowledged in [false, true] {
        now(async {
            let rig = Arc::new(Rig::new(CHUNK).await);
            assert!(matches!(rig.append(0, &[7; 40], 40).await, Appended::Accepted { .. }));
            assert!(matches!(rig.finalize(&[7; 40]).await, Finalized::Done { .. }));
            // The live copy is gone.
            rig.clock.pass(HOUR);
            let stores = rig.other.stores().clone();
            let key = rig.key(0).await;
            let good = stores.objects.get(&key, ByteSize(1000)).await.expect("a model").expect("an object");
            stores.objects.delete(&key).await.expect("a model");
            if is_acknowledged {
                rig.full(&rig.verifier()).await;
                let [found] = &rig.found().await[..] else { panic!("one mismatch") };
                let note = Note { by: "somebody".to_owned(), comment: "seen".to_owned() };
                let at = rig.node.seams().clock.now();
                let noted = rig.database.resolve_mismatch(found.id, Resolution::Acknowledged, &note, at).await;
                assert!(noted.expect("a model").is_some());
            }
            let (known, runs) = (rig.found().await.len(), rig.runs(Schedule::Full).await.len());
            let hook = Arc::new(RepairsMeanwhile { rig: rig.clone(), good, gets: AtomicU64::new(0) });
            let objects = Arc::new(Hooked::new(stores.objects.clone(), hook, rig.clock.clone()));
            rig.full(&rig.verifier_over(Stores { objects, ..stores })).await;
            assert_eq!(rig.found().await.len(), known, "{:?}", rig.found().await);
            // Of the runs that ended, those that came to something.
            let ended = rig.runs(Schedule::Full).await.into_iter().filter(|run| run.tally.looks > 0);
            let tallies: Vec<_> = ended.map(|run| (run.tally.sound, run.tally.differs)).collect();
            assert_eq!(tallies[0], (1, 0), "{tallies:?}, {runs} runs before");
        });
    }
}

/// It is the object that changed, not what the row says of it; and its content is still as promised.
#[test]
fn an_object_that_changed_where_it_makes_no_difference_is_named_and_healed() {
    now(async {
        let rig = Rig::new(CHUNK).await;
        rig.closed().await;
        rig.clock.pass(HOUR);
        let (objects, key) = (&rig.node.stores().objects, rig.key(0).await);
        let whole = objects.get(&key, ByteSize(1000)).await.expect("a model").expect("an object");
        let flipped = |bit: usize| {
            let mut bytes = whole.to_vec();
            bytes[bit / 8] ^= 1 << (bit % 8);
            bytes
        };
        let means_nothing = |bytes: &Vec<u8>| codec::decode(bytes, ByteSize(64)).is_ok_and(|read| read == log()[..64]);
        let harmless = (0..whole.len() * 8).map(flipped).find(means_nothing).expect("a bit that means nothing");
        objects.put(&key, harmless.into()).await.expect("a model");
        rig.full(&rig.verifier()).await;
        let [found] = &rig.found().await[..] else { panic!("one mismatch") };
        assert_eq!((found.what.kind, found.what.store), (Kind::Checksum, DataStore::ObjectStore));
        assert!(matches!(found.resolved, Some((Resolution::Repaired, _))), "{found:?}");
        assert_ne!(rig.key(0).await, key);
    });
}

#[test]
fn damage_that_cannot_be_decoded_is_told_by_what_lies_in_the_store() {
    now(async {
        let rig = Rig::new(CHUNK).await;
        rig.closed().await;
        // The live copies are gone.
        rig.clock.pass(HOUR);
        let objects = &rig.node.stores().objects;
        let (cut, garbage) = (rig.key(0).await, rig.key(1).await);
        let whole = objects.get(&cut, ByteSize(1000)).await.expect("a model").expect("an object");
        objects.put(&cut, whole.slice(..5)).await.expect("a model");
        let nothing = Bytes::from_static(b"no frame at all");
        objects.put(&garbage, nothing.clone()).await.expect("a model");
        rig.database.damage_row(rig.job, ChunkIndex(1), |row| {
            let ChunkState::Persisted { at: Location::Object(object), .. } = &mut row.state else {
                panic!("an object")
            };
            (object.size, object.sha256) = (ByteSize::of(&nothing), Sha256::of(&nothing));
        });

        rig.full(&rig.verifier()).await;
        let [first, second] = &rig.found().await[..] else { panic!("two mismatches") };
        assert_eq!((first.what.kind, second.what.kind), (Kind::Size, Kind::Undecodable));
        let stored = |what: &veritail::store::database::Found| (what.stored_size, what.stored_sha256);
        let of = |bytes: &[u8]| (Some(ByteSize::of(bytes)), Some(Sha256::of(bytes)));
        assert_eq!(stored(&first.what.expected), of(&whole));
        assert_eq!(stored(&first.what.found), of(&whole[..5]));
        assert_eq!(stored(&second.what.found), of(&nothing));
        for found in [first, second] {
            assert_eq!((found.what.expected.size, found.what.found.size), (Some(ByteSize(64)), None));
        }
    });
}

/// What is written down of a chunk that is sound: whoever found it, unless it is of bytes that no row speaks for.
#[test]
fn a_sound_look_resolves_what_was_seen_at_copies_and_is_told_of_all_that_is_open() {
    now(async {
        let log: Vec<u8> = (0..200).collect();
        let rig = Rig::new(CHUNK).await;
        rig.send_and_prove(&log).await;
        rig.clock.pass(HOUR);
        let at = rig.node.seams().clock.now();
        let known =
            |job, index, kind, detector| found_by_another((job, index), kind, DataStore::ObjectStore, detector, at);
        // As many of other jobs come before them.
        let others = (0..150).map(|other| known(JobId(1000 + other), 0, Kind::Missing, Detector::Full));
        let own = [
            known(rig.job, 0, Kind::Missing, Detector::Full),
            known(rig.job, 1, Kind::Missing, Detector::Inventory),
            known(rig.job, 2, Kind::StaleCopy, Detector::Full),
            // A left-over live copy.
            found_by_another((rig.job, 3), Kind::Orphan, DataStore::Embedded, Detector::Inventory, at),
        ];
        for what in others.chain(own) {
            rig.database.open_mismatch(&what, Basis::Nothing).await.expect("a model");
        }
        let (stores, recorder) = (rig.other.stores().clone(), Arc::new(Recorder::default()));
        let database = Arc::new(Hooked::new(stores.database.clone(), recorder.clone(), rig.clock.clone()));
        let verifier = rig.verifier_over(Stores { database, ..stores });
        rig.full(&verifier).await;
        let open: Vec<bool> =
            rig.database.all_mismatches()[150..].iter().map(|known| known.resolved.is_none()).collect();
        assert_eq!(open, [false, false, false, true]);
        // What is resolved is not resolved again.
        recorder.reset();
        rig.full(&verifier).await;
        assert_eq!(recorder.count("database", "mismatches"), 2, "once for each tick: {:?}", recorder.list());
        assert_eq!(recorder.count("database", "resolve_mismatches"), 0);
    });
}

/// Bytes that the runner was asked for are no copies, and none of them is sound.
#[test]
fn what_has_no_copies_is_not_sound() {
    now(async {
        let rig = Rig::new(CHUNK).await;
        assert!(matches!(rig.append(0, &log(), 150).await, Appended::Accepted { .. }));
        let lost = ChunkId { index: ChunkIndex(0), epoch: Epoch::FIRST };
        assert!(rig.live.flip_byte(rig.job, lost, ByteSize(3)));
        rig.hot(&rig.verifier()).await;
        assert!(rig.found().await.iter().all(|found| found.resolved.is_none()), "{:?}", rig.found().await);
        let (jobs, by) = (Scope::Jobs(vec![rig.job]), "a test".to_owned());
        rig.verifier().verify(jobs, by, |_| ()).await.expect("models");
        assert!(rig.found().await.iter().any(|found| found.what.chunk == Some(ChunkIndex(0))));
        assert!(rig.found().await.iter().all(|found| found.resolved.is_none()), "{:?}", rig.found().await);
    });
}
