//! The table `trace_chunks`: one row per chunk, with its record and where its copy is.

use sqlx::SqliteConnection;

use super::SqliteDatabase;
use super::errors::failed;
use crate::store::Result;
use crate::store::database::rows::chunks::{chunk_columns, read, read_waiting};
use crate::store::database::rows::readable;
use crate::store::database::rows::stored;
use crate::store::database::{RowOpened, Waiting};
use crate::trace::{ChunkIndex, ChunkRow, Epoch, JobId, Location, StoredObject, Timestamp, Version};

pub(super) async fn open(
    database: &SqliteDatabase,
    job: JobId,
    epoch: Epoch,
    index: ChunkIndex,
    at: Timestamp,
) -> Result<RowOpened> {
    // The update changes nothing: it makes a row that is there be returned like one that was just made.
    let rows = sqlx::query(concat!(
        "INSERT INTO trace_chunks (job_id, chunk_index, epoch, version, state, opened_at)
         SELECT id, ?3, ?2, 1, 'open', ?4 FROM jobs WHERE id = ?1 AND epoch = ?2 AND state = 'open'
         ON CONFLICT (job_id, chunk_index) DO UPDATE SET opened_at = opened_at
         RETURNING ",
        chunk_columns!()
    ))
    .bind(job.0)
    .bind(epoch.0)
    .bind(index.0)
    .bind(at.0)
    .fetch_all(&mut *database.writing().await?)
    .await
    .map_err(failed)?;
    match rows.first().map(read).transpose()? {
        None => Ok(RowOpened::Stale),
        Some(row) if row.record().is_some() => Ok(RowOpened::Recorded),
        Some(_) => Ok(RowOpened::Ready),
    }
}

pub(super) async fn find(database: &SqliteDatabase, job: JobId, index: ChunkIndex) -> Result<Option<ChunkRow>> {
    let row =
        sqlx::query(concat!("SELECT ", chunk_columns!(), " FROM trace_chunks WHERE job_id = ?1 AND chunk_index = ?2"));
    let row = row.bind(job.0).bind(index.0).fetch_optional(&mut *database.reader().await?).await.map_err(failed)?;
    row.as_ref().map(read).transpose()
}

pub(super) async fn list(database: &SqliteDatabase, job: JobId, from: ChunkIndex, limit: u32) -> Result<Vec<ChunkRow>> {
    let rows = sqlx::query(concat!(
        "SELECT ",
        chunk_columns!(),
        " FROM trace_chunks WHERE job_id = ?1 AND chunk_index >= ?2 ORDER BY chunk_index LIMIT ?3 + 0"
    ));
    let rows =
        rows.bind(job.0).bind(from.0).bind(limit).fetch_all(&mut *database.reader().await?).await.map_err(failed)?;
    rows.iter().map(read).collect()
}

/// The version that the row has by it.
pub(super) async fn persist(
    connection: &mut SqliteConnection,
    job: JobId,
    index: ChunkIndex,
    version: Version,
    to: &Location,
    at: Timestamp,
) -> Result<Option<Version>> {
    let StoredObject { key, size, sha256 } = to.object();
    let persisted = sqlx::query(
        "UPDATE trace_chunks SET state = 'persisted', version = version + 1, persisted_at = ?4, asked_in = NULL,
                                 data_store = ?5, object_key = ?6, stored_size = ?7, stored_sha256 = ?8
         WHERE job_id = ?1 AND chunk_index = ?2 AND version = ?3 AND size IS NOT NULL
           AND EXISTS (SELECT 1 FROM jobs WHERE id = ?1 AND jobs.state <> 'erased')
           AND (?5 <> 'database' OR EXISTS (SELECT 1 FROM chunk_bytes WHERE key = ?6))",
    )
    .bind(job.0)
    .bind(index.0)
    .bind(version.0)
    .bind(at.0)
    .bind(to.store().as_str())
    .bind(key)
    .bind(stored(size.0)?)
    .bind(&sha256.0[..])
    .execute(connection)
    .await
    .map_err(failed)?;
    Ok((persisted.rows_affected() == 1).then_some(Version(version.0 + 1)))
}

pub(super) async fn waiting(database: &SqliteDatabase, until: Timestamp, limit: u32) -> Result<Vec<Waiting>> {
    let rows = sqlx::query(concat!(
        "SELECT ",
        chunk_columns!(),
        " FROM trace_chunks WHERE state = 'sealed' AND sealed_at <= ?1 ORDER BY sealed_at, job_id, chunk_index LIMIT ?2 + 0"
    ));
    let rows = rows.bind(until.0).bind(limit).fetch_all(&mut *database.reader().await?).await.map_err(failed)?;
    Ok(readable(&rows, read_waiting))
}

pub(super) async fn spilled(database: &SqliteDatabase, limit: u32) -> Result<Vec<Waiting>> {
    let rows = sqlx::query(concat!(
        "SELECT ",
        chunk_columns!(),
        " FROM trace_chunks
          WHERE data_store = 'database'
            AND (state = 'persisted' OR EXISTS (SELECT 1 FROM jobs WHERE id = job_id AND jobs.state = 'closed'))
          ORDER BY persisted_at, job_id, chunk_index LIMIT ?1 + 0"
    ));
    let rows = rows.bind(limit).fetch_all(&mut *database.reader().await?).await.map_err(failed)?;
    Ok(readable(&rows, read_waiting))
}
