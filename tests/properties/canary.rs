//! The canary over models, in virtual time, through a client that does what the API would, or what a test says: what it
//! takes for a good round, how it calls a bad one, which logs it keeps, and whether all of its damage is found.

#![allow(clippy::disallowed_methods, reason = "its time is virtual")]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::TryStreamExt as _;
use tokio::time::Instant;
use veritail::pipeline::{
    AppendRequest, Appended, BodyBroken, FinalPut, Finalized, Mode, OpenedReading, Pipeline, Settings, Stores,
};
use veritail::seams::Seams;
use veritail::seams::real::{NoFailPoints, SystemChance, TokioSpawn};
use veritail::store::StoreError;
use veritail::store::database::drills::{CANARY, CANARY_PROJECT, Drill, DrillFilter, Drills as _, NewDrill};
use veritail::store::database::{Database, Job, NewJob};
use veritail::store::hooked::{Call, Hook, Hooked};
use veritail::store::object::ObjectStore;
use veritail::trace::{
    ByteSize, ChunkIndex, ChunkSize, Claim, Crc32, DataStore, Detection, Ending, JobId, JobStatus, Kind, Offset,
    Origin, Schedule, Timestamp,
};
use veritail::verify::canary::{CanaryClient, CanaryJob, NoAnswer, Reply};
use veritail::verify::{self, CanaryDamage, Verifier};

use crate::passing::{Page, Virtual, counted};
use crate::support::model::database::ModelDatabase;
use crate::support::model::leases::ModelLeases;
use crate::support::model::live::ModelLive;
use crate::support::model::objects::ModelObjects;

/// From one round to the next.
const EVERY: Duration = Duration::from_secs(300);
const HOUR: Duration = Duration::from_secs(3600);
/// The size of the canary's log.
const WHOLE: usize = 40_000;
const PATCH: usize = 4_000;

/// What the canary asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asks {
    Append(usize),
    Finish,
    Read,
}

/// What comes of it.
enum Gets {
    /// What the API answers.
    Answer,
    Reply(Reply),
    Error(NoAnswer),
    /// Other bytes than are there.
    Bytes(fn(Bytes) -> Bytes),
    /// Nothing, for ever.
    Nothing,
}

/// By the job, what is asked for, and how often it was before.
type Script = Box<dyn Fn(JobId, Asks, usize) -> Gets + Send + Sync>;

/// The API without HTTP.
struct Client {
    node: Pipeline,
    script: Script,
    asked: Mutex<Vec<(JobId, Asks)>>,
}

impl Client {
    fn next(&self, job: &CanaryJob, asks: Asks) -> Gets {
        let mut asked = self.asked.lock().expect("no test panics while it asks");
        let before = asked.iter().filter(|before| **before == (job.id, asks)).count();
        asked.push((job.id, asks));
        (self.script)(job.id, asks, before)
    }

    async fn appended(&self, job: &CanaryJob, at: Offset, bytes: Bytes) -> Reply {
        let made_at = self.node.stores().database.job(job.id).await.expect("a model").expect("a job").created_at;
        let declared = Some(ByteSize::of(&bytes));
        let request = AppendRequest { job: job.id, made_at, trace_limit: ByteSize::ZERO, start: at, declared };
        let body: Vec<Result<Bytes, BodyBroken>> = vec![Ok(bytes)];
        match self.node.append(request, futures::stream::iter(body)).await.expect("a model") {
            Appended::Accepted { .. } => Reply::Accepted,
            Appended::Elsewhere { position } | Appended::Closing { length: position } => Reply::Moved(position),
            other => panic!("{other:?}"),
        }
    }

    async fn finished(&self, job: &CanaryJob, crc32: Crc32, size: ByteSize) -> Reply {
        let claim = Some(Claim { crc32, size: Some(size) });
        let (status, origin) = (JobStatus::Success, Origin::Runner);
        let ending = Ending { status, failure_reason: None, exit_code: Some(0), claim, origin };
        match self.node.finalize(FinalPut { job: job.id, ending, trace_reset: Some(true) }).await {
            Finalized::Done { .. } => Reply::Proven,
            Finalized::Resend { .. } => Reply::Again,
            _ => Reply::Accepted,
        }
    }

    async fn bytes(&self, job: &CanaryJob) -> Result<Bytes, NoAnswer> {
        let opened = self.node.open_reading(job.id, Mode::Verified).await.expect("a model");
        let OpenedReading::Open(reading) = opened else { panic!("a job that is there") };
        let pieces: Result<Vec<Bytes>, _> = reading.stream(Offset(0)..Offset(u64::MAX)).try_collect().await;
        pieces.map(|pieces| pieces.concat().into()).map_err(|error| NoAnswer::Broken(error.to_string()))
    }
}

#[async_trait]
impl CanaryClient for Client {
    async fn append(&self, job: &CanaryJob, at: Offset, bytes: Bytes) -> Result<Reply, NoAnswer> {
        match self.next(job, Asks::Append(usize::try_from(at.0).expect("short"))) {
            Gets::Reply(reply) => Ok(reply),
            Gets::Error(error) => Err(error),
            Gets::Nothing => std::future::pending().await,
            Gets::Answer | Gets::Bytes(_) => Ok(self.appended(job, at, bytes).await),
        }
    }

    async fn finish(&self, job: &CanaryJob, crc32: Crc32, size: ByteSize) -> Result<Reply, NoAnswer> {
        match self.next(job, Asks::Finish) {
            Gets::Reply(reply) => Ok(reply),
            Gets::Error(error) => Err(error),
            Gets::Nothing => std::future::pending().await,
            Gets::Answer | Gets::Bytes(_) => Ok(self.finished(job, crc32, size).await),
        }
    }

    async fn read(&self, job: &CanaryJob) -> Result<Bytes, NoAnswer> {
        match self.next(job, Asks::Read) {
            Gets::Error(error) => Err(error),
            Gets::Nothing => std::future::pending().await,
            Gets::Bytes(other) => Ok(other(self.bytes(job).await?)),
            Gets::Answer | Gets::Reply(_) => self.bytes(job).await,
        }
    }
}

/// A node with a canary and nothing else to do.
struct Cage {
    verifier: Verifier,
    client: Arc<Client>,
    database: Arc<ModelDatabase>,
    objects: Arc<ModelObjects>,
    slow: Arc<Slow>,
}

/// How long every PUT of an object takes.
#[derive(Default)]
struct Slow(Mutex<Duration>);

#[async_trait]
impl Hook for Slow {
    async fn before(&self, call: &Call) -> Result<(), StoreError> {
        let time = *self.0.lock().expect("no test panics while it says so");
        if call.operation == "put" && !time.is_zero() {
            tokio::time::sleep(time).await;
        }
        Ok(())
    }

    async fn after(&self, _call: &Call, _took: Duration, _failed: Option<&StoreError>) -> Result<(), StoreError> {
        Ok(())
    }
}

impl Cage {
    fn new(settings: verify::Settings, node: Settings, script: Script) -> Self {
        let clock = Arc::new(Virtual::new());
        let database = Arc::new(ModelDatabase::new(clock.clone()));
        let (objects, slow) = (Arc::new(ModelObjects::new(clock.clone())), Arc::new(Slow::default()));
        let put_slowly: Arc<dyn ObjectStore> = objects.clone();
        let stores = Stores {
            live: Arc::new(ModelLive::new(clock.clone())),
            database: database.clone(),
            objects: Arc::new(Hooked::new(put_slowly, slow.clone(), clock.clone())),
            spill: database.chunk_bytes(),
            leases: Arc::new(ModelLeases::new(clock.clone())),
            verifications: database.clone(),
            drills: database.clone(),
        };
        let (chance, spawn, points) = (Arc::new(SystemChance), Arc::new(TokioSpawn), Arc::new(NoFailPoints));
        let node = Pipeline::new(stores, Seams { clock, chance, spawn, points }, node);
        node.start();
        let client = Arc::new(Client { node: node.clone(), script, asked: Mutex::default() });
        let verifier = Verifier::new(node, settings);
        verifier.set_canary_client(client.clone());
        Self { verifier, client, database, objects, slow }
    }

    /// One that damages nothing.
    fn of(script: impl Fn(JobId, Asks, usize) -> Gets + Send + Sync + 'static) -> Self {
        Self::new(gentle(), Settings::default(), Box::new(script))
    }

    fn now(&self) -> Timestamp {
        self.client.node.seams().clock.now()
    }

    /// One round, and the time until the next is due.
    async fn round(&self) {
        let began = Instant::now();
        self.verifier.tick(Schedule::Canary).await.expect("models");
        tokio::time::sleep_until(began + EVERY).await;
    }

    /// The canary's jobs whose traces are not erased.
    async fn jobs(&self) -> Vec<Job> {
        self.database.canary_jobs(1000).await.expect("a model")
    }

    /// All drills, oldest first.
    async fn drills(&self) -> Vec<Drill> {
        let mut drills = self.database.drills(&DrillFilter::default()).await.expect("a model");
        drills.reverse();
        drills
    }

    fn asked(&self, what: Asks) -> Vec<JobId> {
        let asked = self.client.asked.lock().expect("no test panics while it asks");
        asked.iter().filter(|(_, asks)| *asks == what).map(|(job, _)| *job).collect()
    }
}

fn gentle() -> verify::Settings {
    verify::Settings { canary_damage: CanaryDamage::Off, ..verify::Settings::default() }
}

/// How many rounds ended so: well, with other bytes, with an error, too late.
fn ended(page: &Page) -> [f64; 4] {
    ["ok", "mismatch", "error", "timeout"]
        .map(|result| page.value(&format!("canary_runs_total{{result=\"{result}\"}}")))
}

#[test]
fn rounds_that_go_well_are_measured_and_read_one_of_the_older_logs_again() {
    let (reads, page) = counted(async {
        let cage = Cage::of(|_, _, _| Gets::Answer);
        for _ in 0..3 {
            cage.round().await;
        }
        let jobs = cage.jobs().await;
        assert_eq!(jobs.len(), 3);
        for job in &jobs {
            assert_eq!((job.status, job.size), (JobStatus::Success, Some(ByteSize(WHOLE as u64))));
            assert_eq!(job.chunk_size, ChunkSize::new(16_384).expect("in range"));
        }
        let mut reads = cage.asked(Asks::Read);
        reads.dedup();
        (jobs.iter().map(|job| job.id).collect::<Vec<_>>(), reads)
    });
    let ([first, second, third], read) = (<[JobId; 3]>::try_from(reads.0).expect("three"), reads.1);
    // The first has none before it.
    assert_eq!(read[..4], [first, second, first, third]);
    assert!(matches!(read[4..], [old] if old == first || old == second), "{read:?}");
    assert_eq!(ended(&page), [3.0, 0.0, 0.0, 0.0]);
    for stage in ["append", "finalize", "migrate", "read"] {
        let series = format!("canary_stage_duration_seconds_count{{stage=\"{stage}\"}}");
        assert_eq!(page.value(&series), 3.0, "{stage}");
    }
    assert_eq!(page.value("append_to_read_seconds_count"), 3.0);
    let succeeded = page.value("canary_last_success_timestamp_seconds") - 1_700_000_000.0;
    assert!((600.0..660.0).contains(&succeeded), "{succeeded}");
}

fn flipped(bytes: Bytes) -> Bytes {
    let mut bytes = bytes.to_vec();
    if let Some(last) = bytes.last_mut() {
        *last = !*last;
    }
    bytes.into()
}

fn broken() -> NoAnswer {
    NoAnswer::Broken("as the test says".to_owned())
}

/// One round with this script: how it ended, what was asked for, and how long it took.
fn round_of(script: impl Fn(Asks, usize) -> Gets + Send + Sync + 'static) -> ([f64; 4], Vec<Asks>, Duration) {
    let ((asked, took), page) = counted(async {
        // It would damage things if it came to that.
        let settings = verify::Settings { canary_damage: CanaryDamage::On, ..verify::Settings::default() };
        let node = Settings::default();
        let cage = Cage::new(settings, node, Box::new(move |_, asks, before| script(asks, before)));
        let began = Instant::now();
        let watched = async {
            cage.verifier.tick(Schedule::Canary).await.expect("models");
        };
        // A live copy is damaged in the middle of a round that goes well so far, and found by the verifier's next look.
        let looks = async {
            loop {
                tokio::time::sleep(Duration::from_secs(1)).await;
                cage.verifier.tick(Schedule::Hot).await.expect("models");
            }
        };
        futures::future::select(Box::pin(watched), Box::pin(looks)).await;
        let asked = cage.client.asked.lock().expect("no test panics while it asks").clone();
        (asked.into_iter().map(|(_, asks)| asks).collect(), began.elapsed())
    });
    (ended(&page), asked, took)
}

const OK: [f64; 4] = [1.0, 0.0, 0.0, 0.0];
const MISMATCH: [f64; 4] = [0.0, 1.0, 0.0, 0.0];
const ERROR: [f64; 4] = [0.0, 0.0, 1.0, 0.0];
const TIMEOUT: [f64; 4] = [0.0, 0.0, 0.0, 1.0];

#[test]
fn other_bytes_than_were_said_are_a_mismatch_at_the_first_read_and_at_the_last() {
    let (first, asked, _) =
        round_of(|asks: Asks, _: usize| if asks == Asks::Read { Gets::Bytes(flipped) } else { Gets::Answer });
    assert_eq!((first, asked), (MISMATCH, vec![Asks::Append(0), Asks::Read]));
    let last =
        |asks: Asks, before: usize| if (asks, before) == (Asks::Read, 1) { Gets::Bytes(flipped) } else { Gets::Answer };
    assert_eq!(round_of(last).0, MISMATCH);
    let short = |asks: Asks, before: usize| match (asks, before) {
        (Asks::Read, 1) => Gets::Bytes(|bytes| bytes.slice(..bytes.len() - 1)),
        _ => Gets::Answer,
    };
    assert_eq!(round_of(short).0, MISMATCH);
    let longer = |asks: Asks, before: usize| match (asks, before) {
        (Asks::Read, 0) => Gets::Bytes(|bytes| [&bytes[..], b"more"].concat().into()),
        _ => Gets::Answer,
    };
    assert_eq!(round_of(longer).0, MISMATCH);
}

#[test]
fn what_was_appended_may_come_a_moment_later_and_not_never() {
    let later = |asks: Asks, before: usize| match (asks, before) {
        (Asks::Read, 0) => Gets::Bytes(|_| Bytes::new()),
        (Asks::Read, 1) => Gets::Bytes(|bytes| bytes.slice(..PATCH - 1)),
        _ => Gets::Answer,
    };
    let (result, asked, _) = round_of(later);
    assert_eq!((result, asked.iter().filter(|asks| **asks == Asks::Read).count()), (OK, 4));
    let never = |asks: Asks, _: usize| if asks == Asks::Read { Gets::Bytes(|_| Bytes::new()) } else { Gets::Answer };
    let (result, asked, took) = round_of(never);
    assert_eq!((result, took), (TIMEOUT, Duration::from_secs(120)));
    // It looks every 50 ms.
    assert!((1 + 120 * 20..4 + 120 * 20).contains(&asked.len()), "{}", asked.len());
}

#[test]
fn what_hangs_times_out_at_whatever_it_hangs() {
    for at in [Asks::Append(0), Asks::Append(PATCH), Asks::Read, Asks::Finish, Asks::Append(WHOLE - PATCH)] {
        let (result, ..) = round_of(move |asks: Asks, _: usize| if asks == at { Gets::Nothing } else { Gets::Answer });
        assert_eq!(result, TIMEOUT, "{at:?}");
    }
}

#[test]
fn a_refusal_is_an_error_and_ends_the_round() {
    for at in [Asks::Append(0), Asks::Append(2 * PATCH), Asks::Read, Asks::Finish] {
        let refused =
            move |asks: Asks, _: usize| if asks == at { Gets::Error(NoAnswer::Refused(403)) } else { Gets::Answer };
        let (result, asked, _) = round_of(refused);
        assert_eq!((result, asked.last()), (ERROR, Some(&at)));
    }
    for reply in [Reply::Proven, Reply::Again] {
        let odd = move |asks: Asks, _: usize| {
            if asks == Asks::Append(PATCH) { Gets::Reply(reply.clone()) } else { Gets::Answer }
        };
        let (result, asked, _) = round_of(odd);
        assert_eq!((result, asked.last()), (ERROR, Some(&Asks::Append(PATCH))));
    }
}

#[test]
fn appends_go_where_they_are_sent_and_come_again() {
    let at = Asks::Append(3 * PATCH);
    for reply in [Reply::Moved(Offset(0)), Reply::Moved(Offset(3 * PATCH as u64)), Reply::Later(Duration::from_secs(5))]
    {
        let once = {
            let reply = reply.clone();
            move |asks: Asks, before: usize| {
                if (asks, before) == (at, 0) { Gets::Reply(reply.clone()) } else { Gets::Answer }
            }
        };
        let (result, asked, took) = round_of(once);
        assert_eq!((result, asked.iter().filter(|asks| **asks == at).count()), (OK, 2), "{reply:?}");
        // From the beginning it is sent to where it was.
        let begins_again = asked.iter().filter(|asks| **asks == Asks::Append(0)).count() == 2;
        assert_eq!(begins_again, reply == Reply::Moved(Offset(0)));
        assert!(took >= Duration::from_secs(5) || !matches!(reply, Reply::Later(_)), "{took:?}");
    }
    let end = Reply::Moved(Offset(WHOLE as u64));
    let to_the_end =
        move |asks: Asks, _: usize| if asks == Asks::Append(0) { Gets::Reply(end.clone()) } else { Gets::Answer };
    // There is nothing to read then, for ever.
    assert_eq!(round_of(to_the_end).0, TIMEOUT);
    let beyond = |asks: Asks, _: usize| match asks {
        Asks::Append(0) => Gets::Reply(Reply::Moved(Offset(WHOLE as u64 + 1))),
        _ => Gets::Answer,
    };
    let (result, asked, _) = round_of(beyond);
    assert_eq!((result, asked.len()), (ERROR, 1));
}

#[test]
fn appends_without_progress_are_given_up_and_those_with_some_are_not() {
    let at = Asks::Append(3 * PATCH);
    for fails in [99, 100] {
        let again = move |asks: Asks, before: usize| {
            if asks == at && before < fails { Gets::Error(broken()) } else { Gets::Answer }
        };
        let (result, asked, took) = round_of(again);
        assert_eq!(result, if fails < 100 { OK } else { ERROR }, "{fails}");
        assert_eq!(asked.iter().filter(|asks| **asks == at).count(), 100);
        // Between two of them it waits, and not once it is given up.
        assert!(took >= Duration::from_millis(99 * 500), "{took:?}");
        assert!(fails < 100 || took < Duration::from_millis(100 * 500), "{took:?}");
        let again = move |asks: Asks, before: usize| match asks {
            asks if asks == at && before < fails => Gets::Reply(Reply::Moved(Offset(3 * PATCH as u64))),
            _ => Gets::Answer,
        };
        assert_eq!(round_of(again).0, if fails < 100 { OK } else { ERROR }, "{fails}");
    }
    // Sixty at each of two places.
    let both = [at, Asks::Append(5 * PATCH)];
    let again = move |asks: Asks, before: usize| match asks {
        asks if both.contains(&asks) && before < 60 => Gets::Reply(Reply::Later(Duration::ZERO)),
        _ => Gets::Answer,
    };
    assert_eq!(round_of(again).0, OK);
}

#[test]
fn a_trace_that_is_not_proven_yet_is_asked_about_again() {
    for reply in [Ok(Reply::Accepted), Ok(Reply::Moved(Offset(0))), Ok(Reply::Again), Err(broken())] {
        for fails in [99, 100] {
            let reply = reply.clone();
            let (what, is_again) = (format!("{fails} times {reply:?}"), reply == Ok(Reply::Again));
            let again = move |asks: Asks, before: usize| match (asks, &reply) {
                (Asks::Finish, Ok(reply)) if before < fails => Gets::Reply(reply.clone()),
                (Asks::Finish, Err(error)) if before < fails => Gets::Error(error.clone()),
                _ => Gets::Answer,
            };
            let (result, asked, took) = round_of(again);
            assert_eq!(result, if fails < 100 { OK } else { ERROR }, "{what}");
            assert_eq!(asked.iter().filter(|asks| **asks == Asks::Finish).count(), 100, "{what}");
            let begins = asked.iter().filter(|asks| **asks == Asks::Append(0)).count();
            assert_eq!(begins, if is_again { 1 + fails } else { 1 }, "{what}");
            assert!(is_again || took >= Duration::from_millis(99 * 500), "{what}: {took:?}");
        }
    }
    let later = |asks: Asks, before: usize| match (asks, before) {
        (Asks::Finish, 0) => Gets::Reply(Reply::Later(Duration::from_secs(7))),
        _ => Gets::Answer,
    };
    let (result, _, took) = round_of(later);
    assert!(result == OK && took >= Duration::from_secs(7), "{took:?}");
}

/// Only an older log differs: the one of this round is sound.
#[test]
fn an_older_log_that_rotted_is_a_mismatch() {
    let ((), page) = counted(async {
        let cage = Cage::of(|job, asks, before| match (job, asks, before) {
            // It is read twice in its own round.
            (JobId(1), Asks::Read, 2) => Gets::Bytes(flipped),
            _ => Gets::Answer,
        });
        cage.round().await;
        cage.round().await;
    });
    assert_eq!(ended(&page), [1.0, 1.0, 0.0, 0.0]);
}

#[test]
fn a_log_is_kept_for_six_hours_and_what_a_node_left_is_given_up() {
    counted(async {
        let cage = Cage::of(|_, _, _| Gets::Answer);
        cage.round().await;
        // A node died in the middle of this one.
        let left = NewJob {
            project_path: CANARY_PROJECT.to_owned(),
            name: "canary".to_owned(),
            token_sha256: [9; 32],
            status: JobStatus::Running,
            payload: None,
            chunk_size: ChunkSize::new(16 * 1024).expect("in range"),
            trace_limit: ByteSize::ZERO,
            trace_reset: Some(true),
            at: cage.now(),
        };
        let left = cage.database.create_job(left).await.expect("a model").id;
        cage.round().await;
        let job = cage.database.job(left).await.expect("a model").expect("a job");
        assert!(job.ending.is_some() && job.status == JobStatus::Failed, "{job:?}");
        cage.round().await;
        let kept: Vec<JobId> = cage.jobs().await.iter().map(|job| job.id).collect();
        assert!(kept.contains(&JobId(1)) && !kept.contains(&left), "{kept:?}");

        let first = cage.database.job(JobId(1)).await.expect("a model").expect("a job");
        let until = |time: Duration| time - cage.now().since(first.created_at);
        tokio::time::sleep(until(6 * HOUR - EVERY)).await;
        cage.round().await;
        assert!(cage.jobs().await.iter().any(|job| job.id == JobId(1)), "not yet six hours old");
        assert_eq!(until(6 * HOUR), Duration::ZERO);
        cage.round().await;
        let erased = cage.database.job(JobId(1)).await.expect("a model").expect("a job").erased.expect("erased");
        assert_eq!(erased.1, CANARY);
    });
}

/// One after the other, while *hot* looks every minute: everything is found, named rightly, and in its turn.
#[test]
fn everything_that_can_be_damaged_has_its_turn_and_is_found() {
    let (drills, page) = counted(async {
        let settings = verify::Settings { canary_damage: CanaryDamage::On, ..verify::Settings::default() };
        let cage = Cage::new(settings, Settings::default(), Box::new(|_, _, _| Gets::Answer));
        let rounds = async {
            for _ in 0..9 {
                cage.round().await;
            }
        };
        futures::future::select(Box::pin(rounds), Box::pin(looks(&cage))).await;
        cage.drills().await
    });
    let turns: Vec<_> = drills.iter().map(|drill| (drill.what.store, drill.what.kind)).collect();
    let live = turns[0].0;
    let all = [
        (live, Kind::Checksum),
        (DataStore::ObjectStore, Kind::Checksum),
        (DataStore::Database, Kind::Record),
        (DataStore::Database, Kind::Checksum),
        (DataStore::ObjectStore, Kind::Missing),
        (live, Kind::Size),
        (DataStore::ObjectStore, Kind::Size),
        (live, Kind::Checksum),
        (DataStore::ObjectStore, Kind::Checksum),
    ];
    assert_eq!(turns, all);
    for drill in &drills {
        assert_eq!((drill.result, drill.what.by.as_str()), (Some(Detection::Found), CANARY), "{drill:?}");
        // The last chunk, which is live for longest.
        assert_eq!(drill.what.chunk, ChunkIndex(2));
    }
    assert_eq!(ended(&page), [9.0, 0.0, 0.0, 0.0]);
}

/// *Hot* every minute, for ever.
async fn looks(cage: &Cage) {
    loop {
        tokio::time::sleep(Duration::from_secs(60)).await;
        cage.verifier.tick(Schedule::Hot).await.expect("models");
    }
}

/// What cannot be damaged leaves its turn to what can.
#[test]
fn a_bucket_that_keeps_versions_is_spared_and_so_is_a_database_that_takes_no_chunks() {
    let of = |damage, spill_max, keeps_versions| {
        let (drills, _) = counted(async move {
            let settings = verify::Settings { canary_damage: damage, ..verify::Settings::default() };
            let node = Settings { spill_max, ..Settings::default() };
            let cage = Cage::new(settings, node, Box::new(|_, _, _| Gets::Answer));
            cage.objects.keep_versions(keeps_versions);
            let rounds = async {
                for _ in 0..7 {
                    // Each on a node that was just started.
                    cage.objects.forget_answers();
                    cage.round().await;
                }
            };
            futures::future::select(Box::pin(rounds), Box::pin(looks(&cage))).await;
            cage.drills().await
        });
        let mut damaged: Vec<_> = drills.iter().map(|drill| (drill.what.store, drill.what.kind)).collect();
        damaged.sort_unstable();
        damaged.dedup();
        let of = |store| damaged.iter().filter(|damage| damage.0 == store).map(|damage| damage.1).collect::<Vec<_>>();
        (of(DataStore::ObjectStore), of(DataStore::Database))
    };
    let some = Settings::default().spill_max;
    let all = vec![Kind::Checksum, Kind::Size, Kind::Missing];
    assert_eq!(of(CanaryDamage::Auto, some, false), (all.clone(), vec![Kind::Checksum, Kind::Record]));
    assert_eq!(of(CanaryDamage::Auto, some, true), (vec![], vec![Kind::Record]));
    assert_eq!(of(CanaryDamage::On, some, true), (all.clone(), vec![Kind::Checksum, Kind::Record]));
    assert_eq!(of(CanaryDamage::On, ByteSize::ZERO, false), (all, vec![Kind::Record]));
}

/// Nobody looks: the next ticks are left out until a live copy's damage is missed, and no longer than that.
#[test]
fn damage_that_nobody_finds_is_missed_and_the_round_goes_on() {
    let ((drills, took), page) = counted(async {
        let settings = verify::Settings { canary_damage: CanaryDamage::On, ..verify::Settings::default() };
        let cage = Cage::new(settings, Settings::default(), Box::new(|_, _, _| Gets::Answer));
        let mut took = Vec::new();
        for _ in 0..3 {
            let began = Instant::now();
            cage.verifier.tick(Schedule::Canary).await.expect("models");
            took.push(began.elapsed().as_secs());
            tokio::time::sleep_until(began + 10 * EVERY).await;
        }
        (cage.drills().await, took)
    });
    let deadline = verify::Settings::default().canary_deadline;
    // A live copy: twice the time that it has. A stored one: until the next tick, nearly; then the others have to wait.
    assert!((1200..1220).contains(&took[0]) && (210..230).contains(&took[1]), "{took:?}");
    let within = drills[0].what.must_be_found_by.since(drills[0].what.at);
    assert_eq!((within, drills[0].result), (deadline, Some(Detection::Missed)), "{drills:?}");
    assert_eq!(drills[1].what.must_be_found_by.since(drills[1].what.at), deadline);
    assert_eq!(ended(&page)[0], 3.0);
}

/// The canary waits until its first chunk has moved to the object store.
#[test]
fn a_chunk_that_moves_slowly_is_waited_for_and_measured() {
    let ((), page) = counted(async {
        let cage = Cage::of(|_, _, _| Gets::Answer);
        *cage.slow.0.lock().expect("no test panics while it says so") = Duration::from_secs(20);
        cage.round().await;
    });
    assert_eq!(ended(&page), OK);
    let migrated = page.value("canary_stage_duration_seconds_sum{stage=\"migrate\"}");
    assert!((20.0..20.2).contains(&migrated), "{migrated}");
}

/// The trace waits for that, and a trace that waits must not be taken for one whose runner vanished.
#[test]
fn damage_of_a_live_copy_has_to_be_found_within_a_quarter_of_the_time_that_a_runner_may_be_silent() {
    let (drills, _) = counted(async {
        let settings = verify::Settings {
            canary_damage: CanaryDamage::On,
            canary_deadline: Duration::from_secs(63),
            ..verify::Settings::default()
        };
        let node = Settings { runner_timeout: Duration::from_secs(200), ..Settings::default() };
        let cage = Cage::new(settings, node, Box::new(|_, _, _| Gets::Answer));
        for _ in 0..2 {
            cage.round().await;
        }
        cage.drills().await
    });
    for (drill, seconds) in drills.iter().zip([50, 63]) {
        let within = drill.what.must_be_found_by.since(drill.what.at);
        assert_eq!(within, Duration::from_secs(seconds), "{drill:?}");
        // It is looked for every sixtieth of the time, and missed after twice of it.
        let ended = drill.ended_at.expect("it ended").since(drill.what.at).as_millis();
        let missed = u128::from(seconds) * 2000;
        assert!((missed..missed + 1200).contains(&ended), "{ended}: {drill:?}");
    }
    assert_eq!(drills.len(), 2);
}

async fn announce(cage: &Cage, job: JobId, within: Duration) {
    let what = NewDrill {
        job,
        chunk: ChunkIndex(0),
        kind: Kind::Checksum,
        store: DataStore::ObjectStore,
        by: "somebody".to_owned(),
        at: cage.now(),
        must_be_found_by: cage.now().after(within),
    };
    cage.database.announce(&what).await.expect("a model");
}

#[test]
fn a_drill_of_somebody_else_is_no_turn_of_the_canarys() {
    let (drills, _) = counted(async {
        let settings = verify::Settings { canary_damage: CanaryDamage::On, ..verify::Settings::default() };
        let cage = Cage::new(settings, Settings::default(), Box::new(|_, _, _| Gets::Answer));
        announce(&cage, JobId(999), 1000 * HOUR).await;
        let rounds = async {
            for _ in 0..2 {
                cage.round().await;
            }
        };
        futures::future::select(Box::pin(rounds), Box::pin(looks(&cage))).await;
        cage.drills().await
    });
    let turns: Vec<_> = drills.iter().filter(|drill| drill.what.by == CANARY).map(|drill| drill.what.kind).collect();
    assert_eq!((turns, drills.len()), (vec![Kind::Checksum, Kind::Checksum], 3));
}

/// However many other drills there were since then, and only once all of its own have ended.
#[test]
fn a_log_that_was_damaged_goes_once_what_came_of_it_is_known() {
    counted(async {
        let cage = Cage::of(|_, _, _| Gets::Answer);
        for _ in 0..3 {
            cage.round().await;
        }
        let is_kept = async |job| cage.jobs().await.iter().any(|kept| kept.id == JobId(job));
        announce(&cage, JobId(1), Duration::from_secs(1)).await;
        announce(&cage, JobId(2), 1000 * HOUR).await;
        announce(&cage, JobId(2), Duration::from_secs(1)).await;
        tokio::time::sleep(EVERY).await;
        cage.database.settle_drills(cage.now()).await.expect("a model");
        for _ in 0..150 {
            announce(&cage, JobId(999), 1000 * HOUR).await;
        }
        cage.round().await;
        assert_eq!((is_kept(1).await, is_kept(2).await, is_kept(3).await), (false, true, true));
    });
}
