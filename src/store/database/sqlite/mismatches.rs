//! The table `mismatches`: what was found to be wrong, counted once, and kept after it was resolved.

use sqlx::SqliteExecutor;

use super::SqliteDatabase;
use super::errors::failed;
use crate::store::Result;
use crate::store::database::rows::drills::announced;
use crate::store::database::rows::mismatches::{corrupt_traces, mismatch_columns, opened, read, read_corrupt};
use crate::store::database::rows::{stored, to_json};
use crate::store::database::{Basis, CorruptTraces, Mismatch, MismatchFilter, NewMismatch, Note, Opened, Resolution};
use crate::trace::{ChunkIndex, DataStore, Detector, JobId, Kind, Timestamp};

pub(super) async fn open(database: &SqliteDatabase, new: &NewMismatch, basis: Basis) -> Result<Opened> {
    let (version, epoch, is_closed) = match basis {
        Basis::Row(version) => (Some(version.0), None, false),
        Basis::Trace(epoch) => (None, Some(epoch.0), false),
        Basis::Closed(epoch) => (None, Some(epoch.0), true),
        Basis::Nothing => (None, None, false),
    };
    // `$1` and not `?1`, as in what it is put together from: SQLite takes the two for different ones.
    let rows = sqlx::query(concat!(
        "INSERT INTO mismatches (job_id, chunk_index, epoch, kind, store, detector, expected, found, first_seen, last_seen,
                                 run_id, node, first_difference, drill_id, notify_at)
         SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $9, $12, $13, $14, announced.drill,
                CASE WHEN announced.drill IS NULL THEN $15 END
         FROM (SELECT ",
        announced!(),
        " AS drill) AS announced
         WHERE ($10 IS NULL OR EXISTS (SELECT 1 FROM trace_chunks
                                       WHERE job_id = $1 AND chunk_index = $2 AND version = $10))
           AND ($11 IS NULL OR EXISTS (SELECT 1 FROM jobs
                                       WHERE id = $1 AND jobs.epoch = $11 AND state <> 'erased'
                                         AND (state IN ('closed', 'archived')) = $16))
         ON CONFLICT (job_id, coalesce(chunk_index, -1), epoch, store, kind) WHERE resolution IS NULL
         DO UPDATE SET last_seen = max(last_seen, excluded.last_seen), times_seen = times_seen + 1
         RETURNING id, times_seen, drill_id",
    ))
    .bind(new.job.0)
    .bind(new.chunk.map(|index| index.0))
    .bind(new.epoch.0)
    .bind(new.kind.as_str())
    .bind(new.store.as_str())
    .bind(new.detector.as_str())
    .bind(to_json(&new.expected)?)
    .bind(to_json(&new.found)?)
    .bind(new.at.0)
    .bind(version)
    .bind(epoch)
    .bind(new.run)
    .bind(&new.node)
    .bind(new.first_difference.map(|at| stored(at.0)).transpose()?)
    .bind(new.notify_at.map(|at| at.0))
    .bind(is_closed)
    .fetch_all(&mut *database.writing().await?)
    .await
    .map_err(failed)?;
    opened(rows.first())
}

pub(super) async fn resolve(
    database: &SqliteDatabase,
    job: JobId,
    chunk: Option<ChunkIndex>,
    resolution: Resolution,
    note: &Note,
    at: Timestamp,
) -> Result<u64> {
    resolve_on(&mut *database.writing().await?, job, chunk, resolution, note, at).await
}

/// Within a transaction, or by itself.
pub(super) async fn resolve_on<'c>(
    connection: impl SqliteExecutor<'c>,
    job: JobId,
    chunk: Option<ChunkIndex>,
    resolution: Resolution,
    note: &Note,
    at: Timestamp,
) -> Result<u64> {
    let resolved = sqlx::query(
        "UPDATE mismatches SET resolution = ?3, resolved_at = ?4, resolved_by = ?5, comment = ?6
         WHERE job_id = ?1 AND (?2 IS NULL OR chunk_index = ?2) AND resolution IS NULL
           AND (kind <> 'orphan' OR ?3 NOT IN ('repaired', 'resent'))",
    )
    .bind(job.0)
    .bind(chunk.map(|index| index.0))
    .bind(resolution.as_str())
    .bind(at.0)
    .bind(&note.by)
    .bind(&note.comment)
    .execute(connection)
    .await
    .map_err(failed)?;
    Ok(resolved.rows_affected())
}

pub(super) async fn resolve_one(
    database: &SqliteDatabase,
    id: i64,
    resolution: Resolution,
    note: &Note,
    at: Timestamp,
) -> Result<Option<Mismatch>> {
    sqlx::query(
        "UPDATE mismatches SET resolution = ?2, resolved_at = ?3, resolved_by = ?4, comment = ?5
         WHERE id = ?1 AND resolution IS NULL",
    )
    .bind(id)
    .bind(resolution.as_str())
    .bind(at.0)
    .bind(&note.by)
    .bind(&note.comment)
    .execute(&mut *database.writing().await?)
    .await
    .map_err(failed)?;
    find(database, id).await
}

pub(super) async fn find(database: &SqliteDatabase, id: i64) -> Result<Option<Mismatch>> {
    let row = sqlx::query(concat!("SELECT ", mismatch_columns!(), " FROM mismatches WHERE id = ?1")).bind(id);
    row.fetch_optional(&mut *database.reader().await?).await.map_err(failed)?.as_ref().map(read).transpose()
}

macro_rules! select {
    () => {
        concat!(
            "SELECT ",
            mismatch_columns!(),
            " FROM mismatches WHERE id > ?1 AND (?3 IS NULL OR (resolution IS NULL) = ?3)
              AND (?5 IS NULL OR kind = ?5) AND (?6 IS NULL OR store = ?6) AND (?7 IS NULL OR detector = ?7)
              AND (?8 IS NULL OR first_seen >= ?8) AND (?10 IS NULL OR last_seen >= ?10)
              AND (?11 IS NULL OR chunk_index = ?11) AND (NOT ?12 OR kind <> 'orphan')
              AND (?9 IS NULL OR (SELECT project_id FROM jobs WHERE jobs.id = job_id) = ?9)"
        )
    };
}

pub(super) async fn list(database: &SqliteDatabase, filter: MismatchFilter) -> Result<Vec<Mismatch>> {
    // Two statements, so that those of one job are found by their index.
    let statement = match filter.job {
        Some(_) => concat!(select!(), " AND job_id = ?2 ORDER BY id LIMIT ?4 + 0"),
        None => concat!(select!(), " AND ?2 IS NULL ORDER BY id LIMIT ?4 + 0"),
    };
    let rows = sqlx::query(statement)
        .bind(filter.after)
        .bind(filter.job.map(|job| job.0))
        .bind(filter.open)
        .bind(filter.limit_or_default())
        .bind(filter.kind.map(Kind::as_str))
        .bind(filter.store.map(DataStore::as_str))
        .bind(filter.detector.map(Detector::as_str))
        .bind(filter.since.map(|since| since.0))
        .bind(filter.project.map(|project| project.0))
        .bind(filter.seen_since.map(|since| since.0))
        .bind(filter.chunk.map(|chunk| chunk.0))
        .bind(filter.of_logs)
        .fetch_all(&mut *database.reader().await?)
        .await
        .map_err(failed)?;
    rows.iter().map(read).collect()
}

pub(super) async fn due_notifications(database: &SqliteDatabase, now: Timestamp, limit: u32) -> Result<Vec<Mismatch>> {
    let rows = sqlx::query(concat!(
        "SELECT ",
        mismatch_columns!(),
        " FROM mismatches WHERE notify_at <= ?1 ORDER BY notify_at, id LIMIT ?2 + 0"
    ));
    let rows = rows.bind(now.0).bind(limit).fetch_all(&mut *database.reader().await?).await.map_err(failed)?;
    rows.iter().map(read).collect()
}

pub(super) async fn set_notification(database: &SqliteDatabase, id: i64, next: Option<Timestamp>) -> Result<()> {
    let set = sqlx::query("UPDATE mismatches SET notify_at = ?2 WHERE id = ?1 AND notify_at IS NOT NULL");
    set.bind(id).bind(next.map(|at| at.0)).execute(&mut *database.writing().await?).await.map_err(failed)?;
    Ok(())
}

pub(super) async fn corrupt_traces(database: &SqliteDatabase) -> Result<CorruptTraces> {
    let rows = sqlx::query(corrupt_traces!());
    let rows = rows.fetch_all(&mut *database.reader().await?).await.map_err(failed)?;
    read_corrupt(&rows)
}
