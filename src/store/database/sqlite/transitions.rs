//! The transitions of a job: rewind, end, reopen, cancel, close.
//!
//! A statement with `RETURNING` outside a transaction is read to its end: SQLite commits only there, and an error of the
//! commit would go unseen otherwise.

use sqlx::{Sqlite, Transaction};

use super::SqliteDatabase;
use super::columns::{stored, to_json};
use super::errors::failed;
use super::jobs::{self, job_columns};
use crate::store::Result;
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

/// True where no other ending was stored before (`Ending::same_as`).
macro_rules! says_no_other {
    () => {
        "(ending_status IS NULL OR
            (ending_status = ?3 AND ending_origin = ?4 AND claim_crc32 IS ?7 AND claim_size IS ?8))"
    };
}

/// True where this statement ends the job: it has no ending yet, or the same (`Ending::same_as`), and was reopened.
macro_rules! ends {
    () => {
        concat!("(state = 'open' AND ", says_no_other!(), ")")
    };
}

/// The value of a column of the ending: the first one stays.
macro_rules! first {
    ($column:literal, $parameter:literal) => {
        concat!($column, " = CASE WHEN ending_status IS NULL THEN ", $parameter, " ELSE ", $column, " END, ")
    };
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
    // Only an open trace can be without an ending, so the columns below are set together with its state.
    let rows = sqlx::query(concat!(
        "UPDATE jobs SET ",
        first!("ending_status", "?3"),
        first!("ending_origin", "?4"),
        first!("failure_reason", "?5"),
        first!("exit_code", "?6"),
        first!("claim_crc32", "?7"),
        first!("claim_size", "?8"),
        first!("ended_at", "?2"),
        "state = CASE WHEN ",
        ends!(),
        " THEN 'closing' ELSE state END,
         changed_at = CASE WHEN ",
        ends!(),
        " THEN ?2 ELSE changed_at END,
         trace_reset = coalesce(?9, trace_reset),
         last_contact_at = CASE WHEN ?10 AND ",
        says_no_other!(),
        " THEN max(last_contact_at, ?2) ELSE last_contact_at END
         WHERE id = ?1 AND state IN ('open', 'closing')
         RETURNING ",
        job_columns!()
    ))
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
    .fetch_all(&database.writer)
    .await
    .map_err(failed)?;
    match rows.first() {
        Some(row) => jobs::read(row).map(Some),
        None => jobs::find(database, job).await,
    }
}

pub(super) async fn reopen(database: &SqliteDatabase, job: JobId, epoch: Epoch, at: Timestamp) -> Result<bool> {
    let reopened = sqlx::query(
        "UPDATE jobs SET state = 'open', changed_at = ?3, resend_attempts = resend_attempts + 1
         WHERE id = ?1 AND epoch = ?2 AND state = 'closing'",
    );
    let reopened = reopened.bind(job.0).bind(epoch.0).bind(at.0).execute(&database.writer).await.map_err(failed)?;
    Ok(reopened.rows_affected() == 1)
}

pub(super) async fn cancel(database: &SqliteDatabase, job: JobId, at: Timestamp) -> Result<Option<Job>> {
    let rows = sqlx::query(concat!(
        "UPDATE jobs SET status = 'canceling', changed_at = ?2
         WHERE id = ?1 AND status = 'running' AND state = 'open' AND ending_status IS NULL
         RETURNING ",
        job_columns!()
    ));
    let rows = rows.bind(job.0).bind(at.0).fetch_all(&database.writer).await.map_err(failed)?;
    if let Some(row) = rows.first() {
        return jobs::read(row).map(Some);
    }
    // The ending is `decide::canceled_before_it_ran`.
    sqlx::query(
        "UPDATE jobs SET status = 'canceled', state = 'closed', ending_status = 'canceled', ending_origin = 'cancel',
                         ended_at = ?2, changed_at = ?2, closed_at = ?2, size = 0, crc32 = 0, verdict = 'unclaimed'
         WHERE id = ?1 AND status = 'pending' AND state = 'open' AND ending_status IS NULL",
    )
    .bind(job.0)
    .bind(at.0)
    .execute(&database.writer)
    .await
    .map_err(failed)?;
    jobs::find(database, job).await
}

pub(super) async fn close(database: &SqliteDatabase, job: JobId, epoch: Epoch, closing: &Closing) -> Result<bool> {
    let closed = sqlx::query(
        "UPDATE jobs SET status = CASE status WHEN 'canceling' THEN 'canceled' ELSE ending_status END,
                         state = 'closed', closed_at = ?3, changed_at = ?3, verdict = ?4, size = ?5, crc32 = ?6
         WHERE id = ?1 AND epoch = ?2 AND state = 'closing'",
    )
    .bind(job.0)
    .bind(epoch.0)
    .bind(closing.at.0)
    .bind(closing.verdict.as_str())
    .bind(stored(closing.size.0)?)
    .bind(closing.crc32.map(|crc32| crc32.0))
    .execute(&database.writer)
    .await
    .map_err(failed)?;
    Ok(closed.rows_affected() == 1)
}
