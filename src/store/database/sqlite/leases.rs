//! Who has which turn.

use std::time::Duration;

use async_trait::async_trait;

use super::SqliteDatabase;
use super::errors::failed;
use crate::store::Result;
use crate::store::database::leases::{Generation, Leases, When, milliseconds};
use crate::store::database::rows::number;
use crate::store::database::rows::statements::{finish_turn, renew_turn, take_turn};

const TAKE: &str = take_turn!("CAST(unixepoch('subsec') * 1000 AS INTEGER)");
const RENEW: &str = renew_turn!("CAST(unixepoch('subsec') * 1000 AS INTEGER)");
const FINISH: &str = finish_turn!("CAST(unixepoch('subsec') * 1000 AS INTEGER)");

#[async_trait]
impl Leases for SqliteDatabase {
    async fn take(&self, name: &str, holder: &str, time: Duration, when: When) -> Result<Option<Generation>> {
        let rows = sqlx::query(TAKE).bind(name).bind(holder).bind(milliseconds(time)).bind(when == When::Early);
        let rows = rows.fetch_all(&mut *self.writing().await?).await.map_err(failed)?;
        rows.first().map(|row| number(row, "generation").map(Generation)).transpose()
    }

    async fn renew(&self, name: &str, turn: Generation, time: Duration) -> Result<bool> {
        let renewed = sqlx::query(RENEW).bind(name).bind(turn.0).bind(milliseconds(time));
        Ok(renewed.execute(&mut *self.writing().await?).await.map_err(failed)?.rows_affected() == 1)
    }

    async fn finish(&self, name: &str, turn: Generation, next_in: Duration) -> Result<()> {
        let finished = sqlx::query(FINISH).bind(name).bind(turn.0).bind(milliseconds(next_in));
        finished.execute(&mut *self.writing().await?).await.map(drop).map_err(failed)
    }
}
