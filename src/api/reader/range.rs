//! `Range` as RFC 9110 has it, for one range of bytes.

use crate::trace::{ByteSize, Offset};

/// What of a representation is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// All of it: no range, one that cannot be read, or several (which a server may ignore).
    Whole,
    /// The bytes from the first to before the second; never empty.
    Part(Offset, Offset),
    /// A range that lies behind the end.
    Unsatisfiable,
}

/// Reads a `Range` header for a representation of `size` bytes.
pub(super) fn wanted(header: Option<&str>, size: ByteSize) -> Wanted {
    let Some((unit, set)) = header.and_then(|header| header.split_once('=')) else { return Wanted::Whole };
    if !unit.trim().eq_ignore_ascii_case("bytes") || set.contains(',') {
        return Wanted::Whole;
    }
    let Some((first, last)) = set.trim().split_once('-') else { return Wanted::Whole };
    match (position(first.trim()), position(last.trim())) {
        // The last bytes.
        (Part::Absent, Part::At(length)) => part(size.0.saturating_sub(length), size.0, size),
        (Part::At(from), Part::Absent) => part(from, size.0, size),
        (Part::At(from), Part::At(last)) if from <= last => part(from, last.saturating_add(1).min(size.0), size),
        _ => Wanted::Whole,
    }
}

fn part(from: u64, to: u64, size: ByteSize) -> Wanted {
    if from >= size.0 || from >= to { Wanted::Unsatisfiable } else { Wanted::Part(Offset(from), Offset(to)) }
}

enum Part {
    Absent,
    At(u64),
    Nonsense,
}

/// A position; digits beyond 2^64 mean "behind everything".
fn position(text: &str) -> Part {
    if text.is_empty() {
        Part::Absent
    } else if text.bytes().all(|b| b.is_ascii_digit()) {
        Part::At(text.parse().unwrap_or(u64::MAX))
    } else {
        Part::Nonsense
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ranges_are_read_as_rfc_9110_has_them() {
        let part = |from, to| Wanted::Part(Offset(from), Offset(to));
        let cases = [
            (None, Wanted::Whole),
            (Some("bytes=0-0"), part(0, 1)),
            (Some("bytes=2-4"), part(2, 5)),
            (Some("Bytes = 2-"), part(2, 10)),
            (Some("bytes=-3"), part(7, 10)),
            (Some("bytes=-30"), part(0, 10)),
            (Some("bytes=9-99"), part(9, 10)),
            (Some("bytes=0-18446744073709551615"), part(0, 10)),
            (Some("bytes=0-99999999999999999999999"), part(0, 10)),
            (Some("bytes=10-"), Wanted::Unsatisfiable),
            (Some("bytes=99999999999999999999999-"), Wanted::Unsatisfiable),
            (Some("bytes=-0"), Wanted::Unsatisfiable),
            (Some("bytes=5-4"), Wanted::Whole),
            (Some("bytes=-"), Wanted::Whole),
            (Some("bytes=a-b"), Wanted::Whole),
            (Some("bytes=+1-2"), Wanted::Whole),
            (Some("bytes=0-1,3-4"), Wanted::Whole),
            (Some("lines=0-1"), Wanted::Whole),
            (Some("0-1"), Wanted::Whole),
        ];
        for (header, expected) in cases {
            assert_eq!(wanted(header, ByteSize(10)), expected, "{header:?}");
        }
        assert_eq!(wanted(Some("bytes=0-"), ByteSize(0)), Wanted::Unsatisfiable);
        assert_eq!(wanted(Some("bytes=-5"), ByteSize(0)), Wanted::Unsatisfiable);
    }

    proptest! {
        #[test]
        fn a_part_is_never_empty_and_never_leaves_the_representation(
            header in "(bytes=)?[0-9]{0,21}-?[0-9]{0,21}|.*", size in 0u64..1000,
        ) {
            if let Wanted::Part(from, to) = wanted(Some(&header), ByteSize(size)) {
                prop_assert!(from < to && to <= Offset(size));
            }
        }

        #[test]
        fn every_byte_can_be_asked_for(size in 1u64..1000, at in 0u64..1000) {
            prop_assume!(at < size);
            prop_assert_eq!(wanted(Some(&format!("bytes={at}-{at}")), ByteSize(size)), Wanted::Part(Offset(at), Offset(at + 1)));
        }
    }
}
