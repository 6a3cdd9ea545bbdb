//! What this node remembers of open traces, so that an append in the steady state needs one trip and no statement.
//!
//! Nothing here is trusted: the live store compares the remembered entry byte for byte, and a refusal drops it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use crate::store::live::{LiveTrace, Refusal};
use crate::trace::{ChunkIndex, Epoch, JobId, JobStatus, Offset, OpenEnd, Timestamp};

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
    /// The chunk whose row is known to exist in this epoch.
    pub(super) row: Option<(Epoch, ChunkIndex)>,
    /// Sealed chunks whose records this node wrote; the next append leaves them out of the entry.
    pub(super) recorded: Vec<ChunkIndex>,
    /// The runner was told to go back and has not made up to here yet.
    pub(super) behind: Option<Offset>,
}

impl Known {
    /// What was just loaded; `end` is what its entry says.
    pub(super) fn new(trace: LiveTrace, end: OpenEnd, confirmed: bool) -> Self {
        let LiveTrace { raw, status, watched_until, entry: _ } = trace;
        Self { raw, end, status, watched_until, confirmed, row: None, recorded: Vec::new(), behind: None }
    }

    /// Takes over what the store refused with, keeping what still holds.
    pub(super) fn refused(&mut self, trace: LiveTrace, end: OpenEnd) {
        let confirmed = self.confirmed && end.epoch == self.end.epoch;
        let behind = self.behind;
        *self = Self { behind, ..Self::new(trace, end, confirmed) };
    }
}

/// The open traces that this node appends to, bounded: the least used are forgotten.
///
/// Each append looks once and puts once, so this is a plain map behind a lock that is held for nanoseconds, in parts so
/// that appends of different jobs seldom meet. What was not used while half of a part's capacity was is forgotten.
pub(super) struct KnownTraces([Mutex<Part>; PARTS]);

#[derive(Default)]
struct Part {
    used: HashMap<JobId, Arc<Known>>,
    /// What was in `used` when it was full the last time, and was not used since.
    unused: HashMap<JobId, Arc<Known>>,
}

/// Traces remembered per node; about 1 KiB each.
const CAPACITY: usize = 50_000;
const PARTS: usize = 16;

impl KnownTraces {
    pub(super) fn new() -> Self {
        Self(Default::default())
    }

    fn part(&self, job: JobId) -> MutexGuard<'_, Part> {
        let part = job.0.unsigned_abs() as usize % PARTS;
        self.0[part].lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn get(&self, job: JobId) -> Option<Arc<Known>> {
        self.part(job).get(job)
    }

    pub(super) fn put(&self, job: JobId, known: Known) {
        self.part(job).put(job, Arc::new(known), CAPACITY / PARTS / 2);
    }

    pub(super) fn forget(&self, job: JobId) {
        let mut part = self.part(job);
        part.used.remove(&job);
        part.unused.remove(&job);
    }
}

impl Part {
    fn get(&self, job: JobId) -> Option<Arc<Known>> {
        // Whoever looks puts it again soon, which is what counts as use.
        self.used.get(&job).or_else(|| self.unused.get(&job)).cloned()
    }

    fn put(&mut self, job: JobId, known: Arc<Known>, half: usize) {
        self.unused.remove(&job);
        self.used.insert(job, known);
        if self.used.len() >= half {
            self.unused = std::mem::take(&mut self.used);
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::live::Entry;
    use crate::trace::ChunkSize;

    fn known() -> Arc<Known> {
        let end = OpenEnd::new(Epoch::FIRST, ChunkSize::DEFAULT);
        let raw = Bytes::from(end.encode());
        let (status, watched_until) = (JobStatus::Running, Timestamp(0));
        let trace = LiveTrace { raw, entry: Entry::Live(end.clone()), status, watched_until };
        Arc::new(Known::new(trace, end, true))
    }

    #[test]
    fn what_is_used_stays_and_the_rest_is_forgotten_in_bounds() {
        let mut part = Part::default();
        for number in 2..1000 {
            part.put(JobId(1), known(), 10);
            part.put(JobId(number), known(), 10);
            assert!(part.get(JobId(1)).is_some(), "{number}");
            assert!(part.get(JobId(number)).is_some(), "{number}");
            assert!(part.used.len() + part.unused.len() <= 20);
        }
        assert!(part.get(JobId(2)).is_none());
    }

    #[test]
    fn what_is_forgotten_is_gone_wherever_it_was() {
        let traces = KnownTraces::new();
        let one = JobId(1);
        traces.put(one, Known::clone(&known()));
        traces.part(one).put(one, known(), 1);
        assert!(traces.part(one).used.is_empty() && traces.get(one).is_some());
        traces.forget(one);
        assert!(traces.get(one).is_none());
        traces.put(one, Known::clone(&known()));
        traces.forget(one);
        assert!(traces.get(one).is_none());
    }
}
