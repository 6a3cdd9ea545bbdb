//! The full run's walks over models: where they stop, what they wait for, what they pass over, and what that costs.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use veritail::pipeline::{Appended, Finalized, Pipeline, Settings, Stores};
use veritail::store::database::verifications::{Run, RunFilter, Verifications as _};
use veritail::store::database::{Database as _, MismatchFilter};
use veritail::store::hooked::{Call, Hook, Hooked};
use veritail::store::{Result, StoreError};
use veritail::telemetry::verification::Tick;
use veritail::trace::{ByteSize, ChunkIndex, Crc32, Kind, RunState, Schedule, Tally, Verdict};
use veritail::verify::{self, Verifier};

use crate::rig::{Rig, now};
use crate::support::clock::ManualClock;
use crate::support::hooks::{Faults, Recorder, Side};

const CHUNK: u32 = 64;
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);
const CYCLE: Duration = Duration::from_secs(7 * 24 * 3600);
const SLICE: Duration = Duration::from_secs(50);

/// Its clock stands still: whoever waits for the budget waits for ever.
fn settings() -> verify::Settings {
    let default = verify::Settings::default();
    let full = verify::Budgeted { bytes_per_second: ByteSize::ZERO, requests_per_second: 0, ..default.full };
    verify::Settings { full, full_slice: SLICE, ..default }
}

impl Rig {
    /// Ends its job's trace, of so many chunks.
    async fn of_so_many(self, chunks: u32) -> Self {
        let log: Vec<u8> = (0..chunks * CHUNK).map(|at| (at % 253) as u8).collect();
        assert!(matches!(self.append(0, &log, log.len()).await, Appended::Accepted { .. }));
        assert!(matches!(self.finalize(&log).await, Finalized::Done { .. }));
        self
    }

    fn walker(&self, stores: Stores) -> Verifier {
        Verifier::new(Pipeline::new(stores, self.other.seams().clone(), Settings::default()), settings())
    }

    /// A verifier whose calls for rows, and whose reads of objects, this hook sees.
    fn hooked_walker(&self, hook: Arc<dyn Hook>) -> Verifier {
        let stores = self.other.stores().clone();
        let verifications = Arc::new(Hooked::new(stores.verifications.clone(), hook.clone(), self.clock.clone()));
        let database = Arc::new(Hooked::new(stores.database.clone(), hook.clone(), self.clock.clone()));
        let objects = Arc::new(Hooked::new(stores.objects.clone(), hook, self.clock.clone()));
        self.walker(Stores { database, verifications, objects, ..stores })
    }

    /// Begins a cycle an hour from now and walks through all of it; answers what was asked of the stores behind its beginning.
    async fn walk_a_cycle(&self) -> Arc<Recorder> {
        self.clock.pass(HOUR);
        let recorder = Arc::new(Recorder::default());
        let verifier = self.hooked_walker(recorder.clone());
        verifier.tick(Schedule::Full).await.expect("models");
        recorder.reset();
        self.clock.pass(CYCLE - HOUR);
        verifier.tick(Schedule::Full).await.expect("models");
        recorder
    }

    /// What the walks over fresh jobs saw so far, in cycles that ended and in those under way.
    async fn walked(&self) -> Tally {
        let cursors = self.database.cursors().await.expect("a model");
        let mut all = Tally::default();
        cursors.iter().filter(|cursor| cursor.shard.starts_with("fresh/")).for_each(|cursor| all += cursor.tally);
        self.ended_walks().await.iter().for_each(|run| all += run.tally);
        all
    }

    async fn ended_walks(&self) -> Vec<Run> {
        let filter = RunFilter { schedule: Some(Schedule::Full), limit: 10_000, ..RunFilter::default() };
        let runs = self.database.runs(filter).await.expect("a model");
        runs.into_iter().filter(|run| run.state != RunState::Running && run.scope.starts_with("fresh/")).collect()
    }
}

/// A tick works for its slice, and stops when that is over to the moment.
struct Passes(Arc<ManualClock>);

#[async_trait]
impl Hook for Passes {
    async fn before(&self, call: &Call) -> Result<()> {
        if call.operation == "kept_chunks" {
            self.0.pass(SLICE);
        }
        Ok(())
    }

    async fn after(&self, _call: &Call, _took: Duration, _failed: Option<&StoreError>) -> Result<()> {
        Ok(())
    }
}

#[test]
fn a_tick_stops_when_its_time_is_over_and_the_next_goes_on_there() {
    now(async {
        let rig = Rig::new(CHUNK).await.of_so_many(150).await;
        rig.clock.pass(HOUR);
        let verifier = rig.hooked_walker(Arc::new(Passes(rig.clock.clone())));
        verifier.tick(Schedule::Full).await.expect("models");
        rig.clock.pass(CYCLE);
        for walked in [64, 128, 150] {
            assert_eq!(verifier.tick(Schedule::Full).await.expect("models"), Tick::Ran);
            assert_eq!(rig.walked().await.chunks, walked);
        }
    });
}

/// A page that is full may not be the last one; one that is not is.
#[test]
fn no_more_pages_of_rows_are_asked_for_than_there_are() {
    for (chunks, pages) in [(63, 1), (64, 2), (65, 2), (128, 3)] {
        now(async {
            let rig = Rig::new(CHUNK).await.of_so_many(chunks).await;
            rig.clock.pass(HOUR);
            let recorder = Arc::new(Recorder::default());
            let verifier = rig.hooked_walker(recorder.clone());
            verifier.tick(Schedule::Full).await.expect("models");
            rig.clock.pass(CYCLE - HOUR);
            verifier.tick(Schedule::Full).await.expect("models");
            let asked = recorder.list().into_iter().filter(|(_, operation, _)| *operation == "kept_chunks");
            assert_eq!(
                (rig.walked().await.chunks, asked.map(|(.., count)| count).sum::<u64>()),
                (u64::from(chunks), pages)
            );
        });
    }
}

/// A trace whose rows come with one page adds up by them; one that goes over pages is read once more, and so is one that is
/// not what it was.
#[test]
fn whole_traces_are_added_up_by_the_rows_that_are_there() {
    type Change = fn(&Rig);
    let unchanged: Change = |_| ();
    let another_checksum: Change = |rig| {
        rig.database.change_job(rig.job, |job| job.crc32 = Some(Crc32(7)));
    };
    let another_length: Change = |rig| {
        rig.database.change_job(rig.job, |job| job.size = Some(ByteSize(7)));
    };
    for (chunks, change, read_alone, differs) in [
        (vec![3, 1, 7], unchanged, 0, None),
        (vec![3, 60, 2, 70], unchanged, 2, None),
        (vec![3, 1, 7], another_checksum, 1, Some(Kind::TraceChecksum)),
        (vec![3], another_length, 1, Some(Kind::TraceSize)),
        // One row, or all: bytes that no row has a copy of.
        (vec![3], |rig| rig.database.lose_rows(rig.job, |row| row.index == ChunkIndex(1)), 1, Some(Kind::TraceSize)),
        (vec![1, 3], |rig| rig.database.lose_rows(rig.job, |_| true), 1, Some(Kind::TraceSize)),
    ] {
        now(async {
            let mut rig = Rig::new(CHUNK).await;
            for (at, chunks) in chunks.iter().enumerate() {
                rig = if at > 0 { rig.with_job_of("group/many").await } else { rig };
                rig = rig.of_so_many(*chunks).await;
            }
            change(&rig);
            let recorder = rig.walk_a_cycle().await;
            let looks_at_all_chunks = u64::from(differs.is_some());
            let asked = recorder.count("database", "chunks");
            assert_eq!(asked, read_alone + 2 * looks_at_all_chunks, "{chunks:?}");
            let found = rig.database.all_mismatches();
            assert_eq!(found.iter().map(|found| found.what.kind).collect::<Vec<_>>(), Vec::from_iter(differs));
        });
    }
}

/// A trace that closed as corrupt and lost rows adds up to what was proven of it; one that is still open proves nothing. None of them is
/// read by itself, and nothing is found.
#[test]
fn what_is_known_to_be_missing_adds_up_and_what_proves_nothing_is_passed() {
    now(async {
        let first = Rig::new(CHUNK).await.of_so_many(3).await;
        for lost in [0, 1] {
            let corrupt = first.with_job_of("group/corrupt").await.of_so_many(3).await;
            corrupt.database.change_job(corrupt.job, |job| job.verdict = Verdict::Corrupt);
            corrupt.database.lose_rows(corrupt.job, |row| row.index == ChunkIndex(lost));
        }
        // Its end was lost too: what is left is what was proven.
        let shorter = first.with_job_of("group/corrupt").await.of_so_many(3).await;
        shorter.database.change_job(shorter.job, |job| {
            (job.verdict, job.size) = (Verdict::Corrupt, Some(ByteSize(2 * u64::from(CHUNK))));
        });
        shorter.database.lose_rows(shorter.job, |row| row.index == ChunkIndex(2));
        let empty = first.with_job_of("group/empty").await;
        assert!(matches!(empty.finalize(b"").await, Finalized::Done { .. }));
        let running = first.with_job_of("group/running").await;
        assert!(matches!(running.append(0, &[1; 200], 200).await, Appended::Accepted { .. }));
        let last = first.with_job_of("group/last").await.of_so_many(2).await;

        let recorder = last.walk_a_cycle().await;
        assert_eq!((recorder.count("database", "chunks"), recorder.count("database", "passed_jobs")), (0, 1));
        assert_eq!(last.database.all_mismatches(), []);
        assert_eq!(last.walked().await.chunks, 3 + 2 * 2 + 2 + 2, "of the one that runs nothing is persistent");
    });
}

/// Each shard has its own blocks of jobs.
#[test]
fn a_job_is_looked_at_by_its_own_shard_alone() {
    now(async {
        let mut rig = Rig::new(CHUNK).await.of_so_many(2).await;
        while rig.job.0 < 1030 {
            rig = rig.with_job_of("group/many").await;
        }
        let rig = rig.of_so_many(3).await;
        let verifier = rig.walker(rig.other.stores().clone());
        verifier.tick(Schedule::Full).await.expect("models");
        rig.clock.pass(CYCLE);
        verifier.tick(Schedule::Full).await.expect("models");
        let mut met: Vec<(String, u64)> = Vec::new();
        for cursor in rig.database.cursors().await.expect("a model") {
            let ended = rig.ended_walks().await;
            let ended = ended.iter().filter(|run| run.scope == cursor.shard).map(|run| run.tally.chunks).sum::<u64>();
            met.push((cursor.shard, cursor.tally.chunks + ended));
        }
        met.retain(|(_, chunks)| *chunks > 0);
        assert_eq!(met, [("fresh/00".to_owned(), 2), ("fresh/01".to_owned(), 3)]);
    });
}

/// It waits for what it could not reach as long as it has time, and for a whole store whatever the time.
#[test]
fn what_could_not_be_reached_is_waited_for_while_there_is_time() {
    for (elapsed, away, is_store_away, seen) in [
        // It has time.
        (6 * HOUR, 0, false, (3, 0)),
        (6 * HOUR, 1, false, (0, 0)),
        (6 * HOUR, 3, false, (0, 0)),
        // It has none.
        (2 * DAY, 1, false, (3, 1)),
        (2 * DAY, 3, false, (3, 3)),
        (2 * DAY, 3, true, (0, 0)),
    ] {
        now(async {
            let rig = Rig::new(CHUNK).await.of_so_many(3).await;
            rig.clock.pass(HOUR);
            let faults = Arc::new(Faults::default());
            let verifier = rig.hooked_walker(faults.clone());
            verifier.tick(Schedule::Full).await.expect("models");
            rig.clock.pass(elapsed);
            for _ in 0..away {
                faults.fail("object_store", "get", Side::Before);
            }
            if is_store_away {
                faults.fail("object_store", "ping", Side::Before);
            }
            verifier.tick(Schedule::Full).await.expect("models");
            let walked = rig.walked().await;
            assert_eq!(((walked.chunks, walked.unreachable), faults.left()), (seen, 0), "{away} after {elapsed:?}");
            // By now they are back.
            verifier.tick(Schedule::Full).await.expect("models");
            let walked = rig.walked().await;
            assert_eq!((walked.chunks, walked.unreachable), (3, seen.1), "{away} after {elapsed:?}");
            rig.clock.pass(CYCLE);
            verifier.tick(Schedule::Full).await.expect("models");
            let ended = rig.ended_walks().await;
            let ended: Vec<_> = ended.iter().filter(|run| run.tally.chunks > 0).map(|run| run.state).collect();
            assert_eq!(ended, [if seen.1 == 0 { RunState::Complete } else { RunState::Partial }]);
        });
    }
}

/// The first of two traces ends before the page does, and lost its last row.
#[test]
fn the_whole_of_each_trace_of_a_page_is_looked_at_once() {
    now(async {
        let first = Rig::new(CHUNK).await.of_so_many(2).await;
        let second = first.with_job_of("group/demo").await.of_so_many(3).await;
        let third = second.with_job_of("group/demo").await.of_so_many(2).await;
        first.database.lose_rows(first.job, |row| row.index == ChunkIndex(1));
        third.database.lose_rows(third.job, |row| row.index == ChunkIndex(1));
        let recorder = Arc::new(Recorder::default());
        let stores = first.other.stores().clone();
        let database = Arc::new(Hooked::new(stores.database.clone(), recorder.clone(), first.clock.clone()));
        let verifier = first.walker(Stores { database, ..stores });
        verifier.tick(Schedule::Full).await.expect("models");
        first.clock.pass(CYCLE - HOUR);
        verifier.tick(Schedule::Full).await.expect("models");
        let walked = first.walked().await;
        assert_eq!((walked.chunks, walked.differs), (5, 2));
        let found = first.database.mismatches(MismatchFilter::default()).await.expect("a model");
        let found: Vec<_> = found.iter().map(|found| (found.what.job, found.what.chunk, found.what.kind)).collect();
        assert_eq!(found, [(first.job, None, Kind::TraceSize), (third.job, None, Kind::TraceSize)]);
        assert!(found.len() == 2 && second.job > first.job);
    });
}

/// However many pages its chunks are on, and where the last one ends.
#[test]
fn a_trace_of_many_pages_is_added_up_once() {
    for chunks in [64, 65, 130, 192] {
        now(async {
            let rig = Rig::new(CHUNK).await.of_so_many(chunks).await;
            rig.database.lose_rows(rig.job, |row| row.index == ChunkIndex(chunks - 1));
            let verifier = rig.walker(rig.other.stores().clone());
            verifier.tick(Schedule::Full).await.expect("models");
            rig.clock.pass(CYCLE - HOUR);
            verifier.tick(Schedule::Full).await.expect("models");
            let walked = rig.walked().await;
            assert_eq!((walked.chunks, walked.differs), (u64::from(chunks) - 1, 1), "{chunks}");
            let found = rig.database.mismatches(MismatchFilter::default()).await.expect("a model");
            let found: Vec<_> = found.iter().map(|found| (found.what.kind, found.times_seen)).collect();
            assert_eq!(found, [(Kind::TraceSize, 1)], "{chunks}");
        });
    }
}

/// Such as a row that cannot be read: it stops its own walk and no other.
#[test]
fn a_walk_that_cannot_go_on_keeps_no_other_from_it() {
    now(async {
        let mut rig = Rig::new(CHUNK).await.of_so_many(2).await;
        while rig.job.0 < 1030 {
            rig = rig.with_job_of("group/many").await;
        }
        let rig = rig.of_so_many(3).await;
        rig.clock.pass(HOUR);
        let faults = Arc::new(Faults::default());
        let verifier = rig.hooked_walker(faults.clone());
        verifier.tick(Schedule::Full).await.expect("models");
        rig.clock.pass(CYCLE);
        faults.fail("database", "kept_chunks", Side::Before);
        verifier.tick(Schedule::Full).await.expect_err("one of them failed");
        assert_eq!((rig.walked().await.chunks, faults.left()), (3, 0));
    });
}

/// A job that grows old in the middle of the long walk stays with the short one until the next long one begins.
#[test]
fn a_job_that_grows_old_is_never_without_a_walk() {
    now(async {
        let rig = Rig::new(CHUNK).await.of_so_many(3).await;
        let settings = verify::Settings { fresh_for: 10 * DAY, ..settings() };
        let verifier = Verifier::new(rig.other.clone(), settings);
        verifier.tick(Schedule::Full).await.expect("models");
        for cycles in 1..=4u64 {
            for _ in 0..2 {
                rig.clock.pass(CYCLE / 2);
                verifier.tick(Schedule::Full).await.expect("models");
            }
            assert_eq!(rig.walked().await.chunks, 3 * cycles);
        }
    });
}
