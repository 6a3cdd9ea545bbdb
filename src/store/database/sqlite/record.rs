//! Record: a chunk's row gets its record, and the next two chunks get their rows.

use sqlx::{Sqlite, SqliteConnection, Transaction};

use super::SqliteDatabase;
use super::errors::failed;
use super::together::Write;
use crate::store::Result;
use crate::store::database::rows::chunks::{self, Sealing, chunk_columns};
use crate::store::database::rows::{number, stored};
use crate::store::database::{Recorded, decide};
use crate::trace::{ChunkIndex, ChunkRow, ChunkState, JobId, Record, Version};

/// One statement for a row that is open or not there, which is every chunk of a trace that loses nothing. It does nothing
/// at all for any other row; that case is looked at again in a transaction.
pub(super) async fn record(database: &SqliteDatabase, sealing: &Sealing<'_>) -> Result<Recorded> {
    let Sealing { job, epoch, index, begun, record: &record, next, at } = *sealing;
    match database.commit(Write::Seal { job, epoch, index, begun, record, next, at }).await? {
        Some(version) => Ok(Recorded::Sealed(version)),
        None => decide_in_transaction(database, sealing).await,
    }
}

/// The version of the row that was sealed.
pub(super) async fn seal_open(connection: &mut SqliteConnection, sealing: &Sealing<'_>) -> Result<Option<Version>> {
    let rows = sqlx::query(
        "INSERT INTO trace_chunks (job_id, chunk_index, epoch, version, state, size, crc32, sha256, opened_at, sealed_at)
         SELECT ?1, new.chunk_index, new.epoch, 1, new.state, new.size, new.crc32, new.sha256, ?9, new.sealed_at
         FROM (SELECT ?3 AS chunk_index, ?4 AS epoch, 'sealed' AS state,
                      ?5 AS size, ?6 AS crc32, ?7 AS sha256, ?9 AS sealed_at
               UNION ALL SELECT ?8, ?2, 'open', NULL, NULL, NULL, NULL WHERE ?8 IS NOT NULL
               UNION ALL SELECT ?8 + 1, ?2, 'open', NULL, NULL, NULL, NULL WHERE ?8 IS NOT NULL) AS new
         WHERE EXISTS (SELECT 1 FROM jobs WHERE id = ?1 AND epoch = ?2 AND jobs.state IN ('open', 'closing'))
           AND NOT EXISTS (SELECT 1 FROM trace_chunks AS old
                           WHERE old.job_id = ?1 AND old.chunk_index = ?3 AND old.state <> 'open')
         ON CONFLICT (job_id, chunk_index) DO UPDATE SET
             state = 'sealed', epoch = excluded.epoch, version = version + 1, size = excluded.size,
             crc32 = excluded.crc32, sha256 = excluded.sha256, sealed_at = excluded.sealed_at
             WHERE excluded.state = 'sealed'
         RETURNING chunk_index, version",
    )
    .bind(sealing.job.0)
    .bind(sealing.epoch.0)
    .bind(sealing.index.0)
    .bind(sealing.begun.0)
    .bind(stored(sealing.record.size.0)?)
    .bind(sealing.record.crc32.0)
    .bind(&sealing.record.sha256.0[..])
    .bind(sealing.next.map(|next| next.0))
    .bind(sealing.at.0)
    .fetch_all(connection)
    .await
    .map_err(failed)?;
    for row in &rows {
        if number::<u32>(row, "chunk_index")? == sealing.index.0 {
            return Ok(Some(Version(number(row, "version")?)));
        }
    }
    Ok(None)
}

async fn decide_in_transaction(database: &SqliteDatabase, sealing: &Sealing<'_>) -> Result<Recorded> {
    let mut transaction = database.begin().await?;
    if !takes_records(&mut transaction, sealing).await? {
        return Ok(Recorded::Stale);
    }
    let row = find(&mut transaction, sealing.job, sealing.index).await?;
    let decision = decide::record(row.as_ref(), sealing.index, sealing.begun, sealing.record);
    if let Some(row) = &decision.row {
        refill(&mut transaction, sealing, row).await?;
    }
    if let Some(next) = sealing.next.filter(|_| decision.answer.is_taken()) {
        make_next(&mut transaction, sealing, next).await?;
    }
    transaction.commit().await.map_err(failed)?;
    Ok(decision.answer)
}

async fn takes_records(transaction: &mut Transaction<'_, Sqlite>, sealing: &Sealing<'_>) -> Result<bool> {
    let job = sqlx::query("SELECT 1 FROM jobs WHERE id = ?1 AND epoch = ?2 AND state IN ('open', 'closing')")
        .bind(sealing.job.0)
        .bind(sealing.epoch.0)
        .fetch_optional(&mut **transaction);
    Ok(job.await.map_err(failed)?.is_some())
}

async fn find(transaction: &mut Transaction<'_, Sqlite>, job: JobId, index: ChunkIndex) -> Result<Option<ChunkRow>> {
    let row =
        sqlx::query(concat!("SELECT ", chunk_columns!(), " FROM trace_chunks WHERE job_id = ?1 AND chunk_index = ?2"));
    let row = row.bind(job.0).bind(index.0).fetch_optional(&mut **transaction).await.map_err(failed)?;
    row.as_ref().map(chunks::read).transpose()
}

/// Writes the row that was decided on.
async fn refill(transaction: &mut Transaction<'_, Sqlite>, sealing: &Sealing<'_>, row: &ChunkRow) -> Result<()> {
    let keeps_copy = matches!(row.state, ChunkState::Persisted { .. });
    // A copy that was kept, and the record that it is the copy of, are in their columns already.
    let statement = if keeps_copy {
        sqlx::query(
            "UPDATE trace_chunks SET epoch = ?3, version = ?4, state = 'persisted', asked_in = NULL
             WHERE job_id = ?1 AND chunk_index = ?2",
        )
    } else {
        sqlx::query(
            "INSERT INTO trace_chunks (job_id, chunk_index, epoch, version, state, size, crc32, sha256, opened_at, sealed_at)
             VALUES (?1, ?2, ?3, ?4, 'sealed', ?5, ?6, ?7, ?8, ?8)
             ON CONFLICT (job_id, chunk_index) DO UPDATE SET
                 epoch = excluded.epoch, version = excluded.version, state = 'sealed', asked_in = NULL,
                 size = excluded.size, crc32 = excluded.crc32, sha256 = excluded.sha256, sealed_at = excluded.sealed_at,
                 data_store = NULL, object_key = NULL, stored_size = NULL, stored_sha256 = NULL",
        )
    };
    let mut statement = statement.bind(sealing.job.0).bind(row.index.0).bind(row.epoch.0).bind(row.version.0);
    if !keeps_copy {
        let Record { size, crc32, sha256 } = sealing.record;
        statement = statement.bind(stored(size.0)?).bind(crc32.0).bind(&sha256.0[..]).bind(sealing.at.0);
    }
    statement.execute(&mut **transaction).await.map_err(failed)?;
    Ok(())
}

async fn make_next(transaction: &mut Transaction<'_, Sqlite>, sealing: &Sealing<'_>, next: ChunkIndex) -> Result<()> {
    sqlx::query(
        "INSERT INTO trace_chunks (job_id, chunk_index, epoch, version, state, opened_at)
         VALUES (?1, ?2, ?3, 1, 'open', ?4), (?1, ?2 + 1, ?3, 1, 'open', ?4)
         ON CONFLICT (job_id, chunk_index) DO NOTHING",
    )
    .bind(sealing.job.0)
    .bind(next.0)
    .bind(sealing.epoch.0)
    .bind(sealing.at.0)
    .execute(&mut **transaction)
    .await
    .map_err(failed)?;
    Ok(())
}
