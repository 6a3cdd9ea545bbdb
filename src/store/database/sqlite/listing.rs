//! Lists for readers, out of the tables `projects` and `jobs`.

use async_trait::async_trait;

use super::SqliteDatabase;
use super::errors::failed;
use crate::store::Result;
use crate::store::database::Job;
use crate::store::database::listing::{JobFilter, Listed, ListedProject, Listing, Page, ProjectFilter, ProjectName};
use crate::store::database::rows::jobs::{job_columns, read};
use crate::store::database::rows::listing::{
    clamped, counted_max, one_more, project_columns, read_project, read_total,
};
use crate::store::database::rows::to_json;

/// What a list of projects consists of.
macro_rules! projects_listed {
    () => {
        "FROM projects WHERE (?1 IS NULL OR id IN (SELECT value FROM json_each(?1)))
                         AND (?2 IS NULL OR instr(lower(path), lower(?2)) > 0)
                         AND (path <> 'veritail/canary' OR ?1 IS NOT NULL OR ?2 IS NOT NULL)"
    };
}

/// What a list of jobs consists of: the index answers it without touching the jobs.
macro_rules! jobs_listed {
    () => {
        "FROM jobs INDEXED BY jobs_of_project
         WHERE project_id = ?1 AND (?2 IS NULL OR status IN (SELECT value FROM json_each(?2)))"
    };
}

#[async_trait]
impl Listing for SqliteDatabase {
    async fn project(&self, name: &ProjectName) -> Result<Option<ListedProject>> {
        let row = match name {
            ProjectName::Id(id) => {
                sqlx::query(concat!("SELECT ", project_columns!(), " FROM projects WHERE id = ?1")).bind(id.0)
            }
            ProjectName::Path(path) => {
                sqlx::query(concat!("SELECT ", project_columns!(), " FROM projects WHERE path = ?1")).bind(path)
            }
        };
        row.fetch_optional(&mut *self.reader().await?).await.map_err(failed)?.as_ref().map(read_project).transpose()
    }

    async fn projects(&self, filter: &ProjectFilter, page: Page) -> Result<Listed<ListedProject>> {
        let among = filter.among.as_ref().map(to_json).transpose()?;
        let total = match page.counts() {
            true => {
                let count = sqlx::query(concat!(
                    "SELECT count(*) AS total FROM (SELECT 1 ",
                    projects_listed!(),
                    " LIMIT ?3 + 0)"
                ));
                let count = count.bind(&among).bind(&filter.search).bind(counted_max());
                read_total(&count.fetch_one(&mut *self.reader().await?).await.map_err(failed)?)?
            }
            false => None,
        };
        let statement = match page.newest_first {
            true => concat!(
                "SELECT ",
                project_columns!(),
                " ",
                projects_listed!(),
                " AND (?3 IS NULL OR id < ?3) ORDER BY id DESC LIMIT ?4 + 0 OFFSET ?5"
            ),
            false => concat!(
                "SELECT ",
                project_columns!(),
                " ",
                projects_listed!(),
                " AND (?3 IS NULL OR id > ?3) ORDER BY id LIMIT ?4 + 0 OFFSET ?5"
            ),
        };
        let (skipped, behind) = page.bounds();
        let rows = sqlx::query(statement)
            .bind(among)
            .bind(&filter.search)
            .bind(behind)
            .bind(one_more(page))
            .bind(clamped(skipped))
            .fetch_all(&mut *self.reader().await?)
            .await
            .map_err(failed)?;
        Ok(Listed::of(rows.iter().map(read_project).collect::<Result<_>>()?, page, total))
    }

    async fn jobs(&self, filter: &JobFilter, page: Page) -> Result<Listed<Job>> {
        let statuses = filter.statuses.as_ref().map(to_json).transpose()?;
        let total = match page.counts() {
            true => {
                let count =
                    sqlx::query(concat!("SELECT count(*) AS total FROM (SELECT 1 ", jobs_listed!(), " LIMIT ?3 + 0)"));
                let count = count.bind(filter.project.0).bind(&statuses).bind(counted_max());
                read_total(&count.fetch_one(&mut *self.reader().await?).await.map_err(failed)?)?
            }
            false => None,
        };
        // The numbers first, from the index alone: what is skipped or of another status is never read.
        let statement = match page.newest_first {
            true => concat!(
                "SELECT ",
                job_columns!(),
                " FROM jobs WHERE id IN (SELECT id ",
                jobs_listed!(),
                " AND (?3 IS NULL OR id < ?3) ORDER BY id DESC LIMIT ?4 + 0 OFFSET ?5) ORDER BY id DESC"
            ),
            false => concat!(
                "SELECT ",
                job_columns!(),
                " FROM jobs WHERE id IN (SELECT id ",
                jobs_listed!(),
                " AND (?3 IS NULL OR id > ?3) ORDER BY id LIMIT ?4 + 0 OFFSET ?5) ORDER BY id"
            ),
        };
        let (skipped, behind) = page.bounds();
        let rows = sqlx::query(statement)
            .bind(filter.project.0)
            .bind(statuses)
            .bind(behind)
            .bind(one_more(page))
            .bind(clamped(skipped))
            .fetch_all(&mut *self.reader().await?)
            .await
            .map_err(failed)?;
        Ok(Listed::of(rows.iter().map(read).collect::<Result<_>>()?, page, total))
    }
}
