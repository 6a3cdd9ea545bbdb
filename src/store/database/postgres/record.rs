//! Record: a chunk's row gets its record, and the next two chunks get their rows.

use async_trait::async_trait;
use sqlx::postgres::PgConnection;

use super::PostgresDatabase;
use super::calls::{Repeat, Step, Work, arguments};
use crate::store::Result;
use crate::store::database::rows::chunks::{self, Sealing, chunk_columns};
use crate::store::database::rows::{number, stored};
use crate::store::database::{Recorded, decide};
use crate::trace::{ChunkRow, ChunkState, Record, Version};

/// One statement for a row that is open or not there, which is every chunk of a trace that loses nothing. It does nothing
/// at all for any other row; that case is looked at again in a transaction.
pub(super) async fn record(database: &PostgresDatabase, sealing: &Sealing<'_>) -> Result<Recorded> {
    if let Some(version) = seal_open(database, sealing).await? {
        return Ok(Recorded::Sealed(version));
    }
    Ok(database.transaction(Repeat::Never, sealing).await?.unwrap_or(Recorded::Stale))
}

/// The version of the row that was sealed.
async fn seal_open(database: &PostgresDatabase, sealing: &Sealing<'_>) -> Result<Option<Version>> {
    // Where the row is one that is there, the last condition is asked of it as it is now.
    let sql = "
        WITH job AS (SELECT id FROM jobs WHERE id = $1 AND epoch = $2 AND state IN ('open', 'closing') FOR SHARE),
        sealed AS (
            INSERT INTO trace_chunks (job_id, chunk_index, epoch, version, state, size, crc32, sha256, opened_at, sealed_at)
            SELECT id, $3, $4, 1, 'sealed', $5, $6, $7, $9, $9 FROM job
            ON CONFLICT (job_id, chunk_index) DO UPDATE SET
                state = 'sealed', epoch = excluded.epoch, version = trace_chunks.version + 1, size = excluded.size,
                crc32 = excluded.crc32, sha256 = excluded.sha256, sealed_at = excluded.sealed_at
                WHERE trace_chunks.state = 'open'
            RETURNING job_id, version),
        next AS (
            INSERT INTO trace_chunks (job_id, chunk_index, epoch, version, state, opened_at)
            SELECT job_id, $8 + ahead, $2, 1, 'open', $9 FROM sealed, generate_series(0, 1) AS ahead
            WHERE $8 IS NOT NULL
            ON CONFLICT (job_id, chunk_index) DO NOTHING)
        SELECT version FROM sealed";
    let Record { size, crc32, sha256 } = sealing.record;
    let arguments = arguments![
        sealing.job.0,
        i64::from(sealing.epoch.0),
        i64::from(sealing.index.0),
        i64::from(sealing.begun.0),
        stored(size.0)?,
        i64::from(crc32.0),
        &sha256.0[..],
        sealing.next.map(|next| i64::from(next.0)),
        sealing.at.0,
    ];
    let sealed = database.row(Repeat::Safe, sql, arguments).await?;
    sealed.as_ref().map(|row| number(row, "version").map(Version)).transpose()
}

/// Nobody else changes the job's rows from the first statement on.
#[async_trait]
impl Work for Sealing<'_> {
    type Answer = Option<Recorded>;

    async fn on(&self, connection: &mut PgConnection) -> Step<Option<Recorded>> {
        let job = sqlx::query_with(
            "SELECT 1 FROM jobs WHERE id = $1 AND epoch = $2 AND state IN ('open', 'closing') FOR NO KEY UPDATE",
            arguments![self.job.0, i64::from(self.epoch.0)],
        );
        if job.fetch_optional(&mut *connection).await?.is_none() {
            return Ok(None);
        }
        let row = sqlx::query_with(
            concat!("SELECT ", chunk_columns!(), " FROM trace_chunks WHERE job_id = $1 AND chunk_index = $2"),
            arguments![self.job.0, i64::from(self.index.0)],
        );
        let row = row.fetch_optional(&mut *connection).await?.as_ref().map(chunks::read).transpose()?;
        let decision = decide::record(row.as_ref(), self.index, self.begun, self.record);
        if let Some(row) = &decision.row {
            refill(connection, self, row).await?;
        }
        if let Some(next) = self.next.filter(|_| decision.answer.is_taken()) {
            let made = sqlx::query_with(
                "INSERT INTO trace_chunks (job_id, chunk_index, epoch, version, state, opened_at)
                 VALUES ($1, $2, $3, 1, 'open', $4), ($1, $2 + 1, $3, 1, 'open', $4)
                 ON CONFLICT (job_id, chunk_index) DO NOTHING",
                arguments![self.job.0, i64::from(next.0), i64::from(self.epoch.0), self.at.0],
            );
            made.execute(connection).await?;
        }
        Ok(Some(decision.answer))
    }
}

/// Writes the row that was decided on.
async fn refill(connection: &mut PgConnection, sealing: &Sealing<'_>, row: &ChunkRow) -> Step<()> {
    let (job, index) = (sealing.job.0, i64::from(row.index.0));
    let (epoch, version) = (i64::from(row.epoch.0), row.version.0);
    let written = if matches!(row.state, ChunkState::Persisted { .. }) {
        // A copy that was kept, and the record that it is the copy of, are in their columns already.
        sqlx::query_with(
            "UPDATE trace_chunks SET epoch = $3, version = $4, state = 'persisted', asked_in = NULL
             WHERE job_id = $1 AND chunk_index = $2",
            arguments![job, index, epoch, version],
        )
    } else {
        let Record { size, crc32, sha256 } = sealing.record;
        let (size, crc32) = (stored(size.0)?, i64::from(crc32.0));
        sqlx::query_with(
            "INSERT INTO trace_chunks (job_id, chunk_index, epoch, version, state, size, crc32, sha256, opened_at, sealed_at)
             VALUES ($1, $2, $3, $4, 'sealed', $5, $6, $7, $8, $8)
             ON CONFLICT (job_id, chunk_index) DO UPDATE SET
                 epoch = excluded.epoch, version = excluded.version, state = 'sealed', asked_in = NULL,
                 size = excluded.size, crc32 = excluded.crc32, sha256 = excluded.sha256, sealed_at = excluded.sealed_at,
                 data_store = NULL, object_key = NULL, stored_size = NULL, stored_sha256 = NULL",
            arguments![job, index, epoch, version, size, crc32, &sha256.0[..], sealing.at.0],
        )
    };
    written.execute(connection).await?;
    Ok(())
}
