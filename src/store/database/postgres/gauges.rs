//! Counts for the gauges: what waits, what is unfinished.

use super::calls::{Repeat, arguments};
use super::{PostgresDatabase, failed};
use crate::store::Result;
use crate::store::database::rows::gauges::{read_backlog, read_ended};
use crate::store::database::rows::number;
use crate::store::database::{Backlog, Unfinished};
use crate::trace::ByteSize;

/// A sum of numbers is a decimal to PostgreSQL, hence the cast.
pub(super) async fn backlog(database: &PostgresDatabase) -> Result<Backlog> {
    let sql = "SELECT count(*) AS chunks, coalesce(sum(size), 0)::bigint AS bytes, min(sealed_at) AS oldest
               FROM trace_chunks WHERE state = 'sealed'";
    read_backlog(&one(database, sql).await?)
}

pub(super) async fn spill(database: &PostgresDatabase) -> Result<Backlog> {
    let sql = "SELECT count(*) AS chunks, coalesce(sum(size), 0)::bigint AS bytes, min(persisted_at) AS oldest
               FROM trace_chunks WHERE data_store = 'database'";
    read_backlog(&one(database, sql).await?)
}

pub(super) async fn unfinished(database: &PostgresDatabase) -> Result<Unfinished> {
    let sealed = backlog(database).await?;
    // What `decide::open_end` says of every unfinished trace, summed up.
    let sql = "
        SELECT coalesce(sum(bytes), 0)::bigint AS bytes,
               coalesce(sum((bytes + chunk_size - 1) / chunk_size), 0)::bigint AS chunks
        FROM (SELECT chunk_size, greatest(0, acked_length - coalesce(
                  (SELECT chunk_index * chunk_size + trace_chunks.size FROM trace_chunks
                   WHERE job_id = jobs.id AND trace_chunks.state IN ('sealed', 'persisted')
                   ORDER BY chunk_index DESC LIMIT 1), 0)) AS bytes
              FROM jobs WHERE state IN ('open', 'closing')) AS open_ends";
    let open_ends = one(database, sql).await?;
    let sql = "SELECT CASE status WHEN 'canceling' THEN 'canceled' ELSE ending_status END AS final,
                      count(*) AS jobs, min(ended_at) AS oldest
               FROM jobs WHERE state IN ('open', 'closing') AND ending_status IS NOT NULL GROUP BY final";
    Ok(Unfinished {
        ended: read_ended(&database.rows(Repeat::Safe, sql, arguments![]).await?)?,
        live_bytes: sealed.bytes + ByteSize(number(&open_ends, "bytes")?),
        live_chunks: sealed.chunks + number::<u64>(&open_ends, "chunks")?,
    })
}

async fn one(database: &PostgresDatabase, sql: &'static str) -> Result<sqlx::postgres::PgRow> {
    database.row(Repeat::Safe, sql, arguments![]).await?.ok_or_else(|| failed(sqlx::Error::RowNotFound))
}
