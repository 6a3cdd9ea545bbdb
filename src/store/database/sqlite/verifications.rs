//! What the verifier remembers: its runs, how far its walks are, and the rows to look at.

use async_trait::async_trait;
use sqlx::query::Query;
use sqlx::sqlite::{SqliteArguments, SqliteConnection, SqliteRow};

use super::SqliteDatabase;
use super::errors::failed;
use crate::store::database::pages::end_of;
use crate::store::database::rows::verifications::{
    self as statements, CLOCKS_DIFFER_MAX, REMOVED_MAX, behind, read_chunk, read_cursor, read_goes_on, read_named,
    read_passed, read_place, read_run,
};
use crate::store::database::rows::{number, readable, stored, to_json};
use crate::store::database::verifications::{
    Cursor, Named, NewRun, Place, Run, RunEnd, RunFilter, RunId, Verifications,
};
use crate::store::database::{Job, NAME};
use crate::store::{Result, StoreError};
use crate::trace::{ChunkRow, DataStore, JobId, RunState, Schedule, Tally, Timestamp};

type Statement = Query<'static, sqlx::Sqlite, SqliteArguments>;

/// All rows are taken: a change that is given up before its end is rolled back.
async fn rows(connection: &mut SqliteConnection, statement: Statement) -> Result<Vec<SqliteRow>> {
    statement.fetch_all(connection).await.map_err(failed)
}

async fn the_row(connection: &mut SqliteConnection, statement: Statement) -> Result<SqliteRow> {
    let row = rows(connection, statement).await?.into_iter().next();
    row.ok_or_else(|| StoreError::unreadable(NAME, "no row where there is always one"))
}

async fn changes(database: &SqliteDatabase, statement: Statement) -> Result<u64> {
    Ok(statement.execute(&mut *database.writing().await?).await.map_err(failed)?.rows_affected())
}

/// The arguments of a cursor, all but its version.
fn bind_cursor(statement: Statement, cursor: &Cursor) -> Result<Statement> {
    let chunks = cursor.previous.map(|cycle| stored(cycle.chunks)).transpose()?;
    Ok(statement
        .bind(cursor.shard.clone())
        .bind(cursor.from.0)
        .bind(cursor.to.0)
        .bind(cursor.at.job.0)
        .bind(cursor.at.index.0)
        .bind(cursor.started_at.0)
        .bind(to_json(&cursor.tally)?)
        .bind(cursor.run.0)
        .bind(cursor.previous.map(|cycle| cycle.started_at.0))
        .bind(cursor.previous.map(|cycle| cycle.ended_at.0))
        .bind(chunks))
}

/// Ends a run.
fn bind_end(run: RunId, state: RunState, message: Option<&str>, tally: &Tally, at: Timestamp) -> Result<Statement> {
    Ok(sqlx::query(statements::END_RUN)
        .bind(run.0)
        .bind(state.as_str())
        .bind(message.map(str::to_owned))
        .bind(to_json(tally)?)
        .bind(at.0))
}

#[async_trait]
impl Verifications for SqliteDatabase {
    async fn begin_run(&self, new: &NewRun) -> Result<Run> {
        let begin = sqlx::query(statements::BEGIN_RUN)
            .bind(new.schedule.as_str())
            .bind(new.scope.clone())
            .bind(new.node.clone())
            .bind(new.expected.map(stored).transpose()?)
            .bind(to_json(&Tally::default())?)
            .bind(new.at.0);
        read_run(&the_row(&mut *self.writing().await?, begin).await?)
    }

    async fn note_progress(&self, run: RunId, tally: &Tally, at: Timestamp) -> Result<bool> {
        let note = sqlx::query(statements::NOTE_PROGRESS).bind(run.0).bind(to_json(tally)?).bind(at.0);
        read_goes_on(rows(&mut *self.writing().await?, note).await?.first())
    }

    async fn end_run(
        &self,
        run: RunId,
        state: RunState,
        message: Option<&str>,
        tally: &Tally,
        at: Timestamp,
    ) -> Result<()> {
        changes(self, bind_end(run, state, message, tally, at)?).await.map(drop)
    }

    async fn ask_to_stop(&self, run: RunId, by: &str) -> Result<Option<Run>> {
        changes(self, sqlx::query(statements::ASK_TO_STOP).bind(run.0).bind(by.to_owned())).await?;
        self.run(run).await
    }

    async fn run(&self, run: RunId) -> Result<Option<Run>> {
        let rows = rows(&mut *self.reader().await?, sqlx::query(statements::RUN).bind(run.0)).await?;
        rows.first().map(read_run).transpose()
    }

    async fn runs(&self, filter: RunFilter) -> Result<Vec<Run>> {
        let list = sqlx::query(statements::runs(&filter))
            .bind(filter.schedule.map(Schedule::as_str))
            .bind(filter.state.map(RunState::as_str))
            .bind(filter.before.map_or(i64::MAX, |before| before.0))
            .bind(filter.limit_or_default());
        rows(&mut *self.reader().await?, list).await?.iter().map(read_run).collect()
    }

    async fn end_silent_runs(&self, silent_since: Timestamp, message: &str, at: Timestamp) -> Result<u64> {
        let end = sqlx::query(statements::END_SILENT_RUNS).bind(silent_since.0).bind(message.to_owned()).bind(at.0);
        changes(self, end).await
    }

    async fn remove_runs(&self, before: Timestamp) -> Result<u64> {
        changes(self, sqlx::query(statements::REMOVE_RUNS).bind(before.0).bind(REMOVED_MAX)).await
    }

    async fn cursors(&self) -> Result<Vec<Cursor>> {
        rows(&mut *self.reader().await?, sqlx::query(statements::CURSORS)).await?.iter().map(read_cursor).collect()
    }

    async fn first_cursor(&self, cursor: &Cursor) -> Result<Cursor> {
        let first = bind_cursor(sqlx::query(statements::FIRST_CURSOR), cursor)?;
        read_cursor(&the_row(&mut *self.writing().await?, first).await?)
    }

    async fn save_cursor(&self, cursor: &Cursor) -> Result<bool> {
        let save = bind_cursor(sqlx::query(statements::SAVE_CURSOR), cursor)?.bind(cursor.version.0);
        Ok(changes(self, save).await? == 1)
    }

    async fn next_cycle(&self, next: &Cursor, ended: &RunEnd) -> Result<bool> {
        let save = bind_cursor(sqlx::query(statements::SAVE_CURSOR), next)?.bind(next.version.0);
        let end = bind_end(ended.run, ended.state, None, &ended.tally, ended.at)?;
        let mut transaction = self.begin().await?;
        if save.execute(&mut *transaction).await.map_err(failed)?.rows_affected() != 1 {
            return Ok(false);
        }
        end.execute(&mut *transaction).await.map_err(failed)?;
        transaction.commit().await.map_err(failed)?;
        Ok(true)
    }

    async fn passed_jobs(&self, from: JobId, to: JobId) -> Result<Vec<(JobId, Option<Job>)>> {
        let passed = sqlx::query(statements::PASSED_JOBS).bind(from.0).bind(to.0);
        rows(&mut *self.reader().await?, passed).await?.iter().map(read_passed).collect()
    }

    async fn kept_chunks(&self, at: Place, to: JobId, limit: u32) -> Result<Vec<(JobId, ChunkRow)>> {
        let page = sqlx::query(statements::KEPT_CHUNKS).bind(at.job.0).bind(at.index.0).bind(to.0).bind(limit);
        rows(&mut *self.reader().await?, page).await?.iter().map(read_chunk).collect()
    }

    async fn kept_places(&self, at: Place, to: JobId, limit: u32) -> Result<Vec<Place>> {
        let page = sqlx::query(statements::KEPT_PLACES).bind(at.job.0).bind(at.index.0).bind(to.0).bind(limit);
        rows(&mut *self.reader().await?, page).await?.iter().map(read_place).collect()
    }

    async fn persisted_since(
        &self,
        since: Timestamp,
        after: Option<(Timestamp, Place)>,
        limit: u32,
    ) -> Result<Vec<(JobId, ChunkRow)>> {
        let (moment, Place { job, index }) = behind(since, after);
        let page = sqlx::query(statements::PERSISTED_SINCE).bind(moment.0).bind(job.0).bind(index.0).bind(limit);
        Ok(readable(&rows(&mut *self.reader().await?, page).await?, read_chunk))
    }

    async fn named(&self, store: DataStore, prefix: &str, after: Option<&str>, limit: u32) -> Result<Vec<Named>> {
        let page = sqlx::query(statements::NAMED)
            .bind(store.as_str())
            .bind(after.unwrap_or_default().max(prefix).to_owned())
            .bind(end_of(prefix))
            .bind(limit);
        rows(&mut *self.reader().await?, page).await?.iter().map(read_named).collect()
    }

    async fn newest_job(&self) -> Result<JobId> {
        number(&the_row(&mut *self.reader().await?, sqlx::query(statements::NEWEST_JOB)).await?, "id").map(JobId)
    }

    async fn first_job_since(&self, since: Timestamp) -> Result<JobId> {
        let first = sqlx::query(statements::FIRST_JOB_SINCE).bind(since.0).bind(CLOCKS_DIFFER_MAX);
        number(&the_row(&mut *self.reader().await?, first).await?, "id").map(JobId)
    }
}

#[cfg(test)]
mod tests {
    use sqlx::{AssertSqlSafe, Row as _};

    use super::*;

    /// With a billion rows a page must cost no more than with a hundred.
    #[tokio::test]
    async fn every_page_is_a_range_of_an_index_and_nothing_is_sorted() {
        let folder = tempfile::tempdir().unwrap();
        let database = SqliteDatabase::open(&folder.path().join("veritail.db")).await.unwrap();
        for (statement, ranges) in [
            (statements::KEPT_CHUNKS, vec!["trace_chunks USING PRIMARY KEY ((job_id,chunk_index)>(?,?) AND job_id<?)"]),
            (
                statements::PASSED_JOBS,
                vec![
                    "jobs USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)",
                    "projects USING INTEGER PRIMARY KEY (rowid=?)",
                ],
            ),
            (
                statements::PERSISTED_SINCE,
                vec!["trace_chunks USING INDEX trace_chunks_persisted ((persisted_at,job_id,chunk_index)>(?,?,?))"],
            ),
            (
                statements::NAMED,
                vec!["trace_chunks USING INDEX trace_chunks_named (data_store=? AND object_key>? AND object_key<?)"],
            ),
            (
                statements::FIRST_JOB_SINCE,
                vec![
                    "jobs USING COVERING INDEX jobs_created (created_at>? AND created_at<?)",
                    "jobs USING COVERING INDEX jobs_created (created_at>?)",
                    "first",
                    "jobs",
                ],
            ),
        ] {
            let explain = AssertSqlSafe(format!("EXPLAIN QUERY PLAN {statement}"));
            let steps = sqlx::query(explain).fetch_all(&database.readers).await.unwrap();
            let steps: Vec<String> = steps.iter().map(|step| step.get("detail")).collect();
            let searches: Vec<&str> = steps.iter().filter_map(|step| step.strip_prefix("SEARCH ")).collect();
            assert_eq!(searches, ranges, "{statement}");
            let reads_all = |step: &&String| step.starts_with("SCAN ") && *step != "SCAN CONSTANT ROW";
            assert_eq!(steps.iter().find(reads_all), None, "{statement}");
            assert_eq!(steps.iter().find(|step| step.contains("TEMP B-TREE")), None, "{statement}");
        }
    }
}
