//! `kill -9` at random moments under load: whatever was under way, nothing that was acknowledged is lost.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::json;
use tokio::time::sleep;

use super::ground::{CHUNK_SIZE, Ground, On, Pace};
use super::remains;
use super::runner::{Runner, Unanswered, log};
use super::server::Server;

/// Set it to the number that a failed run printed.
const SEED: &str = "CRASH_SEED";
/// Upload loops at the same time.
const LOOPS: u64 = 4;
/// Kills.
const ROUNDS: u32 = 8;
/// How long a loop waits for a server that is away, and how many requests a job takes: more than needed.
const TRIES: u32 = 3000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_under_load_it_loses_nothing_embedded() {
    kill_under_load(On::Embedded).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_under_load_it_loses_nothing_redis() {
    kill_under_load(On::Redis).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_under_load_it_loses_nothing_production() {
    kill_under_load(On::Production).await;
}

async fn kill_under_load(on: On) {
    let seed = match std::env::var(SEED) {
        Ok(seed) => seed.parse().expect("a number"),
        Err(_) => SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs(),
    };
    println!("{SEED}={seed}");
    let mut dice = StdRng::seed_from_u64(seed);
    let mut ground = Ground::new(on, Pace::Busy).await;
    let mut server = Server::start(&mut ground, None).await;

    let last_round = Arc::new(AtomicBool::new(false));
    let mut loops = Vec::new();
    for name in 0..LOOPS {
        let (last_round, dice) = (last_round.clone(), StdRng::seed_from_u64(dice.random()));
        loops.push(tokio::spawn(upload(ground.port, name, dice, last_round)));
    }
    for _ in 0..ROUNDS {
        sleep(Duration::from_millis(dice.random_range(50..900))).await;
        server.kill().await;
        server = Server::start(&mut ground, None).await;
    }
    last_round.store(true, Ordering::Relaxed);
    let mut runners = Vec::new();
    for uploads in loops {
        runners.extend(uploads.await.expect("no loop fails"));
    }

    for runner in &runners {
        assert_eq!(runner.read().await.expect("it answers"), runner.log, "job {}", runner.id);
        let report = runner.integrity().await.expect("it answers");
        assert_eq!((&report["verdict"], &report["mismatches"]), (&json!("verified"), &json!([])), "{report}");
    }
    server.kill().await;
    let jobs: Vec<i64> = runners.iter().map(|runner| runner.id).collect();
    let orphans = remains::after_one_sweep(&ground, &jobs).await;
    println!("{on:?}: {ROUNDS} kills, {} jobs, {orphans} objects that no row names", jobs.len());
}

/// Uploads one log after the other until the last kill is over.
async fn upload(port: u16, name: u64, mut dice: StdRng, last_round: Arc<AtomicBool>) -> Vec<Runner> {
    let mut runners = Vec::new();
    while runners.is_empty() || !last_round.load(Ordering::Relaxed) {
        let log = log(name * 1000 + runners.len() as u64, dice.random_range(1..12 * CHUNK_SIZE));
        let mut runner = make(port, &log).await;
        let mut tries = 0;
        while !runner.done {
            tries += 1;
            assert!(tries < TRIES, "job {} is never done", runner.id);
            let asked = runner.step(dice.random_range(1..3 * CHUNK_SIZE)).await;
            if let Err(Unanswered) = asked
                && let Err(Unanswered) = runner.finds_what_was_acknowledged().await
            {
                sleep(Duration::from_millis(20)).await;
            }
        }
        runners.push(runner);
    }
    runners
}

/// A job may be made and its answer lost; it stays without a byte.
async fn make(port: u16, log: &[u8]) -> Runner {
    for _ in 0..TRIES {
        match Runner::new(port, log.to_vec()).await {
            Ok(runner) => return runner,
            Err(Unanswered) => sleep(Duration::from_millis(20)).await,
        }
    }
    panic!("the server does not come back");
}
