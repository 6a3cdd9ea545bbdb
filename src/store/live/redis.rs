//! The live store in Redis or Valkey (7 or newer), one server.
//!
//! `veritail:{J}:trace` is a hash of the entry, its epoch, the job's status and until when it is watched;
//! `veritail:{J}:chunk:I-E` holds the raw bytes of chunk `I` begun in epoch `E`. Both can be read with `redis-cli`, and
//! the hash tag keeps all keys of a job in one slot. Each write is one script, so it is atomic and one trip. Bytes that
//! were not released have no expiry.

use std::time::Duration;

use ::redis::aio::{ConnectionManager, ConnectionManagerConfig};
use ::redis::io::tcp::TcpSettings;
use ::redis::{InfoDict, IntoConnectionInfo, RedisError, Script};
use async_trait::async_trait;
use bytes::Bytes;

use self::errors::error;
use self::replies::Fields;
use super::{Append, Entry, Found, LiveCopy, LiveStore, LiveTrace, LiveUsage, Outcome, ScanPage};
use crate::store::{Result, StoreError};
use crate::trace::{ByteSize, ChunkId, DataStore, JobId, JobStatus, Timestamp};

mod errors;
mod keys;
mod replies;

/// The store's name in errors.
const NAME: &str = DataStore::Redis.as_str();

/// How long a command may take. A server that is slower is as good as away; what became of the command is not known.
pub const RESPONSE_TIMEOUT: Duration = Duration::from_secs(5);
/// How long making a connection may take.
pub const CONNECTION_TIMEOUT: Duration = Duration::from_secs(2);
/// An expiry further away than this would overflow the server's clock: about a hundred years.
const MAX_EXPIRY: Duration = Duration::from_secs(100 * 366 * 24 * 60 * 60);

/// The live store in one Redis or Valkey server.
pub struct RedisLive {
    connection: ConnectionManager,
    scripts: Scripts,
}

/// Known to the server by their checksums; one that it forgot (restart, `SCRIPT FLUSH`) is loaded again.
struct Scripts {
    append: Script,
    open: Script,
    replace: Script,
    set_status: Script,
    watch: Script,
    read_chunk: Script,
    release: Script,
}

impl RedisLive {
    /// Connects to the server at `url` (`redis://[user:password@]host:port/db`).
    ///
    /// A server that may evict keys when it is full would drop bytes that exist nowhere else, so it is refused unless
    /// `allow_eviction` says that the operator wants it. No error repeats the URL, which may hold a password.
    pub async fn connect(url: &str, allow_eviction: bool) -> Result<Self> {
        let unusable = |error: RedisError| {
            StoreError::unavailable(NAME, format_args!("its URL is not usable: {}", error.category()))
        };
        let target = url.into_connection_info().map_err(unusable)?.set_tcp_settings(tcp_settings());
        let address = target.addr().to_string();
        let client = ::redis::Client::open(target).map_err(unusable)?;
        let config = ConnectionManagerConfig::new()
            .set_response_timeout(Some(RESPONSE_TIMEOUT))
            .set_connection_timeout(Some(CONNECTION_TIMEOUT))
            // Every command tries to connect again; waiting for more attempts would only hold its caller.
            .set_number_of_retries(0);
        let connection = ConnectionManager::new_with_config(client, config)
            .await
            .map_err(|error| StoreError::unavailable(NAME, format_args!("cannot connect to {address}: {error}")))?;
        let scripts = Scripts {
            append: Script::new(include_str!("redis/append.lua")),
            open: Script::new(include_str!("redis/open.lua")),
            replace: Script::new(include_str!("redis/replace.lua")),
            set_status: Script::new(include_str!("redis/set_status.lua")),
            watch: Script::new(include_str!("redis/watch.lua")),
            read_chunk: Script::new(include_str!("redis/read_chunk.lua")),
            release: Script::new(include_str!("redis/release.lua")),
        };
        let live = Self { connection, scripts };
        if !allow_eviction {
            live.refuse_eviction(&address).await?;
        }
        Ok(live)
    }

    async fn refuse_eviction(&self, address: &str) -> Result<()> {
        // INFO and not CONFIG, which hosted servers often forbid.
        let policy = self.info().await?.get::<String>("maxmemory_policy");
        match policy.as_deref() {
            Some("noeviction") => Ok(()),
            Some(policy) => Err(StoreError::unavailable(
                NAME,
                format_args!(
                    "the server at {address} has maxmemory-policy {policy}: when it is full it drops log bytes that exist \
                     nowhere else; set it to noeviction, or allow eviction in the settings"
                ),
            )),
            None => Err(StoreError::unreadable(NAME, "INFO memory names no maxmemory_policy")),
        }
    }

    /// What the server says of its memory and of its evictions.
    async fn info(&self) -> Result<InfoDict> {
        let mut info = ::redis::cmd("INFO");
        info.arg("memory").arg("stats").query_async(&mut self.connection.clone()).await.map_err(error)
    }
}

#[async_trait]
impl LiveStore for RedisLive {
    fn name(&self) -> DataStore {
        DataStore::Redis
    }

    async fn load(&self, job: JobId) -> Result<Option<LiveTrace>> {
        let fields = replies::load(job).query_async(&mut self.connection.clone()).await.map_err(error)?;
        replies::trace(fields)
    }

    async fn append(&self, job: JobId, append: Append) -> Result<Outcome> {
        let mut script = self.scripts.append.key(keys::trace(job));
        script
            .key(keys::chunk(job, append.chunk))
            .arg(append.epoch.0)
            .arg(&append.expected[..])
            .arg(append.at.0)
            .arg(&append.bytes[..])
            .arg(u8::from(append.seals))
            .arg(&append.next[..]);
        let reply = script.invoke_async(&mut self.connection.clone()).await.map_err(error)?;
        replies::outcome(reply)
    }

    async fn replace(
        &self,
        job: JobId,
        expected: Option<Bytes>,
        next: &Entry,
        status: JobStatus,
        expires: Option<Duration>,
    ) -> Result<Outcome> {
        let expires = match next {
            Entry::Live(_) => None,
            Entry::Tombstone(_) => expires.map(milliseconds),
            Entry::Unreadable { .. } => return Err(super::unreadable_is_never_written(NAME)),
        };
        let mut script = match expected {
            None => self.scripts.open.key(keys::trace(job)),
            Some(expected) => {
                let mut script = self.scripts.replace.key(keys::trace(job));
                script.arg(&expected[..]);
                script
            }
        };
        script.arg(next.encode()).arg(next.epoch().0).arg(status.as_str()).arg(expires.unwrap_or_default());
        let reply = script.invoke_async(&mut self.connection.clone()).await.map_err(error)?;
        replies::outcome(reply)
    }

    async fn set_status(&self, job: JobId, status: JobStatus) -> Result<bool> {
        let mut script = self.scripts.set_status.key(keys::trace(job));
        script.arg(status.as_str()).arg(Entry::TOMBSTONE_BEGINS);
        script.invoke_async(&mut self.connection.clone()).await.map_err(error)
    }

    async fn watch(&self, job: JobId, until: Timestamp) -> Result<()> {
        let mut script = self.scripts.watch.key(keys::trace(job));
        script.arg(until.0).invoke_async(&mut self.connection.clone()).await.map_err(error)
    }

    async fn read_chunk(&self, job: JobId, chunk: ChunkId) -> Result<LiveCopy> {
        let mut script = self.scripts.read_chunk.key(keys::trace(job));
        script.key(keys::chunk(job, chunk));
        let mut fields: Fields = script.invoke_async(&mut self.connection.clone()).await.map_err(error)?;
        let bytes = fields.pop().flatten();
        Ok(LiveCopy { trace: replies::trace(fields)?, bytes })
    }

    async fn release(&self, job: JobId, chunk: ChunkId, grace: Duration) -> Result<()> {
        let mut script = self.scripts.release.key(keys::chunk(job, chunk));
        script.arg(milliseconds(grace)).invoke_async(&mut self.connection.clone()).await.map_err(error)
    }

    async fn scan(&self, from: Option<Vec<u8>>, limit: usize) -> Result<ScanPage> {
        let cursor = from.unwrap_or_else(|| b"0".to_vec());
        let mut scan = ::redis::cmd("SCAN");
        scan.arg(cursor).arg("MATCH").arg(keys::ALL).arg("COUNT").arg(limit.max(1));
        let mut connection = self.connection.clone();
        let (next, names): (Vec<u8>, Vec<Vec<u8>>) = scan.query_async(&mut connection).await.map_err(error)?;
        let mut found: Vec<Found> = names.iter().filter_map(|name| keys::read(name)).collect();

        // Whether a copy was released is known by its expiry: a second trip, for all of a page.
        let mut expiries = ::redis::pipe();
        for thing in &found {
            if let Found::Chunk { job, chunk, .. } = thing {
                expiries.cmd("PTTL").arg(keys::chunk(*job, *chunk));
            }
        }
        if !expiries.is_empty() {
            let expiries: Vec<i64> = expiries.query_async(&mut connection).await.map_err(error)?;
            let chunks = found.iter_mut().filter_map(|thing| match thing {
                Found::Chunk { released, .. } => Some(released),
                Found::Trace(_) => None,
            });
            for (released, expiry) in chunks.zip(expiries) {
                // -1 is a key that stays; -2 is one that went since, which only released ones do.
                *released = expiry != -1;
            }
        }
        Ok(ScanPage { found, next: Some(next).filter(|next| next != b"0") })
    }

    async fn usage(&self) -> Result<LiveUsage> {
        let info = self.info().await?;
        let number = |name| {
            let absent = || StoreError::unreadable(NAME, format_args!("INFO names no {name}"));
            info.get::<u64>(name).ok_or_else(absent)
        };
        Ok(LiveUsage {
            used: ByteSize(number("used_memory")?),
            limit: ByteSize(number("maxmemory")?),
            evicted: number("evicted_keys")?,
        })
    }

    async fn ping(&self) -> Result<()> {
        ::redis::cmd("PING").query_async(&mut self.connection.clone()).await.map_err(error)
    }
}

fn tcp_settings() -> TcpSettings {
    let settings = TcpSettings::default().set_nodelay(true);
    // A connection into nothing (a host that died without a word) is given up for a new one, not kept for the quarter of
    // an hour in which the system repeats what it sent.
    #[cfg(target_os = "linux")]
    let settings = settings.set_user_timeout(RESPONSE_TIMEOUT);
    settings
}

/// As the server takes it.
fn milliseconds(time: Duration) -> String {
    time.min(MAX_EXPIRY).as_millis().to_string()
}
