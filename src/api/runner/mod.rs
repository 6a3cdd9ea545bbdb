//! What runners ask: to append to a trace, and to say how a job is.

pub(super) mod append;
mod body;
pub(super) mod finalize;
pub(super) mod queue;
mod update;

pub use update::final_update;

use axum::extract::Query;
use axum::extract::rejection::QueryRejection;
use axum::http::header::CONNECTION;
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;

use super::Api;
use super::auth::Admitted;
use super::error::{Refused, message};
use crate::trace::{JobId, JobStatus, Offset};

/// The status that a runner obeys before it looks at the code.
const JOB_STATUS: &str = "job-status";
/// Seconds until the runner should come again.
const INTERVAL: &str = "x-gitlab-trace-update-interval";

/// The query's parts, as an extractor gives them: what cannot be read counts as empty.
type RawQuery = Result<Query<Parameters>, QueryRejection>;
/// The query's parts, as far as they can be read.
type Parameters = Vec<(String, String)>;

fn parameters(query: RawQuery) -> Parameters {
    query.map(|Query(parameters)| parameters).unwrap_or_default()
}

/// A parameter's value. Unknown ones are ignored, as GitLab does.
fn parameter<'a>(parameters: &'a Parameters, name: &str) -> Option<&'a str> {
    parameters.iter().find(|(key, value)| key == name && !value.is_empty()).map(|(_, value)| value.as_str())
}

/// A job's number in a path; anything else is no job.
fn job_id(text: &str) -> Option<JobId> {
    text.parse().ok().filter(|id| *id > 0).map(JobId)
}

/// The job in a path, if this token is its token.
async fn let_in(api: &Api, job: &str, token: Option<&str>) -> Result<Option<Admitted>, Refused> {
    match job_id(job) {
        Some(job) => api.auth.runner(api.pipeline.stores().database.as_ref(), job, token).await,
        None => Ok(None),
    }
}

/// A client that stalled or broke off. Whatever else it sends on this connection is not worth reading.
fn broken_off() -> Response {
    let mut broken = message(StatusCode::REQUEST_TIMEOUT, "408 Request Timeout");
    broken.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    broken
}

/// The one answer for an unknown job, a wrong token and an erased job.
fn forbidden() -> Response {
    message(StatusCode::FORBIDDEN, "403 Forbidden")
}

/// The job is over.
fn ended(status: JobStatus) -> Response {
    with_status(message(StatusCode::FORBIDDEN, "403 Forbidden - Job is not running"), status)
}

fn with_status(mut response: Response, status: JobStatus) -> Response {
    response.headers_mut().insert(JOB_STATUS, HeaderValue::from_static(status.as_str()));
    response
}

/// `interval` in whole seconds, never 0: that crashes gitlab-runner-rs.
fn with_interval(mut response: Response, interval: u32) -> Response {
    response.headers_mut().insert(INTERVAL, HeaderValue::from(interval.max(1)));
    response
}

/// `Range: 0-N` with N the next offset: not as RFC 9110 has it, but as every runner reads it.
fn with_range(mut response: Response, position: Offset) -> Response {
    if let Ok(range) = HeaderValue::try_from(format!("0-{position}")) {
        response.headers_mut().insert("range", range);
    }
    response
}
