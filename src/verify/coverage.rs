//! How well everything is covered: what the cursors of the full run say of the age of each look.

use std::time::Duration;

use crate::store::database::verifications::Cursor;
use crate::telemetry::verification as telemetry;
use crate::trace::{Schedule, Timestamp};

use super::Verifier;
use super::shards::{Shard, Standing};

/// How a shard is covered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Covered {
    /// Chunks in it, as its last whole cycle or the present one counted.
    pub(super) eligible: u64,
    /// Those looked at within the promised time.
    pub(super) covered: u64,
    /// Time since the look that is longest ago.
    pub(super) oldest: Duration,
}

impl Verifier {
    /// Shows how the full run stands.
    pub(super) fn show_coverage(&self, shards: &[(Shard, Standing, Cursor)]) {
        let (all, projected) = self.coverage(shards);
        let oldest_ms = u64::try_from(all.oldest.as_millis()).unwrap_or(u64::MAX);
        telemetry::coverage(all.eligible, all.covered, oldest_ms, projected);
        let ended = shards.iter().filter_map(|(_, _, cursor)| cursor.previous.map(|cycle| cycle.ended_at)).min();
        if let Some(ended) = ended.filter(|_| shards.iter().all(|(_, _, cursor)| cursor.previous.is_some())) {
            telemetry::completed(Schedule::Full, ended);
        }
    }

    /// All shards together, and how long the slowest will take as a share of the promised time.
    pub(super) fn coverage(&self, shards: &[(Shard, Standing, Cursor)]) -> (Covered, f64) {
        let now = self.now();
        let mut all = Covered { eligible: 0, covered: 0, oldest: Duration::ZERO };
        let mut projected = 0.0_f64;
        for (shard, standing, cursor) in shards {
            let covered = covered(cursor, standing.walked, self.promised(shard.tier), now);
            all.eligible += covered.eligible;
            all.covered += covered.covered;
            // Where nothing lies, nothing is old.
            if covered.eligible > 0 {
                all.oldest = all.oldest.max(covered.oldest);
            }
            projected = projected.max(standing.projected);
        }
        (all, projected)
    }
}

/// What was walked in this cycle was looked at since it began; the chunk that comes next, in the cycle before at the same
/// share of the way. Before the first cycle nothing was.
#[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share")]
fn covered(cursor: &Cursor, walked: f64, promised: Duration, now: Timestamp) -> Covered {
    let seen = cursor.tally.chunks;
    let Some(previous) = cursor.previous else {
        let oldest = if walked >= 1.0 { Duration::ZERO } else { now.since(cursor.started_at) };
        return Covered { eligible: seen, covered: seen, oldest };
    };
    let eligible = previous.chunks.max(seen);
    let took = previous.ended_at.since(previous.started_at);
    let last_look = previous.started_at.after(took.mul_f64(walked.clamp(0.0, 1.0)));
    let oldest = if walked >= 1.0 { now.since(cursor.started_at) } else { now.since(last_look) };
    let covered = if oldest <= promised { eligible } else { (eligible as f64 * walked) as u64 };
    Covered { eligible, covered, oldest }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::database::verifications::{Cycle, Place, RunId};
    use crate::trace::{ChunkIndex, JobId, Tally, Version};

    const PROMISED: Duration = Duration::from_secs(100);

    fn cursor(chunks: u64, previous: Option<Cycle>) -> Cursor {
        Cursor {
            shard: "old/07".to_owned(),
            version: Version(1),
            from: JobId(1),
            to: JobId(11),
            at: Place { job: JobId(1), index: ChunkIndex(0) },
            started_at: Timestamp(100_000),
            tally: Tally { chunks, ..Tally::default() },
            run: RunId(1),
            previous,
        }
    }

    #[test]
    fn in_the_first_cycle_only_what_was_seen_counts() {
        let covered = covered(&cursor(7, None), 0.3, PROMISED, Timestamp(130_000));
        assert_eq!(covered, Covered { eligible: 7, covered: 7, oldest: Duration::from_secs(30) });
    }

    #[test]
    fn at_the_end_of_a_cycle_everything_was_looked_at_since_it_began() {
        let first = covered(&cursor(7, None), 1.0, PROMISED, Timestamp(130_000));
        assert_eq!(first, Covered { eligible: 7, covered: 7, oldest: Duration::ZERO });
        let previous = Cycle { started_at: Timestamp(10_000), ended_at: Timestamp(100_000), chunks: 5 };
        let second = covered(&cursor(7, Some(previous)), 1.0, PROMISED, Timestamp(130_000));
        assert_eq!(second, Covered { eligible: 7, covered: 7, oldest: Duration::from_secs(30) });
    }

    #[test]
    fn a_look_at_the_last_moment_is_in_time() {
        let previous = Cycle { started_at: Timestamp(10_000), ended_at: Timestamp(100_000), chunks: 1000 };
        let at = |now| covered(&cursor(500, Some(previous)), 0.5, PROMISED, Timestamp(now));
        assert_eq!(at(155_000), Covered { eligible: 1000, covered: 1000, oldest: PROMISED });
        assert_eq!(at(155_001).covered, 500);
    }

    #[test]
    fn in_time_all_is_covered_and_the_next_chunk_is_the_oldest() {
        let previous = Cycle { started_at: Timestamp(10_000), ended_at: Timestamp(100_000), chunks: 1000 };
        let covered = covered(&cursor(500, Some(previous)), 0.5, PROMISED, Timestamp(150_000));
        assert_eq!(covered, Covered { eligible: 1000, covered: 1000, oldest: Duration::from_secs(95) });
    }

    #[test]
    fn a_late_walk_covers_what_lies_behind_it() {
        let previous = Cycle { started_at: Timestamp(10_000), ended_at: Timestamp(100_000), chunks: 1000 };
        let covered = covered(&cursor(100, Some(previous)), 0.1, PROMISED, Timestamp(250_000));
        assert_eq!((covered.eligible, covered.covered), (1000, 100));
        assert_eq!(covered.oldest, Duration::from_secs(231));
    }
}
