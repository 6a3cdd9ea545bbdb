//! How a chunk's bytes are stored: one Zstandard frame, which `zstd -d` opens.
//!
//! The frame says how long its content is and carries zstd's own checksum. Neither is believed: what counts is the
//! record in the database. They are there for people who meet an object without one.

use std::cell::RefCell;

use bytes::Bytes;
use zstd::bulk::{Compressor, Decompressor};
use zstd::zstd_safe::CParameter;

use crate::trace::ByteSize;

/// zstd's own default: logs shrink to a tenth, at some hundred MiB/s.
const LEVEL: i32 = 3;

/// Stored bytes that do not decode to a chunk of the expected size.
#[derive(Debug, thiserror::Error)]
pub enum Undecodable {
    /// There are no bytes at all, which is no frame.
    #[error("the object is empty")]
    Empty,
    /// More memory than there is would be needed.
    #[error("{0} bytes do not fit in memory")]
    TooLarge(ByteSize),
    /// Damaged, cut off, no zstd at all, or longer than expected.
    #[error("not a zstd frame of at most {expected} bytes: {error}")]
    Frame {
        /// The size that the content may have at most.
        expected: ByteSize,
        /// What zstd says.
        error: std::io::Error,
    },
}

thread_local! {
    // Their tables are larger than a chunk: made anew for each, they would cost as much as the work itself.
    static COMPRESSOR: RefCell<Compressor<'static>> = RefCell::new(compressor());
    static DECOMPRESSOR: RefCell<Option<Decompressor<'static>>> = const { RefCell::new(None) };
}

// Only a lack of memory can make these fail, and the buffer is as large as zstd may need.
fn compressor() -> Compressor<'static> {
    let mut compressor = Compressor::new(LEVEL).expect("zstd knows its own default level");
    for parameter in [CParameter::ContentSizeFlag(true), CParameter::ChecksumFlag(true)] {
        compressor.set_parameter(parameter).expect("zstd knows its own flags");
    }
    compressor
}

/// The stored form of `bytes`.
pub fn encode(bytes: &[u8]) -> Vec<u8> {
    COMPRESSOR.with_borrow_mut(|zstd| zstd.compress(bytes)).expect("zstd compresses everything, given room")
}

/// The most that `size` bytes are when they are stored: bytes that do not shrink, and the frame around them.
pub fn stored_max(size: ByteSize) -> ByteSize {
    ByteSize(zstd::zstd_safe::compress_bound(size.as_usize()) as u64)
}

/// The bytes that were stored; at most `expected`. Less is for the caller to judge, more is an error: whatever the frame
/// claims, no more than `expected` bytes are allocated.
pub fn decode(stored: &[u8], expected: ByteSize) -> Result<Bytes, Undecodable> {
    if stored.is_empty() {
        return Err(Undecodable::Empty);
    }
    let mut bytes: Vec<u8> = Vec::new();
    bytes.try_reserve_exact(expected.as_usize()).map_err(|_| Undecodable::TooLarge(expected))?;
    // Decoding at once into a buffer needs no window beside it, however large a one the frame asks for.
    let decoded = DECOMPRESSOR.with_borrow_mut(|zstd| match zstd {
        Some(zstd) => zstd.decompress_to_buffer(stored, &mut bytes),
        none => none.insert(Decompressor::new()?).decompress_to_buffer(stored, &mut bytes),
    });
    decoded.map_err(|error| Undecodable::Frame { expected, error })?;
    Ok(bytes.into())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_was_encoded_is_decoded(bytes in proptest::collection::vec(any::<u8>(), 0..5000)) {
            let decoded = decode(&encode(&bytes), ByteSize::of(&bytes)).unwrap();
            prop_assert_eq!(&decoded[..], &bytes[..]);
        }

        #[test]
        fn anything_else_neither_panics_nor_gives_more_than_expected(
            stored in proptest::collection::vec(any::<u8>(), 0..200),
            expected in 0..1000u64,
        ) {
            if let Ok(bytes) = decode(&stored, ByteSize(expected)) {
                prop_assert!(bytes.len() as u64 <= expected);
            }
        }

        #[test]
        fn a_flipped_byte_is_never_decoded_to_something_else(
            bytes in proptest::collection::vec(0..4u8, 1..2000),
            at in any::<prop::sample::Index>(),
            flip in 1..=255u8,
        ) {
            let mut stored = encode(&bytes);
            let at = at.index(stored.len());
            stored[at] ^= flip;
            if let Ok(decoded) = decode(&stored, ByteSize::of(&bytes)) {
                prop_assert_eq!(&decoded[..], &bytes[..]);
            }
        }
    }

    #[test]
    fn a_frame_that_is_longer_than_expected_is_refused() {
        let bomb = encode(&vec![0; 10_000_000]);
        assert!(bomb.len() < 10_000);
        assert!(matches!(decode(&bomb, ByteSize(100)), Err(Undecodable::Frame { .. })));
    }

    #[test]
    fn a_shorter_frame_is_given_as_it_is() {
        assert_eq!(decode(&encode(b"abc"), ByteSize(100)).unwrap(), "abc");
    }

    #[test]
    fn no_bytes_are_no_frame_and_a_frame_of_no_bytes_is_one() {
        assert!(matches!(decode(b"", ByteSize(0)), Err(Undecodable::Empty)));
        assert_eq!(decode(&encode(b""), ByteSize(0)).unwrap(), "");
    }

    #[test]
    fn an_impossible_size_is_an_error() {
        assert!(matches!(decode(&encode(b"abc"), ByteSize(u64::MAX)), Err(Undecodable::TooLarge(_))));
    }

    #[test]
    fn a_cut_frame_and_bytes_after_it_are_refused() {
        let frame = encode(b"some log");
        assert!(decode(&frame[..frame.len() - 1], ByteSize(8)).is_err());
        assert!(decode(&[&frame[..], b"x"].concat(), ByteSize(8)).is_err());
    }

    #[test]
    fn the_frame_says_its_size_and_has_a_checksum() {
        let frame = encode(b"some log");
        assert_eq!(zstd::zstd_safe::get_frame_content_size(&frame).unwrap(), Some(8));
        assert_eq!(frame[4] & 4, 4, "the checksum flag of the frame header (RFC 8878, 3.1.1.1.1)");
    }
}
