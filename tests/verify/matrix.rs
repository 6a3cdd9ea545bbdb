//! The matrix, run: every case on a job of its own, all side by side over the same stores. They are brought to their
//! moment, damaged, looked at once, and gone on with.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::join_all;
use veritail::store::database::{Contact, Mismatch, MismatchFilter, Rewind};
use veritail::telemetry::verification::Tick;
use veritail::trace::{ChunkIndex, ChunkRow, ChunkState, DataStore, Detector, JobId, Kind, Offset, Schedule};
use veritail::verify::Verifier;

use crate::case::{Case, Ends, Walk};
use crate::cells::{self, Moment};
use crate::ground::{CHUNK_SIZE, Ground, Keeps, Place, Side};
use crate::support::production::Production;
use crate::support::runner::Runner;
use crate::support::server::{Client, Job, Send as _, log};
use crate::support::wait::until;

/// Two chunks and a half.
const LOG: usize = 2 * CHUNK_SIZE + CHUNK_SIZE / 2;
/// What is sent before the damage: a chunk and a half.
const SENT: usize = CHUNK_SIZE + CHUNK_SIZE / 2;

#[tokio::test(flavor = "multi_thread")]
async fn hot_finds_everything_in_the_embedded_stores() {
    run(Side::Embedded, Walk::Hot).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn full_finds_everything_in_the_embedded_stores() {
    run(Side::Embedded, Walk::Full).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hot_finds_everything_in_redis_postgresql_and_s3() {
    run(Side::Production, Walk::Hot).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn full_finds_everything_in_redis_postgresql_and_s3() {
    run(Side::Production, Walk::Full).await;
}

/// A case and its job.
pub struct Staged {
    pub case: Case,
    pub job: Job,
}

async fn run(side: Side, walk: Walk) {
    let _servers = (side == Side::Production).then(Production::hold);
    let whole_ground = Ground::start(side).await;
    let ground = &whole_ground;
    let cases = cells::cases(side, walk);
    let staged = join_all(cases.into_iter().map(|case| stage(ground, case))).await;
    let pausing = |place: Place| staged.iter().filter(|staged| staged.case.place() == place).count();
    let places = [Keeps::InObjectStore, Keeps::InDatabase].map(Place::PausesUntilDamaged);
    for place in places.into_iter().chain([Place::Pauses]) {
        let waiting = ground.at(place).gate.until_waiting(pausing(place));
        tokio::time::timeout(Duration::from_secs(60), waiting).await.expect("all copies are on their way");
    }
    join_all(staged.iter().map(|Staged { case, job }| case.damage.apply(ground, case, JobId(job.id)))).await;
    for place in places {
        ground.at(place).gate.open();
    }
    join_all(staged.iter().map(|staged| before_the_look(ground, staged))).await;

    let mut wrong = Vec::new();
    let (verifier, other) = (ground.verifier(), ground.verifier());
    look(&verifier, walk).await;
    for Staged { case, job } in &staged {
        let found = mismatches(ground, job).await;
        let found: Vec<_> = found.iter().map(label).collect();
        if !matches!(found[..], [found] if case.may_be(found)) {
            wrong.push(format!("{case}: job {} has {found:?}", job.id));
        }
    }
    // Another node, which has not seen anything yet, counts nothing twice.
    look(&other, walk).await;
    ground.at(Place::Pauses).gate.open();
    let ended = join_all(staged.iter().map(|staged| AssertUnwindSafe(end(ground, staged)).catch_unwind())).await;
    for (Staged { case, job }, ended) in staged.iter().zip(ended) {
        match ended {
            Ok(None) => {}
            Ok(Some(what)) => wrong.push(format!("{case}: job {}: {what}", job.id)),
            Err(_) => wrong.push(format!("{case}: job {}: its runner gave up, see above", job.id)),
        }
    }
    println!("{} cases, {} wrong", staged.len(), wrong.len());
    whole_ground.stop().await;
    assert!(wrong.is_empty(), "{} of {} cases:\n{}", wrong.len(), staged.len(), wrong.join("\n"));
}

fn label(found: &Mismatch) -> (Option<ChunkIndex>, Kind, DataStore, Detector) {
    (found.what.chunk, found.what.kind, found.what.store, found.what.detector)
}

/// All mismatches of a job.
pub async fn mismatches(ground: &Ground, job: &Job) -> Vec<Mismatch> {
    let filter = MismatchFilter { job: Some(JobId(job.id)), ..Default::default() };
    ground.stores.database.mismatches(filter).await.expect("a database")
}

/// A runner of the job that stands at `position`.
fn runner(case: &Case, client: &Client, job: &Job, position: usize) -> Runner {
    let mut runner = Runner::new(client, job);
    if !case.resends {
        runner = runner.without_reset();
    }
    runner.resume_at(position);
    runner
}

/// Brings a job of its own to the moment of the case.
pub async fn stage(ground: &Ground, case: Case) -> Staged {
    let site = ground.at(case.place());
    let job = site.client.make_job_with_reset(case.resends).await;
    if case.kind == Kind::StaleCopy {
        // An epoch that something of the chunk may be left from.
        let known = ground.stores.database.job(JobId(job.id)).await.expect("a database").expect("the job");
        let rewind = Rewind::of(&known, known.created_at);
        assert!(ground.stores.database.rewind(known.id, &rewind).await.expect("a database"));
    }
    let log = log(LOG);
    let mut runner = runner(&case, &site.client, &job, 0);
    match case.moment {
        Moment::Closed => assert_eq!(runner.finish(&log).await.state(), (200, "success"), "{case}"),
        _ => {
            runner.send(&log[..SENT]).await;
            note_acknowledged(ground, &job).await;
        }
    }
    if let Place::Moves(_) = case.place() {
        until_persisted(ground, &case, &job).await;
    }
    if case.moment >= Moment::Released {
        // The grace of its live copies is over.
        for row in rows(ground, &job).await.iter().filter(|row| row.persistent_copy().is_some()) {
            ground.stores.live.release(JobId(job.id), row.id(), Duration::ZERO).await.expect("a live store");
        }
    }
    Staged { case, job }
}

/// As a node does once a second.
async fn note_acknowledged(ground: &Ground, job: &Job) {
    let known = ground.stores.database.job(JobId(job.id)).await.expect("a database").expect("the job");
    let (made_at, acked_length) = (known.created_at, Offset(SENT as u64));
    let contact = Contact { job: known.id, made_at, acked_length, at: known.last_contact_at };
    ground.stores.database.note_contacts(&[contact], known.last_contact_at).await.expect("a database");
}

async fn rows(ground: &Ground, job: &Job) -> Vec<ChunkRow> {
    ground.stores.database.chunks(JobId(job.id), ChunkIndex(0), 100).await.expect("a database")
}

async fn until_persisted(ground: &Ground, case: &Case, job: &Job) {
    until(format!("{case}: job {}: its first chunk is persisted", job.id), async || {
        matches!(rows(ground, job).await.first(), Some(ChunkRow { state: ChunkState::Persisted { .. }, .. }))
    })
    .await;
}

/// What happens between the damage and the look.
async fn before_the_look(ground: &Ground, Staged { case, job }: &Staged) {
    if let Place::PausesUntilDamaged(_) = case.place() {
        until_persisted(ground, case, job).await;
    }
    if case.kind == Kind::Gap {
        // Its client goes on where it is, wherever it is sent.
        let (client, body) = (&ground.at(case.place()).client, &log(LOG)[SENT..SENT + 100]);
        until(format!("{case}: job {}: something is taken behind the gap", job.id), async || {
            client.append(job, SENT, body).await.status == 202
        })
        .await;
    }
}

/// One tick of *hot*, or one cycle of *full*.
async fn look(verifier: &Verifier, walk: Walk) {
    match walk {
        Walk::Hot => assert_eq!(verifier.tick(Schedule::Hot).await.expect("the stores are there"), Tick::Ran),
        Walk::Full => one_cycle(verifier).await,
    }
}

/// Ticks until every shard has ended the cycle that it is in, or that begins now.
async fn one_cycle(verifier: &Verifier) {
    verifier.tick(Schedule::Full).await.expect("the stores are there");
    let verifications = &verifier.node().stores().verifications;
    let runs = || async { verifications.cursors().await.expect("a database").into_iter().map(|cursor| cursor.run) };
    let before = runs().await.max();
    until("the end of the cycle", async || {
        verifier.tick(Schedule::Full).await.expect("the stores are there");
        runs().await.min() > before
    })
    .await;
}

/// The job goes on to its end. Answers what is not as it should be.
async fn end(ground: &Ground, Staged { case, job }: &Staged) -> Option<String> {
    let (log, client) = (log(LOG), &ground.at(Place::Moves(Keeps::InObjectStore)).client);
    let is_over = case.moment == Moment::Closed;
    if !is_over {
        let sent = if case.kind == Kind::Gap { SENT + 100 } else { SENT };
        let answer = runner(case, client, job, sent).finish(&log).await;
        if answer.state() != (200, "success") {
            return Some(format!("the final PUT was answered {:?}", answer.state()));
        }
    }
    let found = mismatches(ground, job).await;
    let seen: Vec<_> = found.iter().map(|found| (label(found), found.resolved.map(|resolved| resolved.0))).collect();
    let found = seen.first().map(|seen| seen.0).filter(|found| case.may_be(*found)).unwrap_or(case.found());
    let mut expected: Vec<(_, Ends)> = vec![(found, case.ends())];
    if case.leaves_gap() {
        expected.push(((Some(case.chunk()), Kind::Gap, case.live, Detector::Append), None));
    }
    if seen != expected {
        return Some(format!("it ended with {seen:?}, not {expected:?}"));
    }
    let is_whole = case.ends().is_some();
    if !is_over {
        let verdict = client.integrity(job).await["verdict"].clone();
        let expected = if is_whole { "verified" } else { "corrupt" };
        if verdict != expected {
            return Some(format!("the verdict is {verdict}"));
        }
    }
    let is_of_whole = matches!(case.kind, Kind::TraceChecksum | Kind::TraceSize);
    match client.trace_request(job).try_answer().await {
        // Every chunk is as recorded.
        _ if is_of_whole => None,
        Ok(answer) if answer.status == 200 && answer.body != log => {
            Some("other bytes came back than were sent".to_owned())
        }
        Ok(answer) if is_whole && answer.status != 200 => Some(format!("it is read as {}", answer.status)),
        Err(error) if is_whole => Some(format!("it cannot be read: {error}")),
        Ok(answer) if !is_whole && answer.status == 200 => Some("what is open is read as if it were whole".to_owned()),
        Ok(_) | Err(_) => None,
    }
}
