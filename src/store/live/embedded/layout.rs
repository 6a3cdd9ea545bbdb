//! How the embedded store's records look as keys and values.
//!
//! Keys are big-endian, so that their order is that of jobs, chunks, epochs and offsets:
//!
//! | keyspace | key | value |
//! |---|---|---|
//! | `traces` | job (8) | format 1, epoch (4), watched until (8), expiry (8), length of the status (1), status, entry |
//! | `copies` | job (8), chunk index (4), epoch (4) | format 1, size (8), expiry (8) |
//! | `pieces` | as `copies`, offset in the chunk (8) | the bytes of one append |
//!
//! An expiry of the greatest number means never.

use bytes::Bytes;

use super::NAME;
use crate::store::live::{Entry, LiveTrace, Outcome};
use crate::store::{Result, StoreError};
use crate::trace::{ByteSize, ChunkId, ChunkIndex, Epoch, JobId, JobStatus, Timestamp};

const FORMAT: u8 = 1;
const NEVER: i64 = i64::MAX;

/// What lies under a job's trace key.
#[derive(Clone, Debug)]
pub(super) struct TraceRecord {
    pub(super) raw: Bytes,
    pub(super) epoch: Epoch,
    pub(super) status: JobStatus,
    pub(super) watched_until: Timestamp,
    pub(super) expires: Option<Timestamp>,
}

/// What is known of a copy beside its bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct CopyRecord {
    pub(super) size: ByteSize,
    pub(super) expires: Option<Timestamp>,
}

impl TraceRecord {
    pub(super) fn stored(&self) -> Outcome {
        Outcome::Stored { status: self.status, watched_until: self.watched_until }
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let status = self.status.as_str();
        let mut value = Vec::with_capacity(22 + status.len() + self.raw.len());
        value.push(FORMAT);
        value.extend_from_slice(&self.epoch.0.to_be_bytes());
        value.extend_from_slice(&self.watched_until.0.to_be_bytes());
        value.extend_from_slice(&encode_expiry(self.expires));
        value.push(u8::try_from(status.len()).expect("a status is a short word"));
        value.extend_from_slice(status.as_bytes());
        value.extend_from_slice(&self.raw);
        value
    }

    pub(super) fn decode(value: &[u8]) -> Result<Self> {
        let mut rest = Fields(value);
        rest.format("trace")?;
        let epoch = Epoch(u32::from_be_bytes(rest.take("trace")?));
        let watched_until = Timestamp(i64::from_be_bytes(rest.take("trace")?));
        let expires = decode_expiry(rest.take("trace")?);
        let [length] = rest.take("trace")?;
        let (status, raw) = rest.0.split_at_checked(length.into()).ok_or_else(|| unreadable("trace"))?;
        let status = std::str::from_utf8(status).ok().and_then(|status| status.parse().ok());
        let status = status.ok_or_else(|| unreadable("trace"))?;
        Ok(Self { raw: Bytes::copy_from_slice(raw), epoch, status, watched_until, expires })
    }
}

impl From<TraceRecord> for LiveTrace {
    fn from(record: TraceRecord) -> Self {
        let entry = Entry::decode(&record.raw, record.epoch);
        Self { raw: record.raw, entry, status: record.status, watched_until: record.watched_until }
    }
}

impl CopyRecord {
    pub(super) fn encode(self) -> Vec<u8> {
        let mut value = vec![FORMAT];
        value.extend_from_slice(&self.size.0.to_be_bytes());
        value.extend_from_slice(&encode_expiry(self.expires));
        value
    }

    pub(super) fn decode(value: &[u8]) -> Result<Self> {
        let mut rest = Fields(value);
        rest.format("copy")?;
        let size = ByteSize(u64::from_be_bytes(rest.take("copy")?));
        Ok(Self { size, expires: decode_expiry(rest.take("copy")?) })
    }
}

/// The key of a job's trace.
pub(super) fn trace_key(job: JobId) -> [u8; 8] {
    // Numbers of jobs are positive, and big-endian keeps their order.
    job.0.to_be_bytes()
}

/// The key of a copy, and the beginning of the keys of its pieces.
pub(super) fn copy_key(job: JobId, chunk: ChunkId) -> [u8; 16] {
    let mut key = [0; 16];
    key[..8].copy_from_slice(&trace_key(job));
    key[8..12].copy_from_slice(&chunk.index.0.to_be_bytes());
    key[12..].copy_from_slice(&chunk.epoch.0.to_be_bytes());
    key
}

/// The key of the piece of a copy that begins at `offset`.
pub(super) fn piece_key(job: JobId, chunk: ChunkId, offset: ByteSize) -> Vec<u8> {
    [copy_key(job, chunk).as_slice(), &offset.0.to_be_bytes()].concat()
}

/// Reads [`trace_key`].
pub(super) fn read_trace_key(key: &[u8]) -> Result<JobId> {
    key.try_into().map(|job| JobId(i64::from_be_bytes(job))).map_err(|_| unreadable("trace key"))
}

/// Reads [`copy_key`].
pub(super) fn read_copy_key(key: &[u8]) -> Result<(JobId, ChunkId)> {
    let mut rest = Fields(key);
    let job = JobId(i64::from_be_bytes(rest.take("copy key")?));
    let index = ChunkIndex(u32::from_be_bytes(rest.take("copy key")?));
    let epoch = Epoch(u32::from_be_bytes(rest.take("copy key")?));
    Ok((job, ChunkId { index, epoch }))
}

fn encode_expiry(expires: Option<Timestamp>) -> [u8; 8] {
    expires.map_or(NEVER, |at| at.0).to_be_bytes()
}

fn decode_expiry(raw: [u8; 8]) -> Option<Timestamp> {
    Some(i64::from_be_bytes(raw)).filter(|at| *at != NEVER).map(Timestamp)
}

fn unreadable(what: &str) -> StoreError {
    StoreError::unreadable(NAME, format_args!("a {what} has an unknown format or is damaged"))
}

/// What is left to read of a key or value.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn take<const N: usize>(&mut self, what: &str) -> Result<[u8; N]> {
        let (field, rest) = self.0.split_first_chunk().ok_or_else(|| unreadable(what))?;
        self.0 = rest;
        Ok(*field)
    }

    fn format(&mut self, what: &str) -> Result<()> {
        match self.take(what)? {
            [FORMAT] => Ok(()),
            _ => Err(unreadable(what)),
        }
    }
}
