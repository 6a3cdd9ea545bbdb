//! `GET /api/v4/version` and `GET /api/v4/user`: what clients ask to see whether address and token are right.

use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use super::seen::Seen;
use crate::api::Api;
use crate::api::error::Manners;

/// What runs here.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::api) struct Version {
    /// Veritail's version, not that of a GitLab.
    version: &'static str,
    /// The revision it was built from.
    revision: &'static str,
}

/// Whose token it is.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::api) struct User {
    /// Always 1: there are no persons here, only tokens.
    id: u32,
    /// Always `admin`.
    username: &'static str,
    /// Always `Admin`.
    name: &'static str,
    /// Always `active`.
    state: &'static str,
    /// Always null.
    #[schema(required, nullable, value_type = Option<String>)]
    avatar_url: (),
    /// Always null.
    #[schema(required, nullable, value_type = Option<String>)]
    web_url: (),
    /// Whether the token may do everything.
    is_admin: bool,
}

/// The version, for whoever has a token.
#[utoipa::path(
    get, path = "/api/v4/version", tag = "Readers",
    responses((status = 200, description = "What runs here.", body = Version)),
)]
pub(in crate::api) async fn version(State(api): State<Api>, headers: HeaderMap) -> Response {
    let revision = option_env!("VERITAIL_REVISION").unwrap_or("unknown");
    match Seen::by(&api, &headers).await {
        Ok(_) => Json(Version { version: env!("CARGO_PKG_VERSION"), revision }).into_response(),
        Err(refused) => refused.answer(&api, Manners::GitLab),
    }
}

/// Whose token it is.
#[utoipa::path(
    get, path = "/api/v4/user", tag = "Readers",
    responses((status = 200, description = "The bearer of the token.", body = User)),
)]
pub(in crate::api) async fn user(State(api): State<Api>, headers: HeaderMap) -> Response {
    match Seen::by(&api, &headers).await {
        Ok(seen) => {
            let (id, username, name) = if seen.everything { (1, "admin", "Admin") } else { (2, "reader", "Reader") };
            let is_admin = seen.everything;
            Json(User { id, username, name, state: "active", avatar_url: (), web_url: (), is_admin }).into_response()
        }
        Err(refused) => refused.answer(&api, Manners::GitLab),
    }
}
