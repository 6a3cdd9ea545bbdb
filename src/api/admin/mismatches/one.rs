//! `GET /api/v1/mismatches/:id`: all that is known of one. `POST .../resolve`: a person takes note of it.

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use utoipa::ToSchema;

use crate::api::Api;
use crate::api::error::{Manners, Refused};
use crate::api::path::InPath;
use crate::api::text::Text;
use crate::pipeline::{MismatchReport, log_resolved};
use crate::store::database::{Note, Resolution};

/// The longest comment, in characters.
const COMMENT_MAX: usize = 2000;

/// All that is known of one mismatch.
#[utoipa::path(
    get, path = "/api/v1/mismatches/{mismatch}", tag = "Mismatches", operation_id = "show_mismatch",
    params(("mismatch" = i64, Path, description = "The mismatch's number.", example = 1)),
    responses((status = 200, description = "The mismatch.", body = MismatchReport), (status = 403), (status = 404)),
)]
pub(in crate::api) async fn show(
    State(api): State<Api>,
    InPath(mismatch): InPath<String>,
    headers: HeaderMap,
) -> Response {
    match find(&api, &mismatch, &headers).await {
        Ok(report) => Json(report).into_response(),
        Err(refused) => refused.answer(&api, Manners::Own),
    }
}

async fn find(api: &Api, mismatch: &str, headers: &HeaderMap) -> Result<MismatchReport, Refused> {
    let _held = api.auth.admin(headers).await?;
    let id = mismatch.parse().map_err(|_| Refused::Unknown)?;
    let found = api.pipeline.stores().database.mismatch(id).await?.ok_or(Refused::Unknown)?;
    Ok(MismatchReport::from(&found))
}

/// A person's word on a mismatch.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Resolve {
    /// Why nothing more is to be done.
    #[schema(value_type = String, min_length = 1, max_length = 2000)]
    comment: Text,
}

/// A person takes note of a mismatch: it counts as resolved, and keeps who and why. One that is resolved already stays as
/// it is.
#[utoipa::path(
    post, path = "/api/v1/mismatches/{mismatch}/resolve", tag = "Mismatches", operation_id = "resolve_mismatch",
    params(("mismatch" = i64, Path, description = "The mismatch's number.", example = 1)),
    request_body = Resolve,
    responses(
        (status = 200, description = "The mismatch as it is now.", body = MismatchReport),
        (status = 403), (status = 404),
    ),
)]
pub(in crate::api) async fn resolve(
    State(api): State<Api>,
    InPath(mismatch): InPath<String>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    match acknowledge(&api, &mismatch, &headers, body).await {
        Ok(report) => Json(report).into_response(),
        Err(refused) => refused.answer(&api, Manners::Own),
    }
}

async fn acknowledge(
    api: &Api,
    mismatch: &str,
    headers: &HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<MismatchReport, Refused> {
    let admin = api.auth.admin(headers).await?;
    let id: i64 = mismatch.parse().map_err(|_| Refused::Unknown)?;
    let body = body.map_err(|rejection| Refused::Bad(rejection.body_text()))?;
    let comment = read(&body)?;
    let note = Note { by: admin.by.clone(), comment };
    let database = api.pipeline.stores().database.as_ref();
    let noted = database.resolve_mismatch(id, Resolution::Acknowledged, &note, api.clock().now()).await?;
    let noted = noted.ok_or(Refused::Unknown)?;
    log_resolved(&noted);
    Ok(MismatchReport::from(&noted))
}

fn read(body: &[u8]) -> Result<String, Refused> {
    let Resolve { comment } = serde_json::from_slice(body).map_err(|error| Refused::Bad(error.to_string()))?;
    if comment.0.trim().is_empty() || comment.0.chars().count() > COMMENT_MAX {
        return Err(Refused::Bad(format!("comment must have 1 to {COMMENT_MAX} characters")));
    }
    Ok(comment.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_comment_is_needed_and_bounded() {
        assert_eq!(read(br#"{"comment":"the disk was replaced"}"#).expect("good"), "the disk was replaced");
        let long = format!(r#"{{"comment":"{}"}}"#, "x".repeat(2001));
        for bad in ["", "{}", r#"{"comment":""}"#, r#"{"comment":" "}"#, r#"{"comment":"x","by":"me"}"#, &long] {
            assert!(read(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
