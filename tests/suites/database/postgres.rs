//! What only a server can show: nodes that start at once, a server that crashes, hangs or is newer, rights, plans.

#![allow(clippy::disallowed_methods, reason = "measures how long a real server is waited for")]

use std::sync::Arc;
use std::time::Duration;

use sqlx::{Connection as _, Row as _};
use tokio::task::JoinSet;
use veritail::store::StoreError;
use veritail::store::database::accounts::{Accounts, RunnerId, TokenId};
use veritail::store::database::listing::{JobFilter, Listing, Page, PageStart, ProjectFilter};
use veritail::store::database::postgres::{PostgresDatabase, Settings};
use veritail::store::database::verifications::Verifications as _;
use veritail::store::database::{Basis, Contact, Database, MismatchFilter, Opened, RowOpened};
use veritail::trace::{ChunkIndex, ChunkState, Offset, ProjectId};

use super::*;
use crate::support::postgres_server::{PostgresServer, TestDatabase, settings};

/// A new database on the shared server, which goes with the guard.
pub(super) async fn open() -> (TestDatabase, PostgresDatabase) {
    let guard = TestDatabase::new(&PostgresServer::shared()).await;
    let database = guard.open().await;
    (guard, database)
}

/// The same on the oldest release that will do.
pub(super) async fn open_on_the_oldest() -> (TestDatabase, PostgresDatabase) {
    let guard = TestDatabase::new(&PostgresServer::shared_oldest()).await;
    let database = guard.open().await;
    (guard, database)
}

#[tokio::test]
async fn the_oldest_release_is_14() {
    let (guard, _database) = open_on_the_oldest().await;
    let mut connection = guard.server().connection(guard.name()).await;
    let version: String = sqlx::query_scalar("SHOW server_version").fetch_one(&mut connection).await.unwrap();
    assert!(version.starts_with("14."), "{version}");
}

#[tokio::test(flavor = "multi_thread")]
async fn many_nodes_may_start_on_an_empty_database_at_the_same_moment() {
    let guard = Arc::new(TestDatabase::empty(&PostgresServer::shared()).await);
    let mut nodes = JoinSet::new();
    for _ in 0..8 {
        let guard = guard.clone();
        nodes.spawn(async move { running(&guard.open().await).await });
    }
    let mut ids = nodes.join_all().await;
    ids.sort();
    assert_eq!(ids, (1..=8).map(JobId).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_node_does_not_start_on_newer_tables_and_goes_on_if_it_runs() {
    let (guard, db) = open().await;
    let id = running(&db).await;
    // A newer version only adds.
    guard.execute("ALTER TABLE jobs ADD COLUMN of_a_newer_version TEXT NOT NULL DEFAULT 'x'").await;
    guard
        .execute(
            "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
             VALUES (9999, 'newer', true, '\\x00', 0)",
        )
        .await;
    let message = PostgresDatabase::connect(&guard.url(), settings()).await.err().unwrap().to_string();
    assert!(message.contains("9999") && message.contains("newer"), "{message}");
    seal(&db, id, 0, &bytes("12345678"), NOW).await;
    assert_eq!(job(&db, id).await.id, id);
    running(&db).await;
}

#[tokio::test]
async fn tables_that_were_changed_by_hand_are_noticed_at_the_start() {
    let (guard, _db) = open().await;
    guard.execute("UPDATE _sqlx_migrations SET checksum = '\\x00' WHERE version = 2").await;
    let opened = PostgresDatabase::connect(&guard.url(), settings()).await;
    assert!(matches!(opened, Err(StoreError::Unreadable { store: "database", .. })));
}

/// The owner makes the tables; the program afterwards runs with no more than the rights in the guide.
#[tokio::test]
async fn a_user_that_may_only_read_and_write_rows_is_enough() {
    let (guard, owner) = open().await;
    let role = format!("{}_app", guard.name());
    for sql in [
        format!("CREATE ROLE {role} LOGIN"),
        format!("GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {role}"),
        format!("REVOKE INSERT, UPDATE, DELETE ON _sqlx_migrations FROM {role}"),
        "REVOKE CREATE ON SCHEMA public FROM PUBLIC".to_owned(),
    ] {
        guard.execute(sql).await;
    }
    let url = guard.url().replace("postgres@", &format!("{role}@"));
    let db = PostgresDatabase::connect(&url, settings()).await.unwrap();
    let id = running(&db).await;
    let to = persist(&db, id, 0, &bytes("12345678")).await;
    endings::close(&db, id).await;
    db.erase(id, "somebody", NOW, NOW).await.unwrap();
    assert!(matches!(to, Location::Object(_)));
    db.open_mismatch(&mismatches::mismatch(id, None), Basis::Nothing).await.unwrap();
    drop((db, owner));
    guard.execute(format!("DROP OWNED BY {role}; DROP ROLE {role}")).await;
}

#[tokio::test]
async fn an_older_version_may_write_mismatches_beside_this_one() {
    let (guard, db) = open().await;
    assert_eq!(running(&db).await, JobId(1));
    guard.execute(mismatches::OF_AN_OLDER_VERSION).await;
    mismatches::reads_what_an_older_version_wrote(&db).await;
}

#[tokio::test]
async fn no_error_repeats_the_password() {
    let server = PostgresServer::shared();
    let nowhere = "127.0.0.1:1";
    let there = server.url("none");
    for (url, word) in [
        ("mysql://root:s3cret@localhost/veritail".to_owned(), "postgres://"),
        ("localhost:s3cret".to_owned(), "postgres://"),
        ("postgres://veritail:s3cret@[::1/veritail".to_owned(), "postgres://"),
        ("postgres://veritail:s3cret@localhost:port/veritail".to_owned(), "postgres://"),
        ("postgres://veritail:s3cret@localhost/veritail?sslmode=maybe".to_owned(), "maybe"),
        (format!("postgres://veritail:s3cret@{nowhere}/veritail"), "refused"),
        (there.replace("postgres@", "nobody:s3cret@"), "nobody"),
        (there.replace("postgres@", "postgres:s3cret@"), "none"),
    ] {
        let message = PostgresDatabase::connect(&url, settings()).await.err().unwrap().to_string();
        assert!(message.contains(word), "{url}: {message}");
        assert!(!message.contains("s3cret"), "{message}");
    }
}

#[tokio::test]
async fn a_row_that_no_version_wrote_is_unreadable() {
    let (guard, db) = open().await;
    let id = running(&db).await;
    guard.execute("ALTER TABLE jobs DROP CONSTRAINT jobs_epoch_check; UPDATE jobs SET epoch = -1").await;
    assert!(matches!(db.job(id).await, Err(StoreError::Unreadable { .. })));
    assert_eq!(db.passed_jobs(id, JobId(i64::MAX)).await.unwrap(), [(id, None)]);
}

/// What a server promises for a commit is what a live copy is released for.
#[tokio::test]
async fn commits_wait_for_the_disk_whatever_the_servers_default() {
    let guard = TestDatabase::new(&PostgresServer::shared()).await;
    guard.execute(format!("ALTER DATABASE {} SET synchronous_commit = off", guard.name())).await;
    guard.execute(format!("ALTER DATABASE {} SET default_transaction_isolation = 'serializable'", guard.name())).await;
    let db = guard.open().await;
    let mut seen = guard.server().connection(guard.name()).await;
    let told: String = sqlx::query_scalar("SHOW synchronous_commit").fetch_one(&mut seen).await.unwrap();
    assert_eq!(told, "off", "the default of others");
    // A trigger writes down what the node's own connection is set to.
    guard
        .execute(
            "CREATE FUNCTION told() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                 NEW.name := current_setting('synchronous_commit') || ' ' || current_setting('transaction_isolation');
                 RETURN NEW; END $$;
             CREATE TRIGGER told BEFORE INSERT ON jobs FOR EACH ROW EXECUTE FUNCTION told()",
        )
        .await;
    assert_eq!(db.create_job(new_job(JobStatus::Running)).await.unwrap().name, "on read committed");
}

#[tokio::test]
async fn after_a_crash_of_the_server_the_next_call_works() {
    let server = Arc::new(tokio::sync::Mutex::new(PostgresServer::start()));
    let url = {
        let server = server.lock().await;
        server.execute("postgres", "CREATE DATABASE crash".to_owned()).await;
        server.url("crash")
    };
    let db = PostgresDatabase::connect(&url, settings()).await.unwrap();
    let id = running(&db).await;
    // Several connections, all of which will be dead.
    let many = async || futures::future::join_all((0..6).map(|_| db.job(id))).await;
    assert!(many().await.iter().all(Result::is_ok));
    let sealed = seal(&db, id, 0, &bytes("12345678"), NOW).await;

    server.lock().await.restart();
    assert_eq!(db.job(id).await.unwrap().unwrap().id, id, "reading");
    assert!(many().await.iter().all(Result::is_ok));
    server.lock().await.restart();
    assert!(db.persist(id, ChunkIndex(0), sealed.version, &object("k"), NOW).await.unwrap(), "what is never repeated");
    assert!(many().await.iter().all(Result::is_ok));
    server.lock().await.restart();
    assert!(running(&db).await > id, "a transaction");

    server.lock().await.stop();
    assert!(matches!(db.job(id).await, Err(StoreError::Unavailable { store: "database", .. })));
    server.lock().await.restart();
    assert!(matches!(row(&db, id, 0).await.unwrap().state, ChunkState::Persisted { .. }));
}

/// A server that takes connections and says nothing: every call ends within its bound, and goes on when the server does.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_hangs_is_unavailable_within_a_bound() {
    let server = PostgresServer::start();
    server.execute("postgres", "CREATE DATABASE hang".to_owned()).await;
    let short = Settings {
        pool_size: 4,
        acquire_timeout: Duration::from_millis(500),
        statement_timeout: Duration::from_millis(1000),
    };
    let db = PostgresDatabase::connect(&server.url("hang"), short).await.unwrap();
    let id = running(&db).await;
    assert!(futures::future::join_all((0..4).map(|_| db.job(id))).await.iter().all(Result::is_ok));

    server.pause();
    let begun = std::time::Instant::now();
    let calls = (0..12).map(async |number| match number % 3 {
        0 => db.job(id).await.map(drop),
        1 => db.create_job(new_job(JobStatus::Running)).await.map(drop),
        _ => db.record(id, FIRST, ChunkIndex(0), FIRST, &bytes("12345678"), None, NOW).await.map(drop),
    });
    let answers = futures::future::join_all(calls).await;
    let took = begun.elapsed();
    for answer in answers {
        assert!(matches!(answer, Err(StoreError::Unavailable { store: "database", .. })), "{answer:?}");
    }
    assert!(took < Duration::from_secs(4), "a bound of 1.5 s, seen {took:?}");
    let begun = std::time::Instant::now();
    assert!(db.ping(Duration::from_millis(300)).await.is_err());
    assert!(begun.elapsed() < Duration::from_secs(2));

    server.resume();
    // What was given up may still be under way on the server for a moment.
    let mut answer = db.job(id).await;
    for _ in 0..20 {
        if answer.is_ok() {
            break;
        }
        answer = db.job(id).await;
    }
    assert_eq!(answer.unwrap().unwrap().id, id);
    running(&db).await;
}

/// A node that stops in the middle of a transaction holds up the others for so long and no longer.
#[tokio::test]
async fn a_lock_that_is_held_too_long_is_unavailable_and_nothing_is_changed() {
    let (guard, db) = open().await;
    let id = running(&db).await;
    let short = Settings { statement_timeout: Duration::from_millis(600), ..settings() };
    let other = PostgresDatabase::connect(&guard.url(), short).await.unwrap();
    let mut holder = guard.server().connection(guard.name()).await;
    let mut transaction = holder.begin().await.unwrap();
    sqlx::query("SELECT 1 FROM jobs FOR UPDATE").execute(&mut *transaction).await.unwrap();
    let late = other.rewind(id, &jobs::rewind(&[])).await;
    assert!(matches!(late, Err(StoreError::Unavailable { .. })), "{late:?}");
    assert!(other.job(id).await.unwrap().is_some(), "reading waits for nobody");
    transaction.rollback().await.unwrap();
    assert_eq!(job(&db, id).await.epoch, FIRST);
    assert!(other.rewind(id, &jobs::rewind(&[])).await.unwrap());
}

/// Whoever writes a chunk's row waits for a rewind of its trace that has begun, and is told by its outcome.
#[tokio::test(flavor = "multi_thread")]
async fn rows_are_not_written_beside_a_change_of_their_job() {
    let (guard, db) = open().await;
    let id = running(&db).await;
    let sealed = seal(&db, id, 0, &bytes("12345678"), NOW).await;
    let mut holder = guard.server().connection(guard.name()).await;
    let mut rewind = holder.begin().await.unwrap();
    sqlx::query("UPDATE jobs SET epoch = 2").execute(&mut *rewind).await.unwrap();
    let mut seen = guard.server().connection(guard.name()).await;
    let nobody_writes = async {
        const WAITING: &str = "SELECT count(*) FROM pg_stat_activity
                               WHERE datname = current_database() AND wait_event_type = 'Lock'";
        let mut waiting = 0;
        for _ in 0..2000 {
            waiting = sqlx::query_scalar::<_, i64>(WAITING).fetch_one(&mut seen).await.unwrap();
            if waiting == 4 {
                break;
            }
        }
        rewind.commit().await.unwrap();
        waiting
    };
    let (one, to, mismatch) = (bytes("12345678"), object("k"), mismatches::mismatch(id, None));
    let (waiting, recorded, opened, persisted, mismatch) = tokio::join!(
        nobody_writes,
        db.record(id, FIRST, ChunkIndex(1), FIRST, &one, Some(ChunkIndex(2)), NOW),
        db.open_chunk(id, FIRST, ChunkIndex(5), NOW),
        db.persist(id, ChunkIndex(0), sealed.version, &to, NOW),
        db.open_mismatch(&mismatch, Basis::Trace(FIRST)),
    );
    assert_eq!(waiting, 4, "all of them waited");
    assert_eq!((recorded.unwrap(), opened.unwrap()), (Recorded::Stale, RowOpened::Stale));
    assert!(persisted.unwrap(), "its row was left alone");
    assert_eq!(mismatch.unwrap(), Opened::Moved);
    assert_eq!(db.chunks(id, ChunkIndex(0), 10).await.unwrap().len(), 1);
}

/// The frequent statements find their rows by an index, in the plans for given values and the plans for any: on a table of
/// a size that makes a difference no table is read from end to end.
#[tokio::test]
async fn frequent_statements_read_no_table_from_end_to_end() {
    let (guard, db) = open().await;
    const JOBS: i64 = 20_000;
    db.create_job(new_job(JobStatus::Running)).await.unwrap();
    // One in a hundred is unfinished; of one in a thousand the chunks wait, and of another the copies lie in the database.
    guard
        .execute(format!(
            "INSERT INTO projects (path) SELECT 'group/' || n FROM generate_series(1, 500) AS n;
             INSERT INTO jobs (project_id, name, token_sha256, status, state, epoch, chunk_size, trace_limit, created_at,
                               last_contact_at, changed_at, ending_status, ending_origin, ended_at, closed_at)
             SELECT 1 + n % 500, 'rspec', decode(repeat('00', 32), 'hex'), CASE n % 100 WHEN 0 THEN 'running' ELSE 'success' END,
                    CASE n % 100 WHEN 0 THEN 'open' ELSE 'closed' END, 1, 8, 0, n, n, n,
                    CASE n % 100 WHEN 0 THEN NULL ELSE 'success' END, CASE n % 100 WHEN 0 THEN NULL ELSE 'runner' END,
                    CASE n % 100 WHEN 0 THEN NULL ELSE n END, CASE n % 100 WHEN 0 THEN NULL ELSE n END
             FROM generate_series(1, {JOBS}) AS n;
             INSERT INTO trace_chunks (job_id, chunk_index, epoch, version, state, size, crc32, sha256, data_store,
                                       object_key, stored_size, stored_sha256, opened_at, sealed_at, persisted_at)
             SELECT job, i, 1, 1, CASE job % 1000 WHEN 0 THEN 'sealed' ELSE 'persisted' END, 8, 1,
                    decode(repeat('00', 32), 'hex'),
                    CASE job % 1000 WHEN 0 THEN NULL WHEN 7 THEN 'database' ELSE 'object_store' END,
                    CASE job % 1000 WHEN 0 THEN NULL ELSE 'k' END, CASE job % 1000 WHEN 0 THEN NULL ELSE 8 END,
                    CASE job % 1000 WHEN 0 THEN NULL ELSE decode(repeat('00', 32), 'hex') END, job, job, job
             FROM generate_series(1, {JOBS}) AS job, generate_series(0, 9) AS i;
             ANALYZE"
        ))
        .await;
    let before = scans(&guard).await;
    let other = guard.open().await;
    // More often than it takes the server to think of a plan for any values.
    for turn in 0..12 {
        let id = JobId(100 * (turn + 1) + 1);
        let heard = (0..50).map(|more| Contact {
            job: JobId(id.0 + 100 * more),
            made_at: Timestamp(id.0 - 1 + 100 * more),
            acked_length: Offset(9),
            at: Timestamp(1 << 40),
        });
        other.note_contacts(&heard.collect::<Vec<_>>(), NOW).await.unwrap();
        assert_eq!(job(&other, id).await.acked_length, Offset(9), "the contacts are those of the jobs");
        let index = ChunkIndex(20);
        other.record(id, FIRST, index, FIRST, &bytes("12345678"), Some(index.next()), NOW).await.unwrap();
        let row = other.chunk(id, index).await.unwrap().unwrap();
        assert!(other.persist(id, index, row.version, &object("k"), NOW).await.unwrap());
        other.open_chunk(id, FIRST, ChunkIndex(30), NOW).await.unwrap();
        other.chunks(id, ChunkIndex(0), 5).await.unwrap();
        other.waiting(Timestamp(1 << 40), 10).await.unwrap();
        other.backlog().await.unwrap();
        other.spilled(10).await.unwrap();
        other.unfinished_jobs(JobId(turn * 10), 50).await.unwrap();
        other.changed_jobs(Timestamp(JOBS - 20), JobId(0), 50).await.unwrap();
        other.unfinished().await.unwrap();
        other.spill().await.unwrap();
        other.remove_unnamed_bytes(Duration::ZERO).await.unwrap();
        other.end(id, &success(), NOW, None).await.unwrap();
        other.open_mismatch(&mismatches::mismatch(id, Some(0)), Basis::Trace(FIRST)).await.unwrap();
        other.mismatches(MismatchFilter::default()).await.unwrap();
        other.due_deletions(Timestamp(1 << 40), 10).await.unwrap();
        other.take_pending_job(RunnerId(1), None, [0; 32], NOW).await.unwrap();
        for start in [PageStart::Skip(0), PageStart::Skip(20), PageStart::Behind(Some(5_000))] {
            let page = Page { start, size: 20, newest_first: turn % 2 == 0 };
            for statuses in [None, Some(vec![JobStatus::Running])] {
                let filter = JobFilter { project: ProjectId(7), statuses };
                Listing::jobs(&other, &filter, page).await.unwrap();
            }
            Listing::projects(&other, &ProjectFilter::default(), page).await.unwrap();
        }
        other.token([0; 32]).await.unwrap();
        other.tokens(TokenId(0), 10).await.unwrap();
    }
    // A connection tells what it did when it ends.
    other.close().await;
    let mut after = scans(&guard).await;
    for _ in 0..200 {
        if after.1 > before.1 + 100 {
            break;
        }
        after = scans(&guard).await;
    }
    assert!(after.1 > before.1 + 100, "the server has counted");
    assert_eq!(after.0, before.0, "scans of jobs and chunks from end to end");
}

/// How many jobs [`fill`] makes, with ten chunks each; a job's number is also the moment of all that befell it.
pub(super) const JOBS: i64 = 10_000;

/// Fills the tables to a size that makes a difference.
pub(super) async fn fill(guard: &TestDatabase, db: &PostgresDatabase) {
    db.create_job(new_job(JobStatus::Running)).await.unwrap();
    // One in a hundred is unfinished, and one chunk in a thousand waits.
    guard
        .execute(format!(
            "INSERT INTO projects (path) SELECT 'group/' || n FROM generate_series(1, 500) AS n;
             INSERT INTO jobs (project_id, name, token_sha256, status, state, epoch, chunk_size, trace_limit, created_at,
                               last_contact_at, changed_at, ending_status, ending_origin, ended_at, closed_at)
             SELECT 1 + n % 500, 'rspec', decode(repeat('00', 32), 'hex'), CASE n % 100 WHEN 0 THEN 'running' ELSE 'success' END,
                    CASE n % 100 WHEN 0 THEN 'open' ELSE 'closed' END, 1, 8, 0, n, n, n,
                    CASE n % 100 WHEN 0 THEN NULL ELSE 'success' END, CASE n % 100 WHEN 0 THEN NULL ELSE 'runner' END,
                    CASE n % 100 WHEN 0 THEN NULL ELSE n END, CASE n % 100 WHEN 0 THEN NULL ELSE n END
             FROM generate_series(1, {JOBS}) AS n;
             INSERT INTO trace_chunks (job_id, chunk_index, epoch, version, state, size, crc32, sha256, data_store,
                                       object_key, stored_size, stored_sha256, opened_at, sealed_at, persisted_at)
             SELECT job, i, 1, 1, CASE job % 1000 WHEN 0 THEN 'sealed' ELSE 'persisted' END, 8, 1,
                    decode(repeat('00', 32), 'hex'), CASE job % 1000 WHEN 0 THEN NULL ELSE 'object_store' END,
                    CASE job % 1000 WHEN 0 THEN NULL ELSE format('traces/%s/%s/%s', job % 7, job, i) END, CASE job % 1000 WHEN 0 THEN NULL ELSE 8 END,
                    CASE job % 1000 WHEN 0 THEN NULL ELSE decode(repeat('00', 32), 'hex') END, job, job, job
             FROM generate_series(1, {JOBS}) AS job, generate_series(0, 9) AS i;
             ANALYZE"
        ))
        .await;
}

/// How often the tables of jobs and chunks were read from end to end, and by an index.
async fn scans(guard: &TestDatabase) -> (i64, i64) {
    let mut connection = guard.server().connection(guard.name()).await;
    let row = sqlx::query(
        "SELECT sum(seq_scan)::bigint, sum(idx_scan)::bigint FROM pg_stat_user_tables
         WHERE relname IN ('jobs', 'trace_chunks')",
    );
    let row = row.fetch_one(&mut connection).await.unwrap();
    (row.get(0), row.get(1))
}
