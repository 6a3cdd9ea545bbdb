//! Who has which turn.

use std::time::Duration;

use async_trait::async_trait;

use super::SqliteDatabase;
use super::errors::failed;
use crate::store::Result;
use crate::store::database::leases::{Generation, Leases, When};
use crate::store::database::rows::number;

/// The database's clock, in milliseconds since 1970.
macro_rules! now {
    () => {
        "CAST(unixepoch('subsec') * 1000 AS INTEGER)"
    };
}

fn milliseconds(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX / 4)
}

#[async_trait]
impl Leases for SqliteDatabase {
    async fn take(&self, name: &str, holder: &str, time: Duration, when: When) -> Result<Option<Generation>> {
        let rows = sqlx::query(concat!(
            "INSERT INTO leases (name, holder, generation, expires_at, due_at)
             VALUES (?1, ?2, 1, ",
            now!(),
            " + ?3, 0)
             ON CONFLICT (name) DO UPDATE
             SET holder = excluded.holder, generation = leases.generation + 1, expires_at = excluded.expires_at
             WHERE leases.expires_at <= ",
            now!(),
            " AND (?4 OR leases.due_at <= ",
            now!(),
            ") RETURNING generation"
        ));
        let rows = rows.bind(name).bind(holder).bind(milliseconds(time)).bind(when == When::Early);
        let rows = rows.fetch_all(&self.writer).await.map_err(failed)?;
        rows.first().map(|row| number(row, "generation").map(Generation)).transpose()
    }

    async fn renew(&self, name: &str, turn: Generation, time: Duration) -> Result<bool> {
        let renewed = sqlx::query(concat!(
            "UPDATE leases SET expires_at = ",
            now!(),
            " + ?3 WHERE name = ?1 AND generation = ?2 AND expires_at > ",
            now!()
        ));
        let renewed = renewed.bind(name).bind(turn.0).bind(milliseconds(time));
        Ok(renewed.execute(&self.writer).await.map_err(failed)?.rows_affected() == 1)
    }

    async fn finish(&self, name: &str, turn: Generation, next_in: Duration) -> Result<()> {
        let finished = sqlx::query(concat!(
            "UPDATE leases SET expires_at = 0, due_at = ",
            now!(),
            " + ?3 WHERE name = ?1 AND generation = ?2"
        ));
        let finished = finished.bind(name).bind(turn.0).bind(milliseconds(next_in));
        finished.execute(&self.writer).await.map_err(failed)?;
        Ok(())
    }
}
