//! `/api/v1/verify/runs`: the verifier's runs, listed, looked at and stopped.

use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use crate::api::Api;
use crate::api::error::{Manners, Refused};
use crate::api::path::InPath;
use crate::api::query::{Parameters, Raw};
use crate::store::database::verifications::{Run, RunFilter, RunId};
use crate::trace::{RunState, Schedule};
use crate::verify::RunReport;

/// Runs on a page, unless asked otherwise.
const PER_PAGE: u64 = 20;
/// Runs on a page at most.
const PER_PAGE_MAX: u64 = 100;

/// Which runs to list.
#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code, reason = "read one by one; here they are described")]
struct Filters {
    /// Only those of one schedule.
    schedule: Option<Schedule>,
    /// Only those in one state.
    state: Option<RunState>,
    /// Only those with a smaller number: `next` of the page before.
    before: Option<RunId>,
    /// How many on a page, 20 if not said. More than 100 counts as 100.
    #[param(minimum = 1)]
    per_page: Option<u64>,
}

/// A page of runs.
#[derive(Debug, Serialize, ToSchema)]
struct RunPage {
    /// The runs, newest first.
    items: Vec<RunReport>,
    /// The `before` of the next page; null on the last.
    #[schema(required)]
    next: Option<RunId>,
}

/// The verifier's runs, newest first.
#[utoipa::path(
    get, path = "/api/v1/verify/runs", tag = "Verification", params(Filters),
    responses((status = 200, description = "A page of runs.", body = RunPage), (status = 403)),
)]
pub(in crate::api) async fn list_runs(State(api): State<Api>, query: Raw, headers: HeaderMap) -> Response {
    match list(&api, &Parameters::of(query), &headers).await {
        Ok(page) => Json(page).into_response(),
        Err(refused) => refused.answer(&api, Manners::Own),
    }
}

async fn list(api: &Api, parameters: &Parameters, headers: &HeaderMap) -> Result<RunPage, Refused> {
    let _held = api.auth.admin(headers).await?;
    let size = parameters.positive("per_page")?.unwrap_or(PER_PAGE).min(PER_PAGE_MAX);
    // One more than is shown tells whether there is another page.
    let filter = RunFilter {
        schedule: parameters.value("schedule")?,
        state: parameters.value("state")?,
        before: parameters.value("before")?.map(RunId),
        limit: u32::try_from(size + 1).unwrap_or(u32::MAX),
    };
    let found = api.pipeline.stores().verifications.runs(filter).await?;
    let shown = &found[..found.len().min(usize::try_from(size).unwrap_or(usize::MAX))];
    let next = shown.last().filter(|_| found.len() > shown.len()).map(|last| last.id);
    Ok(RunPage { items: shown.iter().map(RunReport::from).collect(), next })
}

/// One run: what it saw so far, and how far it is.
#[utoipa::path(
    get, path = "/api/v1/verify/runs/{run}", tag = "Verification",
    params(("run" = RunId, Path, description = "The run's number.", example = 1)),
    responses((status = 200, description = "The run.", body = RunReport), (status = 403), (status = 404)),
)]
pub(in crate::api) async fn show_run(
    State(api): State<Api>,
    InPath(run): InPath<String>,
    headers: HeaderMap,
) -> Response {
    let show = async {
        let _held = api.auth.admin(&headers).await?;
        Ok::<_, Refused>(RunReport::from(&find(&api, &run).await?))
    };
    match show.await {
        Ok(report) => Json(report).into_response(),
        Err(refused) => refused.answer(&api, Manners::Own),
    }
}

/// Asks a run to stop; its node learns of it within seconds. One that has ended stays as it is. A cycle of the full run
/// cannot be stopped: it is turned off in the settings.
#[utoipa::path(
    post, path = "/api/v1/verify/runs/{run}/stop", tag = "Verification",
    params(("run" = RunId, Path, description = "The run's number.", example = 1)),
    responses((status = 200, description = "The run as it is now.", body = RunReport), (status = 403), (status = 404)),
)]
pub(in crate::api) async fn stop_run(
    State(api): State<Api>,
    InPath(run): InPath<String>,
    headers: HeaderMap,
) -> Response {
    let stop = async {
        let admin = api.auth.admin(&headers).await?;
        let run = find(&api, &run).await?;
        if run.schedule == Schedule::Full {
            let what =
                "a cycle of the full run is not stopped; the setting verify.full = \"off\" keeps it from going on";
            return Err(Refused::Bad(what.to_owned()));
        }
        let asked =
            api.pipeline.stores().verifications.ask_to_stop(run.id, &admin.by).await?.ok_or(Refused::Unknown)?;
        tracing::info!(
            run_id = asked.id.0,
            by = admin.by,
            "run {} of the verifier: {} asked it to stop",
            asked.id,
            admin.by
        );
        Ok(RunReport::from(&asked))
    };
    match stop.await {
        Ok(report) => Json(report).into_response(),
        Err(refused) => refused.answer(&api, Manners::Own),
    }
}

async fn find(api: &Api, run: &str) -> Result<Run, Refused> {
    let id = run.parse().map(RunId).map_err(|_| Refused::Unknown)?;
    api.pipeline.stores().verifications.run(id).await?.ok_or(Refused::Unknown)
}
