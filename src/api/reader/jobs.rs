//! `GET /api/v4/projects/:id/jobs` and `GET /api/v4/projects/:id/jobs/:job_id`.

use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};

use super::documents::JobDocument;
use super::links::Place;
use super::page::{self, Asked, Shown};
use super::{is_project, projects};
use crate::api::Api;
use crate::api::error::{Manners, Refused};
use crate::api::path::InPath;
use crate::api::query::{Parameters, Raw, shown};
use crate::store::database::Job;
use crate::store::database::listing::JobFilter;
use crate::trace::{JobId, JobStatus};

/// Statuses that GitLab's jobs can have and Veritail's never do: whoever asks for them finds none.
const NEVER: &[&str] =
    &["created", "waiting_for_resource", "preparing", "waiting_for_callback", "skipped", "manual", "scheduled"];

/// A project's jobs, a page at a time, newest first.
#[utoipa::path(
    get, path = "/api/v4/projects/{project}/jobs", tag = "Readers",
    params(
        ("project" = String, Path, description = "The project's number, or its URL-encoded path.", example = "1"),
        ("scope[]" = Option<Vec<JobStatus>>, Query, style = Form, explode,
            description = "Only jobs in one of these statuses. GitLab's other statuses are taken too; no job has them."),
        page::Numbered, page::Keyset,
    ),
    responses((status = 200, description = "A page of jobs.", body = Vec<JobDocument>), (status = 404)),
)]
pub(in crate::api) async fn jobs(
    State(api): State<Api>,
    InPath(project): InPath<String>,
    query: Raw,
    headers: HeaderMap,
    place: Place,
) -> Response {
    let parameters = Parameters::of(query);
    match list(&api, &project, &parameters, &headers, &place).await {
        Ok(response) => response,
        Err(refused) => refused.answer(&api, Manners::GitLab),
    }
}

async fn list(
    api: &Api,
    project: &str,
    parameters: &Parameters,
    headers: &HeaderMap,
    place: &Place,
) -> Result<Response, Refused> {
    let project = projects::find(api, project, headers).await?;
    let asked = Asked::of(parameters)?;
    let filter = JobFilter { project: project.id, statuses: statuses(parameters)? };
    let listed = api.listing.jobs(&filter, asked.page).await?;
    let shown = Shown {
        last: listed.items.last().map(|job| job.id.0),
        items: listed.items.iter().map(|job| JobDocument::of(job, &place.base)).collect(),
        more: listed.more,
        total: listed.total,
    };
    Ok(page::answer(&asked, shown, parameters, place))
}

/// The statuses asked for; `None` = all.
fn statuses(parameters: &Parameters) -> Result<Option<Vec<JobStatus>>, Refused> {
    let mut asked = None;
    for name in parameters.list("scope") {
        let statuses: &mut Vec<JobStatus> = asked.get_or_insert_default();
        match name.parse() {
            Ok(status) => statuses.push(status),
            Err(_) if NEVER.contains(&name) => {}
            Err(_) => return Err(Refused::Bad(format!("scope {:?} is not a status of jobs", shown(name)))),
        }
    }
    Ok(asked)
}

/// One job. Its own token opens it too.
#[utoipa::path(
    get, path = "/api/v4/projects/{project}/jobs/{job}", tag = "Readers",
    params(
        ("project" = String, Path, description = "The project's number, or its URL-encoded path.", example = "1"),
        ("job" = JobId, Path, description = "The job's number.", example = 1),
    ),
    responses((status = 200, description = "The job.", body = JobDocument), (status = 404)),
)]
pub(in crate::api) async fn job(
    State(api): State<Api>,
    InPath((project, job)): InPath<(String, String)>,
    headers: HeaderMap,
    place: Place,
) -> Response {
    match find(&api, &project, &job, &headers).await {
        Ok(found) => Json(JobDocument::of(&found, &place.base)).into_response(),
        Err(refused) => refused.answer(&api, Manners::GitLab),
    }
}

async fn find(api: &Api, project: &str, job: &str, headers: &HeaderMap) -> Result<Job, Refused> {
    let id = job.parse().map_or(JobId(0), JobId);
    let database = api.pipeline.stores().database.as_ref();
    let admitted = api.auth.reader(database, id, headers).await?;
    if !is_project(&admitted.known, project) {
        return Err(Refused::Unknown);
    }
    database.job(id).await?.ok_or(Refused::Unknown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_of_gitlab_are_known_and_others_are_not() {
        let asked = |names: &[&str]| {
            let pairs = names.iter().map(|name| ("scope[]".to_owned(), (*name).to_owned()));
            statuses(&Parameters(pairs.collect())).map_err(|refused| refused.to_string())
        };
        assert_eq!(asked(&[]), Ok(None));
        assert_eq!(asked(&["failed", "running"]), Ok(Some(vec![JobStatus::Failed, JobStatus::Running])));
        assert_eq!(asked(&["manual"]), Ok(Some(vec![])));
        assert!(asked(&["failed", "Failed"]).is_err());
    }
}
