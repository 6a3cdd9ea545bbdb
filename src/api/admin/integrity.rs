//! `GET /api/v1/jobs/:id/integrity`: what was promised of a trace, and where it lies.

use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};

use crate::api::Api;
use crate::api::error::{Manners, Refused};
use crate::api::segment::Segments;
use crate::pipeline::Integrity;
use crate::trace::JobId;

/// Answers whoever may read the trace.
pub(in crate::api) async fn integrity(
    State(api): State<Api>,
    Segments(job): Segments<String>,
    headers: HeaderMap,
) -> Response {
    match look(&api, &job, &headers).await {
        Ok(document) => Json(document).into_response(),
        Err(refused) => refused.answer(&api, Manners::Own),
    }
}

async fn look(api: &Api, job: &str, headers: &HeaderMap) -> Result<Integrity, Refused> {
    let id = job.parse().map_or(JobId(0), JobId);
    api.auth.reader(api.pipeline.stores().database.as_ref(), id, headers).await?;
    api.pipeline.integrity(id).await?.ok_or(Refused::Unknown)
}
