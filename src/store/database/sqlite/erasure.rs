//! Erase: the end of a trace's bytes, and the deletions that it leaves to be done.

use super::SqliteDatabase;
use super::errors::failed;
use super::{jobs, mismatches};
use crate::store::Result;
use crate::store::database::rows::jobs as job_rows;
use crate::store::database::rows::jobs::job_columns;
use crate::store::database::rows::number;
use crate::store::database::{Deletion, Erased, Note, Resolution};
use crate::trace::{JobId, Timestamp, TraceState};

pub(super) async fn erase(
    database: &SqliteDatabase,
    job: JobId,
    by: &str,
    at: Timestamp,
    again_at: Timestamp,
) -> Result<Erased> {
    let mut transaction = database.begin().await?;
    let rows = sqlx::query(concat!(
        "UPDATE jobs SET state = 'erased', verdict = 'erased', epoch = epoch + 1, changed_at = ?2,
                         erased_at = ?2, erased_by = ?3, crc32 = NULL
         WHERE id = ?1 AND state IN ('closed', 'archived')
         RETURNING ",
        job_columns!()
    ));
    let rows = rows.bind(job.0).bind(at.0).bind(by).fetch_all(&mut *transaction).await.map_err(failed)?;
    let Some(row) = rows.first() else {
        drop(transaction);
        return Ok(match jobs::find(database, job).await? {
            Some(job) if job.state == TraceState::Erased => Erased::Done(Box::new(job)),
            Some(_) => Erased::Unfinished,
            None => Erased::Unknown,
        });
    };
    let erased = job_rows::read(row)?;
    let rows = sqlx::query("DELETE FROM trace_chunks WHERE job_id = ?1").bind(job.0);
    rows.execute(&mut *transaction).await.map_err(failed)?;
    mismatches::resolve_on(&mut *transaction, job, None, Resolution::Erased, &Note::of_erasure(by), at).await?;
    let deletions = sqlx::query("INSERT INTO deletions (job_id, not_before) VALUES (?1, ?2), (?1, ?3)");
    deletions.bind(job.0).bind(at.0).bind(again_at.0).execute(&mut *transaction).await.map_err(failed)?;
    transaction.commit().await.map_err(failed)?;
    Ok(Erased::Done(Box::new(erased)))
}

pub(super) async fn due(database: &SqliteDatabase, now: Timestamp, limit: u32) -> Result<Vec<Deletion>> {
    let rows =
        sqlx::query("SELECT id, job_id FROM deletions WHERE not_before <= ?1 ORDER BY not_before, id LIMIT ?2 + 0");
    let rows = rows.bind(now.0).bind(limit).fetch_all(&mut *database.reader().await?).await.map_err(failed)?;
    rows.iter().map(|row| Ok(Deletion { id: number(row, "id")?, job: JobId(number(row, "job_id")?) })).collect()
}

pub(super) async fn done(database: &SqliteDatabase, id: i64) -> Result<()> {
    let done = sqlx::query("DELETE FROM deletions WHERE id = ?1").bind(id);
    done.execute(&mut *database.writing().await?).await.map_err(failed)?;
    Ok(())
}
