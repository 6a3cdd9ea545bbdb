//! What records add up to, against a model that keeps the bytes themselves.

use proptest::collection::vec;
use proptest::prelude::*;
use veritail::trace::proof::{Finding, Whole, persistent_record};
use veritail::trace::ranges::Ranges;
use veritail::trace::state::StoredObject;
use veritail::trace::{
    ByteSize, ChunkIndex, ChunkRow, ChunkSize, ChunkState, Claim, Crc32, Epoch, Location, Offset, Record, Sha256,
    Version,
};

/// What is known of one chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Known {
    NoRow,
    Open,
    Sealed,
    Persisted,
    /// Asked for again, and a good copy is kept.
    Kept,
    /// Lost, with a record.
    Lost,
    /// Lost before it was recorded.
    NeverRecorded,
}

impl Known {
    fn has_good_bytes(self) -> bool {
        matches!(self, Self::Persisted | Self::Kept)
    }

    /// Whether the trace is known to reach to the end of such a chunk.
    fn reaches(self) -> bool {
        self.has_good_bytes() || self == Self::Lost
    }

    fn row(self, index: usize, bytes: &[u8]) -> Option<ChunkRow> {
        let record = Record::of(bytes);
        let object = StoredObject { key: index.to_string(), size: record.size, sha256: Sha256::of(bytes) };
        let at = Location::Object(object);
        let asked_in = Epoch(2);
        let state = match self {
            Self::NoRow => return None,
            Self::Open => ChunkState::Open,
            Self::Sealed => ChunkState::Sealed { record },
            Self::Persisted => ChunkState::Persisted { record, at },
            Self::Kept => ChunkState::Wanted { record: Some(record), kept: Some(at), asked_in },
            Self::Lost => ChunkState::Wanted { record: Some(record), kept: None, asked_in },
            Self::NeverRecorded => ChunkState::Wanted { record: None, kept: None, asked_in },
        };
        let index = ChunkIndex(u32::try_from(index).expect("few"));
        Some(ChunkRow { index, epoch: Epoch::FIRST, version: Version::FIRST, persisted_at: None, state })
    }
}

fn any_known() -> impl Strategy<Value = Known> {
    use Known::{Kept, Lost, NeverRecorded, NoRow, Open, Persisted, Sealed};
    prop_oneof![
        8 => Just(Persisted), 2 => Just(Kept), 1 => Just(Lost),
        1 => prop_oneof![Just(NoRow), Just(Open), Just(Sealed), Just(NeverRecorded)],
    ]
}

proptest! {
    #[test]
    fn a_whole_is_what_its_bytes_say(
        log in vec(any::<u8>(), 0..60), size in 1usize..12, known in vec(any_known(), 60),
        acknowledged in 0u64..70, right in any::<bool>(), claims in any::<bool>(), with_size in any::<bool>(), more in 0u64..3
    ) {
        let chunks: Vec<(Known, &[u8])> = known.into_iter().zip(log.chunks(size)).collect();
        let rows: Vec<ChunkRow> = chunks.iter().enumerate().filter_map(|(at, (known, bytes))| known.row(at, bytes)).collect();
        let chunk_size = ChunkSize::new(u32::try_from(size).expect("small")).expect("in range");
        let whole = Whole::of(&rows, chunk_size);

        let reached = chunks.iter().rposition(|(known, _)| known.reaches()).map_or(0, |last| last + 1);
        let holes: Vec<ChunkIndex> = (0u32..).zip(&chunks[..reached]).filter(|(_, (known, _))| !known.has_good_bytes()).map(|(at, _)| ChunkIndex(at)).collect();
        let bytes: Vec<u8> = chunks[..reached].iter().flat_map(|(_, bytes)| bytes.iter().copied()).collect();
        prop_assert_eq!(whole.length, Offset(bytes.len() as u64));
        prop_assert_eq!(whole.crc32, holes.is_empty().then(|| Crc32::of(&bytes)));
        prop_assert_eq!(whole.holes(), &holes.iter().copied().collect());

        let claim = claims.then(|| Claim {
            crc32: if right { Crc32::of(&bytes) } else { Crc32(!Crc32::of(&bytes).0) },
            size: with_size.then_some(ByteSize(bytes.len() as u64 + more)),
        });
        let claimed = claim.and_then(|claim| claim.size).map_or(0, |size| size.0);
        let is_equal = holes.is_empty() && claims && right && (!with_size || more == 0);
        let is_missing = !holes.is_empty() || (bytes.len() as u64) < acknowledged.max(claimed);
        let expected = match (is_equal, is_missing, claims) {
            (true, _, _) => Finding::Equal,
            (_, true, _) => Finding::Missing,
            (_, _, false) => Finding::Unclaimed,
            (_, _, true) => Finding::Disagrees,
        };
        prop_assert_eq!(whole.finding(Offset(acknowledged), claim.as_ref()), expected);
        prop_assert_eq!(Whole::required(Offset(acknowledged), claim.as_ref()), Offset(acknowledged.max(claimed)));
    }
}

/// Chunk by chunk up to the length, whichever rows there are: the first one of a number counts.
fn by_spans(rows: &[ChunkRow], chunk_size: ChunkSize, length: Offset) -> (Option<Crc32>, Ranges) {
    let (mut crc32, mut holes) = (Some(Crc32::default()), Vec::new());
    for span in chunk_size.spans(Offset::ZERO, length) {
        let row = rows.iter().find(|row| row.index == span.index);
        match row.and_then(persistent_record).filter(|record| record.size == span.to) {
            Some(record) => crc32 = crc32.map(|crc| crc.then(record.crc32, record.size)),
            None => {
                holes.push(span.index);
                crc32 = None;
            }
        }
    }
    (crc32, holes.into_iter().collect())
}

proptest! {
    /// Records of no bytes, too short, too long, and two of a number.
    #[test]
    fn rows_that_cannot_be_are_added_up_chunk_by_chunk(
        rows in vec((any_known(), 0usize..12, vec(any::<u8>(), 0..8)), 0..12), size in 1u32..6
    ) {
        let mut rows: Vec<ChunkRow> = rows.iter().filter_map(|(known, at, bytes)| known.row(*at, bytes)).collect();
        rows.sort_by_key(|row| row.index);
        let chunk_size = ChunkSize::new(size).expect("in range");
        let whole = Whole::of(&rows, chunk_size);
        prop_assert_eq!((whole.crc32, whole.holes().clone()), by_spans(&rows, chunk_size, whole.length));
    }
}

/// Its number changed, in a database that somebody wrote to by hand.
#[test]
fn a_row_far_behind_all_others_costs_what_a_row_costs() {
    let far = ChunkRow { index: ChunkIndex(u32::MAX), ..Known::Persisted.row(0, b"x").expect("a row") };
    let rows = [Known::Persisted.row(0, b"a log").expect("a row"), far];
    let chunk_size = ChunkSize::new(5).expect("in range");
    let whole = Whole::of(&rows, chunk_size);
    assert_eq!(whole.length, chunk_size.start_of(ChunkIndex(u32::MAX)) + ByteSize(1));
    assert_eq!((whole.crc32, whole.holes()), (None, &std::iter::once(1..u64::from(u32::MAX)).collect()));
}
