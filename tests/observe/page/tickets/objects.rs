//! An object store that refuses some things and not others, and what lies in it that nobody names.

use std::time::Duration;

use reqwest::Method;
use serde_json::Value;
use veritail::trace::Sha256;

use super::super::post::Post;
use super::super::site::Site;
use super::super::{kept, page};
use super::{only, over, ticket};
use crate::support::bad_network::{BadNetwork, Fault};
use crate::support::runner::pause;
use crate::support::server::Send as _;

const OF_OBJECTS: &[(&str, &str)] = &[("dependency", "object_store")];

/// An inventory every five seconds, as quick as it can be; and no database that takes what the object store does not.
pub(super) const INVENTORY: &[(&str, &str)] = &[
    ("VERITAIL_SPILL_MAX", "0"),
    ("VERITAIL_VERIFY_CANARY", "off"),
    ("VERITAIL_VERIFY_INVENTORY", "*/5 * * * * *"),
    ("VERITAIL_VERIFY_INVENTORY_REQUESTS_PER_SECOND", "0"),
];

/// Somebody gives it credentials that may only read: chunks go to the database, where a transaction that somebody left open has
/// the row of one when the right comes back. Then objects of one log are refused.
pub(super) async fn rights_are_missing_and_a_row_is_locked(site: &mut Site, post: &Post) {
    let network = BadNetwork::before(site.objects_port()).await;
    let reader = site.reader();
    let writer: Vec<(String, String)> = reader.iter().map(|(name, _)| (name.clone(), site.variable(name))).collect();
    set(site, &reader);
    through(site, &network);
    tokio::join!(
        ticket(post, site, "VeritailSpilling", &[]),
        ticket(post, site, "VeritailDependencyErrors", OF_OBJECTS),
    );
    let (spilled, _) = kept(site, 12_000).await;
    let row = format!("SELECT 1 FROM trace_chunks WHERE job_id = {} AND chunk_index = 1 FOR UPDATE", spilled.id);
    let lock = site.lock(&row).await;
    set(site, &writer);
    site.restart(0);
    over(post, site, "VeritailSpilling", &[]).await;

    let site = &*site;
    tokio::join!(an_object_is_refused(site, &network, post), async {
        ticket(post, site, "VeritailSpillLeft", &[]).await;
        drop(lock);
        over(post, site, "VeritailSpillLeft", &[]).await;
    });
    // A chunk that cannot be moved is a migration that fails, and a sweep that has not come to its end.
    let expected = ["VeritailMigrationFailures", "VeritailSpilling", "VeritailDependencyErrors", "VeritailSpillLeft"];
    only(
        post,
        site,
        &[&expected[..], &["VeritailVerifyErrors", "VeritailErrorBudgetBurn", "VeritailScheduledJobStale"]].concat(),
    );
}

/// Whoever reads that log is refused too, for long enough to be a page: the one of six hours, beside that of one.
async fn an_object_is_refused(site: &Site, network: &BadNetwork, post: &Post) {
    const ABOUT: &[(&str, &str)] = &[("store", "object_store")];
    const BURN: &str = "VeritailErrorBudgetBurn";
    const SLO: &[(&str, &str)] = &[("slo", "read_availability"), ("window", "6h"), ("severity", "critical")];
    let (job, document) = kept(site, 240_000).await;
    network.always(Some((&format!("GET /{}", folder_of(&document)), Fault::Refuse(403))));
    let reads = async {
        loop {
            let _ = site.client().trace_request(&job).try_answer().await;
            pause(100).await;
        }
    };
    let is_said =
        async { tokio::join!(ticket(post, site, "VeritailVerifyErrors", ABOUT), page(post, site, BURN, true, SLO)) };
    tokio::select! {
        _ = is_said => {}
        () = reads => {}
    }
    network.always(None);
    tokio::join!(over(post, site, "VeritailVerifyErrors", ABOUT), page(post, site, BURN, false, SLO));
}

/// What lies in a bucket that no row names is found, which the issue tracker does not want to know; and the bucket takes objects
/// now and then only. Then listings are refused, and a transaction that somebody left open has the turn of a task.
pub(super) async fn bytes_that_nobody_names(site: &mut Site, trackers: &BadNetwork, post: &Post) {
    const OF_TASK: &[(&str, &str)] = &[("task", "live_sweep")];
    let network = BadNetwork::before(site.objects_port()).await;
    through(site, &network);
    trackers.always(Some(("POST", Fault::Refuse(401))));
    let (job, document) = kept(site, 3_000).await;
    let stores = site.stores().await;
    let orphan = format!("{}c/7-1-{}.zst", folder_of(&document), &Sha256::of(b"nobody").to_string()[..32]);
    stores.objects.put(&orphan, b"left over".to_vec().into()).await.expect("a bucket");
    site.objects_grow_old();
    let site = &*site;
    tokio::join!(
        ticket(post, site, "VeritailOrphansFound", &[("kind", "orphan"), ("store", "object_store")]),
        ticket(post, site, "VeritailWebhookFailing", &[]),
        takes_objects_now_and_then(site, &network, post),
    );
    trackers.always(None);
    stores.objects.delete(&orphan).await.expect("a bucket");
    tokio::join!(over(post, site, "VeritailOrphansFound", &[]), over(post, site, "VeritailWebhookFailing", &[]));
    assert!(told(trackers), "the issue tracker was told of it at last");

    network.always(Some(("GET list-type", Fault::Refuse(403))));
    tokio::join!(
        async {
            ticket(post, site, "VeritailInventoryLate", &[]).await;
            network.always(None);
            over(post, site, "VeritailInventoryLate", &[]).await;
        },
        async {
            let lock = site.lock("SELECT 1 FROM leases WHERE name = 'live_sweep' FOR UPDATE").await;
            ticket(post, site, "VeritailScheduledJobStale", OF_TASK).await;
            drop(lock);
            over(post, site, "VeritailScheduledJobStale", OF_TASK).await;
        },
    );
    assert_eq!(site.client().integrity(&job).await["verdict"], "verified");
    let expected =
        ["VeritailOrphansFound", "VeritailWebhookFailing", "VeritailInventoryLate", "VeritailScheduledJobStale"];
    // What is refused or waits for the lock is an error of a request.
    only(post, site, &[&expected[..], &["VeritailMigrationFailures", "VeritailDependencyErrors"]].concat());
}

/// A few seconds long nothing, and then again everything: no chunk waits for long.
async fn takes_objects_now_and_then(site: &Site, network: &BadNetwork, post: &Post) {
    let flaps = async {
        loop {
            for fault in [Some(("PUT", Fault::Refuse(503))), None] {
                network.always(fault);
                tokio::time::sleep(Duration::from_secs(4)).await;
            }
        }
    };
    tokio::select! {
        _ = ticket(post, site, "VeritailMigrationFailures", OF_OBJECTS) => {}
        () = flaps => {}
    }
    network.always(None);
}

/// Where the objects of a log lie.
fn folder_of(document: &Value) -> String {
    let key = document["chunks"][0]["copies"][0]["key"].as_str().expect("an object");
    key.split_once("c/").expect("a chunk").0.to_owned()
}

fn told(trackers: &BadNetwork) -> bool {
    trackers.take_seen().iter().any(|line| line.starts_with(Method::POST.as_str()))
}

/// From now on its nodes find its object store behind this network.
fn through(site: &mut Site, network: &BadNetwork) {
    site.restart_with(&[("AWS_ENDPOINT_URL", &format!("http://127.0.0.1:{}", network.port()))]);
}

fn set(site: &mut Site, variables: &[(String, String)]) {
    for (name, value) in variables {
        site.set(&[(name, value)]);
    }
}
