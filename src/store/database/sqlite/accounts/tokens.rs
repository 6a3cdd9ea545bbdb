//! The table `tokens`.

use super::super::SqliteDatabase;
use super::super::errors::failed;
use crate::store::Result;
use crate::store::database::accounts::{ApiToken, NewToken, TokenId};
use crate::store::database::rows::accounts::{reach_column, read_token, token_columns};
use crate::store::database::rows::to_json;
use crate::trace::Timestamp;

pub(super) async fn create(database: &SqliteDatabase, new: &NewToken) -> Result<ApiToken> {
    let rows = sqlx::query(concat!(
        "INSERT INTO tokens (name, token_sha256, scopes, projects, expires_at, created_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6) RETURNING ",
        token_columns!()
    ))
    .bind(&new.name)
    .bind(&new.token_sha256[..])
    .bind(to_json(&new.scopes)?)
    .bind(reach_column(&new.projects)?)
    .bind(new.expires_at.map(|at| at.0))
    .bind(new.at.0)
    // Read to its end: SQLite commits only there.
    .fetch_all(&mut *database.writing().await?)
    .await
    .map_err(failed)?;
    rows.first().ok_or_else(|| failed(sqlx::Error::RowNotFound)).and_then(read_token)
}

pub(super) async fn find(database: &SqliteDatabase, token_sha256: [u8; 32]) -> Result<Option<ApiToken>> {
    let row = sqlx::query(concat!("SELECT ", token_columns!(), " FROM tokens WHERE token_sha256 = ?1"));
    let row = row.bind(&token_sha256[..]).fetch_optional(&mut *database.reader().await?).await.map_err(failed)?;
    row.as_ref().map(read_token).transpose()
}

pub(super) async fn list(database: &SqliteDatabase, after: TokenId, limit: u32) -> Result<Vec<ApiToken>> {
    let rows = sqlx::query(concat!("SELECT ", token_columns!(), " FROM tokens WHERE id > ?1 ORDER BY id LIMIT ?2 + 0"));
    let rows = rows.bind(after.0).bind(limit).fetch_all(&mut *database.reader().await?).await.map_err(failed)?;
    rows.iter().map(read_token).collect()
}

pub(super) async fn revoke(database: &SqliteDatabase, token: TokenId, at: Timestamp) -> Result<Option<ApiToken>> {
    let rows = sqlx::query(concat!(
        "UPDATE tokens SET revoked_at = coalesce(revoked_at, ?2) WHERE id = ?1 RETURNING ",
        token_columns!()
    ));
    let rows = rows.bind(token.0).bind(at.0).fetch_all(&mut *database.writing().await?).await.map_err(failed)?;
    rows.first().map(read_token).transpose()
}

pub(super) async fn rotate(
    database: &SqliteDatabase,
    token: TokenId,
    token_sha256: [u8; 32],
    expires_at: Option<Timestamp>,
    at: Timestamp,
) -> Result<Option<ApiToken>> {
    let mut transaction = database.begin().await?;
    let revoked = sqlx::query(
        "UPDATE tokens SET revoked_at = ?2
         WHERE id = ?1 AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > ?2)",
    );
    let revoked = revoked.bind(token.0).bind(at.0).execute(&mut *transaction).await.map_err(failed)?;
    if revoked.rows_affected() != 1 {
        return Ok(None);
    }
    let row = sqlx::query(concat!(
        "INSERT INTO tokens (name, token_sha256, scopes, projects, expires_at, created_at, rotated_from)
         SELECT name, ?2, scopes, projects, coalesce(?3, expires_at), ?4, id FROM tokens WHERE id = ?1
         RETURNING ",
        token_columns!()
    ))
    .bind(token.0)
    .bind(&token_sha256[..])
    .bind(expires_at.map(|at| at.0))
    .bind(at.0)
    .fetch_one(&mut *transaction)
    .await
    .map_err(failed)?;
    transaction.commit().await.map_err(failed)?;
    read_token(&row).map(Some)
}

pub(super) async fn note_uses(database: &SqliteDatabase, uses: &[(TokenId, Timestamp)]) -> Result<()> {
    sqlx::query(
        "UPDATE tokens SET last_used_at = max(coalesce(last_used_at, used.at), used.at)
         FROM (SELECT value ->> 0 AS token, max(value ->> 1) AS at FROM json_each(?1) GROUP BY value ->> 0) AS used
         WHERE id = used.token",
    )
    .bind(to_json(&uses)?)
    .execute(&mut *database.writing().await?)
    .await
    .map_err(failed)?;
    Ok(())
}
