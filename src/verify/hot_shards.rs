//! The shards that jobs are dealt out to for the hot run, and how the scope of a run says which of them it was for. Pure.

use std::fmt;
use std::str::FromStr;

use crate::trace::JobId;

/// Jobs are dealt out to so many turns.
const SHARDS: u32 = 16;
const ALL: &str = "all shards";
const SOME: &str = "shards ";

/// Some of the shards. As a text: `all shards`, `shards 0-4, 9`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct HotShards(u16);

impl HotShards {
    /// All numbers of shards.
    pub(super) fn numbers() -> impl Iterator<Item = u32> {
        0..SHARDS
    }

    /// Whether the job is in one of them.
    pub(super) fn have(self, job: JobId) -> bool {
        u32::try_from(job.0.rem_euclid(SHARDS.into())).is_ok_and(|shard| self.has(shard))
    }

    /// Those of these that are not in `other`.
    pub(super) fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// True if there are none.
    pub(super) fn is_empty(self) -> bool {
        self.0 == 0
    }

    fn has(self, shard: u32) -> bool {
        shard < SHARDS && self.0 & (1 << shard) != 0
    }
}

impl FromIterator<u32> for HotShards {
    fn from_iter<I: IntoIterator<Item = u32>>(shards: I) -> Self {
        Self(shards.into_iter().filter(|shard| *shard < SHARDS).fold(0, |all, shard| all | 1 << shard))
    }
}

impl fmt::Display for HotShards {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == u16::MAX {
            return f.write_str(ALL);
        }
        f.write_str(SOME)?;
        let (mut separator, mut shard) = ("", 0);
        while shard < SHARDS {
            let first = shard;
            while self.has(shard) {
                shard += 1;
            }
            match shard - first {
                0 => {}
                1 => write!(f, "{separator}{first}")?,
                _ => write!(f, "{separator}{first}-{}", shard - 1)?,
            }
            separator = if shard > first { ", " } else { separator };
            shard += 1;
        }
        Ok(())
    }
}

/// The scope is none of this run's.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NoShards;

impl FromStr for HotShards {
    type Err = NoShards;

    fn from_str(text: &str) -> Result<Self, NoShards> {
        if text == ALL {
            return Ok(Self(u16::MAX));
        }
        let number = |text: &str| text.parse().ok().filter(|shard: &u32| *shard < SHARDS).ok_or(NoShards);
        let mut shards = Self::default();
        for range in text.strip_prefix(SOME).ok_or(NoShards)?.split(", ") {
            let (first, last) = range.split_once('-').unwrap_or((range, range));
            let range: Self = (number(first)?..=number(last)?).collect();
            shards = Self(shards.0 | range.0);
        }
        Ok(shards)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_scope_says_which_shards_it_is_of(bits in 1u16..) {
            let shards = HotShards(bits);
            prop_assert_eq!(shards.to_string().parse(), Ok(shards), "{}", shards);
        }

        #[test]
        fn every_job_is_in_one_of_them(job in any::<i64>()) {
            let single = HotShards::numbers().map(|shard| HotShards::from_iter([shard]));
            prop_assert_eq!(single.filter(|shard| shard.have(JobId(job))).count(), 1);
        }
    }

    #[test]
    fn it_reads_as_people_write_it() {
        assert_eq!(HotShards(u16::MAX).to_string(), "all shards");
        assert_eq!(HotShards(0b1000_0010_0001_1111).to_string(), "shards 0-4, 9, 15");
        for text in ["16 of 16 shards", "shards", "shards ", "shards 16", "shards 0-16", "shards 1,2", "job 1", ""] {
            assert_eq!(text.parse::<HotShards>(), Err(NoShards), "{text}");
        }
    }

    #[test]
    fn what_is_said_twice_counts_once_and_what_there_is_not_counts_nothing() {
        assert_eq!("shards 0-3, 2".parse(), Ok(HotShards(0b1111)));
        assert_eq!(HotShards::from_iter([1, 3, 1, SHARDS, SHARDS + 1]), HotShards(0b1010));
    }

    #[test]
    fn what_is_taken_away_is_gone() {
        let (some, others) = (HotShards(0b1110), HotShards(0b0110));
        assert_eq!(some.without(others), HotShards(0b1000));
        assert!(others.without(some).is_empty() && !some.without(others).is_empty());
    }
}
