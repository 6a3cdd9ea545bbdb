//! Runs, cursors and named rows out of their columns, and the statements about them, which every database takes as they
//! are.

use super::chunks::{chunk_columns, read as read_row};
use super::jobs::{job_columns, read as read_job};
use super::{Cells, json, name, number, optional_number, optional_text, optional_time, text, time};
use crate::store::Result;
use crate::store::database::Job;
use crate::store::database::verifications::{Cursor, Cycle, Named, Place, Run, RunFilter, RunId};
use crate::trace::{ChunkIndex, ChunkRow, JobId, Timestamp, Version};

/// The columns of a run.
macro_rules! run_columns {
    () => {
        "id, schedule, scope, node, expected, state, tally, started_at, heard_at, ended_at, message, stop_asked_by"
    };
}

/// The columns of a cursor.
macro_rules! cursor_columns {
    () => {
        "shard, version, from_job, to_job, at_job, at_chunk, started_at, tally, run_id, previous_started_at,
         previous_ended_at, previous_chunks"
    };
}

/// Begins a run: schedule `$1`, scope `$2`, node `$3`, expected chunks `$4`, tally `$5`, at `$6`.
pub(in crate::store::database) const BEGIN_RUN: &str = concat!(
    "INSERT INTO verification_runs (schedule, scope, node, expected, state, tally, started_at, heard_at)
     VALUES ($1, $2, $3, $4, 'running', $5, $6, $6) RETURNING ",
    run_columns!()
);

/// The run `$1`, if it is under way, has the tally `$2` at `$3`. Answers who asked it to stop.
pub(in crate::store::database) const NOTE_PROGRESS: &str =
    "UPDATE verification_runs SET tally = $2, heard_at = CASE WHEN heard_at < $3 THEN $3 ELSE heard_at END
     WHERE id = $1 AND state = 'running' RETURNING stop_asked_by";

/// Ends the run `$1`, if it is under way: state `$2`, message `$3`, tally `$4`, at `$5`.
pub(in crate::store::database) const END_RUN: &str =
    "UPDATE verification_runs SET state = $2, message = $3, tally = $4, ended_at = $5,
                                  heard_at = CASE WHEN heard_at < $5 THEN $5 ELSE heard_at END
     WHERE id = $1 AND state = 'running'";

/// The run `$1`, if it is under way, is asked to stop by `$2`.
pub(in crate::store::database) const ASK_TO_STOP: &str =
    "UPDATE verification_runs SET stop_asked_by = $2 WHERE id = $1 AND state = 'running' AND stop_asked_by IS NULL";

/// The run `$1`.
pub(in crate::store::database) const RUN: &str =
    concat!("SELECT ", run_columns!(), " FROM verification_runs WHERE id = $1");

/// Runs of the schedule `$1`, in the state `$2`, below the number `$3`, at most `$4`; each text goes by an index of its own.
macro_rules! runs_where {
    ($condition:literal) => {
        concat!(
            "SELECT ",
            run_columns!(),
            " FROM verification_runs WHERE ",
            $condition,
            " AND id < $3 ORDER BY id DESC LIMIT $4 + 0"
        )
    };
}

/// The statement that lists runs.
pub(in crate::store::database) fn runs(filter: &RunFilter) -> &'static str {
    match (filter.schedule, filter.state) {
        (Some(_), _) => runs_where!("schedule = $1 AND ($2 IS NULL OR state = $2)"),
        (None, Some(_)) => runs_where!("$1 IS NULL AND state = $2"),
        (None, None) => runs_where!("$1 IS NULL AND $2 IS NULL"),
    }
}

/// Runs that were last heard of before `$1` and that no cursor speaks of fail with the message `$2`, at `$3`.
pub(in crate::store::database) const END_SILENT_RUNS: &str =
    "UPDATE verification_runs SET state = 'failed', message = $2, ended_at = $3
     WHERE state = 'running' AND heard_at < $1
       AND NOT EXISTS (SELECT 1 FROM verification_cursors WHERE run_id = verification_runs.id)";

/// Removes runs that ended before `$1` and that no mismatch speaks of, at most `$2`.
pub(in crate::store::database) const REMOVE_RUNS: &str = "DELETE FROM verification_runs WHERE id IN (
         SELECT id FROM verification_runs AS old
         WHERE ended_at < $1
           AND id < (SELECT max(id) FROM verification_runs AS newer WHERE newer.schedule = old.schedule)
           AND NOT EXISTS (SELECT 1 FROM mismatches WHERE run_id = old.id)
         ORDER BY ended_at, id LIMIT $2 + 0)";

/// Runs that are removed in one statement, at most: a longer one would hold up others.
pub(in crate::store::database) const REMOVED_MAX: i64 = 1000;

/// All cursors.
pub(in crate::store::database) const CURSORS: &str =
    concat!("SELECT ", cursor_columns!(), " FROM verification_cursors ORDER BY shard");

/// Makes the cursor of the shard `$1`, unless there is one: from `$2`, to `$3`, at `$4` and `$5`, since `$6`, tally `$7`,
/// run `$8`, the cycle before `$9` to `$11`. The update changes nothing; it makes the row that is there come back.
pub(in crate::store::database) const FIRST_CURSOR: &str = concat!(
    "INSERT INTO verification_cursors (shard, version, from_job, to_job, at_job, at_chunk, started_at, tally, run_id,
                                       previous_started_at, previous_ended_at, previous_chunks)
     VALUES ($1, 1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
     ON CONFLICT (shard) DO UPDATE SET version = verification_cursors.version RETURNING ",
    cursor_columns!()
);

/// Puts a cursor in the place of the one of its shard and the version `$12`; the others as in [`FIRST_CURSOR`].
pub(in crate::store::database) const SAVE_CURSOR: &str =
    "UPDATE verification_cursors SET version = version + 1, from_job = $2, to_job = $3, at_job = $4, at_chunk = $5,
            started_at = $6, tally = $7, run_id = $8, previous_started_at = $9, previous_ended_at = $10,
            previous_chunks = $11
     WHERE shard = $1 AND version = $12";

/// The jobs from `$1` on and below `$2`.
pub(in crate::store::database) const PASSED_JOBS: &str =
    concat!("SELECT ", job_columns!(), " FROM jobs WHERE id >= $1 AND id < $2 ORDER BY id");

/// Rows with a persistent copy from the chunk `$2` of the job `$1` on, of jobs below `$3`, at most `$4`.
pub(in crate::store::database) const KEPT_CHUNKS: &str = concat!(
    "SELECT ",
    chunk_columns!(),
    " FROM trace_chunks
      WHERE (job_id, chunk_index) >= ($1, $2) AND job_id < $3 AND data_store IS NOT NULL
      ORDER BY job_id, chunk_index LIMIT $4 + 0"
);

/// Where the rows of [`KEPT_CHUNKS`] are.
pub(in crate::store::database) const KEPT_PLACES: &str = "SELECT job_id, chunk_index FROM trace_chunks
      WHERE (job_id, chunk_index) >= ($1, $2) AND job_id < $3 AND data_store IS NOT NULL
      ORDER BY job_id, chunk_index LIMIT $4 + 0";

/// Persisted rows behind the moment `$1`, the job `$2` and the chunk `$3`, at most `$4`.
pub(in crate::store::database) const PERSISTED_SINCE: &str = concat!(
    "SELECT ",
    chunk_columns!(),
    " FROM trace_chunks
      WHERE state = 'persisted' AND (persisted_at, job_id, chunk_index) > ($1, $2, $3)
      ORDER BY persisted_at, job_id, chunk_index LIMIT $4 + 0"
);

/// Rows whose copies lie in the store `$1` under keys between `$2` and `$3`, at most `$4`.
pub(in crate::store::database) const NAMED: &str = concat!(
    "SELECT ",
    chunk_columns!(),
    " FROM trace_chunks
      WHERE data_store = $1 AND object_key > $2 AND object_key < $3
      ORDER BY object_key LIMIT $4 + 0"
);

/// The greatest number of a job, as `id`.
pub(in crate::store::database) const NEWEST_JOB: &str = "SELECT coalesce(max(id), 0) AS id FROM jobs";

/// The smallest number of a job made at `$1` or later, as `id`. Numbers and moments go up together but for what the nodes'
/// clocks differ, `$2` at most: so only the first jobs since then are looked at, and not the whole history after it.
pub(in crate::store::database) const FIRST_JOB_SINCE: &str = "WITH first AS MATERIALIZED (
         SELECT id FROM jobs
         WHERE created_at >= $1 AND created_at <= (SELECT min(created_at) FROM jobs WHERE created_at >= $1) + $2)
     SELECT coalesce((SELECT min(id) FROM first), (SELECT max(id) FROM jobs) + 1, 1) AS id";

/// How much the clocks of two nodes differ at most, in milliseconds.
pub(in crate::store::database) const CLOCKS_DIFFER_MAX: i64 = 3_600_000;

/// A run out of its columns.
pub(in crate::store::database) fn read_run(row: &impl Cells) -> Result<Run> {
    Ok(Run {
        id: RunId(number(row, "id")?),
        schedule: name(row, "schedule")?,
        scope: text(row, "scope")?,
        node: text(row, "node")?,
        expected: optional_number(row, "expected")?,
        state: name(row, "state")?,
        tally: json(row, "tally")?,
        started_at: time(row, "started_at")?,
        heard_at: time(row, "heard_at")?,
        ended_at: optional_time(row, "ended_at")?,
        message: optional_text(row, "message")?,
        stop_asked_by: optional_text(row, "stop_asked_by")?,
    })
}

/// What [`NOTE_PROGRESS`] answers: true if the run goes on.
pub(in crate::store::database) fn read_goes_on(row: Option<&impl Cells>) -> Result<bool> {
    let Some(row) = row else { return Ok(false) };
    Ok(optional_text(row, "stop_asked_by")?.is_none())
}

/// A cursor out of its columns.
pub(in crate::store::database) fn read_cursor(row: &impl Cells) -> Result<Cursor> {
    let previous = match optional_time(row, "previous_started_at")? {
        None => None,
        Some(started_at) => Some(Cycle {
            started_at,
            ended_at: time(row, "previous_ended_at")?,
            chunks: number(row, "previous_chunks")?,
        }),
    };
    Ok(Cursor {
        shard: text(row, "shard")?,
        version: Version(number(row, "version")?),
        from: JobId(number(row, "from_job")?),
        to: JobId(number(row, "to_job")?),
        at: Place { job: JobId(number(row, "at_job")?), index: ChunkIndex(number(row, "at_chunk")?) },
        started_at: time(row, "started_at")?,
        tally: json(row, "tally")?,
        run: RunId(number(row, "run_id")?),
        previous,
    })
}

/// A job's number and a row out of the row's columns.
pub(in crate::store::database) fn read_chunk(row: &impl Cells) -> Result<(JobId, ChunkRow)> {
    Ok((JobId(number(row, "job_id")?), read_row(row)?))
}

/// A job out of the columns of [`PASSED_JOBS`], also where they say none.
pub(in crate::store::database) fn read_passed(row: &impl Cells) -> Result<(JobId, Option<Job>)> {
    Ok((JobId(number(row, "id")?), if_readable(read_job(row))?))
}

/// Where a row is, out of its columns.
pub(in crate::store::database) fn read_place(row: &impl Cells) -> Result<Place> {
    Ok(Place { job: JobId(number(row, "job_id")?), index: ChunkIndex(number(row, "chunk_index")?) })
}

/// The key that a row names and the row out of its columns, also where they say no row.
pub(in crate::store::database) fn read_named(row: &impl Cells) -> Result<Named> {
    Ok(Named { key: text(row, "object_key")?, place: read_place(row)?, row: if_readable(read_row(row))? })
}

fn if_readable<T>(read: Result<T>) -> Result<Option<T>> {
    match read {
        Err(error) if error.is_unreadable() => Ok(None),
        read => read.map(Some),
    }
}

/// Where [`PERSISTED_SINCE`] begins: no job has a number below 1.
pub(in crate::store::database) fn behind(since: Timestamp, after: Option<(Timestamp, Place)>) -> (Timestamp, Place) {
    let start = (since, Place { job: JobId(0), index: ChunkIndex(0) });
    after.map_or(start, |after| after.max(start))
}
