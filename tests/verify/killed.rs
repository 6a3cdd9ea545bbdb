//! The real program's full run, ended in the middle: by `kill -9`, by a lease that is lost, by stores that are away. Each
//! time it goes on where it was, the cycle ends having looked at every chunk once, and nothing is counted twice.

use std::collections::BTreeSet;

use veritail::pipeline::Stores;
use veritail::seams::Clock as _;
use veritail::seams::real::SystemClock;
use veritail::store::database::verifications::{Cursor, Cycle};
use veritail::store::database::{Mismatch, MismatchFilter};
use veritail::trace::{ChunkIndex, Detector, JobId, Kind, Timestamp};

use crate::support::bad_network::{BadNetwork, Fault};
use crate::support::production::Production;
use crate::support::runner::Runner;
use crate::support::server::{Binary, Client, Job, log};
use crate::support::wait::{PATIENCE, holds_within};

/// Finished jobs, of so many chunks each.
const JOBS: usize = 60;
const CHUNKS: usize = 5;
const CHUNK_SIZE: usize = 1024;
/// The shard that the first thousand jobs are in.
const SHARD: &str = "fresh/00";

const SETTINGS: &[(&str, &str)] = &[
    ("VERITAIL_VERIFY_HOT", "off"),
    ("VERITAIL_VERIFY_FULL", "* * * * * *"),
    ("VERITAIL_VERIFY_JITTER", "0s"),
    ("VERITAIL_VERIFY_FULL_SLICE", "900ms"),
    ("VERITAIL_VERIFY_FULL_CYCLE", "5s"),
    ("VERITAIL_VERIFY_FULL_CYCLE_OLD", "5s"),
    ("VERITAIL_LEASE_TIME", "500ms"),
    ("VERITAIL_LIVE_GRACE", "0s"),
    ("VERITAIL_CHUNK_SIZE", "1024"),
    // A store that is away says so at once.
    ("VERITAIL_OBJECT_RETRY_FOR", "100ms"),
];

#[tokio::test(flavor = "multi_thread")]
async fn a_cycle_that_is_broken_off_goes_on_and_counts_nothing_twice() {
    let mut engines = Production::start().await;
    let network = BadNetwork::before(engines.s3_port()).await;
    let engines_at = engines.variables(network.port());
    let mut variables: Vec<(&str, &str)> =
        engines_at.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    variables.extend(SETTINGS);
    let mut server = Binary::start(&variables);
    let jobs = upload(server.client()).await;
    let stores = engines.stores().await;
    // The first is behind the walk when it is damaged for the second time round, the last before it.
    for job in [&jobs[0], &jobs[JOBS - 1]] {
        lose_object(&stores, job).await;
    }

    // The cycle that was under way may have passed the first one before.
    whole_cycle_since(&stores, SystemClock.now()).await;
    let known = mismatches(&stores).await;
    // In whatever order: that cycle may have come to the last one in time.
    let jobs_found: BTreeSet<i64> = known.iter().map(|found| found.what.job.0).collect();
    assert_eq!((known.len(), jobs_found), (2, BTreeSet::from([jobs[0].id, jobs[JOBS - 1].id])));
    for found in &known {
        assert_eq!((found.what.kind, found.what.detector), (Kind::Missing, Detector::Full));
    }

    let broken_off = in_the_middle(&stores).await;
    server.kill();
    server.restart();
    assert_went_on(&stores, &broken_off).await;

    let broken_off = in_the_middle(&stores).await;
    engines.database.execute("DELETE FROM leases").await;
    assert_went_on(&stores, &broken_off).await;

    let broken_off = in_the_middle(&stores).await;
    engines.redis.kill();
    until_unreachable(server.client(), "redis").await;
    engines.redis.restart();
    assert_went_on(&stores, &broken_off).await;

    let broken_off = in_the_middle(&stores).await;
    network.always(Some(("GET", Fault::Refuse(503))));
    until_unreachable(server.client(), "object_store").await;
    network.always(None);
    assert_went_on(&stores, &broken_off).await;

    let now = mismatches(&stores).await;
    assert_eq!(now.len(), known.len(), "something was counted twice: {now:#?}");
    assert!(now.iter().zip(&known).all(|(now, known)| now.id == known.id && now.times_seen > known.times_seen));
    assert_eq!(server.client().metric("veritail_panics_total", "").await, 0.0, "{}", server.log());
}

async fn upload(client: &Client) -> Vec<Job> {
    let log = log(CHUNKS * CHUNK_SIZE);
    let mut jobs = Vec::new();
    for _ in 0..JOBS {
        let job = client.make_job().await;
        assert_eq!(Runner::new(client, &job).finish(&log).await.state(), (200, "success"));
        jobs.push(job);
    }
    jobs
}

async fn lose_object(stores: &Stores, job: &Job) {
    let row = stores.database.chunk(JobId(job.id), ChunkIndex(2)).await.expect("a database").expect("a row");
    let key = &row.persistent_copy().expect("a copy").object().key;
    stores.objects.delete(key).await.expect("an object store");
}

async fn mismatches(stores: &Stores) -> Vec<Mismatch> {
    stores.database.mismatches(MismatchFilter::default()).await.expect("a database")
}

/// Asks for the shard's cursor until `is` holds.
async fn cursor_until(stores: &Stores, what: &str, is: impl Fn(&Cursor) -> bool) -> Cursor {
    let mut last = None;
    let look = async || {
        let cursors = stores.verifications.cursors().await.expect("a database");
        last = cursors.into_iter().find(|cursor| cursor.shard == SHARD);
        last.as_ref().is_some_and(&is)
    };
    assert!(holds_within(PATIENCE, look).await, "{what} never came to be: {last:#?}");
    last.expect("a cursor")
}

fn all() -> u64 {
    (JOBS * CHUNKS) as u64
}

/// Waits for the end of a cycle that began at `since` or later and looked at every chunk.
async fn whole_cycle_since(stores: &Stores, since: Timestamp) {
    let is_whole = |cycle: Cycle| cycle.started_at >= since && cycle.chunks == all();
    let looked_at_all = |cursor: &Cursor| cursor.previous.is_some_and(is_whole);
    cursor_until(stores, "a cycle over every chunk", looked_at_all).await;
}

/// Waits until the walk is in the middle of a cycle.
async fn in_the_middle(stores: &Stores) -> Cursor {
    let middle = |cursor: &Cursor| (1..all() / 2).contains(&cursor.tally.chunks);
    cursor_until(stores, "a cycle that is under way", middle).await
}

/// The same cycle came to its end, and looked at every chunk once: what was saved is not looked at again, and nothing is
/// left out.
async fn assert_went_on(stores: &Stores, broken_off: &Cursor) {
    let ended = cursor_until(stores, "the end of the cycle", |cursor| cursor.run != broken_off.run).await;
    let cycle = ended.previous.expect("a cycle ended");
    assert_eq!(cycle.started_at, broken_off.started_at, "another cycle ended");
    assert_eq!(cycle.chunks, all(), "chunks that the cycle looked at");
}

/// Waits until looks at a store ended with an error.
async fn until_unreachable(client: &Client, store: &str) {
    let labels = format!("store=\"{store}\",result=\"error\"");
    let before = client.metric("veritail_verify_checks_total", &labels).await;
    client.metric_until("veritail_verify_checks_total", &labels, |looks| looks > before).await;
}
