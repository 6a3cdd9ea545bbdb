//! `GET /api/v4/projects` and `GET /api/v4/projects/:id`.

use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};

use super::documents::Project;
use super::links::Place;
use super::page::{self, Asked, Shown};
use super::seen::Seen;
use crate::api::Api;
use crate::api::error::{Manners, Refused};
use crate::api::path::InPath;
use crate::api::query::{Parameters, Raw};
use crate::api::text::Text;
use crate::store::database::listing::{ListedProject, ProjectFilter, ProjectName};
use crate::trace::ProjectId;

/// The projects that the token may see, a page at a time, newest first.
#[utoipa::path(
    get, path = "/api/v4/projects", tag = "Readers",
    params(
        ("search" = Option<String>, Query, description = "Only projects with this in their path."),
        page::Numbered, page::Keyset,
    ),
    responses((status = 200, description = "A page of projects.", body = Vec<Project>)),
)]
pub(in crate::api) async fn projects(State(api): State<Api>, query: Raw, headers: HeaderMap, place: Place) -> Response {
    let parameters = Parameters::of(query);
    match list(&api, &parameters, &headers, &place).await {
        Ok(response) => response,
        Err(refused) => refused.answer(&api, Manners::GitLab),
    }
}

async fn list(api: &Api, parameters: &Parameters, headers: &HeaderMap, place: &Place) -> Result<Response, Refused> {
    let seen = Seen::by(api, headers).await?;
    let asked = Asked::of(parameters)?;
    let filter =
        ProjectFilter { among: seen.among.clone(), search: parameters.value("search")?.map(|Text(text)| text) };
    let listed = api.listing.projects(&filter, asked.page).await?;
    let shown = Shown {
        last: listed.items.last().map(|project| project.id.0),
        items: listed.items.iter().map(|project| Project::of(project, &place.base)).collect(),
        more: listed.more,
        total: listed.total,
    };
    Ok(page::answer(&asked, shown, parameters, place))
}

/// One project.
#[utoipa::path(
    get, path = "/api/v4/projects/{project}", tag = "Readers",
    params(("project" = String, Path, description = "The project's number, or its URL-encoded path.", example = "1")),
    responses((status = 200, description = "The project.", body = Project), (status = 404)),
)]
pub(in crate::api) async fn project(
    State(api): State<Api>,
    InPath(project): InPath<String>,
    headers: HeaderMap,
    place: Place,
) -> Response {
    match find(&api, &project, &headers).await {
        Ok(found) => Json(Project::of(&found, &place.base)).into_response(),
        Err(refused) => refused.answer(&api, Manners::GitLab),
    }
}

/// The project of that number or path, if the token may know of it.
pub(super) async fn find(api: &Api, project: &str, headers: &HeaderMap) -> Result<ListedProject, Refused> {
    let seen = Seen::by(api, headers).await?;
    let name = match project.parse() {
        Ok(id) => ProjectName::Id(ProjectId(id)),
        Err(_) => ProjectName::Path(project.to_owned()),
    };
    let look = async { Ok(api.listing.project(&name).await?.filter(|found| seen.has(found.id))) };
    api.auth.evenly(look).await?.ok_or(Refused::Unknown)
}
