//! The live store's writes, each against the state as the writes before it leave it.
//!
//! The order of the checks is the contract's; whatever is refused has changed nothing.

use bytes::Bytes;

use super::batch::Batch;
use super::layout::{CopyRecord, TraceRecord};
use crate::store::Result;
use crate::store::live::{Append, Entry, LiveTrace, Outcome, Refusal};
use crate::trace::{ByteSize, ChunkId, JobId, JobStatus, Timestamp};

pub(super) fn append(batch: &mut Batch<'_>, job: JobId, append: Append) -> Result<Outcome> {
    batch.has_room()?;
    let Some(trace) = batch.trace(job)? else { return Ok(Outcome::Refused(Refusal::Absent)) };
    if trace.epoch != append.epoch || trace.raw != append.expected {
        return Ok(Outcome::Refused(Refusal::Changed(trace.into())));
    }
    let found = batch.copy(job, append.chunk)?.map_or(ByteSize::ZERO, |copy| copy.size);
    if found != append.at {
        return Ok(Outcome::Refused(Refusal::ChunkSize { found }));
    }
    // An expired copy of the same name may not be removed yet. Its pieces must not become part of the new one.
    let leftover = if found.is_zero() { batch.piece_keys(job, append.chunk)? } else { Vec::new() };

    batch.remove_pieces(leftover);
    let size = found + ByteSize::of(&append.bytes);
    batch.add_piece(job, append.chunk, found, append.bytes);
    // The bytes that came now were not released: a copy that takes more of them stays.
    batch.set_copy(job, append.chunk, CopyRecord { size, expires: None });
    let next = TraceRecord { raw: append.next, ..trace };
    let outcome = next.stored();
    batch.set_trace(job, next);
    Ok(outcome)
}

pub(super) fn replace(
    batch: &mut Batch<'_>,
    job: JobId,
    expected: Option<Bytes>,
    next: TraceRecord,
) -> Result<Outcome> {
    let watched_until = match (batch.trace(job)?, expected) {
        (None, None) => {
            batch.has_room()?;
            Timestamp::default()
        }
        (None, Some(_)) => return Ok(Outcome::Refused(Refusal::Absent)),
        (Some(trace), Some(expected)) if trace.raw == expected => trace.watched_until,
        (Some(trace), _) => return Ok(Outcome::Refused(Refusal::Changed(trace.into()))),
    };
    let next = TraceRecord { watched_until, ..next };
    let outcome = next.stored();
    batch.set_trace(job, next);
    Ok(outcome)
}

pub(super) fn set_status(batch: &mut Batch<'_>, job: JobId, status: JobStatus) -> Result<bool> {
    let Some(trace) = batch.trace(job)? else { return Ok(false) };
    if let Entry::Tombstone(_) = LiveTrace::from(trace.clone()).entry {
        return Ok(false);
    }
    if trace.status != status {
        batch.set_trace(job, TraceRecord { status, ..trace });
    }
    Ok(true)
}

pub(super) fn watch(batch: &mut Batch<'_>, job: JobId, until: Timestamp) -> Result<()> {
    match batch.trace(job)? {
        Some(trace) if trace.watched_until < until => {
            batch.set_trace(job, TraceRecord { watched_until: until, ..trace });
        }
        _ => {}
    }
    Ok(())
}

pub(super) fn release(batch: &mut Batch<'_>, job: JobId, chunk: ChunkId, at: Timestamp) -> Result<()> {
    match batch.copy(job, chunk)? {
        Some(_) if at <= batch.now() => {
            let pieces = batch.piece_keys(job, chunk)?;
            batch.remove_copy(job, chunk, pieces);
        }
        Some(copy) if copy.expires.is_none() => batch.set_copy(job, chunk, CopyRecord { expires: Some(at), ..copy }),
        _ => {}
    }
    Ok(())
}
