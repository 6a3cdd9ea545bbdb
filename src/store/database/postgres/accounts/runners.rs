//! The table `runners`.

use super::super::calls::{Repeat, arguments};
use super::super::{PostgresDatabase, failed};
use crate::store::Result;
use crate::store::database::accounts::{NewRunner, Runner, RunnerId};
use crate::store::database::rows::accounts::{reach_column, read_runner, runner_columns};
use crate::trace::Timestamp;

pub(super) async fn create(database: &PostgresDatabase, new: &NewRunner) -> Result<Runner> {
    let sql = concat!(
        "INSERT INTO runners (description, token_sha256, projects, created_at) VALUES ($1, $2, $3, $4) RETURNING ",
        runner_columns!()
    );
    let arguments = arguments![&new.description, &new.token_sha256[..], reach_column(&new.projects)?, new.at.0];
    let row = database.row(Repeat::Never, sql, arguments).await?;
    row.ok_or_else(|| failed(sqlx::Error::RowNotFound)).and_then(|row| read_runner(&row))
}

pub(super) async fn find(database: &PostgresDatabase, token_sha256: [u8; 32]) -> Result<Option<Runner>> {
    let sql = concat!("SELECT ", runner_columns!(), " FROM runners WHERE token_sha256 = $1");
    database.row(Repeat::Safe, sql, arguments![&token_sha256[..]]).await?.as_ref().map(read_runner).transpose()
}

pub(super) async fn list(database: &PostgresDatabase, after: RunnerId, limit: u32) -> Result<Vec<Runner>> {
    let sql = concat!("SELECT ", runner_columns!(), " FROM runners WHERE id > $1 ORDER BY id LIMIT $2");
    let rows = database.rows(Repeat::Safe, sql, arguments![after.0, i64::from(limit)]).await?;
    rows.iter().map(read_runner).collect()
}

pub(super) async fn revoke(database: &PostgresDatabase, runner: RunnerId, at: Timestamp) -> Result<Option<Runner>> {
    let sql =
        concat!("UPDATE runners SET revoked_at = coalesce(revoked_at, $2) WHERE id = $1 RETURNING ", runner_columns!());
    database.row(Repeat::Safe, sql, arguments![runner.0, at.0]).await?.as_ref().map(read_runner).transpose()
}

pub(super) async fn note_contacts(database: &PostgresDatabase, contacts: &[(RunnerId, Timestamp)]) -> Result<()> {
    let (runners, at): (Vec<i64>, Vec<i64>) = contacts.iter().map(|(runner, at)| (runner.0, at.0)).unzip();
    // Locked by number first: other nodes heard of the same runners.
    let sql = "
        WITH heard AS MATERIALIZED (
            SELECT runner, max(at) AS at FROM unnest($1::bigint[], $2::bigint[]) AS all_heard (runner, at) GROUP BY runner),
        locked AS MATERIALIZED (
            SELECT id FROM runners WHERE id IN (SELECT runner FROM heard) ORDER BY id FOR NO KEY UPDATE)
        UPDATE runners SET last_contact_at = greatest(last_contact_at, heard.at)
        FROM heard, locked WHERE runners.id = heard.runner AND runners.id = locked.id";
    database.change(Repeat::Safe, sql, arguments![runners, at]).await?;
    Ok(())
}
