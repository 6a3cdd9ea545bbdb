//! The open end of a trace that is not over: live bytes, their length and the checksum state beside them, against each
//! other. Bytes and state are read in one step, so a trace that is written at full speed never looks wrong.

use crate::store::database::{Basis, Found, Job, NewMismatch};
use crate::store::live::Entry;
use crate::store::{Result, StoreError};
use crate::telemetry::verification as telemetry;
use crate::trace::verdict::{Seen, judge};
use crate::trace::{ByteSize, ChunkId, ChunkIndex, DataStore, JobId, Kind, Look, Offset, OpenEnd, Record, Tally};

use super::{Examined, Examiner, Pipeline};

impl Pipeline {
    /// Looks at the live bytes of an unfinished trace that no record in the database speaks for yet.
    pub async fn examine_open_end(&self, job: &Job, examiner: Examiner) -> Result<Examined> {
        let mut examined = Examined::default();
        let end = self.open_end(job).await?;
        if holds(end.as_ref()) < job.acked_length && self.is_short(job).await? {
            // It is asked for with the next append. Written down as a gap it is once nobody can send it any more.
            examined.tally.count(Look::Differs(Kind::Gap), ByteSize::ZERO);
            examined.differences.push((Kind::Gap, self.stores().live.name()));
        }
        for index in end.iter().flat_map(unrecorded) {
            examined.tally.chunks += 1;
            let began = self.now();
            let (mut look, mut found) = self.look_at_open_chunk(job, index).await?;
            if matches!(look, Look::Differs(_)) {
                (look, found) = self.look_at_open_chunk(job, index).await?;
            }
            let read = found.as_ref().map_or(ByteSize::ZERO, |found| found.size);
            if let Look::Differs(kind) = look {
                look = self.note_open_difference(job, index, kind, found, examiner).await?;
            }
            if let Look::Differs(kind) = look {
                examined.differences.push((kind, self.stores().live.name()));
            }
            examined.tally.count(look, read);
            telemetry::looked(self.stores().live.name(), look, read, self.now().ms_since(began));
        }
        if !examined.differences.is_empty() && examiner.heals {
            // The write position moves back, and the runner sends what is missing with its next append.
            self.reconcile(job.id, true, examiner.detector).await?;
        }
        Ok(examined)
    }

    /// Whether the live store still holds less than was acknowledged, with the job read before it once more.
    async fn is_short(&self, job: &Job) -> Result<bool> {
        let now = self.stores().database.job(job.id).await?;
        let Some(now) = now.filter(|now| now.epoch == job.epoch && now.is_unfinished()) else { return Ok(false) };
        Ok(holds(self.open_end(&now).await?.as_ref()) < now.acked_length)
    }

    /// The open end that the live store has of this job, in this epoch, if it is where it can be.
    pub(in crate::pipeline) async fn open_end(&self, job: &Job) -> Result<Option<OpenEnd>> {
        let entry = self.stores().live.load(job.id).await?.map(|trace| trace.entry);
        self.of_epoch(entry, job).await
    }

    async fn of_epoch(&self, entry: Option<Entry>, job: &Job) -> Result<Option<OpenEnd>> {
        let Some(entry) = entry else { return Ok(None) };
        Ok(self.end_of(job, &entry).await?.filter(|end| end.epoch == job.epoch))
    }

    /// One look: bytes and promise of the same moment.
    async fn look_at_open_chunk(&self, job: &Job, index: ChunkIndex) -> Result<(Look, Option<Record>)> {
        let Some((chunk, _)) = self.promised(job, index).await? else { return Ok((Look::Moved, None)) };
        let copy = self.stores().live.read_open(job.id, chunk).await?;
        let end = self.of_epoch(copy.trace.map(|trace| trace.entry), job).await?;
        let Some((_, record)) = end.and_then(|end| end.promised(index)).filter(|now| now.0 == chunk) else {
            return Ok((Look::Moved, None));
        };
        let found = copy.bytes.as_deref().map(Record::of);
        Ok((judge(&record, found.map_or(Seen::Absent, Seen::Raw)), found))
    }

    async fn promised(&self, job: &Job, index: ChunkIndex) -> Result<Option<(ChunkId, Record)>> {
        Ok(self.open_end(job).await?.and_then(|end| end.promised(index)))
    }

    /// Once a chunk has a record in the database, that speaks for it, and its live copy may be gone.
    async fn has_row_with_record(&self, job: &Job, index: ChunkIndex) -> Result<bool> {
        let row = self.stores().database.chunk(job.id, index).await?;
        Ok(row.is_some_and(|row| row.record().is_some()))
    }

    async fn note_open_difference(
        &self,
        job: &Job,
        index: ChunkIndex,
        kind: Kind,
        found: Option<Record>,
        examiner: Examiner,
    ) -> Result<Look> {
        // The promise as it is now: the chunk may have grown since the look.
        let Some((chunk, record)) = self.promised(job, index).await? else { return Ok(Look::Moved) };
        if self.has_row_with_record(job, index).await? {
            return Ok(Look::Moved);
        }
        // Without a record in the database, state and bytes are both the live store's.
        let label = (kind, self.stores().live.name(), examiner.into());
        let mismatch = NewMismatch {
            expected: (&record).into(),
            found: found.as_ref().map(Found::from).unwrap_or_default(),
            ..self.found_now((job.id, Some(index), chunk.epoch), label)
        };
        let noted = self.note_mismatch(mismatch, Basis::Trace(job.epoch)).await?;
        Ok(Look::Differs(kind).confirmed_if(noted))
    }

    /// An unfinished job as it is now, with what its live bytes came to; for a job that is over, nothing. A live store that
    /// cannot be asked, in a Cluster perhaps about this job only, is a look that did not reach it: whoever looks goes on.
    pub async fn examine_unfinished(&self, job: JobId, examiner: Examiner) -> Result<Tally> {
        match self.stores().database.job(job).await? {
            Some(job) => self.examine_if_unfinished(&job, examiner).await,
            None => Ok(Tally::default()),
        }
    }

    /// The same for a job whose row was read a moment ago.
    pub async fn examine_if_unfinished(&self, job: &Job, examiner: Examiner) -> Result<Tally> {
        if !job.is_unfinished() || job.installed_epoch.is_none() {
            return Ok(Tally::default());
        }
        let began = self.now();
        match self.examine_open_end(job, examiner).await {
            Ok(examined) => Ok(examined.tally),
            // Without the database there is nothing to go on to.
            Err(error @ StoreError::Unavailable { store, .. }) if store == DataStore::Database.as_str() => Err(error),
            Err(error) => {
                tracing::warn!(job_id = job.id.0, %error, "the open end of job {} could not be looked at", job.id);
                let mut tally = Tally { chunks: 1, ..Tally::default() };
                tally.count(Look::Unreachable, ByteSize::ZERO);
                let took_ms = self.now().ms_since(began);
                telemetry::looked(self.stores().live.name(), Look::Unreachable, ByteSize::ZERO, took_ms);
                Ok(tally)
            }
        }
    }
}

fn holds(end: Option<&OpenEnd>) -> Offset {
    end.map_or(Offset::ZERO, OpenEnd::length)
}

/// Chunks with bytes whose record lies beside the open end, and perhaps there only.
fn unrecorded(end: &OpenEnd) -> Vec<ChunkIndex> {
    let heads = [Some(&end.tail), end.fill.as_ref()].into_iter().flatten();
    let open = heads.filter(|head| !head.size.is_zero() && head.midstate.is_some()).map(|head| head.chunk.index);
    open.chain(end.sealed.keys().copied()).collect()
}
