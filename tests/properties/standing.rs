//! How the verifier says that it stands: to people, in numbers, and in the runs that it remembers.

use std::time::Duration;

use veritail::store::database::leases::When;
use veritail::store::database::verifications::{NewRun, Run, RunFilter, Verifications as _};
use veritail::trace::{JobId, RunState, Schedule, Timestamp};
use veritail::verify::{self, ShardStatus, Status, Verifier};

use crate::passing::{BEGIN, Page, counted};
use crate::rig::Rig;

const CHUNK: u32 = 64;
const DAY: Duration = Duration::from_secs(24 * 3600);

fn log() -> Vec<u8> {
    (0..150).collect()
}

/// A closed trace of three chunks.
async fn closed() -> (Rig, Verifier) {
    let rig = Rig::new(CHUNK).await;
    rig.send_and_prove(&log()).await;
    let verifier = Verifier::new(rig.other.clone(), verify::Settings::default());
    (rig, verifier)
}

fn shard<'a>(status: &'a Status, name: &str) -> &'a ShardStatus {
    status.shards.iter().find(|shard| shard.shard == name).expect("a shard")
}

fn is_near(is: f64, should: f64) -> bool {
    (is - should).abs() < 0.001
}

/// Chunks to look at, those that were in time, the age of the oldest look, and the projected share.
fn coverage(page: &Page) -> [f64; 4] {
    let names = ["eligible_chunks", "covered_chunks", "oldest_unverified_age_seconds", "cycle_projected_ratio"];
    names.map(|name| page.value(&format!("verify_{name}")))
}

#[test]
fn a_status_says_how_far_each_walk_is_and_when_it_will_end() {
    counted(async {
        let (rig, verifier) = closed().await;
        let before = verifier.status().await.expect("models");
        assert!(before.shards.is_empty() && before.schedules.iter().all(|schedule| schedule.newest.is_none()));
        verifier.tick(Schedule::Full).await.expect("models");
        rig.clock.pass(DAY * 7 / 2);
        let status = verifier.status().await.expect("models");
        assert_eq!(status.shards.len(), 32);
        let fresh = shard(&status, "fresh/00");
        assert!(is_near(fresh.walked, 0.0) && is_near(fresh.due, 0.5 / 0.9), "{fresh:?}");
        assert_eq!((fresh.promised_seconds, shard(&status, "old/00").promised_seconds), (7 * 86_400, 90 * 86_400));
        assert_eq!((fresh.at_job, fresh.cycle_started_at.as_str()), (JobId(1), BEGIN.to_rfc3339().as_str()));
        assert_eq!(fresh.projected_end, BEGIN.after((DAY * 7).mul_f64(0.5 + 0.9)).to_rfc3339());
        assert!(is_near(status.coverage.projected_cycle_ratio, 1.4), "{:?}", status.coverage);
        assert_eq!(status.coverage.eligible, 0, "nothing was met so far");

        verifier.tick(Schedule::Full).await.expect("models");
        let status = verifier.status().await.expect("models");
        let fresh = shard(&status, "fresh/00");
        assert!(is_near(fresh.walked, 1.0) && fresh.previous.is_none() && fresh.at_job == JobId(2), "{fresh:?}");
        assert_eq!((fresh.tally.chunks, status.coverage.eligible, status.coverage.covered), (3, 3, 3));
        assert!(is_near(status.coverage.oldest_look_age_seconds, 0.0), "{:?}", status.coverage);

        rig.clock.pass(DAY * 7 / 2);
        verifier.tick(Schedule::Full).await.expect("models");
        let status = verifier.status().await.expect("models");
        let previous = shard(&status, "fresh/00").previous.as_ref().expect("a cycle before");
        let (began, ended) = (BEGIN.to_rfc3339(), BEGIN.after(DAY * 7).to_rfc3339());
        assert_eq!((&previous.started_at, &previous.ended_at, previous.chunks), (&began, &ended, 3));
        let full = status.schedules.iter().find(|of| of.schedule == Schedule::Full).expect("all of them");
        assert_eq!(full.completed_at.as_ref(), Some(&ended));
        let newest = full.newest.as_ref().expect("a run");
        assert_eq!((newest.state, newest.schedule), (RunState::Running, Schedule::Full));
        let hot = status.schedules.iter().find(|of| of.schedule == Schedule::Hot).expect("all of them");
        assert!(hot.newest.is_none() && hot.completed_at.is_none());
    });
}

#[test]
fn how_well_all_is_covered_is_measured_before_each_walk() {
    let at = |days: &'static [f64]| {
        let ((), page) = counted(async {
            let (rig, verifier) = closed().await;
            for time in days {
                rig.clock.pass(DAY.mul_f64(*time));
                verifier.tick(Schedule::Full).await.expect("models");
            }
        });
        (coverage(&page), page.value("verify_last_complete_timestamp_seconds{schedule=\"full\"}"))
    };
    let near = |(is, ended): ([f64; 4], f64), should: [f64; 4], should_end: f64| {
        assert!(is.iter().zip(should).all(|(is, should)| is_near(*is, should)), "{is:?}, {should:?}");
        assert!(is_near(ended, should_end), "{ended}, {should_end}");
    };
    let day = DAY.as_secs_f64();
    near(at(&[0.0]), [0.0, 0.0, 0.0, 0.9], 0.0);
    // Half of the time is over and nothing was looked at.
    near(at(&[0.0, 3.5]), [0.0, 0.0, 0.0, 1.4], 0.0);
    // It was, a day ago.
    near(at(&[0.0, 3.5, 1.0]), [3.0, 3.0, 0.0, 4.5 / 7.0], 0.0);
    // The cycle after it is not begun yet, and the looks of the one before are not too old.
    near(at(&[0.0, 6.5, 0.4]), [3.0, 3.0, 6.9 * day, 0.4 / 7.0 + 0.9], 0.0);
    // They are. The cycles over old jobs last for longer, so there is none of all yet.
    near(at(&[0.0, 7.0, 1.0]), [3.0, 0.0, 8.0 * day, 1.0 / 7.0 + 0.9], 0.0);
    // All of them have ended, after 90 days.
    near(at(&[0.0, 7.0, 83.0, 0.5]), [3.0, 0.0, 83.5 * day, 0.5 / 7.0 + 0.9], 1_700_000_000.0 + 90.0 * day);
}

#[test]
fn each_tick_counts_by_what_came_of_it() {
    let ((), page) = counted(async {
        let (rig, verifier) = closed().await;
        rig.clock.pass(DAY);
        verifier.tick(Schedule::Hot).await.expect("models");
        // Its turns are not due for three quarters of a minute.
        verifier.tick(Schedule::Hot).await.expect("models");
        rig.clock.pass(Duration::from_secs(44));
        verifier.tick(Schedule::Hot).await.expect("models");
        rig.clock.pass(Duration::from_secs(1));
        verifier.tick(Schedule::Hot).await.expect("models");
        // It has no client.
        verifier.tick(Schedule::Canary).await.expect("models");
        verifier.tick(Schedule::Manual).await.expect("models");
    });
    let ticks =
        |schedule, result| page.value(&format!("verify_ticks_total{{schedule=\"{schedule}\",result=\"{result}\"}}"));
    assert_eq!((ticks("hot", "ran"), ticks("hot", "idle")), (2.0, 2.0));
    assert_eq!((ticks("canary", "idle"), ticks("manual", "idle")), (1.0, 1.0));
    let at = 1_700_000_000.0 + DAY.as_secs_f64() + 45.0;
    for what in ["progress", "complete"] {
        assert!(
            is_near(page.value(&format!("verify_last_{what}_timestamp_seconds{{schedule=\"hot\"}}")), at),
            "{what}"
        );
    }
    assert_eq!(page.value("verify_run_duration_seconds_count{schedule=\"hot\",result=\"complete\"}"), 2.0);
}

async fn runs(rig: &Rig, schedule: Schedule) -> Vec<Run> {
    let filter = RunFilter { schedule: Some(schedule), ..RunFilter::default() };
    rig.database.runs(filter).await.expect("a model")
}

/// *Hot* tidies up: what was not heard of for ten minutes has lost its node, and what ended long ago is forgotten.
#[test]
fn runs_that_lost_their_node_end_and_old_ones_are_forgotten() {
    counted(async {
        let (rig, verifier) = closed().await;
        let begin = async |at: Timestamp| {
            let (schedule, node) = (Schedule::Manual, "another".to_owned());
            let run = NewRun { schedule, scope: "all".to_owned(), node, expected: None, at };
            rig.database.begin_run(&run).await.expect("a model").id
        };
        let first = begin(BEGIN).await;
        let second = begin(BEGIN.after(Duration::from_secs(1))).await;
        let state = async |id| rig.database.run(id).await.expect("a model").map(|run| run.state);
        rig.clock.pass(Duration::from_secs(600));
        verifier.tick(Schedule::Hot).await.expect("models");
        assert_eq!(state(first).await, Some(RunState::Running), "it was heard of ten minutes ago, and not before");
        rig.clock.pass(Duration::from_secs(60));
        verifier.tick(Schedule::Hot).await.expect("models");
        assert_eq!((state(first).await, state(second).await), (Some(RunState::Failed), Some(RunState::Failed)));
        let lost = rig.database.run(first).await.expect("a model").expect("a run");
        assert_eq!(lost.message.as_deref(), Some("its node went away"));

        let hot = runs(&rig, Schedule::Hot).await[0].id;
        rig.clock.pass(DAY * 30);
        verifier.tick(Schedule::Hot).await.expect("models");
        assert_eq!(state(hot).await, Some(RunState::Complete), "it ended thirty days ago, and not before");
        rig.clock.pass(Duration::from_secs(60));
        verifier.tick(Schedule::Hot).await.expect("models");
        assert_eq!((state(hot).await, state(first).await), (None, None));
    });
}

/// A shard that another node has is left alone by the full run too, and by nobody else.
#[test]
fn a_walk_whose_turn_another_node_has_is_left_to_it() {
    counted(async {
        let (rig, verifier) = closed().await;
        let leases = &rig.node.stores().leases;
        verifier.tick(Schedule::Full).await.expect("models");
        rig.clock.pass(DAY * 5);
        let held = leases.take("verify/full/fresh/00", "another", DAY, When::Early).await.expect("a model");
        assert!(held.is_some());
        verifier.tick(Schedule::Full).await.expect("models");
        let walked = async |name| {
            let status = verifier.status().await.expect("models");
            let shard = shard(&status, name);
            (shard.walked, shard.tally.chunks)
        };
        assert_eq!((walked("fresh/00").await, walked("fresh/01").await.0), ((0.0, 0), 1.0));
        rig.clock.pass(DAY);
        verifier.tick(Schedule::Full).await.expect("models");
        assert_eq!(walked("fresh/00").await, (1.0, 3));
    });
}
