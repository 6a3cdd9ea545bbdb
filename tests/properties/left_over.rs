//! Live copies that should have gone, and the inventory that waits for the sweep to remove them: in virtual time.

#![allow(clippy::disallowed_methods, reason = "its time is virtual")]

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use veritail::pipeline::{Finalized, Pipeline, Settings, Stores};
use veritail::seams::Seams;
use veritail::seams::real::{NoFailPoints, SystemChance, TokioSpawn};
use veritail::store::database::verifications::{Run, RunFilter, Verifications as _};
use veritail::store::hooked::Hooked;
use veritail::trace::{ChunkId, JobId, Kind, RunState, Schedule};
use veritail::verify::{self, Verifier};

use crate::passing::{BEGIN, Virtual, counted};
use crate::rig::{models, running_job, sent_to};
use crate::support::hooks::{Faults, Side};
use crate::support::model::database::ModelDatabase;
use crate::support::model::live::ModelLive;

/// The grace of what nobody needs.
const GRACE: Duration = Duration::from_secs(24 * 3600);
/// Two turns of the live sweep, and the time that a released copy stays.
const WAIT: Duration = Duration::from_secs(2 * 600 + 120);
const SECOND: Duration = Duration::from_secs(1);

/// A closed trace whose live copy nobody let go, and a verifier.
struct Left {
    verifier: Verifier,
    live: Arc<ModelLive>,
    database: Arc<ModelDatabase>,
    copy: (JobId, ChunkId),
    began: Instant,
}

impl Left {
    async fn new() -> Self {
        let (began, clock) = (Instant::now(), Arc::new(Virtual::new()));
        let (live, database, stores) = models(clock.clone());
        let node = |stores| {
            let (chance, spawn, points) = (Arc::new(SystemChance), Arc::new(TokioSpawn), Arc::new(NoFailPoints));
            Pipeline::new(stores, Seams { clock: clock.clone(), chance, spawn, points }, Settings::default())
        };
        let faults = Arc::new(Faults::default());
        faults.fail("live", "release", Side::Before);
        let hooked = Arc::new(Hooked::new(stores.live.clone(), faults.clone(), clock.clone()));
        let fails = node(Stores { live: hooked, ..stores.clone() });
        let job = closed(&fails).await;
        assert_eq!(faults.left(), 0);
        let [(of, chunk, _, false)] = live.chunks()[..] else { panic!("one live copy: {:?}", live.chunks()) };
        assert_eq!(of, job);
        let default = verify::Settings::default();
        let inventory = verify::Budgeted { requests_per_second: 0, ..default.inventory };
        let settings = verify::Settings { orphan_grace: GRACE, inventory, ..default };
        Self { verifier: Verifier::new(node(stores), settings), live, database, copy: (job, chunk), began }
    }

    /// Waits until it was proven elsewhere for so long.
    async fn was_left_for(&self, time: Duration) {
        tokio::time::sleep_until(self.began + time).await;
    }

    /// How long it took.
    async fn inventory(&self) -> Duration {
        let began = Instant::now();
        self.verifier.tick(Schedule::Inventory).await.expect("models");
        began.elapsed()
    }

    fn found(&self) -> Vec<(JobId, Kind)> {
        self.database.all_mismatches().iter().map(|found| (found.what.job, found.what.kind)).collect()
    }

    async fn run(&self) -> Run {
        let newest = RunFilter { schedule: Some(Schedule::Inventory), limit: 1, ..RunFilter::default() };
        self.database.runs(newest).await.expect("a model").remove(0)
    }
}

/// Its only chunk stays live, since the final PUT could not let it go.
async fn closed(node: &Pipeline) -> JobId {
    let put = sent_to(node, running_job(64, BEGIN), b"a short log").await;
    for _ in 0..5 {
        if matches!(node.finalize(put.clone()).await, Finalized::Done { .. }) {
            return put.job;
        }
    }
    panic!("it does not come to its end");
}

#[test]
fn a_copy_is_stale_once_it_was_needed_by_nobody_for_the_grace_and_two_sweeps_left_it() {
    counted(async {
        let left = Left::new().await;
        left.was_left_for(GRACE - Duration::from_millis(1)).await;
        assert_eq!((left.inventory().await, left.found()), (Duration::ZERO, vec![]), "a moment too early");
        left.was_left_for(2 * GRACE).await;
        assert_eq!(left.inventory().await, WAIT);
        assert_eq!(left.found(), [(left.copy.0, Kind::Orphan)]);
        let run = left.run().await;
        assert_eq!((run.state, run.tally.differs, run.tally.chunks), (RunState::Complete, 1, 2), "{run:?}");
    });
    counted(async {
        let left = Left::new().await;
        left.was_left_for(GRACE).await;
        assert_eq!(left.inventory().await, WAIT, "in time");
        assert_eq!(left.found(), [(left.copy.0, Kind::Orphan)]);
    });
}

#[test]
fn one_that_the_sweep_removes_meanwhile_is_none() {
    counted(async {
        let left = Left::new().await;
        left.was_left_for(GRACE).await;
        let goes = async {
            tokio::time::sleep(WAIT - SECOND).await;
            assert!(left.live.lose_chunk(left.copy.0, left.copy.1));
        };
        let (took, ()) = futures::join!(left.inventory(), goes);
        let run = left.run().await;
        assert_eq!((took, left.found(), run.tally.differs), (WAIT, vec![], 0));
    });
}

#[test]
fn while_it_waits_the_run_is_heard_of_and_can_be_stopped() {
    counted(async {
        let left = Left::new().await;
        left.was_left_for(GRACE).await;
        let stops = async {
            tokio::time::sleep(SECOND * 301).await;
            let run = left.run().await;
            assert_eq!(run.heard_at, BEGIN.after(GRACE + SECOND * 300));
            left.database.ask_to_stop(run.id, "somebody").await.expect("a model");
        };
        let (took, ()) = futures::join!(left.inventory(), stops);
        assert_eq!((took, left.run().await.state), (SECOND * 360, RunState::Stopped));
        assert_eq!(left.found(), []);
        assert!(left.inventory().await >= WAIT, "the next one does what is left");
        assert_eq!(left.found(), [(left.copy.0, Kind::Orphan)]);
    });
}
