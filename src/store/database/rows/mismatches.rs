//! A mismatch out of its row.

use super::{Cells, json, name, number, optional_name, optional_number, optional_text, optional_time, text, time};
use crate::store::Result;
use crate::store::database::drills::DrillId;
use crate::store::database::{CorruptTraces, Mismatch, NewMismatch, Note, Opened, Resolution};
use crate::trace::{ChunkIndex, Epoch, JobId, Offset};

/// The columns of a mismatch.
macro_rules! mismatch_columns {
    () => {
        "id, job_id, chunk_index, epoch, kind, store, detector, run_id, node, expected, found, first_difference, notify_at,
         first_seen, last_seen, times_seen, drill_id, resolution, resolved_at, resolved_by, comment"
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
            run: optional_number(row, "run_id")?,
            node: text(row, "node")?,
            expected: json(row, "expected")?,
            found: json(row, "found")?,
            first_difference: optional_number(row, "first_difference")?.map(Offset),
            notify_at: optional_time(row, "notify_at")?,
            at: time(row, "first_seen")?,
        },
        last_seen: time(row, "last_seen")?,
        times_seen: number(row, "times_seen")?,
        drill: optional_number(row, "drill_id")?.map(DrillId),
        resolved: resolution.map(|resolution| Ok((resolution, time(row, "resolved_at")?))).transpose()?,
        note: by.map(|by| Ok(Note { by, comment: text(row, "comment")? })).transpose()?,
    })
}

/// What became of a mismatch, out of the `id`, `times_seen` and `drill_id` of its row; no row: its basis has changed.
pub(in crate::store::database) fn opened(row: Option<&impl Cells>) -> Result<Opened> {
    let Some(row) = row else { return Ok(Opened::Moved) };
    let (mismatch, is_new) = (number(row, "id")?, number::<i64>(row, "times_seen")? == 1);
    Ok(match (optional_number(row, "drill_id")?.map(DrillId), is_new) {
        (Some(drill), is_new) => Opened::Announced { mismatch, drill, is_new },
        (None, true) => Opened::New(mismatch),
        (None, false) => Opened::Known,
    })
}

/// How many jobs have open mismatches by kind and store, and, without both, of the kinds that harm a log.
macro_rules! corrupt_traces {
    () => {
        "SELECT kind, store, count(DISTINCT job_id) AS jobs FROM mismatches
         WHERE resolution IS NULL AND drill_id IS NULL GROUP BY kind, store
         UNION ALL
         SELECT NULL, NULL, count(DISTINCT job_id) FROM mismatches
         WHERE resolution IS NULL AND drill_id IS NULL AND kind <> 'orphan'"
    };
}
pub(in crate::store::database) use corrupt_traces;

/// The rows of [`corrupt_traces`].
pub(in crate::store::database) fn read_corrupt(rows: &[impl Cells]) -> Result<CorruptTraces> {
    let mut corrupt = CorruptTraces::default();
    for row in rows {
        let traces = number(row, "jobs")?;
        match optional_name(row, "kind")? {
            Some(kind) => corrupt.by_kind.push((kind, name(row, "store")?, traces)),
            None => corrupt.traces = traces,
        }
    }
    corrupt.by_kind.sort();
    Ok(corrupt)
}
