//! Gaps: bytes that were acknowledged, are lost, and whose client cannot send them again.
//!
//! Such a client goes on at the offset where it is. The rest of its log is worth keeping, so the lost range is written
//! down as an open mismatch first, then filled with NUL bytes, so that every later byte keeps its offset. The filler is
//! never served as good: readers meet the mismatch before they meet the filler.

use bytes::Bytes;

use crate::store::Result;
use crate::store::database::{Job, MismatchFilter, Resolution, Rewind};
use crate::trace::{ByteSize, ChunkIndex, ChunkSize, Detector, JobId, Kind, Offset, TraceState};

use super::Pipeline;
use super::reconcile::{Agreed, Reconciled};

/// How far above the known acknowledged length a client may go on: far more than arrives within the second that the
/// database is late. It bounds how much filler one request can make.
const AHEAD_MAX: ByteSize = ByteSize(16 * 1024 * 1024);
/// The most mismatches of one trace that are looked through for gaps.
const GAPS_MAX: u32 = 10_000;

impl Pipeline {
    /// Where a client that cannot send again goes on behind a loss: at what was acknowledged to it, or a little above,
    /// since the database learns of that a second late. Answers whether the gap was filled.
    pub(super) async fn take_gap(&self, agreed: &Agreed, start: Offset) -> Result<bool> {
        let job = &agreed.job;
        let (from, acknowledged) = (agreed.end.write_position(), self.acknowledged(job));
        let plausible = from < acknowledged && start >= acknowledged && start - acknowledged <= AHEAD_MAX;
        if job.trace_reset != Some(false) || !plausible {
            return Ok(false);
        }
        // Each gap has an epoch of its own, and with it a mismatch of its own: a second one in the same chunk would
        // otherwise be taken for the first, with the first one's range.
        let Some((job, from)) = self.epoch_for_gap(job).await? else { return Ok(false) };
        if from >= start || !self.note_gap(&job, from, start, Detector::Append).await? {
            return Ok(false);
        }
        let filler = futures::stream::unfold(start - from, |left| async move {
            let size = left.min(super::slices::SLICE_MAX);
            (!size.is_zero()).then(|| (Ok(Bytes::from(vec![0; size.as_usize()])), left - size))
        });
        let request = super::AppendRequest {
            job: job.id,
            made_at: job.created_at,
            trace_limit: ByteSize::ZERO,
            start: from,
            declared: Some(start - from),
        };
        let filled = Box::pin(self.append(request, Box::pin(filler))).await?;
        Ok(matches!(filled, super::Appended::Accepted { .. }))
    }

    /// Raises the epoch. Answers the job in it, and where it is written now; `None` if somebody else was first.
    async fn epoch_for_gap(&self, job: &Job) -> Result<Option<(Job, Offset)>> {
        let rewind = Rewind::of(job, self.now());
        if !self.stores().database.rewind(job.id, &rewind).await? {
            return Ok(None);
        }
        match self.reconcile(job.id, false, Detector::Append).await? {
            Reconciled::Live(agreed) if agreed.job.state == TraceState::Open => {
                let from = agreed.end.write_position();
                Ok(Some((agreed.job, from)))
            }
            _ => Ok(None),
        }
    }

    /// True if a chunk holds filler: writing it heals nothing.
    pub(super) async fn holds_filler(&self, job: &Job, index: ChunkIndex) -> Result<bool> {
        let gaps = self.gaps(job.id).await?;
        Ok(overlaps(&gaps, job.chunk_size, index))
    }

    /// The ranges of a trace that are known to be lost although chunks cover them, in order.
    pub(super) async fn gaps(&self, job: JobId) -> Result<Vec<(Offset, Offset)>> {
        let filter = MismatchFilter { job: Some(job), limit: GAPS_MAX, ..MismatchFilter::default() };
        let mut gaps: Vec<(Offset, Offset)> = self
            .stores()
            .database
            .mismatches(filter)
            .await?
            .into_iter()
            .filter(|mismatch| {
                let healed = matches!(mismatch.resolved, Some((Resolution::Resent | Resolution::Repaired, _)));
                mismatch.what.kind == Kind::Gap && !healed
            })
            .filter_map(|mismatch| Some((mismatch.what.expected.offset?, mismatch.what.expected.size?)))
            .map(|(offset, size)| (offset, offset + size))
            .collect();
        gaps.sort();
        Ok(gaps)
    }
}

/// True if one of the ranges reaches into the chunk.
pub(super) fn overlaps(gaps: &[(Offset, Offset)], chunk_size: ChunkSize, index: ChunkIndex) -> bool {
    let (start, end) = (chunk_size.start_of(index), chunk_size.start_of(index.next()));
    gaps.iter().any(|(from, to)| *from < end && *to > start)
}
