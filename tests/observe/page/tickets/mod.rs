//! Tickets: what nobody gets up for, each with its cause staged, fired, repaired and over. Many of them wait for an hour, so a
//! minute of the rules lasts two seconds here.

mod live;
mod nodes;
mod objects;
mod panics;
mod verifier;

use super::post::{Message, Post};
use super::site::{Site, Watched};
use super::watch::OF_TICKETS;
use super::{TURN, came_and_went, said, storage, tickets_come_by_mail, watch as watching};
use crate::support::bad_network::BadNetwork;
use crate::support::production::Production;
use crate::support::redis_server::Durability;

/// What comes and goes here.
pub(super) const TICKETS: &[&str] = &[
    "VeritailCanaryCaughtLate",
    "VeritailCanaryFailing",
    "VeritailClientChecksumMismatchHigh",
    "VeritailDatabasePoolBusy",
    "VeritailDependencyErrors",
    "VeritailFileDescriptorsHigh",
    "VeritailInventoryLate",
    "VeritailLiveBytesDrift",
    "VeritailLiveBytesLost",
    "VeritailMigrationFailures",
    "VeritailNodeCutOff",
    "VeritailOrphansFound",
    "VeritailPanics",
    "VeritailRedisMayEvict",
    "VeritailRedisMemoryHigh",
    "VeritailRedisUnlimited",
    "VeritailRestarting",
    "VeritailScheduledJobStale",
    "VeritailSpillLeft",
    "VeritailSpilling",
    "VeritailTargetDown",
    "VeritailVerifierOverlapping",
    "VeritailVerifyCoverageLow",
    "VeritailVerifyCycleLate",
    "VeritailVerifyErrors",
    "VeritailWebhookFailing",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_nobody_gets_up_for_is_a_ticket_and_over_after_the_repair() {
    let _turn = TURN.lock().await;
    let _shared = tokio::task::spawn_blocking(Production::hold).await.expect("servers");
    let post = Post::open().await;
    let trackers = BadNetwork::before(post.port()).await;
    let webhook = format!("http://127.0.0.1:{}/issues", trackers.port());
    let inventory = [objects::INVENTORY, &[("VERITAIL_WEBHOOK_URL", webhook.as_str())]].concat();
    let start = |name, nodes, own| Box::pin(Site::start(name, nodes, Durability::Nothing, own));
    let panicking = panics::Panicking::start();
    let (live, mut objects, mut listed, mut behind, mut late, mut failing, mut nodes) = tokio::join!(
        start("live", 1, storage::NO_CANARY),
        start("objects", 1, storage::NO_CANARY),
        start("listed", 1, &inventory),
        start("behind", 1, verifier::SHORT_CYCLE),
        start("late", 1, verifier::LATE),
        start("failing", 1, verifier::FREQUENT),
        start("nodes", 2, nodes::WIDE_POOL),
    );
    let sites: [&dyn Watched; 8] = [&live, &objects, &listed, &behind, &late, &failing, &nodes, &panicking];
    let (mut watch, _) = watching(&post, &sites, OF_TICKETS).await;
    tokio::join!(
        Box::pin(live::redis_as_it_comes(&live, &post)),
        Box::pin(objects::rights_are_missing_and_a_row_is_locked(&mut objects, &post)),
        Box::pin(objects::bytes_that_nobody_names(&mut listed, &trackers, &post)),
        Box::pin(verifier::budgets_are_too_small(&mut behind, &post)),
        Box::pin(verifier::damage_is_found_late(&mut late, &post)),
        Box::pin(verifier::the_canary_fails_mostly(&mut failing, &post)),
        Box::pin(nodes::one_of_two(&mut nodes, &post)),
        Box::pin(panics::once(panicking, &post)),
    );
    came_and_went(&post, TICKETS);
    tickets_come_by_mail(&post);
    watch.is_well();
}

/// Waits for a ticket about a set-up that fires.
async fn ticket(post: &Post, site: &dyn Watched, name: &str, about: &[(&str, &str)]) -> Message {
    let message = said(post, "tickets", site, name, true, about).await;
    assert_eq!(message.label("severity"), "warning", "{}", message.labels);
    assert!(message.annotation("runbook_url").ends_with(name), "{}", message.annotation("runbook_url"));
    println!("{name}: {}\n    {}", message.annotation("summary"), message.annotation("description"));
    message
}

/// Waits for its end.
async fn over(post: &Post, site: &dyn Watched, name: &str, about: &[(&str, &str)]) {
    said(post, "tickets", site, name, false, about).await;
}

/// As for pages. A restart takes seconds, which are the minutes of the rules after which a Veritail of one node is down.
fn only(post: &Post, site: &dyn Watched, expected: &[&str]) {
    super::only(post, site, &[expected, &["VeritailDown"]].concat());
}

/// Waits for minutes of the rules.
async fn minutes(count: u64) {
    OF_TICKETS.times(count).await;
}
