//! Two nodes: one that is cut off, stopped, short of files or of connections, or that begins again and again.

use reqwest::Method;

use super::super::post::Post;
use super::super::site::Site;
use super::{minutes, only, over, ticket};
use crate::support::server::Send as _;
use crate::way::Way;

/// So many connections that [`WAITING`] of them are more than nine in ten and some are left for all else, and statements that may
/// wait for minutes.
pub(super) const WIDE_POOL: &[(&str, &str)] = &[
    ("VERITAIL_VERIFY_CANARY", "off"),
    ("VERITAIL_DATABASE_POOL_SIZE", "40"),
    ("VERITAIL_DATABASE_STATEMENT_TIMEOUT", "10m"),
];
const WAITING: usize = 37;

/// See the module. The node that is cut off, stopped and started again is the first; clients and the load go to the second.
pub(super) async fn one_of_two(site: &mut Site, post: &Post) {
    let way = Way::to(site.redis_port()).await;
    let direct = site.variable("VERITAIL_REDIS_URL");
    site.set(&[("VERITAIL_REDIS_URL", &format!("redis://127.0.0.1:{}/", way.port()))]);
    site.restart(0);
    site.set(&[("VERITAIL_REDIS_URL", &direct)]);
    let both = &*site;
    let the_other = async {
        has_few_files(both, post).await;
        waits_for_a_lock(both, post).await;
    };
    tokio::join!(is_cut_off(both, &way, post), the_other);
    is_stopped(site, post).await;
    begins_again_and_again(site, post).await;
    let expected =
        ["VeritailNodeCutOff", "VeritailTargetDown", "VeritailFileDescriptorsHigh", "VeritailDatabasePoolBusy"];
    // Gauges wait for a connection too, and what the node that is cut off asks of Redis fails.
    let follows = ["VeritailGaugesStale", "VeritailDependencyErrors", "VeritailVerifyErrors"];
    only(post, site, &[&expected[..], &["VeritailRestarting"], &follows].concat());
}

/// Its network to Redis is gone.
async fn is_cut_off(site: &Site, way: &Way, post: &Post) {
    const NAME: &str = "VeritailNodeCutOff";
    let instance = format!("127.0.0.1:{}", site.port(0));
    let about = [("dependency", "redis"), ("instance", instance.as_str())];
    way.cut(true);
    ticket(post, site, NAME, &about).await;
    way.cut(false);
    over(post, site, NAME, &about).await;
}

async fn is_stopped(site: &mut Site, post: &Post) {
    const NAME: &str = "VeritailTargetDown";
    site.stop(0);
    ticket(post, site, NAME, &[]).await;
    site.restart(0);
    over(post, site, NAME, &[]).await;
}

/// Somebody sets a limit that it nearly reaches.
async fn has_few_files(site: &Site, post: &Post) {
    const NAME: &str = "VeritailFileDescriptorsHigh";
    let enough = site.client().metric("process_max_fds", "").await;
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a number of files")]
    let files = |number: f64| number as u64;
    // Connections come and go, so that what is nearly all of them changes too.
    let nearly_all = async {
        loop {
            let open = site.client().metric("process_open_fds", "").await;
            site.limit_files(1, files(open / 0.85));
            minutes(1).await;
        }
    };
    tokio::select! {
        _ = ticket(post, site, NAME, &[]) => {}
        () = nearly_all => {}
    }
    site.limit_files(1, files(enough));
    over(post, site, NAME, &[]).await;
}

/// Somebody leaves a transaction open that has the table of runners, and others want to see it.
async fn waits_for_a_lock(site: &Site, post: &Post) {
    const NAME: &str = "VeritailDatabasePoolBusy";
    let lock = site.lock("LOCK TABLE runners IN ACCESS EXCLUSIVE MODE").await;
    let requests = (0..WAITING).map(|_| site.client().admin(Method::GET, "/api/v1/runners"));
    let waiting: Vec<_> = requests.map(|request| tokio::spawn(async move { request.try_answer().await })).collect();
    ticket(post, site, NAME, &[]).await;
    drop(lock);
    for answer in waiting {
        let answer = answer.await.expect("no panic").expect("an answer");
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
    over(post, site, NAME, &[]).await;
}

async fn begins_again_and_again(site: &mut Site, post: &Post) {
    const NAME: &str = "VeritailRestarting";
    for _ in 0..5 {
        site.restart(0);
        // Long enough for most of them to be scraped.
        minutes(1).await;
    }
    ticket(post, site, NAME, &[]).await;
    over(post, site, NAME, &[]).await;
}
