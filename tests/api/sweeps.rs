//! A sweep takes up several jobs at a time, and no more than it may.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::Barrier;
use veritail::store::hooked::{Call, Hook};
use veritail::store::{Result, StoreError};

use crate::support::server::{Hooks, Node, log};

/// How many jobs are taken up at a time.
const WIDTH: usize = 4;

/// While it is closed, a look at a trace's live entry waits until as many look as may.
struct Turnstile {
    barrier: Barrier,
    closed: AtomicBool,
    inside: AtomicUsize,
    most: AtomicUsize,
}

impl Turnstile {
    fn is_meant(&self, call: &Call) -> bool {
        self.closed.load(Ordering::SeqCst) && (call.store, call.operation) == ("live", "load")
    }
}

#[async_trait]
impl Hook for Turnstile {
    async fn before(&self, call: &Call) -> Result<()> {
        if !self.is_meant(call) {
            return Ok(());
        }
        self.most.fetch_max(self.inside.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        let all = tokio::time::timeout(Duration::from_secs(10), self.barrier.wait()).await;
        all.map(drop).map_err(|_| StoreError::unavailable(call.store, "nobody else came"))
    }

    async fn after(&self, call: &Call, _took: Duration, _failed: Option<&StoreError>) -> Result<()> {
        if self.is_meant(call) {
            self.inside.fetch_sub(1, Ordering::SeqCst);
        }
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sweep_takes_up_several_jobs_at_a_time_and_no_more() {
    let turnstile = Arc::new(Turnstile {
        barrier: Barrier::new(WIDTH),
        closed: AtomicBool::new(false),
        inside: AtomicUsize::new(0),
        most: AtomicUsize::new(0),
    });
    let mut hooks = Hooks::new(turnstile.clone());
    hooks.works = false;
    hooks.settings.sweep_concurrency = WIDTH;
    let node = Node::start(hooks).await;
    for _ in 0..3 * WIDTH {
        let job = node.client().make_job().await;
        node.client().append_all(&job, 0, &log(1000)).await;
    }
    turnstile.closed.store(true, Ordering::SeqCst);
    let swept = node.pipeline().sweep().await.expect("the database answers");
    assert_eq!((swept.errors, swept.jobs), (0, 3 * WIDTH as u64), "each was joined by others");
    assert_eq!(turnstile.most.load(Ordering::SeqCst), WIDTH);
    node.stop().await;
}
