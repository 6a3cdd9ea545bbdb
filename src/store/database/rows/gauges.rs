//! Counts out of their rows.

use super::{Cells, name, number, optional_time, time};
use crate::store::Result;
use crate::store::database::Backlog;
use crate::trace::{ByteSize, JobStatus, Timestamp};

/// How much waits, out of `chunks`, `bytes` and `oldest`.
pub(in crate::store::database) fn read_backlog(row: &impl Cells) -> Result<Backlog> {
    Ok(Backlog {
        chunks: number(row, "chunks")?,
        bytes: ByteSize(number(row, "bytes")?),
        oldest: optional_time(row, "oldest")?,
    })
}

/// Rows of `final` status, number of `jobs` and `oldest`, in order of status.
pub(in crate::store::database) fn read_ended(rows: &[impl Cells]) -> Result<Vec<(JobStatus, u64, Timestamp)>> {
    let mut ended = rows
        .iter()
        .map(|row| Ok((name(row, "final")?, number(row, "jobs")?, time(row, "oldest")?)))
        .collect::<Result<Vec<_>>>()?;
    ended.sort();
    Ok(ended)
}
