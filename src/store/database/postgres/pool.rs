//! Connections: how they are made, kept and given up.
//!
//! Not the pool of `sqlx`: that one asks the server something whenever a connection comes back, without a limit, and a
//! server that vanishes in that moment keeps the place for as long as TCP hopes, which is a quarter of an hour. Here a
//! connection comes back only after an answer, and is dropped, socket and all, by whoever stops waiting for one.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{ConnectOptions as _, Connection as _};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::super::NAME;
use super::super::waits::{Connections, Waits};
use super::Settings;
use super::errors::{cannot_connect, failed};
use crate::store::{Result, StoreError};

/// At most so many connections, made when they are needed.
#[derive(Clone)]
pub(super) struct Pool {
    options: PgConnectOptions,
    settings: Settings,
    places: Arc<Semaphore>,
    idle: Arc<Mutex<Vec<PgConnection>>>,
    pub(super) waits: Waits,
}

/// A connection that is in use. Unless it is [`kept`](Held::keep), it is closed.
pub(super) struct Held {
    pub(super) connection: PgConnection,
    idle: Arc<Mutex<Vec<PgConnection>>>,
    _place: OwnedSemaphorePermit,
}

/// What every connection is set to:
/// - what waits for the server ends there too, a lock sooner than a statement, and a transaction whose node has stopped;
/// - a node that vanished is noticed, and so are its locks; what stands between both sees that the connection is alive;
/// - a commit that was answered is on the disk, whatever the server's default: a live copy is released because of it;
/// - statements are written for this isolation.
const SETTINGS: &str = "
    SELECT set_config('statement_timeout', $1, false), set_config('lock_timeout', $2, false),
           set_config('idle_in_transaction_session_timeout', $1, false),
           set_config('tcp_keepalives_idle', '60', false), set_config('tcp_keepalives_interval', '10', false),
           set_config('tcp_keepalives_count', '3', false), set_config('tcp_user_timeout', '90000', false),
           set_config('synchronous_commit', replace(current_setting('synchronous_commit'), 'off', 'on'), false),
           set_config('default_transaction_isolation', 'read committed', false)";

/// How long an idle connection has to show that it lives: one whose server vanished without a word never does.
const PING_MAX: Duration = Duration::from_secs(1);

impl Pool {
    pub(super) fn new(options: PgConnectOptions, settings: Settings) -> Self {
        let places = Arc::new(Semaphore::new(settings.pool_size.max(1) as usize));
        Self { options, settings, places, idle: Arc::default(), waits: Waits::default() }
    }

    /// A connection, within the time that callers wait for one. A `tested` one answered a moment ago.
    pub(super) async fn take(&self, tested: bool) -> Result<Held> {
        self.waits.told(self.take_within(tested)).await
    }

    /// How they are now.
    pub(super) fn connections(&self) -> Connections {
        let most = u64::from(self.settings.pool_size.max(1));
        let free = self.places.available_permits() as u64;
        Connections { idle: self.idle().len() as u64, in_use: most.saturating_sub(free), most }
    }

    async fn take_within(&self, tested: bool) -> Result<Held> {
        within(self.settings.acquire_timeout, "no connection was free or could be made", async {
            let place = self.places.clone().acquire_owned().await;
            let place = place.map_err(|_| StoreError::unavailable(NAME, "the connections are closed"))?;
            loop {
                let idle = self.idle().pop();
                let Some(mut connection) = idle else {
                    let connection = self.connect().await.map_err(cannot_connect)?;
                    return Ok(Held { connection, idle: self.idle.clone(), _place: place });
                };
                let lives = !tested || {
                    let ping = async { connection.ping().await.map_err(failed) };
                    within(PING_MAX, "no answer", ping).await.is_ok()
                };
                if lives {
                    return Ok(Held { connection, idle: self.idle.clone(), _place: place });
                }
            }
        })
        .await
    }

    async fn connect(&self) -> sqlx::Result<PgConnection> {
        let mut connection = self.options.connect().await?;
        let limit = self.settings.statement_timeout;
        let (statement, lock) = (limit.as_millis().to_string(), (limit / 2).as_millis().to_string());
        sqlx::query(SETTINGS).bind(statement).bind(lock).execute(&mut connection).await?;
        Ok(connection)
    }

    /// Takes no more callers and closes what is idle.
    pub(super) async fn close(&self) {
        self.places.close();
        let idle = std::mem::take(&mut *self.idle());
        for connection in idle {
            // A server that is gone needs no farewell.
            let farewell = async { connection.close().await.map_err(failed) };
            let _ = within(self.settings.acquire_timeout, "no farewell", farewell).await;
        }
    }

    /// Drops what is idle: after one connection was lost the others are likely to be.
    pub(super) fn forget_idle(&self) {
        self.idle().clear();
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<PgConnection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Held {
    /// It has answered everything that it was asked: the next one may have it.
    pub(super) fn keep(self) {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(self.connection);
    }
}

/// The answer, or `Unavailable` after `limit`.
pub(super) async fn within<T>(limit: Duration, late: &str, work: impl Future<Output = Result<T>>) -> Result<T> {
    #[allow(clippy::disallowed_methods, reason = "the limit is the machine's: a server that hangs")]
    let answer = tokio::time::timeout(limit, work).await;
    answer.unwrap_or_else(|_| Err(StoreError::unavailable(NAME, format!("{late} within {limit:?}"))))
}
