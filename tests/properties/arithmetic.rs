//! Chunk arithmetic, and the texts that runners send.

use proptest::prelude::*;
use veritail::trace::claim::parse_checksum;
use veritail::trace::content_range::parse_start;
use veritail::trace::{ByteSize, ChunkIndex, ChunkSize, Crc32, Offset};

proptest! {
    #[test]
    fn spans_cover_exactly_what_is_asked(size in 1u32..5000, from in 0u64..200_000, length in 0u64..20_000) {
        let (size, from, to) = (ChunkSize::new(size).expect("in range"), Offset(from), Offset(from + length));
        let mut at = from;
        for span in size.spans(from, to) {
            let start = size.start_of(span.index);
            prop_assert_eq!(start + span.from, at, "in order, without gap or overlap");
            prop_assert!(span.from < span.to && span.to <= size.bytes(), "not empty, and within its chunk");
            at = start + span.to;
        }
        prop_assert_eq!(at, to.max(from));
    }

    #[test]
    fn a_byte_is_in_the_chunk_of_its_index(size in 1u32..=ChunkSize::MAX, at in 0u64..1 << 32) {
        let size = ChunkSize::new(size).expect("in range");
        let index = size.index_of(Offset(at));
        prop_assert!(size.start_of(index) <= Offset(at) && Offset(at) < size.start_of(index.next()));
    }

    #[test]
    fn chunk_sizes_have_limits(size in any::<u32>()) {
        let size = ChunkSize::new(size).ok().map(u32::from);
        prop_assert!(size.is_none_or(|size| (1..=ChunkSize::MAX).contains(&size)));
    }

    #[test]
    fn no_content_range_makes_reading_panic(text in ".*", numbers in "(bytes[ =])?[0-9]{0,22}-{0,2}[0-9]{0,22}(/[0-9*]{0,3})?") {
        let _ = parse_start(&text);
        let _ = parse_start(&numbers);
    }

    /// The end inclusive, exclusive, as a length, with a total, or wrong altogether; only the start counts.
    #[test]
    fn every_spelling_of_a_start_is_read(start in any::<u64>(), end in any::<u64>(), total in any::<u64>()) {
        for text in [
            format!("{start}-{end}"),
            format!("{start}-{end}/{total}"),
            format!("{start}-{end}/*"),
            format!("bytes {start}-{end}/{total}"),
            format!("Bytes={start}-{end}"),
            format!(" {start}-{end} "),
            format!("0{start}-{end}"),
            // The end of no bytes at 0.
            format!("{start}--1"),
        ] {
            prop_assert_eq!(parse_start(&text), Ok(Offset(start)), "{}", text);
        }
        for text in [format!("{start}"), format!("-{end}"), format!("{start}-"), format!("+{start}-{end}"), format!("{start}99999999999999999999-{end}")] {
            prop_assert!(parse_start(&text).is_err(), "{}", text);
        }
    }

    #[test]
    fn a_checksum_is_read_with_and_without_leading_zeros(crc32 in any::<u32>(), low in 0u32..0x10000) {
        for crc32 in [crc32, low] {
            for text in [format!("crc32:{crc32:08x}"), format!("crc32:{crc32:x}"), format!("crc32:{crc32:08X}")] {
                prop_assert_eq!(parse_checksum(&text).ok(), Some(Crc32(crc32)), "{}", text);
            }
            for text in [format!("{crc32:08x}"), format!("crc32:0{crc32:08x}"), format!("md5:{crc32:08x}"), format!("crc32:+{crc32:x}")] {
                prop_assert!(parse_checksum(&text).is_err(), "{}", text);
            }
        }
    }

    #[test]
    fn no_text_makes_reading_a_checksum_panic(text in ".*", rest in ".*") {
        let _ = parse_checksum(&text);
        let _ = parse_checksum(&format!("crc32:{rest}"));
    }
}

#[test]
fn no_bytes_have_no_spans() {
    let size = ChunkSize::new(10).expect("in range");
    assert_eq!(size.spans(Offset(7), Offset(7)).count(), 0);
    assert_eq!(size.spans(Offset(7), Offset(3)).count(), 0);
    // Nor has what lies behind the last chunk that has a number.
    let end = size.start_of(ChunkIndex(u32::MAX)) + size.bytes();
    let last = |from| size.spans(from, Offset(u64::MAX)).map(|span| span.index).collect::<Vec<_>>();
    assert_eq!((last(end), last(Offset(end.0 - 1))), (vec![], vec![ChunkIndex(u32::MAX)]));
    assert_eq!(size.bytes(), ByteSize(10));
}
