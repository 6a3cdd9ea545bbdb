//! Live copies that nobody needs any more, or that nobody here knows.
//!
//! The sweep of the live store removes what is proven elsewhere or over. What it left for a long time is written down; what
//! belongs to a job that the database does not know is perhaps another installation's, and left alone.

use std::time::Duration;

use crate::store::Result;
use crate::store::database::{Found, Job};
use crate::trace::{ChunkId, ChunkState, JobId, Kind, Record, Timestamp, TraceState};

use super::{Examiner, Pipeline};

impl Pipeline {
    /// Whether a live copy is there and nobody's: its job is unknown, or nobody needed it for `grace`. A job is known before its
    /// first live byte, and for ever, so an unknown one needs no grace.
    pub(super) async fn left_over(&self, id: JobId, chunk: ChunkId, grace: Duration) -> Result<bool> {
        if self.stores().live.present(&[(id, chunk)]).await?.is_empty() {
            return Ok(false);
        }
        match self.stores().database.job(id).await? {
            None => Ok(true),
            Some(job) => self.was_left_over(&job, chunk, grace).await,
        }
    }

    /// True if nobody needed a live copy of this job's for `grace`.
    pub async fn was_left_over(&self, job: &Job, chunk: ChunkId, grace: Duration) -> Result<bool> {
        let by = self.now().before(grace);
        if job.created_at > by {
            return Ok(false);
        }
        Ok(self.unneeded_since(job, chunk).await?.is_some_and(|since| since <= by))
    }

    /// Since when this copy or a later one of its chunk is proven elsewhere, or the trace is over.
    async fn unneeded_since(&self, job: &Job, chunk: ChunkId) -> Result<Option<Timestamp>> {
        let over = match job.state {
            TraceState::Open | TraceState::Closing => None,
            TraceState::Closed | TraceState::Archived => job.closed_at,
            TraceState::Erased => job.erased.as_ref().map(|(at, _)| *at),
        };
        let row = self.stores().database.chunk(job.id, chunk.index).await?;
        let proven = row.filter(|row| matches!(row.state, ChunkState::Persisted { .. }) && row.epoch >= chunk.epoch);
        Ok(over.into_iter().chain(proven.and_then(|row| row.persisted_at)).min())
    }

    /// Looks at such a copy once more and writes it down. False if it is gone by now, or needed.
    pub async fn note_left_over(&self, id: JobId, chunk: ChunkId, examiner: Examiner, grace: Duration) -> Result<bool> {
        let live = self.stores().live.as_ref();
        let Some(bytes) = live.read_chunk(id, chunk).await? else { return Ok(false) };
        if !self.left_over(id, chunk, grace).await? {
            return Ok(false);
        }
        let found = Found::from(&Record::of(&bytes));
        let place = (id, Some(chunk.index), chunk.epoch);
        self.note_without_row(place, (Kind::Orphan, live.name(), examiner.into()), found).await?;
        Ok(true)
    }
}
