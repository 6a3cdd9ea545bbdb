//! Who has which turn, by the server's clock.

use std::time::Duration;

use async_trait::async_trait;

use super::PostgresDatabase;
use super::calls::{Repeat, arguments};
use crate::store::Result;
use crate::store::database::leases::{Generation, Leases, When};
use crate::store::database::rows::number;

/// The server's clock, in milliseconds since 1970: not that of the transaction's begin, for it may have waited since.
macro_rules! now {
    () => {
        "(extract(epoch FROM clock_timestamp()) * 1000)::bigint"
    };
}

fn milliseconds(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX / 4)
}

#[async_trait]
impl Leases for PostgresDatabase {
    async fn take(&self, name: &str, holder: &str, time: Duration, when: When) -> Result<Option<Generation>> {
        let sql = concat!(
            "INSERT INTO leases (name, holder, generation, expires_at, due_at)
             VALUES ($1, $2, 1, ",
            now!(),
            " + $3, 0)
             ON CONFLICT (name) DO UPDATE
             SET holder = excluded.holder, generation = leases.generation + 1, expires_at = excluded.expires_at
             WHERE leases.expires_at <= ",
            now!(),
            " AND ($4 OR leases.due_at <= ",
            now!(),
            ") RETURNING generation"
        );
        let arguments = arguments![name, holder, milliseconds(time), when == When::Early];
        let row = self.row(Repeat::Never, sql, arguments).await?;
        row.map(|row| number(&row, "generation").map(Generation)).transpose()
    }

    async fn renew(&self, name: &str, turn: Generation, time: Duration) -> Result<bool> {
        let sql = concat!(
            "UPDATE leases SET expires_at = ",
            now!(),
            " + $3 WHERE name = $1 AND generation = $2 AND expires_at > ",
            now!()
        );
        Ok(self.change(Repeat::Safe, sql, arguments![name, turn.0, milliseconds(time)]).await? == 1)
    }

    async fn finish(&self, name: &str, turn: Generation, next_in: Duration) -> Result<()> {
        let sql =
            concat!("UPDATE leases SET expires_at = 0, due_at = ", now!(), " + $3 WHERE name = $1 AND generation = $2");
        self.change(Repeat::Safe, sql, arguments![name, turn.0, milliseconds(next_in)]).await?;
        Ok(())
    }
}
