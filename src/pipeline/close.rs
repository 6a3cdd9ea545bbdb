//! Close: the end of a trace's life in the live store.
//!
//! What is wrong is written down before the verdict is; the verdict is in the database before the live entry goes; and
//! the live entry goes by becoming a tombstone, so that a stalled node cannot bring the trace back to life.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::store::Result;
use crate::store::database::{Closing, Job, Mismatch, MismatchFilter, Resolution};
use crate::telemetry::metrics::{self, ClientChecksum, Operation, RewindCause, RewindResult};
use crate::trace::proof::{Whole, persistent_record};
use crate::trace::ranges::Ranges;
use crate::trace::{
    ByteSize, ChunkIndex, ChunkRow, ChunkSize, ChunkState, DataStore, Detector, JobId, Kind, Look, Offset, Origin,
    Verdict,
};

use super::evaluate::{Evaluated, Step};
use super::gap::overlaps;
use super::loss::{BadCopy, reaches};
use super::{Pipeline, points};

/// Open mismatches of one trace that are looked through.
const MISMATCHES_MAX: u32 = 10_000;

impl Pipeline {
    /// Closes a trace with its verdict.
    pub(super) async fn close(&self, job: &Job, whole: &Whole, verdict: Verdict) -> Result<Step> {
        self.point(points::DECIDED).await;
        let closing = Closing {
            verdict,
            size: whole.length - Offset::ZERO,
            crc32: whole.crc32.filter(|_| verdict != Verdict::Corrupt),
            at: self.now(),
        };
        if !self.stores().database.close(job.id, job.epoch, &closing).await? {
            return Ok(Step::Again(false));
        }
        self.point(points::CLOSED).await;
        self.count_closed(job, &closing);
        let Some(closed) = self.stores().database.job(job.id).await? else { return Ok(Step::End(Evaluated::Unknown)) };
        if let Err(error) = self.bury(&closed).await {
            // The verdict stands; the sweeper buries every job that closed lately.
            tracing::warn!(job_id = job.id.0, %error, "job {}: closed, its live entry is still there", job.id);
        }
        Ok(Step::End(Evaluated::Over(Box::new(closed))))
    }

    /// Makes sure that everything missing from a trace that closes as corrupt has an open mismatch. False if the trace
    /// changed meanwhile: look again.
    pub(super) async fn note_missing(
        &self,
        job: &Job,
        rows: &[ChunkRow],
        whole: &Whole,
        required: Offset,
    ) -> Result<bool> {
        let mut unmoved = true;
        let noted: Ranges =
            self.open_mismatches(job.id).await?.iter().filter_map(|known| chunks_of(known, job.chunk_size)).collect();
        let lost = whole.holes().without(&noted);
        let mut recorded = Vec::new();
        for row in rows.iter().filter(|row| lost.contains(row.index)) {
            if let ChunkState::Wanted { record: Some(record), .. } = &row.state {
                let label = (Kind::Missing, self.stores().live.name(), Detector::Finalize.into());
                unmoved &= self.note_difference(job, row, record, label, BadCopy::default()).await? != Look::Moved;
                recorded.push(row.index);
            }
        }
        // Of the others only their place is known, or a record that cannot be: one gap, however many chunks in a row that is.
        for chunks in lost.without(&recorded.into_iter().collect()).iter() {
            let [from, to] = [chunks.start, chunks.end].map(|index| Offset(index * job.chunk_size.bytes().0));
            unmoved &= self.note_gap(job, from, whole.length.min(to), Detector::Finalize).await?;
        }
        if whole.length < required {
            unmoved &= self.note_gap(job, whole.length, required, Detector::Finalize).await?;
        }
        if unmoved {
            metrics::rewind(RewindCause::Hole, RewindResult::GivenUp);
        }
        Ok(unmoved)
    }

    /// The whole equals the runner's claim: what was taken for a gap is none, nothing below it is filler, and no chunk
    /// has to be longer than it is. A gap may reach over many chunks, each of which may have a mismatch that was left open
    /// on its account.
    pub(super) async fn heal_all(&self, job: &Job, rows: &[ChunkRow], gaps: &[(Offset, Offset)]) -> Result<()> {
        for (from, _) in gaps {
            self.note_resent(job.id, job.chunk_size.index_of(*from)).await?;
        }
        self.note_healed(job, rows, &[], true).await.map(drop)
    }

    /// Resolves the mismatches of chunks that are good again: begun anew after the mismatch, or proven elsewhere although
    /// the live copy seemed lost. A crash between a refill and its note leaves this to be done here. Until `is_whole`, bytes
    /// that were lost have come again only where the chunk reaches as far as it did. True if some stay open.
    pub(super) async fn note_healed(
        &self,
        job: &Job,
        rows: &[ChunkRow],
        gaps: &[(Offset, Offset)],
        is_whole: bool,
    ) -> Result<bool> {
        type Healed = Option<(Resolution, &'static str)>;
        let mut healed: BTreeMap<ChunkIndex, Healed> = BTreeMap::new();
        for mismatch in self.open_mismatches(job.id).await? {
            let Some(index) = mismatch.what.chunk else { continue };
            let is_of_row = (mismatch.what.kind, mismatch.what.store) == (Kind::Record, DataStore::Database);
            if is_of_row && self.is_far_beyond(job, index) && !rows.iter().any(|row| row.index == index) {
                // A number that could not be, and that no row has any more.
                healed.entry(index).or_insert(Some((Resolution::Repaired, "no row has this number any more")));
                continue;
            }
            let good = |row: &&ChunkRow| {
                let is_as_long = is_whole || reaches(row, &mismatch.what);
                row.index == index && persistent_record(row).is_some() && is_as_long
            };
            let row = rows.iter().find(good).filter(|_| !overlaps(gaps, job.chunk_size, index));
            let resolution = match row {
                Some(row) if row.epoch > mismatch.what.epoch => {
                    Some((Resolution::Resent, "the bytes were sent again, and proven in a persistent store"))
                }
                Some(_) if mismatch.what.store == self.stores().live.name() => {
                    Some((Resolution::Repaired, "the bytes were proven in a persistent store"))
                }
                _ => None,
            };
            // One mismatch that is still true keeps the chunk's others open.
            healed.entry(index).and_modify(|so_far| *so_far = so_far.and(resolution)).or_insert(resolution);
        }
        let stay_open = healed.values().any(Option::is_none);
        for (index, resolution) in healed {
            if let Some((resolution, why)) = resolution {
                self.resolve(job.id, index, resolution, why).await?;
            }
        }
        Ok(stay_open)
    }

    pub(super) async fn open_mismatches(&self, job: JobId) -> Result<Vec<Mismatch>> {
        let filter = MismatchFilter { job: Some(job), open: Some(true), limit: MISMATCHES_MAX, ..Default::default() };
        self.stores().database.mismatches(filter).await
    }

    fn count_closed(&self, job: &Job, closing: &Closing) {
        let Closing { verdict, size, at, .. } = *closing;
        metrics::trace_size(size);
        metrics::closed(job.ended_at.map_or(0, |ended| at.ms_since(ended)));
        metrics::operation(Operation::Finalized);
        let by_runner = job.ending.as_ref().is_some_and(|ending| ending.origin == Origin::Runner);
        match verdict {
            Verdict::Verified => {
                metrics::client_checksum(ClientChecksum::Match);
                metrics::e2e_checksum(true);
            }
            Verdict::RunnerDisagrees => {
                metrics::operation(Operation::Invalid);
                metrics::client_checksum(ClientChecksum::Mismatch);
            }
            Verdict::Corrupt => {
                metrics::operation(Operation::Corrupted);
                metrics::e2e_checksum(false);
            }
            Verdict::Unclaimed if by_runner => metrics::client_checksum(ClientChecksum::Absent),
            _ => {}
        }
        let (id, size): (JobId, ByteSize) = (job.id, size);
        tracing::info!(job_id = id.0, %verdict, size = size.0, "job {id}: closed, {verdict}, {size} bytes");
    }
}

/// The chunks that a mismatch speaks for: the one it names and, of a gap, all that it takes to their ends.
fn chunks_of(mismatch: &Mismatch, chunk_size: ChunkSize) -> Option<Range<u64>> {
    let first = u64::from(mismatch.what.chunk?.0);
    let expected = &mismatch.what.expected;
    let gap = expected.offset.zip(expected.size).filter(|_| mismatch.what.kind == Kind::Gap);
    let end = gap.map(|(from, size)| (from + size).0 / chunk_size.bytes().0);
    Some(first..end.unwrap_or_default().max(first + 1))
}
