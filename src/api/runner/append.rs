//! `PATCH /api/v4/jobs/:id/trace`: the bytes of a log, from an offset on.

use axum::Json;
use axum::extract::{Request, State};
use axum::http::header::CONTENT_RANGE;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use super::body::Incoming;
use super::{
    Parameters, RawQuery, broken_off, ended, forbidden, let_in, parameter, parameters, with_interval, with_range,
    with_status,
};
use crate::api::error::{Manners, Message, Refused, message};
use crate::api::observe::declared;
use crate::api::path::InPath;
use crate::api::{Api, auth::Known, token};
use crate::pipeline::{AppendRequest, Appended, pace};
use crate::telemetry::metrics::{self, Operation, Rejection, Route};
use crate::trace::content_range::parse_start;
use crate::trace::{ByteSize, JobId, JobStatus, Offset};

/// Where a log goes on instead.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::api) struct Elsewhere {
    /// The status in words; the place is in `Range`.
    error: &'static str,
}

/// Appends the body to the log of a job, or says where the log goes on.
#[utoipa::path(
    patch, path = "/api/v4/jobs/{job}/trace", tag = "Runners", operation_id = "append",
    params(
        ("job" = JobId, Path, description = "The job's number.", example = 1),
        ("token" = Option<String>, Query, description = "The job's token; it wins over the header."),
        ("Content-Range" = String, Header, description = "`START-END`; only START counts.",
            pattern = "^[0-9]{1,9}-[0-9]{1,9}$", example = "4-7"),
    ),
    request_body(content = String, content_type = "text/plain", description = "Bytes of the log, from START on."),
    responses(
        (status = 202, description = "Kept.", body = Message, headers(
            ("Range" = String, description = "`0-LENGTH`: the log goes on at LENGTH."),
            ("Job-Status" = String, description = "The job's status."),
            ("X-GitLab-Trace-Update-Interval" = u32, description = "Seconds after which to come again."))),
        (status = 403, description = "The token is not this job's, the job is over (`Job-Status` says how), or its log is over its limit."),
        (status = 416, description = "The log goes on elsewhere.", body = Elsewhere, headers(
            ("Range" = String, description = "`0-POSITION`: go on at POSITION, whether that is ahead or behind."),
            ("X-GitLab-Trace-Update-Interval" = u32, description = "Seconds after which to come again."))),
    ),
)]
pub(in crate::api) async fn append(
    State(api): State<Api>,
    InPath(job): InPath<String>,
    query: RawQuery,
    request: Request,
) -> Response {
    let (head, body) = request.into_parts();
    let mut incoming = Incoming::new(body, api.clock(), api.body_timeout);
    let response = answer(&api, &job, &parameters(query), &head.headers, &mut incoming).await;
    if response.status() != StatusCode::ACCEPTED {
        incoming.read_on().await;
    }
    metrics::request_size(Route::Append, incoming.received());
    response
}

async fn answer(
    api: &Api,
    job: &str,
    parameters: &Parameters,
    headers: &HeaderMap,
    incoming: &mut Incoming<'_>,
) -> Response {
    // The parameter wins over the header, as in GitLab.
    let token = parameter(parameters, "token").or_else(|| token::job_token(headers));
    let admitted = match let_in(api, job, token).await {
        Ok(Some(admitted)) => admitted,
        Ok(None) => return stranger(),
        Err(refused) => return unavailable(api, refused),
    };
    let start = headers.get(CONTENT_RANGE).and_then(|range| range.to_str().ok()).map(parse_start);
    let Some(Ok(start)) = start else {
        metrics::append_rejected(Rejection::Malformed);
        return message(StatusCode::BAD_REQUEST, "400 Bad Request: Content-Range is missing or not START-END");
    };
    store(api, &admitted.known, start, declared(headers), incoming).await
}

async fn store(
    api: &Api,
    known: &Known,
    start: Offset,
    declared: Option<ByteSize>,
    incoming: &mut Incoming<'_>,
) -> Response {
    let request =
        AppendRequest { job: known.job, made_at: known.made_at, trace_limit: known.trace_limit, start, declared };
    match api.pipeline.append(request, incoming.chunks()).await {
        Ok(appended) => {
            api.outage.is_over();
            answer_to(appended)
        }
        Err(error) => unavailable(api, error.into()),
    }
}

fn answer_to(appended: Appended) -> Response {
    match appended {
        Appended::Accepted { length, status, interval } => {
            metrics::operation(Operation::Appended);
            let accepted = message(StatusCode::ACCEPTED, "202 Accepted");
            with_interval(with_range(with_status(accepted, status), length), interval)
        }
        Appended::Elsewhere { position } => {
            metrics::append_rejected(Rejection::Range);
            elsewhere(position)
        }
        Appended::Closing { length } => {
            metrics::append_rejected(Rejection::Closing);
            elsewhere(length)
        }
        Appended::Ended { status } => {
            metrics::append_rejected(Rejection::Finished);
            ended(status)
        }
        Appended::TooLarge => {
            metrics::append_rejected(Rejection::SizeLimit);
            let refused = message(StatusCode::FORBIDDEN, "403 Forbidden - The trace is over its limit");
            with_status(refused, JobStatus::Failed)
        }
        Appended::Broken { stored } => {
            metrics::append_rejected(Rejection::BrokenOff);
            with_range(broken_off(), stored)
        }
        Appended::Gone => stranger(),
    }
}

/// An unknown job, a wrong token, an erased job.
fn stranger() -> Response {
    metrics::append_rejected(Rejection::Forbidden);
    forbidden()
}

fn elsewhere(position: Offset) -> Response {
    let body = Json(Elsewhere { error: "416 Range Not Satisfiable" });
    let elsewhere = (StatusCode::RANGE_NOT_SATISFIABLE, body).into_response();
    with_interval(with_range(elsewhere, position), pace::BEHIND)
}

fn unavailable(api: &Api, refused: Refused) -> Response {
    metrics::append_rejected(match refused {
        Refused::TooMany { .. } => Rejection::RateLimit,
        _ => Rejection::Unavailable,
    });
    refused.answer(api, Manners::GitLab)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(response: &Response, name: &str) -> Option<String> {
        response.headers().get(name).map(|value| value.to_str().expect("text").to_owned())
    }

    #[test]
    fn every_ending_of_an_append_has_its_answer() {
        let status = JobStatus::Canceling;
        let accepted = answer_to(Appended::Accepted { length: Offset(7), status, interval: 60 });
        assert_eq!(accepted.status(), 202);
        assert_eq!(header(&accepted, "Range").as_deref(), Some("0-7"));
        assert_eq!(header(&accepted, "Job-Status").as_deref(), Some("canceling"));
        assert_eq!(header(&accepted, "X-GitLab-Trace-Update-Interval").as_deref(), Some("60"));

        let elsewhere = answer_to(Appended::Elsewhere { position: Offset(0) });
        assert_eq!(elsewhere.status(), 416);
        assert_eq!(header(&elsewhere, "Range").as_deref(), Some("0-0"));
        assert_eq!(header(&elsewhere, "X-GitLab-Trace-Update-Interval").as_deref(), Some("1"));

        let ended = answer_to(Appended::Ended { status: JobStatus::Success });
        assert_eq!((ended.status().as_u16(), header(&ended, "Job-Status").as_deref()), (403, Some("success")));
        assert_eq!(answer_to(Appended::TooLarge).status(), 403);
        assert_eq!(answer_to(Appended::Broken { stored: Offset(0) }).status(), 408);

        let gone = answer_to(Appended::Gone);
        assert_eq!((gone.status().as_u16(), header(&gone, "Job-Status")), (403, None));
    }
}
