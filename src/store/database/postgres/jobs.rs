//! The table `jobs`: making, finding, and what changes without a transition.

use async_trait::async_trait;
use sqlx::postgres::{PgArguments, PgConnection};

use super::calls::{Repeat, Step, Work, arguments};
use super::{PostgresDatabase, failed};
use crate::store::Result;
use crate::store::database::rows::jobs::{job_columns, read};
use crate::store::database::rows::{readable, statements, stored, to_json};
use crate::store::database::{Contact, Job, NewJob};
use crate::trace::{Epoch, JobId, Timestamp};

pub(super) async fn create(database: &PostgresDatabase, new: NewJob) -> Result<Job> {
    let project = arguments![&new.project_path];
    let job = arguments![
        &new.project_path,
        &new.name,
        &new.token_sha256[..],
        new.payload.as_ref().map(to_json).transpose()?,
        new.status.as_str(),
        i64::from(u32::from(new.chunk_size)),
        stored(new.trace_limit.0)?,
        new.trace_reset,
        new.at.0,
    ];
    let made = database.transaction(Repeat::Never, &Creating { project, job }).await?;
    made.ok_or_else(|| failed(sqlx::Error::RowNotFound))
}

struct Creating {
    project: PgArguments,
    job: PgArguments,
}

#[async_trait]
impl Work for Creating {
    type Answer = Option<Job>;

    async fn on(&self, connection: &mut PgConnection) -> Step<Option<Job>> {
        // A number of a project is not used up by every job of it, hence the condition; a conflict is with another node.
        let project = "INSERT INTO projects (path) SELECT $1 WHERE NOT EXISTS (SELECT 1 FROM projects WHERE path = $1)
                       ON CONFLICT (path) DO NOTHING";
        sqlx::query_with(project, self.project.clone()).execute(&mut *connection).await?;
        let job = concat!(
            "INSERT INTO jobs (project_id, name, token_sha256, payload, status, state, epoch, chunk_size, trace_limit,
                               trace_reset, created_at, started_at, last_contact_at, changed_at)
             SELECT id, $2, $3, $4, $5, 'open', 1, $6, $7, $8, $9, CASE $5 WHEN 'pending' THEN NULL ELSE $9 END, $9, $9
             FROM projects WHERE path = $1
             RETURNING ",
            job_columns!()
        );
        let row = sqlx::query_with(job, self.job.clone()).fetch_one(connection).await?;
        Ok(Some(read(&row)?))
    }
}

pub(super) async fn find(database: &PostgresDatabase, job: JobId) -> Result<Option<Job>> {
    let sql = concat!("SELECT ", job_columns!(), " FROM jobs WHERE id = $1");
    database.row(Repeat::Safe, sql, arguments![job.0]).await?.as_ref().map(read).transpose()
}

pub(super) async fn unfinished(database: &PostgresDatabase, after: JobId, limit: u32) -> Result<Vec<Job>> {
    let sql = concat!(
        "SELECT ",
        job_columns!(),
        " FROM jobs WHERE state IN ('open', 'closing') AND id > $1 ORDER BY id LIMIT $2"
    );
    Ok(readable(&database.rows(Repeat::Safe, sql, arguments![after.0, i64::from(limit)]).await?, read))
}

pub(super) async fn changed(
    database: &PostgresDatabase,
    since: Timestamp,
    after: JobId,
    limit: u32,
) -> Result<Vec<Job>> {
    // In two steps: the order by number would lure PostgreSQL into walking through the whole history.
    let sql = concat!(
        "WITH changed AS MATERIALIZED (SELECT id AS number FROM jobs WHERE changed_at >= $1 AND id > $2)
         SELECT ",
        job_columns!(),
        " FROM jobs WHERE id IN (SELECT number FROM changed ORDER BY number LIMIT $3) ORDER BY id"
    );
    let arguments = arguments![since.0, after.0, i64::from(limit)];
    Ok(readable(&database.rows(Repeat::Safe, sql, arguments).await?, read))
}

pub(super) async fn note_contacts(database: &PostgresDatabase, contacts: &[Contact], now: Timestamp) -> Result<()> {
    let jobs: Vec<i64> = contacts.iter().map(|contact| contact.job.0).collect();
    let made_at: Vec<i64> = contacts.iter().map(|contact| contact.made_at.0).collect();
    let acked: Vec<i64> = contacts.iter().map(|contact| stored(contact.acked_length.0)).collect::<Result<_>>()?;
    let at: Vec<i64> = contacts.iter().map(|contact| contact.at.0).collect();
    // Locked by number first: nodes note contacts of many jobs at once. What was raised already is not written again.
    let sql = "
        WITH heard AS MATERIALIZED (
            SELECT job, made_at, max(acked) AS acked, max(at) AS at
            FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[]) AS all_heard (job, made_at, acked, at)
            GROUP BY job, made_at),
        locked AS MATERIALIZED (
            SELECT id FROM jobs WHERE id IN (SELECT job FROM heard) ORDER BY id FOR NO KEY UPDATE)
        UPDATE jobs SET acked_length = greatest(acked_length, heard.acked),
                        last_contact_at = greatest(last_contact_at, heard.at),
                        changed_at = CASE WHEN state = 'closed' AND heard.acked > size AND heard.acked > acked_length
                                          THEN greatest(changed_at, $5) ELSE changed_at END
        FROM heard, locked
        WHERE jobs.id = heard.job AND jobs.id = locked.id AND created_at = heard.made_at
          AND (acked_length < heard.acked OR last_contact_at < heard.at)";
    database.change(Repeat::Safe, sql, arguments![jobs, made_at, acked, at, now.0]).await?;
    Ok(())
}

pub(super) async fn set_trace_reset(database: &PostgresDatabase, job: JobId, trace_reset: bool) -> Result<()> {
    let sql = "UPDATE jobs SET trace_reset = $2 WHERE id = $1";
    database.change(Repeat::Safe, sql, arguments![job.0, trace_reset]).await?;
    Ok(())
}

pub(super) async fn mark_installed(database: &PostgresDatabase, job: JobId, epoch: Epoch) -> Result<bool> {
    let arguments = arguments![job.0, i64::from(epoch.0)];
    Ok(database.change(Repeat::Safe, statements::MARK_INSTALLED, arguments).await? == 1)
}
