//! The one judgement, as a table: every way in which a copy can be seen, against its record.

use proptest::collection::vec;
use proptest::prelude::*;
use veritail::trace::state::StoredObject;
use veritail::trace::verdict::{Seen, judge};
use veritail::trace::{ByteSize, Kind, Look, Record, Sha256, Stored};

/// The same bytes, other bytes of the same size, fewer, and more.
fn others(bytes: &[u8], at: prop::sample::Index) -> [Vec<u8>; 4] {
    let mut flipped = bytes.to_vec();
    let at = at.index(bytes.len());
    flipped[at] = !flipped[at];
    [bytes.to_vec(), flipped, bytes[..at].to_vec(), [bytes, b"x"].concat()]
}

const RAW: [Look; 4] =
    [Look::Sound, Look::Differs(Kind::Checksum), Look::Differs(Kind::Size), Look::Differs(Kind::Size)];
const UNDECODABLE: Look = Look::Differs(Kind::Undecodable);
const RECORD: Look = Look::Differs(Kind::Record);

proptest! {
    #[test]
    fn every_relation_of_copy_and_record_has_its_look(chunk in vec(any::<u8>(), 1..200), object in vec(any::<u8>(), 1..200), at in any::<prop::sample::Index>()) {
        let record = Record::of(&chunk);
        prop_assert_eq!(judge(&record, Seen::Absent), Look::Differs(Kind::Missing));
        prop_assert_eq!(judge(&record, Seen::Unreachable), Look::Unreachable);
        for (raw, look) in others(&chunk, at).iter().zip(RAW) {
            prop_assert_eq!(judge(&record, Seen::Raw(Record::of(raw))), look);
        }
        let written = StoredObject { key: "key".to_owned(), size: ByteSize::of(&object), sha256: Sha256::of(&object) };
        for (stored, of_stored) in others(&object, at).iter().zip(RAW) {
            let decoded = others(&chunk, at);
            let of_decoded = [Look::Sound, RECORD, RECORD, RECORD, UNDECODABLE];
            for (decoded, look) in decoded.iter().map(|bytes| Some(bytes.as_slice())).chain([None]).zip(of_decoded) {
                // Damage in the store is told from a changed record: the stored bytes are looked at first.
                // But bytes that decode to what was promised are no damage: the row says something wrong of them.
                let look = match (of_stored, look) {
                    (Look::Sound, look) => look,
                    (_, Look::Sound) => RECORD,
                    (of_stored, _) => of_stored,
                };
                let (stored, decoded) = (Stored::of(stored), decoded.map(Record::of));
                prop_assert_eq!(judge(&record, Seen::Object { stored, written: &written, decoded }), look);
            }
        }
    }

    #[test]
    fn a_record_that_differs_in_one_checksum_is_what_is_wrong(chunk in vec(any::<u8>(), 1..200), bit in 0u32..32) {
        let mut record = Record::of(&chunk);
        record.crc32.0 ^= 1 << bit;
        prop_assert_eq!(judge(&record, Seen::Raw(Record::of(&chunk))), Look::Differs(Kind::Record));
        let mut record = Record::of(&chunk);
        record.sha256.0[bit as usize] ^= 1;
        prop_assert_eq!(judge(&record, Seen::Raw(Record::of(&chunk))), Look::Differs(Kind::Record));
    }
}

#[test]
fn only_a_difference_needs_confirmation() {
    for kind in Kind::ALL {
        assert_eq!(Look::Differs(*kind).confirmed_if(true), Look::Differs(*kind));
        assert_eq!(Look::Differs(*kind).confirmed_if(false), Look::Moved);
    }
    for look in [Look::Sound, Look::Moved, Look::Unreachable] {
        assert_eq!((look.confirmed_if(true), look.confirmed_if(false)), (look, look));
    }
}
