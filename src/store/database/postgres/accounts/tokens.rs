//! The table `tokens`.

use super::super::calls::{Repeat, arguments};
use super::super::{PostgresDatabase, failed};
use crate::store::Result;
use crate::store::database::accounts::{ApiToken, NewToken, TokenId};
use crate::store::database::rows::accounts::{reach_column, read_token, token_columns};
use crate::store::database::rows::to_json;
use crate::trace::Timestamp;

pub(super) async fn create(database: &PostgresDatabase, new: &NewToken) -> Result<ApiToken> {
    let sql = concat!(
        "INSERT INTO tokens (name, token_sha256, scopes, projects, expires_at, created_at)
         VALUES ($1, $2, $3, $4, $5, $6) RETURNING ",
        token_columns!()
    );
    let (scopes, projects) = (to_json(&new.scopes)?, reach_column(&new.projects)?);
    let arguments =
        arguments![&new.name, &new.token_sha256[..], scopes, projects, new.expires_at.map(|at| at.0), new.at.0];
    let row = database.row(Repeat::Never, sql, arguments).await?;
    row.ok_or_else(|| failed(sqlx::Error::RowNotFound)).and_then(|row| read_token(&row))
}

pub(super) async fn find(database: &PostgresDatabase, token_sha256: [u8; 32]) -> Result<Option<ApiToken>> {
    let sql = concat!("SELECT ", token_columns!(), " FROM tokens WHERE token_sha256 = $1");
    database.row(Repeat::Safe, sql, arguments![&token_sha256[..]]).await?.as_ref().map(read_token).transpose()
}

pub(super) async fn list(database: &PostgresDatabase, after: TokenId, limit: u32) -> Result<Vec<ApiToken>> {
    let sql = concat!("SELECT ", token_columns!(), " FROM tokens WHERE id > $1 ORDER BY id LIMIT $2");
    let rows = database.rows(Repeat::Safe, sql, arguments![after.0, i64::from(limit)]).await?;
    rows.iter().map(read_token).collect()
}

pub(super) async fn revoke(database: &PostgresDatabase, token: TokenId, at: Timestamp) -> Result<Option<ApiToken>> {
    let sql =
        concat!("UPDATE tokens SET revoked_at = coalesce(revoked_at, $2) WHERE id = $1 RETURNING ", token_columns!());
    database.row(Repeat::Safe, sql, arguments![token.0, at.0]).await?.as_ref().map(read_token).transpose()
}

pub(super) async fn rotate(
    database: &PostgresDatabase,
    token: TokenId,
    token_sha256: [u8; 32],
    expires_at: Option<Timestamp>,
    at: Timestamp,
) -> Result<Option<ApiToken>> {
    let sql = concat!(
        "WITH old AS (
             UPDATE tokens SET revoked_at = $4
             WHERE id = $1 AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > $4)
             RETURNING id, name, scopes, projects, expires_at)
         INSERT INTO tokens (name, token_sha256, scopes, projects, expires_at, created_at, rotated_from)
         SELECT name, $2, scopes, projects, coalesce($3, expires_at), $4, id FROM old
         RETURNING ",
        token_columns!()
    );
    let arguments = arguments![token.0, &token_sha256[..], expires_at.map(|at| at.0), at.0];
    database.row(Repeat::Never, sql, arguments).await?.as_ref().map(read_token).transpose()
}

pub(super) async fn note_uses(database: &PostgresDatabase, uses: &[(TokenId, Timestamp)]) -> Result<()> {
    let (tokens, at): (Vec<i64>, Vec<i64>) = uses.iter().map(|(token, at)| (token.0, at.0)).unzip();
    // Locked by number first: other nodes saw the same tokens.
    let sql = "
        WITH used AS MATERIALIZED (
            SELECT token, max(at) AS at FROM unnest($1::bigint[], $2::bigint[]) AS all_uses (token, at) GROUP BY token),
        locked AS MATERIALIZED (
            SELECT id FROM tokens WHERE id IN (SELECT token FROM used) ORDER BY id FOR NO KEY UPDATE)
        UPDATE tokens SET last_used_at = greatest(last_used_at, used.at)
        FROM used, locked WHERE tokens.id = used.token AND tokens.id = locked.id";
    database.change(Repeat::Safe, sql, arguments![tokens, at]).await?;
    Ok(())
}
