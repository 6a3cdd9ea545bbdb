//! The pipeline over models.

use std::sync::Arc;

use bytes::Bytes;
use futures::TryStreamExt as _;
use veritail::pipeline::{
    AppendRequest, Appended, BodyBroken, FinalPut, Finalized, Mode, OpenedReading, Pipeline, Settings, Stores,
};
use veritail::seams::real::{NoFailPoints, SystemChance, TokioSpawn};
use veritail::seams::{Clock, Seams};
use veritail::store::database::{Database, Found, NewJob, NewMismatch};
use veritail::trace::{
    ByteSize, ChunkIndex, ChunkRow, ChunkSize, Claim, Crc32, DataStore, Detector, Ending, Epoch, JobId, JobStatus,
    Kind, Offset, Origin, StoredObject, Timestamp,
};

use crate::support::clock::ManualClock;
use crate::support::model::database::ModelDatabase;
use crate::support::model::leases::ModelLeases;
use crate::support::model::live::ModelLive;
use crate::support::model::objects::ModelObjects;

/// Two nodes over the same models, at a time that stands still until it is moved, and a running job.
pub struct Rig {
    pub node: Pipeline,
    pub other: Pipeline,
    pub clock: Arc<ManualClock>,
    pub live: Arc<ModelLive>,
    pub database: Arc<ModelDatabase>,
    pub job: JobId,
}

impl Rig {
    pub async fn new(chunk_size: u32) -> Self {
        let clock = Arc::new(ManualClock::at(Timestamp(1_700_000_000_000)));
        let (live, database, stores) = models(clock.clone());
        let seams = Seams {
            clock: clock.clone(),
            chance: Arc::new(SystemChance),
            spawn: Arc::new(TokioSpawn),
            points: Arc::new(NoFailPoints),
        };
        let job = database.create_job(running_job(chunk_size, Timestamp(1_700_000_000_000))).await.expect("a model").id;
        let node = || Pipeline::new(stores.clone(), seams.clone(), Settings::default());
        Self { node: node(), other: node(), clock, live, database, job }
    }

    pub async fn append(&self, start: usize, patch: &[u8], piece: usize) -> Appended {
        self.append_on(&self.node, start, patch, piece).await
    }

    /// A patch that comes to one of the nodes in pieces.
    pub async fn append_on(&self, node: &Pipeline, start: usize, patch: &[u8], piece: usize) -> Appended {
        let pieces: Vec<Result<Bytes, BodyBroken>> =
            patch.chunks(piece).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect();
        let request = AppendRequest {
            job: self.job,
            made_at: Timestamp(1_700_000_000_000),
            trace_limit: ByteSize::ZERO,
            start: Offset(start as u64),
            declared: Some(ByteSize::of(patch)),
        };
        node.append(request, futures::stream::iter(pieces)).await.expect("a model")
    }

    /// Lets what goes on beside the requests come to its end, such as records that are written.
    pub async fn settle(&self) {
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
    }

    pub async fn finalize(&self, log: &[u8]) -> Finalized {
        let claim = Claim { crc32: Crc32::of(log), size: Some(ByteSize::of(log)) };
        self.end_on(&self.node, Some(claim)).await
    }

    /// A whole log is sent and claimed, and proven at once.
    pub async fn send_and_prove(&self, log: &[u8]) {
        assert!(matches!(self.append(0, log, log.len()).await, Appended::Accepted { .. }));
        assert!(matches!(self.finalize(log).await, Finalized::Done { .. }));
    }

    pub fn row(&self, index: u32) -> ChunkRow {
        self.database.all_rows(self.job).into_iter().find(|row| row.index == ChunkIndex(index)).expect("a row")
    }

    /// What the row names.
    pub fn object(&self, index: u32) -> StoredObject {
        self.row(index).persistent_copy().expect("a copy").object().clone()
    }

    /// A final PUT to one of the nodes.
    pub async fn end_on(&self, node: &Pipeline, claim: Option<Claim>) -> Finalized {
        let ending = Ending {
            status: JobStatus::Success,
            failure_reason: None,
            exit_code: Some(0),
            claim,
            origin: Origin::Runner,
        };
        node.finalize(FinalPut { job: self.job, ending, trace_reset: Some(true) }).await
    }

    pub async fn read(&self, from: u64, to: u64) -> Vec<u8> {
        let OpenedReading::Open(reading) = self.node.open_reading(self.job, Mode::Verified).await.expect("a model")
        else {
            panic!("a job that is there");
        };
        let pieces: Vec<Bytes> = reading.stream(Offset(from)..Offset(to)).try_collect().await.expect("sound");
        pieces.concat()
    }
}

/// Models that go by this clock, and all of them as stores.
pub fn models(clock: Arc<dyn Clock>) -> (Arc<ModelLive>, Arc<ModelDatabase>, Stores) {
    let (live, database) = (Arc::new(ModelLive::new(clock.clone())), Arc::new(ModelDatabase::new(clock.clone())));
    let stores = Stores {
        live: live.clone(),
        database: database.clone(),
        objects: Arc::new(ModelObjects::new(clock.clone())),
        spill: database.chunk_bytes(),
        leases: Arc::new(ModelLeases::new(clock)),
        verifications: database.clone(),
        drills: database.clone(),
    };
    (live, database, stores)
}

/// A job that runs, and whose runner can send its log again.
pub fn running_job(chunk_size: u32, at: Timestamp) -> NewJob {
    NewJob {
        project_path: "group/demo".to_owned(),
        name: "rspec".to_owned(),
        token_sha256: [0; 32],
        status: JobStatus::Running,
        payload: None,
        chunk_size: ChunkSize::new(chunk_size).expect("in range"),
        trace_limit: ByteSize::ZERO,
        trace_reset: Some(true),
        at,
    }
}

/// What another node found of a chunk in its first epoch.
pub fn found_by_another(
    (job, index): (JobId, u32),
    kind: Kind,
    store: DataStore,
    detector: Detector,
    at: Timestamp,
) -> NewMismatch {
    NewMismatch {
        job,
        chunk: Some(ChunkIndex(index)),
        epoch: Epoch::FIRST,
        kind,
        store,
        detector,
        run: None,
        node: "another".to_owned(),
        expected: Found::default(),
        found: Found::default(),
        first_difference: None,
        notify_at: None,
        at,
    }
}

/// The whole log of a new job is sent to a node. The final PUT that claims it, to be sent too.
pub async fn sent_to(node: &Pipeline, job: NewJob, log: &[u8]) -> FinalPut {
    let job = node.stores().database.create_job(job).await.expect("a model");
    let (declared, trace_limit) = (Some(ByteSize::of(log)), ByteSize::ZERO);
    let request = AppendRequest { job: job.id, made_at: job.created_at, trace_limit, start: Offset::ZERO, declared };
    let body: Vec<Result<Bytes, BodyBroken>> = vec![Ok(Bytes::copy_from_slice(log))];
    let appended = node.append(request, futures::stream::iter(body)).await.expect("a model");
    assert!(matches!(appended, Appended::Accepted { .. }), "{appended:?}");
    let claim = Some(Claim { crc32: Crc32::of(log), size: Some(ByteSize::of(log)) });
    let (status, origin) = (JobStatus::Success, Origin::Runner);
    let ending = Ending { status, failure_reason: None, exit_code: Some(0), claim, origin };
    FinalPut { job: job.id, ending, trace_reset: Some(true) }
}

/// Runs work that waits for nothing.
pub fn now<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().expect("a runtime").block_on(work)
}
