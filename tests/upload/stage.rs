//! Where a scenario plays: the same parts on the embedded stores, on Redis, and on the engines of production, and the same
//! ways to lose bytes.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use veritail::trace::{Epoch, JobId};

use crate::support::bad_network::{BadNetwork, Fault};
use crate::support::production::Production;
use crate::support::redis_server::{Durability, RedisServer};
use crate::support::server::{Away, Binary, Client, Hooks, Job, Node};
use crate::support::wait::{PATIENCE, holds_within};

/// A server, and hands on its live store.
pub enum Stage {
    /// In the test's process, because nobody else can reach into an embedded store.
    Embedded {
        /// The server.
        node: Node,
        /// What is away.
        away: Arc<Away>,
    },
    /// The real program over a real Redis.
    Redis {
        /// The program.
        server: Box<Binary>,
        /// Its Redis.
        redis: RedisServer,
    },
    /// The real program over Redis, PostgreSQL and S3.
    Production {
        /// The program.
        server: Box<Binary>,
        /// Its engines.
        engines: Box<Production>,
        /// Between it and S3.
        network: BadNetwork,
    },
}

/// How every program is set, so that nothing is waited for longer than it must be.
const QUICK: &[(&str, &str)] = &[("VERITAIL_SWEEP_INTERVAL", "200ms"), ("VERITAIL_FINALIZE_WAIT", "500ms")];

impl Stage {
    /// On the embedded stores.
    pub async fn embedded() -> Self {
        let away = Arc::new(Away::default());
        let mut hooks = Hooks::new(away.clone());
        hooks.settings.finalize_wait = Duration::from_millis(500);
        Self::Embedded { node: Node::start(hooks).await, away }
    }

    /// On Redis.
    pub async fn redis() -> Self {
        let redis = RedisServer::start(Durability::Nothing);
        let url = redis.url();
        let variables = [&[("VERITAIL_REDIS_URL", url.as_str())][..], QUICK].concat();
        Self::Redis { server: Box::new(Binary::start(&variables)), redis }
    }

    /// On Redis, PostgreSQL and S3.
    pub async fn production() -> Self {
        let engines = Production::start().await;
        let network = BadNetwork::before(engines.s3_port()).await;
        let engines_at = engines.variables(network.port());
        let mut variables: Vec<(&str, &str)> =
            engines_at.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        variables.extend(QUICK);
        // A store that is away says so at once, as a folder does: whoever tries again has the chunk in hand meanwhile, and
        // moves it on when the store is back, although its live copy was lost.
        variables.push(("VERITAIL_OBJECT_RETRY_FOR", "0s"));
        let server = Box::new(Binary::start(&variables));
        Self::Production { server, engines: Box::new(engines), network }
    }

    /// A client with the admin's token.
    pub fn client(&self) -> &Client {
        match self {
            Self::Embedded { node, .. } => node.client(),
            Self::Redis { server, .. } | Self::Production { server, .. } => server.client(),
        }
    }

    /// The live store's name in messages.
    pub fn live(&self) -> &'static str {
        match self {
            Self::Embedded { .. } => "embedded",
            Self::Redis { .. } | Self::Production { .. } => "redis",
        }
    }

    /// The object store takes nothing, so that chunks stay in the live store.
    pub fn take_objects_away(&self) {
        match self {
            Self::Embedded { away, .. } => away.take("object_store", Away::ALL),
            Self::Redis { server, .. } => server.take_objects_away(),
            Self::Production { network, .. } => network.always(Some(("PUT", Fault::Refuse(503)))),
        }
    }

    /// It takes objects again.
    pub fn bring_objects_back(&self) {
        match self {
            Self::Embedded { away, .. } => away.bring_back("object_store", Away::ALL),
            Self::Redis { server, .. } => server.bring_objects_back(),
            Self::Production { network, .. } => network.always(None),
        }
    }

    /// The live copy of a chunk begun in `epoch` is lost, as by a hand or a bug.
    pub async fn lose(&self, job: &Job, index: u32, epoch: u32) {
        match self {
            Self::Embedded { node, .. } => node.lose_live_copy(job, index, epoch).await,
            Self::Redis { .. } | Self::Production { .. } => {
                let key = format!("veritail:{{{}}}:chunk:{index}-{epoch}", job.id);
                let lost: u64 = command(self.redis_server(), &["DEL", &key]).await;
                assert_eq!(lost, 1, "{key} is not in the live store");
            }
        }
    }

    /// Redis loses everything at once.
    pub async fn lose_everything(&self) {
        let _: String = command(self.redis_server(), &["FLUSHALL"]).await;
    }

    fn redis_server(&self) -> &RedisServer {
        match self {
            Self::Embedded { .. } => panic!("only Redis can be reached from outside"),
            Self::Redis { redis, .. } => redis,
            Self::Production { engines, .. } => &engines.redis,
        }
    }

    fn program(&self) -> &Binary {
        match self {
            Self::Embedded { .. } => panic!("it is no program of its own"),
            Self::Redis { server, .. } | Self::Production { server, .. } => server,
        }
    }

    /// The log is there byte for byte, by its own account proven; answers its mismatches.
    pub async fn assert_log(&self, job: &Job, log: &[u8], verdict: &str) -> Vec<Value> {
        let trace = self.client().trace(job).await;
        assert_eq!(trace.len(), log.len());
        assert!(trace == log, "other bytes came back than were sent");
        let report = self.client().integrity(job).await;
        assert_eq!(report["verdict"], verdict, "{report:#}");
        assert_eq!(report["crc32"], format!("{:08x}", crc32fast::hash(log)), "{report:#}");
        report["mismatches"].as_array().expect("a list").clone()
    }

    /// Waits until the live store is in this epoch: what is written down of a loss goes to the database first, and its runner is
    /// told by the live store.
    pub async fn until_epoch(&self, job: &Job, epoch: u32) {
        let is_in_it = async || match self {
            Self::Embedded { node, .. } => {
                let trace = node.stores().live.load(JobId(job.id)).await.expect("it answers");
                trace.is_some_and(|trace| trace.entry.epoch() == Epoch(epoch))
            }
            Self::Redis { .. } | Self::Production { .. } => {
                let key = format!("veritail:{{{}}}:trace", job.id);
                let found: Option<u32> = command(self.redis_server(), &["HGET", &key, "epoch"]).await;
                found == Some(epoch)
            }
        };
        assert!(holds_within(PATIENCE, is_in_it).await, "job {}: its live store never came to epoch {epoch}", job.id);
    }

    /// Waits until the loss of a chunk is written down.
    pub async fn until_found(&self, job: &Job) {
        self.until_lost(job, 1).await;
    }

    /// Waits until the loss of so many chunks is written down. Whoever had a chunk in hand when its live copy was lost
    /// still moves it on if the object store takes it; once the loss is written down, nobody has one any more.
    pub async fn until_lost(&self, job: &Job, chunks: usize) {
        let found = |report: &Value| report["mismatches"].as_array().is_some_and(|all| all.len() >= chunks);
        self.client().integrity_until(job, "a mismatch for each lost chunk", found).await;
    }

    /// Waits until a job that ended, while the object store is away, got as far as moving its chunks on: by then all of
    /// them are recorded, the last one too. The answer to the final PUT does not say so, it waits for so long only.
    pub async fn until_all_recorded(&self) {
        let server = self.program();
        let tried = |log: &str| log.contains("not proven yet") || log.contains("moving an unfinished job on failed");
        let did = holds_within(PATIENCE, async || tried(&server.log())).await;
        assert!(did, "nobody tried to prove the trace: {}", server.log());
    }

    /// Ends it.
    pub async fn stop(self) {
        match self {
            Self::Embedded { node, .. } => node.stop().await,
            Self::Redis { server, .. } | Self::Production { server, .. } => {
                assert_eq!(server.client().metric("veritail_panics_total", "").await, 0.0, "{}", server.log());
            }
        }
    }
}

/// Asserts of every mismatch what it is and how it ended: chunk, kind, state and resolution, in the order of chunks.
pub fn assert_mismatches(found: &[Value], live: &str, expected: &[(u64, &str, &str)]) {
    let mut seen: Vec<(u64, &str, &str)> = found
        .iter()
        .map(|mismatch| {
            assert_eq!(mismatch["store"], live, "{mismatch:#}");
            assert_eq!(mismatch["state"] == "resolved", mismatch["resolution"].is_string(), "{mismatch:#}");
            let chunk = mismatch["chunk_index"].as_u64().expect("a chunk");
            (chunk, mismatch["kind"].as_str().expect("a kind"), mismatch["resolution"].as_str().unwrap_or("open"))
        })
        .collect();
    seen.sort_unstable();
    assert_eq!(seen, expected, "{found:#?}");
}

async fn command<T: redis::FromRedisValue>(server: &RedisServer, words: &[&str]) -> T {
    let client = redis::Client::open(server.url()).expect("a URL");
    let mut connection = client.get_multiplexed_async_connection().await.expect("connected");
    let mut command = redis::cmd(words[0]);
    command.arg(&words[1..]).query_async(&mut connection).await.expect("done")
}

/// The same scenario on every stage, a test each.
macro_rules! on_every_stage {
    ($($name:ident)+) => {
        mod embedded {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $name() {
                super::$name($crate::stage::Stage::embedded().await).await;
            })+
        }
        mod redis {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $name() {
                super::$name($crate::stage::Stage::redis().await).await;
            })+
        }
        mod production {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $name() {
                super::$name($crate::stage::Stage::production().await).await;
            })+
        }
    };
}
pub(crate) use on_every_stage;
