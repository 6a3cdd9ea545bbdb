//! The parts of a path, and the answer where they cannot be read.

use axum::extract::{FromRequestParts, Path};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::Response;
use serde::de::DeserializeOwned;

use super::error::{message, problem};

/// [`Path`], but refused in the manners of the API: a part that is no UTF-8 is a bad request like any other.
pub(super) struct InPath<T>(pub(super) T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for InPath<T> {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Response> {
        match Path::from_request_parts(parts, state).await {
            Ok(Path(read)) => Ok(Self(read)),
            Err(_) if parts.uri.path().starts_with("/api/v4/") => {
                Err(message(StatusCode::BAD_REQUEST, "400 Bad Request: the path is not UTF-8"))
            }
            Err(_) => Err(problem(StatusCode::BAD_REQUEST, Some("the path is not UTF-8".to_owned()))),
        }
    }
}
