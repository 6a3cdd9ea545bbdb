//! However a log is cut into patches, and a patch into pieces, the pipeline keeps and gives back the same bytes.

use std::sync::Arc;

use bytes::Bytes;
use futures::TryStreamExt as _;
use proptest::collection::vec;
use proptest::prelude::*;
use veritail::pipeline::{
    AppendRequest, Appended, BodyBroken, FinalPut, Finalized, Mode, OpenedReading, Pipeline, Settings, Stores,
};
use veritail::seams::Seams;
use veritail::seams::real::{NoFailPoints, SystemChance, TokioSpawn};
use veritail::store::database::{Database, NewJob};
use veritail::trace::{
    ByteSize, ChunkIndex, ChunkSize, Claim, Crc32, Ending, JobId, JobStatus, Offset, Origin, Record, Timestamp, Verdict,
};

use crate::patches::cut;
use crate::support::clock::ManualClock;
use crate::support::model::database::ModelDatabase;
use crate::support::model::leases::ModelLeases;
use crate::support::model::live::ModelLive;
use crate::support::model::objects::ModelObjects;

struct Rig {
    node: Pipeline,
    database: Arc<ModelDatabase>,
    job: JobId,
}

impl Rig {
    async fn new(chunk_size: u32) -> Self {
        let clock = Arc::new(ManualClock::at(Timestamp(1_700_000_000_000)));
        let live = Arc::new(ModelLive::new(clock.clone()));
        let database = Arc::new(ModelDatabase::new(clock.clone()));
        let stores = Stores {
            live,
            database: database.clone(),
            objects: Arc::new(ModelObjects::new(clock.clone())),
            spill: database.chunk_bytes(),
            leases: Arc::new(ModelLeases::new(clock.clone())),
            verifications: database.clone(),
        };
        let seams = Seams {
            clock,
            chance: Arc::new(SystemChance),
            spawn: Arc::new(TokioSpawn),
            points: Arc::new(NoFailPoints),
        };
        let new = NewJob {
            project_path: "group/demo".to_owned(),
            name: "rspec".to_owned(),
            token_sha256: [0; 32],
            status: JobStatus::Running,
            payload: None,
            chunk_size: ChunkSize::new(chunk_size).expect("in range"),
            trace_limit: ByteSize::ZERO,
            trace_reset: Some(true),
            at: Timestamp(1_700_000_000_000),
        };
        let job = database.create_job(new).await.expect("a model").id;
        Self { node: Pipeline::new(stores, seams, Settings::default()), database, job }
    }

    async fn append(&self, start: usize, patch: &[u8], piece: usize) -> Appended {
        let pieces: Vec<Result<Bytes, BodyBroken>> =
            patch.chunks(piece).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect();
        let request = AppendRequest {
            job: self.job,
            made_at: Timestamp(1_700_000_000_000),
            trace_limit: ByteSize::ZERO,
            start: Offset(start as u64),
            declared: Some(ByteSize::of(patch)),
        };
        self.node.append(request, futures::stream::iter(pieces)).await.expect("a model")
    }

    async fn finalize(&self, log: &[u8]) -> Finalized {
        let claim = Some(Claim { crc32: Crc32::of(log), size: Some(ByteSize::of(log)) });
        let ending = Ending {
            status: JobStatus::Success,
            failure_reason: None,
            exit_code: Some(0),
            claim,
            origin: Origin::Runner,
        };
        self.node.finalize(FinalPut { job: self.job, ending, trace_reset: Some(true) }).await
    }

    async fn read(&self, from: u64, to: u64) -> Vec<u8> {
        let OpenedReading::Open(reading) = self.node.open_reading(self.job, Mode::Verified).await.expect("a model")
        else {
            panic!("a job that is there");
        };
        let pieces: Vec<Bytes> = reading.stream(Offset(from)..Offset(to)).try_collect().await.expect("sound");
        pieces.concat()
    }
}

fn now<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().expect("a runtime").block_on(work)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn any_cut_is_readable_at_any_time_and_proven_in_the_end(
        log in vec(any::<u8>(), 0..400), chunk_size in 1u32..90, piece in 1usize..50,
        cuts in vec(any::<prop::sample::Index>(), 0..8), range in any::<(prop::sample::Index, prop::sample::Index)>()
    ) {
        now(async {
            let rig = Rig::new(chunk_size).await;
            let mut sent = 0;
            for patch in cut(&log, &cuts) {
                let accepted = rig.append(sent, &patch, piece).await;
                sent += patch.len();
                let length = Offset(sent as u64);
                prop_assert!(matches!(accepted, Appended::Accepted { length: now, .. } if now == length), "{:?}", accepted);
                prop_assert_eq!(rig.read(0, u64::MAX).await, &log[..sent]);
                // The same patch again, or one from beyond, changes nothing.
                for elsewhere in [sent - patch.len(), sent + 1] {
                    if elsewhere != sent {
                        prop_assert_eq!(rig.append(elsewhere, b"other", 1).await, Appended::Elsewhere { position: length });
                    }
                }
            }
            let (one, other) = (range.0.index(log.len() + 1), range.1.index(log.len() + 1));
            let (from, to) = (one.min(other), one.max(other));
            prop_assert_eq!(rig.read(from as u64, to as u64).await, &log[from..to]);

            prop_assert_eq!(rig.finalize(&log).await, Finalized::Done { status: JobStatus::Success });
            let job = rig.database.job(rig.job).await.expect("a model").expect("a job");
            let whole = (job.verdict, job.size, job.crc32);
            prop_assert_eq!(whole, (Verdict::Verified, Some(ByteSize::of(&log)), Some(Crc32::of(&log))));
            let rows = rig.database.chunks(rig.job, ChunkIndex(0), 1000).await.expect("a model");
            let records: Vec<Record> = rows.iter().filter_map(|row| row.record()).copied().collect();
            let expected: Vec<Record> = log.chunks(chunk_size as usize).map(Record::of).collect();
            prop_assert_eq!(records, expected);
            prop_assert_eq!(rig.read(0, u64::MAX).await, log);
            Ok(())
        })?;
    }
}
