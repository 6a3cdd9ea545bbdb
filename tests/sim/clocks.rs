//! Virtual time, and what each node makes of it: clocks that are wrong, drift and jump, and nodes that stand still.
#![allow(clippy::disallowed_methods, reason = "tokio's paused clock is what the simulation hands in")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::Instant;
use veritail::seams::Clock;
use veritail::trace::Timestamp;

use super::machine::Dice;

/// 2026-01-01T00:00:00Z.
const BEGIN_MS: i64 = 1_767_225_600_000;

/// The true time of a simulation.
#[derive(Clone, Copy)]
pub struct SimClock {
    start: Instant,
}

impl SimClock {
    pub fn new() -> Self {
        Self { start: Instant::now() }
    }

    pub fn elapsed_ms(&self) -> u64 {
        self.start.elapsed().as_millis() as u64
    }
}

#[async_trait]
impl Clock for SimClock {
    fn now(&self) -> Timestamp {
        Timestamp(BEGIN_MS + self.elapsed_ms() as i64)
    }

    async fn sleep(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }
}

/// How one node's clock is wrong. It belongs to the machine: a node that starts again has the same.
#[derive(Clone, Copy, Debug, Default)]
pub struct View {
    pub ahead_ms: i64,
    /// Milliseconds gained in a second.
    pub drift: i64,
    /// When it is set, and by how much.
    pub jump: Option<(u64, i64)>,
}

impl View {
    /// Clocks are up to two minutes apart: less than every timeout that compares what two nodes wrote.
    pub fn roll(dice: &Dice) -> Self {
        let any = |dice: &Dice, most: u64| dice.below(2 * most) as i64 - most as i64;
        let ahead_ms = if dice.chance(500) { any(dice, 2000) } else { any(dice, 45_000) };
        let drift = if dice.chance(300) { any(dice, 20) } else { 0 };
        let jump = dice.chance(300).then(|| (dice.below(120_000), any(dice, 30_000)));
        Self { ahead_ms, drift, jump }
    }

    fn offset_ms(&self, elapsed_ms: u64) -> i64 {
        let jumped = self.jump.filter(|(at, _)| elapsed_ms >= *at).map_or(0, |(_, by)| by);
        // Drift is set right some minutes later, as by a time server.
        self.ahead_ms + jumped + self.drift * (elapsed_ms.min(300_000) / 1000) as i64
    }
}

/// How far apart clocks can be at most.
pub fn apart_ms(views: &[View]) -> u64 {
    let most = views.iter().map(|view| {
        let jump = view.jump.map_or(0, |(_, by)| by.unsigned_abs());
        view.ahead_ms.unsigned_abs() + view.drift.unsigned_abs() * 300 + jump
    });
    2 * most.max().unwrap_or(0)
}

/// Lets a node stand still: nothing of it goes on until then, and it does not know.
#[derive(Default)]
pub struct Pause(AtomicBool);

impl Pause {
    pub fn set(&self, paused: bool) {
        self.0.store(paused, Ordering::Relaxed);
    }

    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// Returns when the node goes on.
    pub async fn over(&self) {
        while self.is_set() {
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
    }
}

/// The clock of one node.
pub struct NodeClock {
    pub truth: SimClock,
    pub view: View,
    pub pause: Arc<Pause>,
}

#[async_trait]
impl Clock for NodeClock {
    fn now(&self) -> Timestamp {
        self.truth.now().plus_ms(self.view.offset_ms(self.truth.elapsed_ms()))
    }

    async fn sleep(&self, time: Duration) {
        self.truth.sleep(time).await;
        self.pause.over().await;
    }
}
