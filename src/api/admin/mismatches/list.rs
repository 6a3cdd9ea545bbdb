//! `GET /api/v1/mismatches`: what was found to be wrong, page by page, or all of it as JSON lines.

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::HeaderMap;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::{BoxError, Json};
use futures::stream::try_unfold;
use serde::Serialize;
use utoipa::ToSchema;

use crate::api::Api;
use crate::api::admin::page;
use crate::api::auth::Admin;
use crate::api::error::{Manners, Refused};
use crate::api::query::{Parameters, Raw, shown};
use crate::pipeline::MismatchReport;
use crate::store::database::MismatchFilter;
use crate::trace::{DataStore, Detector, JobId, Kind};

/// Mismatches on a page, unless asked otherwise.
const PER_PAGE: u32 = 20;
/// Mismatches on a page at most.
const PER_PAGE_MAX: u32 = 100;
/// Mismatches of an export that are in memory at a time.
const AT_A_TIME: u32 = 500;

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
    /// Only those of one project's jobs, by its number or path.
    project: Option<String>,
    /// Only those of one kind.
    kind: Option<Kind>,
    /// Only those in one store.
    store: Option<DataStore>,
    /// Only those that were found in one way.
    detector: Option<Detector>,
    /// Only those that were first seen at this moment or later, RFC 3339.
    #[param(format = DateTime)]
    since: Option<String>,
    /// Only those that were last seen at this moment or later, RFC 3339.
    #[param(format = DateTime)]
    seen_since: Option<String>,
    /// How many on a page, 20 if not said. More than 100 counts as 100.
    #[param(minimum = 1)]
    per_page: Option<u64>,
    /// `next` of the page before.
    cursor: Option<String>,
    /// `json`: a page. `jsonl`: all of them behind the cursor, a document a line.
    #[param(inline)]
    format: Option<Format>,
}

/// Whether something remains to be done.
#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
#[allow(dead_code, reason = "for the description")]
enum Standing {
    Open,
    Resolved,
}

/// How the mismatches are written.
#[derive(Clone, Copy, PartialEq, Eq, ToSchema)]
#[schema(rename_all = "lowercase")]
enum Format {
    Json,
    Jsonl,
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
    responses(
        (status = 200, description = "A page of mismatches, or all of them as JSON lines.",
         content((MismatchPage = "application/json"), (String = "application/jsonl"))),
        (status = 403),
    ),
)]
pub(in crate::api) async fn mismatches(State(api): State<Api>, query: Raw, headers: HeaderMap) -> Response {
    match list(&api, &Parameters::of(query), &headers).await {
        Ok(listed) => listed,
        Err(refused) => refused.answer(&api, Manners::Own),
    }
}

async fn list(api: &Api, parameters: &Parameters, headers: &HeaderMap) -> Result<Response, Refused> {
    let admin = api.auth.admin(headers).await?;
    let size = parameters.positive("per_page")?.map_or(PER_PAGE, |size| u32::try_from(size).unwrap_or(u32::MAX));
    let size = size.min(PER_PAGE_MAX);
    let filter = filter(api, parameters).await?;
    match format(parameters)? {
        Format::Json => Ok(Json(page_of(api, filter, size).await?).into_response()),
        Format::Jsonl => export(api, filter, admin).await,
    }
}

fn format(parameters: &Parameters) -> Result<Format, Refused> {
    match parameters.text("format") {
        None | Some("json") => Ok(Format::Json),
        Some("jsonl") => Ok(Format::Jsonl),
        Some(other) => Err(Refused::Bad(format!("format {:?} is neither json nor jsonl", shown(other)))),
    }
}

async fn filter(api: &Api, parameters: &Parameters) -> Result<MismatchFilter, Refused> {
    let open = match parameters.text("state") {
        None => None,
        Some("open") => Some(true),
        Some("resolved") => Some(false),
        Some(other) => return Err(Refused::Bad(format!("state {:?} is neither open nor resolved", shown(other)))),
    };
    let project = match parameters.text("project") {
        None => None,
        Some(name) => Some(page::project(api, name).await?),
    };
    let moment = |name| parameters.text(name).map(|text| page::moment(name, text)).transpose();
    Ok(MismatchFilter {
        job: parameters.value("job_id")?.map(JobId),
        project,
        open,
        kind: parameters.value("kind")?,
        store: parameters.value("store")?,
        detector: parameters.value("detector")?,
        since: moment("since")?,
        seen_since: moment("seen_since")?,
        after: parameters.value("cursor")?.unwrap_or(0),
        ..MismatchFilter::default()
    })
}

async fn page_of(api: &Api, filter: MismatchFilter, size: u32) -> Result<MismatchPage, Refused> {
    // One more than is shown tells whether there is another page.
    let filter = MismatchFilter { limit: size + 1, ..filter };
    let found = api.pipeline.stores().database.mismatches(filter).await?;
    let shown = &found[..found.len().min(size as usize)];
    let next = shown.last().filter(|_| found.len() > shown.len()).map(|last| last.id.to_string());
    Ok(MismatchPage { items: shown.iter().map(MismatchReport::from).collect(), next })
}

/// All of them, read a few at a time as the client takes them. An error on the way cuts the connection, so that nobody takes
/// a part for the whole.
async fn export(api: &Api, filter: MismatchFilter, admin: Admin) -> Result<Response, Refused> {
    let filter = MismatchFilter { limit: AT_A_TIME, ..filter };
    // The first are read before the answer begins: a database that is away is still said.
    let first = api.pipeline.stores().database.mismatches(filter).await?;
    let lines = try_unfold((api.pipeline.clone(), Some(first), filter), move |(pipeline, first, filter)| {
        // Until the last line is on its way, the admin counts as there.
        let _ = &admin;
        async move {
            let found = match first {
                Some(first) => first,
                None => pipeline.stores().database.mismatches(filter).await.inspect_err(|error| {
                    tracing::warn!(%error, "an export of mismatches was cut");
                })?,
            };
            let Some(last) = found.last() else { return Ok(None) };
            let next = MismatchFilter { after: last.id, ..filter };
            let mut lines = Vec::new();
            for mismatch in &found {
                serde_json::to_writer(&mut lines, &MismatchReport::from(mismatch))?;
                lines.push(b'\n');
            }
            Ok::<_, BoxError>(Some((Bytes::from(lines), (pipeline, None, next))))
        }
    });
    Ok(([(CONTENT_TYPE, "application/jsonl")], Body::from_stream(lines)).into_response())
}
