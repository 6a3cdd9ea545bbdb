//! What the verifier remembers, and the rows that it walks through.

use veritail::store::database::verifications::{
    Cursor, Cycle, Named, NewRun, Place, Run, RunEnd, RunFilter, RunId, Verifications,
};
use veritail::store::database::{Basis, NewMismatch, Resolution, Rewind};
use veritail::trace::{DataStore, RunState, Schedule, Tally, Version};

use super::*;
use crate::support::postgres_server::TestDatabase;

/// A database, and what the verifier remembers in it.
pub struct Both {
    database: Arc<dyn Database>,
    verifications: Arc<dyn Verifications>,
    /// Where the database keeps bytes.
    bytes: Arc<dyn ObjectStore>,
}

/// Runs every rule against what `$open` makes: a future of a guard and both.
macro_rules! verifications_suite {
    ($name:ident, $open:expr; $($rule:ident),+ $(,)?) => {
        mod $name {
            $(
                #[tokio::test]
                async fn $rule() {
                    let (_guard, both) = $open.await;
                    super::$rule(&both).await;
                }
            )+
        }
    };
    ($name:ident, $open:expr) => {
        verifications_suite!($name, $open;
            a_run_begins_goes_on_and_ends,
            a_run_that_ended_stays_as_it_is,
            the_first_who_asks_a_run_to_stop_is_remembered,
            runs_are_listed_newest_first_by_schedule_and_state,
            a_silent_run_fails_unless_a_cursor_speaks_of_it,
            old_runs_are_removed_but_for_the_newest_of_a_schedule,
            a_run_that_a_mismatch_speaks_of_stays,
            a_cursor_is_made_once,
            a_cursor_is_saved_by_whoever_read_it_last,
            of_many_that_save_a_cursor_at_once_one_wins,
            a_cycle_ends_where_the_next_one_begins_or_not_at_all,
            all_jobs_are_passed_in_order,
            kept_chunks_come_in_order_of_job_and_chunk,
            what_was_persisted_lately_comes_in_that_order,
            what_a_store_keeps_comes_in_order_of_key,
            jobs_are_found_by_when_they_were_made,
        );
    };
}

verifications_suite!(on_sqlite, super::on_sqlite());
verifications_suite!(on_postgres, super::on_postgres());
verifications_suite!(on_the_model, super::on_the_model());
verifications_suite!(behind_hooks, super::behind_hooks());

async fn on_sqlite() -> (tempfile::TempDir, Both) {
    let (folder, database) = sqlite::open().await;
    let bytes = Arc::new(database.chunk_bytes());
    (folder, Both { database: Arc::new(database.clone()), verifications: Arc::new(database), bytes })
}

async fn on_postgres() -> (TestDatabase, Both) {
    let (guard, database) = postgres::open().await;
    let bytes = Arc::new(database.chunk_bytes());
    (guard, Both { database: Arc::new(database.clone()), verifications: Arc::new(database), bytes })
}

async fn on_the_model() -> ((), Both) {
    let database = Arc::new(model());
    let bytes = database.chunk_bytes();
    ((), Both { database: database.clone(), verifications: database, bytes })
}

async fn behind_hooks() -> (tempfile::TempDir, Both) {
    let (folder, Both { database, verifications, bytes }) = on_sqlite().await;
    let clock = Arc::new(ManualClock::at(NOW));
    let recorded: Arc<dyn Verifications> =
        Arc::new(Hooked::new(verifications, Arc::new(Recorder::default()), clock.clone()));
    let verifications = Arc::new(Hooked::new(recorded, Arc::new(Faults::default()), clock));
    (folder, Both { database, verifications, bytes })
}

impl Both {
    /// Begins a run of its schedule at a moment.
    async fn begin(&self, schedule: Schedule, at: i64) -> RunId {
        let new = NewRun { schedule, scope: "all".to_owned(), node: "a".to_owned(), expected: None, at: Timestamp(at) };
        self.verifications.begin_run(&new).await.unwrap().id
    }

    async fn end(&self, run: RunId, state: RunState, at: i64) {
        self.verifications.end_run(run, state, None, &Tally::default(), Timestamp(at)).await.unwrap();
    }

    async fn run(&self, run: RunId) -> Run {
        self.verifications.run(run).await.unwrap().unwrap()
    }

    async fn listed(&self, filter: RunFilter) -> Vec<RunId> {
        self.verifications.runs(filter).await.unwrap().into_iter().map(|run| run.id).collect()
    }

    /// Seals a chunk and keeps it under `to` at a moment.
    async fn keep(&self, job: JobId, index: u32, to: &Location, at: i64) {
        let sealed = seal(self.database.as_ref(), job, index, &bytes("12345678"), NOW).await;
        let kept = self.database.persist(job, ChunkIndex(index), sealed.version, to, Timestamp(at));
        assert!(kept.await.unwrap());
    }

    /// A job with a persisted chunk (0), one in the database (1), a sealed one (2) and an open one (3).
    async fn job_with_chunks(&self, at: i64) -> JobId {
        let db = self.database.as_ref();
        let id = running(db).await;
        self.keep(id, 0, &object(&format!("traces/{id}/0")), at).await;
        self.keep(id, 1, &spill(self.bytes.as_ref(), &format!("traces/{id}/1")).await, at - 10).await;
        seal(db, id, 2, &bytes("12345678"), NOW).await;
        db.open_chunk(id, FIRST, ChunkIndex(3), NOW).await.unwrap();
        id
    }
}

fn tally(chunks: u64) -> Tally {
    Tally {
        chunks,
        looks: 2 * chunks,
        sound: chunks,
        unreachable: chunks,
        bytes: ByteSize(1 << 40),
        ..Tally::default()
    }
}

fn place(job: JobId, index: u32) -> Place {
    Place { job, index: ChunkIndex(index) }
}

fn places(rows: &[(JobId, ChunkRow)]) -> Vec<Place> {
    rows.iter().map(|(job, row)| Place { job: *job, index: row.index }).collect()
}

pub async fn a_run_begins_goes_on_and_ends(both: &Both) {
    let verifications = &both.verifications;
    let new = NewRun {
        schedule: Schedule::Full,
        scope: "fresh/03".to_owned(),
        node: "a".to_owned(),
        expected: Some(1000),
        at: NOW,
    };
    let begun = verifications.begin_run(&new).await.unwrap();
    let run = Run {
        id: begun.id,
        schedule: Schedule::Full,
        scope: "fresh/03".to_owned(),
        node: "a".to_owned(),
        expected: Some(1000),
        state: RunState::Running,
        tally: Tally::default(),
        started_at: NOW,
        heard_at: NOW,
        ended_at: None,
        message: None,
        stop_asked_by: None,
    };
    assert_eq!(begun, run);
    assert!(verifications.note_progress(run.id, &tally(7), Timestamp(2000)).await.unwrap());
    let run = Run { tally: tally(7), heard_at: Timestamp(2000), ..run };
    assert_eq!(both.run(run.id).await, run);
    // A clock that is behind makes no run older than it is.
    assert!(verifications.note_progress(run.id, &tally(8), Timestamp(1500)).await.unwrap());
    let run = Run { tally: tally(8), ..run };
    assert_eq!(both.run(run.id).await, run);

    let message = "the object store could not be asked";
    let seen = tally(9);
    verifications.end_run(run.id, RunState::Partial, Some(message), &seen, Timestamp(3000)).await.unwrap();
    let ended = Run {
        state: RunState::Partial,
        tally: seen,
        heard_at: Timestamp(3000),
        ended_at: Some(Timestamp(3000)),
        message: Some(message.to_owned()),
        ..run
    };
    assert_eq!(both.run(ended.id).await, ended);
    assert_eq!(verifications.run(RunId(ended.id.0 + 1)).await.unwrap(), None);
}

pub async fn a_run_that_ended_stays_as_it_is(both: &Both) {
    let run = both.begin(Schedule::Hot, 1000).await;
    both.end(run, RunState::Complete, 2000).await;
    let ended = both.run(run).await;
    assert!(!both.verifications.note_progress(run, &tally(1), Timestamp(3000)).await.unwrap());
    both.end(run, RunState::Failed, 3000).await;
    assert_eq!(both.verifications.ask_to_stop(run, "somebody").await.unwrap(), Some(ended.clone()));
    assert_eq!(both.verifications.end_silent_runs(Timestamp(9000), "silent", Timestamp(9000)).await.unwrap(), 0);
    assert_eq!(both.run(run).await, ended);
    assert!(!both.verifications.note_progress(RunId(404), &tally(1), NOW).await.unwrap());
}

pub async fn the_first_who_asks_a_run_to_stop_is_remembered(both: &Both) {
    let (run, other) = (both.begin(Schedule::Manual, 1000).await, both.begin(Schedule::Manual, 1000).await);
    for by in ["one", "two"] {
        let asked = both.verifications.ask_to_stop(run, by).await.unwrap().unwrap();
        assert_eq!((asked.state, asked.stop_asked_by.as_deref()), (RunState::Running, Some("one")));
    }
    assert!(!both.verifications.note_progress(run, &tally(1), NOW).await.unwrap());
    assert_eq!(both.run(run).await.tally, tally(1), "what it saw counts all the same");
    assert!(both.verifications.note_progress(other, &tally(1), NOW).await.unwrap());
    both.end(run, RunState::Stopped, 2000).await;
    assert_eq!(both.run(run).await.stop_asked_by.as_deref(), Some("one"));
    assert_eq!(both.verifications.ask_to_stop(RunId(404), "one").await.unwrap(), None);
}

pub async fn runs_are_listed_newest_first_by_schedule_and_state(both: &Both) {
    let mut runs = Vec::new();
    for schedule in [Schedule::Hot, Schedule::Full, Schedule::Hot, Schedule::Full] {
        runs.push(both.begin(schedule, 1000).await);
    }
    assert!(runs.is_sorted() && runs[0] > RunId(0));
    both.end(runs[0], RunState::Complete, 2000).await;
    both.end(runs[1], RunState::Complete, 2000).await;
    let all = RunFilter::default();
    let (hot, complete) = (Some(Schedule::Hot), Some(RunState::Complete));
    assert_eq!(both.listed(all).await, [runs[3], runs[2], runs[1], runs[0]]);
    assert_eq!(both.listed(RunFilter { limit: 2, ..all }).await, [runs[3], runs[2]]);
    assert_eq!(both.listed(RunFilter { before: Some(runs[2]), ..all }).await, [runs[1], runs[0]]);
    assert_eq!(both.listed(RunFilter { schedule: hot, ..all }).await, [runs[2], runs[0]]);
    assert_eq!(both.listed(RunFilter { schedule: hot, before: Some(runs[2]), ..all }).await, [runs[0]]);
    assert_eq!(both.listed(RunFilter { state: complete, ..all }).await, [runs[1], runs[0]]);
    assert_eq!(both.listed(RunFilter { state: complete, before: Some(runs[1]), ..all }).await, [runs[0]]);
    assert_eq!(both.listed(RunFilter { schedule: hot, state: complete, ..all }).await, [runs[0]]);
    assert_eq!(both.listed(RunFilter { state: Some(RunState::Failed), ..all }).await, []);
}

pub async fn a_silent_run_fails_unless_a_cursor_speaks_of_it(both: &Both) {
    let verifications = &both.verifications;
    let (silent, heard, walks) = (
        both.begin(Schedule::Hot, 1000).await,
        both.begin(Schedule::Hot, 1000).await,
        both.begin(Schedule::Full, 1000).await,
    );
    assert!(verifications.note_progress(heard, &tally(1), Timestamp(2000)).await.unwrap());
    verifications.first_cursor(&Cursor { run: walks, ..cursor("fresh/00") }).await.unwrap();
    let end_silent = async |since: i64| {
        verifications.end_silent_runs(Timestamp(since), "its node went away", Timestamp(5000)).await.unwrap()
    };
    assert_eq!(end_silent(1000).await, 0, "it was heard of at this moment");
    let before = both.run(silent).await;
    assert_eq!(end_silent(2000).await, 1);
    let failed = Run {
        state: RunState::Failed,
        message: Some("its node went away".to_owned()),
        ended_at: Some(Timestamp(5000)),
        ..before
    };
    assert_eq!(both.run(silent).await, failed);
    assert!(!verifications.note_progress(silent, &tally(1), Timestamp(5000)).await.unwrap());
    assert_eq!((both.run(heard).await.state, both.run(walks).await.state), (RunState::Running, RunState::Running));
}

pub async fn old_runs_are_removed_but_for_the_newest_of_a_schedule(both: &Both) {
    let mut runs = Vec::new();
    for (schedule, ended_at) in [
        (Schedule::Hot, Some(2000)),
        (Schedule::Hot, Some(3000)),
        (Schedule::Hot, None),
        (Schedule::Full, Some(2000)),
        (Schedule::Hot, Some(2000)),
        (Schedule::Inventory, Some(2000)),
        (Schedule::Inventory, Some(1500)),
    ] {
        let run = both.begin(schedule, 1000).await;
        if let Some(at) = ended_at {
            both.end(run, RunState::Complete, at).await;
        }
        runs.push(run);
    }
    assert_eq!(both.verifications.remove_runs(Timestamp(1500)).await.unwrap(), 0);
    assert_eq!(both.verifications.remove_runs(Timestamp(3000)).await.unwrap(), 2);
    let mut left = both.listed(RunFilter::default()).await;
    left.reverse();
    assert_eq!(left, [runs[1], runs[2], runs[3], runs[4], runs[6]]);
    assert_eq!(both.verifications.remove_runs(Timestamp(3000)).await.unwrap(), 0);
    assert!(both.begin(Schedule::Hot, 4000).await > runs[6], "numbers are not used again");
}

pub async fn a_run_that_a_mismatch_speaks_of_stays(both: &Both) {
    let mut runs = Vec::new();
    for _ in 0..3 {
        let run = both.begin(Schedule::Hot, 1000).await;
        both.end(run, RunState::Complete, 2000).await;
        runs.push(run);
    }
    let id = running(both.database.as_ref()).await;
    let found = NewMismatch { run: Some(runs[0].0), ..mismatches::mismatch(id, None) };
    both.database.open_mismatch(&found, Basis::Nothing).await.unwrap();
    let why = mismatches::note("repaired");
    both.database.resolve_mismatches(id, None, Resolution::Repaired, &why, NOW).await.unwrap();
    assert_eq!(both.verifications.remove_runs(Timestamp(3000)).await.unwrap(), 1);
    assert_eq!(both.listed(RunFilter::default()).await, [runs[2], runs[0]]);
}

fn cursor(shard: &str) -> Cursor {
    Cursor {
        shard: shard.to_owned(),
        version: Version(7),
        from: JobId(1),
        to: JobId(100),
        at: place(JobId(5), u32::MAX),
        started_at: NOW,
        tally: tally(3),
        run: RunId(1),
        previous: None,
    }
}

pub async fn a_cursor_is_made_once(both: &Both) {
    let verifications = &both.verifications;
    let first = verifications.first_cursor(&cursor("fresh/01")).await.unwrap();
    assert_eq!(first, Cursor { version: Version::FIRST, ..cursor("fresh/01") });
    let second = Cursor { from: JobId(50), run: RunId(2), ..cursor("fresh/01") };
    assert_eq!(verifications.first_cursor(&second).await.unwrap(), first);
    for shard in ["old/00", "fresh/10", "fresh/0a", "Fresh/00"] {
        verifications.first_cursor(&cursor(shard)).await.unwrap();
    }
    let all = verifications.cursors().await.unwrap();
    let shards: Vec<&str> = all.iter().map(|cursor| cursor.shard.as_str()).collect();
    assert_eq!(shards, ["Fresh/00", "fresh/01", "fresh/0a", "fresh/10", "old/00"]);
    assert_eq!(all[1], first);
}

pub async fn a_cursor_is_saved_by_whoever_read_it_last(both: &Both) {
    let verifications = &both.verifications;
    let other = verifications.first_cursor(&cursor("other")).await.unwrap();
    let first = verifications.first_cursor(&cursor("fresh/00")).await.unwrap();
    let cycle = Cycle { started_at: Timestamp(5), ended_at: Timestamp(6), chunks: 7 };
    let next = Cursor {
        from: JobId(2),
        to: JobId(200),
        at: place(JobId(9), 4),
        started_at: Timestamp(6),
        tally: tally(4),
        run: RunId(2),
        previous: Some(cycle),
        ..first.clone()
    };
    assert!(verifications.save_cursor(&next).await.unwrap());
    assert!(!verifications.save_cursor(&first).await.unwrap(), "somebody else was first");
    let saved = Cursor { version: Version(first.version.0 + 1), ..next };
    assert_eq!(verifications.cursors().await.unwrap(), [saved.clone(), other]);
    assert!(verifications.save_cursor(&Cursor { previous: None, ..saved }).await.unwrap());
    assert!(!verifications.save_cursor(&cursor("none")).await.unwrap());
}

pub async fn of_many_that_save_a_cursor_at_once_one_wins(both: &Both) {
    let first = both.verifications.first_cursor(&cursor("fresh/00")).await.unwrap();
    let saves = (0..10).map(async |index| {
        let next = Cursor { at: place(JobId(9), index), ..first.clone() };
        both.verifications.save_cursor(&next).await.unwrap()
    });
    let saved = futures::future::join_all(saves).await;
    assert_eq!(saved.iter().filter(|saved| **saved).count(), 1);
    let won = saved.iter().position(|saved| *saved).unwrap();
    assert_eq!(both.verifications.cursors().await.unwrap()[0].at, place(JobId(9), u32::try_from(won).unwrap()));
}

pub async fn a_cycle_ends_where_the_next_one_begins_or_not_at_all(both: &Both) {
    let verifications = &both.verifications;
    let (first, second) = (both.begin(Schedule::Full, 1000).await, both.begin(Schedule::Full, 1000).await);
    let cycle = verifications.first_cursor(&Cursor { run: first, ..cursor("fresh/00") }).await.unwrap();
    let next = Cursor { run: second, tally: Tally::default(), started_at: Timestamp(2000), ..cycle.clone() };
    let end = |run, tally| RunEnd { run, state: RunState::Partial, tally, at: Timestamp(2000) };

    let older = Cursor { version: Version(cycle.version.0 + 1), ..next.clone() };
    assert!(!verifications.next_cycle(&older, &end(first, tally(5))).await.unwrap(), "somebody else was first");
    assert_eq!(both.run(first).await.state, RunState::Running);
    assert_eq!(verifications.cursors().await.unwrap(), std::slice::from_ref(&cycle));

    assert!(verifications.next_cycle(&next, &end(first, tally(5))).await.unwrap());
    assert_eq!(verifications.cursors().await.unwrap(), [Cursor { version: older.version, ..next.clone() }]);
    let ended = both.run(first).await;
    assert_eq!((ended.state, ended.tally, ended.ended_at), (RunState::Partial, tally(5), Some(Timestamp(2000))));
    assert_eq!(both.run(second).await.state, RunState::Running);
    assert!(!verifications.next_cycle(&next, &end(second, tally(6))).await.unwrap());
    assert_eq!(both.run(second).await.state, RunState::Running);
}

pub async fn all_jobs_are_passed_in_order(both: &Both) {
    let db = both.database.as_ref();
    let mut jobs = Vec::new();
    for _ in 0..4 {
        jobs.push(running(db).await);
    }
    both.keep(jobs[0], 0, &object("traces/0"), 1000).await;
    for job in &jobs[1..3] {
        db.end(*job, &success(), NOW, None).await.unwrap().unwrap();
        assert!(db.close(*job, FIRST, &endings::closing()).await.unwrap());
    }
    db.erase(jobs[2], "somebody", NOW, NOW).await.unwrap();
    let passed = async |from: i64, to: i64| {
        let passed = both.verifications.passed_jobs(JobId(from), JobId(to)).await.unwrap();
        for (job, row) in &passed {
            assert_eq!(*row, db.job(*job).await.unwrap());
        }
        passed.into_iter().map(|(job, _)| job).collect::<Vec<_>>()
    };
    assert_eq!(passed(0, i64::MAX).await, jobs);
    assert_eq!(passed(jobs[1].0, jobs[3].0).await, jobs[1..3]);
    assert_eq!(passed(jobs[1].0, jobs[1].0).await, []);
}

pub async fn kept_chunks_come_in_order_of_job_and_chunk(both: &Both) {
    let (one, two, three) =
        (both.job_with_chunks(1000).await, both.job_with_chunks(1000).await, both.job_with_chunks(1000).await);
    let db = both.database.as_ref();
    // Everything is wanted again: what was persistent is kept, but for what is lost.
    let rewind = Rewind { everything: true, ..jobs::rewind(&[1]) };
    assert!(db.rewind(two, &jobs::measured(db, two, rewind).await).await.unwrap());
    let kept = async |at: Place, to: JobId, limit: u32| both.verifications.kept_chunks(at, to, limit).await.unwrap();
    let end = JobId(three.0 + 1);
    let all = kept(place(JobId(0), 0), end, 100).await;
    assert_eq!(places(&all), [place(one, 0), place(one, 1), place(two, 0), place(three, 0), place(three, 1)]);
    assert_eq!(all[2].1, row(db, two, 0).await.unwrap());
    assert!(all[2].1.is_wanted());
    assert_eq!(places(&kept(place(one, 1), three, 100).await), [place(one, 1), place(two, 0)]);
    assert_eq!(places(&kept(place(one, 2), end, 2).await), [place(two, 0), place(three, 0)]);
    assert_eq!(kept(place(two, 0), two, 100).await, []);
    assert_eq!(kept(place(three, 2), end, 100).await, []);
}

pub async fn what_was_persisted_lately_comes_in_that_order(both: &Both) {
    let (one, two) = (both.job_with_chunks(1000).await, both.job_with_chunks(1000).await);
    let db = both.database.as_ref();
    let wanted = both.job_with_chunks(1000).await;
    let rewind = Rewind { everything: true, ..jobs::rewind(&[]) };
    assert!(db.rewind(wanted, &jobs::measured(db, wanted, rewind).await).await.unwrap());
    let since = async |since: i64, after: Option<(i64, Place)>, limit: u32| {
        let after = after.map(|(moment, place)| (Timestamp(moment), place));
        both.verifications.persisted_since(Timestamp(since), after, limit).await.unwrap()
    };
    let all = since(0, None, 100).await;
    assert_eq!(places(&all), [place(one, 1), place(two, 1), place(one, 0), place(two, 0)]);
    assert_eq!(all[2].1, row(db, one, 0).await.unwrap());
    assert_eq!(places(&since(991, None, 100).await), [place(one, 0), place(two, 0)]);
    assert_eq!(places(&since(990, None, 1).await), [place(one, 1)]);
    assert_eq!(places(&since(0, Some((990, place(one, 1))), 2).await), [place(two, 1), place(one, 0)]);
    assert_eq!(places(&since(0, Some((1000, place(one, 0))), 100).await), [place(two, 0)]);
    assert_eq!(places(&since(1000, Some((990, place(one, 1))), 100).await), [place(one, 0), place(two, 0)]);
    assert_eq!(since(0, Some((1000, place(two, 0))), 100).await, []);
    assert_eq!(since(1001, None, 100).await, []);
}

pub async fn what_a_store_keeps_comes_in_order_of_key(both: &Both) {
    let db = both.database.as_ref();
    let (id, other) = (running(db).await, running(db).await);
    // The order of bytes is not that of a language: B, a, é.
    let keys = ["traces/a/é", "traces/a/a", "traces/a/B", "traces/a0", "traces/a", "traces/b/a"];
    for (index, key) in (0..).zip(keys) {
        both.keep(id, index, &object(key), 1000).await;
    }
    both.keep(other, 0, &spill(both.bytes.as_ref(), "traces/a/a").await, 1000).await;
    let named = async |store, prefix: &str, after: Option<&str>, limit: u32| {
        both.verifications.named(store, prefix, after, limit).await.unwrap()
    };
    let keys = |named: Vec<Named>| named.into_iter().map(|named| named.key).collect::<Vec<_>>();
    let objects = DataStore::ObjectStore;
    let below_a = named(objects, "traces/a/", None, 100).await;
    let first = Named { key: "traces/a/B".to_owned(), place: place(id, 2), row: row(db, id, 2).await };
    assert_eq!((below_a[0].size(), &below_a[0]), (Some(object("").object().size), &first));
    assert_eq!(keys(below_a), ["traces/a/B", "traces/a/a", "traces/a/é"]);
    assert_eq!(keys(named(objects, "traces/a/", Some("traces/a/B"), 1).await), ["traces/a/a"]);
    assert_eq!(keys(named(objects, "traces/a/", Some("traces/a/é"), 100).await), Vec::<String>::new());
    assert_eq!(keys(named(objects, "traces/a/", Some("a"), 1).await), ["traces/a/B"]);
    assert_eq!(keys(named(objects, "", Some("traces/a/é"), 100).await), ["traces/a0", "traces/b/a"]);
    assert_eq!(named(objects, "", None, 100).await.len(), 6);
    let in_database = named(DataStore::Database, "traces/", None, 100).await;
    assert_eq!((in_database.len(), in_database[0].place), (1, place(other, 0)));

    // A copy that is kept while its bytes are wanted again is named; one that is lost is not.
    let rewind = Rewind { everything: true, ..jobs::rewind(&[1]) };
    assert!(db.rewind(id, &jobs::measured(db, id, rewind).await).await.unwrap());
    assert_eq!(keys(named(objects, "traces/a/", None, 100).await), ["traces/a/B", "traces/a/é"]);
}

pub async fn jobs_are_found_by_when_they_were_made(both: &Both) {
    let verifications = &both.verifications;
    assert_eq!(verifications.newest_job().await.unwrap(), JobId(0));
    let first = async |since: i64| verifications.first_job_since(Timestamp(since)).await.unwrap();
    assert_eq!(first(0).await, JobId(1));
    let day = 86_400_000;
    let mut ids = Vec::new();
    // The nodes' clocks differ a little.
    for at in [1000, 3000, 2000, 5000, 5 * day, 9 * day] {
        let new = NewJob { at: Timestamp(at), ..new_job(JobStatus::Running) };
        ids.push(both.database.create_job(new).await.unwrap().id);
    }
    assert_eq!(verifications.newest_job().await.unwrap(), ids[5]);
    assert_eq!(first(0).await, ids[0]);
    assert_eq!(first(1000).await, ids[0]);
    assert_eq!(first(1001).await, ids[1], "made later than the one behind it, by its node's clock");
    assert_eq!(first(3001).await, ids[3]);
    assert_eq!(first(5001).await, ids[4]);
    assert_eq!(first(9 * day).await, ids[5]);
    assert_eq!(first(9 * day + 1).await, JobId(ids[5].0 + 1));
}
