//! Every alert, live: real stores, a real Prometheus and Alertmanager with the rules as they are shipped, receivers at the
//! end, and real damage.
//!
//! Every set-up is a job of its own of one Prometheus, so that each may fire its own alerts and none of the others'. Those of
//! one test go on at the same time. Only time is changed: a minute of the rules lasts a few seconds ([`watch::Minute`]).

mod embedded;
mod integrity;
mod mail;
mod nodes;
mod post;
mod site;
mod storage;
mod tickets;
mod watch;

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::Value;

use crate::alerts::rules;
use crate::support::production::Production;
use crate::support::redis_server::Durability;
use crate::support::runner;
use crate::support::server::{Job, log};
use crate::support::wait::holds_within;
use embedded::Alone;
use post::{Message, Post};
use site::{Site, Watched};
use watch::{Minute, OF_PAGES, Watch};

/// What every set-up may say besides its own.
const ALWAYS: &[&str] = &["VeritailWatchdog"];

/// What comes and goes in the first test; what goes on for long or is no longer said has the second, and most tickets have the
/// [third](tickets).
const STORES_AND_DAMAGE: &[&str] = &[
    "VeritailCanaryNotCaught",
    "VeritailChecksumMismatch",
    "VeritailCorruptTracesUnresolved",
    "VeritailDependencyDown",
    "VeritailEndToEndChecksumMismatch",
    "VeritailErrorBudgetBurn",
    "VeritailLiveStoreRolledBack",
    "VeritailRedisFilling",
    "VeritailVerifierStalled",
];
const LONG_OR_SILENT: &[&str] = &[
    "VeritailAbsent",
    "VeritailAlertsBlind",
    "VeritailCanaryMismatch",
    "VeritailCanaryStale",
    "VeritailContactsStale",
    "VeritailDown",
    "VeritailFinishedButLive",
    "VeritailGaugesStale",
    "VeritailMigrationBacklogOld",
    "VeritailRedisEvicting",
    "VeritailSpillFilling",
    "VeritailVerifierAbsent",
];

/// One after the other: each takes all that the machine has.
static TURN: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn each_trouble_pages_as_what_it_is_and_a_calm_day_pages_nobody() {
    let _turn = TURN.lock().await;
    let _shared = tokio::task::spawn_blocking(Production::hold).await.expect("servers");
    let post = Post::open().await;
    // Boxed: as parts of one future they are too large for a test's stack.
    let alone = Alone::start();
    let (damaged, redis, objects, stalled, filling, blind, calm) = tokio::join!(
        Box::pin(Site::start("damaged", 1, Durability::Nothing, &[])),
        Box::pin(Site::start("redis-away", 1, Durability::Nothing, &[])),
        Box::pin(Site::start("objects-away", 1, Durability::Nothing, &[])),
        Box::pin(Site::start("stalled", 1, Durability::Nothing, &[])),
        Box::pin(Site::start("filling", 1, Durability::Nothing, storage::NO_CANARY)),
        Box::pin(Site::start("blind", 2, Durability::Nothing, integrity::BLIND)),
        Box::pin(Site::start("calm", 2, Durability::Always, &[])),
    );
    let sites: [&dyn Watched; 8] = [&damaged, &redis, &objects, &stalled, &filling, &blind, &calm, &alone];
    let (mut watch, _) = watch(&post, &sites, OF_PAGES).await;
    tokio::join!(
        Box::pin(integrity::bytes_rot(&damaged, &post)),
        Box::pin(integrity::bytes_are_gone(&damaged, &post)),
        Box::pin(storage::redis_goes_away(redis, &post)),
        Box::pin(storage::the_object_store_goes_away(&objects, &post)),
        Box::pin(integrity::the_verifier_stands_still(&stalled, &post)),
        Box::pin(storage::redis_fills_up(&filling, &post)),
        Box::pin(integrity::the_canary_is_not_caught(blind, &post)),
        Box::pin(nodes::a_calm_day(calm, &post)),
        Box::pin(embedded::bytes_rot(alone, &post)),
    );
    came_and_went(&post, STORES_AND_DAMAGE);
    tickets_come_by_mail(&post);
    watch.is_well();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_goes_on_for_long_or_is_no_longer_said_pages_too() {
    let _turn = TURN.lock().await;
    let _shared = tokio::task::spawn_blocking(Production::hold).await.expect("servers");
    let post = Post::open().await;
    let (unkept, evicting, mut canary, mut silent) = tokio::join!(
        Box::pin(Site::start("unkept", 1, Durability::Nothing, storage::LITTLE_SPILL)),
        Box::pin(Site::start("evicting", 1, Durability::Nothing, storage::NO_CANARY)),
        Box::pin(Site::start("canary", 1, Durability::Nothing, integrity::CANARY)),
        Box::pin(Site::start("silent", 1, Durability::Nothing, storage::NO_CANARY)),
    );
    let (mut watch, targets) = watch(&post, &[&unkept, &evicting, &canary, &silent], OF_PAGES).await;
    tokio::join!(
        Box::pin(storage::nothing_takes_chunks(&unkept, &post)),
        Box::pin(storage::redis_drops_keys(&evicting, &post)),
        Box::pin(integrity::the_canary_reads_other_bytes_and_then_none(&mut canary, &post)),
        Box::pin(async {
            nodes::what_is_acknowledged_is_not_written_down(&silent, &post).await;
            // A runner that is refused uses up the error budget, which is a page of its own; each refusal of a store is an error.
            let expected = ["VeritailContactsStale", "VeritailErrorBudgetBurn", "VeritailDependencyErrors"];
            only(&post, &silent, &expected);
            nodes::the_gauges_stand_still(&silent, &post).await;
            nodes::no_node_is_left(&mut silent, &post).await;
            integrity::nobody_verifies(&mut silent, &post).await;
            let pages = ["VeritailAlertsBlind", "VeritailDown", "VeritailVerifierAbsent"];
            // Tickets: the gauges of one node, before those of all are a page; and a third start within half an hour.
            let tickets = ["VeritailGaugesStale", "VeritailRestarting"];
            only(&post, &silent, &[&expected[..], &pages, &tickets].concat());
        }),
    );
    nodes::prometheus_forgets_all(&watch, &targets, &post).await;
    came_and_went(&post, LONG_OR_SILENT);
    watch.is_well();
}

#[test]
fn every_alert_is_made_to_fire_here() {
    let alerts: BTreeSet<String> = rules().into_iter().filter(|rule| rule.alerts).map(|rule| rule.name).collect();
    let here = [ALWAYS, STORES_AND_DAMAGE, LONG_OR_SILENT, tickets::TICKETS].concat();
    assert_eq!(alerts, here.iter().map(|name| (*name).to_owned()).collect());
    assert_eq!(alerts.len(), here.len(), "each has one test that wants it");
}

/// Each of these was said to whom it concerns, and was over.
fn came_and_went(post: &Post, names: &[&str]) {
    let all = post.all();
    let told = |name: &str, firing: bool| {
        let is_it = |message: &&Message| message.name() == name && message.firing == firing;
        all.iter().filter(is_it).any(|message| match message.label("severity") {
            "critical" => message.to == "pager",
            severity => message.to == "tickets" && severity == "warning",
        })
    };
    let missed: Vec<&&str> = names.iter().filter(|name| !told(name, true) || !told(name, false)).collect();
    assert!(missed.is_empty(), "these were not said, or were never over: {missed:?}");
}

/// What a ticket says is in a mail too, as `veritail.tmpl` words it.
fn tickets_come_by_mail(post: &Post) {
    let (all, mails) = (post.all(), post.mail().all());
    let tickets: Vec<&Message> = all.iter().filter(|message| message.to == "tickets" && message.firing).collect();
    assert!(!tickets.is_empty());
    for ticket in tickets {
        let runbook = format!("what to do: {}", ticket.annotation("runbook_url"));
        let parts = [ticket.annotation("summary"), ticket.label("job"), "firing since 20", runbook.as_str()];
        let is_said =
            |mail: &String| mail.contains("Subject: [firing]") && parts.iter().all(|part| mail.contains(part));
        assert!(mails.iter().any(is_said), "{parts:?} is in no mail:\n{}", mails.join("\n---\n"));
    }
}

/// Both programs over these set-ups, all of which are scraped when this returns, and what is scraped.
async fn watch(post: &Post, sites: &[&dyn Watched], minute: Minute) -> (Watch, Vec<(String, Vec<String>)>) {
    let targets: Vec<(String, Vec<String>)> = sites.iter().map(|site| (site.job(), site.targets())).collect();
    let watch = Watch::start(post, &targets, minute).await;
    post.until("watchdog", "the watchdog", |message| message.name() == "VeritailWatchdog" && message.firing).await;
    watch.all_up(targets.iter().map(|(_, targets)| targets.len()).sum()).await;
    (watch, targets)
}

/// Waits for a page about a set-up that fires, or is over.
async fn page(post: &Post, site: &dyn Watched, name: &str, firing: bool, about: &[(&str, &str)]) -> Message {
    said(post, "pager", site, name, firing, about).await
}

/// The same of what is said to somebody.
async fn said(post: &Post, to: &str, site: &dyn Watched, name: &str, firing: bool, about: &[(&str, &str)]) -> Message {
    let job = site.job();
    let what = format!("{job}: {name} {about:?}, firing: {firing}");
    let is_it = |message: &Message| {
        message.name() == name
            && message.label("job") == job
            && message.firing == firing
            && about.iter().all(|(label, value)| message.label(label) == *value)
    };
    post.until(to, &what, is_it).await
}

/// What a set-up said that is neither always said nor expected of it.
fn only(post: &Post, site: &dyn Watched, expected: &[&str]) {
    let told: Vec<String> = post
        .all()
        .into_iter()
        .filter(|message| message.label("job") == site.job() && message.firing)
        .filter(|message| !ALWAYS.contains(&message.name()) && !expected.contains(&message.name()))
        .map(|message| format!("{}: {}", message.to, message.labels))
        .collect();
    assert!(told.is_empty(), "{}:\n{}\n{}", site.job(), told.join("\n"), site.log());
}

/// A log that is proven, and whose live copies are gone.
async fn kept(site: &Site, size: usize) -> (Job, Value) {
    runner::kept(site.client(), &log(size), |store| store != "redis").await
}

/// Waits until a metric of the node that clients reach is at least so much.
async fn counted(site: &Site, name: &str, label: &str, least: f64) {
    let mut last = 0.0;
    let look = async || {
        last = site.client().metric(name, label).await;
        last >= least
    };
    let is = holds_within(Duration::from_secs(90), look).await;
    assert!(is, "{}: {name} with {label} is {last}, not {least}\n{}", site.job(), site.log());
}
