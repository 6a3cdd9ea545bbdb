//! Counts for the gauges: what waits, what is unfinished.

use super::SqliteDatabase;
use super::errors::failed;
use crate::store::Result;
use crate::store::database::rows::gauges::{read_backlog, read_ended};
use crate::store::database::rows::number;
use crate::store::database::{Backlog, Unfinished};
use crate::trace::{ByteSize, JobStatus, Timestamp};

pub(super) async fn backlog(database: &SqliteDatabase) -> Result<Backlog> {
    let row = sqlx::query(
        "SELECT count(*) AS chunks, coalesce(sum(size), 0) AS bytes, min(sealed_at) AS oldest
         FROM trace_chunks WHERE state = 'sealed'",
    );
    read_backlog(&row.fetch_one(&mut *database.reader().await?).await.map_err(failed)?)
}

pub(super) async fn spill(database: &SqliteDatabase) -> Result<Backlog> {
    let row = sqlx::query(
        "SELECT count(*) AS chunks, coalesce(sum(size), 0) AS bytes, min(persisted_at) AS oldest
         FROM trace_chunks WHERE data_store = 'database'",
    );
    read_backlog(&row.fetch_one(&mut *database.reader().await?).await.map_err(failed)?)
}

pub(super) async fn unfinished(database: &SqliteDatabase) -> Result<Unfinished> {
    let sealed = backlog(database).await?;
    // What `decide::open_end` says of every unfinished trace, summed up.
    let open_ends = sqlx::query(
        "SELECT coalesce(sum(bytes), 0) AS bytes, coalesce(sum((bytes + chunk_size - 1) / chunk_size), 0) AS chunks
         FROM (SELECT chunk_size, max(0, acked_length - coalesce(
                   (SELECT chunk_index * chunk_size + trace_chunks.size FROM trace_chunks
                    WHERE job_id = jobs.id AND trace_chunks.state IN ('sealed', 'persisted')
                    ORDER BY chunk_index DESC LIMIT 1), 0)) AS bytes
               FROM jobs WHERE state IN ('open', 'closing'))",
    );
    let open_ends = open_ends.fetch_one(&mut *database.reader().await?).await.map_err(failed)?;
    Ok(Unfinished {
        ended: ended(database).await?,
        live_bytes: sealed.bytes + ByteSize(number(&open_ends, "bytes")?),
        live_chunks: sealed.chunks + number::<u64>(&open_ends, "chunks")?,
    })
}

async fn ended(database: &SqliteDatabase) -> Result<Vec<(JobStatus, u64, Timestamp)>> {
    let rows = sqlx::query(
        "SELECT CASE status WHEN 'canceling' THEN 'canceled' ELSE ending_status END AS final,
                count(*) AS jobs, min(ended_at) AS oldest
         FROM jobs WHERE state IN ('open', 'closing') AND ending_status IS NOT NULL GROUP BY final",
    );
    let rows = rows.fetch_all(&mut *database.reader().await?).await.map_err(failed)?;
    read_ended(&rows)
}
