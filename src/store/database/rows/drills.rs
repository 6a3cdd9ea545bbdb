//! Drills out of their columns, and the statements about them, which every database takes as they are.

use super::jobs::job_columns;
use super::{Cells, name, number, optional_name, optional_time, text, time};
use crate::store::Result;
use crate::store::database::drills::{Drill, DrillFilter, DrillId, Finding, NewDrill};
use crate::trace::{ChunkIndex, JobId};

/// The columns of a drill.
macro_rules! drill_columns {
    () => {
        "id, job_id, chunk_index, kind, store, announced_by, announced_at, damaged_at, must_be_found_by, found_at,
         found_kind, found_store, found_detector, result, ended_at"
    };
}

/// The drill that speaks for what is found of the chunk `$2` of the job `$1`, of kind `$4` in the store `$5`, or NULL.
macro_rules! announced {
    () => {
        "(SELECT max(drills.id) FROM drills
          WHERE drills.job_id = $1 AND drills.chunk_index = $2 AND (drills.ended_at IS NULL OR drills.result IS NOT NULL)
            AND (coalesce(drills.result, '') <> 'missed' OR (drills.kind = $4 AND drills.store = $5))
            AND NOT EXISTS (SELECT 1 FROM mismatches AS healed
                            WHERE healed.drill_id = drills.id AND healed.resolution IS NOT NULL))"
    };
}
pub(in crate::store::database) use announced;

/// Announces damage: job `$1`, chunk `$2`, kind `$3`, store `$4`, by `$5` at `$6`, to be found by `$7`.
pub(in crate::store::database) const ANNOUNCE: &str =
    "INSERT INTO drills (job_id, chunk_index, kind, store, announced_by, announced_at, must_be_found_by)
     VALUES ($1, $2, $3, $4, $5, $6, $7) RETURNING id";

/// The damage of the drill `$1` was done at `$2`.
pub(in crate::store::database) const NOTE_DAMAGED: &str =
    "UPDATE drills SET damaged_at = $2 WHERE id = $1 AND damaged_at IS NULL";

/// The drill `$1` is called off at `$2`.
pub(in crate::store::database) const CALL_OFF: &str =
    "UPDATE drills SET ended_at = $2 WHERE id = $1 AND ended_at IS NULL";

/// The record that the drill `$1` speaks of, in the version `$2`, has the SHA-256 `$3`. The row is another one from then on:
/// who looked at it before looks again.
pub(in crate::store::database) const DAMAGE_RECORD: &str = "UPDATE trace_chunks SET sha256 = $3, version = version + 1
     WHERE version = $2 AND sha256 IS NOT NULL
       AND (job_id, chunk_index) = (SELECT drills.job_id, drills.chunk_index FROM drills
                                    WHERE drills.id = $1 AND drills.kind = 'record' AND drills.ended_at IS NULL)";

/// The drill `$1`.
pub(in crate::store::database) const DRILL: &str = concat!("SELECT ", drill_columns!(), " FROM drills WHERE id = $1");

/// Drills of the job `$1`, announced by `$2`, under way or not as `$3` says, below the number `$4`, at most `$5`.
macro_rules! drills_where {
    ($condition:literal) => {
        concat!(
            "SELECT ",
            drill_columns!(),
            " FROM drills WHERE ",
            $condition,
            " AND ($2 IS NULL OR announced_by = $2) AND ($3 IS NULL OR (ended_at IS NULL) = $3) AND id < $4
              ORDER BY id DESC LIMIT $5 + 0"
        )
    };
}

/// The statement that lists drills.
pub(in crate::store::database) fn drills(filter: &DrillFilter) -> &'static str {
    match filter.job {
        Some(_) => drills_where!("job_id = $1"),
        None => drills_where!("$1 IS NULL"),
    }
}

/// Ends at `$1` the drills that a mismatch carries the number of. The first one decides. Where it is not known that the
/// damage was done as announced, a wrong label says nothing of whoever found it.
pub(in crate::store::database) const SETTLE_FOUND: &str = concat!(
    "UPDATE drills SET
         (found_at, found_kind, found_store, found_detector, result) = (
             SELECT one.first_seen, one.kind, one.store, one.detector,
                    CASE WHEN one.kind <> drills.kind OR one.store <> drills.store THEN 'wrong_label'
                         WHEN one.first_seen <= must_be_found_by THEN 'found'
                         ELSE 'late' END
             FROM mismatches AS one WHERE one.drill_id = drills.id ORDER BY one.id LIMIT 1),
         ended_at = $1
     WHERE ended_at IS NULL
       AND EXISTS (SELECT 1 FROM mismatches AS known
                   WHERE known.drill_id = drills.id
                     AND (damaged_at IS NOT NULL OR (known.kind = drills.kind AND known.store = drills.store)))
     RETURNING ",
    drill_columns!()
);

/// Ends at `$1` the drills that nothing was found of in twice their time, or nothing that tells what was done.
pub(in crate::store::database) const SETTLE_MISSED: &str = concat!(
    "UPDATE drills SET result = CASE WHEN damaged_at IS NULL THEN NULL ELSE 'missed' END, ended_at = $1
     WHERE ended_at IS NULL AND must_be_found_by + (must_be_found_by - announced_at) <= $1
       AND (damaged_at IS NULL OR NOT EXISTS (SELECT 1 FROM mismatches WHERE mismatches.drill_id = drills.id))
     RETURNING ",
    drill_columns!()
);

/// Jobs of the project at the path `$1` that are not erased, oldest first, at most `$2`.
pub(in crate::store::database) const CANARY_JOBS: &str = concat!(
    "SELECT ",
    job_columns!(),
    " FROM jobs WHERE project_id = (SELECT projects.id FROM projects WHERE projects.path = $1) AND state <> 'erased'
      ORDER BY id LIMIT $2 + 0"
);

/// Jobs of the project at the path `$1` that are erased since before `$2` and have no objects left, at most `$3`.
macro_rules! gone_canaries {
    () => {
        "(SELECT gone.id FROM jobs AS gone
          WHERE gone.project_id = (SELECT projects.id FROM projects WHERE projects.path = $1)
            AND gone.state = 'erased' AND gone.erased_at < $2
            AND NOT EXISTS (SELECT 1 FROM deletions WHERE deletions.job_id = gone.id)
          ORDER BY gone.id LIMIT $3 + 0)"
    };
}

/// Removes their mismatches, but for the newest one that there is: its number would be used again.
pub(in crate::store::database) const REMOVE_CANARY_MISMATCHES: &str = concat!(
    "DELETE FROM mismatches WHERE id < (SELECT max(newest.id) FROM mismatches AS newest) AND job_id IN ",
    gone_canaries!()
);

/// Removes their drills.
pub(in crate::store::database) const REMOVE_CANARY_DRILLS: &str =
    concat!("DELETE FROM drills WHERE ended_at IS NOT NULL AND job_id IN ", gone_canaries!());

/// Removes them.
pub(in crate::store::database) const REMOVE_CANARY_JOBS: &str =
    concat!("DELETE FROM jobs WHERE id IN ", gone_canaries!());

/// Jobs that are removed in one statement, at most: a longer one would hold up others.
pub(in crate::store::database) const REMOVED_MAX: i64 = 500;

/// A drill out of its [`drill_columns`].
pub(in crate::store::database) fn read_drill(row: &impl Cells) -> Result<Drill> {
    let found_at = optional_time(row, "found_at")?;
    Ok(Drill {
        id: DrillId(number(row, "id")?),
        what: NewDrill {
            job: JobId(number(row, "job_id")?),
            chunk: ChunkIndex(number(row, "chunk_index")?),
            kind: name(row, "kind")?,
            store: name(row, "store")?,
            by: text(row, "announced_by")?,
            at: time(row, "announced_at")?,
            must_be_found_by: time(row, "must_be_found_by")?,
        },
        damaged_at: optional_time(row, "damaged_at")?,
        found: found_at
            .map(|at| {
                let (kind, store) = (name(row, "found_kind")?, name(row, "found_store")?);
                Ok(Finding { at, kind, store, detector: name(row, "found_detector")? })
            })
            .transpose()?,
        result: optional_name(row, "result")?,
        ended_at: optional_time(row, "ended_at")?,
    })
}
