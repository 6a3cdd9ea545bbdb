//! `POST /api/v4/projects/:id/jobs/:job_id/erase`: a finished job's log goes, for good.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::trace::is_project;
use crate::api::Api;
use crate::api::error::{Manners, Refused, message};
use crate::api::segment::Segments;
use crate::store::database::{Erased, Job};
use crate::trace::JobId;

/// Who erased, as it is kept with the job.
const ADMIN: &str = "admin";

/// Erases the log of a finished job: 201, or 403 while it is unfinished.
pub(in crate::api) async fn erase(
    State(api): State<Api>,
    Segments((project, job)): Segments<(String, String)>,
    headers: HeaderMap,
) -> Response {
    match erased(&api, &project, &job, &headers).await {
        Ok(Erased::Done(job)) => (StatusCode::CREATED, Json(document(&job))).into_response(),
        Ok(Erased::Unfinished) => message(StatusCode::FORBIDDEN, "403 Forbidden - Job is not erasable!"),
        Ok(Erased::Unknown) => Refused::Unknown.answer(&api, Manners::GitLab),
        Err(refused) => refused.answer(&api, Manners::GitLab),
    }
}

async fn erased(api: &Api, project: &str, job: &str, headers: &HeaderMap) -> Result<Erased, Refused> {
    let id = job.parse().map_or(JobId(0), JobId);
    let known = api.auth.reader(api.pipeline.stores().database.as_ref(), id, headers).await?;
    if !is_project(&known, project) {
        return Err(Refused::Unknown);
    }
    api.auth.admin(headers)?;
    Ok(api.pipeline.erase(id, ADMIN).await?)
}

fn document(job: &Job) -> serde_json::Value {
    let erased_at = job.erased.as_ref().map(|(at, _)| at.to_rfc3339());
    json!({ "id": job.id, "name": job.name, "status": job.status, "erased_at": erased_at })
}
