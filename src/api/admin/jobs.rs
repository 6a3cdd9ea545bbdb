//! Jobs come in here: made and canceled by the admin.

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::api::Api;
use crate::api::error::{Manners, Refused};
use crate::api::path::InPath;
use crate::api::text::Text;
use crate::api::token::{JOB_PREFIX, TokenHash, make};
use crate::store::database::drills::CANARY_PROJECT;
use crate::store::database::{Job, NewJob};
use crate::trace::{JobId, JobStatus, ProjectId};

/// A job to be made.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewJob)]
struct Wanted {
    /// The path of its project, such as `group/demo`, or its number.
    #[schema(value_type = Object, example = "group/demo")]
    project: ProjectName,
    /// Its name, such as `rspec`.
    #[schema(value_type = String, min_length = 1, max_length = 255)]
    name: Text,
    /// What its runner is given. With it, the job waits until a runner requests it.
    #[schema(value_type = Option<Object>)]
    payload: Option<Value>,
    /// Whether its runner can send its log again, if that is known.
    trace_reset: Option<bool>,
}

/// A job that was made.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = MadeJob)]
struct Made {
    /// Its number.
    id: JobId,
    /// Its token, shown this once.
    token: String,
    /// Its project's number.
    project_id: ProjectId,
    /// `running`, or `pending` with a payload.
    status: JobStatus,
}

/// A job after a cancel.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = CanceledJob)]
struct AfterCancel {
    /// Its number.
    id: JobId,
    /// Its project's number.
    project_id: ProjectId,
    /// Its status: `canceling`, or what it was before if it was over.
    status: JobStatus,
}

/// A project by its number, or by its path.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(untagged)]
enum ProjectName {
    /// By its number.
    Number(ProjectId),
    /// By its path, such as `group/demo`.
    Path(String),
}

/// The longest project path or job name.
const NAME_MAX: usize = 255;

/// Makes a job, and its project if there is none of that path. Its token is shown this once.
#[utoipa::path(
    post, path = "/api/v1/jobs", tag = "Jobs", request_body = Wanted,
    responses((status = 201, description = "The job is there.", body = Made), (status = 403)),
)]
pub(in crate::api) async fn create_job(
    State(api): State<Api>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    match create(&api, &headers, body).await {
        Ok((job, token)) => {
            let answer = Made { id: job.id, token, project_id: job.project, status: job.status };
            (StatusCode::CREATED, Json(answer)).into_response()
        }
        Err(refused) => refused.answer(&api, Manners::Own),
    }
}

async fn create(api: &Api, headers: &HeaderMap, body: Result<Bytes, BytesRejection>) -> Result<(Job, String), Refused> {
    let _held = api.auth.admin(headers).await?;
    // Too long, or broken off: to be said like every other error.
    let body = body.map_err(|rejection| match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => Refused::TooLong,
        _ => Refused::Bad(rejection.body_text()),
    })?;
    let wanted = read(&body)?;
    let token = make(JOB_PREFIX, api.pipeline.seams().chance.as_ref());
    // With a payload a runner has to ask for the job; without, whoever made it runs it.
    let status = if wanted.payload.is_some() { JobStatus::Pending } else { JobStatus::Running };
    let project_path = match wanted.project {
        ProjectName::Path(path) => path,
        ProjectName::Number(id) => {
            let project = api.auth.accounts().project(id).await?;
            project.ok_or_else(|| Refused::Bad(format!("there is no project {id}; name a new one by its path")))?.path
        }
    };
    if project_path == CANARY_PROJECT {
        return Err(Refused::Bad(format!("project {CANARY_PROJECT} is reserved for the canary; choose another")));
    }
    let new = NewJob {
        project_path,
        name: wanted.name.0,
        token_sha256: TokenHash::of(&token).0,
        status,
        payload: wanted.payload,
        chunk_size: api.chunk_size,
        trace_limit: api.trace_limit,
        trace_reset: wanted.trace_reset,
        at: api.clock().now(),
    };
    let job = api.pipeline.stores().database.create_job(new).await?;
    tracing::info!(job_id = job.id.0, project = job.project_path, "job {} made", job.id);
    Ok((job, token))
}

fn read(body: &[u8]) -> Result<Wanted, Refused> {
    let wanted: Wanted = serde_json::from_slice(body).map_err(|error| Refused::Bad(error.to_string()))?;
    if let ProjectName::Path(path) = &wanted.project
        && !is_path(path)
    {
        let shown: String = path.chars().take(64).collect();
        return Err(Refused::Bad(format!("project {shown:?} is not a path such as \"group/demo\"")));
    }
    if wanted.name.0.is_empty() || wanted.name.0.len() > NAME_MAX {
        return Err(Refused::Bad(format!("name must have 1 to {NAME_MAX} bytes")));
    }
    if wanted.payload.as_ref().is_some_and(|payload| !payload.is_object()) {
        return Err(Refused::Bad("payload must be an object".to_owned()));
    }
    Ok(wanted)
}

/// A path as GitLab has them. One that is all digits would be taken for a number.
fn is_path(path: &str) -> bool {
    let good = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
    path.len() <= NAME_MAX
        && path.split('/').all(|part| !matches!(part, "" | "." | "..") && part.bytes().all(good))
        && !path.bytes().all(|b| b.is_ascii_digit())
}

/// Cancels a job: its runner learns it with its next request; its last lines still count.
#[utoipa::path(
    post, path = "/api/v1/jobs/{job}/cancel", tag = "Jobs",
    params(("job" = JobId, Path, description = "The job's number.", example = 1)),
    responses((status = 200, description = "The job as it is now.", body = AfterCancel), (status = 403), (status = 404)),
)]
pub(in crate::api) async fn cancel_job(
    State(api): State<Api>,
    InPath(job): InPath<String>,
    headers: HeaderMap,
) -> Response {
    match cancel(&api, &job, &headers).await {
        Ok(job) => Json(AfterCancel { id: job.id, project_id: job.project, status: job.status }).into_response(),
        Err(refused) => refused.answer(&api, Manners::Own),
    }
}

async fn cancel(api: &Api, job: &str, headers: &HeaderMap) -> Result<Job, Refused> {
    let _held = api.auth.admin(headers).await?;
    let id = job.parse().map(JobId).map_err(|_| Refused::Unknown)?;
    api.pipeline.cancel(id).await?.ok_or(Refused::Unknown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_needs_a_project_path_and_a_name() {
        assert!(read(br#"{"project":"group/demo","name":"rspec"}"#).is_ok());
        assert!(read(br#"{"project":12,"name":"rspec"}"#).is_ok());
        assert!(read(br#"{"project":"group/demo","name":"rspec","payload":{},"trace_reset":true}"#).is_ok());
        for bad in [
            "",
            "{}",
            r#"{"project":"group/demo"}"#,
            r#"{"project":"","name":"rspec"}"#,
            r#"{"project":"a//b","name":"rspec"}"#,
            r#"{"project":"../b","name":"rspec"}"#,
            r#"{"project":"12","name":"rspec"}"#,
            r#"{"project":"a b","name":"rspec"}"#,
            r#"{"project":"a","name":""}"#,
            r#"{"project":"a","name":"b","payload":[]}"#,
            r#"{"project":"a","name":"b","pyload":{}}"#,
        ] {
            assert!(read(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
