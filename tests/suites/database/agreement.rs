//! The model answers like SQLite and PostgreSQL: random changes, the same answer and the same tables after every one.
//!
//! Simulations run on the model, so every difference would be a lie in them.

use std::fmt::Debug;
use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use veritail::store::Result;
use veritail::store::database::{
    Basis, Closing, Contact, Database, Lost, MismatchFilter, NewMismatch, Resolution, Rewind,
};
use veritail::trace::{ByteSize, ChunkIndex, DataStore, Epoch, Kind, Offset, TraceState, Verdict, Version};

use super::*;
use crate::support::model::database::ModelDatabase;
use crate::support::postgres_server::PostgresServer;

const CASES: u32 = 300;
/// Fewer: each makes a database on a server.
const CASES_ON_POSTGRES: u32 = 40;
const CHUNKS: u32 = 4;

/// A change of one of two jobs. Epochs and versions are given relative to the present ones, so that most changes are
/// possible and many just miss.
#[derive(Clone, Debug)]
enum Change {
    Contacts(Vec<(usize, u64, i64)>),
    TraceReset(bool),
    Installed { epoch: i64 },
    Rewind { epoch: i64, up: i64, present_state: bool, next_state: TraceState, lost: Vec<u32>, flags: (bool, bool) },
    End { ending: Ending, trace_reset: Option<bool> },
    Reopen { epoch: i64 },
    Cancel,
    Close { epoch: i64, crc32: Option<u32> },
    OpenChunk { epoch: i64, index: u32 },
    Record { epoch: i64, index: u32, begun: i64, record: Record, next: Option<u32> },
    Persist { index: u32, version: i64, to: Location },
    Mismatch { chunk: Option<u32>, epoch: i64, kind: Kind, store: DataStore, basis: Basis },
    Resolve { chunk: Option<u32>, resolution: Resolution },
}

fn near() -> impl Strategy<Value = i64> {
    prop_oneof![8 => Just(0i64), 1 => Just(-1), 1 => Just(1)]
}

fn any_of<T: Copy + Debug + 'static>(values: &'static [T]) -> impl Strategy<Value = T> {
    prop::sample::select(values)
}

fn any_basis() -> impl Strategy<Value = Basis> {
    prop_oneof![
        2 => Just(Basis::Nothing),
        1 => (1i64..4).prop_map(|version| Basis::Row(Version(version))),
        1 => (1u32..3).prop_map(|epoch| Basis::Trace(Epoch(epoch))),
    ]
}

fn any_ending() -> impl Strategy<Value = Ending> {
    let other_claim = Ending { claim: Some(Claim { crc32: Crc32(7), size: None }), ..success() };
    prop_oneof![
        4 => Just(success()),
        1 => Just(vanished()),
        1 => Just(Ending { exit_code: Some(-1), failure_reason: Some("other".to_owned()), ..success() }),
        1 => Just(other_claim),
        1 => Just(Ending { claim: None, ..success() }),
    ]
}

fn any_location() -> impl Strategy<Value = Location> {
    prop_oneof![Just(object("one")), Just(object("two")), Just(in_database("three"))]
}

fn any_change() -> impl Strategy<Value = Change> {
    let contact = (0..2usize, 0..64u64, 0..1000i64);
    let index = || 0..CHUNKS;
    let record = prop_oneof![4 => Just(bytes("12345678")), 1 => Just(bytes("abcdefgh")), 1 => Just(bytes("123"))];
    let next = prop::option::of(index());
    let chunk = || prop::option::of(index());
    prop_oneof![
        1 => prop::collection::vec(contact, 0..4).prop_map(Change::Contacts),
        1 => any::<bool>().prop_map(Change::TraceReset),
        1 => near().prop_map(|epoch| Change::Installed { epoch }),
        3 => (
            near(),
            prop_oneof![4 => Just(1i64), 1 => Just(0), 1 => Just(2)],
            prop::bool::weighted(0.9),
            prop_oneof![
                6 => any_of(&[TraceState::Open, TraceState::Closing]),
                1 => Just(TraceState::Closed),
            ],
            prop::collection::vec(index(), 0..3),
            any::<(bool, bool)>(),
        )
            .prop_map(|(epoch, up, present_state, next_state, lost, flags)| Change::Rewind {
                epoch, up, present_state, next_state, lost, flags
            }),
        2 => (any_ending(), any::<Option<bool>>())
            .prop_map(|(ending, trace_reset)| Change::End { ending, trace_reset }),
        2 => near().prop_map(|epoch| Change::Reopen { epoch }),
        1 => Just(Change::Cancel),
        1 => (near(), any::<Option<u32>>()).prop_map(|(epoch, crc32)| Change::Close { epoch, crc32 }),
        2 => (near(), index()).prop_map(|(epoch, index)| Change::OpenChunk { epoch, index }),
        8 => (near(), index(), near(), record, next).prop_map(|(epoch, index, begun, record, next)| Change::Record {
            epoch, index, begun, record, next
        }),
        4 => (index(), near(), any_location()).prop_map(|(index, version, to)| Change::Persist { index, version, to }),
        2 => (chunk(), near(), any_of(&[Kind::Gap, Kind::Checksum]), any_of(&[DataStore::Redis, DataStore::ObjectStore]), any_basis())
            .prop_map(|(chunk, epoch, kind, store, basis)| Change::Mismatch { chunk, epoch, kind, store, basis }),
        1 => (chunk(), any_of(Resolution::ALL)).prop_map(|(chunk, resolution)| Change::Resolve { chunk, resolution }),
    ]
}

/// Makes a change and answers what the database said.
async fn make(db: &dyn Database, jobs: [JobId; 2], which: usize, change: &Change, at: Timestamp) -> String {
    let id = jobs[which];
    let present = job(db, id).await;
    let epoch = |near: &i64| Epoch(u32::try_from((i64::from(present.epoch.0) + near).max(0)).unwrap());
    match change {
        Change::Contacts(contacts) => {
            let contacts: Vec<_> = contacts
                .iter()
                .map(|(which, acked, at)| Contact {
                    job: jobs[*which],
                    acked_length: Offset(*acked),
                    at: Timestamp(*at),
                })
                .collect();
            said(db.note_contacts(&contacts).await)
        }
        Change::TraceReset(can) => said(db.set_trace_reset(id, *can).await),
        Change::Installed { epoch: near } => said(db.mark_installed(id, epoch(near)).await),
        Change::Rewind { epoch: near, up, present_state, next_state, lost, flags } => {
            let state = if *present_state { present.state } else { TraceState::Open };
            let rewind = Rewind {
                from: epoch(near),
                to: epoch(&(near + up)),
                state,
                next_state: *next_state,
                lost: lost.iter().map(|index| Lost { index: ChunkIndex(*index), version: None }).collect(),
                everything: flags.0,
                counts_as_attempt: flags.1,
                at,
            };
            said(db.rewind(id, &jobs::measured(db, id, rewind.clone()).await).await)
        }
        Change::End { ending, trace_reset } => said(db.end(id, ending, at, *trace_reset).await),
        Change::Reopen { epoch: near } => said(db.reopen(id, epoch(near), at).await),
        Change::Cancel => said(db.cancel(id, at).await),
        Change::Close { epoch: near, crc32 } => {
            let closing = Closing { verdict: Verdict::Corrupt, size: ByteSize(9), crc32: crc32.map(Crc32), at };
            said(db.close(id, epoch(near), &closing).await)
        }
        Change::OpenChunk { epoch: near, index } => said(db.open_chunk(id, epoch(near), ChunkIndex(*index), at).await),
        Change::Record { epoch: near, index, begun, record, next } => {
            let begun = epoch(begun).max(FIRST);
            said(db.record(id, epoch(near), ChunkIndex(*index), begun, record, next.map(ChunkIndex), at).await)
        }
        Change::Persist { index, version, to } => {
            let known = row(db, id, *index).await.map_or(1, |row| row.version.0);
            said(db.persist(id, ChunkIndex(*index), Version(known + version), to, at).await)
        }
        Change::Mismatch { chunk, epoch: near, kind, store, basis } => {
            let mismatch =
                NewMismatch { epoch: epoch(near), kind: *kind, store: *store, at, ..mismatches::mismatch(id, *chunk) };
            said(db.open_mismatch(&mismatch, *basis).await)
        }
        Change::Resolve { chunk, resolution } => {
            said(db.resolve_mismatches(id, chunk.map(ChunkIndex), *resolution, &mismatches::note("healed"), at).await)
        }
    }
}

fn said(answer: Result<impl Debug>) -> String {
    format!("{answer:?}")
}

/// Everything that is known of these jobs.
async fn known_of(db: &dyn Database, jobs: [JobId; 2]) -> String {
    let mut known = String::new();
    for id in jobs {
        known += &format!("{:?}\n{:?}\n", job(db, id).await, db.chunks(id, ChunkIndex(0), 100).await.unwrap());
    }
    known
}

/// What every list and gauge says of all jobs, page by page.
async fn lists(db: &dyn Database, jobs: [JobId; 2]) -> String {
    let before = JobId(jobs[0].0 - 1);
    let filter = MismatchFilter { job: Some(jobs[0]), ..MismatchFilter::default() };
    let open = MismatchFilter { job: Some(jobs[1]), open: Some(true), ..MismatchFilter::default() };
    format!(
        "{:?}\n{:?}\n{:?}\n{:?}\n{:?}\n{:?}\n{:?}\n{:?}\n{:?}\n{:?}",
        db.unfinished_jobs(before, 2).await.unwrap(),
        db.changed_jobs(Timestamp(500), before, 2).await.unwrap(),
        db.waiting(Timestamp(500), 7).await.unwrap(),
        db.waiting(Timestamp(1000), 1000).await.unwrap(),
        db.backlog().await.unwrap(),
        db.unfinished().await.unwrap(),
        db.mismatches(filter).await.unwrap(),
        db.mismatches(open).await.unwrap(),
        db.corrupt_traces().await.unwrap(),
        db.ping(Duration::from_secs(10)).await.unwrap(),
    )
}

async fn agree(
    real: &dyn Database,
    model: &dyn Database,
    changes: &[(usize, Change, i64)],
) -> std::result::Result<(), TestCaseError> {
    let mut jobs = [JobId(0); 2];
    for (place, status) in [JobStatus::Running, JobStatus::Pending].into_iter().enumerate() {
        let made = real.create_job(new_job(status)).await.unwrap();
        prop_assert_eq!(&made, &model.create_job(new_job(status)).await.unwrap());
        jobs[place] = made.id;
    }
    for (which, change, at) in changes {
        let which = usize::from(*which >= 3);
        let on_real = make(real, jobs, which, change, Timestamp(*at)).await;
        let on_model = make(model, jobs, which, change, Timestamp(*at)).await;
        compare(&on_real, &on_model, &format!("answer to {change:?}"))?;
        compare(&known_of(real, jobs).await, &known_of(model, jobs).await, &format!("after {change:?}"))?;
    }
    compare(&lists(real, jobs).await, &lists(model, jobs).await, "lists and gauges")
}

#[test]
fn the_model_answers_like_sqlite() {
    run(CASES, async |changes: Vec<_>| {
        let (_guard, sqlite) = sqlite::open().await;
        agree(&sqlite, &ModelDatabase::new(), &changes).await
    });
}

#[test]
fn the_model_answers_like_postgres() {
    // One server for all cases.
    let _server = PostgresServer::shared();
    run(CASES_ON_POSTGRES, async |changes: Vec<_>| {
        let (_guard, postgres) = postgres::open().await;
        agree(&postgres, &ModelDatabase::new(), &changes).await
    });
}

fn run(cases: u32, case: impl AsyncFn(Vec<(usize, Change, i64)>) -> std::result::Result<(), TestCaseError>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let changes = prop::collection::vec((0..4usize, any_change(), 0..1000i64), 1..40);
    let mut runner = TestRunner::new(Config { cases, failure_persistence: None, ..Config::default() });
    if let Err(broken) = runner.run(&changes, |changes| runtime.block_on(case(changes))) {
        panic!("{broken}");
    }
}

/// Fails with the first line that differs.
fn compare(on_real: &str, on_model: &str, when: &str) -> std::result::Result<(), TestCaseError> {
    let lines = on_real.lines().chain(["(end)"]).zip(on_model.lines().chain(["(end)"]));
    match lines.into_iter().find(|(on_real, on_model)| on_real != on_model) {
        Some((on_real, on_model)) => {
            Err(TestCaseError::fail(format!("{when}: the database says {on_real}, the model says {on_model}")))
        }
        None => Ok(()),
    }
}
