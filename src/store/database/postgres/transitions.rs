//! The transitions of a job: rewind, end, reopen, cancel, close.

use async_trait::async_trait;
use sqlx::postgres::PgConnection;

use super::PostgresDatabase;
use super::calls::{Repeat, Step, Work, arguments};
use super::jobs;
use crate::store::Result;
use crate::store::database::rows::{jobs as job_rows, statements, stored};
use crate::store::database::{Closing, Job, Rewind};
use crate::trace::{Ending, Epoch, JobId, Origin, Timestamp};

pub(super) async fn rewind(database: &PostgresDatabase, job: JobId, rewind: &Rewind) -> Result<bool> {
    if !rewind.makes_sense() {
        return Ok(false);
    }
    Ok(database.transaction(Repeat::Never, &Rewinding { job, rewind }).await?.is_some())
}

/// The first statement locks the job alone, so that nobody changes its rows until the end.
struct Rewinding<'a> {
    job: JobId,
    rewind: &'a Rewind,
}

#[async_trait]
impl Work for Rewinding<'_> {
    type Answer = Option<()>;

    async fn on(&self, connection: &mut PgConnection) -> Step<Option<()>> {
        let Self { job, rewind } = *self;
        let raised = sqlx::query_with(
            "UPDATE jobs SET epoch = $4, state = $5, changed_at = $6, resend_attempts = resend_attempts + $7,
                             asked_everything = asked_everything OR $8
             WHERE id = $1 AND epoch = $2 AND state = $3",
            arguments![
                job.0,
                i64::from(rewind.from.0),
                rewind.state.as_str(),
                i64::from(rewind.to.0),
                rewind.next_state.as_str(),
                rewind.at.0,
                i64::from(rewind.counts_as_attempt),
                rewind.everything,
            ],
        );
        if raised.execute(&mut *connection).await?.rows_affected() != 1 {
            return Ok(None);
        }
        let lost: Vec<i64> = rewind.lost.iter().map(|lost| i64::from(lost.index.0)).collect();
        let versions: Vec<Option<i64>> = rewind.lost.iter().map(|lost| lost.version.map(|version| version.0)).collect();
        let changed = sqlx::query_with(
            "SELECT 1 FROM unnest($2::bigint[], $3::bigint[]) AS lost (number, version)
             LEFT JOIN trace_chunks ON job_id = $1 AND chunk_index = lost.number
             WHERE trace_chunks.version IS DISTINCT FROM lost.version LIMIT 1",
            arguments![job.0, &lost, versions],
        );
        if changed.fetch_optional(&mut *connection).await?.is_some() {
            return Ok(None);
        }
        if rewind.everything {
            let wanted = sqlx::query_with(
                "UPDATE trace_chunks SET state = 'wanted', asked_in = $2, version = version + 1
                 WHERE job_id = $1 AND size IS NOT NULL AND chunk_index <> ALL ($3::bigint[])",
                arguments![job.0, i64::from(rewind.to.0), &lost],
            );
            wanted.execute(&mut *connection).await?;
        }
        let wanted = sqlx::query_with(
            "INSERT INTO trace_chunks (job_id, chunk_index, epoch, version, state, asked_in, opened_at)
             SELECT DISTINCT $1::bigint, number, $2::bigint, 1, 'wanted', $2::bigint, $4::bigint
             FROM unnest($3::bigint[]) AS lost (number)
             ON CONFLICT (job_id, chunk_index) DO UPDATE SET
                 state = 'wanted', asked_in = excluded.asked_in, version = trace_chunks.version + 1,
                 data_store = NULL, object_key = NULL, stored_size = NULL, stored_sha256 = NULL",
            arguments![job.0, i64::from(rewind.to.0), &lost, rewind.at.0],
        );
        wanted.execute(connection).await?;
        Ok(Some(()))
    }
}

pub(super) async fn end(
    database: &PostgresDatabase,
    job: JobId,
    ending: &Ending,
    at: Timestamp,
    trace_reset: Option<bool>,
) -> Result<Option<Job>> {
    let claim = ending.claim.as_ref();
    let arguments = arguments![
        job.0,
        at.0,
        ending.status.as_str(),
        ending.origin.as_str(),
        ending.failure_reason.as_deref(),
        ending.exit_code,
        claim.map(|claim| i64::from(claim.crc32.0)),
        claim.and_then(|claim| claim.size).map(|size| stored(size.0)).transpose()?,
        trace_reset,
        ending.origin == Origin::Runner,
    ];
    match database.row(Repeat::Safe, statements::END, arguments).await? {
        Some(row) => job_rows::read(&row).map(Some),
        None => jobs::find(database, job).await,
    }
}

pub(super) async fn reopen(database: &PostgresDatabase, job: JobId, epoch: Epoch, at: Timestamp) -> Result<bool> {
    let arguments = arguments![job.0, i64::from(epoch.0), at.0];
    Ok(database.change(Repeat::Never, statements::REOPEN, arguments).await? == 1)
}

pub(super) async fn cancel(database: &PostgresDatabase, job: JobId, at: Timestamp) -> Result<Option<Job>> {
    match database.row(Repeat::Safe, statements::CANCEL, arguments![job.0, at.0]).await? {
        Some(row) => job_rows::read(&row).map(Some),
        None => jobs::find(database, job).await,
    }
}

pub(super) async fn close(database: &PostgresDatabase, job: JobId, epoch: Epoch, closing: &Closing) -> Result<bool> {
    let arguments = arguments![
        job.0,
        i64::from(epoch.0),
        closing.at.0,
        closing.verdict.as_str(),
        stored(closing.size.0)?,
        closing.crc32.map(|crc32| i64::from(crc32.0)),
    ];
    Ok(database.change(Repeat::Never, statements::CLOSE, arguments).await? == 1)
}
