//! Lists for readers, out of the tables `projects` and `jobs`.

use async_trait::async_trait;

use super::PostgresDatabase;
use super::calls::{Repeat, arguments};
use crate::store::Result;
use crate::store::database::Job;
use crate::store::database::listing::{JobFilter, Listed, ListedProject, Listing, Page, ProjectFilter, ProjectName};
use crate::store::database::rows::jobs::{job_columns, read};
use crate::store::database::rows::listing::{
    clamped, counted_max, one_more, project_columns, read_project, read_total,
};

/// What a list of projects consists of. Only ASCII letters have no case, as everywhere: hence the collation.
macro_rules! projects_listed {
    () => {
        "FROM projects WHERE ($1::bigint[] IS NULL OR id = ANY ($1))
                         AND ($2::text IS NULL OR strpos(lower(path COLLATE \"C\"), lower($2 COLLATE \"C\")) > 0)
                         AND (path <> 'veritail/canary' OR $1 IS NOT NULL OR $2 IS NOT NULL)"
    };
}

/// What a list of jobs consists of: the index answers it without touching the jobs.
macro_rules! jobs_listed {
    () => {
        "FROM jobs WHERE project_id = $1 AND ($2::text[] IS NULL OR status = ANY ($2))"
    };
}

#[async_trait]
impl Listing for PostgresDatabase {
    async fn project(&self, name: &ProjectName) -> Result<Option<ListedProject>> {
        let (sql, arguments) = match name {
            ProjectName::Id(id) => {
                (concat!("SELECT ", project_columns!(), " FROM projects WHERE id = $1"), arguments![id.0])
            }
            ProjectName::Path(path) => {
                (concat!("SELECT ", project_columns!(), " FROM projects WHERE path = $1"), arguments![path])
            }
        };
        self.row(Repeat::Safe, sql, arguments).await?.as_ref().map(read_project).transpose()
    }

    async fn projects(&self, filter: &ProjectFilter, page: Page) -> Result<Listed<ListedProject>> {
        let among: Option<Vec<i64>> = filter.among.as_ref().map(|ids| ids.iter().map(|id| id.0).collect());
        let total = match page.counts() {
            true => {
                let sql =
                    concat!("SELECT count(*) AS total FROM (SELECT 1 ", projects_listed!(), " LIMIT $3) AS listed");
                let arguments = arguments![&among, filter.search.as_deref(), counted_max()];
                self.row(Repeat::Safe, sql, arguments).await?.as_ref().map(read_total).transpose()?.flatten()
            }
            false => None,
        };
        let sql = match page.newest_first {
            true => concat!(
                "SELECT ",
                project_columns!(),
                " ",
                projects_listed!(),
                " AND ($3 IS NULL OR id < $3) ORDER BY id DESC LIMIT $4 OFFSET $5"
            ),
            false => concat!(
                "SELECT ",
                project_columns!(),
                " ",
                projects_listed!(),
                " AND ($3 IS NULL OR id > $3) ORDER BY id LIMIT $4 OFFSET $5"
            ),
        };
        let (skipped, behind) = page.bounds();
        let arguments = arguments![among, filter.search.as_deref(), behind, one_more(page), clamped(skipped)];
        let rows = self.rows(Repeat::Safe, sql, arguments).await?;
        Ok(Listed::of(rows.iter().map(read_project).collect::<Result<_>>()?, page, total))
    }

    async fn jobs(&self, filter: &JobFilter, page: Page) -> Result<Listed<Job>> {
        let statuses: Option<Vec<&str>> =
            filter.statuses.as_ref().map(|statuses| statuses.iter().map(|status| status.as_str()).collect());
        let total = match page.counts() {
            true => {
                let sql = concat!("SELECT count(*) AS total FROM (SELECT 1 ", jobs_listed!(), " LIMIT $3) AS listed");
                let arguments = arguments![filter.project.0, &statuses, counted_max()];
                self.row(Repeat::Safe, sql, arguments).await?.as_ref().map(read_total).transpose()?.flatten()
            }
            false => None,
        };
        // The numbers first, from the index alone: what is skipped or of another status is never read.
        let sql = match page.newest_first {
            true => concat!(
                "SELECT ",
                job_columns!(),
                " FROM jobs WHERE id IN (SELECT id ",
                jobs_listed!(),
                " AND ($3 IS NULL OR id < $3) ORDER BY project_id DESC, id DESC LIMIT $4 OFFSET $5) ORDER BY id DESC"
            ),
            false => concat!(
                "SELECT ",
                job_columns!(),
                " FROM jobs WHERE id IN (SELECT id ",
                jobs_listed!(),
                " AND ($3 IS NULL OR id > $3) ORDER BY project_id, id LIMIT $4 OFFSET $5) ORDER BY id"
            ),
        };
        let (skipped, behind) = page.bounds();
        let arguments = arguments![filter.project.0, statuses, behind, one_more(page), clamped(skipped)];
        let rows = self.rows(Repeat::Safe, sql, arguments).await?;
        Ok(Listed::of(rows.iter().map(read).collect::<Result<_>>()?, page, total))
    }
}
