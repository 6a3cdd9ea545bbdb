//! What the server answers, as the contract's values.

use std::str::FromStr;

use ::redis::Cmd;
use bytes::Bytes;

use super::{NAME, keys};
use crate::store::live::{Entry, LiveTrace, Outcome, Refusal};
use crate::store::{Result, StoreError};
use crate::trace::{ByteSize, Epoch, JobId, Timestamp};

/// A reply's fields; `None` is one that the key does not have.
pub(super) type Fields = Vec<Option<Bytes>>;

/// Asks for a trace; [`trace`] reads the reply.
pub(super) fn load(job: JobId) -> Cmd {
    let mut load = ::redis::cmd("HMGET");
    load.arg(keys::trace(job)).arg("entry").arg("epoch").arg("status").arg("watched_until");
    load
}

/// Reads entry, epoch, status and watchers. Without an entry there is no trace key.
pub(super) fn trace(fields: Fields) -> Result<Option<LiveTrace>> {
    match <[Option<Bytes>; 4]>::try_from(fields) {
        Ok([None, ..]) => Ok(None),
        Ok([Some(raw), epoch, status, watched_until]) => {
            let epoch = Epoch(read(epoch, "epoch")?);
            let entry = Entry::decode(&raw, epoch);
            let watched_until = Timestamp(read(watched_until, "watched_until")?);
            Ok(Some(LiveTrace { raw, entry, status: read(status, "status")?, watched_until }))
        }
        Err(fields) => Err(StoreError::unreadable(NAME, format_args!("{} fields of a trace", fields.len()))),
    }
}

/// Reads what a script did.
pub(super) fn outcome(mut reply: Fields) -> Result<Outcome> {
    let tag = if reply.is_empty() { None } else { reply.remove(0) };
    let mut rest = reply.into_iter();
    match tag.as_deref() {
        Some(b"stored") => Ok(Outcome::Stored {
            status: read(rest.next().flatten(), "status")?,
            watched_until: Timestamp(read(rest.next().flatten(), "watched_until")?),
        }),
        Some(b"absent") => Ok(Outcome::Refused(Refusal::Absent)),
        Some(b"size") => {
            Ok(Outcome::Refused(Refusal::ChunkSize { found: ByteSize(read(rest.next().flatten(), "size")?) }))
        }
        Some(b"changed") => match trace(rest.collect())? {
            Some(trace) => Ok(Outcome::Refused(Refusal::Changed(trace))),
            None => Err(StoreError::unreadable(NAME, "a changed trace without an entry")),
        },
        _ => Err(StoreError::unreadable(NAME, "a script's reply")),
    }
}

fn read<T: FromStr>(field: Option<Bytes>, what: &str) -> Result<T> {
    let text = field.as_deref().and_then(|field| std::str::from_utf8(field).ok());
    let value = text.and_then(|text| text.parse().ok());
    value.ok_or_else(|| StoreError::unreadable(NAME, format_args!("a trace key whose {what} is missing or damaged")))
}
