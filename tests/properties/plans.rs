//! Plans: whatever the two stores hold, what is planned from it is sound, and planning comes to rest.

use std::collections::BTreeSet;

use proptest::collection::vec;
use proptest::prelude::*;
use veritail::store::database::decide;
use veritail::trace::open_end::{Head, Unrecorded};
use veritail::trace::plan::{Evidence, Plan, contradicts, misplaced, plan, promises};
use veritail::trace::state::StoredObject;
use veritail::trace::{
    ByteSize, ChunkId, ChunkIndex, ChunkRow, ChunkSize, ChunkState, Epoch, Location, Midstate, Offset, OpenEnd, Phase,
    Record, Sha256, Version,
};

const SIZE: u32 = 4;
/// Chunks that rows and open ends may speak of.
const CHUNKS: u32 = 6;

/// What both stores hold, and what of the live copies is intact.
#[derive(Clone, Debug)]
struct World {
    rows: Vec<ChunkRow>,
    live: Option<OpenEnd>,
    /// By chunk and epoch: whether the copy is as it was promised.
    damaged: BTreeSet<ChunkId>,
    epoch: Epoch,
    ask: bool,
}

fn id(index: u32, epoch: u32) -> ChunkId {
    ChunkId { index: ChunkIndex(index), epoch: Epoch(epoch) }
}

/// The bytes that a copy was given, by its name: what is promised of one copy is promised everywhere alike.
fn bytes_of(chunk: ChunkId, size: u32) -> Vec<u8> {
    (0..size).map(|at| (chunk.index.0 * 31 + chunk.epoch.0 * 7 + at) as u8).collect()
}

fn record_of(chunk: ChunkId, size: u32) -> Record {
    Record::of(&bytes_of(chunk, size))
}

fn any_row(index: u32, size: u32) -> impl Strategy<Value = Option<ChunkRow>> {
    (1u32..4, 0u8..8, 1u32..4).prop_map(move |(epoch, kind, asked)| {
        let chunk = id(index, epoch);
        let record = record_of(chunk, size);
        let at = Location::Object(StoredObject { key: chunk.to_string(), size: record.size, sha256: Sha256([0; 32]) });
        let asked_in = Epoch(asked);
        let state = match kind {
            0 => return None,
            1 => ChunkState::Open,
            2 | 3 => ChunkState::Sealed { record },
            4 | 5 => ChunkState::Persisted { record, at },
            6 => ChunkState::Wanted { record: Some(record), kept: Some(at), asked_in },
            _ => ChunkState::Wanted { record: None, kept: None, asked_in },
        };
        Some(ChunkRow { index: chunk.index, epoch: chunk.epoch, version: Version::FIRST, persisted_at: None, state })
    })
}

/// Only the chunk at the very end of a trace may be recorded although it is not full.
fn any_rows() -> impl Strategy<Value = Vec<ChunkRow>> {
    (0..CHUNKS, 1..=SIZE).prop_flat_map(|(count, last_size)| {
        let rows: Vec<_> =
            (0..count).map(|index| any_row(index, if index + 1 == count { last_size } else { SIZE })).collect();
        rows.prop_map(|rows| rows.into_iter().flatten().collect())
    })
}

fn head(chunk: ChunkId, size: u32) -> Head {
    let midstate = Midstate::empty().absorb(&bytes_of(chunk, size)).expect("our own");
    Head { chunk, size: ByteSize(size.into()), midstate: Some(midstate) }
}

fn any_live() -> impl Strategy<Value = Option<OpenEnd>> {
    let chunks = vec((1u32..4, 0u8..3), CHUNKS as usize);
    let open_end = (0..CHUNKS, 0..SIZE, 0..SIZE, 1u32..4, chunks, any::<bool>()).prop_map(
        |(tail, size, fill_size, epoch, chunks, seals_tail)| {
            let mut end = OpenEnd::new(Epoch(epoch), ChunkSize::new(SIZE).expect("in range"));
            for (index, (epoch, kind)) in (0..tail).zip(chunks) {
                match kind {
                    0 => {}
                    1 => {
                        let unrecorded = Unrecorded { epoch: Epoch(epoch), record: record_of(id(index, epoch), SIZE) };
                        end.sealed.insert(ChunkIndex(index), unrecorded);
                    }
                    _ => {
                        end.holes.insert(ChunkIndex(index));
                    }
                }
            }
            end.fill = end.holes.first().map(|hole| head(id(hole.0, epoch), fill_size));
            end.tail = head(id(tail, epoch), size);
            if seals_tail && let Ok(Some(sealed)) = end.seal_tail() { sealed } else { end }
        },
    );
    prop_oneof![1 => Just(None), 5 => open_end.prop_map(Some)]
}

fn any_world() -> impl Strategy<Value = World> {
    let damaged = vec((0..CHUNKS, 1u32..4), 0..4);
    (any_rows(), any_live(), damaged, 1u32..5, any::<bool>()).prop_map(|(rows, live, damaged, epoch, ask)| World {
        rows,
        live,
        damaged: damaged.into_iter().map(|(index, epoch)| id(index, epoch)).collect(),
        epoch: Epoch(epoch),
        ask,
    })
}

impl World {
    fn intact(&self) -> BTreeSet<ChunkId> {
        let promised = promises(&self.rows, self.live.as_ref());
        promised.into_iter().map(|(chunk, _)| chunk).filter(|chunk| !self.damaged.contains(chunk)).collect()
    }

    fn plan(&self) -> Plan {
        plan(&Evidence {
            chunk_size: ChunkSize::new(SIZE).expect("in range"),
            epoch: self.epoch,
            phase: Phase::Open,
            rows: &self.rows,
            live: self.live.as_ref(),
            intact: &self.intact(),
            taken: &BTreeSet::new(),
            ask: self.ask,
        })
    }

    /// The size of a chunk that need not be sent again: persistent, or sealed with an intact copy that counts.
    fn good(&self, index: ChunkIndex) -> Option<ByteSize> {
        let row = self.rows.iter().find(|row| row.index == index);
        match row.map(|row| (row.id(), &row.state)) {
            Some((_, ChunkState::Persisted { record, .. })) => return Some(record.size),
            Some((chunk, ChunkState::Sealed { record })) => {
                return (!self.damaged.contains(&chunk)).then_some(record.size);
            }
            _ => {}
        }
        let sealed = self.live.as_ref()?.sealed.get(&index)?;
        let asked_in = match row.map(|row| &row.state) {
            Some(ChunkState::Wanted { asked_in, .. }) => *asked_in,
            _ => Epoch(0),
        };
        let counts = sealed.epoch >= asked_in && !self.damaged.contains(&ChunkId { index, epoch: sealed.epoch });
        counts.then_some(sealed.record.size)
    }

    /// What is planned to be lost is written down, as the database does it.
    fn write_down(&mut self, lost: &[ChunkIndex]) {
        for index in lost {
            let at = self.rows.iter().position(|row| row.index == *index);
            let row = decide::lost(at.map(|at| &self.rows[at]), *index, self.epoch);
            match at {
                Some(at) => self.rows[at] = row,
                None => self.rows.push(row),
            }
        }
        self.rows.sort_by_key(|row| row.index);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn the_same_evidence_gives_the_same_plan(world in any_world()) {
        prop_assert_eq!(world.plan(), world.clone().plan());
    }

    #[test]
    fn a_plan_is_an_open_end_that_can_be_stored_and_used(world in any_world()) {
        let Plan { end, .. } = world.plan();
        prop_assert_eq!(&OpenEnd::decode(&end.encode()).expect("no contradiction"), &end);
        prop_assert!(end.is_readable());
        prop_assert_eq!((end.epoch, end.phase), (world.epoch, Phase::Open));
    }

    #[test]
    fn nobody_writes_into_a_good_chunk(world in any_world()) {
        let Plan { end, .. } = world.plan();
        let position = end.write_position();
        for index in (0..CHUNKS + 1).map(ChunkIndex) {
            if let Some(size) = world.good(index) {
                let start = end.chunk_size.start_of(index);
                prop_assert!(position < start || position >= start + size || position == start + size, "{:?}", end);
                prop_assert!(position != start, "a good chunk is not begun again: {:?}", end);
                prop_assert!(end.length() >= start + size, "a good chunk is part of the trace: {:?}", end);
            }
        }
    }

    #[test]
    fn holes_are_the_chunks_below_the_tail_that_are_not_good(world in any_world()) {
        let Plan { end, lost } = world.plan();
        let missing: BTreeSet<ChunkIndex> = (0..end.tail.chunk.index.0).map(ChunkIndex).filter(|index| world.good(*index).is_none()).collect();
        let expected = if world.ask { missing.clone() } else { BTreeSet::new() };
        prop_assert_eq!(&end.holes, &expected);
        prop_assert_eq!(end.fill.as_ref().map(|fill| fill.chunk.index), expected.first().copied());
        // Lost is what is missing and not known to be, or recorded above.
        for index in lost {
            prop_assert!(world.good(index).is_none());
        }
        let row = |index: ChunkIndex| world.rows.iter().find(|row| row.index == index);
        let Plan { lost, .. } = world.plan();
        for index in missing {
            prop_assert!(lost.contains(&index) || row(index).is_some_and(ChunkRow::is_wanted));
        }
        for row in world.rows.iter().filter(|row| row.record().is_some() && world.good(row.index).is_none()) {
            prop_assert!(lost.contains(&row.index), "a recorded chunk without good bytes is lost: {:?}", row);
        }
    }

    /// A node raises the epoch with what is lost, plans again, installs; whoever looks then finds nothing more to do.
    #[test]
    fn an_installed_plan_is_at_rest(world in any_world()) {
        let mut world = world;
        let first = world.plan();
        let newest = world.live.as_ref().map_or(Epoch(1), |live| live.epoch).max(world.epoch).max(Epoch(4));
        world.epoch = newest.next();
        world.write_down(&first.lost);
        let second = world.plan();
        prop_assert_eq!(&second.lost, &vec![], "written down once");
        prop_assert!(!contradicts(&world.rows, &second.end), "{:?}\n{:?}", world.rows, second.end);
        world.live = Some(second.end.clone());
        let third = world.plan();
        prop_assert_eq!(third, second);
    }

    /// The open end still speaks of chunks that are persistent by now; their live copies may be released, and are missed by
    /// nobody.
    #[test]
    fn nobody_looks_for_the_live_copy_of_what_is_persistent(world in any_world()) {
        let heads: Vec<ChunkId> = world.live.iter().flat_map(|live| [Some(&live.tail), live.fill.as_ref()]).flatten().map(|head| head.chunk).collect();
        let is_persistent = |row: &ChunkRow| matches!(row.state, ChunkState::Persisted { .. });
        for (chunk, _) in promises(&world.rows, world.live.as_ref()) {
            let row = world.rows.iter().find(|row| row.index == chunk.index);
            prop_assert!(!row.is_some_and(is_persistent) || heads.contains(&chunk), "{chunk:?}, {row:?}");
        }
    }

    /// Two nodes that were interrupted anywhere come to the same.
    #[test]
    fn planning_from_what_another_node_installed_gives_the_same(world in any_world()) {
        let mut world = world;
        let lost = world.plan().lost;
        world.epoch = Epoch(9);
        world.write_down(&lost);
        let theirs = world.plan();
        let mut after = world.clone();
        after.live = Some(theirs.end.clone());
        prop_assert_eq!(after.plan(), theirs);
    }
}

#[test]
fn a_row_far_beyond_what_was_acknowledged_is_misplaced_unless_it_follows_another() {
    let chunk_size = ChunkSize::new(SIZE).expect("in range");
    let row = |index: u32| ChunkRow {
        index: ChunkIndex(index),
        epoch: Epoch::FIRST,
        version: Version::FIRST,
        state: ChunkState::Open,
        persisted_at: None,
    };
    let most = 1 << 16;
    for (indexes, acknowledged, expected) in [
        (vec![], 0, None),
        (vec![0, 1, 2], 0, None),
        (vec![most], 0, None),
        (vec![most + 1], 0, Some(most + 1)),
        (vec![0, u32::MAX], 0, Some(u32::MAX)),
        (vec![4, most + 5], 4 * SIZE, Some(most + 5)),
        (vec![4, most + 5], 5 * SIZE, None),
        (vec![most - 1, most, most + 1, most + 2], 0, None),
        (vec![most, most + 1, most + 3], 0, Some(most + 3)),
    ] {
        let rows: Vec<ChunkRow> = indexes.iter().map(|index| row(*index)).collect();
        let found = misplaced(&rows, chunk_size, Offset(acknowledged.into())).map(|row| row.index);
        assert_eq!(found, expected.map(ChunkIndex), "{indexes:?} {acknowledged}");
    }
}
