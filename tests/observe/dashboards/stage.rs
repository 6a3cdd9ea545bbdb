//! A live service to look at: two nodes over Redis, PostgreSQL and S3, with runners and readers, real damage, and a Prometheus
//! that scrapes it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use reqwest::Method;
use tokio::task::JoinSet;
use veritail::pipeline::Stores;
use veritail::trace::{ChunkIndex, ChunkState, JobId};

use super::prometheus::Prometheus;
use crate::support::production::Production;
use crate::support::redis_server;
use crate::support::runner::{Runner, pause};
use crate::support::server::{Binary, Client, Job, Send as _, ended, flipped, log};
use crate::support::wait::holds_within;

/// How fast everything goes.
pub struct Pace {
    /// Settings of the nodes.
    pub settings: &'static [(&'static str, &'static str)],
    /// Between two scrapes, and two evaluations of the rules.
    pub scrape: &'static str,
    /// Runners at the same time.
    pub runners: usize,
    /// Between two things that a runner says, in milliseconds.
    pub pause: u64,
    /// The least that a job says, in bytes; others say up to so many times as much.
    pub log: usize,
    /// How many times.
    pub spread: usize,
}

/// Seconds where production has minutes.
pub const QUICK: Pace = Pace {
    settings: &[
        ("VERITAIL_CHUNK_SIZE", "16384"),
        ("VERITAIL_SWEEP_INTERVAL", "500ms"),
        ("VERITAIL_LIVE_SWEEP_INTERVAL", "2s"),
        ("VERITAIL_LIVE_GRACE", "3s"),
        ("VERITAIL_LEASE_TIME", "1s"),
        ("VERITAIL_GAUGE_INTERVAL", "1s"),
        ("VERITAIL_VERIFY_JITTER", "0s"),
        ("VERITAIL_VERIFY_HOT", "*/2 * * * * *"),
        ("VERITAIL_VERIFY_OPEN_INTERVAL", "1s"),
        ("VERITAIL_VERIFY_FULL", "* * * * * *"),
        ("VERITAIL_VERIFY_FULL_SLICE", "800ms"),
        ("VERITAIL_VERIFY_FULL_CYCLE", "5s"),
        ("VERITAIL_VERIFY_INVENTORY", "*/5 * * * * *"),
        ("VERITAIL_VERIFY_CANARY", "*/2 * * * * *"),
        ("VERITAIL_VERIFY_CANARY_DEADLINE", "60s"),
    ],
    scrape: "2s",
    runners: 4,
    pause: 200,
    log: 8 * 1024,
    spread: 8,
};

/// As in production, with a little less patience.
pub const STEADY: Pace = Pace {
    settings: &[
        ("VERITAIL_LIVE_SWEEP_INTERVAL", "1m"),
        // Damage waits for objects that no live copy stands behind.
        ("VERITAIL_LIVE_GRACE", "15s"),
        ("VERITAIL_VERIFY_HOT", "*/20 * * * * *"),
        ("VERITAIL_VERIFY_OPEN_INTERVAL", "1m"),
        ("VERITAIL_VERIFY_FULL", "*/30 * * * * *"),
        ("VERITAIL_VERIFY_FULL_SLICE", "20s"),
        ("VERITAIL_VERIFY_FULL_CYCLE", "10m"),
        ("VERITAIL_VERIFY_INVENTORY", "0 */2 * * * *"),
        ("VERITAIL_VERIFY_CANARY", "*/20 * * * * *"),
    ],
    scrape: "5s",
    runners: 16,
    pause: 900,
    log: 24 * 1024,
    spread: 40,
};

/// See the module. It ends with this value.
pub struct Stage {
    /// What scrapes it.
    pub prometheus: Prometheus,
    /// When it began, in Unix seconds.
    pub began: f64,
    production: Production,
    nodes: Vec<Binary>,
    work: JoinSet<()>,
    finished: Arc<AtomicUsize>,
    over: Arc<AtomicBool>,
}

impl Stage {
    /// Starts it; runners are at work when this returns.
    pub async fn start(pace: &Pace) -> Self {
        let production = Production::start().await;
        production.redis.command(&["CONFIG", "SET", "maxmemory", "512mb"]);
        let engines = production.variables(production.s3_port());
        let engines = engines.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let variables: Vec<(&str, &str)> = engines.chain(pace.settings.iter().copied()).collect();
        let nodes: Vec<Binary> = (0..2).map(|_| Binary::start(&variables)).collect();
        let addresses: Vec<_> = nodes.iter().map(|node| node.client().address()).collect();
        let prometheus = Prometheus::start(&addresses, pace.scrape);
        let mut stage = Self {
            prometheus,
            began: now(),
            production,
            nodes,
            work: JoinSet::new(),
            finished: Arc::default(),
            over: Arc::default(),
        };
        for runner in 0..pace.runners {
            let clients: Vec<Client> = stage.nodes.iter().map(|node| node.client().clone()).collect();
            let (finished, over) = (stage.finished.clone(), stage.over.clone());
            let (rest, log, spread) = (pace.pause, pace.log, pace.spread);
            stage.work.spawn(async move {
                let mut job = runner;
                while !over.load(Ordering::Relaxed) {
                    live(&clients, job, log * (1 + job * 7 % spread), rest).await;
                    finished.fetch_add(1, Ordering::Relaxed);
                    job += 29;
                }
            });
        }
        stage
    }

    /// The addresses of the nodes, as Prometheus calls them.
    pub fn instances(&self) -> Vec<String> {
        self.nodes.iter().map(|node| node.client().address().to_string()).collect()
    }

    /// The stores, past the nodes.
    pub async fn stores(&self) -> Stores {
        self.production.stores().await
    }

    /// Waits until so many jobs came to their end.
    pub async fn until_finished(&self, jobs: usize) {
        let finished = || self.finished.load(Ordering::Relaxed);
        let are = holds_within(Duration::from_secs(120), async || finished() >= jobs).await;
        assert!(are, "only {} jobs came to their end: {}", finished(), self.nodes[0].log());
    }

    /// Damages real bytes: objects that are all there is of finished logs are changed and lost; the live copy of a chunk
    /// of a running job is lost, which its runner sends again, as another does with a log that arrived wrong; an object of which there still is a live copy is changed,
    /// which is healed.
    pub async fn damage(&self) {
        let client = self.nodes[0].client();
        let bytes = log(48 * 1024);
        // Over, and its live copies gone: nothing can heal them.
        for (at, change) in ["changed", "lost", "changed"].into_iter().enumerate() {
            let job = finish(client, &bytes).await;
            self.until_released(&job).await;
            let key = self.object_of(&job, at).await;
            self.harm(&key, change).await;
        }
        // It has just come to its end: a live copy is left.
        let job = finish(client, &bytes).await;
        let key = self.object_of(&job, 0).await;
        self.harm(&key, "changed").await;
        // It still runs, and its runner comes again.
        let job = client.make_job_with_reset(true).await;
        let mut runner = Runner::new(client, &job);
        runner.touch().await;
        runner.send(&bytes[..6000]).await;
        redis_server::order(self.production.redis.port(), &["DEL", &format!("veritail:{{{}}}:trace", job.id)])
            .expect("Redis answers");
        assert_eq!(runner.finish(&bytes).await.status, 200);
        // It claims another log than arrived: asked for it again, its runner sends the one that it claims.
        let job = client.make_job_with_reset(true).await;
        let mut runner = Runner::new(client, &job);
        runner.touch().await;
        runner.send(&vec![b'x'; bytes.len()]).await;
        assert_eq!(runner.finish(&bytes).await.status, 200);
        assert!(runner.counts.asked_again > 0, "{:?}", runner.counts);
    }

    async fn harm(&self, key: &str, change: &str) {
        let objects = self.stores().await.objects;
        match change {
            "lost" => objects.delete(key).await.expect("deleted"),
            _ => {
                let bytes = objects.get_whole(key).await.expect("answered").expect("an object");
                objects.put(key, flipped(&bytes).into()).await.expect("written");
            }
        }
    }

    /// Waits until no live copy of the job is left.
    async fn until_released(&self, job: &Job) {
        let pattern = format!("veritail:{{{}}}:chunk:*", job.id);
        let is_released = holds_within(Duration::from_secs(300), async || {
            let left = redis_server::order(self.production.redis.port(), &["KEYS", &pattern]).expect("Redis answers");
            matches!(&left, redis::Value::Array(keys) if keys.is_empty())
        });
        assert!(is_released.await, "job {} is never released", job.id);
    }

    /// The key of the object of one of the job's chunks, by the database. A pace with large chunks has only one a job.
    async fn object_of(&self, job: &Job, at: usize) -> String {
        let rows = self.stores().await.database.chunks(JobId(job.id), ChunkIndex(0), 100).await.expect("rows");
        let keys = rows.into_iter().filter_map(|row| match row.state {
            ChunkState::Persisted { at, .. } => Some(at.object().key.clone()),
            _ => None,
        });
        let keys: Vec<String> = keys.collect();
        assert!(!keys.is_empty(), "job {} has no object", job.id);
        keys[at % keys.len()].clone()
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        self.work.abort_all();
    }
}

/// The life of a job and those who read it; nodes take turns.
async fn live(clients: &[Client], number: usize, size: usize, rest: u64) {
    let client = |turn: usize| &clients[(number + turn) % clients.len()];
    let bytes = log(size);
    let job = client(0).make_job_with_reset(true).await;
    let mut runner = Runner::new(client(0), &job);
    runner.touch().await;
    let piece = (size / 12).max(512);
    let mut at = 0;
    for turn in 0.. {
        at = (at + piece).min(size);
        runner.send(&bytes[..at]).await;
        if turn % 4 == 1 {
            // Somebody looks; sometimes for what is not there, sometimes with what it has already.
            client(turn).trace_request(&job).try_answer().await.map(drop).unwrap_or_default();
            let missing = format!("/api/v4/projects/{}/jobs/{}/trace", job.project, 1_000_000 + turn);
            client(1).admin(Method::GET, &missing).try_answer().await.map(drop).unwrap_or_default();
        }
        if at == size {
            break;
        }
        pause(rest).await;
    }
    if number.is_multiple_of(5) {
        // A runner that begins where it should not.
        client(1).append_request(&job, 1, b"x").try_answer().await.map(drop).unwrap_or_default();
    }
    let last = match number % 200 {
        // It claims something else than it sent, and cannot send again.
        7 => client(0).put_until_decided(&job, &ended("failed", b"something else", false)).await,
        // It claims nothing.
        11 => client(0).put_until_decided(&job, &serde_json::json!({"state": "success"})).await,
        _ => runner.finish(&bytes).await,
    };
    assert!([200, 412].contains(&last.status), "{}", last.text());
    for turn in 0..2 {
        client(turn).trace_request(&job).try_answer().await.map(drop).unwrap_or_default();
    }
}

/// A job from its beginning to its end.
async fn finish(client: &Client, bytes: &[u8]) -> Job {
    let job = client.make_job_with_reset(true).await;
    assert_eq!(Runner::new(client, &job).finish(bytes).await.status, 200);
    job
}

/// Now, in Unix seconds.
pub fn now() -> f64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs_f64()
}
