//! What is listed, out of its rows, and the bounds of a page as statements have them.

use super::{Cells, number, optional_time, text};
use crate::store::Result;
use crate::store::database::listing::{COUNTED_MAX, ListedProject, Page};
use crate::trace::ProjectId;

/// The columns of a project; its first and last job are found at the ends of an index.
macro_rules! project_columns {
    () => {
        "id, path,
         (SELECT created_at FROM jobs WHERE project_id = projects.id ORDER BY id LIMIT 1) AS first_job_at,
         (SELECT created_at FROM jobs WHERE project_id = projects.id ORDER BY id DESC LIMIT 1) AS last_job_at"
    };
}
pub(in crate::store::database) use project_columns;

/// A project out of its [`project_columns`].
pub(in crate::store::database) fn read_project(row: &impl Cells) -> Result<ListedProject> {
    Ok(ListedProject {
        id: ProjectId(number(row, "id")?),
        path: text(row, "path")?,
        first_job_at: optional_time(row, "first_job_at")?,
        last_job_at: optional_time(row, "last_job_at")?,
    })
}

/// One more than is counted, to tell "exactly so many" from "more".
pub(in crate::store::database) fn counted_max() -> i64 {
    clamped(COUNTED_MAX + 1)
}

/// The column `total`, or `None` where there is more than is counted.
pub(in crate::store::database) fn read_total(row: &impl Cells) -> Result<Option<u64>> {
    Ok(Some(number(row, "total")?).filter(|total| *total <= COUNTED_MAX))
}

/// One more than fits on the page, to know whether there is another.
pub(in crate::store::database) fn one_more(page: Page) -> i64 {
    i64::from(page.size) + 1
}

/// A number as a statement can have it.
pub(in crate::store::database) fn clamped(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
