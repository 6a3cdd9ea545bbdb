//! A node that stands still says late what it acknowledged. It is heard all the same.

use std::time::Duration;

use veritail::pipeline::Appended;
use veritail::store::database::{Database, MismatchFilter};
use veritail::trace::{ByteSize, Detector, Kind, Offset, Verdict};

use crate::rig::{Rig, now};

#[test]
fn a_loss_that_is_told_long_after_the_close_is_noticed() {
    now(async {
        let rig = Rig::new(64).await;
        assert!(matches!(rig.append(0, &[7; 40], 40).await, Appended::Accepted { .. }));
        // The node stands still before it writes that down; the live store loses everything, and the job ends.
        rig.live.wipe();
        rig.end_on(&rig.other, None).await;
        let closed = rig.database.job(rig.job).await.expect("a model").expect("a job");
        assert_eq!((closed.verdict, closed.size), (Verdict::Unclaimed, Some(ByteSize::ZERO)));

        rig.clock.pass(Duration::from_secs(3600));
        rig.node.sweep().await.expect("models");
        let gaps = rig.database.mismatches(MismatchFilter::default()).await.expect("a model");
        let gaps: Vec<_> = gaps.iter().map(|gap| (gap.what.kind, gap.what.detector, &gap.what.expected)).collect();
        let [(Kind::Gap, Detector::Sweep, lost)] = gaps[..] else { panic!("{gaps:?}") };
        assert_eq!((lost.offset, lost.size), (Some(Offset(0)), Some(ByteSize(40))));
        // It is told once.
        rig.other.sweep().await.expect("models");
        assert_eq!(rig.database.mismatches(MismatchFilter::default()).await.expect("a model").len(), 1);
    });
}
