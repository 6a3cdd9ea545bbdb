//! `PUT /api/v4/jobs/:id`: the job goes on, or how it ended.

use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;

use super::body::Incoming;
use super::update::{self, Said, StateOfJob, Update};
use super::{RawQuery, broken_off, ended, forbidden, let_in, parameters, with_interval, with_status};
use crate::api::error::{Manners, Message, message};
use crate::api::path::InPath;
use crate::api::{Api, token};
use crate::pipeline::{FinalPut, Finalized, pace};
use crate::telemetry::metrics::{self, Route};
use crate::trace::{ByteSize, JobId, JobStatus};

/// The longest body; runners send a few hundred bytes.
const BODY_MAX: ByteSize = ByteSize(1024 * 1024);

/// Takes what the runner says of its job: that it goes on, or how it ended.
#[utoipa::path(
    put, path = "/api/v4/jobs/{job}", tag = "Runners", operation_id = "finalize",
    params(
        ("job" = JobId, Path, description = "The job's number.", example = 1),
        ("token" = Option<String>, Query, description = "The job's token, for clients that send it here."),
    ),
    request_body = StateOfJob,
    responses(
        (status = 200, description = "Noted; of a final state with a checksum: every byte is stored, read back, and equal to it.",
            body = Message, headers(("Job-Status" = String, description = "The job's status."))),
        (status = 202, description = "Not proven yet; ask again.", body = Message, headers(
            ("Job-Status" = String, description = "`running`."),
            ("X-GitLab-Trace-Update-Interval" = u32, description = "Seconds after which to come again."))),
        (status = 403, description = "The token is not this job's, no runner has taken the job, or it is over (`Job-Status` says which)."),
        (status = 412, description = "Bytes are missing or different: begin again; the first 416 says where.", headers(
            ("X-GitLab-Trace-Update-Interval" = u32, description = "Seconds after which to come again."))),
    ),
)]
pub(in crate::api) async fn finalize(
    State(api): State<Api>,
    InPath(job): InPath<String>,
    query: RawQuery,
    request: Request,
) -> Response {
    let parameters = parameters(query);
    let (head, body) = request.into_parts();
    let mut incoming = Incoming::new(body, api.clock(), api.body_timeout);
    let body = incoming.whole(BODY_MAX).await;
    metrics::request_size(Route::Finalize, incoming.received());
    let Ok(body) = body else { return broken_off() };
    match body.as_deref().map(|body| update::read(body, &parameters)) {
        Some(Ok(update)) => answer(&api, &job, &head.headers, update).await,
        Some(Err(malformed)) => message(StatusCode::BAD_REQUEST, &format!("400 Bad Request: {malformed}")),
        None => message(StatusCode::BAD_REQUEST, &format!("400 Bad Request: the body is over {BODY_MAX} bytes")),
    }
}

async fn answer(api: &Api, job: &str, headers: &HeaderMap, update: Update) -> Response {
    let token = update.token.as_deref().or_else(|| token::job_token(headers));
    match let_in(api, job, token).await {
        // Nobody took it, so nobody can say how it goes: its creator's token becomes good with nothing.
        Ok(Some(admitted)) if admitted.known.pending => ended(JobStatus::Pending),
        Ok(Some(admitted)) => {
            let job = admitted.known.job;
            if let Some(length) = update.unreadable_checksum {
                // Not the text itself: whatever a client sends is no part of the log.
                tracing::warn!(
                    job_id = job.0,
                    length,
                    "job {job}: its runner's checksum cannot be read and counts as absent"
                );
            }
            said(api, job, update).await
        }
        Ok(None) => forbidden(),
        // Whether this job is known cannot be told: the one case in which a PUT is answered 503.
        Err(refused) => refused.answer(api, Manners::GitLab),
    }
}

async fn said(api: &Api, job: JobId, update: Update) -> Response {
    match update.said {
        Said::Running => still_running(api, job, update.trace_reset).await,
        Said::Ended(ending) => {
            let put = FinalPut { job, ending, trace_reset: update.trace_reset };
            answer_to(api.pipeline.finalize(put).await)
        }
        Said::Unknown => message(StatusCode::BAD_REQUEST, "400 Bad Request: state does not have a valid value"),
    }
}

async fn still_running(api: &Api, job: JobId, trace_reset: Option<bool>) -> Response {
    match api.pipeline.still_running(job, trace_reset).await {
        Ok(Some(status)) if status.is_final() => ended(status),
        Ok(Some(status)) => {
            api.outage.is_over();
            with_status(message(StatusCode::OK, "200 OK"), status)
        }
        Ok(None) => forbidden(),
        Err(error) => {
            tracing::warn!(job_id = job.0, %error, "job {job}: that it goes on could not be noted");
            answer_to(Finalized::Proving { interval: pace::BEHIND })
        }
    }
}

fn answer_to(finalized: Finalized) -> Response {
    let running = |code, text, interval| with_interval(with_status(message(code, text), JobStatus::Running), interval);
    match finalized {
        Finalized::Done { status } => with_status(message(StatusCode::OK, "200 OK"), status),
        Finalized::Proving { interval } => running(StatusCode::ACCEPTED, "202 Accepted", interval),
        Finalized::Resend { interval } => running(StatusCode::PRECONDITION_FAILED, "412 Precondition Failed", interval),
        Finalized::Ended { status } => ended(status),
        Finalized::Gone => forbidden(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_ending_of_a_final_put_has_its_answer() {
        let status = JobStatus::Success;
        let cases = [
            (Finalized::Done { status }, 200, Some("success"), None),
            (Finalized::Proving { interval: 4 }, 202, Some("running"), Some("4")),
            (Finalized::Resend { interval: 0 }, 412, Some("running"), Some("1")),
            (Finalized::Ended { status: JobStatus::Canceled }, 403, Some("canceled"), None),
            (Finalized::Gone, 403, None, None),
        ];
        for (finalized, code, status, interval) in cases {
            let response = answer_to(finalized);
            let header = |name: &str| response.headers().get(name).map(|value| value.to_str().expect("text"));
            assert_eq!(response.status().as_u16(), code, "{finalized:?}");
            assert_eq!(header("Job-Status"), status, "{finalized:?}");
            assert_eq!(header("X-GitLab-Trace-Update-Interval"), interval, "{finalized:?}");
        }
    }
}
