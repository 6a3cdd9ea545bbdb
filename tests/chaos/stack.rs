//! What a scenario runs on: the engines, three nodes over them, and a balancer before the nodes.

use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use futures::TryStreamExt as _;
use tempfile::TempDir;
use veritail::pipeline::Stores;
use veritail::store::database::sqlite::SqliteDatabase;
use veritail::store::live::redis::RedisLive;
use veritail::store::object::bucket::Bucket;
use veritail::store::object::keys;
use veritail::trace::JobId;

use crate::balancer::Balancer;
use crate::support::redis_server::{Durability, RedisServer};
use crate::support::server::{Binary, Client};

/// Nodes over the same stores.
const NODES: usize = 3;
/// Small, so that a short log has many chunks.
const CHUNK_SIZE: &str = "16384";

/// What a scenario needs.
pub struct Needs {
    redis: Durability,
}

impl Needs {
    /// Everything as it comes.
    pub fn everything() -> Self {
        Self { redis: Durability::Nothing }
    }

    /// A Redis that writes everything to its disk before it answers.
    pub fn a_redis_that_keeps() -> Self {
        Self { redis: Durability::Always }
    }
}

/// See the module. Everything ends with it.
pub struct Stack {
    nodes: Vec<Binary>,
    balancer: Balancer,
    pub redis: RedisServer,
    folder: TempDir,
    client: Client,
}

impl Stack {
    /// Starts everything; it answers when this returns.
    pub async fn start(needs: Needs) -> Self {
        let redis = RedisServer::start(needs.redis);
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name).display().to_string();
        let (database, objects, url) = (path("veritail.db"), path("objects"), redis.url());
        let variables = [
            ("VERITAIL_REDIS_URL", url.as_str()),
            ("VERITAIL_DATABASE_PATH", &database),
            ("VERITAIL_OBJECT_PATH", &objects),
            ("VERITAIL_CHUNK_SIZE", CHUNK_SIZE),
            ("VERITAIL_SWEEP_INTERVAL", "500ms"),
            ("VERITAIL_LIVE_SWEEP_INTERVAL", "2s"),
            ("VERITAIL_LIVE_GRACE", "1s"),
            ("VERITAIL_LEASE_TIME", "3s"),
            ("VERITAIL_SPILL_AFTER", "1s"),
        ];
        let nodes: Vec<Binary> = (0..NODES).map(|_| Binary::start(&variables)).collect();
        let balancer = Balancer::start().await;
        let client = nodes[0].client().by_way_of(balancer.address());
        let stack = Self { nodes, balancer, redis, folder, client };
        stack.tell_balancer();
        stack
    }

    fn tell_balancer(&self) {
        self.balancer.send_to(self.nodes.iter().map(|node| node.client().address()).collect());
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

    /// Says something to Redis, which must answer well.
    pub fn redis_command(&self, words: &[&str]) {
        self.redis.command(words);
    }

    /// The stores themselves, past the nodes.
    pub async fn stores(&self) -> Stores {
        let live = RedisLive::connect(&self.redis.url(), false).await.expect("Redis answers");
        let database = SqliteDatabase::open(&self.folder.path().join("veritail.db")).await.expect("the database opens");
        let objects = Bucket::folder(&self.folder.path().join("objects")).expect("the objects are there");
        Stores {
            live: Arc::new(live),
            objects: Arc::new(objects),
            spill: Arc::new(database.chunk_bytes()),
            leases: Arc::new(database.clone()),
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
                let rows = stores.database.chunks(job, veritail::trace::ChunkIndex(0), 100).await.expect("rows");
                let named = rows.iter().any(|row| match &row.state {
                    veritail::trace::ChunkState::Persisted { at, .. } => at.object().key == object.key,
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
        let job = crate::support::server::Job { id: job.0, token: String::new(), project: project.0 };
        let _ = crate::support::server::Send::try_answer(self.client.trace_request(&job)).await;
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

    /// Keeps the folder; where it is.
    pub fn keep(self) -> PathBuf {
        self.folder.keep()
    }
}

fn signal(name: &str, pid: u32) {
    let sent = Command::new("kill").args([&format!("-{name}"), &pid.to_string()]).status().expect("kill is installed");
    assert!(sent.success(), "kill -{name} {pid}");
}
