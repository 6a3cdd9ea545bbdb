//! What this node remembers of open traces, so that an append in the steady state needs one trip and no statement.
//!
//! Nothing here is trusted: the live store compares the remembered entry byte for byte, and a refusal drops it.

use moka::sync::Cache;

use crate::store::live::{LiveTrace, Refusal};
use crate::trace::{ChunkIndex, Epoch, JobId, Offset, OpenEnd};

/// An open trace as this node last saw it.
#[derive(Clone, Debug)]
pub(super) struct Known {
    /// The live store's entry.
    pub(super) trace: LiveTrace,
    /// The open end that the entry says.
    pub(super) end: OpenEnd,
    /// True once this node read in the database that the trace is in this epoch; before that nothing is acknowledged.
    pub(super) confirmed: bool,
    /// The chunk whose row is known to exist in this epoch.
    pub(super) row: Option<(Epoch, ChunkIndex)>,
    /// Sealed chunks whose records this node wrote; the next append leaves them out of the entry.
    pub(super) recorded: Vec<ChunkIndex>,
    /// The runner was told to go back and has not made up to here yet.
    pub(super) behind: Option<Offset>,
}

impl Known {
    /// What was just loaded.
    pub(super) fn new(trace: LiveTrace, end: OpenEnd, confirmed: bool) -> Self {
        Self { trace, end, confirmed, row: None, recorded: Vec::new(), behind: None }
    }

    /// Takes over what the store refused with, keeping what still holds.
    pub(super) fn refused(&mut self, trace: LiveTrace, end: OpenEnd) {
        self.confirmed = self.confirmed && end.epoch == self.end.epoch;
        self.row = None;
        self.recorded.clear();
        self.trace = trace;
        self.end = end;
    }
}

/// The open traces that this node appends to, bounded: the least used is forgotten.
pub(super) struct KnownTraces(Cache<JobId, Known>);

/// Traces remembered per node; about 2 KiB each.
const CAPACITY: u64 = 50_000;

impl KnownTraces {
    pub(super) fn new() -> Self {
        Self(Cache::new(CAPACITY))
    }

    pub(super) fn get(&self, job: JobId) -> Option<Known> {
        self.0.get(&job)
    }

    pub(super) fn put(&self, job: JobId, known: Known) {
        self.0.insert(job, known);
    }

    pub(super) fn forget(&self, job: JobId) {
        self.0.invalidate(&job);
    }
}

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
