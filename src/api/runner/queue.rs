//! `POST /api/v4/runners/verify` and `POST /api/v4/jobs/request`: a runner shows its token and asks for work.

use axum::Json;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::body::Incoming;
use super::{broken_off, forbidden};
use crate::api::error::{Manners, Refused, message};
use crate::api::token::{JOB_PREFIX, TokenHash, make};
use crate::api::{Api, token};
use crate::store::database::accounts::RunnerId;
use crate::trace::{ByteSize, JobId};

/// The longest body; runners send a few hundred bytes about themselves.
const BODY_MAX: ByteSize = ByteSize(64 * 1024);

/// What a runner sends back with its next question; it means nothing to it.
const LAST_UPDATE: &str = "x-gitlab-last-update";

/// What a runner sends; odd fields count as absent.
#[derive(ToSchema)]
#[allow(dead_code, reason = "read leniently, field by field; here it is described")]
struct RunnerAsks {
    /// The runner's token, unless it is in the header.
    token: Option<String>,
    /// `X-GitLab-Last-Update` of the answer before; it is not looked at.
    last_update: Option<String>,
    /// What the runner is and can.
    #[schema(value_type = Option<Object>)]
    info: Option<Value>,
}

/// A runner whose token is good.
#[derive(Debug, Serialize, ToSchema)]
struct VerifiedRunner<'a> {
    /// Its number.
    id: RunnerId,
    /// Its token, as it was sent.
    token: &'a str,
    /// Always null: it is good until it is revoked.
    #[schema(required, nullable, value_type = Option<String>)]
    token_expires_at: (),
}

/// A job for a runner: beside these fields, all that its creator gave as payload but for `run` and `inputs`.
#[derive(ToSchema)]
#[allow(dead_code, reason = "the payload's own fields are its creator's; here the others are described")]
struct JobForRunner {
    /// Its number.
    id: JobId,
    /// Its token, for its log and its end.
    token: String,
}

/// Is this the token of a runner?
#[utoipa::path(
    post, path = "/api/v4/runners/verify", tag = "Runners", operation_id = "verify_runner",
    security((), ("runner_token" = [])), request_body = Option<RunnerAsks>,
    responses(
        (status = 200, description = "It is.", body = VerifiedRunner),
        (status = 403, description = "It is no runner's token, or the runner was revoked."),
    ),
)]
pub(in crate::api) async fn verify(State(api): State<Api>, request: Request) -> Response {
    let (headers, body) = match read(&api, request).await {
        Ok(read) => read,
        Err(refused) => return refused,
    };
    let token = runner_token(&headers, &body);
    match api.auth.account(token).await {
        Ok(Some((runner, _held))) => {
            let token = token.unwrap_or_default();
            Json(VerifiedRunner { id: runner.id, token, token_expires_at: () }).into_response()
        }
        Ok(None) => forbidden(),
        Err(refused) => refused.answer(&api, Manners::GitLab),
    }
}

/// Gives the oldest pending job of the runner's projects to it, once.
///
/// If the answer is lost the job is running without a runner, and fails after `runner_timeout`: as with GitLab, whose
/// runners do not ask for the same job again either.
#[utoipa::path(
    post, path = "/api/v4/jobs/request", tag = "Runners",
    security((), ("runner_token" = [])), request_body = Option<RunnerAsks>,
    responses(
        (status = 201, description = "A job to be run.", body = JobForRunner),
        (status = 204, description = "Nothing is pending.", headers(
            ("X-GitLab-Last-Update" = String, description = "To be sent back with the next request."))),
        (status = 403, description = "It is no runner's token, or the runner was revoked."),
    ),
)]
pub(in crate::api) async fn request_job(State(api): State<Api>, request: Request) -> Response {
    let (headers, body) = match read(&api, request).await {
        Ok(read) => read,
        Err(refused) => return refused,
    };
    match take(&api, &headers, &body).await {
        Ok(Some(Some(payload))) => (StatusCode::CREATED, Json(payload)).into_response(),
        Ok(Some(None)) => nothing_pending(&api),
        Ok(None) => forbidden(),
        Err(refused) => refused.answer(&api, Manners::GitLab),
    }
}

/// `None`: no such runner; `Some(None)`: nothing is pending.
async fn take(api: &Api, headers: &HeaderMap, body: &Value) -> Result<Option<Option<Value>>, Refused> {
    let Some((runner, _held)) = api.auth.account(runner_token(headers, body)).await? else { return Ok(None) };
    let trace_reset = body["info"]["features"]["trace_reset"].as_bool();
    let secret = make(JOB_PREFIX, api.pipeline.seams().chance.as_ref());
    let now = api.clock().now();
    let hash = TokenHash::of(&secret).0;
    let taken = api.auth.accounts().take_pending_job(runner.id, trace_reset, hash, now).await?;
    api.outage.is_over();
    let Some(taken) = taken else { return Ok(Some(None)) };
    tracing::info!(
        job_id = taken.job.id.0,
        runner_id = runner.id.0,
        "job {} goes to runner {}",
        taken.job.id,
        runner.id.0
    );
    Ok(Some(Some(filled_in(taken.payload, taken.job.id.0, &secret))))
}

/// The creator's payload with the job's number and token. `run` and `inputs` would have the runner do what only a
/// GitLab can ask of it.
fn filled_in(mut payload: Value, job: i64, token: &str) -> Value {
    if let Value::Object(fields) = &mut payload {
        fields.remove("run");
        fields.remove("inputs");
        fields.insert("id".to_owned(), job.into());
        fields.insert("token".to_owned(), token.into());
    }
    payload
}

fn nothing_pending(api: &Api) -> Response {
    let mut response = StatusCode::NO_CONTENT.into_response();
    response.headers_mut().insert(LAST_UPDATE, HeaderValue::from(api.clock().now().0));
    response
}

/// In the body, or in the header that newer runners send.
fn runner_token<'a>(headers: &'a HeaderMap, body: &'a Value) -> Option<&'a str> {
    body["token"].as_str().filter(|token| !token.is_empty()).or_else(|| token::runner_token(headers))
}

async fn read(api: &Api, request: Request) -> Result<(HeaderMap, Value), Response> {
    let (head, body) = request.into_parts();
    let mut incoming = Incoming::new(body, api.clock(), api.body_timeout);
    let Ok(body) = incoming.whole(BODY_MAX).await else {
        return Err(broken_off());
    };
    let bad = |what: &str| message(StatusCode::BAD_REQUEST, &format!("400 Bad Request: {what}"));
    let Some(body) = body else { return Err(bad(&format!("the body is over {BODY_MAX} bytes"))) };
    if body.trim_ascii().is_empty() {
        return Ok((head.headers, json!({})));
    }
    match serde_json::from_slice(&body) {
        Ok(json @ Value::Object(_)) => Ok((head.headers, json)),
        _ => Err(bad("the body is not a JSON object")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_is_the_creators_with_number_and_token() {
        let payload = json!({"id": 0, "steps": [{"script": ["true"]}], "run": "x", "inputs": [], "more": {"a": 1}});
        let expected = json!({"id": 7, "token": "t", "steps": [{"script": ["true"]}], "more": {"a": 1}});
        assert_eq!(filled_in(payload, 7, "t"), expected);
    }
}
