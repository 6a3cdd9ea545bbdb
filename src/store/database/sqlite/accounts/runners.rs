//! The table `runners`.

use super::super::SqliteDatabase;
use super::super::errors::failed;
use crate::store::Result;
use crate::store::database::accounts::{NewRunner, Runner, RunnerId};
use crate::store::database::rows::accounts::{reach_column, read_runner, runner_columns};
use crate::store::database::rows::to_json;
use crate::trace::Timestamp;

pub(super) async fn create(database: &SqliteDatabase, new: &NewRunner) -> Result<Runner> {
    let rows = sqlx::query(concat!(
        "INSERT INTO runners (description, token_sha256, projects, created_at) VALUES (?1, ?2, ?3, ?4) RETURNING ",
        runner_columns!()
    ))
    .bind(&new.description)
    .bind(&new.token_sha256[..])
    .bind(reach_column(&new.projects)?)
    .bind(new.at.0)
    // Read to its end: SQLite commits only there.
    .fetch_all(&mut *database.writing().await?)
    .await
    .map_err(failed)?;
    rows.first().ok_or_else(|| failed(sqlx::Error::RowNotFound)).and_then(read_runner)
}

pub(super) async fn find(database: &SqliteDatabase, token_sha256: [u8; 32]) -> Result<Option<Runner>> {
    let row = sqlx::query(concat!("SELECT ", runner_columns!(), " FROM runners WHERE token_sha256 = ?1"));
    let row = row.bind(&token_sha256[..]).fetch_optional(&mut *database.reader().await?).await.map_err(failed)?;
    row.as_ref().map(read_runner).transpose()
}

pub(super) async fn list(database: &SqliteDatabase, after: RunnerId, limit: u32) -> Result<Vec<Runner>> {
    let rows =
        sqlx::query(concat!("SELECT ", runner_columns!(), " FROM runners WHERE id > ?1 ORDER BY id LIMIT ?2 + 0"));
    let rows = rows.bind(after.0).bind(limit).fetch_all(&mut *database.reader().await?).await.map_err(failed)?;
    rows.iter().map(read_runner).collect()
}

pub(super) async fn revoke(database: &SqliteDatabase, runner: RunnerId, at: Timestamp) -> Result<Option<Runner>> {
    let rows = sqlx::query(concat!(
        "UPDATE runners SET revoked_at = coalesce(revoked_at, ?2) WHERE id = ?1 RETURNING ",
        runner_columns!()
    ));
    let rows = rows.bind(runner.0).bind(at.0).fetch_all(&mut *database.writing().await?).await.map_err(failed)?;
    rows.first().map(read_runner).transpose()
}

pub(super) async fn note_contacts(database: &SqliteDatabase, contacts: &[(RunnerId, Timestamp)]) -> Result<()> {
    sqlx::query(
        "UPDATE runners SET last_contact_at = max(coalesce(last_contact_at, heard.at), heard.at)
         FROM (SELECT value ->> 0 AS runner, max(value ->> 1) AS at FROM json_each(?1) GROUP BY value ->> 0) AS heard
         WHERE id = heard.runner",
    )
    .bind(to_json(&contacts)?)
    .execute(&mut *database.writing().await?)
    .await
    .map_err(failed)?;
    Ok(())
}
