//! The table `trace_chunks`: one row per chunk, with its record and where its copy is.

use super::PostgresDatabase;
use super::calls::{Repeat, arguments};
use crate::store::Result;
use crate::store::database::rows::chunks::{chunk_columns, read, read_waiting};
use crate::store::database::rows::readable;
use crate::store::database::rows::stored;
use crate::store::database::{RowOpened, Waiting};
use crate::trace::{ChunkIndex, ChunkRow, Epoch, JobId, Location, StoredObject, Timestamp, Version};

pub(super) async fn open(
    database: &PostgresDatabase,
    job: JobId,
    epoch: Epoch,
    index: ChunkIndex,
    at: Timestamp,
) -> Result<RowOpened> {
    // The update changes nothing: it makes a row that is there be returned like one that was just made.
    let sql = concat!(
        "WITH job AS (SELECT id FROM jobs WHERE id = $1 AND epoch = $2 AND state = 'open' FOR SHARE)
         INSERT INTO trace_chunks (job_id, chunk_index, epoch, version, state, opened_at)
         SELECT id, $3, $2, 1, 'open', $4 FROM job
         ON CONFLICT (job_id, chunk_index) DO UPDATE SET opened_at = trace_chunks.opened_at
         RETURNING ",
        chunk_columns!()
    );
    let arguments = arguments![job.0, i64::from(epoch.0), i64::from(index.0), at.0];
    match database.row(Repeat::Safe, sql, arguments).await?.as_ref().map(read).transpose()? {
        None => Ok(RowOpened::Stale),
        Some(row) if row.record().is_some() => Ok(RowOpened::Recorded),
        Some(_) => Ok(RowOpened::Ready),
    }
}

pub(super) async fn find(database: &PostgresDatabase, job: JobId, index: ChunkIndex) -> Result<Option<ChunkRow>> {
    let sql = concat!("SELECT ", chunk_columns!(), " FROM trace_chunks WHERE job_id = $1 AND chunk_index = $2");
    let row = database.row(Repeat::Safe, sql, arguments![job.0, i64::from(index.0)]).await?;
    row.as_ref().map(read).transpose()
}

pub(super) async fn list(
    database: &PostgresDatabase,
    job: JobId,
    from: ChunkIndex,
    limit: u32,
) -> Result<Vec<ChunkRow>> {
    let sql = concat!(
        "SELECT ",
        chunk_columns!(),
        " FROM trace_chunks WHERE job_id = $1 AND chunk_index >= $2 ORDER BY chunk_index LIMIT $3"
    );
    let arguments = arguments![job.0, i64::from(from.0), i64::from(limit)];
    database.rows(Repeat::Safe, sql, arguments).await?.iter().map(read).collect()
}

pub(super) async fn persist(
    database: &PostgresDatabase,
    job: JobId,
    index: ChunkIndex,
    version: Version,
    to: &Location,
    at: Timestamp,
) -> Result<bool> {
    let StoredObject { key, size, sha256 } = to.object();
    // Bytes in the database are locked as they are named: who removes what nobody names waits, and then sees the name.
    let sql = "
        WITH job AS (SELECT id FROM jobs WHERE id = $1 AND state <> 'erased' FOR SHARE),
        kept AS (SELECT key FROM chunk_bytes WHERE key = $6 FOR KEY SHARE)
        UPDATE trace_chunks SET state = 'persisted', version = version + 1, persisted_at = $4, asked_in = NULL,
                                data_store = $5, object_key = $6, stored_size = $7, stored_sha256 = $8
        FROM job
        WHERE job_id = job.id AND job_id = $1 AND chunk_index = $2 AND version = $3 AND size IS NOT NULL
          AND ($5 <> 'database' OR EXISTS (SELECT 1 FROM kept))";
    let (store, size) = (to.store().as_str(), stored(size.0)?);
    let arguments = arguments![job.0, i64::from(index.0), version.0, at.0, store, key, size, &sha256.0[..]];
    Ok(database.change(Repeat::Never, sql, arguments).await? == 1)
}

pub(super) async fn waiting(database: &PostgresDatabase, until: Timestamp, limit: u32) -> Result<Vec<Waiting>> {
    let sql = concat!(
        "SELECT ",
        chunk_columns!(),
        " FROM trace_chunks WHERE state = 'sealed' AND sealed_at <= $1 ORDER BY sealed_at, job_id, chunk_index LIMIT $2"
    );
    let rows = database.rows(Repeat::Safe, sql, arguments![until.0, i64::from(limit)]).await?;
    Ok(readable(&rows, read_waiting))
}

pub(super) async fn spilled(database: &PostgresDatabase, limit: u32) -> Result<Vec<Waiting>> {
    let sql = concat!(
        "SELECT ",
        chunk_columns!(),
        " FROM trace_chunks
          WHERE data_store = 'database'
            AND (state = 'persisted' OR EXISTS (SELECT 1 FROM jobs WHERE id = job_id AND jobs.state = 'closed'))
          ORDER BY persisted_at, job_id, chunk_index LIMIT $1"
    );
    let rows = database.rows(Repeat::Safe, sql, arguments![i64::from(limit)]).await?;
    Ok(readable(&rows, read_waiting))
}
