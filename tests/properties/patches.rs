//! However a log is cut into patches, the open end makes the same chunks of it.

use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::prelude::*;
use veritail::trace::checksum::combine;
use veritail::trace::{ByteSize, ChunkId, ChunkIndex, ChunkSize, Crc32, Epoch, Offset, OpenEnd, Record};

/// The live store and the records, as appends leave them.
#[derive(Debug, Default, PartialEq)]
pub struct Kept {
    pub chunks: BTreeMap<ChunkId, Vec<u8>>,
    pub records: BTreeMap<ChunkIndex, Record>,
}

impl Kept {
    /// Stores a patch as the pipeline does: no slice reaches over a chunk's end.
    pub fn append(&mut self, end: &OpenEnd, patch: &[u8]) -> OpenEnd {
        let (mut end, mut rest) = (end.clone(), patch);
        while !rest.is_empty() {
            let (slice, more) = rest.split_at(rest.len().min(end.room().as_usize()));
            let step = end.append(slice).expect("our own");
            let chunk = self.chunks.entry(step.chunk).or_default();
            assert_eq!(ByteSize::of(chunk), step.at);
            chunk.extend_from_slice(slice);
            if let Some(record) = step.seals {
                self.records.insert(step.chunk.index, record);
            }
            (end, rest) = (step.next, more);
        }
        end
    }
}

/// Cuts a log into patches, some of them empty.
pub fn cut(log: &[u8], cuts: &[prop::sample::Index]) -> Vec<Vec<u8>> {
    let mut places: Vec<usize> = cuts.iter().map(|cut| cut.index(log.len() + 1)).collect();
    places.sort_unstable();
    let ends = places.iter().copied().chain([log.len()]);
    let starts = [0].into_iter().chain(places.iter().copied());
    starts.zip(ends).map(|(start, end)| log[start..end].to_vec()).collect()
}

proptest! {
    #[test]
    fn any_cut_gives_the_same_chunks(log in vec(any::<u8>(), 0..600), size in 1u32..100, cuts in vec(any::<prop::sample::Index>(), 0..20)) {
        let size = ChunkSize::new(size).expect("in range");
        let (mut end, mut kept) = (OpenEnd::new(Epoch::FIRST, size), Kept::default());
        let mut sent = 0;
        for patch in cut(&log, &cuts) {
            end = kept.append(&end, &patch);
            sent += patch.len() as u64;
            prop_assert_eq!((end.length(), end.write_position(), end.readable()), (Offset(sent), Offset(sent), Offset(sent)));
            prop_assert!(!end.room().is_zero() && end.is_readable());
        }
        let (mut at_once, mut whole) = (OpenEnd::new(Epoch::FIRST, size), Kept::default());
        at_once = whole.append(&at_once, &log);
        prop_assert_eq!(&end, &at_once, "also the open end is the same, byte for byte");
        prop_assert_eq!(&kept, &whole);
        prop_assert!(kept.chunks.keys().all(|chunk| chunk.epoch == Epoch::FIRST), "named by the epoch of their first byte");

        if let Some(sealed) = end.seal_tail().expect("our own") {
            prop_assert!(sealed.seal_tail().expect("our own").is_none(), "sealed once");
            let tail = sealed.tail.chunk.index;
            kept.records.insert(tail, sealed.sealed[&tail].record);
        }
        let chunks: Vec<&[u8]> = log.chunks(size.bytes().as_usize()).collect();
        let records: Vec<Record> = chunks.iter().map(|chunk| Record::of(chunk)).collect();
        prop_assert_eq!(kept.records.into_values().collect::<Vec<_>>(), records.clone());
        prop_assert_eq!(kept.chunks.into_values().collect::<Vec<_>>(), chunks);
        prop_assert_eq!(combine(&records), (ByteSize::of(&log), Crc32::of(&log)));
    }

    #[test]
    fn what_is_promised_of_a_chunk_is_what_was_written(log in vec(any::<u8>(), 1..300), size in 1u32..50, recorded in any::<u64>()) {
        let size = ChunkSize::new(size).expect("in range");
        let mut kept = Kept::default();
        let end = kept.append(&OpenEnd::new(Epoch::FIRST, size), &log);
        let left_out = |index: ChunkIndex| recorded >> (index.0 % 64) & 1 == 1;
        let end = end.without_recorded(|index, _| left_out(index));
        for (at, chunk) in log.chunks(size.bytes().as_usize()).enumerate() {
            let index = ChunkIndex(u32::try_from(at).expect("few"));
            let promised = end.promised(index).map(|(_, record)| record);
            let is_full = chunk.len() == size.bytes().as_usize();
            let expected = (!is_full || !left_out(index)).then(|| Record::of(chunk));
            prop_assert_eq!(promised, expected);
        }
    }
}
