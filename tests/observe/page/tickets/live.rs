//! Redis as it comes, and as others use it; runners that disagree.

use veritail::pipeline::Stores;

use super::super::integrity::live_key;
use super::super::only;
use super::super::post::Post;
use super::super::site::Site;
use super::{over, ticket};
use crate::support::redis_server::order;
use crate::support::runner::Runner;
use crate::support::server::{ended, flipped, log};

/// Its own defaults, with another one's policy; then somebody sets a limit, and another Veritail's keys come into it. Beside it,
/// runners disagree, and a key goes.
pub(super) async fn redis_as_it_comes(site: &Site, post: &Post) {
    // Opened before it has a policy with which nothing opens it.
    let stores = site.stores().await;
    tokio::join!(memory(site, post), runners_disagree(site, post), a_live_copy_goes(site, &stores, post));
    only(
        post,
        site,
        &[
            "VeritailRedisUnlimited",
            "VeritailRedisMayEvict",
            "VeritailRedisMemoryHigh",
            "VeritailLiveBytesDrift",
            "VeritailClientChecksumMismatchHigh",
            "VeritailLiveBytesLost",
        ],
    );
}

async fn memory(site: &Site, post: &Post) {
    let port = site.redis_port();
    let set = |name: &str, value: &str| order(port, &["CONFIG", "SET", name, value]).expect("Redis takes it");
    set("maxmemory", "0");
    set("maxmemory-policy", "allkeys-lru");
    tokio::join!(ticket(post, site, "VeritailRedisUnlimited", &[]), ticket(post, site, "VeritailRedisMayEvict", &[]));
    // A chunk of a job that this database does not know. It takes 80 MiB, the allocator's next size.
    let foreign = "veritail:{4000000}:chunk:0-1";
    order(port, &["SETRANGE", foreign, "82000000", "x"]).expect("Redis takes it");
    set("maxmemory-policy", "noeviction");
    set("maxmemory", "98mb");
    tokio::join!(
        over(post, site, "VeritailRedisUnlimited", &[]),
        over(post, site, "VeritailRedisMayEvict", &[]),
        ticket(post, site, "VeritailRedisMemoryHigh", &[]),
        ticket(post, site, "VeritailLiveBytesDrift", &[]),
    );
    order(port, &["DEL", foreign]).expect("Redis takes it");
    tokio::join!(over(post, site, "VeritailRedisMemoryHigh", &[]), over(post, site, "VeritailLiveBytesDrift", &[]));
}

/// Some version of a runner sums up something else than it sends.
async fn runners_disagree(site: &Site, post: &Post) {
    const NAME: &str = "VeritailClientChecksumMismatchHigh";
    let client = site.client();
    let (sent, meant) = (log(3_000), flipped(&log(3_000)));
    for _ in 0..8 {
        let job = client.make_job_with_reset(false).await;
        client.append_all(&job, 0, &sent).await;
        assert_eq!(client.put_until_decided(&job, &ended("success", &meant, false)).await.status, 200);
    }
    ticket(post, site, NAME, &[]).await;
    over(post, site, NAME, &[]).await;
}

/// Of a job whose runner goes on, and sends it again.
async fn a_live_copy_goes(site: &Site, stores: &Stores, post: &Post) {
    const NAME: &str = "VeritailLiveBytesLost";
    let client = site.client();
    let job = client.make_job_with_reset(true).await;
    let log = log(9_000);
    let mut runner = Runner::new(client, &job).with_patience(200);
    runner.send(&log[..3_000]).await;
    order(site.redis_port(), &["DEL", &live_key(stores, &job).await]).expect("Redis takes it");
    assert_eq!(runner.finish(&log).await.status, 200);
    ticket(post, site, NAME, &[]).await;
    over(post, site, NAME, &[]).await;
    assert_eq!(client.trace(&job).await, log);
}
