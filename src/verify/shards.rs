//! The shards of the full run: which jobs belong to which, and how far a walk through them should be.
//!
//! Numbers of jobs are dealt out to the shards in blocks, for ever in the same way: a chunk is always looked at at about
//! the same time of its shard's cycle, so no two looks at it are further apart than a cycle, however many jobs come
//! after it. Pure.

use std::fmt;
use std::time::Duration;

use crate::store::database::verifications::{Cursor, Place};
use crate::trace::{ChunkIndex, JobId, Timestamp};

/// Shards of a tier: so many walks go on side by side, on as many nodes at most.
pub(super) const SHARDS: i64 = 16;
/// Jobs in a block.
const BLOCK: i64 = 1024;
/// A walk means to be done after so much of the promised time; the rest is for what goes wrong.
const AIM: f64 = 0.9;
/// A walk waits for copies that cannot be reached until it is behind by so much: half of what is left for that.
const WAITS: f64 = 0.05;

/// Chunks by the age of their jobs, each with a promise of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tier {
    Fresh,
    Old,
}

/// One shard of one tier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shard {
    pub(super) tier: Tier,
    number: i64,
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tier = match self.tier {
            Tier::Fresh => "fresh",
            Tier::Old => "old",
        };
        write!(f, "{tier}/{:02}", self.number)
    }
}

impl Shard {
    /// All shards.
    pub(super) fn all() -> impl Iterator<Item = Self> {
        [Tier::Fresh, Tier::Old].into_iter().flat_map(|tier| (0..SHARDS).map(move |number| Self { tier, number }))
    }

    /// The shard of the same jobs in a tier.
    pub(super) fn in_tier(self, tier: Tier) -> Self {
        Self { tier, ..self }
    }

    /// The jobs of this shard's first block that has any at `job` or behind it: from the first one to below the second.
    pub(super) fn block_at(self, job: JobId) -> (JobId, JobId) {
        let block = job.0.div_euclid(BLOCK);
        let ahead = (self.number - block).rem_euclid(SHARDS);
        let start = (block + ahead) * BLOCK;
        (JobId(start.max(job.0)), JobId(start + BLOCK))
    }
}

/// How a walk stands in its cycle.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Standing {
    /// How much of the way is behind it, 0 to 1.
    pub(super) walked: f64,
    /// How much of the way should be behind it by now, 0 to 1.
    pub(super) due: f64,
    /// How long the cycle will take at this pace, as a share of the promised time.
    pub(super) projected: f64,
}

impl Standing {
    /// How `cursor` stands, whose way now ends below `end`.
    #[allow(clippy::cast_precision_loss, reason = "shares of a way and of days")]
    pub(super) fn of(cursor: &Cursor, end: JobId, promised: Duration, now: Timestamp) -> Self {
        let whole = (end.0 - cursor.from.0).max(1) as f64;
        // A way without jobs is behind whoever stands before it.
        let is_empty = end <= cursor.from;
        let walked = if is_empty { 1.0 } else { ((cursor.at.job.0 - cursor.from.0) as f64 / whole).clamp(0.0, 1.0) };
        let elapsed = now.since(cursor.started_at).as_secs_f64() / promised.as_secs_f64().max(0.001);
        let due = (elapsed / AIM).min(1.0);
        // Whoever is late goes on as fast as so far; whoever is not will be done when they mean to.
        let projected = if walked >= 1.0 {
            elapsed.min(AIM)
        } else if walked > 0.0 {
            (elapsed / walked).max(AIM)
        } else {
            elapsed + AIM
        };
        Self { walked, due, projected }
    }

    /// How far a walk is behind where it should be, as a share of the way; below 0 where it is ahead.
    pub(super) fn lag(&self) -> f64 {
        self.due - self.walked
    }

    /// Whether a walk has to go on now.
    pub(super) fn is_due(&self) -> bool {
        self.walked < self.due
    }

    /// Whether a walk can wait and still be done in time.
    pub(super) fn has_time(&self) -> bool {
        self.lag() < WAITS
    }

    /// Whether the cycle is at its end: everything is behind it, and its time is over.
    pub(super) fn is_over(&self) -> bool {
        self.walked >= 1.0 && self.due >= 1.0
    }
}

/// The place behind a chunk.
pub(super) fn behind(job: JobId, index: ChunkIndex) -> Place {
    match index.0.checked_add(1) {
        Some(next) => Place { job, index: ChunkIndex(next) },
        None => Place { job: JobId(job.0 + 1), index: ChunkIndex(0) },
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::store::database::verifications::RunId;
    use crate::trace::{Tally, Version};

    fn cursor(from: i64, at: i64) -> Cursor {
        Cursor {
            shard: "fresh/00".to_owned(),
            version: Version(1),
            from: JobId(from),
            to: JobId(i64::MAX),
            at: Place { job: JobId(at), index: ChunkIndex(0) },
            started_at: Timestamp(0),
            tally: Tally::default(),
            run: RunId(1),
            previous: None,
        }
    }

    proptest! {
        /// Walking from block to block, the shards of a tier meet every job once.
        #[test]
        fn every_job_belongs_to_one_shard(end in 1i64..100_000, job in 1i64..100_000) {
            prop_assume!(job < end);
            let mut met = 0;
            for shard in Shard::all().filter(|shard| shard.tier == Tier::Fresh) {
                let mut at = JobId(1);
                while at.0 < end {
                    let (from, to) = shard.block_at(at);
                    prop_assert!(from >= at && to > from);
                    met += u32::from(from.0 <= job && job < to.0 && job < end);
                    at = to;
                }
            }
            prop_assert_eq!(met, 1);
        }

        /// A walk that does what is due is never late.
        #[test]
        fn who_keeps_pace_is_done_in_time(end in 2i64..10_000, steps in 10u32..200) {
            let promised = Duration::from_secs(1000);
            let mut cursor = cursor(1, 1);
            for step in 0..=steps {
                let now = Timestamp(i64::from(step) * 1_000_000 / i64::from(steps));
                while cursor.at.job.0 < end && Standing::of(&cursor, JobId(end), promised, now).is_due() {
                    cursor.at.job.0 += 1;
                }
                let standing = Standing::of(&cursor, JobId(end), promised, now);
                prop_assert!(standing.projected <= 1.0, "{standing:?}");
            }
            prop_assert!(Standing::of(&cursor, JobId(end), promised, Timestamp(1_000_000)).is_over());
        }
    }

    #[test]
    fn who_falls_behind_says_so() {
        let promised = Duration::from_secs(1000);
        let half = Timestamp(500_000);
        let standing = Standing::of(&cursor(0, 10), JobId(100), promised, half);
        assert!(standing.is_due() && !standing.is_over());
        assert!((standing.projected - 5.0).abs() < 0.01, "{standing:?}");
        assert!(Standing::of(&cursor(0, 90), JobId(100), promised, half).projected < 1.0);
    }

    #[test]
    fn a_standing_is_told_in_shares_of_the_way_and_of_the_promised_time() {
        let of = |at, seconds: i64| {
            let now = Timestamp(seconds * 1000);
            Standing::of(&cursor(100, at), JobId(300), Duration::from_secs(1000), now)
        };
        for (at, seconds, walked, due, projected) in [
            (100, 0, 0.0, 0.0, 0.9),
            // A quarter of the way, and half of it should be.
            (150, 450, 0.25, 0.5, 1.8),
            (150, 4500, 0.25, 1.0, 18.0),
            // Not begun yet.
            (100, 450, 0.0, 0.5, 1.35),
            // In time, and ahead.
            (200, 450, 0.5, 0.5, 0.9),
            (250, 450, 0.75, 0.5, 0.9),
            // At the end, and behind it.
            (300, 450, 1.0, 0.5, 0.45),
            (300, 990, 1.0, 1.0, 0.9),
            (400, 450, 1.0, 0.5, 0.45),
        ] {
            let standing = of(at, seconds);
            let is = [standing.walked, standing.due, standing.projected];
            let is_near = is.iter().zip([walked, due, projected]).all(|(is, should)| (is - should).abs() < 1e-9);
            assert!(is_near, "{at} after {seconds} s: {standing:?}");
            assert!((standing.lag() - (due - walked)).abs() < 1e-9, "{standing:?}");
        }
        assert!(of(150, 261).has_time() && !of(150, 279).has_time());
        let just_late = Standing { walked: 0.0, due: WAITS, projected: AIM };
        assert!(!just_late.has_time(), "half of what is left for that is over");
        assert!(of(300, 900).is_over() && !of(300, 899).is_over() && !of(299, 900).is_over());
        assert!(of(299, 900).is_due() && !of(300, 900).is_due() && !of(200, 450).is_due());
    }

    #[test]
    fn behind_the_last_chunk_that_there_can_be_is_the_next_job() {
        let place = |job, index| Place { job: JobId(job), index: ChunkIndex(index) };
        assert_eq!(behind(JobId(7), ChunkIndex(3)), place(7, 4));
        assert_eq!(behind(JobId(7), ChunkIndex(u32::MAX)), place(8, 0));
    }

    #[test]
    fn the_shards_of_two_tiers_have_the_same_jobs() {
        for shard in Shard::all() {
            let other = shard.in_tier(Tier::Old);
            assert_eq!(
                (other.tier, other.number, other.block_at(JobId(5))),
                (Tier::Old, shard.number, shard.block_at(JobId(5)))
            );
        }
        assert_eq!(Shard::all().map(|shard| shard.to_string()).nth(17).as_deref(), Some("old/01"));
    }

    #[test]
    fn nothing_to_walk_is_over_when_its_time_is() {
        let promised = Duration::from_secs(1000);
        let early = Standing::of(&cursor(1, 1), JobId(1), promised, Timestamp(1));
        assert!(!early.is_due() && !early.is_over(), "{early:?}");
        let late = Standing::of(&cursor(1, 1), JobId(1), promised, Timestamp(1_000_000));
        assert!(late.is_over(), "{late:?}");
    }
}
