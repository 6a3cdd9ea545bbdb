//! What a change makes of a row or a job: the decisions that every database takes alike, pure.

use super::{Job, Recorded, Rewind};
use crate::trace::{
    ByteSize, ChunkIndex, ChunkRow, ChunkSize, ChunkState, Ending, Epoch, JobStatus, Offset, Origin, Record, Timestamp,
    TraceState, Version,
};

/// What [`record`] decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// The answer.
    pub answer: Recorded,
    /// The row as it becomes; `None` if it stays.
    pub row: Option<ChunkRow>,
}

/// What the record of a chunk, whose live copy was begun in `begun`, makes of its row. The job has been found to take
/// records.
pub fn record(row: Option<&ChunkRow>, index: ChunkIndex, begun: Epoch, record: &Record) -> Decision {
    let version = row.map_or(Version::FIRST, |row| Version(row.version.0 + 1));
    let sealed =
        ChunkRow { index, epoch: begun, version, state: ChunkState::Sealed { record: *record }, persisted_at: None };
    let Some(row) = row else {
        return Decision { answer: Recorded::Sealed(version), row: Some(sealed) };
    };
    match &row.state {
        ChunkState::Open => Decision { answer: Recorded::Sealed(version), row: Some(sealed) },
        ChunkState::Sealed { record: known } | ChunkState::Persisted { record: known, .. } => {
            let answer = if known == record { Recorded::Known } else { Recorded::Conflict };
            Decision { answer, row: None }
        }
        ChunkState::Wanted { asked_in, .. } if begun < *asked_in => Decision { answer: Recorded::Stale, row: None },
        ChunkState::Wanted { record: known, kept, .. } if *known == Some(*record) => {
            // The copy that was kept is the one that the row spoke of before, so its epoch stays with it.
            let row = match kept.clone() {
                Some(at) => ChunkRow { version, state: ChunkState::Persisted { record: *record, at }, ..row.clone() },
                None => sealed,
            };
            Decision { answer: Recorded::RefilledSame, row: Some(row) }
        }
        ChunkState::Wanted { .. } => Decision { answer: Recorded::Refilled, row: Some(sealed) },
    }
}

/// The row of a chunk whose bytes are lost or wrong, and are asked for in epoch `to`.
pub fn lost(row: Option<&ChunkRow>, index: ChunkIndex, to: Epoch) -> ChunkRow {
    let record = row.and_then(|row| recorded(row).copied());
    let state = ChunkState::Wanted { record, kept: None, asked_in: to };
    match row {
        Some(row) => ChunkRow { version: Version(row.version.0 + 1), state, persisted_at: None, ..row.clone() },
        None => ChunkRow { index, epoch: to, version: Version::FIRST, state, persisted_at: None },
    }
}

/// The row of a chunk that is asked for in epoch `to` although nothing seems wrong with it: a copy that is persistent is
/// kept. `None` if the chunk was never recorded: then it stays as it is.
pub fn wanted_again(row: &ChunkRow, to: Epoch) -> Option<ChunkRow> {
    let record = Some(*recorded(row)?);
    let kept = row.persistent_copy().cloned();
    let persisted_at = row.persisted_at.filter(|_| kept.is_some());
    let state = ChunkState::Wanted { record, kept, asked_in: to };
    Some(ChunkRow { version: Version(row.version.0 + 1), state, persisted_at, ..row.clone() })
}

/// What was promised about a chunk, even if its bytes are lost.
fn recorded(row: &ChunkRow) -> Option<&Record> {
    match &row.state {
        ChunkState::Open => None,
        ChunkState::Sealed { record } | ChunkState::Persisted { record, .. } => Some(record),
        ChunkState::Wanted { record, .. } => record.as_ref(),
    }
}

impl Rewind {
    /// A rewind of `job` as it was read: the next epoch in the same state, with nothing lost. What differs is said by the
    /// caller.
    pub fn of(job: &Job, at: Timestamp) -> Self {
        Self {
            from: job.epoch,
            to: job.epoch.next(),
            state: job.state,
            next_state: job.state,
            lost: Vec::new(),
            everything: false,
            counts_as_attempt: false,
            at,
        }
    }

    /// True if the epoch goes up, and the trace is one that can be rewound and does not end by it.
    pub fn makes_sense(&self) -> bool {
        let steps = [
            (TraceState::Open, TraceState::Open),
            (TraceState::Closing, TraceState::Closing),
            (TraceState::Closing, TraceState::Open),
        ];
        self.to > self.from && steps.contains(&(self.state, self.next_state))
    }
}

impl Job {
    /// True while the trace is `Open` or `Closing`.
    pub fn is_unfinished(&self) -> bool {
        matches!(self.state, TraceState::Open | TraceState::Closing)
    }
}

/// The status that a job has after it closed with this ending.
pub fn final_status(status: JobStatus, ending: &Ending) -> JobStatus {
    if status == JobStatus::Canceling { JobStatus::Canceled } else { ending.status }
}

/// How much of an unfinished trace is in the live store without a record: what was acknowledged behind `last`, the last
/// recorded chunk. In bytes, and in chunks begun.
pub fn open_end(acked: Offset, chunk_size: ChunkSize, last: Option<(ChunkIndex, ByteSize)>) -> (ByteSize, u64) {
    let recorded = last.map_or(Offset::ZERO, |(index, size)| chunk_size.start_of(index) + size);
    let bytes = ByteSize(acked.0.saturating_sub(recorded.0));
    (bytes, bytes.0.div_ceil(chunk_size.bytes().0))
}

/// The ending of a job that was canceled before a runner requested it.
pub fn canceled_before_it_ran() -> Ending {
    Ending { status: JobStatus::Canceled, failure_reason: None, exit_code: None, claim: None, origin: Origin::Cancel }
}

impl Recorded {
    /// True if the row has the record now.
    pub fn is_taken(self) -> bool {
        matches!(self, Self::Sealed(_) | Self::Known | Self::Refilled | Self::RefilledSame)
    }
}
