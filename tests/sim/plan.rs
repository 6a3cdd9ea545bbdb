//! What a seed decides before anything runs: the kind of trouble, and the jobs.

use super::machine::Dice;

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
    pub live_full: bool,
    pub clock_skew_ms: i64,
}

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
}

impl Trouble {
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
            live_harm: dice.chance(500),
            object_rot: dice.chance(200),
            puts_damaged: dice.chance(300),
            live_full: dice.chance(150),
            clock_skew_ms: if dice.chance(300) { dice.below(4000) as i64 - 2000 } else { 0 },
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
        Self {
            kind,
            log_size,
            chunk_size,
            patch_max: *dice.pick(&[50, 128, 400, 1000]),
            trace_limit: if dice.chance(40) { log_size / 2 + 1 } else { 0 },
            cancel_after_ms: dice.chance(80).then(|| dice.below(40_000)),
            erase_after_ms: dice.chance(150).then(|| dice.below(90_000)),
        }
    }

    /// The log: text that tells every offset apart.
    pub fn log(&self, seed: u64) -> Vec<u8> {
        let dice = Dice::new(seed);
        (0..self.log_size).map(|_| b'a' + (dice.below(26) as u8)).collect()
    }
}
