//! Who has which turn, by the server's clock.

use std::time::Duration;

use async_trait::async_trait;

use super::PostgresDatabase;
use super::calls::{Repeat, arguments};
use crate::store::Result;
use crate::store::database::leases::{Generation, Leases, When, milliseconds};
use crate::store::database::rows::number;
use crate::store::database::rows::statements::{finish_turn, renew_turn, take_turn};

// Not the clock of the transaction's begin, for it may have waited since.
const TAKE: &str = take_turn!("(extract(epoch FROM clock_timestamp()) * 1000)::bigint");
const RENEW: &str = renew_turn!("(extract(epoch FROM clock_timestamp()) * 1000)::bigint");
const FINISH: &str = finish_turn!("(extract(epoch FROM clock_timestamp()) * 1000)::bigint");

#[async_trait]
impl Leases for PostgresDatabase {
    async fn take(&self, name: &str, holder: &str, time: Duration, when: When) -> Result<Option<Generation>> {
        let arguments = arguments![name, holder, milliseconds(time), when == When::Early];
        let row = self.row(Repeat::Never, TAKE, arguments).await?;
        row.map(|row| number(&row, "generation").map(Generation)).transpose()
    }

    async fn renew(&self, name: &str, turn: Generation, time: Duration) -> Result<bool> {
        Ok(self.change(Repeat::Safe, RENEW, arguments![name, turn.0, milliseconds(time)]).await? == 1)
    }

    async fn finish(&self, name: &str, turn: Generation, next_in: Duration) -> Result<()> {
        self.change(Repeat::Safe, FINISH, arguments![name, turn.0, milliseconds(next_in)]).await.map(drop)
    }
}
