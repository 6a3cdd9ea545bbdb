//! The table `mismatches`: what was found to be wrong, counted once, and kept after it was resolved.

use super::PostgresDatabase;
use super::calls::{Repeat, arguments};
use crate::store::Result;
use crate::store::database::rows::mismatches::{mismatch_columns, read, read_corrupt};
use crate::store::database::rows::{number, to_json};
use crate::store::database::{Basis, Mismatch, MismatchFilter, NewMismatch, Note, Opened, Resolution};
use crate::trace::{ChunkIndex, DataStore, JobId, Kind, Timestamp};

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
             seen AS (
                 UPDATE mismatches SET last_seen = greatest(last_seen, $9), times_seen = times_seen + 1 FROM basis
                 WHERE job_id = $1 AND coalesce(chunk_index, -1) = coalesce($2, -1) AND epoch = $3 AND kind = $4
                   AND store = $5 AND resolution IS NULL
                 RETURNING times_seen),
             made AS (
                 INSERT INTO mismatches
                     (job_id, chunk_index, epoch, kind, store, detector, expected, found, first_seen, last_seen)
                 SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $9 FROM basis WHERE NOT EXISTS (SELECT 1 FROM seen)
                 ON CONFLICT (job_id, coalesce(chunk_index, -1), epoch, store, kind) WHERE resolution IS NULL
                 DO UPDATE SET last_seen = greatest(mismatches.last_seen, excluded.last_seen),
                               times_seen = mismatches.times_seen + 1
                 RETURNING times_seen)
             SELECT times_seen FROM seen UNION ALL SELECT times_seen FROM made"
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
    ];
    let row = database.row(Repeat::Never, sql, arguments).await?;
    let times_seen = row.map(|row| number::<i64>(&row, "times_seen")).transpose()?;
    Ok(match times_seen {
        None => Opened::Moved,
        Some(1) => Opened::New,
        Some(_) => Opened::Known,
    })
}

pub(super) async fn resolve(
    database: &PostgresDatabase,
    job: JobId,
    chunk: Option<ChunkIndex>,
    resolution: Resolution,
    at: Timestamp,
) -> Result<u64> {
    // Locked by number first: others may resolve some of them.
    let sql = "
        WITH open AS (
            SELECT id FROM mismatches
            WHERE job_id = $1 AND ($2 IS NULL OR chunk_index = $2) AND resolution IS NULL ORDER BY id FOR NO KEY UPDATE)
        UPDATE mismatches SET resolution = $3, resolved_at = $4 FROM open
        WHERE mismatches.id = open.id AND resolution IS NULL";
    let arguments = arguments![job.0, chunk.map(|index| i64::from(index.0)), resolution.as_str(), at.0];
    database.change(Repeat::Never, sql, arguments).await
}

pub(super) async fn acknowledge(
    database: &PostgresDatabase,
    id: i64,
    note: &Note,
    at: Timestamp,
) -> Result<Option<Mismatch>> {
    let sql = "UPDATE mismatches SET resolution = $2, resolved_at = $3, resolved_by = $4, comment = $5
               WHERE id = $1 AND resolution IS NULL";
    let resolution = Resolution::Acknowledged.as_str();
    database.change(Repeat::Safe, sql, arguments![id, resolution, at.0, &note.by, &note.comment]).await?;
    let sql = concat!("SELECT ", mismatch_columns!(), " FROM mismatches WHERE id = $1");
    database.row(Repeat::Safe, sql, arguments![id]).await?.as_ref().map(read).transpose()
}

macro_rules! select {
    () => {
        concat!(
            "SELECT ",
            mismatch_columns!(),
            " FROM mismatches WHERE id > $1 AND ($3 IS NULL OR (resolution IS NULL) = $3)
              AND ($5 IS NULL OR kind = $5) AND ($6 IS NULL OR store = $6)"
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
    ];
    database.rows(Repeat::Safe, sql, arguments).await?.iter().map(read).collect()
}

pub(super) async fn corrupt_traces(database: &PostgresDatabase) -> Result<Vec<(Kind, DataStore, u64)>> {
    let sql = "SELECT kind, store, count(DISTINCT job_id) AS jobs
               FROM mismatches WHERE resolution IS NULL GROUP BY kind, store";
    read_corrupt(&database.rows(Repeat::Safe, sql, arguments![]).await?)
}
