//! The table `projects`. Projects are made with their first job.

use super::super::PostgresDatabase;
use super::super::calls::{Repeat, arguments};
use crate::store::Result;
use crate::store::database::accounts::Project;
use crate::store::database::rows::accounts::read_project;
use crate::trace::ProjectId;

pub(super) async fn find(database: &PostgresDatabase, project: ProjectId) -> Result<Option<Project>> {
    let row = database.row(Repeat::Safe, "SELECT id, path FROM projects WHERE id = $1", arguments![project.0]);
    row.await?.as_ref().map(read_project).transpose()
}

pub(super) async fn find_at(database: &PostgresDatabase, path: &str) -> Result<Option<Project>> {
    let row = database.row(Repeat::Safe, "SELECT id, path FROM projects WHERE path = $1", arguments![path]);
    row.await?.as_ref().map(read_project).transpose()
}

pub(super) async fn list(database: &PostgresDatabase, after: ProjectId, limit: u32) -> Result<Vec<Project>> {
    let sql = "SELECT id, path FROM projects WHERE id > $1 AND path <> 'veritail/canary' ORDER BY id LIMIT $2";
    let rows = database.rows(Repeat::Safe, sql, arguments![after.0, i64::from(limit)]).await?;
    rows.iter().map(read_project).collect()
}
