//! `POST /api/v1/verify/runs`: certain traces are verified now.

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use utoipa::ToSchema;

use crate::api::Api;
use crate::api::admin::page;
use crate::api::error::{Manners, Refused};
use crate::store::database::listing::ProjectName;
use crate::trace::JobId;
use crate::verify::{RunReport, Wanted};

/// Jobs that one request can name.
const JOBS_MAX: usize = 1000;

/// Which traces to verify: exactly one of these.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
struct RunRequest {
    /// Those of these jobs, at most 1,000.
    jobs: Option<Vec<JobId>>,
    /// Those of one project's jobs, by its number or path.
    project: Option<String>,
    /// Those of all jobs made at this moment or later, RFC 3339.
    #[schema(format = DateTime)]
    since: Option<String>,
    /// All.
    all: Option<bool>,
}

/// Verifies certain traces now: every copy of every chunk against its record, and the whole. Goes on by itself, beyond the
/// first problem; what is found is a mismatch, and is healed where that is possible and `verify.mode` allows it.
#[utoipa::path(
    post, path = "/api/v1/verify/runs", tag = "Verification", request_body = RunRequest,
    responses((status = 202, description = "The run has begun.", body = RunReport), (status = 403)),
)]
pub(in crate::api) async fn start_run(
    State(api): State<Api>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let start = async {
        let admin = api.auth.admin(&headers).await?;
        let wanted = wanted(&api, page::form(body)?).await?;
        let run = api.verifier.ask(wanted, api.listing.clone()).await?;
        tracing::info!(
            run_id = run.id.0,
            by = admin.by,
            "run {} of the verifier, over {}: {} asked",
            run.id,
            run.scope,
            admin.by
        );
        Ok::<_, Refused>(RunReport::from(&run))
    };
    match start.await {
        Ok(report) => (StatusCode::ACCEPTED, Json(report)).into_response(),
        Err(refused) => refused.answer(&api, Manners::Own),
    }
}

async fn wanted(api: &Api, request: RunRequest) -> Result<Wanted, Refused> {
    match request {
        RunRequest { jobs: Some(jobs), project: None, since: None, all: None } => named_jobs(api, jobs).await,
        RunRequest { jobs: None, project: Some(name), since: None, all: None } => {
            let id = page::project(api, &name).await?;
            let found = api.listing.project(&ProjectName::Id(id)).await?.ok_or(Refused::Unknown)?;
            Ok(Wanted::Project(found.id, found.path))
        }
        RunRequest { jobs: None, project: None, since: Some(since), all: None } => {
            Ok(Wanted::Since(page::moment("since", &since)?))
        }
        RunRequest { jobs: None, project: None, since: None, all: Some(true) } => Ok(Wanted::All),
        _ => Err(Refused::Bad("give one of jobs, project, since, or all: true".to_owned())),
    }
}

/// A run over a job that is not there would say that all is well.
async fn named_jobs(api: &Api, jobs: Vec<JobId>) -> Result<Wanted, Refused> {
    if jobs.is_empty() || jobs.len() > JOBS_MAX {
        return Err(Refused::Bad(format!("jobs: 1 to {JOBS_MAX}")));
    }
    for job in &jobs {
        if api.pipeline.stores().database.job(*job).await?.is_none() {
            return Err(Refused::Bad(format!("there is no job {job}")));
        }
    }
    Ok(Wanted::Jobs(jobs))
}
