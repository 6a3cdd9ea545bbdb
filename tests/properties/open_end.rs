//! The open end as it is stored: written and read back the same, and refused where it contradicts itself.

use proptest::collection::{btree_set, vec};
use proptest::prelude::*;
use veritail::trace::open_end::{CannotAppend, Head, Unrecorded};
use veritail::trace::{ByteSize, ChunkId, ChunkIndex, ChunkSize, Epoch, Midstate, OpenEnd, Phase, Record};

fn head(index: u32, epoch: u32, bytes: &[u8]) -> Head {
    let midstate = Some(Midstate::empty().absorb(bytes).expect("our own"));
    Head { chunk: ChunkId { index: ChunkIndex(index), epoch: Epoch(epoch) }, size: ByteSize::of(bytes), midstate }
}

prop_compose! {
    /// Any state that appends and rewinds can lead to, and some that they cannot.
    fn any_open_end()(
        tail in 0u32..8, size in 1u32..20, tail_bytes in vec(any::<u8>(), 0..19), fill_bytes in vec(any::<u8>(), 0..19),
        holes in btree_set(0u32..8, 0..4), sealed in btree_set(0u32..8, 0..4),
        epoch in 1u32..4, closing in any::<bool>(), final_length in any::<bool>()
    ) -> OpenEnd {
        let fits = |bytes: &[u8]| bytes[..bytes.len().min(size as usize - 1)].to_vec();
        let holes: std::collections::BTreeSet<_> = holes.into_iter().filter(|hole| *hole < tail).map(ChunkIndex).collect();
        let fill = holes.first().map(|hole| head(hole.0, epoch, &fits(&fill_bytes)));
        let sealed = sealed.into_iter().filter(move |index| *index <= tail);
        let mut tail = head(tail, epoch, &fits(&tail_bytes));
        if final_length && !tail.size.is_zero() {
            tail.midstate = None;
        }
        let record = Record::of(&tail_bytes);
        let sealed = sealed.map(|index| (ChunkIndex(index), Unrecorded { epoch: Epoch(1), record }));
        OpenEnd {
            epoch: Epoch(epoch),
            phase: if closing { Phase::Closing } else { Phase::Open },
            chunk_size: ChunkSize::new(size).expect("in range"),
            tail, holes, fill, sealed: sealed.collect(),
            made_at: closing.then_some(veritail::trace::Timestamp(1_700_000_000_000)),
        }
    }
}

/// Everything that is asked of an open end.
fn use_it(end: &OpenEnd) {
    let _ = (end.length(), end.write_position(), end.readable(), end.room(), end.is_readable());
    (0..10).for_each(|index| {
        let _ = end.promised(ChunkIndex(index));
    });
    let _ = end.seal_tail();
    if end.is_readable() {
        let _ = end.append(&vec![b'x'; end.room().as_usize().min(1 << 20)]);
    } else {
        let _ = end.append(b"x");
    }
}

proptest! {
    #[test]
    fn an_open_end_is_read_as_it_was_written(end in any_open_end()) {
        let raw = end.encode();
        let read = OpenEnd::decode(&raw).expect("our own");
        prop_assert_eq!(&read, &end);
        prop_assert_eq!(read.encode(), raw, "nodes compare entries byte for byte");
        use_it(&read);
    }

    #[test]
    fn an_open_end_that_contradicts_itself_is_refused(end in any_open_end()) {
        let full = end.chunk_size.bytes();
        let mut contradictions = Vec::new();
        let mut with = |change: &dyn Fn(&mut OpenEnd)| {
            let mut changed = end.clone();
            change(&mut changed);
            contradictions.push(changed);
        };
        with(&|end| end.tail.size = full);
        with(&|end| { end.holes.insert(end.tail.chunk.index); end.fill.get_or_insert_with(|| Head::empty(end.tail.chunk.index, end.epoch)); });
        with(&|end| { end.holes.insert(end.tail.chunk.index.next()); });
        with(&|end| {
            let record = Record::of(b"x");
            end.sealed.insert(end.tail.chunk.index.next(), Unrecorded { epoch: Epoch(1), record });
        });
        match end.fill {
            Some(_) => {
                with(&|end| end.fill = None);
                with(&|end| end.holes.clear());
                with(&|end| if let Some(fill) = &mut end.fill { fill.size = full; });
                with(&|end| if let Some(fill) = &mut end.fill { fill.chunk.index = fill.chunk.index.next(); });
            }
            None => with(&|end| end.fill = Some(Head::empty(ChunkIndex(0), end.epoch))),
        }
        for changed in contradictions {
            prop_assert!(OpenEnd::decode(&changed.encode()).is_err(), "{:?}", changed);
        }
    }

    #[test]
    fn no_bytes_make_reading_an_open_end_panic(noise in vec(any::<u8>(), 0..200)) {
        let _ = OpenEnd::decode(&noise);
    }

    /// A flipped digit may well be an open end again; whatever it says, using it does not panic.
    #[test]
    fn no_damage_makes_using_an_open_end_panic(end in any_open_end(), at in any::<prop::sample::Index>(), to in "[0-9a-f]", cut in any::<prop::sample::Index>()) {
        let raw = end.encode();
        let mut damaged = raw.clone();
        damaged[at.index(raw.len())] = to.as_bytes()[0];
        if let Ok(end) = OpenEnd::decode(&damaged) {
            use_it(&end);
        }
        prop_assert!(OpenEnd::decode(&raw[..cut.index(raw.len())]).is_err(), "a cut entry is refused");
    }
}

/// As it was written at first after 8000 bytes. Nodes of two versions work over one live store while an upgrade goes on, and
/// compare entries byte for byte: whoever changes these bytes has to read the old ones still.
const WRITTEN: &str = concat!(
    r#"{"epoch":1,"phase":"open","chunk_size":131072,"tail":{"chunk":{"index":0,"epoch":1},"size":8000,"midstate":""#,
    "018da517f80000000000001f4065fb1186676cfdbacc4de136fb2a15a7240b4173dc9ea2a8d6fb90cb501a29817d00000000000000000000000000",
    "00000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000",
    r#""}}"#
);

#[test]
fn an_entry_that_was_written_before_is_read_gone_on_from_and_written_the_same() {
    let end = OpenEnd::decode(WRITTEN.as_bytes()).expect("it is still read");
    assert!(end.is_readable());
    assert_eq!(end.write_position().0, 8000);
    assert_eq!(String::from_utf8(end.encode()).expect("text"), WRITTEN);
    let next = end.append(b"more").expect("it goes on").next;
    let afresh = OpenEnd::decode(&next.encode()).expect("our own").append(b"!").expect("it goes on").next;
    assert_eq!(afresh.tail.midstate, end.append(b"more!").expect("it goes on").next.tail.midstate);
}

/// A midstate of a newer version is not damage: it is passed on as it is, and only its chunk has to begin again.
#[test]
fn a_midstate_of_a_newer_format_is_kept_byte_for_byte_and_not_gone_on_from() {
    for newer in ["03", "ff00", &format!("03{}", "ab".repeat(117)), &format!("03{}", "ab".repeat(400))] {
        let (head, rest) = WRITTEN.split_once("01").expect("its format");
        let rest = rest.split_once('"').expect("its end").1;
        let written = format!("{head}{newer}\"{rest}");
        let end = OpenEnd::decode(written.as_bytes()).expect("the rest is known");
        assert!(!end.is_readable());
        assert_eq!(end.append(b"more").err(), Some(CannotAppend::UnreadableMidstate(ChunkIndex(0))));
        assert_eq!(String::from_utf8(end.encode()).expect("text"), written);
    }
}
