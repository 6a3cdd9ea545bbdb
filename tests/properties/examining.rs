//! One look at a chunk, over models: what it costs, what it says, and what it changes.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use veritail::pipeline::examine::Examiner;
use veritail::pipeline::{Appended, Pipeline, Settings, Stores};
use veritail::store::Result;
use veritail::store::database::{Basis, Database as _, Mismatch, NewMismatch, Note, Opened, Resolution};
use veritail::store::hooked::Hooked;
use veritail::store::object::{ObjectStore, Objects, codec, keys};
use veritail::trace::{
    ByteSize, ChunkId, ChunkIndex, ChunkRow, ChunkState, Crc32, DataStore, Detector, Epoch, JobId, Kind, Location,
    Offset, Record, Sha256, StoredObject, Tally, TraceState,
};
use veritail::verify::{self, Scope, Verifier};

use crate::passing::counted;
use crate::rig::{Rig, now};
use crate::support::hooks::Recorder;

const CHUNK: u32 = 64;
const HOUR: Duration = Duration::from_secs(3600);
const REPORTS: Examiner = Examiner { detector: Detector::Full, run: None, heals: false };
const HEALS: Examiner = Examiner { heals: true, ..REPORTS };

fn log() -> Vec<u8> {
    (0..150).collect()
}

impl Rig {
    /// A closed trace of three chunks, with its live copies.
    async fn just_closed() -> Self {
        let rig = Self::new(CHUNK).await;
        rig.send_and_prove(&log()).await;
        rig
    }

    /// The same without them.
    async fn closed_long_ago() -> Self {
        let rig = Self::just_closed().await;
        rig.clock.pass(HOUR);
        assert_eq!(rig.live.chunks(), []);
        rig
    }

    async fn store(&self, key: &str, bytes: impl Into<Bytes>) {
        self.node.stores().objects.put(key, bytes.into()).await.expect("a model");
    }

    async fn lose(&self, key: &str) {
        self.node.stores().objects.delete(key).await.expect("a model");
    }

    /// What a look at this chunk says, in numbers and in words.
    async fn look_at(&self, index: u32, examiner: Examiner) -> (Tally, Vec<(Kind, DataStore)>) {
        let examined = self.other.examine(self.job, &self.row(index), examiner).await.expect("models");
        (examined.tally, examined.differences)
    }

    /// The chunk is of a later epoch, and so is the object that its row names.
    async fn move_to_epoch(&self, index: u32, epoch: u32) -> String {
        let (before, key) = (self.object(index), keys::chunk_key(self.job, ChunkIndex(index), Epoch(epoch), "aaaa"));
        let bytes = self.node.stores().objects.get_whole(&before.key).await.expect("a model").expect("an object");
        self.store(&key, bytes).await;
        self.lose(&before.key).await;
        self.database.damage_row(self.job, ChunkIndex(index), |row| {
            row.epoch = Epoch(epoch);
            let ChunkState::Persisted { at, .. } = &mut row.state else { panic!("persisted") };
            *at = Location::Object(StoredObject { key: key.clone(), ..before });
        });
        key
    }

    fn live_copy(&self, index: u32, epoch: u32) -> ChunkId {
        ChunkId { index: ChunkIndex(index), epoch: Epoch(epoch) }
    }

    /// Open mismatches: which chunk, what, and where.
    fn open(&self) -> Vec<(Option<u32>, Kind, DataStore)> {
        let known = self.database.all_mismatches();
        let open = known.iter().filter(|known| known.resolved.is_none());
        open.map(|known| (known.what.chunk.map(|index| index.0), known.what.kind, known.what.store)).collect()
    }

    fn repaired(&self) -> Vec<Mismatch> {
        let is_repaired = |known: &Mismatch| matches!(known.resolved, Some((Resolution::Repaired, _)));
        self.database.all_mismatches().into_iter().filter(is_repaired).collect()
    }

    /// Another node, and how often it asks its stores.
    fn recorded(&self) -> (Pipeline, Arc<Recorder>) {
        let (stores, recorder) = (self.other.stores().clone(), Arc::new(Recorder::default()));
        let live = Arc::new(Hooked::new(stores.live.clone(), recorder.clone(), self.clock.clone()));
        let objects = Arc::new(Hooked::new(stores.objects.clone(), recorder.clone(), self.clock.clone()));
        let database = Arc::new(Hooked::new(stores.database.clone(), recorder.clone(), self.clock.clone()));
        let stores = Stores { live, objects, database, ..stores };
        (Pipeline::new(stores, self.other.seams().clone(), Settings::default()), recorder)
    }
}

fn sound(looks: u64, bytes: u64) -> Tally {
    Tally { chunks: 1, looks, sound: looks, bytes: ByteSize(bytes), ..Tally::default() }
}

#[test]
fn a_look_asks_each_store_once_where_all_is_well_and_twice_where_something_differs() {
    now(async {
        let rig = Rig::just_closed().await;
        let (node, recorder) = rig.recorded();
        let examined = node.examine(rig.job, &rig.row(0), REPORTS).await.expect("models");
        assert_eq!((examined.tally, examined.differences), (sound(2, 128), vec![]));
        assert_eq!(recorder.list(), [("live", "read_chunk", 1), ("object_store", "get", 1)]);

        // A live copy that went as it should is no look.
        rig.clock.pass(HOUR);
        assert_eq!(rig.look_at(0, REPORTS).await, (sound(1, 64), vec![]));
        recorder.reset();
        rig.store(&rig.object(0).key, codec::encode(b"bad")).await;
        let examined = node.examine(rig.job, &rig.row(0), REPORTS).await.expect("models");
        let bad = Tally { chunks: 1, looks: 1, differs: 1, bytes: ByteSize(3), ..Tally::default() };
        assert_eq!((examined.tally, examined.differences), (bad, vec![(Kind::Size, DataStore::ObjectStore)]));
        // No earlier copies are looked for: there is no earlier epoch.
        let asked = ["get", "list"].map(|operation| recorder.count("object_store", operation));
        assert_eq!((asked, recorder.count("live", "read_chunk")), ([2, 0], 2));
        assert_eq!(rig.open(), [(Some(0), Kind::Size, DataStore::ObjectStore)]);
    });
}

#[test]
fn the_live_store_is_asked_once_for_all_chunks_that_need_nothing_in_it() {
    now(async {
        let rig = Rig::just_closed().await;
        let mut rows = rig.database.all_rows(rig.job);
        // That of the chunk that would have been the next one is there.
        assert_eq!(rows.pop().map(|row| row.state), Some(ChunkState::Open));
        let all = |rows: &[ChunkRow]| rows.iter().map(|row| (rig.job, row.id())).collect();
        let (node, recorder) = rig.recorded();
        let without = async |rows: &[ChunkRow]| node.without_live_copy(rows.iter().map(|row| (rig.job, row))).await;
        assert_eq!(without(&rows).await, [].into(), "they are still there");
        rig.live.lose_chunk(rig.job, rows[1].id());
        assert_eq!(without(&rows).await, [(rig.job, rows[1].id())].into());
        rig.clock.pass(HOUR);
        assert_eq!(without(&rows).await, all(&rows));
        assert_eq!(recorder.list(), [("live", "present", 3)]);

        // One that is to be live has to be looked for.
        let mut sealed = rows.clone();
        sealed[0].state = ChunkState::Sealed { record: *rows[0].record().expect("a record") };
        assert_eq!(without(&sealed).await, all(&rows[1..]));

        recorder.reset();
        let examined = node.examine_without_live_copy(rig.job, &rows[0], REPORTS).await.expect("models");
        assert_eq!((examined.tally, recorder.list()), (sound(1, 64), vec![("object_store", "get", 1)]));
        // What differs is looked at everywhere, whatever was known before.
        rig.live.put_chunk(rig.job, rows[0].id(), &log()[..64]);
        rig.lose(&rig.object(0).key).await;
        let examined = node.examine_without_live_copy(rig.job, &rows[0], REPORTS).await.expect("models");
        assert_eq!((examined.tally.differs, rig.open()), (1, vec![(Some(0), Kind::Missing, DataStore::ObjectStore)]));
    });
}

#[test]
fn a_row_that_promises_nothing_has_no_copies_and_one_that_goes_meanwhile_moved() {
    now(async {
        let rig = Rig::closed_long_ago().await;
        let row = rig.row(0);
        for state in [ChunkState::Open, ChunkState::Wanted { record: None, kept: None, asked_in: Epoch(2) }] {
            let row = ChunkRow { state, ..row.clone() };
            let examined = rig.other.examine(rig.job, &row, REPORTS).await.expect("models");
            assert_eq!((examined.tally, examined.differences), (Tally::default(), vec![]));
        }
        rig.lose(&rig.object(0).key).await;
        rig.database.lose_rows(rig.job, |row| row.index == ChunkIndex(0));
        let examined = rig.other.examine(rig.job, &row, REPORTS).await.expect("models");
        let moved = Tally { chunks: 1, looks: 1, moved: 1, ..Tally::default() };
        assert_eq!((examined.tally, examined.differences, rig.open()), (moved, vec![], vec![]));
        // With its whole trace: nobody was to look at it any more.
        rig.database.change_job(rig.job, |job| job.state = TraceState::Erased);
        let examined = rig.other.examine(rig.job, &row, REPORTS).await.expect("models");
        assert_eq!((examined.tally, examined.differences, rig.open()), (Tally::default(), vec![], vec![]));
    });
}

/// One of the two copies is right, so it is known where the other begins to differ.
#[test]
fn where_bytes_begin_to_differ_is_told_by_a_copy_that_is_right() {
    now(async {
        let rig = Rig::just_closed().await;
        assert!(rig.live.flip_byte(rig.job, rig.live_copy(1, 1), ByteSize(7)));
        let live = rig.node.stores().live.name();
        let seen = Tally { chunks: 1, looks: 2, sound: 1, differs: 1, bytes: ByteSize(128), ..Tally::default() };
        assert_eq!(rig.look_at(1, REPORTS).await, (seen, vec![(Kind::Checksum, live)]));
        let [found] = &rig.database.all_mismatches()[..] else { panic!("one mismatch") };
        assert_eq!((found.what.first_difference, found.what.chunk), (Some(Offset(7)), Some(ChunkIndex(1))));
        assert_eq!(found.what.expected.sha256, Some(Sha256::of(&log()[64..128])));
    });
}

/// The object is right. The live copy is on its way out, and goes at once.
#[test]
fn a_bad_live_copy_beside_a_right_object_goes_and_the_object_stays() {
    now(async {
        let (rig, live) = (Rig::just_closed().await, rig_live());
        let at = rig.object(1);
        assert!(rig.live.flip_byte(rig.job, rig.live_copy(1, 1), ByteSize(7)));
        let (tally, differences) = rig.look_at(1, HEALS).await;
        assert_eq!((tally.repaired, differences), (1, vec![(Kind::Checksum, live)]));
        let left: Vec<u32> = rig.live.chunks().iter().map(|(_, chunk, ..)| chunk.index.0).collect();
        assert_eq!((left, rig.object(1), rig.repaired().len()), (vec![0, 2], at, 1));
        assert_eq!(rig.open(), []);
    });
}

/// The model's.
fn rig_live() -> DataStore {
    DataStore::Embedded
}

#[test]
fn a_bad_object_is_replaced_from_its_live_copy_which_stays_for_its_time() {
    now(async {
        let rig = Rig::just_closed().await;
        let at = rig.object(1);
        rig.lose(&at.key).await;
        let (tally, _) = rig.look_at(1, HEALS).await;
        assert_eq!((tally.repaired, tally.differs, rig.open()), (1, 1, vec![]));
        assert_ne!(rig.object(1).key, at.key);
        assert_eq!(rig.live.chunks().len(), 3);
        rig.clock.pass(HOUR);
        assert_eq!((rig.look_at(1, REPORTS).await, rig.read(0, 150).await), ((sound(1, 64), vec![]), log()));
    });
}

/// Both are bad, and differently: a third copy heals the chunk, and the live one goes.
#[test]
fn where_both_copies_are_bad_a_third_one_is_searched_and_the_live_one_goes() {
    now(async {
        let rig = Rig::just_closed().await;
        rig.store(&rig.object(1).key, "no chunk at all").await;
        assert!(rig.live.flip_byte(rig.job, rig.live_copy(1, 1), ByteSize(7)));
        let (tally, differences) = rig.look_at(1, HEALS).await;
        let both = vec![(Kind::Size, DataStore::ObjectStore), (Kind::Checksum, rig_live())];
        assert_eq!((tally.repaired, differences, rig.live.chunks().len()), (0, both, 3));
        rig.store(&keys::chunk_key(rig.job, ChunkIndex(1), Epoch(1), "0f1e"), codec::encode(&log()[64..128])).await;
        let (tally, _) = rig.look_at(1, HEALS).await;
        assert_eq!((tally.repaired, rig.repaired().len(), rig.live.chunks().len()), (2, 2, 2));
        assert_eq!(rig.read(0, 150).await, log());
    });
}

/// A live copy of another epoch of the chunk, one beyond the row's at most.
#[test]
fn a_chunk_is_healed_from_a_live_copy_of_another_epoch() {
    for (epoch, is_found) in [(1, true), (2, true), (3, true), (4, false)] {
        now(async {
            let rig = Rig::closed_long_ago().await;
            let key = rig.move_to_epoch(0, 2).await;
            rig.lose(&key).await;
            rig.live.put_chunk(rig.job, rig.live_copy(0, epoch), &log()[..64]);
            let (tally, _) = rig.look_at(0, HEALS).await;
            assert_eq!(tally.repaired, u64::from(is_found), "{epoch}");
        });
    }
}

/// Both stores have the same bytes, which are not those of the record: nobody's damage does that twice.
#[test]
fn two_copies_that_agree_accuse_the_record_once() {
    now(async {
        let rig = Rig::just_closed().await;
        rig.database.damage_row(rig.job, ChunkIndex(0), |row| {
            let ChunkState::Persisted { record, .. } = &mut row.state else { panic!("persisted") };
            *record = Record::of(b"something else");
        });
        let (tally, differences) = rig.look_at(0, REPORTS).await;
        assert_eq!((tally.looks, tally.differs), (2, 2));
        assert_eq!(differences, [(Kind::Record, DataStore::Database)]);
        assert_eq!(rig.open(), [(Some(0), Kind::Record, DataStore::Database)]);
    });
}

#[test]
fn a_look_that_only_reports_changes_nothing_and_no_more_does_one_at_an_erased_trace() {
    now(async {
        let rig = Rig::closed_long_ago().await;
        let at = rig.object(0);
        rig.lose(&at.key).await;
        rig.store(&keys::chunk_key(rig.job, ChunkIndex(0), Epoch(1), "0f1e"), codec::encode(&log()[..64])).await;
        let (tally, _) = rig.look_at(0, REPORTS).await;
        assert_eq!((tally.repaired, rig.object(0), rig.open().len()), (0, at, 1));
        let row = rig.row(0);
        rig.node.erase(rig.job, "admin").await.expect("models");
        let examined = rig.other.examine(rig.job, &row, HEALS).await.expect("models");
        assert_eq!(examined.tally.repaired, 0);
    });
}

/// What a look heals or cannot heal is counted.
#[test]
fn repairs_are_counted() {
    let ((), page) = counted(async {
        let rig = Rig::closed_long_ago().await;
        rig.lose(&rig.object(0).key).await;
        rig.look_at(0, HEALS).await;
        rig.store(&keys::chunk_key(rig.job, ChunkIndex(0), Epoch(1), "0f1e"), codec::encode(&log()[..64])).await;
        rig.look_at(0, HEALS).await;
        rig.lose(&rig.object(1).key).await;
        rig.look_at(1, HEALS).await;
    });
    let counted = |result| page.value(&format!("integrity_repairs_total{{result=\"{result}\"}}"));
    assert_eq!((counted("repaired"), counted("unrepairable")), (1.0, 2.0));
}

/// Bytes of an earlier epoch where those of the present one belong, wherever the earlier copy lies that shows it.
#[test]
fn bytes_of_an_earlier_epoch_are_a_stale_copy() {
    const BEFORE: &[u8] = b"what was sent first";
    let stray =
        |index: u32, epoch: u32| move |rig: &Rig| keys::chunk_key(rig.job, ChunkIndex(index), Epoch(epoch), "0f1e");
    type Key = Box<dyn Fn(&Rig) -> String>;
    let objects: Vec<(Key, &[u8], Kind)> = vec![
        (Box::new(stray(0, 1)), BEFORE, Kind::StaleCopy),
        (Box::new(stray(0, 2)), BEFORE, Kind::StaleCopy),
        (Box::new(stray(0, 3)), BEFORE, Kind::Size),
        (Box::new(stray(0, 4)), BEFORE, Kind::Size),
        (Box::new(stray(1, 1)), BEFORE, Kind::Size),
        (Box::new(stray(0, 1)), b"something else", Kind::Size),
    ];
    for in_database in [false, true] {
        for (key, bytes, kind) in &objects {
            now(async {
                let rig = Rig::closed_long_ago().await;
                let at = rig.move_to_epoch(0, 3).await;
                rig.store(&at, codec::encode(BEFORE)).await;
                let bytes = codec::encode(bytes).into();
                match in_database {
                    true => rig.node.stores().spill.put(&key(&rig), bytes).await.expect("a model"),
                    false => rig.store(&key(&rig), bytes).await,
                }
                assert_eq!(rig.look_at(0, REPORTS).await.1, [(*kind, DataStore::ObjectStore)], "{}", key(&rig));
            });
        }
    }
    for (epoch, bytes, kind) in [
        (1, BEFORE, Kind::StaleCopy),
        (2, BEFORE, Kind::StaleCopy),
        (4, BEFORE, Kind::Size),
        (2, &b"something else"[..], Kind::Size),
    ] {
        now(async {
            let rig = Rig::closed_long_ago().await;
            let at = rig.move_to_epoch(0, 3).await;
            rig.store(&at, codec::encode(BEFORE)).await;
            rig.live.put_chunk(rig.job, rig.live_copy(0, epoch), bytes);
            assert_eq!(rig.look_at(0, REPORTS).await.1, [(kind, DataStore::ObjectStore)], "{epoch}");
        });
    }
}

/// A wrong record stays one, although the same bytes were sent in an earlier epoch too.
#[test]
fn a_wrong_record_is_not_taken_for_a_stale_copy() {
    now(async {
        let rig = Rig::closed_long_ago().await;
        rig.move_to_epoch(0, 2).await;
        rig.store(&keys::chunk_key(rig.job, ChunkIndex(0), Epoch(1), "0f1e"), codec::encode(&log()[..64])).await;
        rig.database.damage_row(rig.job, ChunkIndex(0), |row| {
            let ChunkState::Persisted { record, .. } = &mut row.state else { panic!("persisted") };
            record.crc32 = Crc32(!record.crc32.0);
        });
        assert_eq!(rig.look_at(0, REPORTS).await.1, [(Kind::Record, DataStore::Database)]);
    });
}

/// A job that runs: what is sealed has a live copy alone.
#[test]
fn a_bad_copy_of_a_running_job_is_written_down_and_asked_for_again() {
    now(async {
        let rig = Rig::new(CHUNK).await;
        assert!(matches!(rig.append(0, &log(), 150).await, Appended::Accepted { .. }));
        assert!(matches!(rig.row(0).state, ChunkState::Sealed { .. }), "{:?}", rig.row(0));
        assert!(rig.live.flip_byte(rig.job, rig.live_copy(0, 1), ByteSize(7)));
        let differs = Tally { chunks: 1, looks: 1, differs: 1, bytes: ByteSize(64), ..Tally::default() };
        assert_eq!(rig.look_at(0, HEALS).await, (differs, vec![(Kind::Checksum, rig_live())]));
        assert_eq!(rig.open(), [(Some(0), Kind::Checksum, rig_live())]);
        assert_eq!(rig.append(150, b"more", 4).await, Appended::Elsewhere { position: Offset(0) });
        assert!(matches!(rig.row(0).state, ChunkState::Wanted { kept: None, .. }), "{:?}", rig.row(0));
        // Bytes that the runner was asked for are no news.
        assert_eq!(rig.look_at(0, HEALS).await, (Tally::default(), vec![]));
    });
}

/// Its bytes are right, and nobody can send them again: they are not given up for lost.
#[test]
fn a_right_copy_of_a_wrong_record_is_given_up_only_where_it_can_be_sent_again() {
    for (trace_reset, position) in [(Some(true), Offset(0)), (Some(false), Offset(150)), (None, Offset(150))] {
        now(async {
            let rig = Rig::new(CHUNK).await;
            assert!(matches!(rig.append(0, &log(), 150).await, Appended::Accepted { .. }));
            rig.database.change_job(rig.job, |job| job.trace_reset = trace_reset);
            rig.database.damage_row(rig.job, ChunkIndex(0), |row| {
                let ChunkState::Sealed { record } = &mut row.state else { panic!("sealed") };
                record.crc32 = Crc32(!record.crc32.0);
            });
            assert_eq!(rig.look_at(0, HEALS).await.1, [(Kind::Record, DataStore::Database)]);
            let is_wanted = matches!(rig.row(0).state, ChunkState::Wanted { .. });
            assert_eq!(is_wanted, position == Offset(0), "{trace_reset:?}: {:?}", rig.row(0));
        });
    }
    // Bytes that are wrong are lost, whoever sent them.
    now(async {
        let rig = Rig::new(CHUNK).await;
        assert!(matches!(rig.append(0, &log(), 150).await, Appended::Accepted { .. }));
        rig.database.change_job(rig.job, |job| job.trace_reset = Some(false));
        assert!(rig.live.flip_byte(rig.job, rig.live_copy(0, 1), ByteSize(7)));
        rig.look_at(0, HEALS).await;
        assert!(matches!(rig.row(0).state, ChunkState::Wanted { .. }), "{:?}", rig.row(0));
    });
}

/// A chunk that was asked for again and never came: that is known, and no second loss.
#[test]
fn a_loss_that_is_known_is_the_only_one() {
    now(async {
        let rig = Rig::closed_long_ago().await;
        let record = *rig.row(0).record().expect("a record");
        rig.database.damage_row(rig.job, ChunkIndex(0), |row| {
            row.state = ChunkState::Wanted { record: Some(record), kept: None, asked_in: Epoch(2) };
        });
        let missing = vec![(Kind::Missing, rig_live())];
        let asks = async || rig.look_at(0, REPORTS).await.1;
        let known = |index: u32, kind: Kind, store: DataStore| {
            let what = &rig.database.all_mismatches()[0].what;
            NewMismatch { chunk: Some(ChunkIndex(index)), kind, store, ..what.clone() }
        };
        // Nothing is known of it: it is written down as what is seen.
        assert_eq!((asks().await, rig.open()), (missing.clone(), vec![(Some(0), Kind::Missing, rig_live())]));
        // What is known of other chunks, of other jobs, or of bytes that no row names, says nothing of it.
        let (object_store, at) = (DataStore::ObjectStore, rig.node.seams().clock.now());
        let note = async |what: NewMismatch| match rig.database.open_mismatch(&what, Basis::Nothing).await {
            Ok(Opened::New(id)) => id,
            other => panic!("{other:?}"),
        };
        let resolve = async |id, resolution| {
            let by = Note { by: "somebody".to_owned(), comment: "as the test says".to_owned() };
            rig.database.resolve_mismatch(id, resolution, &by, at).await.expect("a model");
        };
        resolve(rig.database.all_mismatches()[0].id, Resolution::Resent).await;
        note(known(1, Kind::Checksum, object_store)).await;
        note(known(0, Kind::Orphan, object_store)).await;
        note(NewMismatch { job: JobId(99), ..known(0, Kind::Checksum, object_store) }).await;
        assert_eq!(asks().await, missing);
        let again = rig.database.all_mismatches();
        let again = again.iter().filter(|known| known.what.kind == Kind::Missing && known.resolved.is_none());
        let again: Vec<i64> = again.map(|known| known.id).collect();
        assert_eq!(again.len(), 1);
        // A loss in the store that had the bytes is what is told, and nothing is written down beside it, even where a person
        // took note of it.
        for id in again {
            resolve(id, Resolution::Resent).await;
        }
        for epoch in 100..250 {
            note(NewMismatch { epoch: Epoch(epoch), ..known(1, Kind::Checksum, object_store) }).await;
        }
        let id = note(known(0, Kind::Size, object_store)).await;
        for is_acknowledged in [false, true] {
            if is_acknowledged {
                resolve(id, Resolution::Acknowledged).await;
            }
            let before = rig.database.all_mismatches().len();
            assert_eq!(asks().await, [(Kind::Size, object_store)]);
            assert_eq!(rig.database.all_mismatches().len(), before);
        }
        // Of a chunk that has its copy it is no loss.
        let examined = rig.look_at(2, REPORTS).await;
        assert_eq!(examined, (sound(1, 22), vec![]));
    });
}

/// A live store that was restored has them again, under the name that the row asked for them by: they are kept for good, and
/// what was written down is healed by that and not by the look.
#[test]
fn lost_bytes_that_come_back_to_the_live_store_are_kept_for_good() {
    for heals in [false, true] {
        now(async {
            let rig = Rig::closed_long_ago().await;
            let record = *rig.row(0).record().expect("a record");
            rig.lose(&rig.object(0).key).await;
            rig.database.damage_row(rig.job, ChunkIndex(0), |row| {
                row.state = ChunkState::Wanted { record: Some(record), kept: None, asked_in: Epoch(1) };
            });
            let missing = vec![(Kind::Missing, rig_live())];
            assert_eq!(rig.look_at(0, REPORTS).await.1, missing);
            rig.live.put_chunk(rig.job, rig.row(0).id(), &log()[..64]);
            let settings = verify::Settings { repairs: heals, ..verify::Settings::default() };
            let verifier = Verifier::new(rig.other.clone(), settings);
            let tally = verifier.verify(Scope::Jobs(vec![rig.job]), "a test".to_owned(), |_| ()).await;
            assert_eq!(tally.expect("models").differs, 1);
            assert_eq!(rig.open().is_empty(), heals);
            assert_eq!(matches!(rig.row(0).state, ChunkState::Persisted { .. }), heals);
            if heals {
                assert_eq!(rig.read(0, 150).await, log());
            }
        });
    }
}

/// However many others there are of the same kind.
#[test]
fn what_a_person_took_note_of_is_not_opened_again_among_thousands() {
    now(async {
        let rig = Rig::closed_long_ago().await;
        rig.lose(&rig.object(2).key).await;
        rig.look_at(2, REPORTS).await;
        let [noted] = &rig.database.all_mismatches()[..] else { panic!("one mismatch") };
        let by = Note { by: "somebody".to_owned(), comment: "as the test says".to_owned() };
        for chunk in 100..1200 {
            let what = NewMismatch { chunk: Some(ChunkIndex(chunk)), ..noted.what.clone() };
            rig.database.open_mismatch(&what, Basis::Nothing).await.expect("a model");
        }
        let at = rig.node.seams().clock.now();
        rig.database.resolve_mismatches(rig.job, None, Resolution::Acknowledged, &by, at).await.expect("a model");
        // The newest one of all: the look at it comes behind all others.
        rig.lose(&rig.object(1).key).await;
        rig.look_at(1, REPORTS).await;
        let newest = rig.database.all_mismatches().last().expect("mismatches").id;
        rig.database.resolve_mismatch(newest, Resolution::Acknowledged, &by, at).await.expect("a model");
        assert_eq!(rig.look_at(1, REPORTS).await.1, [(Kind::Missing, DataStore::ObjectStore)]);
        assert_eq!(rig.open(), []);
    });
}

/// Objects, and which of them were to be read from where they lie.
struct Dropped(Arc<dyn ObjectStore>, Mutex<Vec<String>>);

#[async_trait]
impl ObjectStore for Dropped {
    async fn put(&self, key: &str, bytes: Bytes) -> Result<()> {
        self.0.put(key, bytes).await
    }

    async fn get(&self, key: &str, most: ByteSize) -> Result<Option<Bytes>> {
        self.0.get(key, most).await
    }

    async fn delete(&self, key: &str) -> Result<()> {
        self.0.delete(key).await
    }

    fn list(&self, prefix: &str) -> Objects {
        self.0.list(prefix)
    }

    async fn drop_cache(&self, key: &str) {
        self.1.lock().expect("no test panics here").push(key.to_owned());
    }

    async fn ping(&self) -> Result<()> {
        self.0.ping().await
    }
}

#[test]
fn the_full_run_and_no_other_reads_what_lies_on_the_disk() {
    now(async {
        let rig = Rig::closed_long_ago().await;
        let stores = rig.other.stores().clone();
        let dropped = Arc::new(Dropped(stores.objects.clone(), Mutex::default()));
        let objects =
            Arc::new(Hooked::<dyn ObjectStore>::new(dropped.clone(), Arc::new(Recorder::default()), rig.clock.clone()));
        let stores = Stores { objects, ..stores };
        let node = Pipeline::new(stores, rig.other.seams().clone(), Settings::default());
        for detector in [Detector::Hot, Detector::Manual, Detector::Full] {
            node.examine(rig.job, &rig.row(1), Examiner { detector, ..REPORTS }).await.expect("models");
            let expected: Vec<String> = (detector == Detector::Full).then(|| rig.object(1).key).into_iter().collect();
            assert_eq!(*dropped.1.lock().expect("no test panics here"), expected, "{detector}");
        }
    });
}
