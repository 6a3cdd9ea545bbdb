//! The bytes of chunks in the database, while the object store does not take them. An object store like any other.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use sqlx::postgres::PgConnection;

use super::PostgresDatabase;
use super::calls::{Repeat, Step, Work, arguments};
use crate::store::Result;
use crate::store::database::Database;
use crate::store::database::leases::milliseconds;
use crate::store::database::pages::{self, Page};
use crate::store::database::rows::bytes::read_listed;
use crate::store::database::rows::{Cells as _, text};
use crate::store::object::{Listed, ObjectStore, Objects};
use crate::trace::ByteSize;

/// The table `chunk_bytes`.
#[derive(Clone)]
pub struct ChunkBytes(pub(super) PostgresDatabase);

#[async_trait]
impl ObjectStore for ChunkBytes {
    async fn put(&self, key: &str, bytes: Bytes) -> Result<()> {
        // The same key again is the same attempt again.
        let sql = "INSERT INTO chunk_bytes (key, bytes) VALUES ($1, $2)
                   ON CONFLICT (key) DO UPDATE SET bytes = excluded.bytes";
        self.0.change(Repeat::Safe, sql, arguments![key, &bytes[..]]).await?;
        Ok(())
    }

    async fn get(&self, key: &str, most: ByteSize) -> Result<Option<Bytes>> {
        let sql = "SELECT substring(bytes FROM 1 FOR $2) AS bytes FROM chunk_bytes WHERE key = $1";
        let most = i32::try_from(most.0).unwrap_or(i32::MAX);
        let row = self.0.row(Repeat::Safe, sql, arguments![key, most]).await?;
        Ok(row.map(|row| row.bytes("bytes")).transpose()?.flatten().map(Bytes::from))
    }

    async fn delete(&self, key: &str) -> Result<()> {
        self.0.change(Repeat::Safe, "DELETE FROM chunk_bytes WHERE key = $1", arguments![key]).await?;
        Ok(())
    }

    fn list(&self, prefix: &str) -> Objects {
        let database = self.0.clone();
        pages::list(prefix, move |page| list_page(database.clone(), page))
    }

    async fn ping(&self) -> Result<()> {
        Database::ping(&self.0, PING_PATIENCE).await
    }
}

async fn list_page(database: PostgresDatabase, page: Page) -> Result<Vec<Listed>> {
    let sql = "SELECT key, length(bytes)::bigint AS size, written_at FROM chunk_bytes
               WHERE key > $1 AND key < $2 ORDER BY key LIMIT $3";
    let rows = database.rows(Repeat::Safe, sql, arguments![page.after, page.end, i64::from(page.rows)]).await?;
    rows.iter().map(read_listed).collect()
}

/// How long the database has to answer.
const PING_PATIENCE: Duration = Duration::from_secs(5);
/// Bytes that are removed in one statement, at most: 200 of 128 KiB are 25 MiB.
const REMOVED_MAX: i64 = 200;

/// See [`Database::remove_unnamed_bytes`].
pub(super) async fn remove_unnamed(database: &PostgresDatabase, grace: Duration) -> Result<u64> {
    let grace = milliseconds(grace);
    Ok(database.transaction(Repeat::Never, &Removing { grace }).await?.unwrap_or_default())
}

/// The bytes are locked first and looked for in the rows afterwards, in a statement that sees whatever was named before
/// they were locked. What is just being named is locked by that, and passed over.
struct Removing {
    grace: i64,
}

#[async_trait]
impl Work for Removing {
    type Answer = Option<u64>;

    async fn on(&self, connection: &mut PgConnection) -> Step<Option<u64>> {
        let unnamed = sqlx::query_with(
            "SELECT key FROM chunk_bytes
             WHERE written_at <= (extract(epoch FROM clock_timestamp()) * 1000)::bigint - $1
               AND NOT EXISTS (SELECT 1 FROM trace_chunks WHERE object_key = chunk_bytes.key AND data_store = 'database')
             ORDER BY key LIMIT $2 FOR UPDATE SKIP LOCKED",
            arguments![self.grace, REMOVED_MAX],
        );
        let unnamed = unnamed.fetch_all(&mut *connection).await?;
        let keys = unnamed.iter().map(|row| text(row, "key")).collect::<Result<Vec<_>>>()?;
        let removed = sqlx::query_with(
            "DELETE FROM chunk_bytes
             WHERE key = ANY ($1)
               AND NOT EXISTS (SELECT 1 FROM trace_chunks WHERE object_key = chunk_bytes.key AND data_store = 'database')",
            arguments![keys],
        );
        Ok(Some(removed.execute(connection).await?.rows_affected()))
    }
}
