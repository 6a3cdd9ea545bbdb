//! Two nodes over the same stores, of which one comes late or was interrupted.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use veritail::pipeline::{Appended, Finalized, Pipeline, Settings, Stores};
use veritail::store::database::{Database, Rewind};
use veritail::store::hooked::{Call, Hook, Hooked};
use veritail::store::{Result, StoreError};
use veritail::trace::{Epoch, TraceState, Verdict};

use crate::rig::{Rig, now};

/// Before the first append gets to the live store the trace closes, and the live store loses its tombstone: a restored
/// one shows the open end as it was.
struct ClosesBefore {
    rig: Arc<Rig>,
    is_done: AtomicBool,
}

#[async_trait]
impl Hook for ClosesBefore {
    async fn before(&self, call: &Call) -> Result<()> {
        if call.operation == "append" && !self.is_done.swap(true, Ordering::SeqCst) {
            let before = self.rig.live.snapshot();
            assert!(matches!(self.rig.finalize(&[7; 40]).await, Finalized::Done { .. }));
            self.rig.live.restore(&before);
        }
        Ok(())
    }

    async fn after(&self, _call: &Call, _took: Duration, _failed: Option<&StoreError>) -> Result<()> {
        Ok(())
    }
}

#[test]
fn bytes_that_got_into_the_live_store_of_a_trace_that_closed_meanwhile_are_not_acknowledged() {
    now(async {
        let rig = Arc::new(Rig::new(64).await);
        assert!(matches!(rig.append(0, &[7; 40], 40).await, Appended::Accepted { .. }));
        let stores = rig.other.stores().clone();
        let closes = Arc::new(ClosesBefore { rig: rig.clone(), is_done: AtomicBool::new(false) });
        let live = Arc::new(Hooked::new(stores.live.clone(), closes, rig.clock.clone()));
        let late = Pipeline::new(Stores { live, ..stores }, rig.other.seams().clone(), Settings::default());
        let appended = rig.append_on(&late, 40, &[8; 10], 10).await;
        assert!(matches!(appended, Appended::Ended { .. }), "{appended:?}");
        let job = rig.database.job(rig.job).await.expect("a model").expect("a job");
        assert_eq!((job.state, job.verdict), (TraceState::Closed, Verdict::Verified));
        assert_eq!(rig.read(0, 40).await, [7; 40]);
    });
}

/// Whoever raised the epoch died before the live store had it: the next node installs that one.
#[test]
fn an_epoch_that_was_raised_and_not_installed_is_helped_and_not_outbid() {
    now(async {
        let rig = Rig::new(64).await;
        assert!(matches!(rig.append(0, &[7; 40], 40).await, Appended::Accepted { .. }));
        let job = rig.database.job(rig.job).await.expect("a model").expect("a job");
        assert!(rig.database.rewind(rig.job, &Rewind::of(&job, job.changed_at)).await.expect("a model"));
        let appended = rig.append_on(&rig.other, 40, &[8; 10], 10).await;
        assert!(matches!(appended, Appended::Accepted { .. }), "{appended:?}");
        let job = rig.database.job(rig.job).await.expect("a model").expect("a job");
        assert_eq!((job.epoch, job.installed_epoch), (Epoch(2), Some(Epoch(2))));
    });
}
