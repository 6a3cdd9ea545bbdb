//! What a seed decides before anything runs: the kind of trouble, and the jobs.

use super::clocks::View;
use super::machine::Dice;

pub const NODES: usize = 3;

/// How much trouble there is, per thousand.
#[derive(Clone, Debug)]
pub struct Trouble {
    pub fail_before: u64,
    pub fail_after: u64,
    pub slow: u64,
    pub slow_ms_max: u64,
    pub die_at_point: u64,
    pub node_dies: bool,
    pub answers_lost: u64,
    pub bodies_broken: u64,
    pub clients_hang_up: u64,
    /// Live: wiped, set back, keys lost, chunks lost, cut or flipped.
    pub live_harm: bool,
    /// Objects: lost, cut or flipped.
    pub object_rot: bool,
    /// Objects: not kept as written.
    pub puts_damaged: bool,
    /// Objects: read wrong once, and right a moment later.
    pub misreads: bool,
    pub live_full: bool,
    /// One call that goes wrong far more often than the others.
    pub target: Option<Target>,
    /// Requests that reach two nodes at once.
    pub delivered_twice: u64,
    pub node_pauses: bool,
    /// Live: a replica takes over that lags behind, for all jobs or for those of a shard; the keys of some jobs move.
    pub failovers: bool,
    pub shards_move: bool,
    /// A whole store is away, for seconds or for minutes.
    pub outages: bool,
    /// The database is restored from a backup that is some seconds old, while the other stores go on.
    pub database_set_back: bool,
    /// Objects: a listing is so old.
    pub listing_lag_ms: u64,
    pub clocks: [View; NODES],
}

/// How a call goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// It fails without an effect.
    Before,
    /// It has its effect, and its answer is lost.
    After,
    Slow,
}

#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Store and operation.
    pub call: (&'static str, &'static str),
    pub mode: Mode,
    pub per_mille: u64,
}

/// Every write of the three stores, and the reads that proofs rest on.
const TARGETS: &[(&str, &str)] = &[
    ("live", "append"),
    ("live", "replace"),
    ("live", "set_status"),
    ("live", "release"),
    ("live", "load"),
    ("live", "read_chunk"),
    ("live", "read_open"),
    ("live", "present"),
    ("database", "note_contacts"),
    ("database", "set_trace_reset"),
    ("database", "mark_installed"),
    ("database", "rewind"),
    ("database", "end"),
    ("database", "reopen"),
    ("database", "cancel"),
    ("database", "close"),
    ("database", "erase"),
    ("database", "deletion_done"),
    ("database", "open_chunk"),
    ("database", "record"),
    ("database", "persist"),
    ("database", "open_mismatch"),
    ("database", "resolve_mismatches"),
    ("database", "take_pending_job"),
    ("database", "take"),
    ("database", "finish"),
    ("database", "put"),
    ("database", "get"),
    ("object_store", "put"),
    ("object_store", "get"),
    ("object_store", "delete"),
    ("object_store", "list"),
];

impl Target {
    fn roll(dice: &Dice) -> Self {
        let mode = *dice.pick(&[Mode::Before, Mode::After, Mode::After, Mode::Slow]);
        Self { call: *dice.pick(TARGETS), mode, per_mille: dice.between(100, 600) }
    }
}

/// The longest beginning of a log that comes at full speed.
const BURST_MAX: u64 = 1500;

/// How a job's runner behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// As gitlab-runner: a claim, and the whole log to send again from.
    Resends { known_at_once: bool, with_size: bool },
    /// A claim, and nothing kept.
    ClaimsOnly,
    /// As gitlab-runner-rs: no claim, nothing kept; after a failed patch other bytes come from the same start.
    Forgetful { known_at_once: bool },
    /// As gitlab-runner, with a wrong checksum.
    Liar,
    /// As gitlab-runner, and gone in the middle.
    Vanishes,
}

#[derive(Clone, Debug)]
pub struct JobPlan {
    pub kind: Kind,
    pub log_size: u64,
    pub chunk_size: u32,
    pub patch_max: u64,
    pub trace_limit: u64,
    pub cancel_after_ms: Option<u64>,
    /// Erased as soon as it is finished, but not before.
    pub erase_after_ms: Option<u64>,
    /// Waits until one of several runners requests it.
    pub pending: bool,
    /// So many bytes come at the beginning as fast as they are taken, a few at a time; see [`super::verifying::watch_it_grow`].
    pub burst: u64,
}

impl Trouble {
    /// True if nothing can keep a node from finishing what it began: then it leaves nothing behind.
    pub fn is_orderly(&self) -> bool {
        let calls = self.fail_before + self.fail_after + self.clients_hang_up;
        let slow = self.slow > 0 && self.slow_ms_max > 200;
        let nodes = self.node_dies || self.die_at_point > 0 || self.node_pauses;
        let stores = self.live_harm || self.object_rot || self.failovers || self.shards_move || self.outages;
        let stores = stores || self.database_set_back;
        calls == 0 && !slow && !nodes && !stores && !self.live_full && !self.puts_damaged && self.target.is_none()
    }

    /// The same trouble, of which none harms a byte that was kept; what a look gets wrong is right at the next.
    pub fn without_harm(self) -> Self {
        Self {
            live_harm: false,
            object_rot: false,
            puts_damaged: false,
            misreads: true,
            failovers: false,
            database_set_back: false,
            ..self
        }
    }

    pub fn roll(dice: &Dice) -> Self {
        let some = |dice: &Dice, max: u64| if dice.chance(500) { dice.below(max) } else { 0 };
        Self {
            fail_before: some(dice, 80),
            fail_after: some(dice, 80),
            slow: some(dice, 200),
            slow_ms_max: *dice.pick(&[20, 200, 3000, 15_000]),
            die_at_point: some(dice, 60),
            node_dies: dice.chance(500),
            answers_lost: some(dice, 80),
            bodies_broken: some(dice, 80),
            clients_hang_up: some(dice, 80),
            live_harm: dice.chance(400),
            object_rot: dice.chance(200),
            puts_damaged: dice.chance(300),
            misreads: false,
            live_full: dice.chance(150),
            target: dice.chance(400).then(|| Target::roll(dice)),
            delivered_twice: if dice.chance(300) { dice.below(300) } else { 0 },
            node_pauses: dice.chance(200),
            failovers: dice.chance(250),
            shards_move: dice.chance(250),
            outages: dice.chance(200),
            database_set_back: dice.chance(60),
            listing_lag_ms: if dice.chance(200) { dice.between(200, 5000) } else { 0 },
            clocks: {
                let apart = dice.chance(400);
                std::array::from_fn(|_| if apart { View::roll(dice) } else { View::default() })
            },
        }
    }
}

impl JobPlan {
    pub fn roll(dice: &Dice) -> Self {
        let kind = match dice.below(12) {
            0..=4 => Kind::Resends { known_at_once: true, with_size: true },
            5 => Kind::Resends { known_at_once: false, with_size: true },
            6 => Kind::Resends { known_at_once: dice.chance(500), with_size: false },
            7 => Kind::ClaimsOnly,
            8 => Kind::Forgetful { known_at_once: true },
            9 => Kind::Forgetful { known_at_once: false },
            10 => Kind::Liar,
            _ => Kind::Vanishes,
        };
        let chunk_size = *dice.pick(&[16, 64, 100, 256]);
        let log_size = match dice.below(10) {
            0 => 0,
            1 => u64::from(chunk_size) * dice.between(1, 6),
            _ => dice.between(1, 2500),
        };
        let pending = dice.chance(200);
        Self {
            kind,
            log_size,
            chunk_size,
            patch_max: *dice.pick(&[50, 128, 400, 1000]),
            trace_limit: if dice.chance(40) { log_size / 2 + 1 } else { 0 },
            cancel_after_ms: dice.chance(if pending { 300 } else { 80 }).then(|| dice.below(40_000)),
            erase_after_ms: dice.chance(150).then(|| dice.below(90_000)),
            pending,
            burst: if chunk_size > 16 && dice.chance(300) { log_size.min(BURST_MAX) } else { 0 },
        }
    }

    /// The same with a log of many chunks.
    pub fn long(dice: &Dice) -> Self {
        let plan = Self::roll(dice);
        let log_size = u64::from(plan.chunk_size) * dice.between(100, 500) + dice.below(u64::from(plan.chunk_size));
        Self { log_size, trace_limit: 0, patch_max: log_size / dice.between(10, 40), ..plan }
    }

    /// What a job request says of it, or the one who made the job.
    pub fn trace_reset_at_first(&self) -> Option<bool> {
        match self.kind {
            Kind::Resends { known_at_once, .. } => known_at_once.then_some(true),
            Kind::Forgetful { known_at_once } => known_at_once.then_some(false),
            Kind::ClaimsOnly => Some(false),
            Kind::Liar | Kind::Vanishes => Some(true),
        }
    }

    /// The log: text that tells every offset apart.
    pub fn log(&self, seed: u64) -> Vec<u8> {
        let dice = Dice::new(seed);
        (0..self.log_size).map(|_| b'a' + (dice.below(26) as u8)).collect()
    }
}
