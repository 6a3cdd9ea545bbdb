//! Nodes of an earlier version work on while others are replaced: tables only grow, and what those nodes say still holds.

use sqlx::{AssertSqlSafe, Executor as _};
use veritail::store::database::accounts::{Accounts, RunnerId};
use veritail::trace::{TraceState, Verdict};

use super::*;
use crate::support::postgres_server::{PostgresServer, TestDatabase};

/// Those of PostgreSQL: SQLite has one node, which is stopped before the next one starts.
const FOLDER: &str = "migrations/postgres";

/// What the server heard from a node of table version 7, as its log had it: every statement that the node knows, and the
/// lives of six jobs. One that ended well, one that was rewound, one that was erased after it had spilled, one that was
/// canceled, one that still runs, and one whose object was lost; then a runner, and a job that it took.
const LEVEL_7: &str = include_str!("level_7.sql");

struct Migration {
    path: String,
    /// The tables and the columns that it makes: nobody else knows them yet.
    makes: Vec<String>,
    adds: Vec<String>,
    statements: Vec<String>,
}

fn migrations() -> Vec<Migration> {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(FOLDER);
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).collect();
    files.sort();
    assert!(files.len() >= 7, "the migrations are found");
    files.iter().map(|path| read(&path.display().to_string(), &std::fs::read_to_string(path).unwrap())).collect()
}

fn read(path: &str, text: &str) -> Migration {
    let code: Vec<&str> = text.lines().map(|line| line.split("--").next().unwrap_or_default()).collect();
    let code = code.join(" ").to_uppercase();
    let statements: Vec<String> = code
        .split(';')
        .map(|statement| statement.split_whitespace().collect::<Vec<_>>().join(" "))
        .filter(|statement| !statement.is_empty())
        .collect();
    let makes = statements.iter().filter_map(|statement| statement.strip_prefix("CREATE TABLE "));
    let makes = makes.map(|rest| rest.split([' ', '(']).next().unwrap_or_default().to_owned()).collect();
    let adds = statements.iter().filter_map(|statement| statement.split_once(" ADD COLUMN "));
    let adds = adds.map(|(_, rest)| rest.split(' ').next().unwrap_or_default().to_owned()).collect();
    Migration { path: path.to_owned(), makes, adds, statements }
}

/// Why nodes that do not know of a statement could not go on beside it.
fn hurts(migration: &Migration, statement: &str) -> Option<&'static str> {
    let words: Vec<&str> = statement.split([' ', '(']).collect();
    let is_own = |table: &str| migration.makes.iter().any(|made| made == table);
    let after = |word: &str| words.iter().position(|other| *other == word).and_then(|at| words.get(at + 1)).copied();
    match words.as_slice() {
        ["CREATE", "TABLE", ..] | ["CREATE", "INDEX", ..] => None,
        ["CREATE", "UNIQUE", "INDEX", ..] => {
            (!after("ON").is_some_and(is_own)).then_some("they may write what a new unique index refuses")
        }
        ["ALTER", "TABLE", table, ..] if is_own(table) => None,
        // Filling a column that is new, and that column alone.
        ["UPDATE", _, "SET", column, "=", ..] if migration.adds.iter().any(|added| added == column) => {
            let set = statement.split(" WHERE ").next().unwrap_or_default();
            set.contains(',').then_some("only columns that are new may be filled")
        }
        ["ALTER", "TABLE", _, "ADD", "COLUMN", ..] => {
            let must = statement.contains(" NOT NULL") && !statement.contains(" DEFAULT ");
            let alone = statement.contains(" UNIQUE") || statement.contains(" PRIMARY KEY");
            let more = statement.matches(" ADD ").count() > 1
                || [" DROP ", " RENAME ", " ALTER COLUMN "].iter().any(|word| statement.contains(word));
            (must || alone || more)
                .then_some("they do not fill a new column: let it be NULL or have a default, one a statement")
        }
        _ => Some("only tables, indexes and columns may be added"),
    }
}

#[test]
fn migrations_only_add() {
    for migration in migrations() {
        for statement in &migration.statements {
            assert_eq!(hurts(&migration, statement), None, "{}: {statement}", migration.path);
        }
    }
}

#[test]
fn a_migration_that_older_nodes_cannot_live_with_is_known() {
    for wrong in [
        "ALTER TABLE jobs DROP COLUMN name",
        "ALTER TABLE jobs RENAME COLUMN name TO title",
        "ALTER TABLE jobs RENAME TO builds",
        "ALTER TABLE jobs ALTER COLUMN size TYPE INTEGER",
        "ALTER TABLE jobs ALTER COLUMN size SET NOT NULL",
        "ALTER TABLE jobs ADD CONSTRAINT sized CHECK (size >= 1)",
        "ALTER TABLE jobs ADD COLUMN stage TEXT NOT NULL",
        "ALTER TABLE jobs ADD COLUMN stage TEXT UNIQUE",
        "CREATE UNIQUE INDEX jobs_name ON jobs (name)",
        "ALTER TABLE jobs ADD COLUMN stage TEXT, DROP COLUMN name",
        "DROP TABLE leases",
        "DROP INDEX jobs_changed",
        "UPDATE jobs SET verdict = 'pending'",
        "CREATE TRIGGER named BEFORE INSERT ON jobs BEGIN SELECT 1; END",
    ] {
        let migration = read("wrong", wrong);
        assert!(migration.statements.iter().any(|statement| hurts(&migration, statement).is_some()), "{wrong}");
    }
    let right = read(
        "right",
        "CREATE TABLE a (b TEXT NOT NULL); CREATE UNIQUE INDEX c ON a (b); ALTER TABLE a ALTER b SET STORAGE EXTERNAL;
                               ALTER TABLE jobs ADD COLUMN d TEXT NOT NULL DEFAULT 'e'; CREATE INDEX f ON jobs (d);
                               UPDATE jobs SET d = 'g' WHERE name IN ('h', 'i')",
    );
    assert!(right.statements.iter().all(|statement| hurts(&right, statement).is_none()));
}

/// On the tables of this version; and this version reads what came of it.
#[tokio::test]
async fn what_nodes_of_table_version_7_say_still_holds() {
    let guard = TestDatabase::new(&PostgresServer::shared()).await;
    let mut node = guard.server().connection(guard.name()).await;
    let mut said = 0;
    for statement in LEVEL_7.lines().filter(|line| !line.starts_with("--")) {
        node.execute(AssertSqlSafe(statement)).await.unwrap_or_else(|error| panic!("{statement}: {error}"));
        said += 1;
    }
    assert!(said > 100, "its statements are found");

    let db = guard.open().await;
    let ended = async |number: i64| {
        let job = job(&db, JobId(number)).await;
        (job.state, job.verdict, job.epoch)
    };
    assert_eq!(ended(1).await, (TraceState::Closed, Verdict::Verified, FIRST));
    assert_eq!(ended(2).await, (TraceState::Closed, Verdict::Verified, SECOND));
    assert_eq!(ended(3).await, (TraceState::Erased, Verdict::Erased, SECOND));
    assert_eq!(job(&db, JobId(4)).await.status, JobStatus::Canceling);
    assert_eq!(job(&db, JobId(5)).await.acked_length.0, 5000);
    assert_eq!(db.chunks(JobId(1), ChunkIndex(0), 10).await.unwrap().len(), 3);
    assert_eq!(db.corrupt_traces().await.unwrap().by_kind.len(), 1, "the lost object of job 6");
    assert_eq!(job(&db, JobId(7)).await.status, JobStatus::Running);
    assert!(db.runners(RunnerId(0), 10).await.unwrap().iter().any(|runner| runner.description == "builder"));
    // It goes on with what the other left open.
    let next = db.open_chunk(JobId(5), FIRST, ChunkIndex(9), NOW).await.unwrap();
    assert_eq!(next, veritail::store::database::RowOpened::Ready);
}
