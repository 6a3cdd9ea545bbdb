//! Everything there is, page by page in the order of keys: traces first, then copies.

use std::ops::Bound;

use fjall::{Iter, Keyspace, Readable};

use super::NAME;
use super::layout::{self, CopyRecord, TraceRecord};
use super::space::{self, View};
use crate::store::live::{Found, ScanPage};
use crate::store::{Result, StoreError};
use crate::trace::Timestamp;

/// First byte of a cursor: the last thing met was a trace, or a copy. The rest is its key.
const TRACES: u8 = 0;
const COPIES: u8 = 1;

pub(super) fn page(view: &View<'_>, from: Option<&[u8]>, limit: usize, now: Timestamp) -> Result<ScanPage> {
    let limit = limit.max(1);
    let (part, after) = match from {
        None => (TRACES, &[][..]),
        Some([part @ (TRACES | COPIES), key @ ..]) => (*part, key),
        Some(_) => return Err(StoreError::unreadable(NAME, "a scan's cursor")),
    };
    let mut found = Vec::new();
    if part == TRACES {
        for item in beyond(view, &view.space.traces, after) {
            let (key, value) = space::both(item)?;
            if !space::is_past(TraceRecord::decode(&value)?.expires, now) {
                found.push(Found::Trace(layout::read_trace_key(&key)?));
            }
            if found.len() == limit {
                return Ok(ScanPage { found, next: Some(cursor(TRACES, &key)) });
            }
        }
    }
    let after = if part == COPIES { after } else { &[] };
    for item in beyond(view, &view.space.copies, after) {
        let (key, value) = space::both(item)?;
        let record = CopyRecord::decode(&value)?;
        if !space::is_past(record.expires, now) {
            let (job, chunk) = layout::read_copy_key(&key)?;
            found.push(Found::Chunk { job, chunk, released: record.expires.is_some(), size: record.size });
        }
        if found.len() == limit {
            return Ok(ScanPage { found, next: Some(cursor(COPIES, &key)) });
        }
    }
    Ok(ScanPage { found, next: None })
}

/// What comes after a key; no key is empty, so the empty one stands for the start.
fn beyond(view: &View<'_>, keyspace: &Keyspace, after: &[u8]) -> Iter {
    view.snapshot.range(keyspace, (Bound::Excluded(after.to_vec()), Bound::Unbounded))
}

fn cursor(part: u8, key: &[u8]) -> Vec<u8> {
    [&[part], key].concat()
}
