//! What the open end has to be, given what the database recorded and what is intact in the live store.
//!
//! Used whenever the two stores disagree: the live store lost the trace or went back in time, a chunk's bytes are gone
//! or wrong, the runner is asked again, or another node was interrupted in the middle of any of these. Every node that
//! plans from the same evidence gets the same plan, so nodes help each other instead of outbidding.

use std::collections::{BTreeMap, BTreeSet};

use super::checksum::Record;
use super::chunks::ChunkSize;
use super::ids::{ByteSize, ChunkId, ChunkIndex, Epoch, Offset};
use super::open_end::{Head, OpenEnd, Phase, Unrecorded};
use super::state::{ChunkRow, ChunkState};

/// Everything the plan depends on.
#[derive(Clone, Debug)]
pub struct Evidence<'a> {
    /// The trace's chunk size.
    pub chunk_size: ChunkSize,
    /// The epoch to install; chunks begun by the plan are named by it.
    pub epoch: Epoch,
    /// The phase the database is in.
    pub phase: Phase,
    /// All chunk rows, in order of index.
    pub rows: &'a [ChunkRow],
    /// The open end in the live store, of any epoch.
    pub live: Option<&'a OpenEnd>,
    /// Live copies that were read and equal their promise, out of [`promises`].
    pub intact: &'a BTreeSet<ChunkId>,
    /// Names of live copies that no promise covers although bytes lie under them: no bytes are written there.
    pub taken: &'a BTreeSet<ChunkId>,
    /// Whether the runner is asked to fill holes; otherwise they stay, and appends go on at the end.
    pub ask: bool,
}

/// The open end to install, and what has to be written to the database before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The open end.
    pub end: OpenEnd,
    /// Chunks whose bytes are found to be lost and whose rows do not say so yet.
    pub lost: Vec<ChunkIndex>,
}

/// The live copies whose bytes the plan depends on, with what they must be. The caller reads and judges each of them. That of
/// a chunk that is persistent is none of them, also where the open end still speaks of it: it may be released.
pub fn promises(rows: &[ChunkRow], live: Option<&OpenEnd>) -> Vec<(ChunkId, Record)> {
    let mut promised = BTreeMap::new();
    let mut persistent = BTreeSet::new();
    for row in rows {
        match row.state {
            ChunkState::Sealed { record } => {
                promised.insert(row.id(), record);
            }
            ChunkState::Persisted { .. } => {
                persistent.insert(row.index);
            }
            ChunkState::Open | ChunkState::Wanted { .. } => {}
        }
    }
    if let Some(live) = live {
        for (index, sealed) in live.sealed.iter().filter(|(index, _)| !persistent.contains(index)) {
            promised.entry(ChunkId { index: *index, epoch: sealed.epoch }).or_insert(sealed.record);
        }
        for head in [Some(&live.tail), live.fill.as_ref()].into_iter().flatten() {
            let record = head.midstate.as_ref().and_then(|midstate| midstate.record().ok());
            if let Some(record) = record.filter(|record| !record.size.is_zero()) {
                promised.entry(head.chunk).or_insert(record);
            }
        }
    }
    promised.into_iter().collect()
}

/// True if the open end cannot be the one that the rows were written beside: it lies behind them (the live store went
/// back in time), or asks for chunks that are there.
pub fn contradicts(rows: &[ChunkRow], live: &OpenEnd) -> bool {
    rows.iter().any(|row| match row.record() {
        Some(record) => {
            let sealed_differs = live.sealed.get(&row.index).is_some_and(|sealed| sealed.record != *record);
            let behind = if row.index == live.tail.chunk.index {
                live.tail.size != record.size
            } else {
                row.index > live.tail.chunk.index
            };
            sealed_differs || behind || live.holes.contains(&row.index)
        }
        None => false,
    })
}

/// A chunk further than this beyond the last acknowledged byte, and without a row before it, cannot be: its number is not what it was.
/// What is done for each chunk before it would be done billions of times.
const AHEAD_MAX: u32 = 1 << 16;

/// True for a chunk that lies far beyond what was acknowledged of its trace. It can be part of it only if the one before it has a row:
/// one long patch may make many chunks before any of it is acknowledged.
pub fn is_far_beyond(index: ChunkIndex, chunk_size: ChunkSize, acknowledged: Offset) -> bool {
    index.0.saturating_sub(chunk_size.index_of(acknowledged).0) > AHEAD_MAX
}

/// The first row whose number cannot be, if there is one; `rows` in order of index.
pub fn misplaced(rows: &[ChunkRow], chunk_size: ChunkSize, acknowledged: Offset) -> Option<&ChunkRow> {
    let is_far = |row: &ChunkRow| is_far_beyond(row.index, chunk_size, acknowledged);
    rows.last().filter(|last| is_far(last))?;
    let before = [None].into_iter().chain(rows.iter().map(|row| row.index.checked_next()));
    before.zip(rows).find(|(expected, row)| is_far(row) && *expected != Some(row.index)).map(|(_, row)| row)
}

/// Plans the open end. See [`Evidence`].
pub fn plan(evidence: &Evidence<'_>) -> Plan {
    let Evidence { chunk_size, epoch, rows, live, intact, .. } = *evidence;
    let rows_by_index: BTreeMap<ChunkIndex, &ChunkRow> = rows.iter().map(|row| (row.index, row)).collect();
    // A copy begun before its bytes were asked for again does not count, whatever it holds.
    let counts = |chunk: ChunkId| match rows_by_index.get(&chunk.index).map(|row| &row.state) {
        Some(ChunkState::Wanted { asked_in, .. }) => chunk.epoch >= *asked_in,
        _ => true,
    };

    let mut sealed: BTreeMap<ChunkIndex, Unrecorded> = BTreeMap::new();
    for (index, unrecorded) in live.iter().flat_map(|live| &live.sealed) {
        let chunk = ChunkId { index: *index, epoch: unrecorded.epoch };
        let row_has_it = rows_by_index.get(index).is_some_and(|row| row.record().is_some());
        if intact.contains(&chunk) && counts(chunk) && !row_has_it {
            sealed.insert(*index, *unrecorded);
        }
    }
    let good = |index: ChunkIndex| -> Option<ByteSize> {
        let recorded = rows_by_index.get(&index).and_then(|row| match &row.state {
            ChunkState::Persisted { record, .. } => Some(record.size),
            ChunkState::Sealed { record } if intact.contains(&row.id()) => Some(record.size),
            _ => None,
        });
        recorded.or_else(|| sealed.get(&index).map(|unrecorded| unrecorded.record.size))
    };

    let last_good = rows_by_index.keys().chain(sealed.keys()).filter(|index| good(**index).is_some()).max().copied();
    let head_counts = |head: &Head| {
        let bytes_are_there =
            (head.size.is_zero() && !evidence.taken.contains(&head.chunk)) || intact.contains(&head.chunk);
        counts(head.chunk) && head.midstate.is_some() && bytes_are_there
    };
    let live_tail = live.map(|live| &live.tail).filter(|tail| head_counts(tail));
    let tail = match (last_good, live_tail) {
        // The live tail goes on where the recorded chunks end, or beyond chunks that are lost.
        (last, Some(tail)) if last.is_none_or(|last| tail.chunk.index > last) => tail.clone(),
        (Some(last), _) => match good(last) {
            Some(size) if size < chunk_size.bytes() => partial_tail(last, size, live_tail, &rows_by_index),
            _ => Head::empty(last.next(), epoch),
        },
        (None, _) => Head::empty(ChunkIndex(0), epoch),
    };

    let holes: BTreeSet<ChunkIndex> =
        (0..tail.chunk.index.0).map(ChunkIndex).filter(|index| good(*index).is_none()).collect();
    let is_known_hole = |index: &ChunkIndex| rows_by_index.get(index).is_some_and(|row| row.is_wanted());
    // Recorded chunks at and above the tail whose copies are gone are lost as well.
    let recorded_above = rows.iter().filter(|row| row.index >= tail.chunk.index && row.record().is_some());
    let lost_above = recorded_above.filter(|row| good(row.index).is_none()).map(|row| row.index);
    let lost = holes.iter().copied().filter(|index| !is_known_hole(index)).chain(lost_above).collect();

    let holes = if evidence.ask { holes } else { BTreeSet::new() };
    let fill = holes.first().map(|hole| {
        live.and_then(|live| live.fill.as_ref())
            .filter(|fill| fill.chunk.index == *hole && head_counts(fill))
            .cloned()
            .unwrap_or_else(|| Head::empty(*hole, epoch))
    });
    Plan { end: OpenEnd { epoch, phase: evidence.phase, chunk_size, tail, holes, fill, sealed, made_at: None }, lost }
}

/// The tail where the last good chunk is not full: it is the trace's last, and takes no more bytes.
fn partial_tail(
    index: ChunkIndex,
    size: ByteSize,
    live_tail: Option<&Head>,
    rows: &BTreeMap<ChunkIndex, &ChunkRow>,
) -> Head {
    if let Some(tail) = live_tail.filter(|tail| tail.chunk.index == index && tail.size == size) {
        return tail.clone();
    }
    let epoch = rows.get(&index).map_or(Epoch::FIRST, |row| row.epoch);
    Head { chunk: ChunkId { index, epoch }, size, midstate: None }
}
