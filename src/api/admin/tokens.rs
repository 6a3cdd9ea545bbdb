//! `/api/v1/tokens`: made, listed, rotated, revoked. A secret is shown once; only its hash is kept.

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Value, json};

use super::page::{Named, Page, expiry, form, moment, name, reach, show_reach};
use crate::api::Api;
use crate::api::error::{Manners, Refused};
use crate::api::token::{READER_PREFIX, TokenHash, make};
use crate::store::database::accounts::{ApiToken, NewToken, Reach, Scope, TokenId};
use crate::trace::Timestamp;

/// A token to be made.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    name: String,
    /// Without it: reading.
    scopes: Option<Vec<Scope>>,
    /// To be said always: a token for everything should be nobody's slip.
    projects: Named,
    expires_at: Option<String>,
    expires_in: Option<String>,
}

/// What a rotation may change.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Rotation {
    expires_at: Option<String>,
    expires_in: Option<String>,
}

/// `POST /api/v1/tokens`.
pub(in crate::api) async fn create_token(
    State(api): State<Api>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    match create(&api, &headers, body).await {
        Ok(document) => (StatusCode::CREATED, Json(document)).into_response(),
        Err(refused) => refused.answer(&api, Manners::Own),
    }
}

async fn create(api: &Api, headers: &HeaderMap, body: Result<Bytes, BytesRejection>) -> Result<Value, Refused> {
    let _held = api.auth.admin(headers).await?;
    let wanted: Wanted = form(body)?;
    let now = api.clock().now();
    let mut scopes = wanted.scopes.unwrap_or_else(|| vec![Scope::Read]);
    scopes.sort_unstable();
    scopes.dedup();
    let projects = reach(api, &wanted.projects).await?;
    if scopes.contains(&Scope::Admin) && projects != Reach::All {
        return Err(Refused::Bad("the scope admin goes with the projects \"all\" only".to_owned()));
    }
    let secret = make(READER_PREFIX, api.pipeline.seams().chance.as_ref());
    let new = NewToken {
        name: name("name", wanted.name)?,
        token_sha256: TokenHash::of(&secret).0,
        scopes,
        projects,
        expires_at: expiry(wanted.expires_at.as_deref(), wanted.expires_in.as_deref(), now)?,
        at: now,
    };
    let token = api.auth.accounts().create_token(new).await?;
    tracing::info!(token_id = token.id.0, "token {} made: {}", token.id.0, token.name);
    Ok(with_secret(show(&token, now), &secret))
}

/// `GET /api/v1/tokens`: all of them, also the revoked ones, page by page.
pub(in crate::api) async fn list_tokens(
    State(api): State<Api>,
    query: Result<Query<Vec<(String, String)>>, QueryRejection>,
    headers: HeaderMap,
) -> Response {
    let list = async {
        let _held = api.auth.admin(&headers).await?;
        let page = Page::of(&query.map(|Query(all)| all).unwrap_or_default())?;
        let tokens = api.auth.accounts().tokens(TokenId(page.after), page.ask()).await?;
        let now = api.clock().now();
        Ok::<_, Refused>(page.document(tokens, |token| token.id.0, |token| show(token, now)))
    };
    match list.await {
        Ok(document) => Json(document).into_response(),
        Err(refused) => refused.answer(&api, Manners::Own),
    }
}

/// `DELETE /api/v1/tokens/:id`: good for nothing from now on.
pub(in crate::api) async fn revoke_token(
    State(api): State<Api>,
    Path(token): Path<String>,
    headers: HeaderMap,
) -> Response {
    let revoke = async {
        let _held = api.auth.admin(&headers).await?;
        let id = token.parse().map(TokenId).map_err(|_| Refused::Unknown)?;
        let now = api.clock().now();
        let token = api.auth.accounts().revoke_token(id, now).await?.ok_or(Refused::Unknown)?;
        api.auth.forget(&token.token_sha256);
        tracing::info!(token_id = token.id.0, "token {} revoked: {}", token.id.0, token.name);
        Ok::<_, Refused>(show(&token, now))
    };
    match revoke.await {
        Ok(document) => Json(document).into_response(),
        Err(refused) => refused.answer(&api, Manners::Own),
    }
}

/// `POST /api/v1/tokens/:id/rotate`: another secret with the same rights, and the old one is good for nothing.
pub(in crate::api) async fn rotate_token(
    State(api): State<Api>,
    Path(token): Path<String>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    match rotate(&api, &token, &headers, body).await {
        Ok(document) => (StatusCode::CREATED, Json(document)).into_response(),
        Err(refused) => refused.answer(&api, Manners::Own),
    }
}

async fn rotate(
    api: &Api,
    token: &str,
    headers: &HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Value, Refused> {
    let _held = api.auth.admin(headers).await?;
    let id = token.parse().map(TokenId).map_err(|_| Refused::Unknown)?;
    let wanted: Rotation = match &body {
        Ok(body) if body.trim_ascii().is_empty() => Rotation::default(),
        _ => form(body)?,
    };
    let now = api.clock().now();
    let expires_at = expiry(wanted.expires_at.as_deref(), wanted.expires_in.as_deref(), now)?;
    let secret = make(READER_PREFIX, api.pipeline.seams().chance.as_ref());
    let accounts = api.auth.accounts();
    let rotated = accounts.rotate_token(id, TokenHash::of(&secret).0, expires_at, now).await?;
    let token = rotated.ok_or(Refused::Unknown)?;
    // Its number is all that a rotation says of the old one; revoking again changes nothing and names its hash.
    if let Some(old) = accounts.revoke_token(id, now).await? {
        api.auth.forget(&old.token_sha256);
    }
    tracing::info!(token_id = token.id.0, "token {} takes the place of {}: {}", token.id.0, id.0, token.name);
    Ok(with_secret(show(&token, now), &secret))
}

fn with_secret(mut document: Value, secret: &str) -> Value {
    document["token"] = secret.into();
    document
}

fn show(token: &ApiToken, now: Timestamp) -> Value {
    let state = match token.revoked_at {
        Some(_) => "revoked",
        None if token.is_good(now) => "active",
        None => "expired",
    };
    json!({
        "id": token.id,
        "name": token.name,
        "state": state,
        "scopes": token.scopes,
        "projects": show_reach(&token.projects),
        "expires_at": token.expires_at.map(moment),
        "created_at": moment(token.created_at),
        "last_used_at": token.last_used_at.map(moment),
        "revoked_at": token.revoked_at.map(moment),
        "rotated_from": token.rotated_from,
    })
}
