//! What only a database in a file can show.

use std::path::PathBuf;

use sqlx::SqlitePool;
use tokio::task::JoinSet;
use veritail::store::StoreError;
use veritail::store::database::sqlite::SqliteDatabase;
use veritail::store::database::verifications::{Named, Place, Verifications as _};
use veritail::store::database::{Basis, Database};
use veritail::trace::{ChunkIndex, DataStore, TraceState};

use super::*;

/// A new database in a folder that goes with the guard.
pub(super) async fn open() -> (tempfile::TempDir, SqliteDatabase) {
    let folder = tempfile::tempdir().unwrap();
    let database = SqliteDatabase::open(&file(&folder)).await.unwrap();
    (folder, database)
}

/// Another node on the same file.
pub(super) async fn again(folder: &tempfile::TempDir) -> SqliteDatabase {
    SqliteDatabase::open(&file(folder)).await.unwrap()
}

fn file(folder: &tempfile::TempDir) -> PathBuf {
    folder.path().join("veritail.db")
}

#[tokio::test]
async fn a_file_that_is_opened_again_has_everything() {
    let (folder, db) = open().await;
    let id = running(&db).await;
    persist(&db, id, 0, &bytes("12345678")).await;
    seal(&db, id, 1, &bytes("12345678"), NOW).await;
    db.end(id, &success(), NOW, Some(true)).await.unwrap();
    db.open_mismatch(&mismatches::mismatch(id, None), Basis::Nothing).await.unwrap();
    let before = everything(&db).await;
    db.close().await;
    let db = SqliteDatabase::open(&file(&folder)).await.unwrap();
    assert_eq!(everything(&db).await, before);
    assert!(db.create_job(new_job(JobStatus::Running)).await.unwrap().id > id);
}

async fn everything(db: &dyn Database) -> String {
    let mut all = String::new();
    for job in db.changed_jobs(Timestamp(0), JobId(0), 100).await.unwrap() {
        let rows = db.chunks(job.id, ChunkIndex(0), 100).await.unwrap();
        all += &format!("{job:?} {rows:?}\n");
    }
    all + &format!("{:?}", db.mismatches(Default::default()).await.unwrap())
}

#[tokio::test]
async fn two_nodes_on_one_file_see_each_other() {
    let (folder, one) = open().await;
    let two = again(&folder).await;
    let id = running(&one).await;
    assert_eq!(job(&two, id).await, job(&one, id).await);
    assert!(two.rewind(id, &jobs::measured(&two, id, jobs::rewind(&[])).await).await.unwrap());
    assert!(!one.mark_installed(id, FIRST).await.unwrap());
    assert_eq!(job(&one, id).await.epoch, SECOND);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_nodes_may_open_a_new_file_at_the_same_moment() {
    let folder = tempfile::tempdir().unwrap();
    let mut nodes = JoinSet::new();
    for _ in 0..8 {
        let path = file(&folder);
        nodes.spawn(async move {
            let db = SqliteDatabase::open(&path).await.unwrap();
            running(&db).await
        });
    }
    let mut ids = nodes.join_all().await;
    ids.sort();
    assert_eq!(ids, (1..=8).map(JobId).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_file_that_is_no_database_is_unreadable() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(file(&folder), "something else, long enough to be looked at ".repeat(100)).unwrap();
    let opened = SqliteDatabase::open(&file(&folder)).await;
    assert!(matches!(opened, Err(StoreError::Unreadable { store: "database", .. })));
}

#[tokio::test]
async fn a_folder_that_is_not_there_is_unavailable() {
    let folder = tempfile::tempdir().unwrap();
    let opened = SqliteDatabase::open(&folder.path().join("none/veritail.db")).await;
    assert!(matches!(opened, Err(StoreError::Unavailable { store: "database", .. })));
}

#[tokio::test]
async fn a_row_that_no_version_wrote_is_unreadable() {
    let (folder, db) = open().await;
    let id = running(&db).await;
    persist(&db, id, 0, &bytes("12345678")).await;
    // The checks would refuse it, so they are switched off, as damage does.
    change(&folder, "UPDATE trace_chunks SET state = 'gone'").await;
    assert!(matches!(db.chunk(id, ChunkIndex(0)).await, Err(StoreError::Unreadable { .. })));
    let named = db.named(DataStore::ObjectStore, "", None, 9).await.unwrap();
    let place = Place { job: id, index: ChunkIndex(0) };
    assert_eq!(named, [Named { key: format!("{id}-0"), place, row: None }]);
    change(&folder, "UPDATE jobs SET chunk_size = 0").await;
    assert!(matches!(db.job(id).await, Err(StoreError::Unreadable { .. })));
    change(&folder, "UPDATE jobs SET chunk_size = 8, epoch = -1").await;
    assert!(matches!(db.job(id).await, Err(StoreError::Unreadable { .. })));
    assert_eq!(db.passed_jobs(id, JobId(i64::MAX)).await.unwrap(), [(id, None)]);
}

#[tokio::test]
async fn an_erased_job_takes_no_copy() {
    let (folder, db) = open().await;
    let id = running(&db).await;
    let sealed = seal(&db, id, 0, &bytes("12345678"), NOW).await;
    change(&folder, "UPDATE jobs SET state = 'erased'").await;
    assert_eq!(job(&db, id).await.state, TraceState::Erased);
    assert!(!db.persist(id, ChunkIndex(0), sealed.version, &object("k"), NOW).await.unwrap());
}

/// Changes the file behind the database's back.
pub(super) async fn change(folder: &tempfile::TempDir, sql: &'static str) {
    let options =
        sqlx::sqlite::SqliteConnectOptions::new().filename(file(folder)).pragma("ignore_check_constraints", "on");
    let pool = sqlx::sqlite::SqlitePoolOptions::new().max_connections(1).connect_with(options).await.unwrap();
    sqlx::query(sql).execute(&pool).await.unwrap();
    pool.close().await;
}

/// A database of before it was kept: what ran began when it was made, as far as is known.
#[tokio::test]
async fn jobs_of_before_have_a_beginning_if_they_ran() {
    let (folder, database) = open().await;
    let ran = running(&database).await;
    let waits = database.create_job(new_job(JobStatus::Pending)).await.unwrap().id;
    let never_ran = database.create_job(new_job(JobStatus::Pending)).await.unwrap().id;
    database.cancel(never_ran, NOW).await.unwrap();
    drop(database);
    change(&folder, "ALTER TABLE jobs DROP COLUMN started_at").await;
    change(&folder, "DELETE FROM _sqlx_migrations WHERE version = 5").await;
    let database = SqliteDatabase::open(&folder.path().join("veritail.db")).await.unwrap();
    for (job, started) in [(ran, Some(NOW)), (waits, None), (never_ran, None)] {
        assert_eq!(database.job(job).await.unwrap().unwrap().started_at, started);
    }
}

#[tokio::test]
async fn an_older_version_may_write_mismatches_beside_this_one() {
    let (folder, db) = open().await;
    assert_eq!(running(&db).await, JobId(1));
    let older = SqlitePool::connect(&format!("sqlite:{}", file(&folder).display())).await.unwrap();
    sqlx::raw_sql(mismatches::OF_AN_OLDER_VERSION).execute(&older).await.unwrap();
    mismatches::reads_what_an_older_version_wrote(&db).await;
}
