//! The open end of a trace that is not over, over models: what a look at it says, what it costs, and whom it believes.

use std::sync::Arc;

use veritail::pipeline::examine::Examiner;
use veritail::pipeline::{Appended, Finalized, Pipeline, Settings, Stores};
use veritail::store::database::{Database as _, Job};
use veritail::store::hooked::Hooked;
use veritail::store::live::Entry;
use veritail::trace::open_end::Unrecorded;
use veritail::trace::{
    ByteSize, ChunkId, ChunkIndex, ChunkState, DataStore, Detector, Epoch, Kind, Offset, Record, Tally, Timestamp,
};

use crate::rig::{Rig, now};
use crate::support::hooks::Recorder;

const CHUNK: u32 = 64;
const REPORTS: Examiner = Examiner { detector: Detector::Hot, run: None, heals: false };
const HEALS: Examiner = Examiner { heals: true, ..REPORTS };

impl Rig {
    /// A job that runs, with so many bytes that are acknowledged, also in the database.
    async fn with_bytes(count: usize) -> Self {
        let rig = Self::new(CHUNK).await;
        assert!(matches!(rig.append(0, &vec![7; count], count).await, Appended::Accepted { .. }));
        rig.settle().await;
        rig.node.sweep().await.expect("models");
        assert_eq!(rig.job_now().await.acked_length, Offset(count as u64));
        rig
    }

    async fn job_now(&self) -> Job {
        self.database.job(self.job).await.expect("a model").expect("a job")
    }

    /// A look at the open end as this job has it, which may be long ago.
    async fn look_at_end(&self, job: &Job, examiner: Examiner) -> (Tally, Vec<(Kind, DataStore)>) {
        let examined = self.other.examine_open_end(job, examiner).await.expect("models");
        (examined.tally, examined.differences)
    }

    fn flip(&self, index: u32) {
        let chunk = ChunkId { index: ChunkIndex(index), epoch: Epoch::FIRST };
        assert!(self.live.flip_byte(self.job, chunk, ByteSize(3)));
    }
}

fn sound(chunks: u64, bytes: u64) -> (Tally, Vec<(Kind, DataStore)>) {
    (Tally { chunks, looks: chunks, sound: chunks, bytes: ByteSize(bytes), ..Tally::default() }, vec![])
}

/// What the database has no record of, however much that is.
#[test]
fn every_chunk_that_only_the_open_end_speaks_for_is_looked_at() {
    now(async {
        for (count, chunks, bytes) in [(40, 1, 40), (70, 1, 6)] {
            let rig = Rig::with_bytes(count).await;
            // What was recorded is forgotten with the next append.
            assert!(matches!(rig.append(count, b"", 1).await, Appended::Accepted { .. }));
            let (tally, differences) = rig.look_at_end(&rig.job_now().await, REPORTS).await;
            assert_eq!((tally.sound, tally.looks - tally.moved, differences), (chunks, chunks, vec![]), "{tally:?}");
            assert!(tally.bytes >= ByteSize(bytes), "{tally:?}");
        }
        let rig = Rig::with_bytes(64).await;
        let (tally, _) = rig.look_at_end(&rig.job_now().await, REPORTS).await;
        assert_eq!((tally.moved, tally.looks), (0, tally.sound), "an empty chunk is not looked at: {tally:?}");
    });
}

#[test]
fn a_sound_open_end_costs_no_look_at_the_database_and_a_finished_job_none_at_the_live_store() {
    now(async {
        let rig = Rig::with_bytes(40).await;
        let (stores, recorder) = (rig.other.stores().clone(), Arc::new(Recorder::default()));
        let live = Arc::new(Hooked::new(stores.live.clone(), recorder.clone(), rig.clock.clone()));
        let database = Arc::new(Hooked::new(stores.database.clone(), recorder.clone(), rig.clock.clone()));
        let node = Pipeline::new(Stores { live, database, ..stores }, rig.other.seams().clone(), Settings::default());
        let examined = node.examine_open_end(&rig.job_now().await, HEALS).await.expect("models");
        assert_eq!((examined.tally, examined.differences), sound(1, 40));
        assert_eq!(recorder.list(), [("live", "load", 2), ("live", "read_open", 1)]);

        recorder.reset();
        assert!(matches!(rig.finalize(&[7; 40]).await, Finalized::Done { .. }));
        assert_eq!(node.examine_unfinished(rig.job, HEALS).await.expect("models"), Tally::default());
        assert_eq!(recorder.list(), [("database", "job", 1)]);

        // One that nothing was appended to so far.
        let new = Rig { job: rig.with_job_of("group/demo").await.job, ..rig };
        recorder.reset();
        assert_eq!(node.examine_unfinished(new.job, HEALS).await.expect("models"), Tally::default());
        assert_eq!(recorder.list(), [("database", "job", 1)]);
    });
}

/// The job is read before the live store, so what it says may be over by then.
#[test]
fn less_than_was_acknowledged_is_a_gap_only_while_the_job_still_says_so() {
    now(async {
        let rig = Rig::with_bytes(40).await;
        let short = |job: &Job| Job { acked_length: Offset(50), ..job.clone() };
        let job = rig.job_now().await;
        assert_eq!(rig.look_at_end(&short(&job), REPORTS).await, sound(1, 40), "it is 40 by now");

        rig.database.change_job(rig.job, |job| job.acked_length = Offset(50));
        let gap = Tally { differs: 1, looks: 2, ..sound(1, 40).0 };
        let told = (gap, vec![(Kind::Gap, rig.node.stores().live.name())]);
        assert_eq!(rig.look_at_end(&short(&job), REPORTS).await, told);
        assert_eq!(rig.look_at_end(&Job { acked_length: Offset(40), ..job.clone() }, REPORTS).await, sound(1, 40));
        assert_eq!(rig.job_now().await.epoch, Epoch::FIRST, "whoever reports changes nothing");

        rig.database.change_job(rig.job, |job| job.epoch = Epoch(2));
        assert_eq!(rig.look_at_end(&short(&job), REPORTS).await, sound(1, 40), "somebody is at it");
    });
}

#[test]
fn a_bad_open_end_is_written_down_and_begun_anew_only_by_whoever_heals() {
    now(async {
        for (examiner, epoch) in [(REPORTS, Epoch::FIRST), (HEALS, Epoch(2))] {
            let rig = Rig::with_bytes(40).await;
            rig.flip(0);
            let live = rig.node.stores().live.name();
            let differs = Tally { chunks: 1, looks: 1, differs: 1, bytes: ByteSize(40), ..Tally::default() };
            assert_eq!(rig.look_at_end(&rig.job_now().await, examiner).await, (differs, vec![(Kind::Checksum, live)]));
            assert_eq!((rig.job_now().await.epoch, rig.database.all_mismatches().len()), (epoch, 1));
        }
    });
}

/// As after a database was begun anew: the live store has the open end of another job with this number.
#[test]
fn the_open_end_of_another_job_or_another_epoch_is_not_this_jobs() {
    now(async {
        let rig = Rig::with_bytes(40).await;
        let job = rig.job_now().await;
        let nothing = (Tally::default(), vec![]);
        let unheard_of = Job { acked_length: Offset::ZERO, ..job.clone() };
        let of_another = Job { created_at: Timestamp(job.created_at.0 + 1), ..unheard_of.clone() };
        assert_eq!(rig.look_at_end(&of_another, REPORTS).await, nothing);
        assert_eq!(rig.look_at_end(&Job { epoch: Epoch(2), ..unheard_of }, REPORTS).await, nothing);
    });
}

/// The open end speaks for a chunk that the database has a record of by now: then that record counts.
#[test]
fn a_chunk_with_a_record_is_not_accused_by_its_open_end() {
    now(async {
        let rig = Rig::with_bytes(40).await;
        rig.flip(0);
        let long = Rig::with_bytes(64).await;
        let recorded = long.database.all_rows(long.job).remove(0);
        assert!(matches!(recorded.state, ChunkState::Sealed { .. }), "{recorded:?}");
        assert!(rig.database.damage_row(rig.job, ChunkIndex(0), |row| row.state = recorded.state.clone()));
        let moved = Tally { chunks: 1, looks: 1, moved: 1, bytes: ByteSize(40), ..Tally::default() };
        assert_eq!(rig.look_at_end(&rig.job_now().await, HEALS).await, (moved, vec![]));
        assert_eq!((rig.database.all_mismatches(), rig.job_now().await.epoch), (vec![], Epoch::FIRST));
    });
}

/// A changed number, further beyond the end than any chunk can be: it is believed as little as an entry that cannot be read, whoever
/// meets it first.
#[test]
fn an_open_end_where_none_can_be_is_begun_anew() {
    for (meets, is_tail) in ["append", "hot", "read"].into_iter().flat_map(|meets| [(meets, true), (meets, false)]) {
        now(async {
            let rig = Rig::with_bytes(40).await;
            let live = rig.node.stores().live.load(rig.job).await.expect("a model").expect("an entry");
            let Entry::Live(mut end) = live.entry else { panic!("{live:?}") };
            if is_tail {
                end.tail.chunk.index = ChunkIndex(u32::MAX);
            } else {
                let unrecorded = Unrecorded { record: Record::of(&[7; 40]), epoch: Epoch::FIRST };
                end.sealed.insert(ChunkIndex(u32::MAX), unrecorded);
            }
            assert!(rig.live.damage_trace(rig.job, end.encode().as_ref()));
            match meets {
                "append" => {
                    let again = Appended::Elsewhere { position: Offset(0) };
                    assert_eq!(rig.append_on(&rig.other, 40, &[7], 1).await, again);
                }
                "hot" => {
                    let (_, differences) = rig.look_at_end(&rig.job_now().await, HEALS).await;
                    assert_eq!(differences, [(Kind::Gap, rig.node.stores().live.name())]);
                }
                _ => assert_eq!(rig.read(0, u64::MAX).await, b""),
            }
            assert!(matches!(rig.append_on(&rig.other, 0, &[7; 50], 50).await, Appended::Accepted { .. }));
            assert!(matches!(rig.finalize(&[7; 50]).await, Finalized::Done { .. }));
            assert_eq!(rig.read(0, 50).await, [7; 50]);
            let open = rig.database.all_mismatches().iter().filter(|known| known.resolved.is_none()).count();
            assert_eq!(open, 0, "{meets}");
        });
    }
}
