//! The table `mismatches`: what was found to be wrong, counted once, and kept after it was resolved.

use sqlx::postgres::PgArguments;

use super::PostgresDatabase;
use super::calls::{Repeat, arguments};
use crate::store::Result;
use crate::store::database::rows::drills::announced;
use crate::store::database::rows::mismatches::{corrupt_traces, mismatch_columns, opened, read, read_corrupt};
use crate::store::database::rows::{stored, to_json};
use crate::store::database::{Basis, CorruptTraces, Mismatch, MismatchFilter, NewMismatch, Note, Opened, Resolution};
use crate::trace::{ChunkIndex, DataStore, Detector, JobId, Kind, Timestamp};

/// Seen again, or inserted, once for every row of `basis`, which is one or none. It locks what the mismatch was measured
/// against: who heals it at this moment either comes first, or resolves the mismatch afterwards. The update comes first
/// because an insertion that meets a conflict uses up a number; one that is only now inserted by another is met all the
/// same.
macro_rules! open_on {
    ($basis:literal) => {
        concat!(
            "WITH basis AS MATERIALIZED (",
            $basis,
            "),
             announced AS (SELECT ",
            announced!(),
            " AS drill),
             seen AS (
                 UPDATE mismatches SET last_seen = greatest(last_seen, $9), times_seen = times_seen + 1 FROM basis
                 WHERE job_id = $1 AND coalesce(chunk_index, -1) = coalesce($2, -1) AND epoch = $3 AND kind = $4
                   AND store = $5 AND resolution IS NULL
                 RETURNING id, times_seen, drill_id),
             made AS (
                 INSERT INTO mismatches
                     (job_id, chunk_index, epoch, kind, store, detector, expected, found, first_seen, last_seen, run_id,
                      node, first_difference, drill_id, notify_at)
                 SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $9, $11, $12, $13, announced.drill,
                        CASE WHEN announced.drill IS NULL THEN $14::bigint END
                 FROM basis, announced WHERE NOT EXISTS (SELECT 1 FROM seen)
                 ON CONFLICT (job_id, coalesce(chunk_index, -1), epoch, store, kind) WHERE resolution IS NULL
                 DO UPDATE SET last_seen = greatest(mismatches.last_seen, excluded.last_seen),
                               times_seen = mismatches.times_seen + 1
                 RETURNING id, times_seen, drill_id)
             SELECT id, times_seen, drill_id FROM seen UNION ALL SELECT id, times_seen, drill_id FROM made"
        )
    };
}

pub(super) async fn open(database: &PostgresDatabase, new: &NewMismatch, basis: Basis) -> Result<Opened> {
    let (sql, measured) = match basis {
        Basis::Row(version) => (
            open_on!("SELECT 1 FROM trace_chunks WHERE job_id = $1 AND chunk_index = $2 AND version = $10 FOR SHARE"),
            version.0,
        ),
        Basis::Trace(epoch) => (
            open_on!("SELECT 1 FROM jobs WHERE id = $1 AND epoch = $10 AND state IN ('open', 'closing') FOR SHARE"),
            i64::from(epoch.0),
        ),
        Basis::Closed(epoch) => (
            open_on!("SELECT 1 FROM jobs WHERE id = $1 AND epoch = $10 AND state IN ('closed', 'archived') FOR SHARE"),
            i64::from(epoch.0),
        ),
        Basis::Nothing => (open_on!("SELECT $10::bigint"), 0),
    };
    let arguments = arguments![
        new.job.0,
        new.chunk.map(|index| i64::from(index.0)),
        i64::from(new.epoch.0),
        new.kind.as_str(),
        new.store.as_str(),
        new.detector.as_str(),
        to_json(&new.expected)?,
        to_json(&new.found)?,
        new.at.0,
        measured,
        new.run,
        &new.node,
        new.first_difference.map(|at| stored(at.0)).transpose()?,
        new.notify_at.map(|at| at.0),
    ];
    opened(database.row(Repeat::Never, sql, arguments).await?.as_ref())
}

pub(super) async fn resolve(
    database: &PostgresDatabase,
    job: JobId,
    chunk: Option<ChunkIndex>,
    resolution: Resolution,
    note: &Note,
    at: Timestamp,
) -> Result<u64> {
    database.change(Repeat::Never, RESOLVE, resolving(job, chunk, resolution, note, at)?).await
}

/// Locked by number first: others may resolve some of them.
pub(super) const RESOLVE: &str = "
    WITH open AS (
        SELECT id FROM mismatches
        WHERE job_id = $1 AND ($2 IS NULL OR chunk_index = $2) AND resolution IS NULL
          AND (kind <> 'orphan' OR $3 NOT IN ('repaired', 'resent'))
        ORDER BY id FOR NO KEY UPDATE)
    UPDATE mismatches SET resolution = $3, resolved_at = $4, resolved_by = $5, comment = $6 FROM open
    WHERE mismatches.id = open.id AND resolution IS NULL";

/// The arguments of [`RESOLVE`].
pub(super) fn resolving(
    job: JobId,
    chunk: Option<ChunkIndex>,
    resolution: Resolution,
    note: &Note,
    at: Timestamp,
) -> Result<PgArguments> {
    let chunk = chunk.map(|index| i64::from(index.0));
    Ok(arguments![job.0, chunk, resolution.as_str(), at.0, &note.by, &note.comment])
}

pub(super) async fn resolve_one(
    database: &PostgresDatabase,
    id: i64,
    resolution: Resolution,
    note: &Note,
    at: Timestamp,
) -> Result<Option<Mismatch>> {
    let sql = "UPDATE mismatches SET resolution = $2, resolved_at = $3, resolved_by = $4, comment = $5
               WHERE id = $1 AND resolution IS NULL";
    database.change(Repeat::Safe, sql, arguments![id, resolution.as_str(), at.0, &note.by, &note.comment]).await?;
    find(database, id).await
}

pub(super) async fn find(database: &PostgresDatabase, id: i64) -> Result<Option<Mismatch>> {
    let sql = concat!("SELECT ", mismatch_columns!(), " FROM mismatches WHERE id = $1");
    database.row(Repeat::Safe, sql, arguments![id]).await?.as_ref().map(read).transpose()
}

macro_rules! select {
    () => {
        concat!(
            "SELECT ",
            mismatch_columns!(),
            " FROM mismatches WHERE id > $1 AND ($3 IS NULL OR (resolution IS NULL) = $3)
              AND ($5 IS NULL OR kind = $5) AND ($6 IS NULL OR store = $6) AND ($7 IS NULL OR detector = $7)
              AND ($8 IS NULL OR first_seen >= $8) AND ($10 IS NULL OR last_seen >= $10)
              AND ($11 IS NULL OR chunk_index = $11) AND (NOT $12 OR kind <> 'orphan')
              AND ($9 IS NULL OR (SELECT project_id FROM jobs WHERE jobs.id = job_id) = $9)"
        )
    };
}

pub(super) async fn list(database: &PostgresDatabase, filter: MismatchFilter) -> Result<Vec<Mismatch>> {
    // Two statements, so that those of one job are found by their index.
    let sql = match filter.job {
        Some(_) => concat!(select!(), " AND job_id = $2 ORDER BY id LIMIT $4"),
        None => concat!(select!(), " AND $2 IS NULL ORDER BY id LIMIT $4"),
    };
    let arguments = arguments![
        filter.after,
        filter.job.map(|job| job.0),
        filter.open,
        i64::from(filter.limit_or_default()),
        filter.kind.map(Kind::as_str),
        filter.store.map(DataStore::as_str),
        filter.detector.map(Detector::as_str),
        filter.since.map(|since| since.0),
        filter.project.map(|project| project.0),
        filter.seen_since.map(|since| since.0),
        filter.chunk.map(|chunk| i64::from(chunk.0)),
        filter.of_logs,
    ];
    database.rows(Repeat::Safe, sql, arguments).await?.iter().map(read).collect()
}

pub(super) async fn due_notifications(
    database: &PostgresDatabase,
    now: Timestamp,
    limit: u32,
) -> Result<Vec<Mismatch>> {
    let sql = concat!(
        "SELECT ",
        mismatch_columns!(),
        " FROM mismatches WHERE notify_at <= $1 ORDER BY notify_at, id LIMIT $2"
    );
    database.rows(Repeat::Safe, sql, arguments![now.0, i64::from(limit)]).await?.iter().map(read).collect()
}

pub(super) async fn set_notification(database: &PostgresDatabase, id: i64, next: Option<Timestamp>) -> Result<()> {
    let sql = "UPDATE mismatches SET notify_at = $2 WHERE id = $1 AND notify_at IS NOT NULL";
    database.change(Repeat::Safe, sql, arguments![id, next.map(|at| at.0)]).await?;
    Ok(())
}

pub(super) async fn corrupt_traces(database: &PostgresDatabase) -> Result<CorruptTraces> {
    read_corrupt(&database.rows(Repeat::Safe, corrupt_traces!(), arguments![]).await?)
}
