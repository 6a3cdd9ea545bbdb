//! `GET /api/v1/mismatches`: what was found to be wrong. `POST /api/v1/mismatches/:id/resolve`: a person takes note of it.

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::api::Api;
use crate::api::error::{Manners, Refused};
use crate::api::path::InPath;
use crate::api::query::{Parameters, Raw, shown};
use crate::api::text::Text;
use crate::pipeline::MismatchReport;
use crate::store::database::{MismatchFilter, Note};
use crate::trace::{DataStore, JobId, Kind};

/// Mismatches on a page, unless asked otherwise.
const PER_PAGE: u32 = 20;
/// Mismatches on a page at most.
const PER_PAGE_MAX: u32 = 100;
/// The longest comment, in characters.
const COMMENT_MAX: usize = 2000;

/// Which mismatches to list.
#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code, reason = "read one by one; here they are described")]
struct Filters {
    /// Only open or only resolved ones.
    #[param(inline)]
    state: Option<Standing>,
    /// Only those of one job.
    job_id: Option<JobId>,
    /// Only those of one kind.
    kind: Option<Kind>,
    /// Only those in one store.
    store: Option<DataStore>,
    /// How many on a page, 20 if not said. More than 100 counts as 100.
    #[param(minimum = 1)]
    per_page: Option<u64>,
    /// `next` of the page before.
    cursor: Option<String>,
}

/// Whether something remains to be done.
#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
#[allow(dead_code, reason = "for the description")]
enum Standing {
    Open,
    Resolved,
}

/// A page of mismatches.
#[derive(Debug, Serialize, ToSchema)]
struct MismatchPage {
    /// The mismatches, in the order in which they were found.
    items: Vec<MismatchReport>,
    /// The `cursor` of the next page; null on the last.
    #[schema(required)]
    next: Option<String>,
}

/// What was found to be wrong, oldest first.
#[utoipa::path(
    get, path = "/api/v1/mismatches", tag = "Mismatches", params(Filters),
    responses((status = 200, description = "A page of mismatches.", body = MismatchPage), (status = 403)),
)]
pub(in crate::api) async fn mismatches(State(api): State<Api>, query: Raw, headers: HeaderMap) -> Response {
    match list(&api, &Parameters::of(query), &headers).await {
        Ok(page) => Json(page).into_response(),
        Err(refused) => refused.answer(&api, Manners::Own),
    }
}

async fn list(api: &Api, parameters: &Parameters, headers: &HeaderMap) -> Result<MismatchPage, Refused> {
    let _held = api.auth.admin(headers).await?;
    let size = parameters.positive("per_page")?.map_or(PER_PAGE, |size| u32::try_from(size).unwrap_or(u32::MAX));
    let size = size.min(PER_PAGE_MAX);
    let open = match parameters.text("state") {
        None => None,
        Some("open") => Some(true),
        Some("resolved") => Some(false),
        Some(other) => return Err(Refused::Bad(format!("state {:?} is neither open nor resolved", shown(other)))),
    };
    let filter = MismatchFilter {
        job: parameters.value("job_id")?.map(JobId),
        open,
        kind: parameters.value("kind")?,
        store: parameters.value("store")?,
        after: parameters.value("cursor")?.unwrap_or(0),
        // One more than is shown tells whether there is another page.
        limit: size + 1,
    };
    let found = api.pipeline.stores().database.mismatches(filter).await?;
    let shown = &found[..found.len().min(size as usize)];
    let next = shown.last().filter(|_| found.len() > shown.len()).map(|last| last.id.to_string());
    Ok(MismatchPage { items: shown.iter().map(MismatchReport::from).collect(), next })
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
    let noted = database.acknowledge_mismatch(id, &note, api.clock().now()).await?.ok_or(Refused::Unknown)?;
    tracing::info!(mismatch_id = id, job_id = noted.what.job.0, by = note.by, "mismatch {id}: {} took note", note.by);
    Ok(MismatchReport::from(&noted))
}

fn read(body: &[u8]) -> Result<String, Refused> {
    let Resolve { comment: Text(comment) } =
        serde_json::from_slice(body).map_err(|error| Refused::Bad(error.to_string()))?;
    if comment.trim().is_empty() || comment.chars().count() > COMMENT_MAX {
        return Err(Refused::Bad(format!("comment must have 1 to {COMMENT_MAX} characters")));
    }
    Ok(comment)
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
