//! The table `projects`. Projects are made with their first job.

use super::super::SqliteDatabase;
use super::super::errors::failed;
use crate::store::Result;
use crate::store::database::accounts::Project;
use crate::store::database::rows::accounts::read_project;
use crate::trace::ProjectId;

pub(super) async fn find(database: &SqliteDatabase, project: ProjectId) -> Result<Option<Project>> {
    let row = sqlx::query("SELECT id, path FROM projects WHERE id = ?1").bind(project.0);
    row.fetch_optional(&mut *database.reader().await?).await.map_err(failed)?.as_ref().map(read_project).transpose()
}

pub(super) async fn find_at(database: &SqliteDatabase, path: &str) -> Result<Option<Project>> {
    let row = sqlx::query("SELECT id, path FROM projects WHERE path = ?1").bind(path);
    row.fetch_optional(&mut *database.reader().await?).await.map_err(failed)?.as_ref().map(read_project).transpose()
}

pub(super) async fn list(database: &SqliteDatabase, after: ProjectId, limit: u32) -> Result<Vec<Project>> {
    let rows = sqlx::query(
        "SELECT id, path FROM projects WHERE id > ?1 AND path <> 'veritail/canary' ORDER BY id LIMIT ?2 + 0",
    );
    let rows = rows.bind(after.0).bind(limit).fetch_all(&mut *database.reader().await?).await.map_err(failed)?;
    rows.iter().map(read_project).collect()
}
