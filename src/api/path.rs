//! The named parts of a path, read so that a token comes first.

use std::convert::Infallible;

use axum::extract::{FromRequestParts, Path};
use axum::http::request::Parts;
use serde::de::DeserializeOwned;

/// Text parts of a path. Where one of them is not UTF-8 or has a NUL all are empty, which names nothing: the route then answers as it
/// does for what it does not know, after it has looked at the token.
pub(super) struct InPath<T>(pub(super) T);

impl<S, T> FromRequestParts<S> for InPath<T>
where
    S: Send + Sync,
    T: DeserializeOwned + Default + Send,
{
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Infallible> {
        let path = Path::<T>::from_request_parts(parts, state).await;
        let path = path.ok().filter(|_| !parts.uri.path().contains("%00"));
        Ok(Self(path.map(|Path(parts)| parts).unwrap_or_default()))
    }
}
