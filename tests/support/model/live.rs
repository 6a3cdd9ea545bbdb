//! The live store as a value: two maps and a clock.
//!
//! It has no runtime and no threads of its own, so that a seeded simulation replays; and it can lose, cut, flip and go
//! back in time, which no real store does on request.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use veritail::seams::Clock;
use veritail::store::live::{
    Append, Entry, Found, LiveCopy, LiveStore, LiveTrace, LiveUsage, Outcome, Refusal, ScanPage,
};
use veritail::store::{Result, StoreError};
use veritail::trace::{ByteSize, ChunkId, ChunkIndex, DataStore, Epoch, JobId, JobStatus, Timestamp};

/// The model of a live store.
pub struct ModelLive {
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
}

/// Everything the store held at some moment.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    traces: BTreeMap<JobId, StoredTrace>,
    chunks: BTreeMap<(JobId, ChunkId), StoredChunk>,
}

impl Snapshot {
    fn bytes(&self, job: JobId, chunk: ChunkId) -> Option<Bytes> {
        self.chunks.get(&(job, chunk)).map(|copy| Bytes::copy_from_slice(&copy.bytes))
    }
}

#[derive(Default)]
struct State {
    kept: Snapshot,
    full: bool,
}

#[derive(Clone, Debug)]
struct StoredTrace {
    raw: Bytes,
    epoch: Epoch,
    status: JobStatus,
    watched_until: Timestamp,
    expires: Option<Timestamp>,
}

#[derive(Clone, Debug)]
struct StoredChunk {
    bytes: Vec<u8>,
    expires: Option<Timestamp>,
}

impl StoredTrace {
    fn read(&self) -> LiveTrace {
        LiveTrace {
            raw: self.raw.clone(),
            entry: Entry::decode(&self.raw, self.epoch),
            status: self.status,
            watched_until: self.watched_until,
        }
    }

    fn stored(&self) -> Outcome {
        Outcome::Stored { status: self.status, watched_until: self.watched_until }
    }
}

impl ModelLive {
    /// An empty store.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, state: Mutex::new(State::default()) }
    }

    /// The state, without what has expired by now.
    fn state(&self) -> MutexGuard<'_, State> {
        let now = self.clock.now();
        let mut state = self.state.lock().expect("no test panics while it holds the state");
        state.kept.traces.retain(|_, trace| trace.expires.is_none_or(|at| at > now));
        state.kept.chunks.retain(|_, chunk| chunk.expires.is_none_or(|at| at > now));
        state
    }

    fn after(&self, time: Duration) -> Timestamp {
        self.clock.now().plus_ms(i64::try_from(time.as_millis()).unwrap_or(i64::MAX))
    }

    /// Everything there is.
    pub fn snapshot(&self) -> Snapshot {
        self.state().kept.clone()
    }

    /// Goes back (or anywhere) to a snapshot, as a store restored from a backup or a stale replica.
    pub fn restore(&self, snapshot: &Snapshot) {
        self.state().kept = snapshot.clone();
    }

    /// Only the keys of these jobs go back, as a shard whose replica takes over.
    pub fn restore_jobs(&self, snapshot: &Snapshot, jobs: &BTreeSet<JobId>) {
        let kept = &mut self.state().kept;
        kept.traces.retain(|job, _| !jobs.contains(job));
        kept.chunks.retain(|(job, _), _| !jobs.contains(job));
        let traces = snapshot.traces.iter().filter(|(job, _)| jobs.contains(job));
        kept.traces.extend(traces.map(|(job, trace)| (*job, trace.clone())));
        let chunks = snapshot.chunks.iter().filter(|((job, _), _)| jobs.contains(job));
        kept.chunks.extend(chunks.map(|(name, chunk)| (*name, chunk.clone())));
    }

    /// Loses everything.
    pub fn wipe(&self) {
        self.state().kept = Snapshot::default();
    }

    /// Loses a trace key. True if there was one.
    pub fn lose_trace(&self, job: JobId) -> bool {
        self.state().kept.traces.remove(&job).is_some()
    }

    /// Puts other bytes in place of a trace's entry. True if there was one.
    pub fn damage_trace(&self, job: JobId, raw: &[u8]) -> bool {
        self.state().kept.traces.get_mut(&job).map(|trace| trace.raw = Bytes::copy_from_slice(raw)).is_some()
    }

    /// Loses a chunk's copy. True if there was one.
    pub fn lose_chunk(&self, job: JobId, chunk: ChunkId) -> bool {
        self.state().kept.chunks.remove(&(job, chunk)).is_some()
    }

    /// Puts a copy there, in place of any, without anybody's knowledge.
    pub fn put_chunk(&self, job: JobId, chunk: ChunkId, bytes: &[u8]) {
        self.state().kept.chunks.insert((job, chunk), StoredChunk { bytes: bytes.to_vec(), expires: None });
    }

    /// Cuts a copy to `size`. True if it was longer.
    pub fn truncate_chunk(&self, job: JobId, chunk: ChunkId, size: ByteSize) -> bool {
        match self.state().kept.chunks.get_mut(&(job, chunk)) {
            Some(copy) if ByteSize::of(&copy.bytes) > size => {
                copy.bytes.truncate(size.as_usize());
                true
            }
            _ => false,
        }
    }

    /// Flips every bit of the byte at `at`. True if the copy has one there.
    pub fn flip_byte(&self, job: JobId, chunk: ChunkId, at: ByteSize) -> bool {
        let mut state = self.state();
        let byte = state.kept.chunks.get_mut(&(job, chunk)).and_then(|copy| copy.bytes.get_mut(at.as_usize()));
        byte.map(|byte| *byte = !*byte).is_some()
    }

    /// The jobs that have a trace key.
    pub fn traces(&self) -> Vec<JobId> {
        self.state().kept.traces.keys().copied().collect()
    }

    /// All copies in order: job, name, size, and whether it was released.
    pub fn chunks(&self) -> Vec<(JobId, ChunkId, ByteSize, bool)> {
        let state = self.state();
        let copies = state.kept.chunks.iter();
        copies.map(|((job, id), copy)| (*job, *id, ByteSize::of(&copy.bytes), copy.expires.is_some())).collect()
    }

    /// While `full`, nothing that takes room is taken: appends and new trace keys answer `Full`.
    pub fn set_full(&self, full: bool) {
        self.state().full = full;
    }
}

fn full() -> StoreError {
    StoreError::Full { store: "embedded", message: "the model was told to be full".to_owned() }
}

#[async_trait]
impl LiveStore for ModelLive {
    fn name(&self) -> DataStore {
        DataStore::Embedded
    }

    async fn load(&self, job: JobId) -> Result<Option<LiveTrace>> {
        Ok(self.state().kept.traces.get(&job).map(StoredTrace::read))
    }

    async fn append(&self, job: JobId, append: Append) -> Result<Outcome> {
        let mut state = self.state();
        if state.full {
            return Err(full());
        }
        let kept = &mut state.kept;
        let Some(trace) = kept.traces.get_mut(&job) else { return Ok(Outcome::Refused(Refusal::Absent)) };
        if trace.epoch != append.epoch || trace.raw != append.expected {
            return Ok(Outcome::Refused(Refusal::Changed(trace.read())));
        }
        let found = kept.chunks.get(&(job, append.chunk)).map_or(ByteSize::ZERO, |copy| ByteSize::of(&copy.bytes));
        if found != append.at {
            return Ok(Outcome::Refused(Refusal::ChunkSize { found }));
        }
        let empty = || StoredChunk { bytes: Vec::new(), expires: None };
        let copy = kept.chunks.entry((job, append.chunk)).or_insert_with(empty);
        copy.bytes.extend_from_slice(&append.bytes);
        copy.expires = None;
        trace.raw = append.next;
        Ok(trace.stored())
    }

    async fn replace(
        &self,
        job: JobId,
        expected: Option<Bytes>,
        next: &Entry,
        status: JobStatus,
        expires: Option<Duration>,
    ) -> Result<Outcome> {
        if let Entry::Unreadable { .. } = next {
            return Err(StoreError::unreadable("embedded", "an unreadable entry is never written"));
        }
        let expires = match next {
            Entry::Tombstone(_) => expires.map(|time| self.after(time)),
            _ => None,
        };
        let mut state = self.state();
        let watched_until = match (state.kept.traces.get(&job), expected) {
            (None, None) if state.full => return Err(full()),
            (None, None) => Timestamp(0),
            (None, Some(_)) => return Ok(Outcome::Refused(Refusal::Absent)),
            (Some(trace), Some(expected)) if trace.raw == expected => trace.watched_until,
            (Some(trace), _) => return Ok(Outcome::Refused(Refusal::Changed(trace.read()))),
        };
        let trace = StoredTrace { raw: next.encode().into(), epoch: next.epoch(), status, watched_until, expires };
        let outcome = trace.stored();
        state.kept.traces.insert(job, trace);
        Ok(outcome)
    }

    async fn set_status(&self, job: JobId, status: JobStatus) -> Result<bool> {
        match self.state().kept.traces.get_mut(&job) {
            Some(trace) if !matches!(trace.read().entry, Entry::Tombstone(_)) => {
                trace.status = status;
                Ok(true)
            }
            _ => Ok(false),
        }
    }

    async fn watch(&self, job: JobId, until: Timestamp) -> Result<()> {
        if let Some(trace) = self.state().kept.traces.get_mut(&job) {
            trace.watched_until = trace.watched_until.max(until);
        }
        Ok(())
    }

    async fn read_chunk(&self, job: JobId, chunk: ChunkId) -> Result<Option<Bytes>> {
        Ok(self.state().kept.bytes(job, chunk))
    }

    async fn read_open(&self, job: JobId, chunk: ChunkId) -> Result<LiveCopy> {
        let kept = &self.state().kept;
        Ok(LiveCopy { trace: kept.traces.get(&job).map(StoredTrace::read), bytes: kept.bytes(job, chunk) })
    }

    async fn present(&self, copies: &[(JobId, ChunkId)]) -> Result<BTreeSet<(JobId, ChunkId)>> {
        let state = self.state();
        Ok(copies.iter().copied().filter(|copy| state.kept.chunks.contains_key(copy)).collect())
    }

    async fn release(&self, job: JobId, chunk: ChunkId, grace: Duration) -> Result<()> {
        let expires = self.after(grace);
        let mut state = self.state();
        match state.kept.chunks.get_mut(&(job, chunk)) {
            Some(_) if grace.is_zero() => {
                state.kept.chunks.remove(&(job, chunk));
            }
            Some(copy) if copy.expires.is_none() => copy.expires = Some(expires),
            _ => {}
        }
        Ok(())
    }

    async fn scan(&self, from: Option<Vec<u8>>, limit: usize) -> Result<ScanPage> {
        let after = from.as_deref().map(read_cursor).transpose()?;
        let state = self.state();
        let traces = state.kept.traces.keys().map(|job| Found::Trace(*job));
        let chunks = state.kept.chunks.iter().map(|((job, chunk), copy)| Found::Chunk {
            job: *job,
            chunk: *chunk,
            released: copy.expires.is_some(),
            size: ByteSize(copy.bytes.len() as u64),
        });
        // Things go by their place, not by their number in a list, so that what comes or goes shifts nothing.
        let mut rest = traces.chain(chunks).filter(|found| after.is_none_or(|after| place(found) > after));
        let found: Vec<Found> = rest.by_ref().take(limit.max(1)).collect();
        let next = rest.next().and(found.last()).map(|last| write_cursor(place(last)));
        Ok(ScanPage { found, next })
    }

    async fn usage(&self) -> Result<LiveUsage> {
        let state = self.state();
        let traces: usize = state.kept.traces.values().map(|trace| trace.raw.len()).sum();
        let chunks: usize = state.kept.chunks.values().map(|copy| copy.bytes.len()).sum();
        let mut usage = LiveUsage::default();
        usage.add(ByteSize((traces + chunks) as u64), ByteSize::ZERO);
        Ok(usage)
    }

    async fn ping(&self) -> Result<()> {
        Ok(())
    }
}

/// Where a thing stands in a scan: traces first, then copies.
type Place = (bool, JobId, Option<ChunkId>);

fn place(found: &Found) -> Place {
    match found {
        Found::Trace(job) => (false, *job, None),
        Found::Chunk { job, chunk, .. } => (true, *job, Some(*chunk)),
    }
}

fn write_cursor((_, job, chunk): Place) -> Vec<u8> {
    let chunk = chunk.map(|chunk| (chunk.index.0, chunk.epoch.0));
    serde_json::to_vec(&(job.0, chunk)).expect("numbers are always valid JSON")
}

fn read_cursor(raw: &[u8]) -> Result<Place> {
    let (job, chunk): (i64, Option<(u32, u32)>) =
        serde_json::from_slice(raw).map_err(|error| StoreError::unreadable("embedded", error))?;
    let chunk = chunk.map(|(index, epoch)| ChunkId { index: ChunkIndex(index), epoch: Epoch(epoch) });
    Ok((chunk.is_some(), JobId(job), chunk))
}
