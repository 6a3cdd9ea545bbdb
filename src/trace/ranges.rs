//! Ranges of a trace's chunks. A trace may lack billions of chunks that never were, so ranges are never walked chunk by chunk.

use std::ops::Range;

use super::ids::ChunkIndex;

/// Ranges of chunk numbers: in order, none empty, none touches the next. Ends are not part of them, so they may be 2^32.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ranges(Vec<Range<u64>>);

impl Ranges {
    /// Puts one behind all others, or joins it with the last. It begins no sooner than that one.
    pub(super) fn push(&mut self, range: Range<u64>) {
        match self.0.last_mut() {
            _ if range.is_empty() => {}
            Some(last) if last.end >= range.start => last.end = last.end.max(range.end),
            _ => self.0.push(range),
        }
    }

    /// True if there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The ranges, in order.
    pub fn iter(&self) -> impl Iterator<Item = Range<u64>> {
        self.0.iter().cloned()
    }

    /// True if the chunk is in one of them.
    pub fn contains(&self, index: ChunkIndex) -> bool {
        let index = u64::from(index.0);
        let behind = self.0.partition_point(|range| range.end <= index);
        self.0.get(behind).is_some_and(|range| range.contains(&index))
    }

    /// What of them is in none of `others`.
    #[must_use]
    pub fn without(&self, others: &Self) -> Self {
        let (mut left, mut others) = (Self::default(), others.0.iter().peekable());
        for range in self.iter() {
            let mut at = range.start;
            while let Some(other) = others.peek().filter(|other| other.start < range.end) {
                left.push(at..other.start);
                at = at.max(other.end);
                if other.end > range.end {
                    // It reaches into the next one.
                    break;
                }
                others.next();
            }
            left.push(at..range.end);
        }
        left
    }
}

impl FromIterator<Range<u64>> for Ranges {
    /// From ranges in any order, which may overlap.
    fn from_iter<T: IntoIterator<Item = Range<u64>>>(ranges: T) -> Self {
        let mut all: Vec<Range<u64>> = ranges.into_iter().collect();
        all.sort_by_key(|range| range.start);
        let mut joined = Self::default();
        all.into_iter().for_each(|range| joined.push(range));
        joined
    }
}

impl FromIterator<ChunkIndex> for Ranges {
    /// Of single chunks, in any order.
    fn from_iter<T: IntoIterator<Item = ChunkIndex>>(chunks: T) -> Self {
        chunks.into_iter().map(|index| u64::from(index.0)..u64::from(index.0) + 1).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn chunks(ranges: &Ranges) -> BTreeSet<u64> {
        ranges.iter().flatten().collect()
    }

    fn any_ranges() -> impl Strategy<Value = Vec<Range<u64>>> {
        vec((0u64..40, 0u64..6).prop_map(|(start, size)| start..start + size), 0..10)
    }

    proptest! {
        #[test]
        fn they_are_what_sets_of_their_chunks_are(some in any_ranges(), others in any_ranges()) {
            let (ranges, others): (Ranges, Ranges) = (some.iter().cloned().collect(), others.into_iter().collect());
            let expected: BTreeSet<u64> = some.into_iter().flatten().collect();
            prop_assert_eq!(chunks(&ranges), expected.clone());
            let apart = |ranges: &Ranges| ranges.0.windows(2).all(|two| two[0].end < two[1].start);
            prop_assert!(apart(&ranges) && ranges.iter().all(|range| !range.is_empty()));
            prop_assert_eq!(ranges.is_empty(), expected.is_empty());
            for index in 0..50u32 {
                prop_assert_eq!(ranges.contains(ChunkIndex(index)), expected.contains(&u64::from(index)));
            }
            let left = ranges.without(&others);
            prop_assert_eq!(chunks(&left), expected.difference(&chunks(&others)).copied().collect::<BTreeSet<_>>());
            prop_assert!(apart(&left) && left.iter().all(|range| !range.is_empty()));
        }
    }
}
