//! `GET /api/v1/jobs/:id`: a job in Veritail's own words.

use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use crate::api::Api;
use crate::api::error::{Manners, Refused};
use crate::api::path::InPath;
use crate::api::reader::documents::{Times, failure_reason};
use crate::store::database::Job;
use crate::trace::{ByteSize, Crc32, JobId, JobStatus, ProjectId, Timestamp, TraceState, Verdict};

/// A job and its trace.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = JobAndTrace)]
struct Document {
    /// Its number.
    id: JobId,
    /// Its project's number.
    project_id: ProjectId,
    /// Its project's path.
    project: String,
    /// Its name.
    name: String,
    /// Its status; a final one only after the whole trace is readable.
    status: JobStatus,
    /// How far its trace is.
    state: TraceState,
    /// What is known of the whole trace; `pending` until it is closed.
    verdict: Verdict,
    /// Size of the whole trace in bytes; null until it is closed.
    #[schema(required)]
    size: Option<ByteSize>,
    /// CRC-32 of the whole trace; null until it is closed, or while bytes are missing.
    #[schema(required)]
    crc32: Option<Crc32>,
    /// Why it failed; null while its status is not `failed`.
    #[schema(required)]
    failure_reason: Option<String>,
    /// Its script's exit code; null while its status is not a final one.
    #[schema(required)]
    exit_code: Option<i64>,
    /// Whether its runner can send its log again; null while that is not known.
    #[schema(required)]
    trace_reset: Option<bool>,
    /// The longest trace accepted; 0 = no limit.
    trace_limit: ByteSize,
    /// When it was made, RFC 3339.
    #[schema(format = DateTime)]
    created_at: String,
    /// When a runner took it; for a job that nobody has to take, when it was made.
    #[schema(required, format = DateTime)]
    started_at: Option<String>,
    /// When its runner ended it; null while its status is not a final one.
    #[schema(required, format = DateTime)]
    finished_at: Option<String>,
    /// When its trace was closed.
    #[schema(required, format = DateTime)]
    closed_at: Option<String>,
    /// When its trace was erased.
    #[schema(required, format = DateTime)]
    erased_at: Option<String>,
    /// When its runner was last heard of; a second late.
    #[schema(format = DateTime)]
    last_contact_at: String,
}

impl From<Job> for Document {
    fn from(job: Job) -> Self {
        let times = Times::of(&job);
        Self {
            failure_reason: failure_reason(&job),
            exit_code: job.ending.filter(|_| job.status.is_final()).and_then(|ending| ending.exit_code),
            id: job.id,
            project_id: job.project,
            project: job.project_path,
            name: job.name,
            status: job.status,
            state: job.state,
            verdict: job.verdict,
            size: job.size,
            crc32: job.crc32,
            trace_reset: job.trace_reset,
            trace_limit: job.trace_limit,
            created_at: job.created_at.to_rfc3339(),
            started_at: times.started.map(Timestamp::to_rfc3339),
            finished_at: times.finished.map(Timestamp::to_rfc3339),
            closed_at: job.closed_at.map(Timestamp::to_rfc3339),
            erased_at: times.erased.map(Timestamp::to_rfc3339),
            last_contact_at: job.last_contact_at.to_rfc3339(),
        }
    }
}

/// A job, for whoever may read its trace.
#[utoipa::path(
    get, path = "/api/v1/jobs/{job}", tag = "Jobs", operation_id = "job_and_trace",
    params(("job" = JobId, Path, description = "The job's number.", example = 1)),
    responses((status = 200, description = "The job.", body = Document), (status = 404)),
)]
pub(in crate::api) async fn job(State(api): State<Api>, InPath(job): InPath<String>, headers: HeaderMap) -> Response {
    match find(&api, &job, &headers).await {
        Ok(found) => Json(Document::from(found)).into_response(),
        Err(refused) => refused.answer(&api, Manners::Own),
    }
}

async fn find(api: &Api, job: &str, headers: &HeaderMap) -> Result<Job, Refused> {
    let id = job.parse().map_or(JobId(0), JobId);
    let database = api.pipeline.stores().database.as_ref();
    api.auth.reader(database, id, headers).await?;
    database.job(id).await?.ok_or(Refused::Unknown)
}
