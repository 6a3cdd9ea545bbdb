//! The machine's own time, chance and tasks. The only place that may take them.
#![allow(clippy::disallowed_methods, reason = "this is what everything else is handed")]

use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use tokio::task::JoinSet;

use super::{Chance, Clock, FailPoints, Spawn, Task};
use crate::trace::Timestamp;

/// The system's clock and tokio's timer.
#[derive(Debug, Default)]
pub struct SystemClock;

#[async_trait]
impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
    }

    fn passed(&self) -> Duration {
        static BEGAN: OnceLock<Instant> = OnceLock::new();
        BEGAN.get_or_init(Instant::now).elapsed()
    }

    async fn sleep(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }
}

/// The operating system's random numbers, by way of `rand`'s thread generator.
#[derive(Debug, Default)]
pub struct SystemChance;

impl Chance for SystemChance {
    fn bits(&self) -> u64 {
        rand::random()
    }
}

/// Tokio's tasks.
#[derive(Debug, Default)]
pub struct TokioSpawn;

impl Spawn for TokioSpawn {
    fn spawn(&self, _name: &'static str, task: Task) {
        tokio::spawn(task);
    }
}

/// Tokio's tasks, which all end when their owner says so: what they hold (a folder, a lock) is free afterwards.
#[derive(Debug, Default)]
pub struct OwnedTasks(Mutex<JoinSet<()>>);

impl Spawn for OwnedTasks {
    fn spawn(&self, _name: &'static str, task: Task) {
        let mut tasks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        while tasks.try_join_next().is_some() {}
        tasks.spawn(task);
    }
}

impl OwnedTasks {
    /// Ends all tasks, at whatever they await, and returns when they are gone.
    pub async fn end(&self) {
        let mut tasks = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        tasks.shutdown().await;
    }
}

/// Fail points that do nothing.
#[derive(Debug, Default)]
pub struct NoFailPoints;

#[async_trait]
impl FailPoints for NoFailPoints {
    async fn reached(&self, _point: &'static str) {}
}
