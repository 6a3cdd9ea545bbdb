//! `/api/v1/drills`: damage that a person does on purpose, and what came of it.

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::api::Api;
use crate::api::error::{Manners, Refused};
use crate::api::query::{Parameters, Raw};
use crate::pipeline::{DrillOrder, DrillReport, NoDrill};
use crate::store::database::drills::{DrillFilter, DrillId};
use crate::trace::{ChunkIndex, DataStore, JobId, Kind};

/// Drills on a page, unless asked otherwise.
const PER_PAGE: u32 = 20;
/// Drills on a page at most.
const PER_PAGE_MAX: u32 = 100;

/// Which copy is to be damaged, and how.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewDrill)]
struct Wanted {
    /// The job.
    job_id: JobId,
    /// The chunk; the last one that has such a copy, if not said.
    chunk_index: Option<ChunkIndex>,
    /// Where the copy lies.
    store: DataStore,
    /// What will be wrong with it: `checksum`, `size` or `missing`, in the database also `record`.
    kind: Kind,
    /// Has to be true: the copy is damaged for real.
    #[serde(default)]
    yes_damage_data: bool,
}

/// A page of drills.
#[derive(Debug, Serialize, ToSchema)]
struct DrillPage {
    /// The drills, newest first.
    items: Vec<DrillReport>,
    /// The `cursor` of the next page; null on the last.
    #[schema(required)]
    next: Option<String>,
}

/// Which drills to list.
#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code, reason = "read one by one; here they are described")]
struct Filters {
    /// Only those of one job.
    job_id: Option<JobId>,
    /// How many on a page, 20 if not said. More than 100 counts as 100.
    #[param(minimum = 1)]
    per_page: Option<u64>,
    /// `next` of the page before.
    cursor: Option<String>,
}

/// Damages one copy of a job's log for real, announced before. It is found like any other damage, and counts as a drill alone.
#[utoipa::path(
    post, path = "/api/v1/drills", tag = "Drills", request_body = Wanted,
    responses(
        (status = 201, description = "The copy is damaged.", body = DrillReport),
        (status = 403), (status = 404, description = "There is no such job."),
    ),
)]
pub(in crate::api) async fn start_drill(
    State(api): State<Api>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    match start(&api, &headers, body).await {
        Ok(report) => (StatusCode::CREATED, Json(report)).into_response(),
        Err(refused) => refused.answer(&api, Manners::Own),
    }
}

async fn start(api: &Api, headers: &HeaderMap, body: Result<Bytes, BytesRejection>) -> Result<DrillReport, Refused> {
    let admin = api.auth.admin(headers).await?;
    let body = body.map_err(|rejection| Refused::Bad(rejection.body_text()))?;
    let wanted = read(&body)?;
    let within = api.pipeline.settings().drill_deadline;
    let Wanted { job_id: job, chunk_index: chunk, store, kind, .. } = wanted;
    let order = DrillOrder { job, chunk, store, kind, by: admin.by.clone(), within };
    match api.pipeline.drill(&order).await {
        Ok(drill) => Ok(DrillReport::from(&drill)),
        Err(NoDrill::Unknown) => Err(Refused::Unknown),
        Err(NoDrill::Impossible(why)) => Err(Refused::Bad(why)),
        Err(NoDrill::Store(error)) => Err(error.into()),
    }
}

fn read(body: &[u8]) -> Result<Wanted, Refused> {
    let wanted: Wanted = serde_json::from_slice(body).map_err(|error| Refused::Bad(error.to_string()))?;
    if !wanted.yes_damage_data {
        let job = wanted.job_id;
        return Err(Refused::Bad(format!(
            "this damages a copy of job {job}'s log for real; if that is wanted, say \"yes_damage_data\": true"
        )));
    }
    Ok(wanted)
}

/// Damage that was done on purpose, by the canary too, newest first.
#[utoipa::path(
    get, path = "/api/v1/drills", tag = "Drills", params(Filters),
    responses((status = 200, description = "A page of drills.", body = DrillPage), (status = 403)),
)]
pub(in crate::api) async fn list_drills(State(api): State<Api>, query: Raw, headers: HeaderMap) -> Response {
    match list(&api, &Parameters::of(query), &headers).await {
        Ok(page) => Json(page).into_response(),
        Err(refused) => refused.answer(&api, Manners::Own),
    }
}

async fn list(api: &Api, parameters: &Parameters, headers: &HeaderMap) -> Result<DrillPage, Refused> {
    let _held = api.auth.admin(headers).await?;
    let size = parameters.positive("per_page")?.map_or(PER_PAGE, |size| u32::try_from(size).unwrap_or(u32::MAX));
    let size = size.min(PER_PAGE_MAX);
    let filter = DrillFilter {
        job: parameters.value("job_id")?.map(JobId),
        before: parameters.value("cursor")?.map(DrillId),
        // One more than is shown tells whether there is another page.
        limit: size + 1,
        ..DrillFilter::default()
    };
    let found = api.pipeline.stores().drills.drills(&filter).await?;
    let shown = &found[..found.len().min(size as usize)];
    let next = shown.last().filter(|_| found.len() > shown.len()).map(|last| last.id.to_string());
    Ok(DrillPage { items: shown.iter().map(DrillReport::from).collect(), next })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_damaged_unless_that_is_said() {
        let good = r#"{"job_id":7,"store":"object_store","kind":"checksum","yes_damage_data":true}"#;
        assert!(read(good.as_bytes()).is_ok());
        for bad in [
            "",
            r#"{"job_id":7,"store":"object_store","kind":"checksum"}"#,
            r#"{"job_id":7,"store":"object_store","kind":"checksum","yes_damage_data":false}"#,
            r#"{"job_id":7,"store":"disk","kind":"checksum","yes_damage_data":true}"#,
            r#"{"job_id":7,"store":"redis","kind":"checksum","yes_damage_data":true,"all":true}"#,
        ] {
            assert!(read(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
