//! A mismatch out of its row.

use super::{Cells, json, name, number, optional_name, optional_number, optional_text, text, time};
use crate::store::Result;
use crate::store::database::{Mismatch, NewMismatch, Note, Resolution};
use crate::trace::{ChunkIndex, DataStore, Epoch, JobId, Kind};

/// The columns of a mismatch.
macro_rules! mismatch_columns {
    () => {
        "id, job_id, chunk_index, epoch, kind, store, detector, expected, found, first_seen, last_seen, resolution,
         resolved_at, resolved_by, comment"
    };
}
pub(in crate::store::database) use mismatch_columns;

/// A mismatch out of its [`mismatch_columns`].
pub(in crate::store::database) fn read(row: &impl Cells) -> Result<Mismatch> {
    let resolution: Option<Resolution> = optional_name(row, "resolution")?;
    let by = optional_text(row, "resolved_by")?;
    Ok(Mismatch {
        id: number(row, "id")?,
        what: NewMismatch {
            job: JobId(number(row, "job_id")?),
            chunk: optional_number(row, "chunk_index")?.map(ChunkIndex),
            epoch: Epoch(number(row, "epoch")?),
            kind: name(row, "kind")?,
            store: name(row, "store")?,
            detector: name(row, "detector")?,
            expected: json(row, "expected")?,
            found: json(row, "found")?,
            at: time(row, "first_seen")?,
        },
        last_seen: time(row, "last_seen")?,
        resolved: resolution.map(|resolution| Ok((resolution, time(row, "resolved_at")?))).transpose()?,
        note: by.map(|by| Ok(Note { by, comment: text(row, "comment")? })).transpose()?,
    })
}

/// Rows of kind, store and number of jobs, in order.
pub(in crate::store::database) fn read_corrupt(rows: &[impl Cells]) -> Result<Vec<(Kind, DataStore, u64)>> {
    let mut traces = rows
        .iter()
        .map(|row| Ok((name(row, "kind")?, name(row, "store")?, number(row, "jobs")?)))
        .collect::<Result<Vec<_>>>()?;
    traces.sort();
    Ok(traces)
}
