//! What is known to be bad when a trace closes, and copies that change while a chunk moves: over models.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use veritail::pipeline::examine::Examiner;
use veritail::pipeline::{Appended, FinalPut, Finalized, Pipeline, Settings, Stores};
use veritail::store::database::{Basis, Database as _, Mismatch, NewMismatch, Resolution};
use veritail::store::hooked::{Call, Hook, Hooked};
use veritail::store::object::{codec, keys};
use veritail::store::{Result, StoreError};
use veritail::trace::{
    ByteSize, ChunkId, ChunkIndex, ChunkRow, ChunkState, Claim, Crc32, DataStore, Detector, Ending, Epoch, JobStatus,
    Kind, Offset, Origin, Record, Schedule, Verdict, Version,
};
use veritail::verify::{self, Scope, Verifier};

use crate::rig::{Rig, found_by_another, now};

const CHUNK: u32 = 64;
const HOUR: Duration = Duration::from_secs(3600);
const REPORTS: Examiner = Examiner { detector: Detector::Full, run: None, heals: false };

fn log() -> Vec<u8> {
    (0..150).collect()
}

impl Rig {
    /// A job that runs, whose first two chunks are proven. Their live copies are there for a while.
    async fn half_proven() -> Self {
        let rig = Self::new(CHUNK).await;
        assert!(matches!(rig.append(0, &log(), 150).await, Appended::Accepted { .. }));
        rig.settle().await;
        rig.clock.pass(HOUR / 6);
        rig.node.sweep().await.expect("models");
        assert!(matches!(rig.row(0).state, ChunkState::Persisted { .. }), "{:?}", rig.row(0));
        assert_eq!(rig.live.chunks().len(), 3);
        rig
    }

    /// The object of a chunk goes, and that is found.
    async fn lose_and_find(&self, index: u32) {
        self.node.stores().objects.delete(&self.object(index).key).await.expect("a model");
        let examined = self.other.examine(self.job, &self.row(index), REPORTS).await.expect("models");
        assert_eq!(examined.differences, [(Kind::Missing, DataStore::ObjectStore)]);
    }

    fn let_live_copy_go(&self, index: u32) {
        assert!(self.live.lose_chunk(self.job, ChunkId { index: ChunkIndex(index), epoch: Epoch::FIRST }));
    }

    /// What is known of each chunk, and how that was resolved and why.
    fn resolutions(&self) -> Vec<(u32, Kind, Option<Resolution>, Option<String>)> {
        let of = |known: &Mismatch| {
            let index = known.what.chunk.map_or(u32::MAX, |index| index.0);
            let why = known.note.as_ref().map(|note| note.comment.clone());
            (index, known.what.kind, known.resolved.map(|(resolution, _)| resolution), why)
        };
        self.database.all_mismatches().iter().map(of).collect()
    }

    /// A final PUT of a client that sends nothing again.
    async fn end_unsent(&self, log: &[u8], trace_reset: Option<bool>) {
        self.end_unsent_on(&self.node, log, trace_reset).await;
    }

    async fn end_unsent_on(&self, node: &Pipeline, log: &[u8], trace_reset: Option<bool>) {
        let claim = Claim { crc32: Crc32::of(log), size: Some(ByteSize::of(log)) };
        let (status, origin) = (JobStatus::Success, Origin::Runner);
        let ending = Ending { status, failure_reason: None, exit_code: Some(0), claim: Some(claim), origin };
        node.finalize(FinalPut { job: self.job, ending, trace_reset }).await;
    }

    async fn verdict(&self) -> Verdict {
        self.database.job(self.job).await.expect("a model").expect("a job").verdict
    }
}

fn repaired(index: u32, why: &str) -> (u32, Kind, Option<Resolution>, Option<String>) {
    (index, Kind::Missing, Some(Resolution::Repaired), Some(why.to_owned()))
}

#[test]
fn what_was_found_bad_and_is_right_again_when_the_trace_closes_is_resolved() {
    now(async {
        let rig = Rig::half_proven().await;
        let keys = [rig.object(0).key, rig.object(1).key];
        rig.lose_and_find(0).await;
        // Its live copy is no reason to write it again.
        rig.node.stores().objects.put(&keys[0], codec::encode(&log()[..64]).into()).await.expect("a model");
        assert!(matches!(rig.finalize(&log()).await, Finalized::Done { .. }));
        assert_eq!(rig.resolutions(), [repaired(0, "read again, and as recorded")]);
        assert_eq!(([rig.object(0).key, rig.object(1).key], rig.verdict().await), (keys, Verdict::Verified));
    });
}

#[test]
fn what_has_a_good_live_copy_when_the_trace_closes_is_repaired_from_that() {
    now(async {
        let rig = Rig::half_proven().await;
        let (key, spared) = (rig.object(0).key, rig.object(1).key);
        rig.lose_and_find(0).await;
        assert!(matches!(rig.finalize(&log()).await, Finalized::Done { .. }));
        assert_eq!(rig.resolutions(), [repaired(0, "repaired from the live copy")]);
        assert_ne!(rig.object(0).key, key);
        assert_eq!((rig.object(1).key, rig.verdict().await), (spared, Verdict::Verified));
        rig.clock.pass(HOUR);
        assert_eq!(rig.read(0, 150).await, log());
    });
}

/// A bad object that a good one replaces goes to quarantine, and the row names the new one.
#[test]
fn a_bad_object_is_put_aside_when_its_live_copy_replaces_it() {
    now(async {
        let rig = Rig::half_proven().await;
        let key = rig.object(1).key;
        let objects = &rig.node.stores().objects;
        objects.put(&key, codec::encode(b"bad").into()).await.expect("a model");
        let examined = rig.other.examine(rig.job, &rig.row(1), REPORTS).await.expect("models");
        assert_eq!(examined.differences, [(Kind::Size, DataStore::ObjectStore)]);
        assert!(matches!(rig.finalize(&log()).await, Finalized::Done { .. }));
        assert!(objects.get(&key, ByteSize(1)).await.expect("a model").is_none());
        let listed: Vec<_> = futures::TryStreamExt::try_collect(objects.list("quarantine/")).await.expect("a model");
        assert_eq!(listed.len(), 1, "{listed:?}");
    });
}

/// Two chunks are bad and nobody has them: both are asked for, and come again.
#[test]
fn what_nobody_has_when_the_trace_closes_is_asked_for_all_of_it() {
    now(async {
        let rig = Rig::half_proven().await;
        for index in [0, 1] {
            rig.lose_and_find(index).await;
            rig.let_live_copy_go(index);
        }
        assert!(matches!(rig.finalize(&log()).await, Finalized::Resend { .. }));
        for index in [0, 1] {
            let row = rig.row(index);
            assert!(matches!(row.state, ChunkState::Wanted { .. }), "{row:?}");
        }
        assert_eq!(rig.append(150, b"", 1).await, Appended::Elsewhere { position: Offset(0) });
        assert!(matches!(rig.append(0, &log()[..128], 128).await, Appended::Accepted { .. }));
        assert!(matches!(rig.finalize(&log()).await, Finalized::Done { .. }));
        assert_eq!((rig.verdict().await, rig.read(0, 150).await), (Verdict::Verified, log()));
        assert!(rig.resolutions().iter().all(|(.., resolution, _)| resolution.is_some()), "{:?}", rig.resolutions());
    });
}

/// The chunk's row changes just before the flip that would name the object, so often.
struct Changes {
    rig: Arc<Rig>,
    change: fn(&mut ChunkRow),
    left: AtomicU32,
}

#[async_trait]
impl Hook for Changes {
    async fn before(&self, call: &Call) -> Result<()> {
        let is_left = || self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok();
        if call.operation == "persist" && is_left() {
            self.rig.database.damage_row(self.rig.job, ChunkIndex(0), |row| {
                (self.change)(row);
                row.version = Version(row.version.0 + 1);
            });
        }
        Ok(())
    }

    async fn after(&self, _call: &Call, _took: Duration, _failed: Option<&StoreError>) -> Result<()> {
        Ok(())
    }
}

fn give_up(row: &mut ChunkRow) {
    let record = row.record().copied();
    row.state = ChunkState::Wanted { record, kept: None, asked_in: Epoch::FIRST };
}

fn want_another(row: &mut ChunkRow) {
    let record = Some(Record::of(b"something else"));
    row.state = ChunkState::Wanted { record, kept: None, asked_in: Epoch::FIRST };
}

/// A chunk that is given up for lost while its bytes are on their way is found again, if it is these that are wanted.
#[test]
fn bytes_that_were_on_their_way_are_found_again_if_they_are_wanted_still() {
    type Change = fn(&mut ChunkRow);
    for (what, change, times, is_found) in [
        ("given up", give_up as Change, 1, true),
        ("given up, and changed again", give_up, 2, false),
        ("others are wanted", want_another, 1, false),
    ] {
        now(async {
            let rig = Arc::new(Rig::new(CHUNK).await);
            assert!(matches!(rig.append(0, &log()[..64], 64).await, Appended::Accepted { .. }));
            let (live, at) = (rig.node.stores().live.name(), rig.node.seams().clock.now());
            let lost = found_by_another((rig.job, 0), Kind::Missing, live, Detector::Sweep, at);
            rig.database.open_mismatch(&lost, Basis::Nothing).await.expect("a model");
            rig.settle().await;
            rig.clock.pass(HOUR);
            let stores = rig.other.stores().clone();
            let hook = Arc::new(Changes { rig: rig.clone(), change, left: AtomicU32::new(times) });
            let database = Arc::new(Hooked::new(stores.database.clone(), hook, rig.clock.clone()));
            let node = Pipeline::new(Stores { database, ..stores }, rig.other.seams().clone(), Settings::default());
            let _ = node.sweep().await;
            let objects: Vec<_> =
                futures::TryStreamExt::try_collect(rig.node.stores().objects.list(&keys::job_prefix(rig.job)))
                    .await
                    .expect("a model");
            let is_proven = matches!(rig.row(0).state, ChunkState::Persisted { .. });
            assert_eq!((is_proven, objects.len()), (is_found, usize::from(is_found)), "{what}");
            let why = "found again: the bytes were on their way to a persistent store";
            let open = (0, Kind::Missing, None, None);
            assert_eq!(rig.resolutions(), [if is_found { repaired(0, why) } else { open }], "{what}");
            // What is released goes after its grace.
            rig.clock.pass(HOUR);
            assert_eq!(rig.live.chunks().len(), usize::from(!is_found), "{what}");
        });
    }
}

/// The chunk holds filler: a good copy of it heals what was wrong with that copy, not the gap.
#[test]
fn a_repair_of_filler_heals_the_copy_and_neither_the_gap_nor_an_orphan() {
    now(async {
        let rig = Rig::new(CHUNK).await;
        assert!(matches!(rig.append(0, &log()[..64], 64).await, Appended::Accepted { .. }));
        rig.settle().await;
        rig.node.sweep().await.expect("models");
        rig.database.change_job(rig.job, |job| job.trace_reset = Some(false));
        rig.live.wipe();
        let behind = rig.append_on(&rig.other, 64, &log()[64..], 86).await;
        assert!(matches!(behind, Appended::Accepted { .. }), "{behind:?}");
        rig.settle().await;
        rig.clock.pass(HOUR);
        rig.node.sweep().await.expect("models");
        let gap = rig.database.all_mismatches();
        let gap = gap.iter().find(|known| known.what.kind == Kind::Gap).expect("a gap");
        assert_eq!((gap.what.chunk, gap.what.expected.size), (Some(ChunkIndex(0)), Some(ByteSize(64))));

        let what = |kind, index, store| NewMismatch { kind, chunk: Some(ChunkIndex(index)), store, ..gap.what.clone() };
        let known = [
            what(Kind::Orphan, 0, DataStore::ObjectStore),
            what(Kind::Checksum, 0, DataStore::ObjectStore),
            what(Kind::Checksum, 0, rig.node.stores().live.name()),
            what(Kind::Checksum, 1, DataStore::ObjectStore),
        ];
        let before = rig.database.all_mismatches().len();
        for what in &known {
            rig.database.open_mismatch(what, Basis::Nothing).await.expect("a model");
        }
        rig.other.note_sound_again(rig.job, &rig.row(0)).await.expect("models");
        let open: Vec<bool> =
            rig.database.all_mismatches()[before..].iter().map(|known| known.resolved.is_none()).collect();
        assert_eq!(open, [true, false, true, true]);
        let gap = rig.database.all_mismatches().into_iter().find(|known| known.what.kind == Kind::Gap).expect("a gap");
        assert!(gap.resolved.is_none(), "{gap:?}");
        // Of a chunk without filler everything is healed.
        rig.other.note_sound_again(rig.job, &rig.row(1)).await.expect("models");
        let last = rig.database.all_mismatches().pop().expect("one");
        assert!(matches!(last.resolved, Some((Resolution::Repaired, _))), "{last:?}");
    });
}

/// Somebody puts a lost object back after nobody could: whatever the trace closed as, the next cycle sees that it is right.
#[test]
fn an_object_of_a_corrupt_trace_that_is_put_back_is_resolved_by_the_next_cycle() {
    let a_cycle = Duration::from_secs(7 * 24 * 3600);
    // The client can send again and does not, or it cannot; and who looks.
    for (can_send_again, schedule) in
        [(Some(true), Schedule::Full), (Some(false), Schedule::Full), (Some(false), Schedule::Manual)]
    {
        now(async {
            let rig = Rig::half_proven().await;
            rig.database.change_job(rig.job, |job| job.trace_reset = can_send_again);
            let key = rig.object(0).key;
            let stored = rig.node.stores().objects.get_whole(&key).await.expect("a model").expect("an object");
            rig.lose_and_find(0).await;
            rig.let_live_copy_go(0);
            for _ in 0..20 {
                rig.end_unsent(&log(), can_send_again).await;
                rig.clock.pass(HOUR / 4);
                rig.node.sweep().await.expect("models");
            }
            assert_eq!(rig.verdict().await, Verdict::Corrupt, "{can_send_again:?}: {:?}", rig.row(0));
            assert!(rig.resolutions().iter().any(|(index, _, resolution, _)| *index == 0 && resolution.is_none()));

            rig.node.stores().objects.put(&key, stored).await.expect("a model");
            let verifier = Verifier::new(rig.other.clone(), verify::Settings::default());
            if schedule == Schedule::Manual {
                let all = Scope::From(rig.job);
                verifier.verify(all, "a test".to_owned(), |_| ()).await.expect("models");
            }
            for _ in 0..2 {
                verifier.tick(Schedule::Full).await.expect("models");
                rig.clock.pass(a_cycle);
            }
            let left: Vec<_> =
                rig.resolutions().into_iter().filter(|(_, _, resolution, _)| resolution.is_none()).collect();
            assert_eq!(left, [], "{can_send_again:?}, {schedule}: {:?}", rig.row(0));
            assert_eq!(rig.read(0, 128).await, &log()[..128]);
        });
    }
}

/// The node dies once, before the verdict is written.
struct Dies(AtomicU32);

#[async_trait]
impl Hook for Dies {
    async fn before(&self, call: &Call) -> Result<()> {
        let dies = call.operation == "close" && self.0.fetch_add(1, Ordering::SeqCst) == 0;
        if dies { Err(StoreError::unavailable("database", "the node died")) } else { Ok(()) }
    }

    async fn after(&self, _call: &Call, _took: Duration, _failed: Option<&StoreError>) -> Result<()> {
        Ok(())
    }
}

/// Between the last chunk and one whose number changed are many that never were: one gap, however often it is noted, and beside what
/// is known of the chunks in it.
#[test]
fn chunks_of_which_nothing_is_known_are_one_gap_beside_those_that_are_known_to_be_lost() {
    let start = |index: u32| Offset(u64::from(index) * u64::from(CHUNK));
    let gap = |known: &Mismatch| {
        let (from, size) = (known.what.expected.offset.expect("a place"), known.what.expected.size.expect("a size"));
        (from, from + size)
    };
    for (known, parts) in [(None, vec![(2, 1000)]), (Some(3u32), vec![(2, 3), (4, 1000)])] {
        now(async {
            let rig = Rig::half_proven().await;
            assert!(rig.database.renumber_row(rig.job, ChunkIndex(1), ChunkIndex(1000)));
            if let Some(index) = known {
                let (live, at) = (rig.node.stores().live.name(), rig.node.seams().clock.now());
                let lost = found_by_another((rig.job, index), Kind::Missing, live, Detector::Sweep, at);
                rig.database.open_mismatch(&lost, Basis::Nothing).await.expect("a model");
            }
            let (stores, dies) = (rig.other.stores().clone(), Arc::new(Dies(AtomicU32::new(0))));
            let database = Arc::new(Hooked::new(stores.database.clone(), dies.clone(), rig.clock.clone()));
            let node = Pipeline::new(Stores { database, ..stores }, rig.other.seams().clone(), Settings::default());
            rig.end_unsent_on(&node, &log(), Some(false)).await;
            for _ in 0..3 {
                rig.clock.pass(HOUR);
                node.sweep().await.expect("models");
            }
            assert_eq!((rig.verdict().await, dies.0.load(Ordering::SeqCst)), (Verdict::Corrupt, 2));
            let all = rig.database.all_mismatches();
            let gaps: Vec<_> = all.iter().filter(|known| known.what.kind == Kind::Gap).map(gap).collect();
            let expected: Vec<_> = parts.into_iter().map(|(from, to)| (start(from), start(to))).collect();
            assert_eq!(gaps, expected, "{all:?}");
        });
    }
}

/// So far beyond the end no chunk can be: what goes through those before it one by one would not come to an end.
#[test]
fn a_row_whose_number_cannot_be_is_named_once_and_waits_for_a_person() {
    for is_sealed in [false, true] {
        now(async {
            let rig = Rig::half_proven().await;
            let far = ChunkIndex(u32::MAX);
            let proven = rig.row(1).state;
            assert!(rig.database.renumber_row(rig.job, ChunkIndex(1), far));
            if is_sealed {
                let record = *rig.row(u32::MAX).record().expect("a record");
                rig.database.damage_row(rig.job, far, |row| row.state = ChunkState::Sealed { record });
                // Who looks at the copies first says the same.
                let examined = rig.other.examine(rig.job, &rig.row(u32::MAX), REPORTS).await.expect("models");
                assert_eq!(examined.tally.differs, 1);
            }
            rig.end_unsent(&log(), Some(true)).await;
            for _ in 0..3 {
                rig.clock.pass(HOUR);
                rig.node.sweep().await.expect("models");
                // Its copy is as the row says: that heals nothing.
                rig.other.note_sound_again(rig.job, &rig.row(u32::MAX)).await.expect("models");
            }
            let all = rig.database.all_mismatches();
            let [named] = &all[..] else { panic!("{all:?}") };
            let what = &named.what;
            assert_eq!((what.chunk, what.kind, what.store), (Some(far), Kind::Record, DataStore::Database));
            assert!(named.resolved.is_none(), "{named:?}");
            assert_eq!(rig.verdict().await, Verdict::Pending);
            // Once it is put right, the trace goes on, and nothing stays open.
            assert!(rig.database.renumber_row(rig.job, far, ChunkIndex(1)));
            rig.database.damage_row(rig.job, ChunkIndex(1), |row| row.state = proven);
            rig.clock.pass(HOUR);
            rig.node.sweep().await.expect("models");
            assert_eq!((rig.verdict().await, rig.read(0, 150).await), (Verdict::Verified, log()));
            let why = Some("no row has this number any more".to_owned());
            assert_eq!(rig.resolutions(), [(u32::MAX, Kind::Record, Some(Resolution::Repaired), why)]);
        });
    }
}
