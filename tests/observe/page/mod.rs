//! The page, live: real stores, a real Prometheus and Alertmanager with the rules as they are shipped, a receiver at the
//! end, and real damage.
//!
//! Every set-up is a job of its own of one Prometheus, so that each may fire its own alerts and none of the others'. All of
//! them go on at the same time. Only time is changed: a minute of the rules lasts [`watch::MINUTE`] seconds.

mod post;
mod site;
mod switch;
mod watch;

use std::time::Duration;

use serde_json::Value;
use veritail::trace::{ByteSize, ChunkIndex, JobId, Sha256};

use crate::support::production::Production;
use crate::support::redis_server::{Durability, order};
use crate::support::runner::Runner;
use crate::support::server::{Job, Send as _, log};
use post::{Message, Post};
use site::Site;
use watch::Watch;

/// What every set-up may say besides its own.
const ALWAYS: &[&str] = &["VeritailWatchdog"];

/// A canary whose damage is to be found in ten seconds, and a verifier that is on, and due once a year.
const BLIND: &[(&str, &str)] = &[
    ("VERITAIL_VERIFY_CANARY", "*/30 * * * * *"),
    ("VERITAIL_VERIFY_CANARY_DEADLINE", "10s"),
    ("VERITAIL_VERIFY_HOT", "0 0 0 1 1 *"),
    ("VERITAIL_VERIFY_FULL", "0 0 0 1 1 *"),
    ("VERITAIL_VERIFY_FULL_CYCLE", "7d"),
];
/// The same with a verifier that looks every second.
const SEEING: &[(&str, &str)] = &[("VERITAIL_VERIFY_HOT", "* * * * * *"), ("VERITAIL_VERIFY_FULL", "* * * * * *")];

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn each_trouble_pages_as_what_it_is_and_a_calm_day_pages_nobody() {
    let _shared = tokio::task::spawn_blocking(Production::hold).await.expect("servers");
    let post = Post::open().await;
    // Boxed: as parts of one future they are too large for a test's stack.
    let (damaged, redis, objects, stalled, filling, blind, calm) = tokio::join!(
        Box::pin(Site::start("damaged", 1, Durability::Nothing, &[])),
        Box::pin(Site::start("redis-away", 1, Durability::Nothing, &[])),
        Box::pin(Site::start("objects-away", 1, Durability::Nothing, &[])),
        Box::pin(Site::start("stalled", 1, Durability::Nothing, &[])),
        Box::pin(Site::start("filling", 1, Durability::Nothing, &[])),
        Box::pin(Site::start("blind", 2, Durability::Nothing, BLIND)),
        Box::pin(Site::start("calm", 2, Durability::Always, &[])),
    );
    let sites = [&damaged, &redis, &objects, &stalled, &filling, &blind, &calm];
    let targets: Vec<(String, Vec<String>)> = sites.iter().map(|site| (site.job(), site.targets())).collect();
    let mut watch = Watch::start(&post, &targets).await;
    post.until("watchdog", "the watchdog", |message| message.name() == "VeritailWatchdog" && message.firing).await;
    watch.all_up(targets.iter().map(|(_, targets)| targets.len()).sum()).await;
    tokio::join!(
        Box::pin(bytes_rot(&damaged, &post)),
        Box::pin(redis_goes_away(redis, &post)),
        Box::pin(the_object_store_goes_away(&objects, &post)),
        Box::pin(the_verifier_stands_still(&stalled, &post)),
        Box::pin(redis_fills_up(&filling, &post)),
        Box::pin(the_canary_is_not_caught(blind, &post)),
        Box::pin(a_calm_day(calm, &post)),
    );
    watch.is_well();
}

/// Waits for a page about a set-up that fires, or is over.
async fn page(post: &Post, site: &Site, name: &str, firing: bool, about: &[(&str, &str)]) -> Message {
    let job = site.job();
    let what = format!("{job}: {name} {about:?}, firing: {firing}");
    let is_it = |message: &Message| {
        message.name() == name
            && message.label("job") == job
            && message.firing == firing
            && about.iter().all(|(label, value)| message.label(label) == *value)
    };
    post.until("pager", &what, is_it).await
}

/// What a set-up said that is neither always said nor expected of it.
fn only(post: &Post, site: &Site, expected: &[&str]) {
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
    let client = site.client();
    let job = client.make_job().await;
    let log = log(size);
    let mut runner = Runner::new(client, &job).with_patience(200);
    assert_eq!(runner.finish(&log).await.status, 200);
    let is_kept = |document: &Value| {
        let chunks = document["chunks"].as_array().expect("chunks");
        chunks.iter().all(|chunk| {
            let copies = chunk["copies"].as_array().expect("copies");
            copies.len() == 1 && copies[0]["store"] != "redis"
        })
    };
    let document = client.integrity_until(&job, "nothing is live any more", is_kept).await;
    (job, document)
}

fn flipped(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    bytes
}

/// A bit of an object, and a bit of what Redis holds of a running job.
async fn bytes_rot(site: &Site, post: &Post) {
    let stores = site.stores().await;
    let (job, document) = kept(site, 12_000).await;
    let key = document["chunks"][1]["copies"][0]["key"].as_str().expect("an object").to_owned();
    let sound = stores.objects.get_whole(&key).await.expect("a bucket").expect("an object");
    stores.objects.put(&key, flipped(&sound).into()).await.expect("a bucket");

    let client = site.client();
    let running = client.make_job_with_reset(true).await;
    let log = log(9_000);
    let mut runner = Runner::new(client, &running).with_patience(200);
    runner.send(&log[..3_000]).await;
    let row = stores.database.chunk(JobId(running.id), ChunkIndex(0)).await.expect("a database").expect("a row");
    let live = format!("veritail:{{{}}}:chunk:{}", running.id, row.id());
    let port = site.redis_port();
    order(port, &["SETRANGE", &live, "17", "\u{1}"]).expect("Redis takes it");

    let object = [("kind", "checksum"), ("store", "object_store")];
    let in_redis = [("kind", "checksum"), ("store", "redis")];
    let (first, second, third) = tokio::join!(
        page(post, site, "VeritailChecksumMismatch", true, &object),
        page(post, site, "VeritailCorruptTracesUnresolved", true, &object),
        page(post, site, "VeritailChecksumMismatch", true, &in_redis),
    );
    for message in [&first, &second, &third] {
        assert_eq!(message.label("severity"), "critical");
        let store = message.label("store");
        assert!(message.annotation("summary").contains(store), "{}", message.annotation("summary"));
        assert!(message.annotation("runbook_url").ends_with(message.name()));
    }
    // The runner goes on, and is asked for the bytes.
    let (answer, ()) = tokio::join!(runner.finish(&log), async {
        stores.objects.put(&key, sound.clone()).await.expect("a bucket");
    });
    assert_eq!(answer.status, 200);
    page(post, site, "VeritailCorruptTracesUnresolved", false, &object).await;
    tokio::join!(
        page(post, site, "VeritailChecksumMismatch", false, &object),
        page(post, site, "VeritailChecksumMismatch", false, &in_redis),
    );
    // The object is as it was: it is said so, and a reader gets every byte.
    client.integrity_until(&job, "the verdict is what it was", |document| document["verdict"] == "verified").await;
    assert_eq!(client.trace(&job).await, crate::support::server::log(12_000));
    only(post, site, &["VeritailChecksumMismatch", "VeritailCorruptTracesUnresolved", "VeritailLiveBytesLost"]);
}

/// It is killed, and comes back with nothing.
async fn redis_goes_away(mut site: Site, post: &Post) {
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
async fn the_object_store_goes_away(site: &Site, post: &Post) {
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

/// Somebody leaves a transaction open that has the table of its runs.
async fn the_verifier_stands_still(site: &Site, post: &Post) {
    let lock = site.lock("verification_runs").await;
    let message = page(post, site, "VeritailVerifierStalled", true, &[("schedule", "hot")]).await;
    assert!(message.annotation("description").contains("hot"));
    watch::minutes(2).await;
    only(post, site, &["VeritailVerifierStalled"]);
    drop(lock);
    page(post, site, "VeritailVerifierStalled", false, &[("schedule", "hot")]).await;
    only(post, site, &["VeritailVerifierStalled"]);
}

/// Its limit is a little above what it uses.
async fn redis_fills_up(site: &Site, post: &Post) {
    let port = site.redis_port();
    // The ballast takes 96 MiB, the allocator's next size: little is left, but enough for the load, so nothing is refused yet.
    order(port, &["CONFIG", "SET", "maxmemory", "100mb"]).expect("Redis takes it");
    order(port, &["SETRANGE", "ballast", "96000000", "x"]).expect("Redis takes it");
    page(post, site, "VeritailRedisFilling", true, &[]).await;
    watch::minutes(8).await;
    only(post, site, &["VeritailRedisFilling"]);
    order(port, &["DEL", "ballast"]).expect("Redis takes it");
    page(post, site, "VeritailRedisFilling", false, &[]).await;
    only(post, site, &["VeritailRedisFilling"]);
}

/// Nobody looks at what the canary damages, until somebody sets the verifier right.
async fn the_canary_is_not_caught(mut site: Site, post: &Post) {
    const NAME: &str = "VeritailCanaryNotCaught";
    let first = [("kind", "checksum"), ("store", "redis")];
    let message = page(post, &site, NAME, true, &first).await;
    assert_eq!(message.label("severity"), "critical");
    assert!(message.annotation("summary").contains("checksum in redis"), "{}", message.annotation("summary"));
    only(post, &site, &[NAME]);
    site.set(SEEING);
    for node in 0..2 {
        tokio::task::block_in_place(|| site.restart(node));
    }
    newest_drill(&site, "found").await;
    // All that was said meanwhile is over, whatever else was damaged before the verifier looked.
    let job = site.job();
    let all = post.all();
    for said in all.iter().filter(|message| message.name() == NAME && message.label("job") == job && message.firing) {
        page(post, &site, NAME, false, &[("kind", said.label("kind")), ("store", said.label("store"))]).await;
    }
    // A ticket and no page: nodes that end in the middle of the canary's runs may leave it a log that is short.
    only(post, &site, &[NAME, "VeritailLiveBytesLost"]);
}

/// Waits until it is known what came of the canary's newest damage, and is this.
async fn newest_drill(site: &Site, result: &str) {
    let mut last = Value::Null;
    for _ in 0..1800 {
        let asked = site.client().admin(reqwest::Method::GET, "/api/v1/drills?per_page=1").try_answer().await;
        if let Some(answer) = asked.ok().filter(|answer| answer.status == 200) {
            last = answer.json();
            if last["items"][0]["result"] == result {
                return;
            }
        }
        pause().await;
    }
    panic!("{}: the newest drill is not {result}: {last:#}\n{}", site.job(), site.log());
}

/// Load, a rolling restart, an erased log.
async fn a_calm_day(mut site: Site, post: &Post) {
    let (job, _) = kept(&site, 12_000).await;
    let path = format!("/api/v4/projects/{}/jobs/{}/erase", job.project, job.id);
    let erased = site.client().admin(reqwest::Method::POST, &path).answer().await;
    assert_eq!(erased.status, 201, "{}", erased.text());
    for node in 0..2 {
        watch::minutes(2).await;
        tokio::task::block_in_place(|| site.restart(node));
    }
    watch::minutes(20).await;
    only(post, &site, &[]);
    // What would have been said is not only muted: nothing but the watchdog fires.
    let heard: Vec<Message> = post.all().into_iter().filter(|message| message.label("job") == site.job()).collect();
    assert!(heard.is_empty(), "{} messages", heard.len());
}

/// A pause between looks.
async fn pause() {
    tokio::time::sleep(Duration::from_millis(100)).await;
}
