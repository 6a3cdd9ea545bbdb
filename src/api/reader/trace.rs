//! `GET /api/v4/projects/:id/jobs/:job_id/trace`: the log, whole or in part.
//!
//! The first bytes are there before the head is said, so a log that cannot be had, or is damaged where it is asked for, is an
//! error with its reason. The length is said before the first byte, so a stream that ends early (no copy of a later chunk is as
//! recorded) is a broken connection to the client, and never a log that looks complete.

use std::ops::Range;

use axum::Extension;
use axum::body::Body;
use axum::extract::{Query, State};
use axum::http::header::{ACCEPT_RANGES, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, RANGE};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use futures::{StreamExt, stream};

use super::conditions::{self, Outcome};
use super::is_project;
use super::range::{Wanted, wanted};
use crate::api::Api;
use crate::api::error::{Manners, Message, Refused, message};
use crate::api::limits::Held;
use crate::api::observe::{self, Ends};
use crate::api::path::InPath;
use crate::pipeline::{Mode, OpenedReading, ReadError, Reading};
use crate::store::database::Job;
use crate::telemetry::metrics::{self, Operation, Route, Status};
use crate::trace::{ByteSize, JobId, Offset};

/// The log of a job, whole or in part. The length is said first: a connection that ends early is damage, not the end.
#[utoipa::path(
    get, path = "/api/v4/projects/{project}/jobs/{job}/trace", tag = "Readers", operation_id = "trace",
    params(
        ("project" = String, Path, description = "The project's number, or its URL-encoded path.", example = "1"),
        ("job" = JobId, Path, description = "The job's number.", example = 1),
        ("unverified" = Option<String>, Query,
            description = "`1`: also bytes that are not as recorded, and NUL bytes where none are."),
        ("Range" = Option<String>, Header, description = "One range of bytes, as RFC 9110 has it."),
        ("If-Range" = Option<String>, Header, description = "The `ETag` that the range is of."),
        ("If-None-Match" = Option<String>, Header, description = "An `ETag` that the client has."),
        ("If-Match" = Option<String>, Header, description = "The `ETag` that the answer has to be of."),
    ),
    responses(
        (status = 200, description = "The log so far, or all of it.", body = String, content_type = "text/plain; charset=utf-8",
            headers(("ETag" = String), ("Accept-Ranges" = String), ("Cache-Control" = String))),
        (status = 206, description = "The range.", body = String, content_type = "text/plain; charset=utf-8",
            headers(("ETag" = String), ("Content-Range" = String))),
        (status = 304, description = "The client has it."),
        (status = 404),
        (status = 410, description = "The log was erased."),
        (status = 412, description = "The log is of another version than `If-Match` says."),
        (status = 416, description = "The range lies behind the end.", headers(("Content-Range" = String))),
        (status = 500, description = "No copy of the first bytes is as it was recorded (`error` is `damaged` then), something in a \
            store is as no version wrote it, or the program has a fault: a person must look.", body = Message),
    ),
)]
pub(in crate::api) async fn trace(
    State(api): State<Api>,
    InPath((project, job)): InPath<(String, String)>,
    query: Result<Query<Vec<(String, String)>>, axum::extract::rejection::QueryRejection>,
    method: Method,
    headers: HeaderMap,
) -> Response {
    let unverified = query.is_ok_and(|Query(all)| all.iter().any(|(name, value)| name == "unverified" && value == "1"));
    let mode = if unverified { Mode::Unverified } else { Mode::Verified };
    match open(&api, &project, &job, &headers, mode).await {
        Ok((reading, held)) => answer(&api, reading, held, &method, &headers, mode).await,
        Err(refused) => refused.answer(&api, Manners::GitLab),
    }
}

async fn open(
    api: &Api,
    project: &str,
    job: &str,
    headers: &HeaderMap,
    mode: Mode,
) -> Result<(Reading, Held), Refused> {
    // Without a token the answer is 401 whatever is asked for.
    let id = job.parse().map_or(JobId(0), JobId);
    let admitted = api.auth.reader(api.pipeline.stores().database.as_ref(), id, headers).await?;
    if !is_project(&admitted.known, project) {
        return Err(Refused::Unknown);
    }
    match api.pipeline.open_reading(id, mode).await? {
        OpenedReading::Open(reading) => Ok((*reading, admitted.held)),
        OpenedReading::Erased => Err(Refused::Erased),
        OpenedReading::Unknown => Err(Refused::Unknown),
    }
}

async fn answer(api: &Api, reading: Reading, held: Held, method: &Method, headers: &HeaderMap, mode: Mode) -> Response {
    let finished = reading.job().closed_at.is_some();
    let etag = etag(reading.job(), reading.size(), mode);
    let responded = respond(api, reading, held, method, headers, etag.as_deref()).await;
    let mut response = responded.unwrap_or_else(|refused| refused.answer(api, Manners::GitLab));
    response.headers_mut().insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    if response.status().is_client_error() || response.status().is_server_error() {
        // It is about this request and this moment: the next byte of a live log may make it untrue.
        response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        return response;
    }
    // What is finished does not change, but it can be erased: caches ask again before long.
    let cache = match (mode, finished) {
        (Mode::Unverified, _) => "no-store",
        (Mode::Verified, true) => "private, max-age=300",
        (Mode::Verified, false) => "private, no-cache",
    };
    let fields = response.headers_mut();
    fields.insert(CACHE_CONTROL, HeaderValue::from_static(cache));
    if let Some(Ok(etag)) = etag.map(HeaderValue::try_from) {
        fields.insert(ETAG, etag);
    }
    response
}

async fn respond(
    api: &Api,
    reading: Reading,
    held: Held,
    method: &Method,
    headers: &HeaderMap,
    etag: Option<&str>,
) -> Result<Response, Refused> {
    match conditions::outcome(headers, etag) {
        Outcome::Go => {}
        Outcome::NotModified => return Ok(StatusCode::NOT_MODIFIED.into_response()),
        Outcome::Failed => return Ok(message(StatusCode::PRECONDITION_FAILED, "412 Precondition Failed")),
    }
    let size = reading.size();
    let range = headers.get(RANGE).and_then(|value| value.to_str().ok());
    let range = range.filter(|_| *method == Method::GET && conditions::range_applies(headers, etag));
    match wanted(range, size) {
        Wanted::Whole => body(api, reading, held, method, Offset::ZERO..Offset::ZERO + size, StatusCode::OK).await,
        Wanted::Part(from, to) => {
            let mut part = body(api, reading, held, method, from..to, StatusCode::PARTIAL_CONTENT).await?;
            insert(&mut part, format!("bytes {from}-{}/{size}", to.0 - 1));
            Ok(part)
        }
        Wanted::Unsatisfiable => {
            let mut refused = message(StatusCode::RANGE_NOT_SATISFIABLE, "416 Range Not Satisfiable");
            insert(&mut refused, format!("bytes */{size}"));
            Ok(refused)
        }
    }
}

fn insert(response: &mut Response, content_range: String) {
    if let Ok(value) = HeaderValue::try_from(content_range) {
        response.headers_mut().insert(CONTENT_RANGE, value);
    }
}

async fn body(
    api: &Api,
    reading: Reading,
    held: Held,
    method: &Method,
    range: Range<Offset>,
    status: StatusCode,
) -> Result<Response, Refused> {
    let job = reading.job().id;
    let size = range.end - range.start;
    let mut response = if *method == Method::HEAD || size.is_zero() {
        (status, Body::empty()).into_response()
    } else {
        let mut pieces = Box::pin(reading.stream(range));
        let mut waiting = Waiting(Some(observe::method_of(method)));
        let first = pieces.next().await.transpose();
        waiting.0 = None;
        let first = first?;
        api.outage.is_over();
        metrics::operation(Operation::Streamed);
        let span = tracing::Span::current();
        let mut ending = Ending { method: observe::method_of(method), status: Status::of(status.as_u16()) };
        let pieces = stream::iter(first.map(Ok)).chain(pieces).inspect(move |bytes| {
            // Until the last byte is on its way, the reader counts as there.
            let _ = &held;
            if let Err(error) = bytes {
                ending.broke_off(error);
                span.in_scope(|| tracing::warn!(job_id = job.0, %error, "job {job}: a reader's stream was cut"));
            }
        });
        (status, Extension(Ends::Later), Body::from_stream(pieces)).into_response()
    };
    let fields = response.headers_mut();
    fields.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    fields.insert(CONTENT_LENGTH, HeaderValue::from(size.0));
    Ok(response)
}

/// A reader that goes away before the first byte was there got nothing: it counts as one whose log broke off.
struct Waiting(Option<metrics::Method>);

impl Drop for Waiting {
    fn drop(&mut self) {
        if let Some(method) = self.0.filter(|_| !std::thread::panicking()) {
            metrics::request_ended(Route::Read, method, Status::Cut);
        }
    }
}

/// Counts a request when its answer goes: at its end, or where it broke off or its reader went away.
struct Ending {
    method: metrics::Method,
    status: Status,
}

impl Drop for Ending {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.status = Status::InternalError;
        }
        metrics::request_ended(Route::Read, self.method, self.status);
    }
}

impl Ending {
    fn broke_off(&mut self, error: &ReadError) {
        self.status = match error {
            // As where nothing was said yet.
            ReadError::Store(error) if error.is_unreadable() => Status::InternalError,
            ReadError::Store(_) => Status::Cut,
            ReadError::Damaged { .. } | ReadError::Lost { .. } => Status::Damaged,
        };
    }
}

/// Names the bytes: of one epoch and one size there is only one version. What is not verified is whatever the stores hold
/// now, and has no name.
fn etag(job: &Job, size: ByteSize, mode: Mode) -> Option<String> {
    match mode {
        Mode::Verified => Some(format!("\"{}-{}-{size}\"", job.id, job.epoch)),
        Mode::Unverified => None,
    }
}
