//! The live store in Redis (7 or newer) or Valkey: one server, a master that Sentinels know, or a Cluster.
//!
//! `veritail:{J}:trace` is a hash of the entry, its epoch, the job's status and until when it is watched;
//! `veritail:{J}:chunk:I-E` holds the raw bytes of chunk `I` begun in epoch `E`. Both can be read with `redis-cli`, and
//! the hash tag keeps all keys of a job in one slot. Each write is one script, so it is atomic and one trip. Long slices come to their
//! script by a key of their own ([`staged`]). Bytes that were not released have no expiry. Reads and writes go to masters only.
//!
//! [`masters`] brings a command to the master of its slot and says when it is sent again; [`node`] keeps the connection to
//! one server; [`marks`] knows a server that lost its last writes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ::redis::{Cmd, FromRedisValue, InfoDict, RedisError, RedisResult, Value};
use async_trait::async_trait;
use bytes::Bytes;
use futures::future::{join_all, try_join_all};

use self::access::{Access, Certificates};
use self::errors::error;
use self::marks::Marks;
use self::masters::Masters;
use self::replies::Fields;
use self::scripts::{Script, Scripts};
use self::staged::Staging;
use self::url::{Shape, Target};
use super::{Append, Entry, LiveCopy, LiveStore, LiveTrace, LiveUsage, Outcome, ScanPage};
use crate::seams::real::{SystemChance, SystemClock};
use crate::seams::{Chance, Clock};
use crate::store::{Result, StoreError};
use crate::trace::{ByteSize, ChunkId, DataStore, JobId, JobStatus, Timestamp};

pub use self::marks::{Rollback, RollbackKind};

mod access;
mod cluster;
mod errors;
mod keys;
mod marks;
mod masters;
mod node;
mod replies;
mod scan;
mod scripts;
mod sentinel;
mod staged;
mod url;

/// The store's name in errors.
const NAME: &str = DataStore::Redis.as_str();

/// How long a command may take. A server that is slower is as good as away; what became of the command is not known.
pub const RESPONSE_TIMEOUT: Duration = Duration::from_secs(5);
/// How long making a connection may take.
pub const CONNECTION_TIMEOUT: Duration = Duration::from_secs(2);
/// An expiry further away than this would overflow the server's clock: about a hundred years.
const MAX_EXPIRY: Duration = Duration::from_secs(100 * 366 * 24 * 60 * 60);
/// The policy under which a full server drops nothing.
const NO_EVICTION: &str = "noeviction";

/// Where the servers are, and who we are to them. Not `Debug`: it holds passwords.
#[derive(Clone, Default)]
pub struct Options {
    /// `redis://`, `redis-sentinel://`, `redis-cluster://`, each with `rediss` for TLS, or `redis+unix://`.
    pub url: String,
    /// True to accept servers that may evict keys.
    pub allow_eviction: bool,
    /// Whom to trust with TLS, PEM; `None`: whom the system trusts.
    pub authority: Option<Vec<u8>>,
    /// Our own certificate and its key, PEM.
    pub certificate: Option<(Vec<u8>, Vec<u8>)>,
    /// The user that Sentinels know.
    pub sentinel_user: Option<String>,
    /// Its password.
    pub sentinel_password: Option<String>,
}

/// What waiting and chance go by.
#[derive(Clone)]
struct Time {
    clock: Arc<dyn Clock>,
    chance: Arc<dyn Chance>,
}

/// The live store in Redis or Valkey.
pub struct RedisLive {
    masters: Masters,
    scripts: Scripts,
    staging: Staging,
    allow_eviction: bool,
    /// This process among those that raise marks.
    process: String,
    marks: Mutex<Marks>,
    evicted: Mutex<Evicted>,
}

/// Keys that servers dropped, by what each last said: one that starts again counts from 0.
#[derive(Default)]
struct Evicted {
    all: u64,
    last: BTreeMap<String, u64>,
}

impl Evicted {
    /// A server says so many now. Answers those of all servers, so far.
    fn now(&mut self, server: &str, says: u64) -> u64 {
        let before = self.last.insert(server.to_owned(), says).filter(|before| *before <= says).unwrap_or(0);
        self.all = self.all.saturating_add(says - before);
        self.all
    }
}

impl RedisLive {
    /// Connects by a URL alone.
    pub async fn connect(url: &str, allow_eviction: bool) -> Result<Self> {
        let options = Options { url: url.to_owned(), allow_eviction, ..Options::default() };
        Self::open(options, Arc::new(SystemClock), Arc::new(SystemChance)).await
    }

    /// Connects to the masters.
    ///
    /// A server that may evict keys when it is full would drop bytes that exist nowhere else, so it is refused unless the
    /// operator wants it. Fails if no master answers. No error repeats the URL, which may hold a password.
    pub async fn open(options: Options, clock: Arc<dyn Clock>, chance: Arc<dyn Chance>) -> Result<Self> {
        let unusable = |error| StoreError::unavailable(NAME, format_args!("its URL is not usable: {error}"));
        let target = Target::read(&options.url).map_err(unusable)?;
        let place = target.place();
        let access = Access {
            tls: target.tls,
            certificates: Certificates { authority: options.authority, own: options.certificate },
            user: target.user,
            password: target.password,
            db: target.db,
            sentinel_user: options.sentinel_user,
            sentinel_password: options.sentinel_password,
        };
        let process = chance.name().chars().take(12).collect();
        let clustered = matches!(target.shape, Shape::Cluster(_));
        let masters = Masters::find(target.shape, access, Time { clock, chance }).await;
        let masters = masters.map_err(|error| cannot_connect(&place, &error))?;
        let allow_eviction = options.allow_eviction;
        let live = Self {
            masters,
            scripts: Scripts::new(),
            staging: Staging::default(),
            allow_eviction,
            process,
            marks: Mutex::default(),
            evicted: Mutex::default(),
        };
        live.introduce(clustered).await?;
        Ok(live)
    }

    /// Asks every master about itself. One that is away does not keep the others from being used.
    async fn introduce(&self, clustered: bool) -> Result<()> {
        let mut failed = None;
        let mut answered = false;
        for (_, node) in self.masters.map().masters() {
            // INFO and not CONFIG, which hosted servers often forbid.
            if let Err(error) = node.info().await {
                failed = Some(cannot_connect(node.address(), &error));
                continue;
            }
            answered = true;
            let introduction = node.introduction();
            if introduction.clustered && !clustered {
                let message = format!(
                    "the server at {} is part of a Cluster; write redis-cluster:// (or rediss-cluster://) in its URL",
                    node.address()
                );
                return Err(StoreError::unavailable(NAME, message));
            }
            let policy = introduction.policy.as_str();
            if policy.is_empty() {
                return Err(StoreError::unreadable(NAME, "INFO names no maxmemory_policy"));
            }
            if policy != NO_EVICTION && !self.allow_eviction {
                let message = format!(
                    "the server at {} has maxmemory-policy {policy}: when it is full it drops log bytes that exist \
                     nowhere else; set it to {NO_EVICTION}, or allow eviction in the settings",
                    node.address()
                );
                return Err(StoreError::unavailable(NAME, message));
            }
        }
        match failed {
            Some(error) if !answered => Err(error),
            _ => Ok(()),
        }
    }

    /// Raises this process's mark on every master, and answers those that lost their last writes. A master that is away
    /// is looked at when it is back.
    pub async fn look_for_rollbacks(&self) -> Vec<Rollback> {
        let all = self.masters.map().masters();
        let slots: Vec<u16> = all.iter().map(|(slot, _)| *slot).collect();
        self.marks().keep(&slots);
        let looks = all.into_iter().map(|(slot, node)| async move {
            let sent = self.marks().raise(slot);
            let key = keys::mark(&marks::tag(slot), &self.process);
            let stays = milliseconds(marks::STAYS);
            let arguments = [sent.to_string(), stays];
            let arguments = arguments.each_ref().map(String::as_bytes);
            let found: Option<u64> = self.run(&self.scripts.mark, slot, &[key], &arguments).await.ok()?;
            self.marks().answered(slot, node.address(), sent, found, node.introduction())
        });
        join_all(looks).await.into_iter().flatten().collect()
    }

    /// How many masters drop nothing when they are full, and where those are that may; by what each said last.
    pub fn evicting(&self) -> (usize, Vec<String>) {
        let all = self.masters.map().masters();
        let (safe, evicting): (Vec<_>, Vec<_>) = all
            .into_iter()
            .map(|(_, node)| (node.introduction().policy, node.address().to_owned()))
            .filter(|(policy, _)| !policy.is_empty())
            .partition(|(policy, _)| policy == NO_EVICTION);
        (safe.len(), evicting.into_iter().map(|(policy, address)| format!("{address} ({policy})")).collect())
    }

    /// Whether the operator accepts servers that may evict.
    pub fn allows_eviction(&self) -> bool {
        self.allow_eviction
    }

    fn marks(&self) -> std::sync::MutexGuard<'_, Marks> {
        self.marks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs a script on the keys of one slot.
    async fn run<T: FromRedisValue>(
        &self,
        script: &Script,
        slot: u16,
        keys: &[String],
        arguments: &[&[u8]],
    ) -> Result<T> {
        read(script.run(&self.masters, slot, keys, arguments).await)
    }

    /// Sends a command about the keys of a job.
    async fn ask<T: FromRedisValue>(&self, job: JobId, command: &Cmd) -> Result<T> {
        read(self.masters.call(keys::slot(job), command).await)
    }

    /// Those of a job's copies that are there. One command where there is none, which is nearly always so, or where all are.
    async fn present_of(&self, job: JobId, chunks: Vec<ChunkId>) -> Result<Vec<(JobId, ChunkId)>> {
        let count = self.exist(job, &chunks).await?;
        if count == chunks.len() as u64 {
            return Ok(chunks.into_iter().map(|chunk| (job, chunk)).collect());
        }
        let mut present = Vec::new();
        for chunk in chunks.into_iter().filter(|_| count > 0) {
            if self.exist(job, &[chunk]).await? > 0 {
                present.push((job, chunk));
            }
        }
        Ok(present)
    }

    /// How many of a job's copies are there.
    async fn exist(&self, job: JobId, chunks: &[ChunkId]) -> Result<u64> {
        let mut exist = ::redis::cmd("EXISTS");
        chunks.iter().for_each(|chunk| {
            exist.arg(keys::chunk(job, *chunk));
        });
        self.ask(job, &exist).await
    }

    /// What every master says of its memory and of its evictions.
    async fn infos(&self) -> Result<BTreeMap<String, InfoDict>> {
        let asked = self.masters.map().masters().into_iter().map(|(_, node)| async move {
            let info = node.info().await.map_err(error)?;
            Ok((node.address().to_owned(), info))
        });
        join_all(asked).await.into_iter().collect()
    }
}

fn read<T: FromRedisValue>(answer: RedisResult<Value>) -> Result<T> {
    T::from_redis_value(answer.map_err(error)?).map_err(|unreadable| error(unreadable.into()))
}

fn cannot_connect(place: &str, error: &RedisError) -> StoreError {
    StoreError::unavailable(NAME, format_args!("cannot connect to {place}: {error}"))
}

#[async_trait]
impl LiveStore for RedisLive {
    fn name(&self) -> DataStore {
        DataStore::Redis
    }

    async fn load(&self, job: JobId) -> Result<Option<LiveTrace>> {
        replies::trace(self.ask(job, &replies::load(job)).await?)
    }

    async fn append(&self, job: JobId, append: Append) -> Result<Outcome> {
        if self.staging.takes(&append)
            && let Some(outcome) = self.append_staged(job, &append).await?
        {
            return Ok(outcome);
        }
        let keys = [keys::trace(job), keys::chunk(job, append.chunk)];
        let (epoch, at, seals) =
            (append.epoch.0.to_string(), append.at.0.to_string(), u8::from(append.seals).to_string());
        let arguments =
            [epoch.as_bytes(), &append.expected, at.as_bytes(), &append.bytes, seals.as_bytes(), &append.next];
        replies::outcome(self.run(&self.scripts.append, keys::slot(job), &keys, &arguments).await?)
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
        let (entry, epoch, expires) = (next.encode(), next.epoch().0.to_string(), expires.unwrap_or_default());
        let rest = [&entry[..], epoch.as_bytes(), status.as_str().as_bytes(), expires.as_bytes()];
        let (script, arguments) = match &expected {
            None => (&self.scripts.open, rest.to_vec()),
            Some(expected) => (&self.scripts.replace, [&[&expected[..]], &rest[..]].concat()),
        };
        replies::outcome(self.run(script, keys::slot(job), &[keys::trace(job)], &arguments).await?)
    }

    async fn set_status(&self, job: JobId, status: JobStatus) -> Result<bool> {
        let arguments = [status.as_str().as_bytes(), Entry::TOMBSTONE_BEGINS.as_bytes()];
        self.run(&self.scripts.set_status, keys::slot(job), &[keys::trace(job)], &arguments).await
    }

    async fn watch(&self, job: JobId, until: Timestamp) -> Result<()> {
        let until = until.0.to_string();
        self.run(&self.scripts.watch, keys::slot(job), &[keys::trace(job)], &[until.as_bytes()]).await
    }

    async fn read_chunk(&self, job: JobId, chunk: ChunkId) -> Result<Option<Bytes>> {
        let mut get = ::redis::cmd("GET");
        get.arg(keys::chunk(job, chunk));
        self.ask(job, &get).await
    }

    async fn read_open(&self, job: JobId, chunk: ChunkId) -> Result<LiveCopy> {
        let keys = [keys::trace(job), keys::chunk(job, chunk)];
        let mut fields: Fields = self.run(&self.scripts.read_open, keys::slot(job), &keys, &[]).await?;
        let bytes = fields.pop().flatten();
        Ok(LiveCopy { trace: replies::trace(fields)?, bytes })
    }

    async fn present(&self, copies: &[(JobId, ChunkId)]) -> Result<BTreeSet<(JobId, ChunkId)>> {
        let mut by_job: BTreeMap<JobId, Vec<ChunkId>> = BTreeMap::new();
        for (job, chunk) in copies {
            by_job.entry(*job).or_default().push(*chunk);
        }
        let asked = by_job.into_iter().map(|(job, chunks)| self.present_of(job, chunks));
        Ok(try_join_all(asked).await?.concat().into_iter().collect())
    }

    async fn release(&self, job: JobId, chunk: ChunkId, grace: Duration) -> Result<()> {
        let grace = milliseconds(grace);
        self.run(&self.scripts.release, keys::slot(job), &[keys::chunk(job, chunk)], &[grace.as_bytes()]).await
    }

    async fn scan(&self, from: Option<Vec<u8>>, limit: usize) -> Result<ScanPage> {
        scan::page(&self.masters, from, limit).await
    }

    async fn usage(&self) -> Result<LiveUsage> {
        // Now and then, so that a master that took over, or came new, is known before a command needs it.
        self.masters.refresh().await.map_err(error)?;
        let mut usage = LiveUsage::default();
        let mut unlimited = false;
        for (address, info) in self.infos().await? {
            let number = |name| {
                let absent = || StoreError::unreadable(NAME, format_args!("INFO of {address} names no {name}"));
                info.get::<u64>(name).ok_or_else(absent)
            };
            let limit = number("maxmemory")?;
            usage.add(ByteSize(number("used_memory")?), ByteSize(limit));
            usage.evicted =
                self.evicted.lock().unwrap_or_else(PoisonError::into_inner).now(&address, number("evicted_keys")?);
            unlimited |= limit == 0;
        }
        if unlimited {
            usage.limit = ByteSize::ZERO;
        }
        Ok(usage)
    }

    async fn ping(&self) -> Result<()> {
        let ping = ::redis::cmd("PING");
        let asked = self.masters.map().masters().into_iter().map(|(_, node)| {
            let ping = &ping;
            async move {
                let away = |failed: node::Failed| {
                    StoreError::unavailable(NAME, format_args!("{}: {}", node.address(), RedisError::from(failed)))
                };
                node.call(ping).await.map(drop).map_err(away)
            }
        });
        let answers: Result<Vec<()>> = join_all(asked).await.into_iter().collect();
        if answers.is_err() {
            // Perhaps another one has taken over since.
            let _ = self.masters.refresh().await;
        }
        answers.map(drop)
    }
}

/// As the server takes it.
fn milliseconds(time: Duration) -> String {
    time.min(MAX_EXPIRY).as_millis().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_counts_from_zero_again_is_added_to_what_it_said_before() {
        let mut evicted = Evicted::default();
        let said: Vec<u64> = [("a", 50), ("b", 0), ("a", 50), ("a", 0), ("a", 40), ("b", 3), ("a", 41)]
            .into_iter()
            .map(|(server, says)| evicted.now(server, says))
            .collect();
        assert_eq!(said, [50, 50, 50, 50, 90, 93, 94]);
    }
}
