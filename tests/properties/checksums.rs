//! Checksums that are computed in parts are those of the whole.

use proptest::collection::vec;
use proptest::prelude::*;
use veritail::trace::checksum::combine;
use veritail::trace::{ByteSize, Crc32, Midstate, Record};

/// What a node writes and another reads.
fn stored(midstate: &Midstate) -> String {
    serde_json::to_string(midstate).expect("a midstate is a text")
}

/// A midstate of these bytes, however senseless.
fn of_bytes(bytes: &[u8]) -> Midstate {
    serde_json::from_value(hex::encode(bytes).into()).expect("hexadecimal digits")
}

fn bytes_of(midstate: &Midstate) -> Vec<u8> {
    let text: String = serde_json::from_str(&stored(midstate)).expect("a text");
    hex::decode(text).expect("hexadecimal digits")
}

/// Bytes of the first format, in which a midstate was whole: 13 of ours, 40 of SHA-256's, and its buffer of 64.
const WHOLE: usize = 117;

proptest! {
    #[test]
    fn crcs_of_parts_combine_to_that_of_the_whole(parts in vec(vec(any::<u8>(), 0..300), 0..8)) {
        let whole = parts.concat();
        let records: Vec<Record> = parts.iter().map(|part| Record::of(part)).collect();
        prop_assert_eq!(combine(&records), (ByteSize::of(&whole), Crc32::of(&whole)));
        let chained = parts.iter().fold(Crc32::default(), |crc, part| crc.then(Crc32::of(part), ByteSize::of(part)));
        prop_assert_eq!(chained, Crc32::of(&whole));
    }

    #[test]
    fn a_midstate_goes_on_anywhere_and_ends_like_the_direct_digest(parts in vec(vec(any::<u8>(), 0..200), 0..8)) {
        let mut midstate = Midstate::empty();
        for part in &parts {
            let elsewhere: Midstate = serde_json::from_str(&stored(&midstate)).expect("as it was written");
            prop_assert_eq!(&elsewhere, &midstate);
            midstate = elsewhere.absorb(part).expect("our own");
        }
        prop_assert_eq!(midstate.record().expect("our own"), Record::of(&parts.concat()));
        // 13 bytes of ours and 41 of SHA-256, whose blocks have 64.
        prop_assert_eq!(bytes_of(&midstate).len(), 13 + 41 + parts.concat().len() % 64);
        // The state of the same bytes is the same, however they came: nodes compare states byte for byte.
        prop_assert_eq!(midstate, Midstate::empty().absorb(&parts.concat()).expect("our own"));
    }

    #[test]
    fn a_midstate_of_another_format_or_length_is_refused(log in vec(any::<u8>(), 0..200), format in any::<u8>(), cut in any::<prop::sample::Index>()) {
        let bytes = bytes_of(&Midstate::empty().absorb(&log).expect("our own"));
        let mut other = bytes.clone();
        other[0] = format;
        let readable = format == bytes[0] || format == 1 && bytes.len() == WHOLE;
        prop_assert_eq!(of_bytes(&other).record().is_ok(), readable);
        prop_assert_eq!(of_bytes(&other).absorb(b"x").is_ok(), readable);
        let short = of_bytes(&bytes[..cut.index(bytes.len())]);
        prop_assert!(short.record().is_err() && short.absorb(b"x").is_err());
        let long = of_bytes(&[bytes, vec![0]].concat());
        prop_assert!(long.record().is_err() && long.absorb(b"x").is_err());
    }

    /// As it was written at first: with the whole buffer, whose unused end is zeros.
    #[test]
    fn a_midstate_of_the_first_format_is_gone_on_from_and_refused_if_it_is_not_whole(log in vec(any::<u8>(), 0..200), more in vec(any::<u8>(), 0..80), at in any::<prop::sample::Index>(), to in 1u8..) {
        let newest = Midstate::empty().absorb(&log).expect("our own");
        let mut bytes = bytes_of(&newest);
        let used = bytes.len();
        bytes[0] = 1;
        bytes.resize(WHOLE, 0);
        let whole = of_bytes(&bytes);
        prop_assert_eq!(whole.record().expect("it is still read"), Record::of(&log));
        prop_assert_eq!(whole.absorb(&more).expect("it is still read"), newest.absorb(&more).expect("our own"));
        prop_assume!(used < WHOLE);
        let unused = used + at.index(WHOLE - used);
        prop_assert!(of_bytes(&bytes[..unused]).record().is_err(), "cut at {}", unused);
        bytes[unused] = to;
        prop_assert!(of_bytes(&bytes).record().is_err(), "byte {} of the unused end", unused);
    }

    /// The size stands in it twice: beside the digest's state, and in it.
    #[test]
    fn a_midstate_that_contradicts_itself_is_refused(log in vec(any::<u8>(), 0..200), at in prop_oneof![5usize..13, 45usize..54], to in any::<u8>()) {
        let bytes = bytes_of(&Midstate::empty().absorb(&log).expect("our own"));
        let mut damaged = bytes.clone();
        damaged[at] = to;
        prop_assert_eq!(of_bytes(&damaged).record().is_ok(), damaged == bytes);
        prop_assert_eq!(of_bytes(&damaged).absorb(b"x").is_ok(), damaged == bytes);
    }

    #[test]
    fn no_midstate_makes_going_on_panic(noise in vec(any::<u8>(), 0..140), log in vec(any::<u8>(), 0..80), at in any::<prop::sample::Index>(), to in any::<u8>(), size in any::<u64>(), more in vec(any::<u8>(), 0..80)) {
        let bytes = bytes_of(&Midstate::empty().absorb(&log).expect("our own"));
        let (mut flipped, mut resized, mut greatest) = (bytes.clone(), bytes.clone(), bytes.clone());
        flipped[at.index(bytes.len())] = to;
        resized[5..13].copy_from_slice(&size.to_be_bytes());
        greatest[5..13].copy_from_slice(&u64::MAX.to_be_bytes());
        for damaged in [noise, flipped, resized, greatest] {
            let damaged = of_bytes(&damaged);
            let _ = format!("{damaged:?}");
            let _ = damaged.record();
            if let Ok(next) = damaged.absorb(&more) {
                let _ = next.record();
            }
        }
    }
}
