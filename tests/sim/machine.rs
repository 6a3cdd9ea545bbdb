//! Seeded chance, and nodes that can die at any await.
#![allow(clippy::disallowed_methods, reason = "tokio's paused clock and tasks are what the simulation hands in")]

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Weak};

use async_trait::async_trait;
use tokio::task::AbortHandle;
use veritail::seams::{Chance, FailPoints, Spawn, Task};

/// Seeded random numbers (splitmix64).
pub struct Dice(AtomicU64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(AtomicU64::new(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15)))
    }

    /// Another stream, derived from this one.
    pub fn fork(&self) -> Self {
        Self(AtomicU64::new(self.next()))
    }

    pub fn next(&self) -> u64 {
        let mut z = self.0.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed).wrapping_add(0x9e37_79b9_7f4a_7c15);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `limit`, which is not 0.
    pub fn below(&self, limit: u64) -> u64 {
        self.next() % limit
    }

    /// A number in `[low, high)`.
    pub fn between(&self, low: u64, high: u64) -> u64 {
        low + self.below(high - low)
    }

    /// True once in a thousand times `per_mille`.
    pub fn chance(&self, per_mille: u64) -> bool {
        self.below(1000) < per_mille
    }

    pub fn pick<'a, T>(&self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len() as u64) as usize]
    }
}

impl Chance for Dice {
    fn bits(&self) -> u64 {
        self.next()
    }
}

/// One life of a node: everything it started ends with it.
#[derive(Default)]
pub struct Life {
    tasks: Mutex<Vec<AbortHandle>>,
    over: AtomicBool,
}

impl Life {
    pub fn end(&self) {
        self.over.store(true, Ordering::Relaxed);
        for task in self.tasks.lock().expect("not poisoned").drain(..) {
            task.abort();
        }
    }

    pub fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }
}

/// Work beside all nodes, which no death ends.
pub fn spawn(work: impl Future<Output = ()> + Send + 'static) {
    #[allow(clippy::disallowed_methods, reason = "the paused runtime of the simulation")]
    tokio::spawn(work);
}

impl Spawn for Life {
    fn spawn(&self, _name: &'static str, task: Task) {
        if self.is_over() {
            return;
        }
        let handle = tokio::spawn(task).abort_handle();
        let mut tasks = self.tasks.lock().expect("not poisoned");
        tasks.retain(|task| !task.is_finished());
        tasks.push(handle);
    }
}

/// Fail points at which a node dies, when its dice say so.
pub struct DeadlyPoints {
    pub life: Weak<Life>,
    pub dice: Dice,
    pub per_mille: Arc<AtomicU64>,
}

#[async_trait]
impl FailPoints for DeadlyPoints {
    async fn reached(&self, point: &'static str) {
        if self.dice.chance(self.per_mille.load(Ordering::Relaxed))
            && let Some(life) = self.life.upgrade()
        {
            tracing::info!(point, "a node dies at {point}");
            life.end();
            std::future::pending::<()>().await;
        }
    }
}
