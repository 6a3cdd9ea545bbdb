//! Erase: the end of a trace's bytes, and the deletions that it leaves to be done.

use async_trait::async_trait;
use sqlx::postgres::PgConnection;

use super::PostgresDatabase;
use super::calls::{Repeat, Step, Work, arguments, plain};
use super::jobs;
use super::mismatches::{RESOLVE, resolving};
use crate::store::Result;
use crate::store::database::rows::jobs::job_columns;
use crate::store::database::rows::{jobs as job_rows, number};
use crate::store::database::{Deletion, Erased, Job, Note, Resolution};
use crate::trace::{JobId, Timestamp, TraceState};

pub(super) async fn erase(
    database: &PostgresDatabase,
    job: JobId,
    by: &str,
    at: Timestamp,
    again_at: Timestamp,
) -> Result<Erased> {
    if let Some(erased) = database.transaction(Repeat::Safe, &Erasing { job, by, at, again_at }).await? {
        return Ok(Erased::Done(Box::new(erased)));
    }
    Ok(match jobs::find(database, job).await? {
        Some(job) if job.state == TraceState::Erased => Erased::Done(Box::new(job)),
        Some(_) => Erased::Unfinished,
        None => Erased::Unknown,
    })
}

struct Erasing<'a> {
    job: JobId,
    by: &'a str,
    at: Timestamp,
    again_at: Timestamp,
}

#[async_trait]
impl Work for Erasing<'_> {
    type Answer = Option<Job>;

    async fn on(&self, connection: &mut PgConnection) -> Step<Option<Job>> {
        let Self { job, by, at, again_at } = *self;
        let row = sqlx::query_with(
            concat!(
                "UPDATE jobs SET state = 'erased', verdict = 'erased', epoch = epoch + 1, changed_at = $2,
                                 erased_at = $2, erased_by = $3, crc32 = NULL
                 WHERE id = $1 AND state IN ('closed', 'archived')
                 RETURNING ",
                job_columns!()
            ),
            arguments![job.0, at.0, plain(by)],
        );
        let Some(row) = row.fetch_optional(&mut *connection).await? else { return Ok(None) };
        let erased = job_rows::read(&row)?;
        let rows = sqlx::query_with("DELETE FROM trace_chunks WHERE job_id = $1", arguments![job.0]);
        rows.execute(&mut *connection).await?;
        let note = Note::of_erasure(by);
        let mismatches = sqlx::query_with(RESOLVE, resolving(job, None, Resolution::Erased, &note, at)?);
        mismatches.execute(&mut *connection).await?;
        let deletions = sqlx::query_with(
            "INSERT INTO deletions (job_id, not_before) VALUES ($1, $2), ($1, $3)",
            arguments![job.0, at.0, again_at.0],
        );
        deletions.execute(connection).await?;
        Ok(Some(erased))
    }
}

pub(super) async fn due(database: &PostgresDatabase, now: Timestamp, limit: u32) -> Result<Vec<Deletion>> {
    let sql = "SELECT id, job_id FROM deletions WHERE not_before <= $1 ORDER BY not_before, id LIMIT $2";
    let rows = database.rows(Repeat::Safe, sql, arguments![now.0, i64::from(limit)]).await?;
    rows.iter().map(|row| Ok(Deletion { id: number(row, "id")?, job: JobId(number(row, "job_id")?) })).collect()
}

pub(super) async fn done(database: &PostgresDatabase, id: i64) -> Result<()> {
    database.change(Repeat::Safe, "DELETE FROM deletions WHERE id = $1", arguments![id]).await?;
    Ok(())
}
