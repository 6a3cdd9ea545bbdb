//! Two nodes' verifiers over the stores of one installation, at a time that can be moved forward.

use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use veritail::pipeline::{AppendRequest, Appended, BodyBroken, FinalPut, Finalized, Pipeline, Settings, Stores};
use veritail::seams::real::{NoFailPoints, SystemChance, SystemClock, TokioSpawn};
use veritail::seams::{Clock, Seams};
use veritail::store::database::sqlite::SqliteDatabase;
use veritail::store::database::verifications::{Run, RunFilter};
use veritail::store::database::{Job, MismatchFilter, NewJob};
use veritail::store::hooked::{Hook, Hooked};
use veritail::store::live::embedded::EmbeddedLive;
use veritail::store::object::bucket::Bucket;
use veritail::telemetry::verification::Tick;
use veritail::trace::{
    ByteSize, ChunkIndex, ChunkRow, ChunkSize, Claim, Crc32, DataStore, Ending, JobId, JobStatus, Kind, Offset, Origin,
    Schedule, Timestamp,
};
use veritail::verify::{self, Verifier};

use crate::support::model::database::ModelDatabase;
use crate::support::model::leases::ModelLeases;
use crate::support::model::live::ModelLive;
use crate::support::model::objects::ModelObjects;
use crate::support::production::Production;

pub const MINUTE: Duration = Duration::from_secs(60);
/// Longer than the grace of orphans.
pub const DAY: Duration = Duration::from_secs(26 * 3600);
pub const CHUNK: usize = 1024;

/// The machine's time, and more.
#[derive(Default)]
pub struct Ahead(AtomicI64);

impl Ahead {
    pub fn pass(&self, time: Duration) {
        self.0.fetch_add(time.as_millis() as i64, Ordering::SeqCst);
    }
}

#[async_trait]
impl Clock for Ahead {
    fn now(&self) -> Timestamp {
        SystemClock.now().plus_ms(self.0.load(Ordering::SeqCst))
    }

    async fn sleep(&self, time: Duration) {
        SystemClock.sleep(time).await;
    }
}

pub struct Rig {
    pub stores: Stores,
    pub clock: Arc<Ahead>,
    pub node: Pipeline,
    pub verifier: Verifier,
    _guard: Box<dyn Any + Send>,
}

/// Every turn is due at once, a released copy goes at once, and the live sweep comes often.
fn settings() -> Settings {
    Settings {
        live_grace: Duration::ZERO,
        live_sweep_interval: Duration::from_millis(20),
        lease_time: Duration::from_millis(300),
        ..Settings::default()
    }
}

pub fn verify_settings() -> verify::Settings {
    let inventory = verify::Budgeted { requests_per_second: 0, ..verify::Settings::default().inventory };
    verify::Settings { inventory, inventory_interval: Duration::ZERO, ..verify::Settings::default() }
}

pub fn on_models() -> Rig {
    let clock = Arc::new(Ahead::default());
    let database = Arc::new(ModelDatabase::new(clock.clone()));
    let stores = Stores {
        live: Arc::new(ModelLive::new(clock.clone())),
        // Its listings are ten seconds old.
        objects: Arc::new(ModelObjects::lagging(clock.clone(), 10_000)),
        spill: database.chunk_bytes(),
        leases: Arc::new(ModelLeases::new(clock.clone())),
        verifications: database.clone(),
        drills: database.clone(),
        database,
    };
    Rig::over(stores, clock, ())
}

pub async fn embedded() -> Rig {
    let clock = Arc::new(Ahead::default());
    let folder = tempfile::tempdir().unwrap();
    let database = SqliteDatabase::open(&folder.path().join("veritail.db")).await.unwrap();
    let stores = Stores {
        live: Arc::new(EmbeddedLive::open(&folder.path().join("live"), clock.clone()).unwrap()),
        objects: Arc::new(Bucket::folder(&folder.path().join("objects")).unwrap()),
        spill: Arc::new(database.chunk_bytes()),
        leases: Arc::new(database.clone()),
        verifications: Arc::new(database.clone()),
        drills: Arc::new(database.clone()),
        database: Arc::new(database),
    };
    Rig::over(stores, clock, folder)
}

pub async fn in_production() -> Rig {
    let production = Production::start().await;
    Rig::over(production.stores().await, Arc::new(Ahead::default()), production)
}

impl Rig {
    fn over(stores: Stores, clock: Arc<Ahead>, guard: impl Any + Send) -> Self {
        let node = node(stores.clone(), clock.clone());
        let verifier = Verifier::new(node.clone(), verify_settings());
        Self { stores, clock, node, verifier, _guard: Box::new(guard) }
    }

    /// Another node over other stores.
    pub fn node_over(&self, stores: Stores) -> Pipeline {
        node(stores, self.clock.clone())
    }

    /// The same stores with a hook around the live and the object store.
    pub fn hooked(&self, hook: Arc<dyn Hook>) -> Stores {
        Stores {
            live: Arc::new(Hooked::new(self.stores.live.clone(), hook.clone(), self.clock.clone())),
            objects: Arc::new(Hooked::new(self.stores.objects.clone(), hook, self.clock.clone())),
            ..self.stores.clone()
        }
    }

    pub fn pass(&self, time: Duration) {
        self.clock.pass(time);
    }

    /// One inventory by this node's verifier.
    pub async fn inventory(&self) -> Tick {
        self.verifier.tick(Schedule::Inventory).await.unwrap()
    }

    pub async fn last_run(&self) -> Run {
        let filter = RunFilter { schedule: Some(Schedule::Inventory), limit: 1, ..RunFilter::default() };
        self.stores.verifications.runs(filter).await.unwrap().remove(0)
    }

    /// What was ever written down: what, where, and whether it is open.
    pub async fn found(&self) -> Vec<(JobId, Kind, DataStore, bool)> {
        let known = self.stores.database.mismatches(MismatchFilter::default()).await.unwrap();
        known.iter().map(|one| (one.what.job, one.what.kind, one.what.store, one.resolved.is_none())).collect()
    }

    pub async fn row(&self, job: JobId, index: u32) -> ChunkRow {
        self.stores.database.chunk(job, ChunkIndex(index)).await.unwrap().unwrap()
    }

    /// The key of a chunk's persistent copy.
    pub async fn key(&self, job: JobId, index: u32) -> String {
        self.row(job, index).await.persistent_copy().unwrap().object().key.clone()
    }

    pub async fn is_there(&self, key: &str) -> bool {
        self.stores.objects.get(key, ByteSize(1)).await.unwrap().is_some()
    }

    /// A trace of two chunks and a bit, closed.
    pub async fn closed(&self) -> JobId {
        let job = open(&self.node, &log(0)).await;
        finish(&self.node, job, &log(0)).await;
        job
    }
}

fn node(stores: Stores, clock: Arc<Ahead>) -> Pipeline {
    let (chance, spawn, points) = (Arc::new(SystemChance), Arc::new(TokioSpawn), Arc::new(NoFailPoints));
    Pipeline::new(stores, Seams { clock, chance, spawn, points }, settings())
}

/// Bytes that are others for every number.
pub fn log(number: u8) -> Vec<u8> {
    (0..2 * CHUNK + 100).map(|at| (at % 251) as u8 ^ number).collect()
}

/// A running job.
pub async fn create(node: &Pipeline) -> Job {
    let new = NewJob {
        project_path: "group/demo".to_owned(),
        name: "rspec".to_owned(),
        token_sha256: [0; 32],
        status: JobStatus::Running,
        payload: None,
        chunk_size: ChunkSize::new(CHUNK as u32).unwrap(),
        trace_limit: ByteSize::ZERO,
        trace_reset: Some(true),
        at: node.seams().clock.now(),
    };
    node.stores().database.create_job(new).await.unwrap()
}

/// A running job with its log so far.
pub async fn open(node: &Pipeline, log: &[u8]) -> JobId {
    let Job { id: job, created_at: made_at, .. } = create(node).await;
    let request = AppendRequest {
        job,
        made_at,
        trace_limit: ByteSize::ZERO,
        start: Offset::ZERO,
        declared: Some(ByteSize::of(log)),
    };
    let body: Vec<Result<Bytes, BodyBroken>> = vec![Ok(Bytes::copy_from_slice(log))];
    let appended = node.append(request, futures::stream::iter(body)).await.unwrap();
    assert!(matches!(appended, Appended::Accepted { .. }), "{appended:?}");
    job
}

/// Final PUTs until the trace is closed.
pub async fn finish(node: &Pipeline, job: JobId, log: &[u8]) {
    let claim = Some(Claim { crc32: Crc32::of(log), size: Some(ByteSize::of(log)) });
    let ending =
        Ending { status: JobStatus::Success, failure_reason: None, exit_code: Some(0), claim, origin: Origin::Runner };
    for _ in 0..30 {
        let put = FinalPut { job, ending: ending.clone(), trace_reset: Some(true) };
        if matches!(node.finalize(put).await, Finalized::Done { .. }) {
            return;
        }
    }
    panic!("job {job} does not come to its end");
}
