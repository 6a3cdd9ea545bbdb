//! One server: its connection, made again when it breaks, and how it introduced itself.
//!
//! However many commands wait, one attempt to connect is under way; after a failed one all of them fail at once until a
//! pause is over, which doubles up to a second and is never the same on two nodes. No command is sent twice from here: a
//! caller learns whether it was sent at all.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use ::redis::aio::MultiplexedConnection;
use ::redis::{
    AsyncConnectionConfig, Client, Cmd, ErrorKind, FromRedisValue, InfoDict, Pipeline, RedisError, RedisResult, Value,
};
use tokio::sync::Mutex;

use super::{CONNECTION_TIMEOUT, RESPONSE_TIMEOUT, Time};
use crate::seams::within;
use crate::trace::Timestamp;

/// The first pause after a failed attempt, in milliseconds, and the longest.
const PAUSE_MIN: u64 = 50;
const PAUSE_MAX: u64 = 1000;

/// Why a command has no answer.
#[derive(Debug)]
pub(super) enum Failed {
    /// There is no connection: the command was not sent.
    NotSent(RedisError),
    /// The server refused it, or its answer is lost and what became of it is not known.
    Sent(RedisError),
}

impl From<Failed> for RedisError {
    fn from(failed: Failed) -> Self {
        match failed {
            Failed::NotSent(error) | Failed::Sent(error) => error,
        }
    }
}

/// What a server says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Introduction {
    /// Another one after every start.
    pub(super) run_id: String,
    /// Another one when a replica takes over.
    pub(super) replication_id: String,
    pub(super) policy: String,
    pub(super) clustered: bool,
    version: String,
    role: String,
}

impl Introduction {
    fn read(info: &InfoDict) -> Self {
        let text = |name| info.get::<String>(name).unwrap_or_default();
        Self {
            run_id: text("run_id"),
            replication_id: text("master_replid"),
            policy: text("maxmemory_policy"),
            clustered: text("redis_mode") == "cluster",
            version: text("redis_version"),
            role: text("role"),
        }
    }

    /// A replica would answer reads with what it was told so far.
    fn check(&self, any_role: bool) -> RedisResult<()> {
        let major = self.version.split('.').next().and_then(|major| major.parse::<u32>().ok());
        if major.is_some_and(|major| major < 7) {
            let found = format!("version {}", self.version);
            return Err(
                (ErrorKind::InvalidClientConfig, "Redis 7 or Valkey 7.2 is the oldest that will do", found).into()
            );
        }
        if !any_role && self.role != "master" {
            let found = format!("its role is {}", self.role);
            return Err((ErrorKind::Client, "the server is not a master", found).into());
        }
        Ok(())
    }
}

/// A server and the way to it.
pub(super) struct Node {
    address: String,
    client: Client,
    time: Time,
    any_role: bool,
    /// The connection, and the how manieth it is.
    current: RwLock<Option<(u64, MultiplexedConnection)>>,
    introduction: RwLock<Introduction>,
    connecting: Mutex<Attempts>,
}

#[derive(Default)]
struct Attempts {
    made: u64,
    failed: u32,
    /// No further one until then, and why the last one failed.
    resting: Option<(Timestamp, RedisError)>,
}

impl Node {
    /// A server that must be a master.
    pub(super) fn new(address: String, client: Client, time: Time) -> Arc<Self> {
        Self::of(address, client, time, false)
    }

    /// One that is only asked about others; a replica will do.
    pub(super) fn of_any_role(address: String, client: Client, time: Time) -> Arc<Self> {
        Self::of(address, client, time, true)
    }

    fn of(address: String, client: Client, time: Time, any_role: bool) -> Arc<Self> {
        let (current, introduction, connecting) = Default::default();
        Arc::new(Self { address, client, time, any_role, current, introduction, connecting })
    }

    /// Where it is, for messages.
    pub(super) fn address(&self) -> &str {
        &self.address
    }

    /// How it introduced itself last; empty before that.
    pub(super) fn introduction(&self) -> Introduction {
        self.introduction.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Sends one command and waits for its answer.
    pub(super) async fn call(&self, command: &Cmd) -> Result<Value, Failed> {
        let (attempt, mut connection) = self.connection().await.map_err(Failed::NotSent)?;
        let answer = command.query_async::<Value>(&mut connection).await;
        answer.map_err(|error| self.failed(attempt, error))
    }

    /// The same for a slot that is on its way to this server.
    pub(super) async fn call_asking(&self, command: &Cmd) -> Result<Value, Failed> {
        let (attempt, mut connection) = self.connection().await.map_err(Failed::NotSent)?;
        // In one write: nobody else's command comes in between.
        let mut both = ::redis::pipe();
        both.cmd("ASKING").ignore().add_command(command.clone());
        let answer = both.query_async::<(Value,)>(&mut connection).await;
        answer.map(|(answer,)| answer).map_err(|error| self.failed(attempt, error))
    }

    /// Sends commands in one write, so that none of this connection's come in between, and waits for the answer to each.
    pub(super) async fn call_together(&self, commands: &Pipeline) -> Result<Vec<Value>, Failed> {
        let (attempt, mut connection) = self.connection().await.map_err(Failed::NotSent)?;
        let answers = commands.query_async::<Vec<Value>>(&mut connection).await;
        answers.map_err(|error| self.failed(attempt, error))
    }

    /// Asks the server about itself, and remembers its introduction.
    pub(super) async fn info(&self) -> RedisResult<InfoDict> {
        let info = self.call(&::redis::cmd("INFO")).await.map_err(RedisError::from)?;
        let info = InfoDict::from_redis_value(info)?;
        self.introduced(Introduction::read(&info));
        Ok(info)
    }

    fn introduced(&self, introduction: Introduction) {
        *self.introduction.write().unwrap_or_else(PoisonError::into_inner) = introduction;
    }

    /// A connection that failed, or did not answer in time, is not used again.
    fn failed(&self, attempt: u64, error: RedisError) -> Failed {
        if error.is_io_error() || error.is_unrecoverable_error() {
            let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
            if current.as_ref().is_some_and(|(of, _)| *of == attempt) {
                *current = None;
            }
        }
        Failed::Sent(error)
    }

    fn present(&self) -> Option<(u64, MultiplexedConnection)> {
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn connection(&self) -> RedisResult<(u64, MultiplexedConnection)> {
        if let Some(present) = self.present() {
            return Ok(present);
        }
        let mut attempts = self.connecting.lock().await;
        if let Some(present) = self.present() {
            return Ok(present);
        }
        let now = self.time.clock.now();
        if let Some((until, error)) = &attempts.resting
            // More than the longest pause ahead: the clock was set back.
            && (1..=PAUSE_MAX).contains(&until.ms_since(now))
        {
            return Err(error.clone());
        }
        attempts.made += 1;
        match self.connect().await {
            Ok(connection) => {
                let connection = (attempts.made, connection);
                *self.current.write().unwrap_or_else(PoisonError::into_inner) = Some(connection.clone());
                (attempts.failed, attempts.resting) = (0, None);
                Ok(connection)
            }
            Err(error) => {
                let pause = (PAUSE_MIN << attempts.failed.min(8)).min(PAUSE_MAX);
                attempts.failed += 1;
                let until = self.time.clock.now().plus_ms(self.time.jitter(pause));
                attempts.resting = Some((until, error.clone()));
                Err(error)
            }
        }
    }

    async fn connect(&self) -> RedisResult<MultiplexedConnection> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECTION_TIMEOUT))
            .set_response_timeout(Some(RESPONSE_TIMEOUT));
        let connect = async {
            let mut connection = self.client.get_multiplexed_async_connection_with_config(&config).await?;
            let info: InfoDict = ::redis::cmd("INFO").query_async(&mut connection).await?;
            let introduction = Introduction::read(&info);
            introduction.check(self.any_role)?;
            self.introduced(introduction);
            Ok(connection)
        };
        let late = || Err(std::io::Error::from(std::io::ErrorKind::TimedOut).into());
        within(self.time.clock.as_ref(), CONNECTION_TIMEOUT, connect).await.unwrap_or_else(late)
    }
}

impl Time {
    /// Between half of a time and all of it, in milliseconds.
    pub(super) fn jitter(&self, ms: u64) -> i64 {
        let half = ms / 2;
        i64::try_from(half + self.chance.bits() % (half + 1)).unwrap_or(i64::MAX)
    }

    /// Waits for about so long.
    pub(super) async fn pause(&self, ms: u64) {
        let ms = u64::try_from(self.jitter(ms)).unwrap_or_default();
        self.clock.sleep(Duration::from_millis(ms)).await;
    }
}
