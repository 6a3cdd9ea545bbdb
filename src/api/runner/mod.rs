//! What runners ask: to append to a trace, and to say how a job is.

pub(super) mod append;
mod body;
pub(super) mod finalize;
pub(super) mod queue;
mod update;

use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;

use super::error::message;
use crate::trace::{JobId, JobStatus, Offset};

/// The status that a runner obeys before it looks at the code.
const JOB_STATUS: &str = "job-status";
/// Seconds until the runner should come again.
const INTERVAL: &str = "x-gitlab-trace-update-interval";

/// A job's number in a path; anything else is no job.
fn job_id(text: &str) -> Option<JobId> {
    text.parse().ok().filter(|id| *id > 0).map(JobId)
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
