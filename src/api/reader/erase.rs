//! `POST /api/v4/projects/:id/jobs/:job_id/erase`: a finished job's log goes, for good.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};

use super::documents::JobDocument;
use super::is_project;
use super::links::Place;
use crate::api::Api;
use crate::api::error::{Manners, Refused, message};
use crate::api::path::InPath;
use crate::store::database::Erased;
use crate::trace::JobId;

/// Erases the log of a finished job from every store, for good.
#[utoipa::path(
    post, path = "/api/v4/projects/{project}/jobs/{job}/erase", tag = "Readers",
    params(
        ("project" = String, Path, description = "The project's number, or its URL-encoded path.", example = "1"),
        ("job" = JobId, Path, description = "The job's number.", example = 1),
    ),
    responses(
        (status = 201, description = "It is erased; the job as it is now.", body = JobDocument),
        (status = 403, description = "The job is unfinished, or the token does not allow this."),
        (status = 404),
    ),
)]
pub(in crate::api) async fn erase(
    State(api): State<Api>,
    InPath((project, job)): InPath<(String, String)>,
    headers: HeaderMap,
    place: Place,
) -> Response {
    match erased(&api, &project, &job, &headers).await {
        Ok(Erased::Done(job)) => (StatusCode::CREATED, Json(JobDocument::of(&job, &place.base))).into_response(),
        Ok(Erased::Unfinished) => message(StatusCode::FORBIDDEN, "403 Forbidden - Job is not erasable!"),
        Ok(Erased::Unknown) => Refused::Unknown.answer(&api, Manners::GitLab),
        Err(refused) => refused.answer(&api, Manners::GitLab),
    }
}

async fn erased(api: &Api, project: &str, job: &str, headers: &HeaderMap) -> Result<Erased, Refused> {
    let id = job.parse().map_or(JobId(0), JobId);
    let admitted = api.auth.reader(api.pipeline.stores().database.as_ref(), id, headers).await?;
    if !is_project(&admitted.known, project) {
        return Err(Refused::Unknown);
    }
    let admin = api.auth.admin(headers).await?;
    Ok(api.pipeline.erase(id, &admin.by).await?)
}
