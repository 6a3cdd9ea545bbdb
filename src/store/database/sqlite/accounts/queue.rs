//! Pending jobs, and who gets them.

use super::super::SqliteDatabase;
use super::super::errors::failed;
use crate::store::Result;
use crate::store::database::accounts::{RunnerId, Taken};
use crate::store::database::rows::accounts::read_taken;
use crate::store::database::rows::jobs::job_columns;
use crate::store::database::rows::optional_number;
use crate::trace::{JobId, Timestamp};

pub(super) async fn take(
    database: &SqliteDatabase,
    runner: RunnerId,
    trace_reset: Option<bool>,
    new_token_sha256: [u8; 32],
    at: Timestamp,
) -> Result<Option<Taken>> {
    // Runners ask every few seconds and mostly for nothing: that must not wait for the writer.
    let pending = sqlx::query("SELECT 1 FROM jobs WHERE status = 'pending' LIMIT 1");
    if pending.fetch_optional(&mut *database.reader().await?).await.map_err(failed)?.is_none() {
        return Ok(None);
    }
    let rows = sqlx::query(concat!(
        "UPDATE jobs SET status = 'running', runner_id = ?1, trace_reset = coalesce(?2, trace_reset), token_sha256 = ?3,
                         started_at = ?4, last_contact_at = max(last_contact_at, ?4), changed_at = ?4
         WHERE id = (SELECT waiting.id FROM jobs AS waiting JOIN runners ON runners.id = ?1
                     WHERE waiting.status = 'pending' AND waiting.state = 'open' AND waiting.ending_status IS NULL
                       AND runners.revoked_at IS NULL
                       AND (runners.projects IS NULL
                            OR waiting.project_id IN (SELECT value FROM json_each(runners.projects)))
                     ORDER BY waiting.id LIMIT 1)
         RETURNING payload, ",
        job_columns!()
    ))
    .bind(runner.0)
    .bind(trace_reset)
    .bind(&new_token_sha256[..])
    .bind(at.0)
    // Read to its end: SQLite commits only there.
    .fetch_all(&mut *database.writing().await?)
    .await
    .map_err(failed)?;
    let Some(row) = rows.first() else { return Ok(None) };
    read_taken(row).map(Some)
}

pub(super) async fn runner_of(database: &SqliteDatabase, job: JobId) -> Result<Option<RunnerId>> {
    let row = sqlx::query("SELECT runner_id FROM jobs WHERE id = ?1").bind(job.0);
    let row = row.fetch_optional(&mut *database.reader().await?).await.map_err(failed)?;
    let runner = row.as_ref().map(|row| optional_number(row, "runner_id")).transpose()?;
    Ok(runner.flatten().map(RunnerId))
}
