//! What is left in the stores when everything is done: after one sweep, nothing that waits for anybody.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures::TryStreamExt as _;
use veritail::pipeline::{Pipeline, Settings, Stores};
use veritail::seams::Seams;
use veritail::seams::real::{NoFailPoints, SystemChance, SystemClock, TokioSpawn};
use veritail::store::live::{Entry, Found, LiveStore};
use veritail::trace::{ChunkIndex, ChunkState, JobId, Location, Timestamp, TraceState, Verdict};

use super::ground::Ground;

/// One sweep of everything over stores that no process uses. No step of it fails.
pub async fn sweep_once(stores: &Stores) {
    let seams = Seams {
        clock: Arc::new(SystemClock),
        chance: Arc::new(SystemChance),
        spawn: Arc::new(TokioSpawn),
        points: Arc::new(NoFailPoints),
    };
    let settings = Settings { live_grace: Duration::from_secs(600), ..Settings::default() };
    let node = Pipeline::new(stores.clone(), seams, settings);
    let swept = node.sweep().await.expect("the database answers");
    assert_eq!(swept.errors, 0, "{swept:?}");
    let swept = node.sweep_live().await.expect("the live store answers");
    assert_eq!(swept.errors, 0, "{swept:?}");
}

/// The trace is closed with every byte proven.
pub async fn is_verified(stores: &Stores, job: i64) {
    let job = stores.database.job(JobId(job)).await.expect("answered").expect("a job");
    assert_eq!((job.state, job.verdict), (TraceState::Closed, Verdict::Verified), "job {}", job.id);
}

/// Sweeps once, and looks for leavings of the finished `jobs`. Answers how many objects no row names.
pub async fn after_one_sweep(ground: &Ground, jobs: &[i64]) -> usize {
    let stores = ground.open().await;
    sweep_once(&stores).await;
    for job in jobs {
        is_verified(&stores, *job).await;
    }
    let waiting = stores.database.waiting(Timestamp(i64::MAX), 100).await.expect("answered");
    assert!(waiting.is_empty(), "sealed and live only: {waiting:?}");
    nothing_stays_live(stores.live.as_ref(), jobs).await;
    if let Some(url) = ground.redis_url() {
        every_key_expires(&url).await;
    }
    orphans(&stores, jobs).await
}

/// Every chunk's copy is released, every trace key of a finished job is a tombstone.
async fn nothing_stays_live(live: &dyn LiveStore, jobs: &[i64]) {
    let mut from = None;
    loop {
        let page = live.scan(from, 100).await.expect("answered");
        for found in page.found {
            match found {
                Found::Chunk { job, released, .. } => {
                    assert!(released || !jobs.contains(&job.0), "a live copy stays: {found:?}");
                }
                Found::Trace(job) if jobs.contains(&job.0) => {
                    let entry = live.load(job).await.expect("answered").map(|trace| trace.entry);
                    assert!(matches!(entry, None | Some(Entry::Tombstone(_))), "job {job} is over: {entry:?}");
                }
                Found::Trace(_) => {}
            }
        }
        from = page.next;
        if from.is_none() {
            return;
        }
    }
}

/// The same, asked of the server itself.
async fn every_key_expires(url: &str) {
    let client = redis::Client::open(url).expect("a URL");
    let mut connection = client.get_multiplexed_async_connection().await.expect("connected");
    let keys: Vec<String> =
        redis::cmd("KEYS").arg("veritail:*:chunk:*").query_async(&mut connection).await.expect("answered");
    for key in keys {
        let left: i64 = redis::cmd("PTTL").arg(&key).query_async(&mut connection).await.expect("answered");
        assert!(left != -1, "{key} stays for ever");
    }
}

/// Every object that a row names is there. Answers how many are there that none names.
async fn orphans(stores: &Stores, jobs: &[i64]) -> usize {
    let listed = stores.objects.list("").try_collect::<Vec<_>>().await.expect("answered");
    let mut unnamed: BTreeSet<String> = listed.into_iter().map(|object| object.key).collect();
    for job in jobs {
        let rows = stores.database.chunks(JobId(*job), ChunkIndex(0), 1000).await.expect("answered");
        for row in rows {
            match row.state {
                ChunkState::Persisted { at: Location::Object(object), .. } => {
                    assert!(unnamed.remove(&object.key), "job {job}: {} is named and not there", object.key);
                }
                ChunkState::Open => {}
                state => panic!("job {job}: chunk {} of a finished job is {state:?}", row.index),
            }
        }
    }
    unnamed.len()
}
