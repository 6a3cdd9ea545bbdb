//! Pending jobs, and who gets them.

use super::super::PostgresDatabase;
use super::super::calls::{Repeat, arguments};
use crate::store::Result;
use crate::store::database::accounts::{RunnerId, Taken};
use crate::store::database::rows::accounts::read_taken;
use crate::store::database::rows::jobs::job_columns;
use crate::store::database::rows::optional_number;
use crate::trace::{JobId, Timestamp};

pub(super) async fn take(
    database: &PostgresDatabase,
    runner: RunnerId,
    trace_reset: Option<bool>,
    new_token_sha256: [u8; 32],
    at: Timestamp,
) -> Result<Option<Taken>> {
    // Runners ask every few seconds and mostly for nothing: that writes nothing.
    let pending = "SELECT 1 FROM jobs WHERE status = 'pending' LIMIT 1";
    if database.row(Repeat::Safe, pending, arguments![]).await?.is_none() {
        return Ok(None);
    }
    // A job that somebody else is about to take is passed over rather than waited for. The projects of a runner are looked
    // at once, not for every job that waits.
    let sql = concat!(
        "WITH reach AS MATERIALIZED (
             SELECT projects IS NULL AS all_projects,
                    ARRAY (SELECT json_array_elements_text(projects::json)::bigint) AS these
             FROM runners WHERE id = $1 AND revoked_at IS NULL),
         oldest AS MATERIALIZED (
             SELECT waiting.id AS number FROM jobs AS waiting, reach
             WHERE waiting.status = 'pending' AND waiting.state = 'open' AND waiting.ending_status IS NULL
               AND (reach.all_projects OR waiting.project_id = ANY (reach.these))
             ORDER BY waiting.id LIMIT 1 FOR NO KEY UPDATE OF waiting SKIP LOCKED)
         UPDATE jobs SET status = 'running', runner_id = $1, trace_reset = coalesce($2, trace_reset), token_sha256 = $3,
                         started_at = $4, last_contact_at = greatest(last_contact_at, $4), changed_at = $4
         FROM oldest WHERE id = oldest.number
         RETURNING payload, ",
        job_columns!()
    );
    let arguments = arguments![runner.0, trace_reset, &new_token_sha256[..], at.0];
    database.row(Repeat::Never, sql, arguments).await?.as_ref().map(read_taken).transpose()
}

pub(super) async fn runner_of(database: &PostgresDatabase, job: JobId) -> Result<Option<RunnerId>> {
    let row = database.row(Repeat::Safe, "SELECT runner_id FROM jobs WHERE id = $1", arguments![job.0]).await?;
    let runner = row.as_ref().map(|row| optional_number(row, "runner_id")).transpose()?;
    Ok(runner.flatten().map(RunnerId))
}
