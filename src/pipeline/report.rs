//! The integrity report of one trace: what was promised, where each copy is, and what is known of the whole.

use serde::Serialize;
use utoipa::ToSchema;

use crate::store::Result;
use crate::store::database::drills::DrillId;
use crate::store::database::{Found, Job, Mismatch, MismatchFilter, Resolution};
use crate::trace::{
    ByteSize, ChunkId, ChunkIndex, ChunkRow, ChunkState, Claim, Crc32, DataStore, Detector, Epoch, JobId, Kind,
    Location, Look, Offset, OpenEnd, ProjectId, Record, Sha256, Timestamp, TraceState, Verdict,
};

use super::Pipeline;

/// A trace's integrity, as the API shows it.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Integrity {
    /// The job.
    pub job_id: JobId,
    /// Its project.
    pub project_id: ProjectId,
    /// How far the trace reaches, in bytes.
    pub size: ByteSize,
    /// CRC-32 of the whole; absent while bytes are missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub crc32: Option<Crc32>,
    /// What the runner says, once it said it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub claim: Option<Claim>,
    /// What is known of the whole.
    pub verdict: Verdict,
    /// The chunks in order.
    pub chunks: Vec<ChunkReport>,
    /// Every mismatch that was ever confirmed.
    pub mismatches: Vec<MismatchReport>,
}

/// One chunk.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ChunkReport {
    /// Its place, from 0.
    pub index: ChunkIndex,
    /// Its size in bytes, as far as it is recorded or received.
    pub size: ByteSize,
    /// CRC-32 of these bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub crc32: Option<Crc32>,
    /// SHA-256 of these bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sha256: Option<Sha256>,
    /// The epoch in which its copy was begun.
    pub epoch: Epoch,
    /// The store that is answerable for its bytes; absent where no store has them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data_store: Option<DataStore>,
    /// Its copies.
    pub copies: Vec<CopyReport>,
}

/// One copy of a chunk.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct CopyReport {
    /// Where it lies.
    pub store: DataStore,
    /// `verified`: it was read and equals the record; `differs`, `missing`, `unreachable`: what was found instead.
    pub state: &'static str,
    /// The key, for an object.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// When it was last read and found equal, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verified_at: Option<String>,
}

/// One mismatch.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct MismatchReport {
    /// Its number.
    pub id: i64,
    /// The job.
    pub job_id: JobId,
    /// The chunk; absent for a mismatch of the whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub chunk_index: Option<ChunkIndex>,
    /// The chunk's epoch.
    pub epoch: Epoch,
    /// What is wrong.
    pub kind: Kind,
    /// Where.
    pub store: DataStore,
    /// Who found it.
    pub detector: Detector,
    /// The verification run that found it; null if none did.
    #[schema(required)]
    pub run_id: Option<i64>,
    /// The node that found it; empty where a version that did not say so did.
    pub node: String,
    /// What was promised.
    pub expected: Found,
    /// What was there.
    pub found: Found,
    /// Where in the chunk the first byte is that differs, from the chunk's start; null where not both sides' bytes were
    /// known.
    #[schema(required)]
    pub first_difference: Option<Offset>,
    /// When it was first seen, RFC 3339.
    pub first_seen: String,
    /// When it was last seen, RFC 3339.
    pub last_seen: String,
    /// How often it was seen.
    pub times_seen: u64,
    /// The drill that it is the announced damage of; null if nobody announced it.
    #[schema(required)]
    pub drill_id: Option<DrillId>,
    /// `open` or `resolved`.
    pub state: &'static str,
    /// How it was resolved.
    #[schema(required)]
    pub resolution: Option<Resolution>,
    /// Who resolved it: a person, or `veritail node NAME`; null while it is open, or where this was not written down.
    #[schema(required)]
    pub resolved_by: Option<String>,
    /// Why, in their words.
    #[schema(required)]
    pub comment: Option<String>,
    /// When it was resolved, RFC 3339.
    #[schema(required, format = DateTime)]
    pub resolved_at: Option<String>,
}

/// Mismatches shown at most.
const MISMATCHES_MAX: u32 = 1000;

impl Pipeline {
    /// The report on one trace; `None` if there is no such job. Live copies are read and compared, of persistent copies
    /// the last proof is told.
    pub async fn integrity(&self, id: JobId) -> Result<Option<Integrity>> {
        let Some(job) = self.stores().database.job(id).await? else { return Ok(None) };
        let rows = self.all_rows(id).await?;
        let end = self.open_end(&job).await?;
        let filter = MismatchFilter { job: Some(id), limit: MISMATCHES_MAX, ..MismatchFilter::default() };
        let mismatches = self.stores().database.mismatches(filter).await?;
        let mut chunks = Vec::with_capacity(rows.len());
        for row in &rows {
            if let Some(mut chunk) = self.chunk_report(id, row, end.as_ref()).await {
                apply(&mismatches, row.index, &mut chunk.copies);
                chunks.push(chunk);
            }
        }
        Ok(Some(Integrity {
            job_id: id,
            project_id: job.project,
            size: size_of(&job, end.as_ref()),
            crc32: crc32_of(&job, &rows, end.as_ref()),
            claim: job.ending.as_ref().and_then(|ending| ending.claim),
            verdict: verdict_of(&job, &mismatches),
            chunks,
            mismatches: mismatches.iter().map(MismatchReport::from).collect(),
        }))
    }

    async fn chunk_report(&self, job: JobId, row: &ChunkRow, end: Option<&OpenEnd>) -> Option<ChunkReport> {
        let live = self.stores().live.name();
        let mut copies = Vec::new();
        let (record, data_store) = match &row.state {
            ChunkState::Persisted { record, at } => {
                copies.push(persistent_copy(at, row));
                copies.extend(self.live_copy(job, row.id(), record).await.filter(|copy| copy.state != "missing"));
                (Some(*record), Some(at.store()))
            }
            ChunkState::Sealed { record } => {
                copies.extend(self.live_copy(job, row.id(), record).await);
                (Some(*record), Some(live))
            }
            ChunkState::Wanted { record, kept: Some(at), .. } => {
                copies.push(persistent_copy(at, row));
                (*record, Some(at.store()))
            }
            ChunkState::Open | ChunkState::Wanted { .. } => match end.and_then(|end| end.promised(row.index)) {
                Some((chunk, record)) if !record.size.is_zero() => {
                    copies.extend(self.live_copy(job, chunk, &record).await);
                    (Some(record), Some(live))
                }
                _ if row.is_wanted() => (row_record(row), None),
                _ => return None,
            },
        };
        Some(ChunkReport {
            index: row.index,
            size: record.map_or(ByteSize::ZERO, |record| record.size),
            crc32: record.map(|record| record.crc32),
            sha256: record.map(|record| record.sha256),
            epoch: row.epoch,
            data_store,
            copies,
        })
    }

    async fn live_copy(&self, job: JobId, chunk: ChunkId, record: &Record) -> Option<CopyReport> {
        let looked = self.look_live(job, chunk, record).await;
        let (state, verified_at) = match looked.look {
            Look::Sound => ("verified", Some(self.now().to_rfc3339())),
            Look::Differs(Kind::Missing) => ("missing", None),
            Look::Differs(_) => ("differs", None),
            Look::Moved | Look::Unreachable => ("unreachable", None),
        };
        Some(CopyReport { store: self.stores().live.name(), state, key: None, verified_at })
    }
}

/// What is known of the whole now: damage that was found after the proof, and is not resolved, makes it corrupt.
fn verdict_of(job: &Job, mismatches: &[Mismatch]) -> Verdict {
    match job.state {
        TraceState::Erased => Verdict::Erased,
        TraceState::Open | TraceState::Closing => job.verdict,
        _ if mismatches.iter().any(|mismatch| mismatch.resolved.is_none()) => Verdict::Corrupt,
        _ => job.verdict,
    }
}

/// The open mismatch of a chunk's copy in a store says what the copy is.
fn apply(mismatches: &[Mismatch], index: ChunkIndex, copies: &mut [CopyReport]) {
    for copy in copies {
        let open = mismatches.iter().find(|mismatch| {
            let what = &mismatch.what;
            mismatch.resolved.is_none() && what.chunk == Some(index) && what.store == copy.store
        });
        if let Some(mismatch) = open.filter(|_| copy.state == "verified" && copy.key.is_some()) {
            copy.state = if mismatch.what.kind == Kind::Missing { "missing" } else { "differs" };
            copy.verified_at = None;
        }
    }
}

fn persistent_copy(at: &Location, row: &ChunkRow) -> CopyReport {
    let (store, key) = (at.store(), Some(at.object().key.clone()));
    CopyReport { store, state: "verified", key, verified_at: row.persisted_at.map(Timestamp::to_rfc3339) }
}

fn row_record(row: &ChunkRow) -> Option<Record> {
    match row.state {
        ChunkState::Wanted { record, .. } => record,
        _ => row.record().copied(),
    }
}

fn size_of(job: &Job, end: Option<&OpenEnd>) -> ByteSize {
    job.size.unwrap_or_else(|| end.map_or(ByteSize::ZERO, |end| end.length() - Offset::ZERO))
}

/// The whole CRC-32: as proven, or so far.
fn crc32_of(job: &Job, rows: &[ChunkRow], end: Option<&OpenEnd>) -> Option<Crc32> {
    if !matches!(job.state, TraceState::Open | TraceState::Closing) {
        return job.crc32;
    }
    let end = end?;
    let mut crc32 = Crc32::default();
    for span in job.chunk_size.spans(Offset::ZERO, end.length()) {
        let recorded = rows.iter().find(|row| row.index == span.index).and_then(ChunkRow::record).copied();
        let record = recorded.or_else(|| end.promised(span.index).map(|(_, record)| record))?;
        crc32 = crc32.then(record.crc32, record.size);
    }
    Some(crc32)
}

impl From<&Mismatch> for MismatchReport {
    fn from(mismatch: &Mismatch) -> Self {
        let what = &mismatch.what;
        Self {
            id: mismatch.id,
            job_id: what.job,
            chunk_index: what.chunk,
            epoch: what.epoch,
            kind: what.kind,
            store: what.store,
            detector: what.detector,
            run_id: what.run,
            node: what.node.clone(),
            expected: what.expected.clone(),
            found: what.found.clone(),
            first_difference: what.first_difference,
            first_seen: what.at.to_rfc3339(),
            last_seen: mismatch.last_seen.to_rfc3339(),
            times_seen: mismatch.times_seen,
            drill_id: mismatch.drill,
            state: if mismatch.resolved.is_some() { "resolved" } else { "open" },
            resolution: mismatch.resolved.map(|(resolution, _)| resolution),
            resolved_by: mismatch.note.as_ref().map(|note| note.by.clone()),
            comment: mismatch.note.as_ref().map(|note| note.comment.clone()),
            resolved_at: mismatch.resolved.map(|(_, at)| at.to_rfc3339()),
        }
    }
}
