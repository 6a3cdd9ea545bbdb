//! What this node remembers of open traces, so that an append in the steady state needs one trip and no statement.
//!
//! Nothing here is trusted: the live store compares the remembered entry byte for byte, and a refusal drops it.

use std::ops::RangeInclusive;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::watch;

use super::recent::Recent;
use crate::store::live::{LiveTrace, Refusal};
use crate::trace::{ChunkIndex, Epoch, JobId, JobStatus, Offset, OpenEnd, Timestamp};

/// A record that is being written while appends go on.
#[derive(Clone, Debug)]
pub(super) struct Recording {
    /// The chunk.
    pub(super) index: ChunkIndex,
    /// The rows that are there once it is written.
    pub(super) rows: (Epoch, RangeInclusive<ChunkIndex>),
    /// Whether it was taken, once that is known.
    pub(super) taken: watch::Receiver<Option<bool>>,
}

/// An open trace as this node last saw it.
#[derive(Clone, Debug)]
pub(super) struct Known {
    /// The live store's entry, byte for byte.
    pub(super) raw: Bytes,
    /// The open end that the entry says.
    pub(super) end: OpenEnd,
    /// The job's status beside it.
    pub(super) status: JobStatus,
    /// Until when the trace is watched.
    pub(super) watched_until: Timestamp,
    /// True once this node read in the database that the trace is in this epoch; before that nothing is acknowledged.
    pub(super) confirmed: bool,
    /// The chunks whose rows are known to exist in this epoch.
    pub(super) rows: Option<(Epoch, RangeInclusive<ChunkIndex>)>,
    /// Sealed chunks whose records this node wrote; the next append leaves them out of the entry.
    pub(super) recorded: Vec<ChunkIndex>,
    /// The chunk whose record is being written beside the appends.
    pub(super) recording: Option<Box<Recording>>,
    /// The runner was told to go back and has not made up to here yet.
    pub(super) behind: Option<Offset>,
}

impl Known {
    /// What was just loaded; `end` is what its entry says.
    pub(super) fn new(trace: LiveTrace, end: OpenEnd, confirmed: bool) -> Self {
        let LiveTrace { raw, status, watched_until, entry: _ } = trace;
        let (rows, recorded, recording, behind) = Default::default();
        Self { raw, end, status, watched_until, confirmed, rows, recorded, recording, behind }
    }

    /// True if the row of the chunk at the write position is known to exist.
    pub(super) fn has_row(&self) -> bool {
        let head = self.end.head().chunk.index;
        self.rows.as_ref().is_some_and(|(epoch, rows)| *epoch == self.end.epoch && rows.contains(&head))
    }

    /// Waits until the record that is being written is, and takes over what came of it.
    pub(super) async fn settle(&mut self) {
        if let Some(recording) = &mut self.recording {
            // Its task always says how it ended, unless the node is gone.
            let taken = recording.taken.wait_for(Option::is_some).await.is_ok_and(|taken| *taken == Some(true));
            self.settled(taken);
        }
    }

    /// The same if it is written by now.
    pub(super) fn settle_if_written(&mut self) {
        let taken = self.recording.as_ref().and_then(|recording| *recording.taken.borrow());
        if let Some(taken) = taken {
            self.settled(taken);
        }
    }

    fn settled(&mut self, taken: bool) {
        match self.recording.take() {
            Some(recording) if taken => {
                self.recorded.push(recording.index);
                self.rows = Some(recording.rows);
            }
            // The entry still has the record: whoever looks for the row writes it first.
            _ => self.rows = None,
        }
    }

    /// Takes over what the store refused with, keeping what still holds.
    pub(super) fn refused(&mut self, trace: LiveTrace, end: OpenEnd) {
        let confirmed = self.confirmed && end.epoch == self.end.epoch;
        let behind = self.behind;
        *self = Self { behind, ..Self::new(trace, end, confirmed) };
    }
}

/// The open traces that this node appends to.
pub(super) type KnownTraces = Recent<JobId, Arc<Known>>;

/// Traces remembered per node; about 1 KiB each.
pub(super) const CAPACITY: usize = 50_000;

/// What a refusal means for the appender.
pub(super) enum After {
    /// The entry is another open end: compute again from it.
    Again(Box<(LiveTrace, OpenEnd)>),
    /// The stores have to be reconciled; `true`: the live bytes themselves are suspect.
    Reconcile(bool),
}

/// Sorts a refusal.
pub(super) fn after(refusal: Refusal, epoch: Epoch) -> After {
    match refusal {
        Refusal::Absent => After::Reconcile(false),
        Refusal::ChunkSize { .. } => After::Reconcile(true),
        Refusal::Changed(trace) => match &trace.entry {
            crate::store::live::Entry::Live(end) if end.epoch == epoch => {
                let end = end.clone();
                After::Again(Box::new((trace, end)))
            }
            _ => After::Reconcile(false),
        },
    }
}
