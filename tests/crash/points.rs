//! Death at every named point: which workload reaches it, and what may be left behind.

use std::ops::RangeInclusive;
use std::time::Duration;

use serde_json::{Value, json};
use veritail::pipeline::points;
use veritail::trace::{ChunkId, ChunkIndex, Epoch, JobId};

use super::ground::{CHUNK_SIZE, Ground, On, Pace};
use super::remains;
use super::runner::{Runner, Unanswered, log};
use super::server::Server;
use crate::support::production::Production;

/// What happens to the first of two jobs until the process dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Story {
    /// Nothing but appends and the final update.
    Plain,
    /// The live copy of the chunk being written is lost before the process starts.
    LosesTail,
    /// The live copy of a full, recorded chunk is lost before the process starts, and nobody has another.
    LosesSealed,
    /// The live copy of the last chunk is lost before the process starts; everything is sent but the final update.
    LosesEnd,
    /// The final update comes before the last bytes, from both runners.
    EndsEarly,
}

/// What comes after the death.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Then {
    /// The process is started again, and the runners go on.
    GoesOn,
    /// The runner does not come back: one sweep brings the job to its end.
    Sweep,
}

struct Case {
    point: &'static str,
    /// At which time of reaching the point.
    time: u32,
    story: Story,
    then: Then,
    /// Objects that no row names in the end.
    orphans: RangeInclusive<usize>,
}

const fn case(point: &'static str, time: u32, story: Story, then: Then, orphans: RangeInclusive<usize>) -> Case {
    Case { point, time, story, then, orphans }
}

/// One line per death. Only a death between the PUT and the flip leaves an object that no row names. Where a sealed chunk
/// is to be lost, such a death came before. At `finalize.recorded` the worker may have begun to migrate the last chunk.
#[rustfmt::skip]
const CASES: &[Case] = &[
    case(points::ROW_INSERTED, 1, Story::Plain,       Then::GoesOn, 0..=0),
    case(points::ROW_INSERTED, 2, Story::Plain,       Then::GoesOn, 0..=0),
    case(points::COMMITTED,    1, Story::Plain,       Then::GoesOn, 0..=0),
    case(points::COMMITTED,    6, Story::Plain,       Then::GoesOn, 0..=0),
    case(points::RECORDED,     1, Story::Plain,       Then::GoesOn, 0..=0),
    case(points::RECORDED,     4, Story::Plain,       Then::GoesOn, 0..=0),
    case(points::PUT,          1, Story::Plain,       Then::GoesOn, 1..=1),
    case(points::PUT,          4, Story::Plain,       Then::GoesOn, 1..=1),
    case(points::READ_BACK,    1, Story::Plain,       Then::GoesOn, 1..=1),
    case(points::READ_BACK,    7, Story::Plain,       Then::GoesOn, 1..=1),
    case(points::FLIPPED,      1, Story::Plain,       Then::GoesOn, 0..=0),
    case(points::FLIPPED,      7, Story::Plain,       Then::Sweep,  0..=0),
    case(points::RELEASED,     2, Story::Plain,       Then::GoesOn, 0..=0),
    case(points::INSTALLED,    1, Story::Plain,       Then::GoesOn, 0..=0),
    case(points::RAISED,       1, Story::LosesTail,   Then::GoesOn, 0..=0),
    case(points::INSTALLED,    1, Story::LosesTail,   Then::GoesOn, 0..=0),
    case(points::RAISED,       1, Story::LosesSealed, Then::GoesOn, 1..=1),
    case(points::INSTALLED,    1, Story::LosesSealed, Then::GoesOn, 1..=1),
    // First while the loss is written down, then while the runner is asked.
    case(points::RAISED,       1, Story::LosesEnd,    Then::GoesOn, 0..=0),
    case(points::RAISED,       2, Story::LosesEnd,    Then::GoesOn, 0..=0),
    case(points::INSTALLED,    1, Story::LosesEnd,    Then::GoesOn, 0..=0),
    case(points::INSTALLED,    2, Story::LosesEnd,    Then::GoesOn, 0..=0),
    case(points::REOPENED,     1, Story::EndsEarly,   Then::GoesOn, 0..=0),
    case(points::REOPENED,     2, Story::EndsEarly,   Then::GoesOn, 0..=0),
    case(points::CLAIMED,      1, Story::Plain,       Then::GoesOn, 0..=0),
    case(points::CLAIMED,      1, Story::Plain,       Then::Sweep,  0..=0),
    case(points::SEALED,       1, Story::Plain,       Then::GoesOn, 0..=0),
    case(points::SEALED,       1, Story::Plain,       Then::Sweep,  0..=0),
    case(points::ALL_RECORDED, 1, Story::Plain,       Then::GoesOn, 0..=1),
    case(points::ALL_RECORDED, 1, Story::Plain,       Then::Sweep,  0..=1),
    case(points::DECIDED,      1, Story::Plain,       Then::GoesOn, 0..=0),
    case(points::DECIDED,      1, Story::Plain,       Then::Sweep,  0..=0),
    case(points::CLOSED,       1, Story::Plain,       Then::GoesOn, 0..=0),
    case(points::CLOSED,       1, Story::Plain,       Then::Sweep,  0..=0),
    case(points::BURIED,       1, Story::Plain,       Then::GoesOn, 0..=0),
    case(points::BURIED,       1, Story::Plain,       Then::Sweep,  0..=0),
];

/// Three chunks and a part of a fourth.
const LOG_SIZE: usize = 3 * CHUNK_SIZE + 1234;
/// A patch never reaches over a chunk's end, so that at most one chunk is under way.
const PATCH_SIZE: usize = CHUNK_SIZE / 2;
/// More requests than two logs need.
const STEPS_MAX: usize = 300;

#[test]
fn every_point_has_a_case() {
    // That one has a story of its own: `erase.rs`.
    for point in points::ALL.iter().filter(|point| **point != points::ERASED) {
        assert!(CASES.iter().any(|case| case.point == *point), "nothing dies at {point}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_death_at_any_point_loses_nothing_embedded() {
    for case in CASES {
        die_and_go_on(On::Embedded, case).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_death_at_any_point_loses_nothing_redis() {
    for case in CASES {
        die_and_go_on(On::Redis, case).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_death_at_any_point_loses_nothing_production() {
    let _servers = Production::hold();
    for case in CASES {
        die_and_go_on(On::Production, case).await;
    }
}

async fn die_and_go_on(on: On, case: &Case) {
    let name = format!("{on:?}: {}:{} {:?} {:?}", case.point, case.time, case.story, case.then);
    println!("{name}");
    let mut ground = Ground::new(on, Pace::Quiet).await;
    let mut runners = Vec::new();
    prepare(&mut ground, &mut runners, case.story).await;

    let fail_point = format!("{}:{}", case.point, case.time);
    let server = Server::start(&mut ground, Some(&fail_point)).await;
    if runners.is_empty() {
        runners = make_runners(&ground).await;
    }
    if case.story == Story::EndsEarly {
        runners.iter_mut().for_each(|runner| runner.says_it_is_done_at = LOG_SIZE - 1000);
    }
    let lost = match case.story {
        Story::LosesSealed => Some(0),
        Story::LosesEnd => Some(3),
        Story::Plain | Story::LosesTail | Story::EndsEarly => None,
    };
    let Err(Unanswered) = drive(&mut runners, Some(lost)).await else {
        panic!("{name}: never reached");
    };
    server.dies_by_abort().await;
    if case.then == Then::Sweep {
        let stores = ground.open().await;
        remains::sweep_once(&stores).await;
        remains::is_verified(&stores, runners[0].id).await;
    }

    let server = Server::start(&mut ground, None).await;
    // Where recorded bytes are lost, a read breaks off until they come again.
    for runner in &runners[usize::from(lost.is_some())..] {
        runner.finds_what_was_acknowledged().await.expect("it answers");
    }
    drive(&mut runners, None).await.expect("it stays alive");
    for (at, runner) in runners.iter().enumerate() {
        assert_eq!(runner.read().await.expect("it answers"), runner.log, "{name}");
        let report = runner.integrity().await.expect("it answers");
        assert_eq!(report["verdict"], "verified", "{name}: {report}");
        let lost = lost.filter(|_| at == 0);
        assert_eq!(
            mismatches(&report),
            Vec::from_iter(lost.map(|chunk| json!([chunk, "missing", "resent"]))),
            "{name}"
        );
    }
    server.kill().await;
    let jobs: Vec<i64> = runners.iter().map(|runner| runner.id).collect();
    let orphans = remains::after_one_sweep(&ground, &jobs).await;
    assert!(case.orphans.contains(&orphans), "{name}: {orphans} objects that no row names");
}

/// Brings the first job to where its bytes can be lost, and loses them.
async fn prepare(ground: &mut Ground, runners: &mut Vec<Runner>, story: Story) {
    let chunk = match story {
        Story::Plain | Story::EndsEarly => return,
        Story::LosesTail => {
            *runners = send_patches(ground, 3).await;
            // The rest was acknowledged and is lost.
            runners[0].acknowledged = CHUNK_SIZE;
            ChunkIndex(1)
        }
        Story::LosesEnd => {
            *runners = send_patches(ground, LOG_SIZE.div_ceil(PATCH_SIZE)).await;
            ChunkIndex(3)
        }
        Story::LosesSealed => {
            let fail_point = format!("{}:1", points::PUT);
            let server = Server::start(ground, Some(&fail_point)).await;
            *runners = make_runners(ground).await;
            drive(runners, Some(None)).await.expect_err("it dies");
            server.dies_by_abort().await;
            ChunkIndex(0)
        }
    };
    let live = ground.open().await.live;
    let (job, chunk) = (JobId(runners[0].id), ChunkId { index: chunk, epoch: Epoch::FIRST });
    let there = live.read_chunk(job, chunk).await.expect("answered");
    assert!(there.is_some(), "there is something to lose");
    live.release(job, chunk, Duration::ZERO).await.expect("answered");
}

/// A first process, which takes so many patches of the first job.
async fn send_patches(ground: &mut Ground, patches: usize) -> Vec<Runner> {
    let server = Server::start(ground, None).await;
    let mut runners = make_runners(ground).await;
    for _ in 0..patches {
        runners[0].step(PATCH_SIZE).await.expect("it answers");
        settled(&runners[0], None).await.expect("it answers");
    }
    server.kill().await;
    runners
}

pub(super) async fn make_runners(ground: &Ground) -> Vec<Runner> {
    let mut runners = Vec::new();
    for name in 0..2 {
        runners.push(Runner::new(ground.port, log(name, LOG_SIZE)).await.expect("it answers"));
    }
    runners
}

/// Lets the runners go on in turn, until they are done or the process dies. With `settling`, every chunk but the one
/// inside of it is migrated before the next request, so that nothing is under way beside the request.
pub(super) async fn drive(runners: &mut [Runner], settling: Option<Option<u64>>) -> Result<(), Unanswered> {
    for _ in 0..STEPS_MAX {
        if runners.iter().all(|runner| runner.done) {
            return Ok(());
        }
        for runner in runners.iter_mut().filter(|runner| !runner.done) {
            runner.step(PATCH_SIZE).await?;
            if let Some(lost) = settling {
                settled(runner, lost).await?;
            }
        }
    }
    panic!("not done after {STEPS_MAX} rounds");
}

/// Waits until every full chunk is in the object store.
async fn settled(runner: &Runner, lost: Option<u64>) -> Result<(), Unanswered> {
    // 10 seconds at most.
    for _ in 0..1000 {
        let report = runner.integrity().await?;
        let chunks = report["chunks"].as_array().expect("a list");
        let waits = |chunk: &&Value| {
            chunk["size"] == CHUNK_SIZE && chunk["data_store"] != "object_store" && chunk["index"].as_u64() != lost
        };
        if chunks.iter().find(waits).is_none() {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("job {}: its chunks are not migrated", runner.id);
}

/// Chunk, kind and resolution of each.
fn mismatches(report: &Value) -> Vec<Value> {
    let all = report["mismatches"].as_array().expect("a list");
    all.iter().map(|known| json!([known["chunk_index"], known["kind"], known["resolution"]])).collect()
}
