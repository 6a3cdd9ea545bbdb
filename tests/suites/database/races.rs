//! What several nodes do at once: two handles on the same tables, each with connections of its own.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use veritail::store::database::accounts::{Accounts, NewRunner, Reach};
use veritail::store::database::{Basis, Contact, Database, Erased, Opened, Resolution};
use veritail::store::object::ObjectStore;
use veritail::trace::{ChunkIndex, ChunkState, Epoch, Offset, TraceState, Version};

use super::*;
use crate::support::postgres_server::TestDatabase;

/// A guard, and two nodes on one database.
pub struct Nodes<G> {
    pub _guard: G,
    pub databases: [Arc<dyn Database>; 2],
    pub accounts: [Arc<dyn Accounts>; 2],
}

/// Runs every race on the nodes that `$open` makes.
macro_rules! races {
    ($name:ident, $open:expr) => {
        races!(@races $name, $open;
            changes_of_one_trace_by_many_tasks_leave_it_consistent,
            contacts_of_the_same_jobs_in_any_order_stand_in_nobodys_way,
            every_pending_job_is_taken_by_one_of_many_runners,
            after_a_rewind_no_copy_of_an_older_row_counts,
            a_record_of_the_epoch_before_a_rewind_is_not_written_after_it,
            of_an_ending_and_a_cancel_both_are_heard,
            a_mismatch_that_is_seen_by_many_at_once_is_counted_once,
            an_erased_trace_has_no_rows_whoever_wrote_at_that_moment,
            jobs_of_a_new_project_by_many_at_once_share_it,
        );
    };
    (@races $name:ident, $open:expr; $($race:ident),+ $(,)?) => {
        mod $name {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
                async fn $race() {
                    let nodes = $open.await;
                    super::$race(&nodes.databases, &nodes.accounts).await;
                }
            )+
        }
    };
}

races!(on_sqlite, super::on_sqlite());
races!(on_postgres, super::on_postgres());

async fn on_sqlite() -> Nodes<tempfile::TempDir> {
    let (folder, one) = sqlite::open().await;
    let two = sqlite::again(&folder).await;
    Nodes {
        _guard: folder,
        accounts: [Arc::new(one.clone()), Arc::new(two.clone())],
        databases: [Arc::new(one), Arc::new(two)],
    }
}

async fn on_postgres() -> Nodes<TestDatabase> {
    let (guard, one) = postgres::open().await;
    let two = guard.open().await;
    Nodes {
        _guard: guard,
        accounts: [Arc::new(one.clone()), Arc::new(two.clone())],
        databases: [Arc::new(one), Arc::new(two)],
    }
}

type Databases = [Arc<dyn Database>; 2];
type AllAccounts = [Arc<dyn Accounts>; 2];

/// How often the shorter races are run.
const ROUNDS: u32 = 25;

/// Tasks of two nodes record, persist and rewind one trace all at once. Nobody meets a busy database, and what is left fits
/// together: every epoch was raised once, and every row is of a version that its changes add up to.
pub async fn changes_of_one_trace_by_many_tasks_leave_it_consistent(nodes: &Databases, _: &AllAccounts) {
    let one = nodes[0].as_ref();
    let id = running(one).await;
    let mut tasks = JoinSet::new();
    for number in 0..16u32 {
        let db = nodes[number as usize % 2].clone();
        tasks.spawn(async move {
            let (mut recorded, mut persisted, mut raised) = (0, 0, 0);
            for turn in 0..20u32 {
                let index = ChunkIndex((number + turn) % 4);
                let epoch = job(db.as_ref(), id).await.epoch;
                match (number + turn) % 3 {
                    0 => {
                        let record = bytes(&format!("{:08}", index.0));
                        let answer =
                            db.record(id, epoch, index, epoch, &record, Some(index.next()), NOW).await.unwrap();
                        assert_ne!(answer, Recorded::Conflict);
                        recorded += u32::from(answer.is_taken());
                    }
                    1 => {
                        let Some(row) = db.chunk(id, index).await.unwrap() else { continue };
                        let to = object(&format!("{number}-{turn}"));
                        persisted += u32::from(db.persist(id, index, row.version, &to, NOW).await.unwrap());
                    }
                    _ => {
                        let mut rewind = jobs::rewind(&[index.0]);
                        (rewind.from, rewind.to) = (epoch, epoch.next());
                        raised += u32::from(
                            db.rewind(id, &jobs::measured(db.as_ref(), id, rewind.clone()).await).await.unwrap(),
                        );
                    }
                }
            }
            (recorded, persisted, raised)
        });
    }
    let done = tasks.join_all().await;
    let raised: u32 = done.iter().map(|(_, _, raised)| raised).sum();
    assert!(raised > 0 && done.iter().any(|done| done.0 > 0) && done.iter().any(|done| done.1 > 0));
    assert_eq!(job(one, id).await.epoch, Epoch(1 + raised));
    for row in one.chunks(id, ChunkIndex(0), 10).await.unwrap() {
        assert!(row.epoch <= Epoch(1 + raised));
        match row.state {
            ChunkState::Sealed { record } | ChunkState::Persisted { record, .. } => {
                assert_eq!(record, bytes(&format!("{:08}", row.index.0)));
            }
            ChunkState::Wanted { kept, asked_in, .. } => {
                assert_eq!(kept, None);
                assert!(asked_in > row.epoch || row.version.0 == 1);
            }
            ChunkState::Open => assert_eq!(row.version.0, 1),
        }
    }
}

/// Two nodes hear of the same jobs, in opposite orders: none waits for the other in a circle, and the greatest stays.
pub async fn contacts_of_the_same_jobs_in_any_order_stand_in_nobodys_way(nodes: &Databases, _: &AllAccounts) {
    let mut ids = Vec::new();
    for _ in 0..40 {
        ids.push(running(nodes[0].as_ref()).await);
    }
    let mut tasks = JoinSet::new();
    for number in 0..8u64 {
        let (db, mut ids) = (nodes[number as usize % 2].clone(), ids.clone());
        if number % 2 == 0 {
            ids.reverse();
        }
        tasks.spawn(async move {
            for turn in 0..20 {
                let acked_length = Offset(number * 100 + turn);
                let heard = |job| Contact { job, made_at: NOW, acked_length, at: Timestamp(2_000) };
                let contacts: Vec<_> = ids.iter().copied().map(heard).collect();
                db.note_contacts(&contacts, NOW).await.unwrap();
            }
        });
    }
    tasks.join_all().await;
    for id in ids {
        assert_eq!(job(nodes[1].as_ref(), id).await.acked_length, Offset(719));
    }
}

pub async fn every_pending_job_is_taken_by_one_of_many_runners(nodes: &Databases, accounts: &AllAccounts) {
    const JOBS: usize = 60;
    for _ in 0..JOBS {
        nodes[0].create_job(new_job(JobStatus::Pending)).await.unwrap();
    }
    let runner = NewRunner {
        description: "shared".to_owned(),
        token_sha256: Sha256::of(b"runner").0,
        projects: Reach::All,
        at: NOW,
    };
    let runner = accounts[0].create_runner(runner).await.unwrap().id;
    let mut tasks = JoinSet::new();
    for number in 0..8usize {
        let accounts = accounts[number % 2].clone();
        tasks.spawn(async move {
            let (mut taken, mut empty) = (Vec::new(), 0);
            // A job that another one is about to take is passed over: somebody who hears of none asks again.
            while empty < 3 {
                match accounts.take_pending_job(runner, None, [7; 32], NOW).await.unwrap() {
                    Some(job) => taken.push(job.job.id),
                    None => empty += 1,
                }
            }
            taken
        });
    }
    let mut taken: Vec<JobId> = tasks.join_all().await.into_iter().flatten().collect();
    taken.sort();
    assert_eq!(taken.len(), JOBS, "each once, none left");
    taken.dedup();
    assert_eq!(taken.len(), JOBS, "none twice");
}

/// Whichever comes first: a copy that was proven before is wanted again with its row, one that comes later finds another
/// version.
pub async fn after_a_rewind_no_copy_of_an_older_row_counts(nodes: &Databases, _: &AllAccounts) {
    for _ in 0..ROUNDS {
        let id = running(nodes[0].as_ref()).await;
        let sealed = seal(nodes[0].as_ref(), id, 0, &bytes("12345678"), NOW).await;
        let rewind = jobs::measured(nodes[1].as_ref(), id, jobs::rewind(&[0])).await;
        let to = object("copy");
        let (persisted, raised) =
            tokio::join!(nodes[0].persist(id, ChunkIndex(0), sealed.version, &to, NOW), nodes[1].rewind(id, &rewind));
        let (persisted, raised) = (persisted.unwrap(), raised.unwrap());
        assert!(persisted != raised, "one of them was first: persisted {persisted}, rewound {raised}");
        let row = row(nodes[0].as_ref(), id, 0).await.unwrap();
        assert_eq!(row.version, Version(2));
        match row.state {
            ChunkState::Persisted { .. } => assert!(persisted),
            ChunkState::Wanted { kept, .. } => assert!(raised && kept.is_none()),
            other => panic!("{other:?}"),
        }
    }
}

pub async fn a_record_of_the_epoch_before_a_rewind_is_not_written_after_it(nodes: &Databases, _: &AllAccounts) {
    for _ in 0..ROUNDS {
        let id = running(nodes[0].as_ref()).await;
        let record = bytes("12345678");
        let rewind = jobs::rewind(&[]);
        let (recorded, opened, raised) = tokio::join!(
            nodes[0].record(id, FIRST, ChunkIndex(0), FIRST, &record, Some(ChunkIndex(1)), NOW),
            nodes[0].open_chunk(id, FIRST, ChunkIndex(5), NOW),
            nodes[1].rewind(id, &rewind)
        );
        assert!(raised.unwrap(), "nothing that it was decided on has changed");
        // Whatever was answered, the rows say the same.
        let rows = nodes[1].chunks(id, ChunkIndex(0), 10).await.unwrap();
        let sealed = rows.iter().any(|row| row.index.0 == 0);
        assert_eq!(recorded.unwrap() == Recorded::Sealed(Version(1)), sealed);
        assert_eq!(rows.iter().any(|row| row.index.0 == 1), sealed);
        let ready = opened.unwrap() == veritail::store::database::RowOpened::Ready;
        assert_eq!(rows.iter().any(|row| row.index.0 == 5), ready);
        assert_eq!(job(nodes[0].as_ref(), id).await.epoch, SECOND);
    }
}

pub async fn of_an_ending_and_a_cancel_both_are_heard(nodes: &Databases, _: &AllAccounts) {
    for _ in 0..ROUNDS {
        let id = running(nodes[0].as_ref()).await;
        let ending = success();
        let (ended, canceled) = tokio::join!(nodes[0].end(id, &ending, NOW, None), nodes[1].cancel(id, NOW));
        assert_eq!(ended.unwrap().unwrap().state, TraceState::Closing);
        // It came first and waits for the runner, or too late and changed nothing.
        let status = canceled.unwrap().unwrap().status;
        assert_eq!(job(nodes[0].as_ref(), id).await.status, status);
        assert!(matches!(status, JobStatus::Running | JobStatus::Canceling));
    }
}

pub async fn a_mismatch_that_is_seen_by_many_at_once_is_counted_once(nodes: &Databases, _: &AllAccounts) {
    let id = running(nodes[0].as_ref()).await;
    for round in 1..=4u64 {
        let mut tasks = JoinSet::new();
        for number in 0..12 {
            let db = nodes[number % 2].clone();
            let mismatch = mismatches::mismatch(id, None);
            tasks.spawn(async move { db.open_mismatch(&mismatch, Basis::Nothing).await.unwrap() });
        }
        let opened = tasks.join_all().await;
        assert_eq!(opened.iter().filter(|opened| matches!(opened, Opened::New(_))).count(), 1, "{opened:?}");
        let (repaired, resent) = (mismatches::note("repaired"), mismatches::note("resent"));
        let (one, two) = tokio::join!(
            nodes[0].resolve_mismatches(id, None, Resolution::Repaired, &repaired, NOW),
            nodes[1].resolve_mismatches(id, None, Resolution::Resent, &resent, NOW)
        );
        assert_eq!(one.unwrap() + two.unwrap(), 1, "round {round}");
    }
}

pub async fn an_erased_trace_has_no_rows_whoever_wrote_at_that_moment(nodes: &Databases, _: &AllAccounts) {
    for _ in 0..ROUNDS {
        let id = running(nodes[0].as_ref()).await;
        let sealed = seal(nodes[0].as_ref(), id, 0, &bytes("12345678"), NOW).await;
        endings::close(nodes[0].as_ref(), id).await;
        let to = object("copy");
        let (persisted, erased) = tokio::join!(
            nodes[0].persist(id, ChunkIndex(0), sealed.version, &to, NOW),
            nodes[1].erase(id, "somebody", NOW, Timestamp(2_000))
        );
        persisted.unwrap();
        assert!(matches!(erased.unwrap(), Erased::Done(_)));
        assert_eq!(nodes[0].chunks(id, ChunkIndex(0), 10).await.unwrap(), []);
        assert!(!nodes[0].persist(id, ChunkIndex(0), sealed.version, &to, NOW).await.unwrap());
    }
}

pub async fn jobs_of_a_new_project_by_many_at_once_share_it(nodes: &Databases, _: &AllAccounts) {
    for round in 0..5 {
        let mut tasks = JoinSet::new();
        for number in 0..8 {
            let db = nodes[number % 2].clone();
            let new = NewJob { project_path: format!("group/{round}"), ..new_job(JobStatus::Running) };
            tasks.spawn(async move { db.create_job(new).await.unwrap().project });
        }
        let projects = tasks.join_all().await;
        assert!(projects.iter().all(|project| *project == projects[0]), "{projects:?}");
    }
}

/// A row names bytes at the moment at which they are removed as nobody's: it names none that are gone.
async fn bytes_are_named_or_removed(nodes: &Databases, kept: &dyn ObjectStore) {
    let (mut named, mut removed) = (0, 0);
    for round in 0..4 * ROUNDS {
        let id = running(nodes[0].as_ref()).await;
        let sealed = seal(nodes[0].as_ref(), id, 0, &bytes("12345678"), NOW).await;
        let to = spill(kept, &format!("{id}-{round}")).await;
        let (persisted, cleaned) = tokio::join!(
            nodes[0].persist(id, ChunkIndex(0), sealed.version, &to, NOW),
            nodes[1].remove_unnamed_bytes(Duration::ZERO)
        );
        cleaned.unwrap();
        let is_there = kept.get_whole(&to.object().key).await.unwrap().is_some();
        if persisted.unwrap() {
            assert!(is_there, "round {round}: a row names bytes that are gone");
            named += 1;
        } else {
            removed += 1;
        }
    }
    println!("named {named}, removed {removed}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn bytes_are_named_or_removed_on_sqlite() {
    let (folder, one) = sqlite::open().await;
    let two = sqlite::again(&folder).await;
    let bytes = one.chunk_bytes();
    bytes_are_named_or_removed(&[Arc::new(one), Arc::new(two)], &bytes).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn bytes_are_named_or_removed_on_postgres() {
    let (guard, one) = postgres::open().await;
    let two = guard.open().await;
    let bytes = one.chunk_bytes();
    bytes_are_named_or_removed(&[Arc::new(one), Arc::new(two)], &bytes).await;
}
