//! A job out of its row.

use super::{
    Cells, digest, flag, name, number, optional_flag, optional_name, optional_number, optional_text, optional_time,
    text, time,
};
use crate::store::database::{Job, NAME};
use crate::store::{Result, StoreError};
use crate::trace::{ByteSize, ChunkSize, Claim, Crc32, Ending, Epoch, JobId, Offset, ProjectId};

/// The columns of a job, for `SELECT ... FROM jobs` and `RETURNING` alike.
macro_rules! job_columns {
    () => {
        "id, project_id, (SELECT path FROM projects WHERE projects.id = project_id) AS project_path, name, token_sha256,
         status, state, epoch, installed_epoch, chunk_size, trace_limit, acked_length, ending_status, ending_origin,
         failure_reason, exit_code, claim_crc32, claim_size, ended_at, resend_attempts, asked_everything, trace_reset,
         created_at, started_at, last_contact_at, changed_at, closed_at, size, crc32, verdict, erased_at, erased_by"
    };
}
pub(in crate::store::database) use job_columns;

/// A job out of its [`job_columns`].
pub(in crate::store::database) fn read(row: &impl Cells) -> Result<Job> {
    let chunk_size = number(row, "chunk_size")?;
    Ok(Job {
        id: JobId(number(row, "id")?),
        project: ProjectId(number(row, "project_id")?),
        project_path: text(row, "project_path")?,
        name: text(row, "name")?,
        token_sha256: digest(row, "token_sha256")?,
        status: name(row, "status")?,
        state: name(row, "state")?,
        epoch: Epoch(number(row, "epoch")?),
        installed_epoch: optional_number(row, "installed_epoch")?.map(Epoch),
        chunk_size: ChunkSize::new(chunk_size).map_err(|error| StoreError::unreadable(NAME, error))?,
        trace_limit: ByteSize(number(row, "trace_limit")?),
        acked_length: Offset(number(row, "acked_length")?),
        ending: read_ending(row)?,
        ended_at: optional_time(row, "ended_at")?,
        resend_attempts: number(row, "resend_attempts")?,
        asked_everything: flag(row, "asked_everything")?,
        trace_reset: optional_flag(row, "trace_reset")?,
        created_at: time(row, "created_at")?,
        started_at: optional_time(row, "started_at")?,
        last_contact_at: time(row, "last_contact_at")?,
        changed_at: time(row, "changed_at")?,
        closed_at: optional_time(row, "closed_at")?,
        size: optional_number(row, "size")?.map(ByteSize),
        crc32: optional_number(row, "crc32")?.map(Crc32),
        verdict: name(row, "verdict")?,
        erased: optional_time(row, "erased_at")?
            .map(|at| Ok((at, optional_text(row, "erased_by")?.unwrap_or_default())))
            .transpose()?,
    })
}

fn read_ending(row: &impl Cells) -> Result<Option<Ending>> {
    let Some(status) = optional_name(row, "ending_status")? else { return Ok(None) };
    let size = optional_number(row, "claim_size")?.map(ByteSize);
    let claim = optional_number(row, "claim_crc32")?.map(|crc32| Claim { crc32: Crc32(crc32), size });
    Ok(Some(Ending {
        status,
        failure_reason: optional_text(row, "failure_reason")?,
        exit_code: optional_number(row, "exit_code")?,
        claim,
        origin: name(row, "ending_origin")?,
    }))
}
