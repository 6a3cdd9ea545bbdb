//! The sweep of the live store: keys that nobody needs any more.
//!
//! A crash between the flip of a row and the release leaves a live copy behind; a restored live store brings back what
//! was long gone. The database says what each key is worth. Nothing is removed that is not proven elsewhere: the remains
//! of a chunk that was lost are put into quarantine first.

use std::collections::BTreeMap;
use std::sync::PoisonError;
use std::time::Duration;

use crate::store::Result;
use crate::store::database::Job;
use crate::store::live::Found;
use crate::store::object::keys;
use crate::trace::{ByteSize, ChunkId, ChunkState, JobId, Timestamp, TraceState};

use super::Pipeline;
use super::sweep::SweepReport;

/// Keys fetched at a time.
const PAGE: usize = 500;

/// What a sweep of the live store met that was not released.
#[derive(Clone, Copy, Debug, Default)]
pub struct LiveCount {
    /// Copies of chunks.
    pub chunks: u64,
    /// Their bytes.
    pub bytes: ByteSize,
    /// When the sweep began.
    pub at: Timestamp,
}

impl Pipeline {
    /// One sweep over all keys of the live store. Fails only if the store cannot be scanned.
    pub async fn sweep_live(&self) -> Result<SweepReport> {
        let mut report = SweepReport::default();
        let mut count = LiveCount { at: self.now(), ..LiveCount::default() };
        let mut from = None;
        loop {
            let page = self.stores().live.scan(from, PAGE).await?;
            // Within one page a job is looked up once.
            let mut by_job: BTreeMap<JobId, Vec<Found>> = BTreeMap::new();
            for found in page.found {
                if let Found::Chunk { released: false, size, .. } = found {
                    count.chunks += 1;
                    count.bytes = count.bytes + size;
                }
                match found {
                    Found::Chunk { released: true, .. } => {}
                    Found::Trace(job) | Found::Chunk { job, .. } => by_job.entry(job).or_default().push(found),
                }
            }
            let work = by_job.into_iter().map(|(job, found)| async move { (job, self.sweep_keys(job, &found).await) });
            for (job, swept) in self.side_by_side(work).await {
                for swept in swept {
                    if report.count("sweeping a live key", job, swept) == Some(true) {
                        report.removed += 1;
                    }
                }
            }
            match page.next {
                Some(next) => from = Some(next),
                None => break,
            }
        }
        *self.live_count.lock().unwrap_or_else(PoisonError::into_inner) = Some(count);
        Ok(report)
    }

    /// What this node counted in the live store at its last sweep of it; `None` if it never swept.
    pub fn live_count(&self) -> Option<LiveCount> {
        *self.live_count.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The keys of one job; for each whether a copy was removed.
    async fn sweep_keys(&self, id: JobId, found: &[Found]) -> Vec<Result<bool>> {
        let job = match self.stores().database.job(id).await {
            Ok(Some(job)) => job,
            Ok(None) => {
                // A job that this database does not know: perhaps it is the wrong database. A person must look.
                tracing::warn!(
                    job_id = id.0,
                    "job {id}: in the live store and not in the database; its keys are left alone"
                );
                return Vec::new();
            }
            Err(error) => return vec![Err(error)],
        };
        let mut swept = Vec::new();
        for found in found {
            swept.push(self.sweep_key(&job, *found).await);
        }
        swept
    }

    async fn sweep_key(&self, job: &Job, found: Found) -> Result<bool> {
        let over = !matches!(job.state, TraceState::Open | TraceState::Closing);
        match found {
            Found::Trace(_) if over => self.bury(job).await.map(|()| false),
            Found::Trace(_) => Ok(false),
            Found::Chunk { chunk, .. } => self.sweep_copy(job, chunk, over).await,
        }
    }

    async fn sweep_copy(&self, job: &Job, chunk: ChunkId, over: bool) -> Result<bool> {
        let row = self.stores().database.chunk(job.id, chunk.index).await?;
        let live = &self.stores().live;
        match row.map(|row| (row.epoch, row.state)) {
            Some((epoch, ChunkState::Persisted { .. })) if epoch == chunk.epoch => {
                live.release(job.id, chunk, self.settings().live_grace).await?;
            }
            // A later copy of the same chunk is proven.
            Some((epoch, ChunkState::Persisted { .. })) if epoch > chunk.epoch => {
                live.release(job.id, chunk, Duration::ZERO).await?;
            }
            _ if over && job.state != TraceState::Erased => {
                self.quarantine(job.id, chunk).await?;
                live.release(job.id, chunk, Duration::ZERO).await?;
            }
            _ if over => live.release(job.id, chunk, Duration::ZERO).await?,
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Keeps bytes that no row speaks for: nothing bad is thrown away.
    async fn quarantine(&self, job: JobId, chunk: ChunkId) -> Result<()> {
        let Some(bytes) = self.stores().live.read_chunk(job, chunk).await? else { return Ok(()) };
        let key = keys::quarantine_key(job, chunk.index, chunk.epoch, &self.seams().chance.name());
        self.stores().objects.put(&key, bytes).await?;
        tracing::warn!(job_id = job.0, key, "job {job}: the remains of chunk {} are in quarantine", chunk.index);
        Ok(())
    }
}
