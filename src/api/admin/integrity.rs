//! `GET /api/v1/jobs/:id/integrity`: what was promised of a trace, and where it lies.

use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};

use crate::api::Api;
use crate::api::error::{Manners, Refused};
use crate::api::path::InPath;
use crate::pipeline::Integrity;
use crate::trace::JobId;

/// What was promised of a trace, and where every copy of it lies, for whoever may read it.
#[utoipa::path(
    get, path = "/api/v1/jobs/{job}/integrity", tag = "Jobs",
    params(("job" = JobId, Path, description = "The job's number.", example = 1)),
    responses((status = 200, description = "The report.", body = Integrity), (status = 404)),
)]
pub(in crate::api) async fn integrity(
    State(api): State<Api>,
    InPath(job): InPath<String>,
    headers: HeaderMap,
) -> Response {
    match look(&api, &job, &headers).await {
        Ok(document) => Json(document).into_response(),
        Err(refused) => refused.answer(&api, Manners::Own),
    }
}

async fn look(api: &Api, job: &str, headers: &HeaderMap) -> Result<Integrity, Refused> {
    let id = job.parse().map_or(JobId(0), JobId);
    let _admitted = api.auth.reader(api.pipeline.stores().database.as_ref(), id, headers).await?;
    api.pipeline.integrity(id).await?.ok_or(Refused::Unknown)
}
