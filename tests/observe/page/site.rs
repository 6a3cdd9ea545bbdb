//! One Veritail with stores of its own and a little load: a job of Prometheus.

use std::path::PathBuf;
use std::process::Child;
use std::sync::Arc;

use sqlx::{Executor as _, PgConnection};
use tempfile::TempDir;
use tokio::sync::{Mutex, OwnedMutexGuard};
use tokio::task::JoinHandle;
use veritail::pipeline::Stores;

use crate::support::production::{IN_SECONDS, Production};
use crate::support::redis_server::{Durability, Product, RedisServer, free_port};
use crate::support::runner::Runner;
use crate::support::server::{ADMIN_TOKEN, Client, Send as _, kill, launch, log, log_of};
use crate::way::Way;

/// Beside what is seconds here: schedules of the verifier as short as they get.
pub const VARIABLES: &[(&str, &str)] = &[
    ("VERITAIL_SWEEP_INTERVAL", "500ms"),
    ("VERITAIL_LIVE_SWEEP_INTERVAL", "2s"),
    ("VERITAIL_DATABASE_STATEMENT_TIMEOUT", "3s"),
    ("VERITAIL_VERIFY_HOT", "* * * * * *"),
    ("VERITAIL_VERIFY_OPEN_INTERVAL", "1s"),
    ("VERITAIL_VERIFY_JITTER", "0s"),
    ("VERITAIL_VERIFY_FULL", "* * * * * *"),
    ("VERITAIL_VERIFY_FULL_SLICE", "800ms"),
    ("VERITAIL_VERIFY_FULL_CYCLE", "20s"),
];

/// The limit of each Redis, far from what the load fills.
const REDIS_MEMORY: &str = "100mb";

/// See the module. All of it ends with this value.
pub struct Site {
    name: &'static str,
    nodes: Vec<Node>,
    client: Client,
    load: JoinHandle<()>,
    /// Held by the load while one of its jobs is under way.
    job_under_way: Arc<Mutex<()>>,
    variables: Vec<(String, String)>,
    way: Way,
    production: Production,
}

/// A node that keeps its port and its folder.
pub struct Node {
    child: Option<Child>,
    port: u16,
    folder: TempDir,
}

/// What a job of Prometheus is.
pub trait Watched {
    /// The name of its job.
    fn job(&self) -> String;

    /// Its nodes, as Prometheus finds them.
    fn targets(&self) -> Vec<String>;

    /// What its nodes logged, the end of it.
    fn log(&self) -> String;
}

impl Site {
    /// Starts it, with settings besides those of all; it answers when this returns.
    pub async fn start(name: &'static str, nodes: usize, durability: Durability, own: &[(&str, &str)]) -> Self {
        let mut production = Production::start().await;
        production.redis = RedisServer::start_with(Product::Redis, durability, &["--maxmemory", REDIS_MEMORY]);
        let way = Way::to(production.s3_port()).await;
        let mut variables = production.variables(way.port());
        variables.extend(variables_of(IN_SECONDS).chain(variables_of(VARIABLES)).chain(variables_of(own)));
        let started: Vec<Node> = (0..nodes)
            .map(|_| {
                let mut node = Node::new();
                tokio::task::block_in_place(|| node.start(&variables));
                node
            })
            .collect();
        // The last node: the first to be restarted is another, where there are two.
        let address = std::net::SocketAddr::from(([127, 0, 0, 1], started[nodes - 1].port));
        let client = Client::new(address, ADMIN_TOKEN);
        let job_under_way = Arc::new(Mutex::new(()));
        let load = tokio::spawn(load_for_ever(client.clone(), job_under_way.clone()));
        Self { name, nodes: started, client, load, job_under_way, variables, way, production }
    }

    /// A client with the admin's token.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Waits until no job of the load is under way; none begins while the answer is kept.
    pub async fn between_jobs(&self) -> OwnedMutexGuard<()> {
        self.job_under_way.clone().lock_owned().await
    }

    /// Its stores, past the nodes.
    pub async fn stores(&self) -> Stores {
        self.production.stores().await
    }

    /// Its Redis.
    pub fn redis(&mut self) -> &mut RedisServer {
        &mut self.production.redis
    }

    /// The port of its Redis.
    pub fn redis_port(&self) -> u16 {
        self.production.redis.port()
    }

    /// Cuts the way to its object store, or mends it.
    pub fn objects_away(&self, away: bool) {
        self.way.cut(away);
    }

    /// The port under which its nodes find its object store.
    pub fn objects_port(&self) -> u16 {
        self.way.port()
    }

    /// From now on everything in its object store looks years old.
    pub fn objects_grow_old(&self) {
        self.way.grow_old();
    }

    /// Credentials for its object store with which one may read and list.
    pub fn reader(&self) -> Vec<(String, String)> {
        self.production.reader()
    }

    /// Runs a statement behind its nodes' backs.
    pub async fn execute(&self, sql: String) {
        self.production.database.execute(sql).await;
    }

    /// What this statement locks, nobody else gets until the connection goes.
    pub async fn lock(&self, statement: &str) -> PgConnection {
        let database = &self.production.database;
        let mut connection = database.server().connection(database.name()).await;
        let mut said = Ok(());
        for _ in 0..50 {
            connection.execute("BEGIN").await.expect("a transaction");
            said = connection.execute(sqlx::AssertSqlSafe(statement.to_owned())).await.map(drop);
            if said.is_ok() {
                return connection;
            }
            connection.execute("ROLLBACK").await.expect("rolled back");
        }
        panic!("{statement}: it is not to be had: {said:?}");
    }

    /// From their next start on its nodes have these settings instead.
    pub fn set(&mut self, settings: &[(&str, &str)]) {
        self.variables.extend(variables_of(settings));
    }

    /// What its nodes have of these now, to [`set`](Self::set) them back.
    pub fn variable(&self, name: &str) -> String {
        let known = self.variables.iter().rev().find(|(known, _)| known == name);
        known.map(|(_, value)| value.clone()).unwrap_or_default()
    }

    /// A node may open so many files from now on, at most as many as at its start.
    pub fn limit_files(&self, node: usize, files: u64) {
        self.nodes[node].limit_files(files);
    }

    /// The port of a node.
    pub fn port(&self, node: usize) -> u16 {
        self.nodes[node].port
    }

    /// Stops a node as a restart does.
    pub fn stop(&mut self, node: usize) {
        tokio::task::block_in_place(|| self.nodes[node].stop());
    }

    /// Stops a node that is not yet stopped, and starts it on the same port.
    pub fn restart(&mut self, node: usize) {
        self.stop(node);
        tokio::task::block_in_place(|| self.nodes[node].start(&self.variables));
    }

    /// Sets these and starts the first node again.
    pub fn restart_with(&mut self, settings: &[(&str, &str)]) {
        self.set(settings);
        self.restart(0);
    }
}

/// Settings of a node; of several of a name the last counts.
pub fn variables_of<'a>(settings: &'a [(&'a str, &'a str)]) -> impl Iterator<Item = (String, String)> + 'a {
    settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
}

impl Watched for Site {
    fn job(&self) -> String {
        format!("veritail-{}", self.name)
    }

    fn targets(&self) -> Vec<String> {
        self.nodes.iter().map(Node::target).collect()
    }

    fn log(&self) -> String {
        self.nodes.iter().map(Node::log).collect::<Vec<_>>().join("\n---\n")
    }
}

impl Node {
    /// Not started yet.
    pub fn new() -> Self {
        Self { child: None, port: free_port(), folder: tempfile::tempdir().expect("a folder for the node") }
    }

    /// As Prometheus finds it.
    pub fn target(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// The folder of its stores.
    pub fn data_dir(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// The end of what it logged.
    pub fn log(&self) -> String {
        let log = log_of(self.folder.path());
        log.lines().rev().take(30).collect::<Vec<_>>().into_iter().rev().collect::<Vec<_>>().join("\n")
    }

    /// Answers how to reach it.
    pub fn start(&mut self, variables: &[(String, String)]) -> Client {
        let (child, address) = launch(self.folder.path(), self.port, variables);
        self.child = Some(child);
        Client::new(address, ADMIN_TOKEN)
    }

    fn limit_files(&self, files: u64) {
        let pid = self.child.as_ref().expect("it runs").id().to_string();
        let limited =
            std::process::Command::new("prlimit").args(["--pid", &pid, &format!("--nofile={files}:")]).status();
        assert!(limited.is_ok_and(|status| status.success()), "prlimit is part of Debian's util-linux");
    }

    /// With SIGTERM, and waits for its end.
    pub fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let told = std::process::Command::new("kill").args(["-TERM", &child.id().to_string()]).status();
            assert!(told.is_ok_and(|status| status.success()), "the node's own process");
            child.wait().expect("the node's own handle");
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        kill(&mut self.child);
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.load.abort();
    }
}

/// A job after the other, each with a few patches and a reader, at some requests a second. It bears whatever happens.
async fn load_for_ever(client: Client, job_under_way: Arc<Mutex<()>>) {
    loop {
        let under_way = job_under_way.lock().await;
        // A job of its own task: a runner that gives up ends with a panic.
        let client = client.clone();
        let _ = tokio::spawn(async move {
            let job = client.make_job_with_reset(true).await;
            let log = log(6_000);
            let mut runner = Runner::new(&client, &job).with_patches_of(2_500).with_patience(100_000);
            runner.finish(&log).await;
            let _ = client.trace_request(&job).try_answer().await;
        })
        .await;
        drop(under_way);
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    }
}
