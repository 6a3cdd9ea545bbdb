//! The whole of a finished trace: its chunks must add up to what was proven when it closed.

use crate::store::Result;
use crate::store::database::{Basis, Found, Job, NewMismatch};
use crate::trace::proof::Whole;
use crate::trace::{ChunkRow, DataStore, JobId, Kind, Offset, TraceState, Verdict};

use super::{Examiner, Pipeline};

impl Pipeline {
    /// Adds up the records of a finished trace. Answers what differs from what was proven, which is nothing for a trace
    /// that is not finished, or has a chunk that is not as recorded: that says more about what is wrong. Of one that closed
    /// as corrupt only its length was proven.
    pub async fn examine_whole(&self, id: JobId, examiner: Examiner) -> Result<Option<Kind>> {
        let Some((job, kind, whole)) = self.weigh_whole(id).await? else { return Ok(None) };
        // Every copy is as recorded: what does not add up are rows.
        let label = (kind, DataStore::Database, examiner.into());
        let mismatch = NewMismatch {
            expected: Found { size: job.size, crc32: job.crc32, ..Found::default() },
            found: Found { size: Some(whole.length - Offset::ZERO), crc32: whole.crc32, ..Found::default() },
            ..self.found_now((id, None, job.epoch), label)
        };
        if self.is_acknowledged(&mismatch).await? {
            // Nothing of it is read again and again.
            return Ok(Some(kind));
        }
        if !self.are_chunks_sound(id, examiner).await? {
            return Ok(None);
        }
        // Once more: job and rows are not read in one step.
        let Some((again, second, as_before)) = self.weigh_whole(id).await? else { return Ok(None) };
        if second != kind || again.epoch != job.epoch || as_before != whole {
            return Ok(None);
        }
        self.note_mismatch(mismatch, Basis::Closed(job.epoch)).await?;
        Ok(Some(kind))
    }

    /// True if every chunk of the trace is found as recorded now. One that changed since the last look at it says more
    /// about what is wrong than the whole.
    async fn are_chunks_sound(&self, job: JobId, examiner: Examiner) -> Result<bool> {
        for row in self.all_rows(job).await? {
            let looked = self.examine(job, &row, examiner).await?.tally;
            if looked.sound < looked.looks {
                return Ok(false);
            }
        }
        Ok(true)
    }

    async fn weigh_whole(&self, id: JobId) -> Result<Option<(Job, Kind, Whole)>> {
        let Some(job) = self.stores().database.job(id).await?.filter(is_proven) else { return Ok(None) };
        let whole = Whole::of(&self.all_rows(id).await?, job.chunk_size);
        Ok(difference(&job, &whole).map(|kind| (job, kind, whole)))
    }
}

/// True for a trace of which something was proven when it closed.
pub fn is_proven(job: &Job) -> bool {
    job.state == TraceState::Closed && (was_whole(job) || job.verdict == Verdict::Corrupt)
}

/// True if a trace's chunks are what was proven, `rows` being all of them in order, or those with a persistent copy: a lost chunk
/// leaves a hole or a shorter whole either way, but for one behind the proven end. Where they are not, it takes
/// [`examine_whole`](Pipeline::examine_whole) to say so: they may have been read in the middle of a change.
pub fn adds_up<'a>(job: &Job, rows: impl IntoIterator<Item = &'a ChunkRow, IntoIter: Clone>) -> bool {
    difference(job, &Whole::of(rows, job.chunk_size)).is_none()
}

fn was_whole(job: &Job) -> bool {
    matches!(job.verdict, Verdict::Verified | Verdict::Unclaimed | Verdict::RunnerDisagrees)
}

/// What of a proven trace is not as it was.
fn difference(job: &Job, whole: &Whole) -> Option<Kind> {
    let is_as_long = Some(whole.length - Offset::ZERO) == job.size;
    if !is_as_long || (was_whole(job) && !whole.holes().is_empty()) {
        Some(Kind::TraceSize)
    } else if was_whole(job) && whole.crc32 != job.crc32 {
        Some(Kind::TraceChecksum)
    } else {
        None
    }
}
