//! The whole of a finished trace against what was proven when it closed, over models.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use veritail::pipeline::examine::Examiner;
use veritail::pipeline::{Pipeline, Settings, Stores};
use veritail::store::database::Job;
use veritail::store::hooked::{Call, Hook, Hooked};
use veritail::store::{Result, StoreError};
use veritail::trace::{ByteSize, ChunkIndex, Crc32, Detector, Epoch, Kind, TraceState};

use crate::rig::{Rig, now};

const REPORTS: Examiner = Examiner { detector: Detector::Full, run: None, heals: false };
const SIZE: ByteSize = ByteSize(150);

fn log() -> Vec<u8> {
    (0..150).collect()
}

impl Rig {
    async fn proven() -> Self {
        let rig = Self::new(64).await;
        rig.send_and_prove(&log()).await;
        rig.clock.pass(Duration::from_secs(3600));
        rig
    }

    async fn sum_up(&self, node: &Pipeline) -> Option<Kind> {
        node.examine_whole(self.job, REPORTS).await.expect("models")
    }
}

#[test]
fn what_a_whole_was_and_what_it_is_are_told() {
    now(async {
        let rig = Rig::proven().await;
        assert_eq!(rig.sum_up(&rig.other).await, None);
        rig.database.change_job(rig.job, |job| job.crc32 = Some(Crc32(7)));
        assert_eq!(rig.sum_up(&rig.other).await, Some(Kind::TraceChecksum));
        rig.database.change_job(rig.job, |job| job.size = Some(ByteSize(149)));
        assert_eq!(rig.sum_up(&rig.other).await, Some(Kind::TraceSize), "that says more");
        let told = rig.database.all_mismatches().into_iter().map(|found| {
            let (expected, found) = (found.what.expected, found.what.found);
            (expected.size, expected.crc32, found.size, found.crc32)
        });
        let is = (Some(SIZE), Some(Crc32::of(&log())));
        let expected = [(Some(SIZE), Some(Crc32(7)), is.0, is.1), (Some(ByteSize(149)), Some(Crc32(7)), is.0, is.1)];
        assert_eq!(told.collect::<Vec<_>>(), expected);
    });
}

#[test]
fn a_trace_that_is_erased_or_has_a_bad_chunk_does_not_have_to_add_up() {
    now(async {
        let rig = Rig::proven().await;
        rig.database.change_job(rig.job, |job| job.crc32 = Some(Crc32(7)));
        for state in [TraceState::Archived, TraceState::Erased, TraceState::Closing] {
            rig.database.change_job(rig.job, |job| job.state = state);
            assert_eq!(rig.sum_up(&rig.other).await, None, "{state:?}");
        }
        rig.database.change_job(rig.job, |job| job.state = TraceState::Closed);
        let rows = rig.database.all_rows(rig.job);
        let key = &rows[1].persistent_copy().expect("a copy").object().key;
        rig.node.stores().objects.delete(key).await.expect("a model");
        assert_eq!(rig.sum_up(&rig.other).await, None);
        let found: Vec<_> =
            rig.database.all_mismatches().iter().map(|found| (found.what.chunk, found.what.kind)).collect();
        assert_eq!(found, [(Some(ChunkIndex(1)), Kind::Missing)]);
    });
}

/// The job changes between the two looks that a difference needs.
struct Changes {
    rig: Arc<Rig>,
    change: fn(&mut Job),
    calls: AtomicU32,
}

#[async_trait]
impl Hook for Changes {
    async fn before(&self, call: &Call) -> Result<()> {
        if call.operation == "job" && self.calls.fetch_add(1, Ordering::SeqCst) == 1 {
            self.rig.database.change_job(self.rig.job, self.change);
        }
        Ok(())
    }

    async fn after(&self, _call: &Call, _took: Duration, _failed: Option<&StoreError>) -> Result<()> {
        Ok(())
    }
}

#[test]
fn a_whole_that_is_another_one_at_the_second_look_is_not_believed() {
    type Change = fn(&mut Job);
    let changes: [(Change, Option<Kind>); 4] = [
        (|_| (), Some(Kind::TraceSize)),
        (|job| (job.size, job.crc32) = (Some(SIZE), Some(Crc32(7))), None),
        (|job| job.epoch = Epoch(job.epoch.0 + 1), None),
        (|job| job.size = Some(SIZE), None),
    ];
    for (at, (change, kind)) in changes.into_iter().enumerate() {
        now(async {
            let rig = Arc::new(Rig::proven().await);
            rig.database.change_job(rig.job, |job| job.size = Some(ByteSize(149)));
            let stores = rig.other.stores().clone();
            let hook = Arc::new(Changes { rig: rig.clone(), change, calls: AtomicU32::new(0) });
            let database = Arc::new(Hooked::new(stores.database.clone(), hook, rig.clock.clone()));
            let node = Pipeline::new(Stores { database, ..stores }, rig.other.seams().clone(), Settings::default());
            assert_eq!(rig.sum_up(&node).await, kind, "{at}");
            assert_eq!(rig.database.all_mismatches().len(), usize::from(kind.is_some()), "{at}");
        });
    }
}
