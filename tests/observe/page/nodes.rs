//! Nodes that end, and what they no longer say or write down.

use reqwest::Method;

use super::post::{Message, Post};
use super::site::{Site, Watched as _};
use super::{kept, only, page, watch};
use crate::support::redis_server::order;
use crate::support::server::Send as _;

/// Load, a rolling restart, an erased log.
pub(super) async fn a_calm_day(mut site: Site, post: &Post) {
    let (job, _) = kept(&site, 12_000).await;
    let path = format!("/api/v4/projects/{}/jobs/{}/erase", job.project, job.id);
    let erased = site.client().admin(Method::POST, &path).answer().await;
    assert_eq!(erased.status, 201, "{}", erased.text());
    for node in 0..2 {
        watch::minutes(2).await;
        site.restart(node);
    }
    watch::minutes(20).await;
    only(post, &site, &[]);
    // What would have been said is not only muted: nothing but the watchdog fires.
    let heard: Vec<Message> = post.all().into_iter().filter(|message| message.label("job") == site.job()).collect();
    assert!(heard.is_empty(), "{} messages", heard.len());
}

/// Its only node ends, and is started again.
pub(super) async fn no_node_is_left(site: &mut Site, post: &Post) {
    site.stop(0);
    page(post, site, "VeritailDown", true, &[]).await;
    // As long as it takes the ticket of each node.
    watch::minutes(6).await;
    site.restart(0);
    page(post, site, "VeritailDown", false, &[]).await;
}

/// Somebody leaves a transaction open that has the row of a job whose runner goes on.
pub(super) async fn what_is_acknowledged_is_not_written_down(site: &Site, post: &Post) {
    const NAME: &str = "VeritailContactsStale";
    let client = site.client();
    let job = client.make_job_with_reset(true).await;
    client.append_all(&job, 0, b"before\n").await;
    let lock = site.lock(&format!("SELECT id FROM jobs WHERE id = {} FOR UPDATE", job.id)).await;
    client.append_all(&job, 7, b"meanwhile\n").await;
    page(post, site, NAME, true, &[]).await;
    drop(lock);
    page(post, site, NAME, false, &[]).await;
}

/// Somebody takes the right to ask Redis about itself, on which every alert about its memory depends.
pub(super) async fn the_gauges_stand_still(site: &Site, post: &Post) {
    const NAME: &str = "VeritailAlertsBlind";
    let port = site.redis_port();
    order(port, &["ACL", "SETUSER", "default", "-info"]).expect("Redis takes it");
    page(post, site, NAME, true, &[]).await;
    order(port, &["ACL", "SETUSER", "default", "+info"]).expect("Redis takes it");
    page(post, site, NAME, false, &[]).await;
}

/// Somebody takes one Veritail out of what is scraped, and then all others.
pub(super) async fn prometheus_forgets_all(watch: &watch::Watch, targets: &[(String, Vec<String>)], post: &Post) {
    let is_it = |job: &str, firing: bool| {
        let job = job.to_owned();
        move |message: &Message| {
            message.name() == "VeritailAbsent" && message.label("job") == job && message.firing == firing
        }
    };
    let [(one, _), others @ ..] = targets else { panic!("none is scraped") };
    watch.scrape(others);
    post.until("pager", "one is not known any more", is_it(one, true)).await;
    let said = |(job, _): &(String, Vec<String>)| post.all().iter().any(is_it(job, true));
    assert!(!others.iter().any(said), "the others are scraped");
    watch.scrape(&[]);
    for (job, _) in others {
        post.until("pager", "none is known any more", is_it(job, true)).await;
    }
    watch.scrape(targets);
    for (job, _) in targets {
        post.until("pager", "all are known again", is_it(job, false)).await;
    }
}
