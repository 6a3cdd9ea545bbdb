//! What the verifier remembers: its runs, how far its walks are, and the rows to look at.

use async_trait::async_trait;
use sqlx::Arguments as _;
use sqlx::postgres::{PgArguments, PgConnection, PgRow};

use super::PostgresDatabase;
use super::calls::{Repeat, Step, Work, arguments};
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

impl PostgresDatabase {
    /// The row of a statement that always answers one.
    pub(super) async fn the_row(&self, repeat: Repeat, sql: &'static str, arguments: PgArguments) -> Result<PgRow> {
        let row = self.row(repeat, sql, arguments).await?;
        row.ok_or_else(|| StoreError::unreadable(NAME, "no row where there is always one"))
    }
}

/// The arguments of a cursor, all but its version.
fn of_cursor(cursor: &Cursor) -> Result<PgArguments> {
    Ok(arguments![
        &cursor.shard,
        cursor.from.0,
        cursor.to.0,
        cursor.at.job.0,
        i64::from(cursor.at.index.0),
        cursor.started_at.0,
        to_json(&cursor.tally)?,
        cursor.run.0,
        cursor.previous.map(|cycle| cycle.started_at.0),
        cursor.previous.map(|cycle| cycle.ended_at.0),
        cursor.previous.map(|cycle| stored(cycle.chunks)).transpose()?,
    ])
}

/// Those of a cursor to be saved.
fn to_save(cursor: &Cursor) -> Result<PgArguments> {
    let mut arguments = of_cursor(cursor)?;
    arguments.add(cursor.version.0).map_err(|error| StoreError::unreadable(NAME, error))?;
    Ok(arguments)
}

struct NextCycle<'a> {
    next: &'a Cursor,
    ended: &'a RunEnd,
}

#[async_trait]
impl Work for NextCycle<'_> {
    type Answer = Option<()>;

    async fn on(&self, connection: &mut PgConnection) -> Step<Option<()>> {
        let Self { next, ended } = *self;
        let saved = sqlx::query_with(statements::SAVE_CURSOR, to_save(next)?).execute(&mut *connection).await?;
        if saved.rows_affected() != 1 {
            return Ok(None);
        }
        let end = arguments![ended.run.0, ended.state.as_str(), None::<&str>, to_json(&ended.tally)?, ended.at.0];
        sqlx::query_with(statements::END_RUN, end).execute(&mut *connection).await?;
        Ok(Some(()))
    }
}

#[async_trait]
impl Verifications for PostgresDatabase {
    async fn begin_run(&self, new: &NewRun) -> Result<Run> {
        let arguments = arguments![
            new.schedule.as_str(),
            &new.scope,
            &new.node,
            new.expected.map(stored).transpose()?,
            to_json(&Tally::default())?,
            new.at.0,
        ];
        read_run(&self.the_row(Repeat::Never, statements::BEGIN_RUN, arguments).await?)
    }

    async fn note_progress(&self, run: RunId, tally: &Tally, at: Timestamp) -> Result<bool> {
        let arguments = arguments![run.0, to_json(tally)?, at.0];
        read_goes_on(self.row(Repeat::Safe, statements::NOTE_PROGRESS, arguments).await?.as_ref())
    }

    async fn end_run(
        &self,
        run: RunId,
        state: RunState,
        message: Option<&str>,
        tally: &Tally,
        at: Timestamp,
    ) -> Result<()> {
        let arguments = arguments![run.0, state.as_str(), message, to_json(tally)?, at.0];
        self.change(Repeat::Safe, statements::END_RUN, arguments).await.map(drop)
    }

    async fn ask_to_stop(&self, run: RunId, by: &str) -> Result<Option<Run>> {
        self.change(Repeat::Safe, statements::ASK_TO_STOP, arguments![run.0, by]).await?;
        self.run(run).await
    }

    async fn run(&self, run: RunId) -> Result<Option<Run>> {
        self.row(Repeat::Safe, statements::RUN, arguments![run.0]).await?.as_ref().map(read_run).transpose()
    }

    async fn runs(&self, filter: RunFilter) -> Result<Vec<Run>> {
        let arguments = arguments![
            filter.schedule.map(Schedule::as_str),
            filter.state.map(RunState::as_str),
            filter.before.map_or(i64::MAX, |before| before.0),
            i64::from(filter.limit_or_default()),
        ];
        self.rows(Repeat::Safe, statements::runs(&filter), arguments).await?.iter().map(read_run).collect()
    }

    async fn end_silent_runs(&self, silent_since: Timestamp, message: &str, at: Timestamp) -> Result<u64> {
        let arguments = arguments![silent_since.0, message, at.0];
        self.change(Repeat::Never, statements::END_SILENT_RUNS, arguments).await
    }

    async fn remove_runs(&self, before: Timestamp) -> Result<u64> {
        self.change(Repeat::Never, statements::REMOVE_RUNS, arguments![before.0, REMOVED_MAX]).await
    }

    async fn cursors(&self) -> Result<Vec<Cursor>> {
        self.rows(Repeat::Safe, statements::CURSORS, arguments![]).await?.iter().map(read_cursor).collect()
    }

    async fn first_cursor(&self, cursor: &Cursor) -> Result<Cursor> {
        read_cursor(&self.the_row(Repeat::Safe, statements::FIRST_CURSOR, of_cursor(cursor)?).await?)
    }

    async fn save_cursor(&self, cursor: &Cursor) -> Result<bool> {
        Ok(self.change(Repeat::Never, statements::SAVE_CURSOR, to_save(cursor)?).await? == 1)
    }

    async fn next_cycle(&self, next: &Cursor, ended: &RunEnd) -> Result<bool> {
        Ok(self.transaction(Repeat::Never, &NextCycle { next, ended }).await?.is_some())
    }

    async fn passed_jobs(&self, from: JobId, to: JobId) -> Result<Vec<(JobId, Option<Job>)>> {
        let rows = self.rows(Repeat::Safe, statements::PASSED_JOBS, arguments![from.0, to.0]).await?;
        rows.iter().map(read_passed).collect()
    }

    async fn kept_chunks(&self, at: Place, to: JobId, limit: u32) -> Result<Vec<(JobId, ChunkRow)>> {
        let arguments = arguments![at.job.0, i64::from(at.index.0), to.0, i64::from(limit)];
        self.rows(Repeat::Safe, statements::KEPT_CHUNKS, arguments).await?.iter().map(read_chunk).collect()
    }

    async fn kept_places(&self, at: Place, to: JobId, limit: u32) -> Result<Vec<Place>> {
        let arguments = arguments![at.job.0, i64::from(at.index.0), to.0, i64::from(limit)];
        self.rows(Repeat::Safe, statements::KEPT_PLACES, arguments).await?.iter().map(read_place).collect()
    }

    async fn persisted_since(
        &self,
        since: Timestamp,
        after: Option<(Timestamp, Place)>,
        limit: u32,
    ) -> Result<Vec<(JobId, ChunkRow)>> {
        let (moment, Place { job, index }) = behind(since, after);
        let arguments = arguments![moment.0, job.0, i64::from(index.0), i64::from(limit)];
        Ok(readable(&self.rows(Repeat::Safe, statements::PERSISTED_SINCE, arguments).await?, read_chunk))
    }

    async fn named(&self, store: DataStore, prefix: &str, after: Option<&str>, limit: u32) -> Result<Vec<Named>> {
        let above = after.unwrap_or_default().max(prefix);
        let arguments = arguments![store.as_str(), above, end_of(prefix), i64::from(limit)];
        self.rows(Repeat::Safe, statements::NAMED, arguments).await?.iter().map(read_named).collect()
    }

    async fn newest_job(&self) -> Result<JobId> {
        number(&self.the_row(Repeat::Safe, statements::NEWEST_JOB, arguments![]).await?, "id").map(JobId)
    }

    async fn first_job_since(&self, since: Timestamp) -> Result<JobId> {
        let arguments = arguments![since.0, CLOCKS_DIFFER_MAX];
        number(&self.the_row(Repeat::Safe, statements::FIRST_JOB_SINCE, arguments).await?, "id").map(JobId)
    }
}
