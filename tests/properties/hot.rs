//! The hot run over models: what it looks at again, and what it leaves alone.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use veritail::pipeline::{Appended, Finalized, Pipeline, Settings, Stores};
use veritail::seams::Clock as _;
use veritail::store::database::leases::When;
use veritail::store::database::verifications::{NewRun, RunFilter};
use veritail::store::hooked::{Call, Hook, Hooked};
use veritail::store::{Result, StoreError};
use veritail::telemetry::verification::Tick;
use veritail::trace::{ByteSize, ChunkIndex, JobId, RunState, Schedule, Tally, Version};
use veritail::verify::{self, Verifier};

use crate::rig::{Rig, now};
use crate::support::clock::ManualClock;
use crate::support::hooks::Recorder;
use crate::support::model::database::ModelDatabase;

const CHUNK: u32 = 64;
const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);

/// Its clock stands still: whoever waits for the budget waits for ever.
fn settings() -> verify::Settings {
    let default = verify::Settings::default();
    let free = verify::Budgeted { bytes_per_second: ByteSize::ZERO, requests_per_second: 0, ..default.hot };
    verify::Settings { hot: free, full: free, ..default }
}

impl Rig {
    async fn with_log(log: &[u8]) -> Self {
        let rig = Self::new(CHUNK).await;
        assert!(matches!(rig.append(0, log, log.len()).await, Appended::Accepted { .. }));
        rig
    }

    /// A closed trace of so many chunks.
    async fn of_chunks(chunks: u32) -> Self {
        let log: Vec<u8> = (0..chunks * CHUNK).map(|at| (at % 253) as u8).collect();
        let rig = Self::with_log(&log).await;
        assert!(matches!(rig.finalize(&log).await, Finalized::Done { .. }));
        rig
    }

    /// What the newest run of this schedule saw, after a tick a while later.
    async fn seen_after(&self, time: Duration, verifier: &Verifier) -> Tally {
        self.clock.pass(time);
        assert_eq!(verifier.tick(Schedule::Hot).await.expect("models"), Tick::Ran);
        let newest = RunFilter { schedule: Some(Schedule::Hot), limit: 1, ..RunFilter::default() };
        self.node.stores().verifications.runs(newest).await.expect("a model").remove(0).tally
    }

    /// A whole run of other nodes was, so long after the clock's time.
    async fn ran(&self, after: Duration, scope: &str) {
        let at = self.node.seams().clock.now().after(after);
        let (scope, node) = (scope.to_owned(), "another".to_owned());
        let run = NewRun { schedule: Schedule::Hot, scope, node, expected: None, at };
        let verifications = &self.node.stores().verifications;
        let run = verifications.begin_run(&run).await.expect("a model");
        verifications.end_run(run.id, RunState::Complete, None, &Tally::default(), at).await.expect("a model");
    }

    fn node_over(&self, stores: Stores) -> Pipeline {
        Pipeline::new(stores, self.other.seams().clone(), Settings::default())
    }
}

#[test]
fn what_was_looked_at_is_not_looked_at_again_by_the_same_node() {
    now(async {
        let rig = Rig::of_chunks(3).await;
        let verifier = Verifier::new(rig.other.clone(), settings());
        // Objects and live copies.
        let seen = rig.seen_after(60 * SECOND, &verifier).await;
        assert_eq!((seen.chunks, seen.looks, seen.sound), (3, 6, 6));
        for _ in 0..3 {
            assert_eq!(rig.seen_after(60 * SECOND, &verifier).await, Tally::default());
        }
    });
}

#[test]
fn an_open_end_is_looked_at_every_five_minutes() {
    now(async {
        let rig = Rig::with_log(&[7; 40]).await;
        let verifier = Verifier::new(rig.other.clone(), settings());
        let mut looks = Vec::new();
        for _ in 0..12 {
            looks.push(rig.seen_after(60 * SECOND, &verifier).await.looks);
        }
        assert_eq!(looks, [1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0]);
    });
}

/// Fails every call of this name for as long as it is on.
struct Away(&'static str, AtomicBool);

#[async_trait]
impl Hook for Away {
    async fn before(&self, call: &Call) -> Result<()> {
        if call.operation == self.0 && self.1.load(Ordering::SeqCst) {
            return Err(StoreError::unavailable(call.store, "as the test says"));
        }
        Ok(())
    }

    async fn after(&self, _call: &Call, _took: Duration, _failed: Option<&StoreError>) -> Result<()> {
        Ok(())
    }
}

#[test]
fn what_could_not_be_reached_is_looked_at_again() {
    now(async {
        let rig = Rig::of_chunks(3).await;
        let stores = rig.other.stores().clone();
        let away = Arc::new(Away("get", AtomicBool::new(true)));
        let objects = Arc::new(Hooked::new(stores.objects.clone(), away.clone(), rig.clock.clone()));
        let verifier = Verifier::new(rig.node_over(Stores { objects, ..stores }), settings());
        let seen = rig.seen_after(60 * SECOND, &verifier).await;
        assert_eq!((seen.looks, seen.unreachable), (6, 3));
        away.1.store(false, Ordering::SeqCst);
        let seen = rig.seen_after(60 * SECOND, &verifier).await;
        assert_eq!((seen.chunks, seen.sound, seen.unreachable), (3, seen.looks, 0));
        assert_eq!(rig.seen_after(60 * SECOND, &verifier).await, Tally::default());
    });
}

/// Of a Cluster one master may be away: what lies on the others is looked at.
#[test]
fn an_open_end_that_cannot_be_reached_stops_nothing_and_is_looked_at_again() {
    now(async {
        let rig = Rig::of_chunks(3).await.with_job_of("group/demo").await;
        assert!(matches!(rig.append(0, &[7; 40], 40).await, Appended::Accepted { .. }));
        let stores = rig.other.stores().clone();
        let away = Arc::new(Away("load", AtomicBool::new(true)));
        let live = Arc::new(Hooked::new(stores.live.clone(), away.clone(), rig.clock.clone()));
        let verifier = Verifier::new(rig.node_over(Stores { live, ..stores }), settings());
        let seen = rig.seen_after(60 * SECOND, &verifier).await;
        assert_eq!((seen.chunks, seen.looks, seen.sound, seen.unreachable), (4, 7, 6, 1));
        away.1.store(false, Ordering::SeqCst);
        let seen = rig.seen_after(60 * SECOND, &verifier).await;
        assert_eq!((seen.chunks, seen.looks, seen.sound), (1, 1, 1));
    });
}

/// Of jobs whose turn another node has nothing is looked at: neither the open end nor what was proven.
#[test]
fn jobs_of_another_nodes_shards_are_left_to_it() {
    for is_closed in [false, true] {
        now(async {
            let rig = if is_closed { Rig::of_chunks(3).await } else { Rig::with_log(&[7; 40]).await };
            let leases = &rig.node.stores().leases;
            let held = leases.take("verify/hot/01", "another", HOUR, When::Early).await.expect("a model");
            assert!(held.is_some());
            let verifier = Verifier::new(rig.other.clone(), settings());
            assert_eq!(rig.seen_after(60 * SECOND, &verifier).await, Tally::default());
        });
    }
}

/// A node that has seen nothing yet goes by the last whole run: what was proven in the minute before it, or in the last
/// three, is looked at.
#[test]
fn a_new_node_looks_back_behind_the_last_run_and_no_further() {
    for (minutes, chunks) in [(3, 3), (4, 0), (60, 0)] {
        now(async {
            let rig = Rig::of_chunks(3).await;
            let before = Verifier::new(rig.other.clone(), settings());
            for _ in 1..minutes {
                rig.seen_after(60 * SECOND, &before).await;
            }
            let new = Verifier::new(rig.node_over(rig.other.stores().clone()), settings());
            assert_eq!(rig.seen_after(60 * SECOND, &new).await.chunks, chunks, "{minutes} minutes later");
        });
    }
}

/// What was proven since the last two ticks is looked at, and a minute more, whatever the time between two ticks.
#[test]
fn a_new_node_looks_back_for_two_intervals_and_a_minute() {
    for (minutes, chunks) in [(11, 3), (12, 0)] {
        now(async {
            let rig = Rig::of_chunks(3).await;
            rig.ran((minutes - 1) * 60 * SECOND, "all shards").await;
            let settings = verify::Settings { hot_interval: 300 * SECOND, ..settings() };
            let new = Verifier::new(rig.other.clone(), settings);
            assert_eq!(rig.seen_after(minutes * 60 * SECOND, &new).await.chunks, chunks, "{minutes} minutes later");
        });
    }
}

/// Runs are asked for a page at a time, until all shards had one or they are too long ago.
#[test]
fn a_new_node_looks_for_the_last_run_of_every_shard_within_a_day() {
    const OTHERS: &str = "shards 0, 2-15";
    let minutes = |count: u32| count * 60 * SECOND;
    for (runs, apart, whole, pages, chunks) in [
        // The first was a whole one.
        (40, minutes(10), 40, 1, 0),
        (120, minutes(10), 120, 1, 0),
        // One in the middle.
        (120, minutes(10), 60, 2, 0),
        // None within a day, and no more runs than these.
        (120, minutes(10), 0, 3, 3),
        (100, minutes(10), 0, 3, 3),
        (20, minutes(10), 0, 1, 3),
        // The second page is from before yesterday.
        (150, minutes(20), 0, 2, 0),
        (150, minutes(20), 70, 2, 0),
    ] {
        now(async {
            let rig = Rig::of_chunks(3).await;
            for run in 1..=runs {
                rig.ran(run * apart, if run == whole { "all shards" } else { OTHERS }).await;
            }
            let (stores, recorder) = (rig.other.stores().clone(), Arc::new(Recorder::default()));
            let verifications =
                Arc::new(Hooked::new(stores.verifications.clone(), recorder.clone(), rig.clock.clone()));
            let new = Verifier::new(rig.node_over(Stores { verifications, ..stores }), settings());
            let seen = rig.seen_after((runs + 1) * apart, &new).await;
            let asked: u64 =
                recorder.list().iter().filter(|(_, call, _)| *call == "runs").map(|(.., count)| count).sum();
            assert_eq!((asked, seen.chunks), (pages, chunks), "{runs} runs, {apart:?} apart, the whole one {whole}");
        });
    }
}

#[test]
fn every_open_end_that_is_due_is_looked_at() {
    now(async {
        let first = Rig::with_log(&[7; 40]).await;
        let second = first.with_job_of("group/demo").await;
        assert!(matches!(second.append(0, &[7; 30], 30).await, Appended::Accepted { .. }));
        let verifier = Verifier::new(first.other.clone(), settings());
        let seen = first.seen_after(60 * SECOND, &verifier).await;
        assert_eq!((seen.chunks, seen.sound, seen.bytes), (2, 2, ByteSize(70)));
    });
}

/// More than one page of rows, and one that is empty: a short one may lack a row that cannot be read.
#[test]
fn all_that_was_proven_lately_is_looked_at_a_page_at_a_time() {
    for (chunks, pages) in [(3, 2), (500, 2), (520, 3)] {
        now(async {
            let rig = Rig::of_chunks(chunks).await;
            let (stores, recorder) = (rig.other.stores().clone(), Arc::new(Recorder::default()));
            let verifications =
                Arc::new(Hooked::new(stores.verifications.clone(), recorder.clone(), rig.clock.clone()));
            let verifier = Verifier::new(rig.node_over(Stores { verifications, ..stores }), settings());
            let seen = rig.seen_after(60 * SECOND, &verifier).await;
            let asked: u64 =
                recorder.list().iter().filter(|(_, call, _)| *call == "persisted_since").map(|(.., count)| count).sum();
            assert_eq!((seen.chunks, seen.sound, asked), (u64::from(chunks), seen.looks, pages));
        });
    }
}

/// Whenever it asks for more, a chunk was proven a moment ago.
struct KeepsComing {
    rig: (Arc<ModelDatabase>, JobId, Arc<ManualClock>),
    asked: AtomicU32,
}

#[async_trait]
impl Hook for KeepsComing {
    async fn before(&self, call: &Call) -> Result<()> {
        if call.operation == "persisted_since" {
            assert!(self.asked.fetch_add(1, Ordering::SeqCst) < 10, "it goes on and on");
            let (database, job, clock) = &self.rig;
            clock.pass(SECOND);
            let proven = database.damage_row(*job, ChunkIndex(0), |row| {
                (row.version, row.persisted_at) = (Version(row.version.0 + 1), Some(clock.now()));
            });
            assert!(proven);
        }
        Ok(())
    }

    async fn after(&self, _call: &Call, _took: Duration, _failed: Option<&StoreError>) -> Result<()> {
        Ok(())
    }
}

#[test]
fn a_run_ends_though_chunks_come_as_fast_as_it_looks() {
    now(async {
        let rig = Rig::of_chunks(3).await;
        let stores = rig.other.stores().clone();
        let keeps_coming = Arc::new(KeepsComing {
            rig: (rig.database.clone(), rig.job, rig.clock.clone()),
            asked: AtomicU32::default(),
        });
        let verifications =
            Arc::new(Hooked::new(stores.verifications.clone(), keeps_coming.clone(), rig.clock.clone()));
        let verifier = Verifier::new(rig.node_over(Stores { verifications, ..stores }), settings());
        assert_eq!(rig.seen_after(60 * SECOND, &verifier).await.chunks, 3);
        assert_eq!(keeps_coming.asked.load(Ordering::SeqCst), 1);
    });
}

/// The full run's walk, over more than one save of its cursor: every chunk once.
#[test]
fn a_long_trace_is_walked_through_once() {
    for chunks in [63, 64, 65, 130] {
        now(async {
            let rig = Rig::of_chunks(chunks).await;
            let verifier = Verifier::new(rig.other.clone(), settings());
            assert_eq!(verifier.tick(Schedule::Full).await.expect("models"), Tick::Idle);
            rig.clock.pass(24 * 7 * HOUR);
            assert_eq!(verifier.tick(Schedule::Full).await.expect("models"), Tick::Ran);
            let runs = rig.node.stores().verifications.runs(RunFilter::default()).await.expect("a model");
            assert_eq!(runs.iter().map(|run| run.tally.chunks).sum::<u64>(), u64::from(chunks));
        });
    }
}
