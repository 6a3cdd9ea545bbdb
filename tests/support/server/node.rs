//! The parts of a server put together in the test's process, with hooks under the pipeline.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;
use veritail::api::{Api, auth::Auth, limits::Limits, router};
use veritail::config::Config;
use veritail::config::value::Secret;
use veritail::pipeline::{Pipeline, Settings, Stores};
use veritail::seams::real::{NoFailPoints, OwnedTasks, SystemChance, SystemClock};
use veritail::seams::{Clock, Seams, Spawn as _};
use veritail::store::database::accounts::Accounts;
use veritail::store::database::listing::Listing;
use veritail::store::database::{Database, sqlite::SqliteDatabase};
use veritail::store::hooked::{Hook, Hooked};
use veritail::store::live::LiveStore;
use veritail::store::live::embedded::EmbeddedLive;
use veritail::store::object::{ObjectStore, bucket::Bucket};
use veritail::telemetry::exporter;
use veritail::trace::{ByteSize, ChunkId, ChunkIndex, ChunkSize, Epoch, JobId};
use veritail::verify::{self, Verifier};

use super::{ADMIN_TOKEN, Client, Job};

/// What stands between a pipeline and its stores, and how the node is set.
pub struct Hooks {
    /// Around every call to every store.
    pub hook: Arc<dyn Hook>,
    /// The pipeline's settings.
    pub settings: Settings,
    /// The limit of its traces; 0 = none.
    pub trace_limit: u64,
    /// The verifier's settings. Its schedules are never kept: it does what is asked for.
    pub verify: verify::Settings,
    /// Whether workers and sweeps run. Without them nothing happens but what requests do.
    pub works: bool,
}

impl Hooks {
    /// A node that works, with the default settings but for sweeps that come often.
    pub fn new(hook: Arc<dyn Hook>) -> Self {
        let settings = Settings { sweep_interval: Duration::from_millis(200), ..Settings::default() };
        let trace_limit = Config::default().pipeline.trace_limit;
        Self { hook, settings, trace_limit, verify: verify::Settings::default(), works: true }
    }
}

/// What stands before a pipeline: the API, and what it knows of people and lists.
pub struct Front {
    /// The lists.
    pub listing: Arc<dyn Listing>,
    /// Tokens and runners.
    pub accounts: Arc<dyn Accounts>,
    /// The chunk size of traces made here.
    pub chunk_size: u32,
    /// The limit of traces made here; 0 = none.
    pub trace_limit: u64,
}

impl Front {
    /// Serves the verifier and its pipeline over HTTP, as one of `tasks`. Answers a client with the admin's token.
    pub async fn serve(self, verifier: &Verifier, tasks: &OwnedTasks) -> Client {
        let clock = verifier.node().seams().clock.clone();
        let limits = Limits::from(&Config::default().http);
        let auth = Auth::new(&Secret::new(ADMIN_TOKEN), Duration::from_secs(30), self.accounts, clock, limits);
        let exporter = exporter::install().expect("metrics");
        let chunk_size = ChunkSize::new(self.chunk_size).expect("a chunk size");
        let (limit, patience) = (ByteSize(self.trace_limit), Duration::from_secs(60));
        let api = Api::new(verifier.clone(), self.listing, auth, exporter, patience, chunk_size, limit, None);
        let free = SocketAddr::from(([127, 0, 0, 1], 0));
        let listener = tokio::net::TcpListener::bind(free).await.expect("a free loopback port");
        let address = listener.local_addr().expect("a bound address");
        let served = async move {
            let _ = axum::serve(listener, router::router(api)).await;
        };
        tasks.spawn("http", Box::pin(served));
        Client::new(address, ADMIN_TOKEN)
    }
}

/// A node on the embedded stores, in a folder of its own. Its tasks end with it.
pub struct Node {
    client: Client,
    pipeline: Pipeline,
    verifier: Verifier,
    stores: Stores,
    tasks: Arc<OwnedTasks>,
    _folder: TempDir,
}

impl Node {
    /// Starts it; it answers when this returns.
    pub async fn start(hooks: Hooks) -> Self {
        let folder = tempfile::tempdir().expect("a folder for the node");
        let tasks = Arc::new(OwnedTasks::default());
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let seams = Seams {
            clock: clock.clone(),
            chance: Arc::new(SystemChance),
            spawn: tasks.clone(),
            points: Arc::new(NoFailPoints),
        };
        let (stores, database) = open(folder.path(), clock.clone()).await;
        let listing: Arc<dyn Listing> = Arc::new(database.clone());
        let listing = Arc::new(Hooked::new(listing, hooks.hook.clone(), clock.clone()));
        let accounts = database;
        let hooked = Stores {
            live: Arc::new(Hooked::new(stores.live.clone(), hooks.hook.clone(), clock.clone())),
            database: Arc::new(Hooked::new(stores.database.clone(), hooks.hook.clone(), clock.clone())),
            objects: Arc::new(Hooked::new(stores.objects.clone(), hooks.hook.clone(), clock.clone())),
            spill: Arc::new(Hooked::new(stores.spill.clone(), hooks.hook.clone(), clock.clone())),
            leases: Arc::new(Hooked::new(stores.leases.clone(), hooks.hook.clone(), clock.clone())),
            verifications: Arc::new(Hooked::new(stores.verifications.clone(), hooks.hook.clone(), clock.clone())),
            drills: Arc::new(Hooked::new(stores.drills.clone(), hooks.hook.clone(), clock.clone())),
        };
        let pipeline = Pipeline::new(hooked, seams, hooks.settings);
        if hooks.works {
            pipeline.start();
        }
        let accounts: Arc<dyn Accounts> = Arc::new(accounts);
        let accounts = Arc::new(Hooked::new(accounts, hooks.hook, clock));
        let verifier = Verifier::new(pipeline.clone(), hooks.verify);
        let front = Front { listing, accounts, chunk_size: 131_072, trace_limit: hooks.trace_limit };
        let client = front.serve(&verifier, &tasks).await;
        Self { client, pipeline, verifier, stores, tasks, _folder: folder }
    }

    /// A client with the admin's token.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Its pipeline.
    pub fn pipeline(&self) -> &Pipeline {
        &self.pipeline
    }

    /// Its verifier.
    pub fn verifier(&self) -> &Verifier {
        &self.verifier
    }

    /// Its stores, past the hooks.
    pub fn stores(&self) -> &Stores {
        &self.stores
    }

    /// The live copy of a chunk begun in `epoch` is gone at once.
    pub async fn lose_live_copy(&self, job: &Job, index: u32, epoch: u32) {
        let chunk = ChunkId { index: ChunkIndex(index), epoch: Epoch(epoch) };
        let held = self.stores.live.read_chunk(JobId(job.id), chunk).await.expect("readable");
        assert!(held.is_some(), "chunk {chunk} of job {} is not in the live store", job.id);
        self.stores.live.release(JobId(job.id), chunk, Duration::ZERO).await.expect("released");
    }

    /// Ends everything that runs in it.
    pub async fn stop(self) {
        self.tasks.end().await;
    }
}

async fn open(folder: &Path, clock: Arc<dyn Clock>) -> (Stores, SqliteDatabase) {
    let live: Arc<dyn LiveStore> = Arc::new(EmbeddedLive::open(&folder.join("live"), clock).expect("opened"));
    let database = SqliteDatabase::open(&folder.join("veritail.db")).await.expect("opened");
    let accounts = database.clone();
    let (spill, leases) = (Arc::new(database.chunk_bytes()), Arc::new(database.clone()));
    let (verifications, drills) = (Arc::new(database.clone()), Arc::new(database.clone()));
    let database: Arc<dyn Database> = Arc::new(database);
    let objects: Arc<dyn ObjectStore> = Arc::new(Bucket::folder(&folder.join("objects")).expect("opened"));
    (Stores { live, database, objects, spill, leases, verifications, drills }, accounts)
}
