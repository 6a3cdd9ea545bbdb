//! The settings of a node's verifier.

use std::time::Duration;

use crate::trace::ByteSize;
use crate::trace::state::names;

names! {
    /// Whether the canary damages copies of its own traces.
    CanaryDamage {
        /// In every kind of store, but for objects in a bucket that keeps all their versions.
        Auto = "auto",
        /// In every kind of store.
        On = "on",
        /// Nowhere.
        Off = "off",
    }
}

/// How a node verifies. All nodes over the same stores should have the same, but for the budgets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Whether what can be healed is healed, or only written down.
    pub repairs: bool,
    /// The budget of *hot*.
    pub hot: Budgeted,
    /// The time from one tick of *hot* to the next: what was proven since then is looked at.
    pub hot_interval: Duration,
    /// How long the live bytes of a chunk that still grows are left alone after a look.
    pub open_interval: Duration,
    /// The budget of *full*, and of what people ask for.
    pub full: Budgeted,
    /// How long one tick of *full* works at most.
    pub full_slice: Duration,
    /// The promised time of a cycle over the chunks of jobs that are younger than `fresh_for`.
    pub fresh_cycle: Duration,
    /// And over those of all others.
    pub old_cycle: Duration,
    /// How long a job counts as fresh.
    pub fresh_for: Duration,
    /// The budget of the inventory: its requests.
    pub inventory: Budgeted,
    /// The time from one inventory to the next.
    pub inventory_interval: Duration,
    /// How long bytes that no row speaks for are left alone. Far longer than any upload takes and than clocks differ.
    pub orphan_grace: Duration,
    /// Whether those that nobody can miss are removed instead of written down.
    pub removes_orphans: bool,
    /// How long bad copies are kept in quarantine; 0 = for ever.
    pub quarantine_kept_for: Duration,
    /// How long runs are remembered, and what the canary left.
    pub runs_kept_for: Duration,
    /// The time from one tick of the canary to the next.
    pub canary_interval: Duration,
    /// How soon the damage that the canary does has to be found.
    pub canary_deadline: Duration,
    /// Whether the canary does any.
    pub canary_damage: CanaryDamage,
}

/// How fast this node may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budgeted {
    /// Bytes read in a second; 0 = no limit.
    pub bytes_per_second: ByteSize,
    /// Chunks looked at in a second; 0 = no limit.
    pub requests_per_second: u64,
    /// Chunks looked at at the same time.
    pub concurrency: usize,
}

const DAY: Duration = Duration::from_hours(24);

impl Default for Settings {
    fn default() -> Self {
        let budgeted = |requests_per_second, concurrency| Budgeted {
            bytes_per_second: ByteSize(64 * 1024 * 1024),
            requests_per_second,
            concurrency,
        };
        Self {
            repairs: true,
            hot: budgeted(1000, 8),
            hot_interval: Duration::from_secs(60),
            open_interval: Duration::from_secs(300),
            full: budgeted(500, 32),
            full_slice: Duration::from_secs(50),
            fresh_cycle: DAY * 7,
            old_cycle: DAY * 90,
            fresh_for: DAY * 90,
            inventory: Budgeted { bytes_per_second: ByteSize::ZERO, requests_per_second: 100, concurrency: 1 },
            inventory_interval: DAY,
            orphan_grace: DAY,
            removes_orphans: true,
            quarantine_kept_for: DAY * 30,
            runs_kept_for: DAY * 30,
            canary_interval: Duration::from_secs(300),
            canary_deadline: Duration::from_secs(600),
            canary_damage: CanaryDamage::Auto,
        }
    }
}
