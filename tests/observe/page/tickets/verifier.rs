//! A verifier that is behind, one that comes late, and a canary that mostly does not get through.

use super::super::integrity::SEEING;
use super::super::post::Post;
use super::super::site::Site;
use super::super::{counted, kept, only};
use super::{over, ticket};
use crate::support::bad_network::{BadNetwork, Fault};

/// The canary damages something at the full and half minute, and the verifier looks fourteen seconds later: that is between the
/// deadline, and twice of it, from when on it counts as missed.
pub(super) const LATE: &[(&str, &str)] = &[
    ("VERITAIL_VERIFY_CANARY", "0,30 * * * * *"),
    ("VERITAIL_VERIFY_CANARY_DEADLINE", "10s"),
    ("VERITAIL_VERIFY_HOT", "14,44 * * * * *"),
    ("VERITAIL_VERIFY_FULL", "14,44 * * * * *"),
];
/// Of old jobs, too, everything is to be looked at within seconds.
pub(super) const SHORT_CYCLE: &[(&str, &str)] =
    &[("VERITAIL_VERIFY_CANARY", "off"), ("VERITAIL_VERIFY_FULL_CYCLE_OLD", "20s")];
/// Less than there is to look at in the time that is promised, and more than a standstill.
const TOO_LITTLE: &[(&str, &str)] = &[
    ("VERITAIL_VERIFY_HOT_REQUESTS_PER_SECOND", "2"),
    ("VERITAIL_VERIFY_FULL_REQUESTS_PER_SECOND", "10"),
    ("VERITAIL_VERIFY_FULL_CYCLE", "2s"),
];
const ENOUGH: &[(&str, &str)] = &[
    ("VERITAIL_VERIFY_HOT_REQUESTS_PER_SECOND", "0"),
    ("VERITAIL_VERIFY_FULL_REQUESTS_PER_SECOND", "0"),
    ("VERITAIL_VERIFY_FULL_CYCLE", "20s"),
];

/// Somebody gives it too little for what it is to promise.
pub(super) async fn budgets_are_too_small(site: &mut Site, post: &Post) {
    const NAMES: [&str; 3] = ["VeritailVerifyCycleLate", "VeritailVerifyCoverageLow", "VeritailVerifierOverlapping"];
    kept(site, 240_000).await;
    // Of the first cycle nobody knows how long ago the looks before it were.
    counted(site, "veritail_verify_last_complete_timestamp_seconds", "schedule=\"full\"", 1.0).await;
    restart_with(site, TOO_LITTLE);
    tokio::join!(
        ticket(post, site, NAMES[0], &[]),
        ticket(post, site, NAMES[1], &[]),
        ticket(post, site, NAMES[2], &[("schedule", "hot")]),
    );
    restart_with(site, ENOUGH);
    tokio::join!(
        over(post, site, NAMES[0], &[]),
        over(post, site, NAMES[1], &[]),
        over(post, site, NAMES[2], &[("schedule", "hot")]),
    );
    only(post, site, &NAMES);
}

/// Its schedules come after the canary's deadline.
pub(super) async fn damage_is_found_late(site: &mut Site, post: &Post) {
    const NAME: &str = "VeritailCanaryCaughtLate";
    ticket(post, site, NAME, &[]).await;
    restart_with(site, SEEING);
    over(post, site, NAME, &[]).await;
    only(post, site, &[NAME]);
}

/// What stands before it refuses two of three of its readers.
pub(super) async fn the_canary_fails_mostly(site: &mut Site, post: &Post) {
    const NAME: &str = "VeritailCanaryFailing";
    const RUNS: &str = "veritail_canary_runs_total";
    let balancer = BadNetwork::before(site.port(0)).await;
    restart_with(site, &[("VERITAIL_VERIFY_CANARY_URL", &format!("http://127.0.0.1:{}", balancer.port()))]);
    let site = &*site;
    let mostly = async {
        for round in 1.. {
            balancer.always(None);
            counted(site, RUNS, "result=\"ok\"", f64::from(round)).await;
            balancer.always(Some(("GET", Fault::Refuse(502))));
            counted(site, RUNS, "result=\"error\"", f64::from(2 * round)).await;
        }
    };
    tokio::select! {
        _ = ticket(post, site, NAME, &[]) => {}
        () = mostly => {}
    }
    balancer.always(None);
    over(post, site, NAME, &[]).await;
    only(post, site, &[NAME]);
}

fn restart_with(site: &mut Site, settings: &[(&str, &str)]) {
    site.set(settings);
    tokio::task::block_in_place(|| site.restart(0));
}
