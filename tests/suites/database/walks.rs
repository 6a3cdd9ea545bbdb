//! What a page of a walk costs on a server: as much as there is on it, wherever it lies, and whatever is behind it.

use std::collections::BTreeSet;

use sqlx::Row as _;
use veritail::store::database::postgres::PostgresDatabase;
use veritail::store::database::verifications::{Place, Verifications};
use veritail::trace::DataStore;

use super::postgres::{JOBS, fill, open};
use super::*;
use crate::support::postgres_server::TestDatabase;

const PAGE: u32 = 50;
const PAGES: u64 = 3;

/// In the plans for given values and in those for any.
#[tokio::test]
async fn a_page_reads_what_is_on_it_and_no_more() {
    let (guard, db) = open().await;
    fill(&guard, &db).await;
    for mode in ["force_custom_plan", "force_generic_plan"] {
        guard.execute(format!("ALTER DATABASE {} SET plan_cache_mode = {mode}", guard.name())).await;
        // Ten chunks in a thousand have no copy, and are passed over.
        let (returned, read) = read_of("trace_chunks", &guard, walk_everywhere).await;
        assert!((returned..returned + 100).contains(&read), "{mode}: {returned} rows on all pages, {read} read");
        let (returned, read) = read_of("jobs", &guard, pass_jobs).await;
        assert!((returned..returned + 10).contains(&read), "{mode}: {returned} jobs on all pages, {read} read");
    }
}

/// What a node returned, and how many rows and entries of indexes were read of a table for it.
async fn read_of(table: &str, guard: &TestDatabase, walk: impl AsyncFn(&PostgresDatabase) -> i64) -> (i64, i64) {
    let before = rows_read(table, guard).await;
    let node = guard.open().await;
    let returned = walk(&node).await;
    // A connection tells what it did when it ends.
    node.close().await;
    let mut read = rows_read(table, guard).await - before;
    for _ in 0..200 {
        if read >= returned {
            break;
        }
        read = rows_read(table, guard).await - before;
    }
    (returned, read)
}

/// The jobs that some pages went past.
async fn pass_jobs(node: &PostgresDatabase) -> i64 {
    let mut seen = BTreeSet::new();
    for page in 0..PAGES {
        let from = JOBS / 2 + i64::try_from(page).unwrap() * i64::from(PAGE);
        let passed = node.passed_jobs(JobId(from), JobId(from + i64::from(PAGE))).await.unwrap();
        seen.extend(passed.into_iter().map(|(id, job)| (id, job.is_some())));
    }
    assert_eq!(seen.len() as u64, PAGES * u64::from(PAGE));
    i64::try_from(seen.len()).unwrap()
}

/// Some pages of each walk, from the middle on. Answers how many rows there were on them.
async fn walk_everywhere(node: &PostgresDatabase) -> i64 {
    let middle = JobId(JOBS / 2);
    let mut seen = BTreeSet::new();
    let mut at = Place { job: middle, index: ChunkIndex(3) };
    for _ in 0..PAGES {
        let page = node.kept_chunks(at, JobId(JOBS), PAGE).await.unwrap();
        let (job, row) = page.last().unwrap();
        at = Place { job: *job, index: row.index.next() };
        seen.extend(page.into_iter().map(|(job, row)| ("kept", job, row.index)));
    }
    let mut after = None;
    for _ in 0..PAGES {
        let page = node.persisted_since(Timestamp(middle.0), after, PAGE).await.unwrap();
        let (job, row) = page.last().unwrap();
        after = Some((row.persisted_at.unwrap(), Place { job: *job, index: row.index }));
        seen.extend(page.into_iter().map(|(job, row)| ("persisted", job, row.index)));
    }
    let mut after: Option<String> = None;
    for _ in 0..PAGES {
        let page = node.named(DataStore::ObjectStore, "traces/3/", after.as_deref(), PAGE).await.unwrap();
        after = page.last().map(|last| last.key.clone());
        seen.extend(page.into_iter().map(|named| ("named", named.place.job, named.place.index)));
    }
    assert_eq!(seen.len() as u64, 3 * PAGES * u64::from(PAGE), "no page repeats another");
    i64::try_from(seen.len()).unwrap()
}

/// How many rows and entries of indexes were read of a table, whichever way.
async fn rows_read(table: &str, guard: &TestDatabase) -> i64 {
    let mut connection = guard.server().connection(guard.name()).await;
    let row = sqlx::query(
        "SELECT (SELECT seq_tup_read FROM pg_stat_user_tables WHERE relname = $1)
              + (SELECT sum(idx_tup_read) FROM pg_stat_user_indexes WHERE relname = $1)::bigint",
    )
    .bind(table);
    row.fetch_one(&mut connection).await.unwrap().get(0)
}
