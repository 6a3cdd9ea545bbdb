//! What a scenario runs on: the engines, three nodes over them, and a balancer before the nodes.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use futures::TryStreamExt as _;
use veritail::pipeline::Stores;
use veritail::seams::real::SystemClock;
use veritail::store::database::postgres::PostgresDatabase;
use veritail::store::live::redis::RedisLive;
use veritail::store::object::bucket::{Bucket, Options};
use veritail::store::object::keys;
use veritail::trace::{ChunkIndex, ChunkState, JobId};

use crate::balancer::Balancer;
use crate::support::bad_network::BadNetwork;
use crate::support::postgres_server::{self, PostgresServer};
use crate::support::redis_sentinel::RedisSentinel;
use crate::support::redis_server::{Durability, Product, RedisServer};
use crate::support::server::{Binary, Client, Job, PROGRAM, Send as _};
use crate::support::weed::Weed;

/// Nodes over the same stores.
const NODES: usize = 3;
/// Small, so that a short log has many chunks.
const CHUNK_SIZE: &str = "16384";

/// The servers that all scenarios share, one after the other: they take seconds to start.
pub struct Engines {
    pub postgres: PostgresServer,
    pub weed: Weed,
    /// What nodes are before they are restarted.
    program: PathBuf,
    scenarios: u32,
}

impl Engines {
    /// Starts them; they answer when this returns. Nodes begin as `program`, and are restarted as the program of now.
    pub fn start(program: Option<&Path>) -> Self {
        let program = program.unwrap_or(Path::new(PROGRAM)).to_owned();
        Self { postgres: PostgresServer::start(), weed: Weed::start(), program, scenarios: 0 }
    }
}

/// The Redis that a scenario wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Redis {
    /// One server that keeps nothing over a restart but what it was told to save.
    Alone,
    /// One server that writes everything to its disk before it answers.
    Keeps,
    /// A master and a replica behind three Sentinels.
    Sentinels,
}

/// The same, running.
pub enum RunningRedis {
    Alone(RedisServer),
    Sentinels(RedisSentinel),
}

/// See the module. Everything but the engines ends with it.
pub struct Stack {
    nodes: Vec<Binary>,
    balancer: Balancer,
    redis: RunningRedis,
    pub engines: Engines,
    /// Between the nodes and S3.
    pub network: BadNetwork,
    client: Client,
    database: String,
    bucket: String,
}

impl Stack {
    /// Starts everything; it answers when this returns.
    pub async fn start(redis: Redis, mut engines: Engines) -> Self {
        engines.scenarios += 1;
        let (database, bucket) = (format!("chaos_{}", engines.scenarios), format!("chaos-{}", engines.scenarios));
        engines.postgres.execute("postgres", format!("CREATE DATABASE {database}")).await;
        engines.weed.make_bucket(&bucket);
        let redis = match redis {
            Redis::Alone => RunningRedis::Alone(RedisServer::start(Durability::Nothing)),
            Redis::Keeps => RunningRedis::Alone(RedisServer::start(Durability::Always)),
            Redis::Sentinels => RunningRedis::Sentinels(RedisSentinel::start(Product::Redis)),
        };
        let network = BadNetwork::before(engines.weed.port()).await;
        let balancer = Balancer::start().await;
        let nowhere = Client::new(balancer.address(), "");
        let mut stack =
            Self { nodes: Vec::new(), balancer, redis, engines, network, client: nowhere, database, bucket };
        let variables = stack.variables();
        let variables: Vec<(&str, &str)> =
            variables.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        stack.nodes = (0..NODES).map(|_| Binary::start_program(&stack.engines.program, &variables)).collect();
        stack.client = stack.nodes[0].client().by_way_of(stack.balancer.address());
        stack.tell_balancer();
        stack
    }

    fn variables(&self) -> Vec<(String, String)> {
        let mut variables = self.s3_variables(self.network.port());
        let mut set = |name: &str, value: &str| variables.push((name.to_owned(), value.to_owned()));
        set("VERITAIL_REDIS_URL", &self.redis_url());
        set("VERITAIL_DATABASE_URL", &self.engines.postgres.url(&self.database));
        set("VERITAIL_OBJECT_STORE_URL", &format!("s3://{}", self.bucket));
        // Everything in seconds that is minutes in production, so that a scenario takes seconds too.
        set("VERITAIL_CHUNK_SIZE", CHUNK_SIZE);
        set("VERITAIL_SWEEP_INTERVAL", "500ms");
        set("VERITAIL_LIVE_SWEEP_INTERVAL", "2s");
        set("VERITAIL_LIVE_GRACE", "1s");
        set("VERITAIL_LEASE_TIME", "3s");
        set("VERITAIL_SPILL_AFTER", "1s");
        set("VERITAIL_OBJECT_PATIENCE", "3s");
        set("VERITAIL_OBJECT_TIMEOUT", "2s");
        set("VERITAIL_OBJECT_RETRY_FOR", "500ms");
        set("VERITAIL_DATABASE_STATEMENT_TIMEOUT", "3s");
        set("VERITAIL_DATABASE_ACQUIRE_TIMEOUT", "2s");
        variables
    }

    /// How S3 is reached at a port: the network before it, or the server itself.
    fn s3_variables(&self, port: u16) -> Vec<(String, String)> {
        let own = format!(":{}", self.engines.weed.port());
        let moved = |(name, value): (String, String)| (name, value.replace(&own, &format!(":{port}")));
        self.engines.weed.variables().into_iter().map(moved).collect()
    }

    fn tell_balancer(&self) {
        self.balancer.send_to(self.nodes.iter().map(|node| node.client().address()).collect());
    }

    /// Stops everything but the engines.
    pub fn stop(self) -> Engines {
        self.engines
    }

    /// A client by way of the balancer, with a connection for each request.
    pub fn client(&self) -> Client {
        self.client.clone()
    }

    /// How many nodes there are.
    pub fn nodes(&self) -> usize {
        self.nodes.len()
    }

    /// Ends a node as `kill -9` does.
    pub fn kill_node(&mut self, node: usize) {
        self.nodes[node].kill();
    }

    /// Starts it again.
    pub fn restart_node(&mut self, node: usize) {
        self.nodes[node].restart();
        self.tell_balancer();
    }

    /// Stops a node where it is; its connections stay open.
    pub fn pause_node(&self, node: usize) {
        signal("STOP", self.nodes[node].pid());
    }

    /// Lets it go on.
    pub fn resume_node(&self, node: usize) {
        signal("CONT", self.nodes[node].pid());
    }

    fn redis_url(&self) -> String {
        match &self.redis {
            RunningRedis::Alone(redis) => redis.url(),
            RunningRedis::Sentinels(redis) => redis.url(),
        }
    }

    /// The one Redis server of the scenario.
    pub fn redis(&mut self) -> &mut RedisServer {
        match &mut self.redis {
            RunningRedis::Alone(redis) => redis,
            RunningRedis::Sentinels(_) => panic!("this scenario has a master and a replica"),
        }
    }

    /// The Sentinels of the scenario.
    pub fn sentinels(&mut self) -> &mut RedisSentinel {
        match &mut self.redis {
            RunningRedis::Alone(_) => panic!("this scenario has one Redis"),
            RunningRedis::Sentinels(redis) => redis,
        }
    }

    /// The stores themselves, past the nodes and the network.
    pub async fn stores(&self) -> Stores {
        let live = RedisLive::connect(&self.redis_url(), false).await.expect("Redis answers");
        let url = self.engines.postgres.url(&self.database);
        let database = PostgresDatabase::connect(&url, postgres_server::settings()).await.expect("PostgreSQL answers");
        let variables = self.s3_variables(self.engines.weed.port());
        let url = format!("s3://{}", self.bucket);
        let objects = Bucket::open(&url, &variables, Options::default(), Arc::new(SystemClock));
        Stores {
            live: Arc::new(live),
            objects: Arc::new(objects.expect("a bucket")),
            spill: Arc::new(database.chunk_bytes()),
            leases: Arc::new(database.clone()),
            verifications: Arc::new(database.clone()),
            drills: Arc::new(database.clone()),
            database: Arc::new(database),
        }
    }

    /// Removes one object of each of some running jobs whose rows name it; answers the jobs.
    pub async fn lose_objects(&self, most: usize) -> Vec<JobId> {
        let stores = self.stores().await;
        let mut lost: Vec<JobId> = Vec::new();
        for _ in 0..100 {
            for object in stores.objects.list("").try_collect::<Vec<_>>().await.expect("a listing") {
                let Ok(job) = keys::parse(&object.key).map(|key| key.job) else { continue };
                if lost.contains(&job) || lost.len() == most {
                    continue;
                }
                let rows = stores.database.chunks(job, ChunkIndex(0), 100).await.expect("rows");
                let named = rows.iter().any(|row| match &row.state {
                    ChunkState::Persisted { at, .. } => at.object().key == object.key,
                    _ => false,
                });
                if named {
                    stores.objects.delete(&object.key).await.expect("deleted");
                    lost.push(job);
                }
            }
            if lost.len() == most {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        assert!(!lost.is_empty(), "there was no object to lose");
        lost
    }

    /// Reads a trace, however it ends.
    pub async fn read(&self, job: JobId) {
        let project = self.stores().await.database.job(job).await.expect("answered").expect("a job").project;
        let job = Job { id: job.0, token: String::new(), project: project.0 };
        let _ = self.client.trace_request(&job).try_answer().await;
    }

    /// The end of what each node logged.
    pub fn last_words(&self) -> String {
        let mut words = String::new();
        for (number, node) in self.nodes.iter().enumerate() {
            let log = node.log();
            let lines: Vec<&str> = log.lines().collect();
            words += &format!("node {number}:\n{}\n", lines[lines.len().saturating_sub(15)..].join("\n"));
        }
        words
    }

    /// Writes what every node logged to a folder that stays; where it is.
    pub fn keep_logs(&self) -> PathBuf {
        let folder = tempfile::tempdir().expect("a folder").keep();
        for (number, node) in self.nodes.iter().enumerate() {
            std::fs::write(folder.join(format!("node-{number}.log")), node.log()).expect("written");
        }
        folder
    }
}

fn signal(name: &str, pid: u32) {
    let sent = Command::new("kill").args([&format!("-{name}"), &pid.to_string()]).status().expect("kill is installed");
    assert!(sent.success(), "kill -{name} {pid}");
}
