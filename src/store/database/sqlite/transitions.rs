//! The transitions of a job: rewind, end, reopen, cancel, close.
//!
//! A statement with `RETURNING` outside a transaction is read to its end: SQLite commits only there, and an error of the
//! commit would go unseen otherwise.

use sqlx::{Sqlite, Transaction};

use super::SqliteDatabase;
use super::errors::failed;
use super::jobs;
use crate::store::Result;
use crate::store::database::rows::{jobs as job_rows, statements, stored, to_json};
use crate::store::database::{Closing, Job, Rewind};
use crate::trace::{Ending, Epoch, JobId, Origin, Timestamp};

pub(super) async fn rewind(database: &SqliteDatabase, job: JobId, rewind: &Rewind) -> Result<bool> {
    if !rewind.makes_sense() {
        return Ok(false);
    }
    let mut transaction = database.begin().await?;
    let raised = sqlx::query(
        "UPDATE jobs SET epoch = ?4, state = ?5, changed_at = ?6, resend_attempts = resend_attempts + ?7,
                         asked_everything = max(asked_everything, ?8)
         WHERE id = ?1 AND epoch = ?2 AND state = ?3",
    )
    .bind(job.0)
    .bind(rewind.from.0)
    .bind(rewind.state.as_str())
    .bind(rewind.to.0)
    .bind(rewind.next_state.as_str())
    .bind(rewind.at.0)
    .bind(rewind.counts_as_attempt)
    .bind(rewind.everything)
    .execute(&mut *transaction)
    .await
    .map_err(failed)?;
    if raised.rows_affected() != 1 {
        return Ok(false);
    }
    let lost: Vec<(u32, Option<i64>)> =
        rewind.lost.iter().map(|lost| (lost.index.0, lost.version.map(|version| version.0))).collect();
    if !rows_are_the_same(&mut transaction, job, &to_json(&lost)?).await? {
        return Ok(false);
    }
    let lost = to_json(&lost.iter().map(|(index, _)| *index).collect::<Vec<_>>())?;
    if rewind.everything {
        sqlx::query(
            "UPDATE trace_chunks SET state = 'wanted', asked_in = ?2, version = version + 1
             WHERE job_id = ?1 AND size IS NOT NULL AND chunk_index NOT IN (SELECT value FROM json_each(?3))",
        )
        .bind(job.0)
        .bind(rewind.to.0)
        .bind(&lost)
        .execute(&mut *transaction)
        .await
        .map_err(failed)?;
    }
    sqlx::query(
        "INSERT INTO trace_chunks (job_id, chunk_index, epoch, version, state, asked_in, opened_at)
         SELECT DISTINCT ?1, value, ?2, 1, 'wanted', ?2, ?4 FROM json_each(?3) WHERE true
         ON CONFLICT (job_id, chunk_index) DO UPDATE SET
             state = 'wanted', asked_in = excluded.asked_in, version = version + 1,
             data_store = NULL, object_key = NULL, stored_size = NULL, stored_sha256 = NULL",
    )
    .bind(job.0)
    .bind(rewind.to.0)
    .bind(&lost)
    .bind(rewind.at.0)
    .execute(&mut *transaction)
    .await
    .map_err(failed)?;
    transaction.commit().await.map_err(failed)?;
    Ok(true)
}

/// True if every one of these rows (chunk, version or null) is still what the decision was made on.
async fn rows_are_the_same(transaction: &mut Transaction<'_, Sqlite>, job: JobId, lost: &str) -> Result<bool> {
    let changed = sqlx::query(
        "SELECT 1 FROM json_each(?2) AS lost
         LEFT JOIN trace_chunks ON job_id = ?1 AND chunk_index = lost.value ->> 0
         WHERE version IS NOT (lost.value ->> 1) LIMIT 1",
    );
    let changed = changed.bind(job.0).bind(lost).fetch_optional(&mut **transaction).await.map_err(failed)?;
    Ok(changed.is_none())
}

pub(super) async fn end(
    database: &SqliteDatabase,
    job: JobId,
    ending: &Ending,
    at: Timestamp,
    trace_reset: Option<bool>,
) -> Result<Option<Job>> {
    let claim = ending.claim.as_ref();
    let claimed_size = claim.and_then(|claim| claim.size).map(|size| stored(size.0)).transpose()?;
    let rows = sqlx::query(statements::END)
        .bind(job.0)
        .bind(at.0)
        .bind(ending.status.as_str())
        .bind(ending.origin.as_str())
        .bind(ending.failure_reason.as_deref())
        .bind(ending.exit_code)
        .bind(claim.map(|claim| claim.crc32.0))
        .bind(claimed_size)
        .bind(trace_reset)
        .bind(ending.origin == Origin::Runner)
        .fetch_all(&mut *database.writing().await?)
        .await
        .map_err(failed)?;
    match rows.first() {
        Some(row) => job_rows::read(row).map(Some),
        None => jobs::find(database, job).await,
    }
}

pub(super) async fn reopen(database: &SqliteDatabase, job: JobId, epoch: Epoch, at: Timestamp) -> Result<bool> {
    let reopened = sqlx::query(statements::REOPEN);
    let reopened =
        reopened.bind(job.0).bind(epoch.0).bind(at.0).execute(&mut *database.writing().await?).await.map_err(failed)?;
    Ok(reopened.rows_affected() == 1)
}

pub(super) async fn cancel(database: &SqliteDatabase, job: JobId, at: Timestamp) -> Result<Option<Job>> {
    let rows = sqlx::query(statements::CANCEL).bind(job.0).bind(at.0).fetch_all(&mut *database.writing().await?).await;
    match rows.map_err(failed)?.first() {
        Some(row) => job_rows::read(row).map(Some),
        None => jobs::find(database, job).await,
    }
}

pub(super) async fn close(database: &SqliteDatabase, job: JobId, epoch: Epoch, closing: &Closing) -> Result<bool> {
    let closed = sqlx::query(statements::CLOSE)
        .bind(job.0)
        .bind(epoch.0)
        .bind(closing.at.0)
        .bind(closing.verdict.as_str())
        .bind(stored(closing.size.0)?)
        .bind(closing.crc32.map(|crc32| crc32.0))
        .execute(&mut *database.writing().await?)
        .await
        .map_err(failed)?;
    Ok(closed.rows_affected() == 1)
}
