//! What the rules do over and over.

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use veritail::store::live::{Append, Entry, Found, LiveStore, LiveTrace, Outcome, Refusal, Tombstone};
use veritail::trace::{ChunkId, ChunkIndex, ChunkSize, Epoch, JobId, JobStatus, OpenEnd, Timestamp};

pub(super) const JOB: JobId = JobId(42);

/// The chunk at place `index`, begun in the first epoch.
pub(super) fn chunk(index: u32) -> ChunkId {
    ChunkId { index: ChunkIndex(index), epoch: Epoch::FIRST }
}

/// An open end without bytes; its chunks have 16.
pub(super) fn empty_end() -> OpenEnd {
    OpenEnd::new(Epoch::FIRST, ChunkSize::new(16).expect("a size in range"))
}

/// Makes a job's trace key.
pub(super) async fn open(store: &dyn LiveStore, job: JobId) -> OpenEnd {
    let end = empty_end();
    let outcome = store.replace(job, None, &Entry::Live(end.clone()), JobStatus::Running, None).await;
    stored(outcome.expect("the store answers"));
    end
}

/// The append of `bytes` to `end`, and the end that follows.
pub(super) fn append_of(end: &OpenEnd, bytes: &[u8]) -> (Append, OpenEnd) {
    let step = end.append(bytes).expect("the checksum state is readable");
    let append = Append {
        epoch: end.epoch,
        expected: end.encode().into(),
        chunk: step.chunk,
        at: step.at,
        bytes: Bytes::copy_from_slice(bytes),
        seals: step.seals.is_some(),
        next: step.next.encode().into(),
    };
    (append, step.next)
}

/// Appends bytes that must get in.
pub(super) async fn append(store: &dyn LiveStore, job: JobId, end: &OpenEnd, bytes: &[u8]) -> OpenEnd {
    let (append, next) = append_of(end, bytes);
    stored(store.append(job, append).await.expect("the store answers"));
    next
}

/// Opens a trace and fills its first chunk, of 128 KiB, with patches of 4 KiB.
pub(super) async fn open_and_fill(store: &dyn LiveStore, job: JobId) {
    let mut end = OpenEnd::new(Epoch::FIRST, ChunkSize::DEFAULT);
    let opened = store.replace(job, None, &Entry::Live(end.clone()), JobStatus::Running, None).await;
    stored(opened.expect("the store answers"));
    for _ in 0..32 {
        end = append(store, job, &end, &[b'x'; 4096]).await;
    }
}

/// Puts a tombstone in place of `end`.
pub(super) async fn bury(store: &dyn LiveStore, job: JobId, end: &OpenEnd, expires: Option<Duration>) -> Entry {
    let tombstone = Entry::Tombstone(Tombstone { epoch: end.epoch, ended: JobStatus::Success });
    let outcome = store.replace(job, Some(end.encode().into()), &tombstone, JobStatus::Success, expires).await;
    stored(outcome.expect("the store answers"));
    tombstone
}

pub(super) fn stored(outcome: Outcome) -> (JobStatus, Timestamp) {
    match outcome {
        Outcome::Stored { status, watched_until } => (status, watched_until),
        Outcome::Refused(refusal) => panic!("refused: {refusal:?}"),
    }
}

pub(super) fn refused(outcome: Outcome) -> Refusal {
    match outcome {
        Outcome::Refused(refusal) => refusal,
        Outcome::Stored { .. } => panic!("stored, and should have been refused"),
    }
}

pub(super) fn changed(outcome: Outcome) -> LiveTrace {
    match refused(outcome) {
        Refusal::Changed(trace) => trace,
        refusal => panic!("refused with {refusal:?}, not as changed"),
    }
}

pub(super) async fn load(store: &dyn LiveStore, job: JobId) -> Option<LiveTrace> {
    store.load(job).await.expect("the store answers")
}

pub(super) async fn bytes(store: &dyn LiveStore, job: JobId, chunk: ChunkId) -> Option<Vec<u8>> {
    store.read_chunk(job, chunk).await.expect("the store answers").map(|bytes| bytes.to_vec())
}

/// Everything a scan with pages of `limit` meets.
pub(super) async fn scan(store: &dyn LiveStore, limit: usize) -> BTreeSet<Found> {
    let (mut found, mut from) = (BTreeSet::new(), None);
    for _ in 0..10_000 {
        let page = store.scan(from, limit).await.expect("the store answers");
        found.extend(page.found);
        match page.next {
            Some(next) => from = Some(next),
            None => return found,
        }
    }
    panic!("the scan does not end");
}
