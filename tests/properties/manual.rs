//! Runs that a person asks for, over models: which traces they look at, what they say of each, and how they stop.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use veritail::pipeline::{Appended, Finalized, Pipeline, Settings, Stores};
use veritail::store::database::verifications::{Run, RunFilter, Verifications as _};
use veritail::store::database::{Database as _, NewJob};
use veritail::store::hooked::{Call, Hook, Hooked};
use veritail::store::{Result, StoreError};
use veritail::trace::{
    ByteSize, ChunkIndex, ChunkSize, DataStore, Detector, JobId, JobStatus, Kind, ProjectId, RunState, Schedule, Tally,
    Timestamp,
};
use veritail::verify::{self, Scope, TraceChecked, Verifier, Wanted};

use crate::rig::{Rig, now};
use crate::support::hooks::Recorder;

const CHUNK: u32 = 64;
const HOUR: Duration = Duration::from_secs(3600);

/// Two chunks and a bit.
fn log() -> Vec<u8> {
    (0..150).collect()
}

impl Rig {
    /// The same with another job, of this project.
    pub async fn with_job_of(&self, project: &str) -> Self {
        let new = NewJob {
            project_path: project.to_owned(),
            name: "rspec".to_owned(),
            token_sha256: [u8::try_from(self.job.0 % 256).expect("small"); 32],
            status: JobStatus::Running,
            payload: None,
            chunk_size: ChunkSize::new(CHUNK).expect("in range"),
            trace_limit: ByteSize::ZERO,
            trace_reset: Some(true),
            at: Timestamp(1_700_000_000_000),
        };
        let job = self.database.create_job(new).await.expect("a model").id;
        let (node, other, clock) = (self.node.clone(), self.other.clone(), self.clock.clone());
        Self { node, other, clock, live: self.live.clone(), database: self.database.clone(), job }
    }

    async fn close(&self, log: &[u8]) {
        assert!(matches!(self.append(0, log, log.len()).await, Appended::Accepted { .. }));
        assert!(matches!(self.finalize(log).await, Finalized::Done { .. }));
        // What was acknowledged is written down.
        self.node.sweep().await.expect("models");
    }

    async fn lose_object(&self, index: u32) {
        let row = self.database.chunk(self.job, ChunkIndex(index)).await.expect("a model").expect("a row");
        let key = &row.persistent_copy().expect("a copy").object().key;
        self.node.stores().objects.delete(key).await.expect("a model");
    }

    async fn newest_run(&self) -> Run {
        self.newest_run_of(Schedule::Manual).await
    }

    async fn newest_run_of(&self, schedule: Schedule) -> Run {
        let newest = RunFilter { schedule: Some(schedule), limit: 1, ..RunFilter::default() };
        self.database.runs(newest).await.expect("a model").remove(0)
    }
}

/// One that only reports.
fn reports(node: &Pipeline) -> Verifier {
    reports_with(node, verify::Settings::default().full.concurrency)
}

/// One that only reports, and looks at so many chunks at the same time.
fn reports_with(node: &Pipeline, concurrency: usize) -> Verifier {
    let default = verify::Settings::default();
    // Its clock stands still: whoever waits for the budget waits for ever.
    let full = verify::Budgeted { bytes_per_second: ByteSize::ZERO, requests_per_second: 0, concurrency };
    Verifier::new(node.clone(), verify::Settings { repairs: false, full, ..default })
}

async fn told(verifier: &Verifier, scope: Scope) -> (Tally, Vec<TraceChecked>) {
    let mut told = Vec::new();
    let tally = verifier.verify(scope, "a test".to_owned(), |trace| told.push(trace.clone())).await;
    (tally.expect("models"), told)
}

fn numbers(told: &[TraceChecked]) -> Vec<i64> {
    told.iter().map(|trace| trace.job.0).collect()
}

/// Three closed traces of three chunks: the first two of one project, the third of another. Their live copies are gone.
async fn three() -> [Rig; 3] {
    let first = Rig::new(CHUNK).await;
    let (second, third) = (first.with_job_of("group/demo").await, first.with_job_of("group/other").await);
    for rig in [&first, &second, &third] {
        rig.close(&log()).await;
    }
    first.clock.pass(HOUR);
    [first, second, third]
}

async fn project_of(rig: &Rig) -> ProjectId {
    rig.database.job(rig.job).await.expect("a model").expect("a job").project
}

#[test]
fn every_scope_has_its_traces_and_says_what_each_came_to() {
    now(async {
        let [first, second, third] = three().await;
        second.lose_object(1).await;
        let verifier = reports(&first.other);
        let sound = Tally { chunks: 3, looks: 3, sound: 3, bytes: ByteSize(150), ..Tally::default() };
        let bad = Tally { sound: 2, differs: 1, bytes: ByteSize(86), ..sound };
        let checked = |rig: &Rig| match rig.job == second.job {
            true => TraceChecked {
                job: rig.job,
                tally: bad,
                differences: vec![(Some(ChunkIndex(1)), Kind::Missing, DataStore::ObjectStore)],
            },
            false => TraceChecked { job: rig.job, tally: sound, differences: vec![] },
        };
        let demo = Scope::Project(project_of(&first).await, first.database.clone());
        let other = Scope::Project(project_of(&third).await, first.database.clone());
        for (scope, of) in [
            (Scope::Jobs(vec![second.job, third.job]), vec![&second, &third]),
            (Scope::From(JobId(1)), vec![&first, &second, &third]),
            (Scope::From(second.job), vec![&second, &third]),
            (Scope::From(JobId(4)), vec![]),
            (demo, vec![&first, &second]),
            (other, vec![&third]),
            (Scope::Jobs(vec![]), vec![]),
        ] {
            let (tally, told) = told(&verifier, scope).await;
            assert_eq!(told, of.iter().map(|rig| checked(rig)).collect::<Vec<_>>());
            let mut all = Tally::default();
            told.iter().for_each(|trace| all += trace.tally);
            let run = first.newest_run().await;
            assert_eq!((tally, run.tally, run.expected), (all, all, Some(3 * of.len() as u64)));
            assert_eq!((run.state, run.scope.as_str()), (RunState::Complete, "a test"));
        }
        let (tally, told) = told(&verifier, Scope::Jobs(vec![JobId(99)])).await;
        assert_eq!((tally, told[0].tally, told.len()), (Tally::default(), Tally::default(), 1));
    });
}

/// Live copies are asked for at once, before the looks: what is still there has to be looked at all the same.
#[test]
fn the_live_copies_of_what_is_proven_are_looked_at_as_long_as_they_are_there() {
    now(async {
        let rig = Rig::new(CHUNK).await;
        rig.close(&log()).await;
        let verifier = reports(&rig.other);
        let looked = async || told(&verifier, Scope::Jobs(vec![rig.job])).await.0;
        let sound = Tally { chunks: 3, looks: 6, sound: 6, bytes: ByteSize(300), ..Tally::default() };
        assert_eq!(looked().await, sound);
        let row = rig.database.chunk(rig.job, ChunkIndex(1)).await.expect("a model").expect("a row");
        assert!(rig.live.flip_byte(rig.job, row.id(), ByteSize(7)));
        let (tally, told) = told(&verifier, Scope::Jobs(vec![rig.job])).await;
        assert_eq!(tally, Tally { sound: 5, differs: 1, ..sound });
        assert_eq!(told[0].differences, [(Some(ChunkIndex(1)), Kind::Checksum, DataStore::Embedded)]);
        rig.clock.pass(HOUR);
        rig.node.sweep().await.expect("models");
        assert_eq!(looked().await, Tally { looks: 3, sound: 3, bytes: ByteSize(150), ..sound });
    });
}

#[test]
fn a_whole_that_does_not_add_up_is_a_difference_of_its_trace() {
    now(async {
        let [first, ..] = three().await;
        first.database.lose_rows(first.job, |row| row.index == ChunkIndex(2));
        let (tally, told) = told(&reports(&first.other), Scope::Jobs(vec![first.job])).await;
        assert_eq!(told[0].differences, [(None, Kind::TraceSize, DataStore::Database)]);
        assert_eq!((tally.looks, tally.sound, tally.differs, told[0].tally), (2, 2, 1, tally));

        // Where a chunk is bad that says more.
        first.lose_object(0).await;
        let (_, told) = self::told(&reports(&first.other), Scope::Jobs(vec![first.job])).await;
        assert_eq!(told[0].differences, [(Some(ChunkIndex(0)), Kind::Missing, DataStore::ObjectStore)]);
    });
}

#[test]
fn what_is_live_of_an_unfinished_trace_is_looked_at_too() {
    now(async {
        let rig = Rig::new(CHUNK).await;
        assert!(matches!(rig.append(0, &[7; 40], 40).await, Appended::Accepted { .. }));
        let scope = || Scope::Jobs(vec![rig.job]);
        let (tally, _) = told(&reports(&rig.other), scope()).await;
        assert_eq!((tally.chunks, tally.looks, tally.sound), (1, 1, 1));
        let [(job, chunk, ..)] = rig.live.chunks()[..] else { panic!("one live copy") };
        assert!(rig.live.flip_byte(job, chunk, ByteSize(3)));
        let (tally, _) = told(&reports(&rig.other), scope()).await;
        assert_eq!((tally.looks, tally.differs), (1, 1));
    });
}

/// More than one page of chunks, and of jobs.
#[test]
fn long_traces_and_long_lists_are_looked_at_to_their_end() {
    now(async {
        let [first, ..] = three().await;
        let (long, chunks) = (first.with_job_of("group/demo").await, 256 + 3u32);
        let log: Vec<u8> = (0..chunks * CHUNK).map(|at| (at % 253) as u8).collect();
        long.close(&log).await;
        long.lose_object(chunks - 1).await;
        first.clock.pass(HOUR);
        let verifier = reports(&first.other);
        let (tally, told) = told(&verifier, Scope::Jobs(vec![long.job])).await;
        let last = Some(ChunkIndex(chunks - 1));
        assert_eq!(told[0].differences, [(last, Kind::Missing, DataStore::ObjectStore)]);
        assert_eq!((tally.chunks, first.newest_run().await.expected), (u64::from(chunks), Some(u64::from(chunks))));

        let mut newest = first.job;
        for _ in 0..600 {
            newest = first.with_job_of("group/many").await.job;
        }
        let many = Scope::Project(project_of(&Rig { job: newest, ..long }).await, first.database.clone());
        let (_, told) = self::told(&verifier, many).await;
        assert_eq!(numbers(&told), (newest.0 - 599..=newest.0).collect::<Vec<_>>());
        assert_eq!(first.newest_run().await.expected, None, "counting them would take long");
        let (_, told) = self::told(&verifier, Scope::From(JobId(3))).await;
        assert_eq!(numbers(&told), (3..=newest.0).collect::<Vec<_>>());
        assert_eq!(first.newest_run().await.expected, None);
    });
}

/// 256 jobs are counted one by one, those of a project by their list; more than that where everything is asked for, by what
/// the full run met.
#[test]
fn what_a_run_expects_is_known_of_few_jobs_and_of_all() {
    now(async {
        let [first, ..] = three().await;
        let verifier = Verifier::new(first.other.clone(), verify::Settings::default());
        let expected = async |scope| {
            told(&verifier, scope).await;
            first.newest_run().await.expected
        };
        while first.database.newest_job().await.expect("a model") < JobId(256) {
            first.with_job_of("group/many").await;
        }
        assert_eq!(expected(Scope::From(JobId(1))).await, Some(9));
        first.with_job_of("group/many").await;
        assert_eq!(expected(Scope::From(JobId(2))).await, Some(6));
        assert_eq!(expected(Scope::From(JobId(1))).await, None, "the full run has not come round yet");
        for _ in 0..2 {
            first.clock.pass(24 * 100 * HOUR);
            for _ in 0..3 {
                verifier.tick(Schedule::Full).await.expect("models");
            }
        }
        let cursors = first.database.cursors().await.expect("a model");
        assert!(cursors.iter().all(|cursor| cursor.previous.is_some()), "{cursors:?}");
        assert_eq!(expected(Scope::From(JobId(1))).await, Some(9));
        first.with_job_of("group/many").await;
        assert_eq!(expected(Scope::From(JobId(2))).await, None, "how many of them are these is not known");
    });
}

#[test]
fn a_run_that_was_asked_for_answers_at_once_and_goes_on_by_itself() {
    now(async {
        let [first, second, third] = three().await;
        let verifier = reports(&first.other);
        let project = project_of(&first).await;
        let since = |ms: i64| Wanted::Since(Timestamp(1_700_000_000_000 + ms));
        for (wanted, scope, chunks) in [
            (Wanted::Jobs(vec![third.job, second.job, third.job]), "2 jobs, 2 to 3", 6),
            (Wanted::Jobs(vec![third.job, third.job]), "job 3", 3),
            (Wanted::Jobs(vec![]), "no job", 0),
            (Wanted::Project(project, "group/demo".to_owned()), "project group/demo", 6),
            (since(0), format!("since {}", Timestamp(1_700_000_000_000).to_rfc3339()).as_str(), 9),
            (Wanted::All, "all", 9),
        ] {
            let begun = verifier.ask(wanted, first.database.clone()).await.expect("models");
            assert_eq!((begun.scope.as_str(), begun.state), (scope, RunState::Running));
            assert_eq!((begun.schedule, begun.expected), (Schedule::Manual, Some(chunks)));
            // It goes on whenever it is let.
            while first.newest_run().await.state == RunState::Running {
                tokio::task::yield_now().await;
            }
            let run = first.newest_run().await;
            assert_eq!((run.id, run.state, run.tally.chunks), (begun.id, RunState::Complete, chunks), "{run:?}");
        }
    });
}

#[test]
fn a_job_made_after_a_run_began_is_not_its_own() {
    now(async {
        let [first, ..] = three().await;
        for scope in [Scope::From(JobId(1)), Scope::Project(project_of(&first).await, first.database.clone())] {
            let newest = first.database.newest_job().await.expect("a model");
            let begun = reports(&first.other).start(scope, "a test".to_owned()).await.expect("models");
            let late = first.with_job_of("group/demo").await;
            late.close(&log()).await;
            first.clock.pass(HOUR);
            while first.newest_run().await.state == RunState::Running {
                tokio::task::yield_now().await;
            }
            let (run, all) = (first.newest_run().await, first.database.newest_job().await.expect("a model"));
            assert_eq!((run.id, run.expected), (begun.id, Some(run.tally.chunks)), "{newest} of {all}: {run:?}");
        }
    });
}

/// Somebody asks for the end of the newest run at a look at this job, and time passes.
struct Stops {
    rig: Rig,
    at: JobId,
    asked: Mutex<u32>,
}

#[async_trait]
impl Hook for Stops {
    async fn before(&self, call: &Call) -> Result<()> {
        if call.operation == "chunks" && call.job == Some(self.at) {
            self.rig.clock.pass(Duration::from_secs(1));
            *self.asked.lock().expect("no test panics here") += 1;
            self.rig.database.ask_to_stop(self.rig.newest_run().await.id, "somebody").await?;
        }
        Ok(())
    }

    async fn after(&self, _call: &Call, _took: Duration, _failed: Option<&StoreError>) -> Result<()> {
        Ok(())
    }
}

#[test]
fn a_run_that_is_stopped_ends_with_what_it_saw_and_says_nothing_of_the_trace_it_was_at() {
    now(async {
        let [first, second, third] = three().await;
        let stops = [(&first, vec![]), (&second, vec![1]), (&third, vec![1, 2])];
        // With one at a time nothing else is under way; with several, what is under way stops too.
        for (at_once, (at, told_of)) in [1, 8].into_iter().flat_map(|at_once| stops.clone().map(|stop| (at_once, stop)))
        {
            let stores = first.other.stores().clone();
            let rig = Rig { job: first.job, ..first.with_job_of("group/unused").await };
            let hook = Arc::new(Stops { rig, at: at.job, asked: Mutex::default() });
            let database = Arc::new(Hooked::new(stores.database.clone(), hook.clone(), first.clock.clone()));
            let node = Pipeline::new(Stores { database, ..stores }, first.other.seams().clone(), Settings::default());
            let verifier = reports_with(&node, at_once);
            let (tally, told) = told(&verifier, Scope::Jobs(vec![JobId(1), JobId(2), JobId(3)])).await;
            let run = first.newest_run().await;
            assert_eq!((run.state, run.tally, run.message.as_deref()), (RunState::Stopped, tally, None), "{run:?}");
            if at_once == 1 {
                assert_eq!(numbers(&told), told_of);
                assert!(tally.chunks > 3 * told.len() as u64, "what was seen of it counts: {tally:?}");
            } else {
                assert!(told_of.starts_with(&numbers(&told)), "{told:?}");
                assert!(tally.chunks >= 1.max(3 * told.len() as u64), "what was seen of them counts: {tally:?}");
            }
        }
    });
}

/// Every call of this name fails.
struct Fails(&'static str);

#[async_trait]
impl Hook for Fails {
    async fn before(&self, call: &Call) -> Result<()> {
        if call.operation == self.0 { Err(StoreError::unavailable(call.store, "as the test says")) } else { Ok(()) }
    }

    async fn after(&self, _call: &Call, _took: Duration, _failed: Option<&StoreError>) -> Result<()> {
        Ok(())
    }
}

#[test]
fn a_run_that_could_not_see_everything_is_partial_and_one_that_failed_says_why() {
    now(async {
        let [first, ..] = three().await;
        let stores = first.other.stores().clone();
        let hooked = |call| Arc::new(Hooked::new(stores.objects.clone(), Arc::new(Fails(call)), first.clock.clone()));
        let node = |stores| Pipeline::new(stores, first.other.seams().clone(), Settings::default());
        let away = node(Stores { objects: hooked("get"), ..stores.clone() });
        let (tally, told) = told(&reports(&away), Scope::Jobs(vec![first.job])).await;
        assert_eq!((tally.looks, tally.unreachable, told.len()), (3, 3, 1));
        let run = first.newest_run().await;
        assert_eq!((run.state, run.message.as_deref()), (RunState::Partial, Some("3 copies could not be reached")));

        let database = Arc::new(Hooked::new(stores.database.clone(), Arc::new(Fails("chunks")), first.clock.clone()));
        let failing = reports(&node(Stores { database, ..stores.clone() }));
        let failed = failing.verify(Scope::Jobs(vec![first.job]), "a test".to_owned(), |_| ()).await;
        assert!(failed.is_err());
        let run = first.newest_run().await;
        assert_eq!(run.state, RunState::Failed);
        assert!(run.message.as_ref().is_some_and(|message| message.contains("as the test says")), "{run:?}");
        assert_eq!((run.tally, run.ended_at.is_some()), (Tally::default(), true));
    });
}

/// What a run sees is written down once a second, by the node's clock.
#[test]
fn progress_is_written_down_every_second() {
    now(async {
        let [first, second, third] = three().await;
        let seen = Mutex::new(Vec::new());
        let verifier = reports_with(&first.other, 1);
        let jobs = vec![first.job, second.job, third.job];
        let tell = |checked: &TraceChecked| {
            let run = now_or_never(first.newest_run());
            seen.lock().expect("no test panics here").push((checked.job, run.tally.chunks, run.heard_at));
            // Half of the time after the first, all of it after the second: the third begins with what there was.
            first.clock.pass(Duration::from_millis(500));
        };
        let tally = verifier.verify(Scope::Jobs(jobs), "a test".to_owned(), tell).await.expect("models");
        let seen = seen.into_inner().expect("no test panics here");
        let counts: Vec<_> = seen.iter().map(|(_, chunks, _)| *chunks).collect();
        assert_eq!((counts, tally.chunks), (vec![0, 0, 6], 9), "{seen:?}");
    });
}

fn now_or_never<T>(work: impl Future<Output = T>) -> T {
    use futures::FutureExt as _;
    work.now_or_never().expect("a model waits for nothing")
}

#[test]
fn differences_have_the_label_of_a_person_and_the_number_of_the_run() {
    now(async {
        let [first, ..] = three().await;
        first.lose_object(0).await;
        told(&reports(&first.other), Scope::Jobs(vec![first.job])).await;
        let [found] = &first.database.all_mismatches()[..] else { panic!("one mismatch") };
        let run = first.newest_run().await.id;
        assert_eq!((found.what.detector, found.what.run), (Detector::Manual, Some(run.0)));
    });
}

/// A page that is full may not be the last one; one that is not is. There is one row more than there are chunks.
#[test]
fn no_more_pages_of_chunks_are_asked_for_than_there_are() {
    let asked = |chunks: u32| {
        now(async {
            let rig = Rig::new(CHUNK).await;
            let log: Vec<u8> = (10..chunks * CHUNK).map(|at| (at % 253) as u8).collect();
            rig.close(&log).await;
            let (stores, recorder) = (rig.other.stores().clone(), Arc::new(Recorder::default()));
            let database = Arc::new(Hooked::new(stores.database.clone(), recorder.clone(), rig.clock.clone()));
            let node = Pipeline::new(Stores { database, ..stores }, rig.other.seams().clone(), Settings::default());
            let (tally, _) = told(&reports(&node), Scope::Jobs(vec![rig.job])).await;
            assert_eq!(tally.chunks, u64::from(chunks));
            recorder.count("database", "chunks")
        })
    };
    // With one page everything is known, and the whole adds up by it; with two the rows are read once more for that.
    assert_eq!([asked(254), asked(255), asked(256)], [1, 3, 3]);
}

/// At a call of this name somebody asks for the end of the newest run; every one of them takes a second.
struct StopsAt {
    rig: Rig,
    schedule: Schedule,
    operation: &'static str,
    calls: Mutex<u32>,
}

#[async_trait]
impl Hook for StopsAt {
    async fn before(&self, call: &Call) -> Result<()> {
        if call.operation == self.operation {
            self.rig.clock.pass(Duration::from_secs(1));
            *self.calls.lock().expect("no test panics here") += 1;
            self.rig.database.ask_to_stop(self.rig.newest_run_of(self.schedule).await.id, "somebody").await?;
        }
        Ok(())
    }

    async fn after(&self, _call: &Call, _took: Duration, _failed: Option<&StoreError>) -> Result<()> {
        Ok(())
    }
}

/// Where there is nothing to look at, a run is asked to stop as anywhere else.
#[test]
fn a_run_over_nothing_hears_that_it_is_to_stop() {
    now(async {
        for (schedule, operation) in [(Schedule::Inventory, "list"), (Schedule::Hot, "waiting")] {
            let rig = Rig::new(CHUNK).await;
            let stores = rig.other.stores().clone();
            let calls = Mutex::default();
            let hook = Arc::new(StopsAt { rig: rig.with_job_of("group/unused").await, schedule, operation, calls });
            let objects = Arc::new(Hooked::new(stores.objects.clone(), hook.clone(), rig.clock.clone()));
            let database = Arc::new(Hooked::new(stores.database.clone(), hook.clone(), rig.clock.clone()));
            let recorder = Arc::new(Recorder::default());
            let verifications =
                Arc::new(Hooked::new(stores.verifications.clone(), recorder.clone(), rig.clock.clone()));
            let stores = Stores { objects, database, verifications, ..stores };
            let node = Pipeline::new(stores, rig.other.seams().clone(), Settings::default());
            let default = verify::Settings::default();
            let inventory = verify::Budgeted { requests_per_second: 0, ..default.inventory };
            let verifier = Verifier::new(node, verify::Settings { inventory, ..default });
            verifier.tick(schedule).await.expect("models");
            let (run, calls) = (rig.newest_run_of(schedule).await, *hook.calls.lock().expect("no test panics here"));
            assert_eq!((run.schedule, run.state), (schedule, RunState::Stopped), "{run:?}");
            assert!(calls <= 2, "{schedule}: {calls} calls of {operation} after it was asked to stop");
            assert_eq!(recorder.count("database", "persisted_since"), 0, "{schedule}");
        }
    });
}
