//! The bytes of chunks in the database, while the object store does not take them. An object store like any other.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use super::SqliteDatabase;
use super::errors::failed;
use crate::store::Result;
use crate::store::database::Database;
use crate::store::database::leases::milliseconds;
use crate::store::database::pages::{self, Page};
use crate::store::database::rows::bytes::read_listed;
use crate::store::object::{Listed, ObjectStore, Objects};
use crate::trace::ByteSize;

/// The table `chunk_bytes`.
#[derive(Clone)]
pub struct ChunkBytes(pub(super) SqliteDatabase);

#[async_trait]
impl ObjectStore for ChunkBytes {
    async fn put(&self, key: &str, bytes: Bytes) -> Result<()> {
        // The same key again is the same attempt again.
        let put = sqlx::query(
            "INSERT INTO chunk_bytes (key, bytes) VALUES (?1, ?2) ON CONFLICT (key) DO UPDATE SET bytes = excluded.bytes",
        );
        put.bind(key).bind(&bytes[..]).execute(&mut *self.0.writing().await?).await.map_err(failed)?;
        Ok(())
    }

    async fn get(&self, key: &str, most: ByteSize) -> Result<Option<Bytes>> {
        let sql = "SELECT substr(bytes, 1, ?2) FROM chunk_bytes WHERE key = ?1";
        let bytes = sqlx::query_scalar::<_, Vec<u8>>(sql).bind(key).bind(i64::try_from(most.0).unwrap_or(i64::MAX));
        Ok(bytes.fetch_optional(&mut *self.0.reader().await?).await.map_err(failed)?.map(Bytes::from))
    }

    async fn delete(&self, key: &str) -> Result<()> {
        let delete = sqlx::query("DELETE FROM chunk_bytes WHERE key = ?1").bind(key);
        delete.execute(&mut *self.0.writing().await?).await.map_err(failed)?;
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

async fn list_page(database: SqliteDatabase, page: Page) -> Result<Vec<Listed>> {
    let rows = sqlx::query(
        "SELECT key, length(bytes) AS size, written_at FROM chunk_bytes
         WHERE key > ?1 AND key < ?2 ORDER BY key LIMIT ?3 + 0",
    );
    let rows = rows
        .bind(page.after)
        .bind(page.end)
        .bind(page.rows)
        .fetch_all(&mut *database.reader().await?)
        .await
        .map_err(failed)?;
    rows.iter().map(read_listed).collect()
}

/// How long the database has to answer.
const PING_PATIENCE: Duration = Duration::from_secs(5);
/// Bytes that are removed in one statement, at most: a longer one would hold up every writer.
const REMOVED_MAX: i64 = 200;

/// See [`Database::remove_unnamed_bytes`].
pub(super) async fn remove_unnamed(database: &SqliteDatabase, grace: Duration) -> Result<u64> {
    let removed = sqlx::query(
        "DELETE FROM chunk_bytes WHERE key IN (
             SELECT key FROM chunk_bytes
             WHERE written_at <= CAST(unixepoch('subsec') * 1000 AS INTEGER) - ?1
               AND NOT EXISTS (SELECT 1 FROM trace_chunks WHERE object_key = chunk_bytes.key AND data_store = 'database')
             LIMIT ?2 + 0)",
    );
    let grace = milliseconds(grace);
    let removed =
        removed.bind(grace).bind(REMOVED_MAX).execute(&mut *database.writing().await?).await.map_err(failed)?;
    Ok(removed.rows_affected())
}
