//! The one judgement: does what was seen equal what was promised?
//!
//! Migration, reads, finalize and the verifier all look at copies through [`judge`]; only they fetch, only this decides.

use super::checksum::{Record, Stored};
use super::ids::ByteSize;
use super::state::{StoredObject, names};

names! {
    /// What is wrong with a copy, a trace or the database's own record.
    Kind {
        /// The size is right, the bytes are not.
        Checksum = "checksum",
        /// The copy has another size.
        Size = "size",
        /// The copy is not there.
        Missing = "missing",
        /// Bytes that were acknowledged were never recorded in a chunk and are gone.
        Gap = "gap",
        /// Bytes that no row names, or that nobody needs any more.
        Orphan = "orphan",
        /// A copy of an earlier epoch where the present one belongs.
        StaleCopy = "stale_copy",
        /// Every chunk is as recorded, the whole is not as it was proven.
        TraceChecksum = "trace_checksum",
        /// The chunks do not add up to the trace's size.
        TraceSize = "trace_size",
        /// The stored bytes are as written and cannot be decoded.
        Undecodable = "undecodable",
        /// The database's own record changed.
        Record = "record",
    }
}

impl Kind {
    /// Whether a log misses something by it, or may. Bytes that nobody names or needs harm none.
    pub fn is_of_a_log(self) -> bool {
        self != Self::Orphan
    }
}

names! {
    /// The stores that can hold a copy; the closed set of the `store` label.
    DataStore {
        /// Redis or Valkey, the live store of a production set-up.
        Redis = "redis",
        /// The live store of a set-up without servers.
        Embedded = "embedded",
        /// The SQL database.
        Database = "database",
        /// The object store.
        ObjectStore = "object_store",
        /// The second copy of archives.
        ArchiveMirror = "archive_mirror",
    }
}

names! {
    /// Who found a mismatch.
    Detector {
        /// An append.
        Append = "append",
        /// Migration from the live to a persistent store.
        Migrate = "migrate",
        /// A reader's request.
        Read = "read",
        /// The evaluation of a finished trace.
        Finalize = "finalize",
        /// The sweeper.
        Sweep = "sweep",
        /// The frequent run over what is live or fresh.
        Hot = "hot",
        /// The continuous run over everything.
        Full = "full",
        /// The comparison of listings.
        Inventory = "inventory",
        /// Archiving.
        Archive = "archive",
        /// A person's command.
        Manual = "manual",
    }
}

names! {
    /// What is known of a whole trace.
    Verdict {
        /// Every byte is persistent, was read back, and the whole equals the runner's claim.
        Verified = "verified",
        /// Not finished.
        Pending = "pending",
        /// Finished as recorded; the runner claimed nothing to compare with.
        Unclaimed = "unclaimed",
        /// Every byte is as recorded, and the runner's claim says otherwise.
        RunnerDisagrees = "runner_disagrees",
        /// Bytes are lost or wrong.
        Corrupt = "corrupt",
        /// Erased on request.
        Erased = "erased",
    }
}

/// What fetching a copy gave.
#[derive(Clone, Copy, Debug)]
pub enum Seen<'a> {
    /// The raw bytes of a live or `database` copy: what their record would be.
    Raw(Record),
    /// An object: its stored bytes, what was written, and what decoding gave (`None`: it failed).
    Object {
        /// The bytes as they lie in the store.
        stored: Stored,
        /// What the row says was written.
        written: &'a StoredObject,
        /// What the record of the decoded bytes would be.
        decoded: Option<Record>,
    },
    /// The store says that there is no such copy.
    Absent,
    /// The store could not be asked.
    Unreachable,
}

/// How a look at a copy ends. Only one of the four is a mismatch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// As recorded.
    Sound,
    /// Different, and how.
    Differs(Kind),
    /// The row changed meanwhile: look again.
    Moved,
    /// The store could not be asked: an error, never a mismatch.
    Unreachable,
}

impl std::fmt::Display for Look {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Sound => f.write_str("sound"),
            Self::Differs(kind) => write!(f, "differs: {kind}"),
            Self::Moved => f.write_str("moved"),
            Self::Unreachable => f.write_str("unreachable"),
        }
    }
}

impl Look {
    /// A difference counts only while the row it was measured against is unchanged.
    #[must_use]
    pub fn confirmed_if(self, row_unchanged: bool) -> Self {
        match self {
            Self::Differs(_) if !row_unchanged => Self::Moved,
            look => look,
        }
    }
}

/// Compares what was seen of a copy with its record.
pub fn judge(record: &Record, seen: Seen<'_>) -> Look {
    match seen {
        Seen::Unreachable => Look::Unreachable,
        Seen::Absent => Look::Differs(Kind::Missing),
        Seen::Raw(found) => compare(record, &found),
        Seen::Object { stored, written, decoded } => {
            let right_size = stored.size == written.size;
            let as_written = right_size && stored.sha256 == written.sha256;
            match (as_written, decoded.map(|found| compare(record, &found))) {
                (true, Some(Look::Sound)) => Look::Sound,
                // The bytes that were promised are there, and the row says something else of what is stored. Or the store
                // kept what it was given, which was read back and compared before a row named it, and the row says
                // something else of the chunk.
                (false, Some(Look::Sound)) | (true, Some(_)) => Look::Differs(Kind::Record),
                (true, None) => Look::Differs(Kind::Undecodable),
                (false, _) => Look::Differs(if right_size { Kind::Checksum } else { Kind::Size }),
            }
        }
    }
}

/// Stored bytes decode to what was promised, and are not what the row says of them. `anew` is what the promised bytes are
/// encoded to now: if that is what the row says, the row is right, and the object changed where it makes no difference,
/// such as in a bit of its frame that means nothing.
pub fn judge_encoding(stored: ByteSize, written: &StoredObject, anew: Stored) -> Look {
    let row_is_right = anew.size == written.size && anew.sha256 == written.sha256;
    Look::Differs(match row_is_right {
        false => Kind::Record,
        true if stored == written.size => Kind::Checksum,
        true => Kind::Size,
    })
}

/// A copy that fits the record in one strong respect and not in another is not what changed: no damage leaves SHA-256
/// as it was, nor size and CRC-32 both.
fn compare(record: &Record, found: &Record) -> Look {
    if found == record {
        Look::Sound
    } else if found.sha256 == record.sha256 || (found.size == record.size && found.crc32 == record.crc32) {
        Look::Differs(Kind::Record)
    } else if found.size == record.size {
        Look::Differs(Kind::Checksum)
    } else {
        Look::Differs(Kind::Size)
    }
}

/// Two copies that differ from the record, each kept by another store, and equal each other: damage does not do that
/// twice in the same way. It is the record that changed.
pub fn agree_against(record: &Record, one: &Record, other: &Record) -> bool {
    one == other && one != record
}

impl Kind {
    /// The store that a difference of this kind is in, if it was seen at a copy in `seen_in`: a wrong record is the
    /// database's, wherever the copy lies that shows it.
    #[must_use]
    pub fn store(self, seen_in: DataStore) -> DataStore {
        if self == Self::Record { DataStore::Database } else { seen_in }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::trace::{Crc32, Sha256};

    fn bytes() -> impl Strategy<Value = Vec<u8>> {
        proptest::collection::vec(any::<u8>(), 0..300)
    }

    fn written(stored: &[u8]) -> StoredObject {
        StoredObject { key: "k".to_owned(), size: ByteSize::of(stored), sha256: Sha256::of(stored) }
    }

    fn object<'a>(stored: &'a [u8], written: &'a StoredObject, decoded: Option<&'a [u8]>) -> Seen<'a> {
        Seen::Object { stored: Stored::of(stored), written, decoded: decoded.map(Record::of) }
    }

    proptest! {
        #[test]
        fn only_equal_bytes_are_sound(promised in bytes(), found in bytes()) {
            let look = judge(&Record::of(&promised), Seen::Raw(Record::of(&found)));
            prop_assert_eq!(look == Look::Sound, promised == found);
        }

        #[test]
        fn one_changed_bit_is_a_checksum_and_a_cut_is_a_size(promised in proptest::collection::vec(any::<u8>(), 1..300), at in any::<prop::sample::Index>(), bit in 0u8..8) {
            let record = Record::of(&promised);
            let mut flipped = promised.clone();
            flipped[at.index(promised.len())] ^= 1 << bit;
            prop_assert_eq!(judge(&record, Seen::Raw(Record::of(&flipped))), Look::Differs(Kind::Checksum));
            let cut = &promised[..at.index(promised.len())];
            prop_assert_eq!(judge(&record, Seen::Raw(Record::of(cut))), Look::Differs(Kind::Size));
        }

        /// Any one field of a record, changed under copies that are right.
        #[test]
        fn a_changed_field_is_a_wrong_record(promised in bytes(), field in 0usize..3, by in 1u32..) {
            let mut record = Record::of(&promised);
            match field {
                0 => record.size = ByteSize(record.size.0 + u64::from(by)),
                1 => record.crc32 = Crc32(record.crc32.0 ^ by),
                _ => record.sha256.0[by as usize % 32] ^= 1,
            }
            let stored = [b"encoded ", promised.as_slice()].concat();
            let written = written(&stored);
            prop_assert_eq!(judge(&record, Seen::Raw(Record::of(&promised))), Look::Differs(Kind::Record));
            prop_assert_eq!(judge(&record, object(&stored, &written, Some(&promised))), Look::Differs(Kind::Record));
        }

        /// What a row says of the stored bytes, changed while they decode to what was promised.
        #[test]
        fn a_changed_word_on_the_stored_bytes_is_a_wrong_record(promised in bytes(), size in any::<bool>()) {
            let stored = [b"encoded ", promised.as_slice()].concat();
            let mut written = written(&stored);
            if size { written.size = ByteSize(written.size.0 + 1) } else { written.sha256.0[0] ^= 1 }
            let seen = object(&stored, &written, Some(&promised));
            prop_assert_eq!(judge(&Record::of(&promised), seen), Look::Differs(Kind::Record));
        }

        /// The object's harmless change, told from a row that changed.
        #[test]
        fn an_object_that_changed_where_it_makes_no_difference_is_the_stores(promised in bytes()) {
            let anew = [b"encoded ", promised.as_slice()].concat();
            let (mut flipped, longer) = (anew.clone(), [&anew[..], b"more"].concat());
            flipped[0] ^= 8;
            prop_assert_eq!(judge_encoding(ByteSize::of(&flipped), &written(&anew), Stored::of(&anew)), Look::Differs(Kind::Checksum));
            prop_assert_eq!(judge_encoding(ByteSize::of(&longer), &written(&anew), Stored::of(&anew)), Look::Differs(Kind::Size));
            prop_assert_eq!(judge_encoding(ByteSize::of(&anew), &written(&flipped), Stored::of(&anew)), Look::Differs(Kind::Record));
        }

        #[test]
        fn stored_bytes_that_changed_are_the_stores_and_others_as_written_the_records(promised in bytes(), other in bytes()) {
            prop_assume!(promised != other);
            let record = Record::of(&promised);
            let (stored, changed) = (vec![1, 2, 3], vec![1, 2, 4]);
            let written = written(&stored);
            for (decoded, as_written) in [(None, Kind::Undecodable), (Some(other.as_slice()), Kind::Record)] {
                prop_assert_eq!(judge(&record, object(&changed, &written, decoded)), Look::Differs(Kind::Checksum));
                prop_assert_eq!(judge(&record, object(&stored[..2], &written, decoded)), Look::Differs(Kind::Size));
                prop_assert_eq!(judge(&record, object(&stored, &written, decoded)), Look::Differs(as_written));
            }
        }
    }

    #[test]
    fn what_could_not_be_seen_is_no_difference_and_what_is_absent_is_one() {
        let record = Record::of(b"bytes");
        assert_eq!(judge(&record, Seen::Unreachable), Look::Unreachable);
        assert_eq!(judge(&record, Seen::Absent), Look::Differs(Kind::Missing));
    }

    /// They are in log lines that people search.
    #[test]
    fn a_look_says_how_it_ended() {
        let looks =
            [Look::Sound, Look::Differs(Kind::Size), Look::Moved, Look::Unreachable].map(|look| look.to_string());
        assert_eq!(looks, ["sound", "differs: size", "moved", "unreachable"]);
    }

    #[test]
    fn a_difference_from_a_row_that_changed_is_none() {
        let differs = Look::Differs(Kind::Checksum);
        assert_eq!(differs.confirmed_if(true), differs);
        assert_eq!(differs.confirmed_if(false), Look::Moved);
        for look in [Look::Sound, Look::Moved, Look::Unreachable] {
            assert_eq!(look.confirmed_if(false), look);
        }
    }

    #[test]
    fn copies_that_agree_speak_against_the_record_and_no_others() {
        let (record, one, other) = (Record::of(b"promised"), Record::of(b"found"), Record::of(b"also"));
        assert!(agree_against(&record, &one, &one));
        assert!(!agree_against(&record, &one, &other));
        assert!(!agree_against(&record, &record, &record));
    }

    #[test]
    fn a_wrong_record_is_the_databases() {
        assert_eq!(Kind::Record.store(DataStore::Redis), DataStore::Database);
        assert_eq!(Kind::Checksum.store(DataStore::Redis), DataStore::Redis);
    }
}
