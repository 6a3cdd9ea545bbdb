//! Where bytes are on their way: a store that is away, fills up, or drops what it has.

use veritail::trace::{ByteSize, ChunkIndex, JobId, Sha256};

use super::post::{Message, Post};
use super::site::{Site, Watched as _};
use super::{kept, only, page, watch};
use crate::support::redis_server::order;
use crate::support::server::flipped;

/// No canary: a run of it that fails on the way is a ticket of its own.
pub(super) const NO_CANARY: &[(&str, &str)] = &[("VERITAIL_VERIFY_CANARY", "off")];
/// A database that takes few chunks for the object store, and ten minutes of the rules for a runner that was asked again.
pub(super) const LITTLE_SPILL: &[(&str, &str)] =
    &[("VERITAIL_VERIFY_CANARY", "off"), ("VERITAIL_SPILL_MAX", "20000"), ("VERITAIL_RESEND_WINDOW", "50s")];

/// It is killed, and comes back with nothing.
pub(super) async fn redis_goes_away(mut site: Site, post: &Post) {
    // What was full and had not been moved yet would be lost with it, which pages as damage until it is sent again.
    let between = site.between_jobs().await;
    site.redis().kill();
    drop(between);
    page(post, &site, "VeritailDependencyDown", true, &[("dependency", "redis")]).await;
    // As long as it takes whatever else would follow from it.
    watch::minutes(8).await;
    only(post, &site, &["VeritailDependencyDown"]);
    tokio::task::block_in_place(|| site.redis().restart());
    page(post, &site, "VeritailDependencyDown", false, &[("dependency", "redis")]).await;
    let job = site.job();
    let is_it = |message: &Message| message.name() == "VeritailLiveStoreRolledBack" && message.label("job") == job;
    let ticket = post.until("tickets", "Redis came back empty", is_it).await;
    assert_eq!((ticket.label("kind"), ticket.label("severity")), ("empty", "warning"));
    // The budget that was used up is a page of its own, once what mutes it is over: it looks back for longer.
    only(post, &site, &["VeritailDependencyDown", "VeritailLiveStoreRolledBack", "VeritailErrorBudgetBurn"]);
}

/// Chunks go to the database meanwhile, and rot there.
pub(super) async fn the_object_store_goes_away(site: &Site, post: &Post) {
    site.objects_away(true);
    page(post, site, "VeritailDependencyDown", true, &[("dependency", "object_store")]).await;
    let (job, _) = kept(site, 12_000).await;
    let stores = site.stores().await;
    let row = stores.database.chunk(JobId(job.id), ChunkIndex(1)).await.expect("a database").expect("a row");
    let key = row.persistent_copy().expect("a copy in the database").object().key.clone();
    let sound = stores.spill.get(&key, ByteSize(1 << 20)).await.expect("a database").expect("a copy");
    let write =
        |bytes: &[u8]| format!("UPDATE chunk_bytes SET bytes = '\\x{}'::bytea WHERE key = '{key}'", hex::encode(bytes));
    site.execute(write(&flipped(&sound))).await;
    let in_database = [("kind", "checksum"), ("store", "database")];
    // Nothing mutes it, not even the store that is away.
    page(post, site, "VeritailChecksumMismatch", true, &in_database).await;
    page(post, site, "VeritailCorruptTracesUnresolved", true, &in_database).await;
    watch::minutes(4).await;
    let expected = ["VeritailDependencyDown", "VeritailChecksumMismatch", "VeritailCorruptTracesUnresolved"];
    only(post, site, &expected);
    site.execute(write(&sound)).await;
    site.objects_away(false);
    page(post, site, "VeritailDependencyDown", false, &[("dependency", "object_store")]).await;
    page(post, site, "VeritailCorruptTracesUnresolved", false, &in_database).await;
    let digest = stores.database.chunk(JobId(job.id), ChunkIndex(1)).await.expect("a database").expect("a row");
    assert!(digest.persistent_copy().is_some(), "{}", Sha256::of(&sound));
    only(post, site, &expected);
}

/// Nobody brings the object store back: the database takes what it may, and then the live store is all there is.
pub(super) async fn nothing_takes_chunks(site: &Site, post: &Post) {
    let away = [("dependency", "object_store")];
    let ahead = ["VeritailSpillFilling", "VeritailMigrationBacklogOld", "VeritailFinishedButLive"];
    site.objects_away(true);
    for name in ahead {
        let message = page(post, site, name, true, &[]).await;
        assert_eq!(message.label("severity"), "critical");
    }
    page(post, site, "VeritailDependencyDown", true, &away).await;
    let expected = [&ahead[..], &["VeritailDependencyDown"]].concat();
    only(post, site, &expected);
    site.objects_away(false);
    for name in ahead {
        page(post, site, name, false, &[]).await;
    }
    page(post, site, "VeritailDependencyDown", false, &away).await;
    only(post, site, &expected);
}

/// Its limit is a little above what it uses.
pub(super) async fn redis_fills_up(site: &Site, post: &Post) {
    let port = site.redis_port();
    // The ballast takes 96 MiB, the allocator's next size: little is left, but enough for the load, so nothing is refused yet.
    order(port, &["SETRANGE", "ballast", "96000000", "x"]).expect("Redis takes it");
    page(post, site, "VeritailRedisFilling", true, &[]).await;
    watch::minutes(8).await;
    only(post, site, &["VeritailRedisFilling"]);
    // And then it is full: appends are refused.
    order(port, &["SETRANGE", "more", "16000000", "x"]).expect("Redis takes it");
    let slo = [("slo", "ingest_availability"), ("severity", "critical")];
    page(post, site, "VeritailErrorBudgetBurn", true, &slo).await;
    // A ticket, should it stay full for long: what is refused is an error of Redis.
    let expected = ["VeritailRedisFilling", "VeritailErrorBudgetBurn", "VeritailDependencyErrors"];
    only(post, site, &expected);
    order(port, &["DEL", "ballast", "more"]).expect("Redis takes it");
    page(post, site, "VeritailErrorBudgetBurn", false, &slo).await;
    page(post, site, "VeritailRedisFilling", false, &[]).await;
    only(post, site, &expected);
}

/// Somebody lets it drop keys, and it is full for a moment, between two jobs: no log needs what it drops.
pub(super) async fn redis_drops_keys(site: &Site, post: &Post) {
    const NAME: &str = "VeritailRedisEvicting";
    let port = site.redis_port();
    let between = site.between_jobs().await;
    order(port, &["CONFIG", "SET", "maxmemory-policy", "allkeys-lru"]).expect("Redis takes it");
    let ballast: Vec<String> = (0..120).map(|number| format!("ballast:{number}")).collect();
    for key in &ballast {
        order(port, &["SETRANGE", key, "1000000", "x"]).expect("Redis takes it");
    }
    let words: Vec<&str> = std::iter::once("DEL").chain(ballast.iter().map(String::as_str)).collect();
    order(port, &words).expect("Redis takes it");
    order(port, &["CONFIG", "SET", "maxmemory-policy", "noeviction"]).expect("Redis takes it");
    drop(between);
    page(post, site, NAME, true, &[]).await;
    page(post, site, NAME, false, &[]).await;
    only(post, site, &[NAME]);
}
