//! Two nodes over the same stores, of which one was interrupted.

use veritail::pipeline::Appended;
use veritail::store::database::{Database, Rewind};
use veritail::trace::Epoch;

use crate::rig::{Rig, now};

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
