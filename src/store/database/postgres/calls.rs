//! Calls: a statement or a transaction, once or again, within a limit.
//!
//! What had no effect for certain (a deadlock, a server that is a replica by now) is done again in any case. Where the
//! connection is lost, nobody knows; then it depends on the call, see [`Repeat`].

use std::time::Duration;

use async_trait::async_trait;
use sqlx::Executor as _;
use sqlx::postgres::{PgArguments, PgConnection, PgRow};

use super::PostgresDatabase;
use super::errors::{Fate, failed, fate};
use super::pool::within;
use crate::store::{Result, StoreError};

/// Whether a call whose answer was lost may be made again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Repeat {
    /// Yes: it changes nothing, or says the same if it finds its own change there.
    Safe,
    /// No: a second one would be another change, or say "somebody else was first" of what it did itself. Its connection is
    /// tested before, so that one which died while nobody used it costs no error.
    Never,
}

/// How often a call is made.
const ATTEMPTS: u32 = 4;

/// Why a step of a transaction failed.
pub(super) enum Failure {
    /// The server or the driver said no.
    Sql(sqlx::Error),
    /// What was read or is to be written fits nowhere.
    Value(StoreError),
}

impl From<sqlx::Error> for Failure {
    fn from(error: sqlx::Error) -> Self {
        Self::Sql(error)
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::Value(error)
    }
}

/// What a step of a transaction answers.
pub(super) type Step<T> = std::result::Result<T, Failure>;

/// The arguments of a statement, `$1` first.
macro_rules! arguments {
    ($($value:expr),* $(,)?) => {{
        #[allow(unused_mut, reason = "there may be none")]
        let mut arguments = sqlx::postgres::PgArguments::default();
        $(sqlx::Arguments::add(&mut arguments, $value)
            .map_err(|error| $crate::store::StoreError::unreadable($crate::store::database::NAME, error))?;)*
        arguments
    }};
}
pub(super) use arguments;

/// What is done on a connection, perhaps more than once.
#[async_trait]
pub(super) trait Work: Sync {
    /// What comes of it.
    type Answer: Send;

    async fn on(&self, connection: &mut PgConnection) -> Step<Self::Answer>;
}

/// A statement, for its rows.
struct Rows(&'static str, PgArguments);

#[async_trait]
impl Work for Rows {
    type Answer = Vec<PgRow>;

    async fn on(&self, connection: &mut PgConnection) -> Step<Vec<PgRow>> {
        Ok(sqlx::query_with(self.0, self.1.clone()).fetch_all(connection).await?)
    }
}

/// A statement, for the number of rows that it changes.
struct Change(&'static str, PgArguments);

#[async_trait]
impl Work for Change {
    type Answer = u64;

    async fn on(&self, connection: &mut PgConnection) -> Step<u64> {
        Ok(sqlx::query_with(self.0, self.1.clone()).execute(connection).await?.rows_affected())
    }
}

/// Work that has all its effects or none. `Some` commits, `None` and an error take back what was done.
struct Transaction<'a, W>(&'a W);

#[async_trait]
impl<T: Send, W: Work<Answer = Option<T>>> Work for Transaction<'_, W> {
    type Answer = Option<T>;

    async fn on(&self, connection: &mut PgConnection) -> Step<Option<T>> {
        connection.execute("BEGIN").await?;
        let answer = self.0.on(&mut *connection).await;
        connection.execute(if matches!(answer, Ok(Some(_))) { "COMMIT" } else { "ROLLBACK" }).await?;
        answer
    }
}

impl PostgresDatabase {
    /// The rows that a statement answers.
    pub(super) async fn rows(&self, repeat: Repeat, sql: &'static str, arguments: PgArguments) -> Result<Vec<PgRow>> {
        self.call(repeat, self.limit(), &Rows(sql, arguments)).await
    }

    /// The first row that a statement answers.
    pub(super) async fn row(&self, repeat: Repeat, sql: &'static str, arguments: PgArguments) -> Result<Option<PgRow>> {
        Ok(self.rows(repeat, sql, arguments).await?.into_iter().next())
    }

    /// How many rows a statement changes.
    pub(super) async fn change(&self, repeat: Repeat, sql: &'static str, arguments: PgArguments) -> Result<u64> {
        self.call(repeat, self.limit(), &Change(sql, arguments)).await
    }

    /// Does `work` in a transaction, which commits if it answers `Some`.
    pub(super) async fn transaction<T: Send>(
        &self,
        repeat: Repeat,
        work: &impl Work<Answer = Option<T>>,
    ) -> Result<Option<T>> {
        self.call(repeat, self.limit(), &Transaction(work)).await
    }

    /// Does the server answer within `limit`?
    pub(super) async fn ask(&self, limit: Duration) -> Result<()> {
        self.call(Repeat::Safe, limit, &Rows("SELECT 1", PgArguments::default())).await.map(drop)
    }

    /// How long a call may take in all.
    fn limit(&self) -> Duration {
        self.settings.acquire_timeout + self.settings.statement_timeout
    }

    /// Does `work` on a connection, again where that is right, within `limit`. Whoever stops waiting drops the connection.
    async fn call<W: Work>(&self, repeat: Repeat, limit: Duration, work: &W) -> Result<W::Answer> {
        within(limit, "no answer", async {
            let mut attempt = 1;
            loop {
                let mut held = self.pool.take(repeat == Repeat::Never || attempt > 1).await?;
                let error = match work.on(&mut held.connection).await {
                    Ok(answer) => {
                        held.keep();
                        return Ok(answer);
                    }
                    Err(Failure::Value(error)) => {
                        held.keep();
                        return Err(error);
                    }
                    Err(Failure::Sql(error)) => error,
                };
                let fate = fate(&error);
                match fate {
                    Fate::InTheWay | Fate::Refused => held.keep(),
                    Fate::WrongServer | Fate::Lost => {
                        drop(held);
                        self.pool.forget_idle();
                    }
                }
                let again = match fate {
                    Fate::InTheWay | Fate::WrongServer => true,
                    Fate::Lost => repeat == Repeat::Safe,
                    Fate::Refused => false,
                };
                if !again || attempt == ATTEMPTS {
                    return Err(failed(error));
                }
                attempt += 1;
            }
        })
        .await
    }
}
