//! `GET /api/v4/projects/:id/jobs/:job_id/trace`: the log, whole or in part.
//!
//! The length is said before the first byte, so a stream that ends early (no copy of a chunk is as recorded) is a broken
//! connection to the client, and never a log that looks complete.

use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::http::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, IF_NONE_MATCH, IF_RANGE, RANGE,
};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use futures::StreamExt;

use super::range::{Wanted, wanted};
use crate::api::Api;
use crate::api::auth::Known;
use crate::api::error::{Manners, Refused};
use crate::pipeline::{Mode, OpenedReading, Reading};
use crate::store::database::Job;
use crate::telemetry::metrics::{self, Operation};
use crate::trace::{ByteSize, JobId, Offset};

/// Serves a trace to whoever may read it.
pub(in crate::api) async fn trace(
    State(api): State<Api>,
    Path((project, job)): Path<(String, String)>,
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
    let size = reading.size();
    let finished = reading.job().closed_at.is_some();
    let etag = etag(reading.job(), size, mode);
    let mut response = respond(reading, method, headers, &etag);
    let fields = response.headers_mut();
    fields.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    // What is finished does not change, but it can be erased: caches ask again before long.
    let cache = match (mode, finished) {
        (Mode::Unverified, _) => "no-store",
        (Mode::Verified, true) => "private, max-age=300",
        (Mode::Verified, false) => "private, no-cache",
    };
    fields.insert(CACHE_CONTROL, HeaderValue::from_static(cache));
    if let Ok(etag) = HeaderValue::try_from(etag) {
        fields.insert(ETAG, etag);
    }
    response
}

fn respond(reading: Reading, method: &Method, headers: &HeaderMap, etag: &str) -> Response {
    let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    if text(IF_NONE_MATCH).is_some_and(|known| matches_any(known, etag)) {
        return StatusCode::NOT_MODIFIED.into_response();
    }
    let size = reading.size();
    // A part of another version than the client has would not fit to it.
    let range = text(RANGE).filter(|_| *method == Method::GET).filter(|_| text(IF_RANGE).is_none_or(|of| of == etag));
    match wanted(range, size) {
        Wanted::Whole => body(reading, method, Offset::ZERO, Offset::ZERO + size, StatusCode::OK),
        Wanted::Part(from, to) => {
            let mut part = body(reading, method, from, to, StatusCode::PARTIAL_CONTENT);
            insert(&mut part, format!("bytes {from}-{}/{size}", to.0 - 1));
            part
        }
        Wanted::Unsatisfiable => {
            let mut refused =
                crate::api::error::message(StatusCode::RANGE_NOT_SATISFIABLE, "416 Range Not Satisfiable");
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
                span.in_scope(
                    || tracing::warn!(job_id = job.0, %error, "job {job}: a reader's stream was cut: {error}"),
                );
            }
        }))
    };
    let mut response = (status, body).into_response();
    let fields = response.headers_mut();
    fields.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    fields.insert(CONTENT_LENGTH, HeaderValue::from((to - from).0));
    response
}

/// Names the bytes: of one epoch and one size there is only one version; what is not verified has no version.
fn etag(job: &Job, size: ByteSize, mode: Mode) -> String {
    match mode {
        Mode::Verified => format!("\"{}-{}-{size}\"", job.id, job.epoch),
        Mode::Unverified => format!("\"{}-{}-{size}-unverified\"", job.id, job.epoch),
    }
}

/// `If-None-Match`: a list of tags, weak or strong, or `*`.
fn matches_any(header: &str, etag: &str) -> bool {
    header.split(',').map(str::trim).any(|tag| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == etag)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_compared_weakly_for_if_none_match() {
        let etag = "\"1-1-5\"";
        for known in ["*", "\"1-1-5\"", "W/\"1-1-5\"", "\"a\", \"1-1-5\""] {
            assert!(matches_any(known, etag), "{known}");
        }
        for other in ["", "\"1-1-4\"", "1-1-5"] {
            assert!(!matches_any(other, etag), "{other}");
        }
    }
}
