//! The table `jobs`: making, finding, and what changes without a transition.

use super::SqliteDatabase;
use super::errors::failed;
use crate::store::Result;
use crate::store::database::rows::jobs::{job_columns, read};
use crate::store::database::rows::{readable, statements, stored, to_json};
use crate::store::database::{Contact, Job, NewJob};
use crate::trace::{Epoch, JobId, Timestamp};

pub(super) async fn create(database: &SqliteDatabase, new: NewJob) -> Result<Job> {
    let payload = new.payload.as_ref().map(to_json).transpose()?;
    let mut transaction = database.begin().await?;
    sqlx::query("INSERT INTO projects (path) VALUES (?1) ON CONFLICT (path) DO NOTHING")
        .bind(&new.project_path)
        .execute(&mut *transaction)
        .await
        .map_err(failed)?;
    let row = sqlx::query(concat!(
        "INSERT INTO jobs (project_id, name, token_sha256, payload, status, state, epoch, chunk_size, trace_limit,
                           trace_reset, created_at, started_at, last_contact_at, changed_at)
         SELECT id, ?2, ?3, ?4, ?5, 'open', 1, ?6, ?7, ?8, ?9, iif(?5 = 'pending', NULL, ?9), ?9, ?9 FROM projects WHERE path = ?1
         RETURNING ",
        job_columns!()
    ))
    .bind(&new.project_path)
    .bind(&new.name)
    .bind(&new.token_sha256[..])
    .bind(payload)
    .bind(new.status.as_str())
    .bind(u32::from(new.chunk_size))
    .bind(stored(new.trace_limit.0)?)
    .bind(new.trace_reset)
    .bind(new.at.0)
    .fetch_one(&mut *transaction)
    .await
    .map_err(failed)?;
    transaction.commit().await.map_err(failed)?;
    read(&row)
}

pub(super) async fn find(database: &SqliteDatabase, job: JobId) -> Result<Option<Job>> {
    let row = sqlx::query(concat!("SELECT ", job_columns!(), " FROM jobs WHERE id = ?1")).bind(job.0);
    row.fetch_optional(&mut *database.reader().await?).await.map_err(failed)?.as_ref().map(read).transpose()
}

pub(super) async fn unfinished(database: &SqliteDatabase, after: JobId, limit: u32) -> Result<Vec<Job>> {
    let rows = sqlx::query(concat!(
        "SELECT ",
        job_columns!(),
        " FROM jobs WHERE state IN ('open', 'closing') AND id > ?1 ORDER BY id LIMIT ?2 + 0"
    ));
    let rows = rows.bind(after.0).bind(limit).fetch_all(&mut *database.reader().await?).await.map_err(failed)?;
    Ok(readable(&rows, read))
}

pub(super) async fn changed(database: &SqliteDatabase, since: Timestamp, after: JobId, limit: u32) -> Result<Vec<Job>> {
    // The order by number would lure SQLite into walking through the whole history.
    let rows = sqlx::query(concat!(
        "SELECT ",
        job_columns!(),
        " FROM jobs INDEXED BY jobs_changed WHERE changed_at >= ?1 AND id > ?2 ORDER BY id LIMIT ?3 + 0"
    ));
    let rows = rows.bind(since.0).bind(after.0).bind(limit).fetch_all(&mut *database.reader().await?).await;
    Ok(readable(&rows.map_err(failed)?, read))
}

pub(super) async fn note_contacts(database: &SqliteDatabase, contacts: &[Contact], now: Timestamp) -> Result<()> {
    let contacts: Vec<[i64; 4]> = contacts
        .iter()
        .map(|contact| Ok([contact.job.0, contact.made_at.0, stored(contact.acked_length.0)?, contact.at.0]))
        .collect::<Result<_>>()?;
    sqlx::query(
        "UPDATE jobs SET acked_length = max(acked_length, heard.acked), last_contact_at = max(last_contact_at, heard.at),
                         changed_at = CASE WHEN state = 'closed' AND heard.acked > size AND heard.acked > acked_length
                                           THEN max(changed_at, ?2) ELSE changed_at END
         FROM (SELECT value ->> 0 AS job, value ->> 1 AS made_at, max(value ->> 2) AS acked, max(value ->> 3) AS at
               FROM json_each(?1) GROUP BY value ->> 0, value ->> 1) AS heard
         WHERE id = heard.job AND created_at = heard.made_at",
    )
    .bind(to_json(&contacts)?)
    .bind(now.0)
    .execute(&mut *database.writing().await?)
    .await
    .map_err(failed)?;
    Ok(())
}

pub(super) async fn set_trace_reset(database: &SqliteDatabase, job: JobId, trace_reset: bool) -> Result<()> {
    let set = sqlx::query("UPDATE jobs SET trace_reset = ?2 WHERE id = ?1").bind(job.0).bind(trace_reset);
    set.execute(&mut *database.writing().await?).await.map_err(failed)?;
    Ok(())
}

pub(super) async fn mark_installed(database: &SqliteDatabase, job: JobId, epoch: Epoch) -> Result<bool> {
    let marked = sqlx::query(statements::MARK_INSTALLED);
    let marked = marked.bind(job.0).bind(epoch.0).execute(&mut *database.writing().await?).await.map_err(failed)?;
    Ok(marked.rows_affected() == 1)
}
