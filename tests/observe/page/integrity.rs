//! Bytes that are not as they were, the verifier that looks for them, and the canary that watches the verifier.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use veritail::pipeline::Stores;
use veritail::trace::{ChunkIndex, JobId};

use super::post::Post;
use super::site::{Site, Watched as _};
use super::{counted, kept, only, page, watch};
use crate::support::bad_network::{BadNetwork, Fault};
use crate::support::redis_server::order;
use crate::support::runner::Runner;
use crate::support::server::{Job, Send as _, ended, flipped, log};
use crate::support::wait::holds_within;

/// A canary whose damage is to be found in ten seconds, and a verifier that is on, and due once a year.
pub(super) const BLIND: &[(&str, &str)] = &[
    ("VERITAIL_VERIFY_CANARY", "*/30 * * * * *"),
    ("VERITAIL_VERIFY_CANARY_DEADLINE", "10s"),
    ("VERITAIL_VERIFY_HOT", "0 0 0 1 1 *"),
    ("VERITAIL_VERIFY_FULL", "0 0 0 1 1 *"),
    ("VERITAIL_VERIFY_FULL_CYCLE", "7d"),
];
/// The same with a verifier that looks every second.
pub(super) const SEEING: &[(&str, &str)] =
    &[("VERITAIL_VERIFY_HOT", "* * * * * *"), ("VERITAIL_VERIFY_FULL", "* * * * * *")];
/// A canary every ten seconds, which damages nothing.
pub(super) const CANARY: &[(&str, &str)] =
    &[("VERITAIL_VERIFY_CANARY", "*/10 * * * * *"), ("VERITAIL_VERIFY_CANARY_DAMAGE", "off")];

/// What pages when bytes rot, or are gone; the last is a ticket.
pub(super) const DAMAGE: &[&str] = &[
    "VeritailChecksumMismatch",
    "VeritailCorruptTracesUnresolved",
    "VeritailEndToEndChecksumMismatch",
    "VeritailLiveBytesLost",
];

/// A bit of an object, and a bit of what Redis holds of a running job.
pub(super) async fn bytes_rot(site: &Site, post: &Post) {
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
    let live = live_key(&stores, &running).await;
    order(site.redis_port(), &["SETRANGE", &live, "17", "\u{1}"]).expect("Redis takes it");

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
    only(post, site, DAMAGE);
}

/// The key of the live copy of its first chunk.
pub(super) async fn live_key(stores: &Stores, job: &Job) -> String {
    let row = stores.database.chunk(JobId(job.id), ChunkIndex(0)).await.expect("a database").expect("a row");
    format!("veritail:{{{}}}:chunk:{}", job.id, row.id())
}

/// What Redis has of a running job goes, and its runner cannot send it again: nobody heals that, and a person takes note.
pub(super) async fn bytes_are_gone(site: &Site, post: &Post) {
    const NAME: &str = "VeritailEndToEndChecksumMismatch";
    let client = site.client();
    let job = client.make_job_with_reset(false).await;
    let log = log(3_000);
    client.append_all(&job, 0, &log).await;
    let live = live_key(&site.stores().await, &job).await;
    order(site.redis_port(), &["DEL", &live]).expect("Redis takes it");
    assert_eq!(client.put_until_decided(&job, &ended("success", &log, false)).await.status, 200);
    let message = page(post, site, NAME, true, &[]).await;
    assert!(message.annotation("runbook_url").ends_with(NAME));
    let report = client.integrity(&job).await;
    assert_eq!(report["verdict"], "corrupt", "{report:#}");
    let mismatches = report["mismatches"].as_array().expect("mismatches");
    let text = |name: &str| mismatches[0][name].as_str().expect("a text").to_owned();
    let (kind, store) = (text("kind"), text("store"));
    let gone = [("kind", kind.as_str()), ("store", store.as_str())];
    page(post, site, "VeritailCorruptTracesUnresolved", true, &gone).await;
    for mismatch in mismatches {
        let path = format!("/api/v1/mismatches/{}/resolve", mismatch["id"]);
        let note = json!({"comment": "the log is lost: its runner was gone"});
        let noted = client.admin(Method::POST, &path).json(&note).answer().await;
        assert_eq!(noted.status, 200, "{}", noted.text());
    }
    page(post, site, "VeritailCorruptTracesUnresolved", false, &gone).await;
    page(post, site, NAME, false, &[]).await;
    only(post, site, DAMAGE);
}

/// Somebody leaves a transaction open that has the table of its runs.
pub(super) async fn the_verifier_stands_still(site: &Site, post: &Post) {
    let lock = site.lock("LOCK TABLE verification_runs IN ACCESS EXCLUSIVE MODE").await;
    let message = page(post, site, "VeritailVerifierStalled", true, &[("schedule", "hot")]).await;
    assert!(message.annotation("description").contains("hot"));
    watch::minutes(2).await;
    only(post, site, &["VeritailVerifierStalled"]);
    drop(lock);
    page(post, site, "VeritailVerifierStalled", false, &[("schedule", "hot")]).await;
    only(post, site, &["VeritailVerifierStalled"]);
}

/// Somebody starts it with the verifier switched off.
pub(super) async fn nobody_verifies(site: &mut Site, post: &Post) {
    const NAME: &str = "VeritailVerifierAbsent";
    site.restart_with(&[("VERITAIL_VERIFY_HOT", "off"), ("VERITAIL_VERIFY_FULL", "off")]);
    page(post, site, NAME, true, &[]).await;
    site.restart_with(SEEING);
    page(post, site, NAME, false, &[]).await;
}

/// Nobody looks at what the canary damages, until somebody sets the verifier right.
pub(super) async fn the_canary_is_not_caught(mut site: Site, post: &Post) {
    const NAME: &str = "VeritailCanaryNotCaught";
    let first = [("kind", "checksum"), ("store", "redis")];
    let message = page(post, &site, NAME, true, &first).await;
    assert_eq!(message.label("severity"), "critical");
    assert!(message.annotation("summary").contains("checksum in redis"), "{}", message.annotation("summary"));
    only(post, &site, &[NAME]);
    site.restart_with(SEEING);
    site.restart(1);
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
    let look = async || {
        let asked = site.client().admin(Method::GET, "/api/v1/drills?per_page=1").try_answer().await;
        if let Some(answer) = asked.ok().filter(|answer| answer.status == 200) {
            last = answer.json();
        }
        last["items"][0]["result"] == result
    };
    let is = holds_within(Duration::from_secs(180), look).await;
    assert!(is, "{}: the newest drill is not {result}: {last:#}\n{}", site.job(), site.log());
}

/// What stands before it changes what readers get, and then gives them nothing.
pub(super) async fn the_canary_reads_other_bytes_and_then_none(site: &mut Site, post: &Post) {
    const MISMATCH: &str = "VeritailCanaryMismatch";
    const STALE: &str = "VeritailCanaryStale";
    let balancer = BadNetwork::before(site.port(0)).await;
    site.restart_with(&[("VERITAIL_VERIFY_CANARY_URL", &format!("http://127.0.0.1:{}", balancer.port()))]);
    counted(site, "veritail_canary_runs_total", "result=\"ok\"", 1.0).await;
    balancer.always(Some(("GET", Fault::ChangeAnswer)));
    let message = page(post, site, MISMATCH, true, &[]).await;
    assert_eq!(message.label("severity"), "critical");
    balancer.always(Some(("GET", Fault::LoseAnswer)));
    page(post, site, STALE, true, &[]).await;
    only(post, site, &[MISMATCH, STALE]);
    balancer.always(None);
    page(post, site, STALE, false, &[]).await;
    page(post, site, MISMATCH, false, &[]).await;
    only(post, site, &[MISMATCH, STALE]);
}
