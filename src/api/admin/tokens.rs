//! `/api/v1/tokens`: made, listed, rotated, revoked. A secret is shown once; only its hash is kept.

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::page::{Listed, Named, Page, ShownReach, Which, expiry, form, name, reach};
use crate::api::Api;
use crate::api::error::{Manners, Refused};
use crate::api::path::InPath;
use crate::api::query::{Parameters, Raw};
use crate::api::text::Text;
use crate::api::token::{READER_PREFIX, TokenHash, make};
use crate::store::database::accounts::{ApiToken, NewToken, Reach, Scope, TokenId};
use crate::trace::Timestamp;

/// A token to be made.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewToken)]
struct Wanted {
    /// What people call it.
    #[schema(value_type = String, min_length = 1, max_length = 255)]
    name: Text,
    /// What it is good for; reading, if not said. `admin` goes with all projects only.
    scopes: Option<Vec<Scope>>,
    /// The projects it is for; to be said always: a token for everything should be nobody's slip.
    projects: Named,
    /// The moment from which on it is good for nothing, RFC 3339; never, if not said.
    #[schema(format = DateTime)]
    expires_at: Option<String>,
    /// The same as a time from now, such as `30d`.
    expires_in: Option<String>,
}

/// What a rotation may change.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Rotation {
    /// The moment from which on the new one is good for nothing, RFC 3339; that of the old one, if not said.
    #[schema(format = DateTime)]
    expires_at: Option<String>,
    /// The same as a time from now, such as `30d`.
    expires_in: Option<String>,
}

/// How a token is.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = TokenState)]
enum Standing {
    Active,
    Expired,
    Revoked,
}

/// A token; its secret is not kept.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Token)]
struct Shown {
    /// Its number.
    id: TokenId,
    /// What people call it.
    name: String,
    /// Whether it is good for anything.
    state: Standing,
    /// What it is good for.
    scopes: Vec<Scope>,
    /// The projects it is for.
    projects: ShownReach,
    /// The moment from which on it is good for nothing; null if there is none.
    #[schema(required, format = DateTime)]
    expires_at: Option<String>,
    /// When it was made, RFC 3339.
    #[schema(format = DateTime)]
    created_at: String,
    /// When it was last used; about a minute late.
    #[schema(required, format = DateTime)]
    last_used_at: Option<String>,
    /// When it was revoked, or replaced by a rotation.
    #[schema(required, format = DateTime)]
    revoked_at: Option<String>,
    /// The token whose place it took.
    #[schema(required)]
    rotated_from: Option<TokenId>,
    /// The secret; only in the answer to whoever made it.
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<String>,
}

/// Makes a token. Its secret is shown this once.
#[utoipa::path(
    post, path = "/api/v1/tokens", tag = "Access", request_body = Wanted,
    responses((status = 201, description = "The token is there.", body = Shown), (status = 403)),
)]
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

async fn create(api: &Api, headers: &HeaderMap, body: Result<Bytes, BytesRejection>) -> Result<Shown, Refused> {
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
    Ok(with_secret(show(&token, now), secret))
}

/// All tokens, also the revoked ones, a page at a time.
#[utoipa::path(
    get, path = "/api/v1/tokens", tag = "Access", params(Which),
    responses((status = 200, description = "A page of tokens.", body = Listed<Shown>), (status = 403)),
)]
pub(in crate::api) async fn list_tokens(State(api): State<Api>, query: Raw, headers: HeaderMap) -> Response {
    let list = async {
        let _held = api.auth.admin(&headers).await?;
        let page = Page::of(&Parameters::of(query))?;
        let tokens = api.auth.accounts().tokens(TokenId(page.after), page.ask()).await?;
        let now = api.clock().now();
        Ok::<_, Refused>(page.document(tokens, |token| token.id.0, |token| show(token, now)))
    };
    match list.await {
        Ok(document) => Json(document).into_response(),
        Err(refused) => refused.answer(&api, Manners::Own),
    }
}

/// Revokes a token: it is good for nothing from now on.
#[utoipa::path(
    delete, path = "/api/v1/tokens/{token}", tag = "Access",
    params(("token" = TokenId, Path, description = "The token's number.", example = 1)),
    responses((status = 200, description = "The token as it is now.", body = Shown), (status = 403), (status = 404)),
)]
pub(in crate::api) async fn revoke_token(
    State(api): State<Api>,
    InPath(token): InPath<String>,
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

/// Gives a token another secret with the same rights, under another number; the old one is good for nothing from now on.
/// The body may be empty.
#[utoipa::path(
    post, path = "/api/v1/tokens/{token}/rotate", tag = "Access",
    params(("token" = TokenId, Path, description = "The token's number.", example = 1)),
    request_body = Option<Rotation>,
    responses(
        (status = 201, description = "The token in its place.", body = Shown),
        (status = 403),
        (status = 404, description = "There is no such token, or it is not good any more."),
    ),
)]
pub(in crate::api) async fn rotate_token(
    State(api): State<Api>,
    InPath(token): InPath<String>,
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
) -> Result<Shown, Refused> {
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
    Ok(with_secret(show(&token, now), secret))
}

fn with_secret(document: Shown, secret: String) -> Shown {
    Shown { token: Some(secret), ..document }
}

fn show(token: &ApiToken, now: Timestamp) -> Shown {
    Shown {
        id: token.id,
        name: token.name.clone(),
        state: match token.revoked_at {
            Some(_) => Standing::Revoked,
            None if token.is_good(now) => Standing::Active,
            None => Standing::Expired,
        },
        scopes: token.scopes.clone(),
        projects: ShownReach::from(&token.projects),
        expires_at: token.expires_at.map(Timestamp::to_rfc3339),
        created_at: token.created_at.to_rfc3339(),
        last_used_at: token.last_used_at.map(Timestamp::to_rfc3339),
        revoked_at: token.revoked_at.map(Timestamp::to_rfc3339),
        rotated_from: token.rotated_from,
        token: None,
    }
}
