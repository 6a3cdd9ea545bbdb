//! `GET /api/v4/projects/:id/jobs/:job_id/trace`: the log, whole or in part.
//!
//! The length is said before the first byte, so a stream that ends early (no copy of a chunk is as recorded) is a broken
//! connection to the client, and never a log that looks complete.

use axum::body::Body;
use axum::extract::{Query, State};
use axum::http::header::{ACCEPT_RANGES, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, RANGE};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use futures::StreamExt;

use super::conditions::{self, Outcome};
use super::range::{Wanted, wanted};
use crate::api::Api;
use crate::api::auth::Known;
use crate::api::error::{Manners, Refused, message};
use crate::api::segment::Segments;
use crate::pipeline::{Mode, OpenedReading, Reading};
use crate::store::database::Job;
use crate::telemetry::metrics::{self, Operation};
use crate::trace::{ByteSize, JobId, Offset};

/// Serves a trace to whoever may read it.
pub(in crate::api) async fn trace(
    State(api): State<Api>,
    Segments((project, job)): Segments<(String, String)>,
    query: Result<Query<Vec<(String, String)>>, axum::extract::rejection::QueryRejection>,
    method: Method,
    headers: HeaderMap,
) -> Response {
    let unverified = query.is_ok_and(|Query(all)| all.iter().any(|(name, value)| name == "unverified" && value == "1"));
    let mode = if unverified { Mode::Unverified } else { Mode::Verified };
    match open(&api, &project, &job, &headers, mode).await {
        Ok(reading) => {
            api.outage.is_over();
            answer(reading, &method, &headers, mode)
        }
        Err(refused) => refused.answer(&api, Manners::GitLab),
    }
}

async fn open(api: &Api, project: &str, job: &str, headers: &HeaderMap, mode: Mode) -> Result<Reading, Refused> {
    // Without a token the answer is 401 whatever is asked for.
    let id = job.parse().map_or(JobId(0), JobId);
    let known = api.auth.reader(api.pipeline.stores().database.as_ref(), id, headers).await?;
    if !is_project(&known, project) {
        return Err(Refused::Unknown);
    }
    match api.pipeline.open_reading(id, mode).await? {
        OpenedReading::Open(reading) => Ok(*reading),
        OpenedReading::Erased => Err(Refused::Erased),
        OpenedReading::Unknown => Err(Refused::Unknown),
    }
}

/// A project is named by number or by path; the path came URL-encoded.
pub(super) fn is_project(known: &Known, project: &str) -> bool {
    project == known.project_path || project.parse() == Ok(known.project.0)
}

fn answer(reading: Reading, method: &Method, headers: &HeaderMap, mode: Mode) -> Response {
    let finished = reading.job().closed_at.is_some();
    let etag = etag(reading.job(), reading.size(), mode);
    let mut response = respond(reading, method, headers, etag.as_deref());
    response.headers_mut().insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    if response.status().is_client_error() {
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

fn respond(reading: Reading, method: &Method, headers: &HeaderMap, etag: Option<&str>) -> Response {
    match conditions::outcome(headers, etag) {
        Outcome::Go => {}
        Outcome::NotModified => return StatusCode::NOT_MODIFIED.into_response(),
        Outcome::Failed => return message(StatusCode::PRECONDITION_FAILED, "412 Precondition Failed"),
    }
    let size = reading.size();
    let range = headers.get(RANGE).and_then(|value| value.to_str().ok());
    let range = range.filter(|_| *method == Method::GET && conditions::range_applies(headers, etag));
    match wanted(range, size) {
        Wanted::Whole => body(reading, method, Offset::ZERO, Offset::ZERO + size, StatusCode::OK),
        Wanted::Part(from, to) => {
            let mut part = body(reading, method, from, to, StatusCode::PARTIAL_CONTENT);
            insert(&mut part, format!("bytes {from}-{}/{size}", to.0 - 1));
            part
        }
        Wanted::Unsatisfiable => {
            let mut refused = message(StatusCode::RANGE_NOT_SATISFIABLE, "416 Range Not Satisfiable");
            insert(&mut refused, format!("bytes */{size}"));
            refused
        }
    }
}

fn insert(response: &mut Response, content_range: String) {
    if let Ok(value) = HeaderValue::try_from(content_range) {
        response.headers_mut().insert(CONTENT_RANGE, value);
    }
}

fn body(reading: Reading, method: &Method, from: Offset, to: Offset, status: StatusCode) -> Response {
    let job = reading.job().id;
    let body = if *method == Method::HEAD || from == to {
        Body::empty()
    } else {
        metrics::operation(Operation::Streamed);
        let span = tracing::Span::current();
        Body::from_stream(reading.stream(from..to).inspect(move |bytes| {
            if let Err(error) = bytes {
                span.in_scope(|| tracing::warn!(job_id = job.0, %error, "job {job}: a reader's stream was cut"));
            }
        }))
    };
    let mut response = (status, body).into_response();
    let fields = response.headers_mut();
    fields.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    fields.insert(CONTENT_LENGTH, HeaderValue::from((to - from).0));
    response
}

/// Names the bytes: of one epoch and one size there is only one version. What is not verified is whatever the stores hold
/// now, and has no name.
fn etag(job: &Job, size: ByteSize, mode: Mode) -> Option<String> {
    match mode {
        Mode::Verified => Some(format!("\"{}-{}-{size}\"", job.id, job.epoch)),
        Mode::Unverified => None,
    }
}
