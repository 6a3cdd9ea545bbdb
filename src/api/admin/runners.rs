//! `/api/v1/runners` and `/api/v1/projects`: who asks for jobs, and whose jobs there are.

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::page::{Listed, Named, Page, ShownReach, Which, form, name, reach};
use crate::api::Api;
use crate::api::error::{Manners, Refused};
use crate::api::path::InPath;
use crate::api::query::{Parameters, Raw};
use crate::api::text::Text;
use crate::api::token::{RUNNER_PREFIX, TokenHash, make};
use crate::store::database::accounts::{NewRunner, Project, Runner, RunnerId};
use crate::trace::{ProjectId, Timestamp};

/// A runner to be made.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewRunner)]
struct Wanted {
    /// What people call it.
    #[schema(value_type = String, min_length = 1, max_length = 255)]
    description: Text,
    /// The projects whose jobs it gets; to be said always: whoever has the token gets the payloads of all their jobs.
    projects: Named,
}

/// How a runner is.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = RunnerState)]
enum Standing {
    Active,
    Revoked,
}

/// A runner; its token is not kept.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Runner)]
struct Shown {
    /// Its number.
    id: RunnerId,
    /// What people call it.
    description: String,
    /// Whether it gets jobs.
    state: Standing,
    /// The projects whose jobs it gets.
    projects: ShownReach,
    /// When it was made, RFC 3339.
    #[schema(format = DateTime)]
    created_at: String,
    /// When it last asked; about a minute late.
    #[schema(required, format = DateTime)]
    last_contact_at: Option<String>,
    /// When it was revoked.
    #[schema(required, format = DateTime)]
    revoked_at: Option<String>,
    /// Its token; only in the answer to whoever made it.
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<String>,
}

/// A project that tokens and runners can be for.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ProjectOfJobs)]
struct ShownProject {
    /// Its number.
    id: ProjectId,
    /// Its path, such as `group/demo`.
    path: String,
}

/// Makes a runner: it gets pending jobs of its projects. Its token is shown this once.
#[utoipa::path(
    post, path = "/api/v1/runners", tag = "Access", request_body = Wanted,
    responses((status = 201, description = "The runner is there.", body = Shown), (status = 403)),
)]
pub(in crate::api) async fn create_runner(
    State(api): State<Api>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let create = async {
        let _held = api.auth.admin(&headers).await?;
        let wanted: Wanted = form(body)?;
        let secret = make(RUNNER_PREFIX, api.pipeline.seams().chance.as_ref());
        let new = NewRunner {
            description: name("description", wanted.description)?,
            token_sha256: TokenHash::of(&secret).0,
            projects: reach(&api, &wanted.projects).await?,
            at: api.clock().now(),
        };
        let runner = api.auth.accounts().create_runner(new).await?;
        tracing::info!(runner_id = runner.id.0, "runner {} made: {}", runner.id.0, runner.description);
        Ok::<_, Refused>(Shown { token: Some(secret), ..show(&runner) })
    };
    match create.await {
        Ok(document) => (StatusCode::CREATED, Json(document)).into_response(),
        Err(refused) => refused.answer(&api, Manners::Own),
    }
}

/// All runners, also the revoked ones, a page at a time.
#[utoipa::path(
    get, path = "/api/v1/runners", tag = "Access", params(Which),
    responses((status = 200, description = "A page of runners.", body = Listed<Shown>), (status = 403)),
)]
pub(in crate::api) async fn list_runners(State(api): State<Api>, query: Raw, headers: HeaderMap) -> Response {
    let list = async {
        let _held = api.auth.admin(&headers).await?;
        let page = Page::of(&Parameters::of(query))?;
        let runners = api.auth.accounts().runners(RunnerId(page.after), page.ask()).await?;
        Ok::<_, Refused>(page.document(runners, |runner| runner.id.0, show))
    };
    match list.await {
        Ok(document) => Json(document).into_response(),
        Err(refused) => refused.answer(&api, Manners::Own),
    }
}

/// Revokes a runner: it gets no more jobs; those that it runs go on.
#[utoipa::path(
    delete, path = "/api/v1/runners/{runner}", tag = "Access",
    params(("runner" = RunnerId, Path, description = "The runner's number.", example = 1)),
    responses((status = 200, description = "The runner as it is now.", body = Shown), (status = 403), (status = 404)),
)]
pub(in crate::api) async fn revoke_runner(
    State(api): State<Api>,
    InPath(runner): InPath<String>,
    headers: HeaderMap,
) -> Response {
    let revoke = async {
        let _held = api.auth.admin(&headers).await?;
        let id = runner.parse().map(RunnerId).map_err(|_| Refused::Unknown)?;
        let now = api.clock().now();
        let runner = api.auth.accounts().revoke_runner(id, now).await?.ok_or(Refused::Unknown)?;
        api.auth.forget(&runner.token_sha256);
        tracing::info!(runner_id = runner.id.0, "runner {} revoked: {}", runner.id.0, runner.description);
        Ok::<_, Refused>(show(&runner))
    };
    match revoke.await {
        Ok(document) => Json(document).into_response(),
        Err(refused) => refused.answer(&api, Manners::Own),
    }
}

/// All projects, a page at a time, with the numbers that tokens and runners name them by.
#[utoipa::path(
    get, path = "/api/v1/projects", tag = "Access", params(Which),
    responses((status = 200, description = "A page of projects.", body = Listed<ShownProject>), (status = 403)),
)]
pub(in crate::api) async fn list_projects(State(api): State<Api>, query: Raw, headers: HeaderMap) -> Response {
    let list = async {
        let _held = api.auth.admin(&headers).await?;
        let page = Page::of(&Parameters::of(query))?;
        let projects = api.auth.accounts().projects(ProjectId(page.after), page.ask()).await?;
        let show = |project: &Project| ShownProject { id: project.id, path: project.path.clone() };
        Ok::<_, Refused>(page.document(projects, |project| project.id.0, show))
    };
    match list.await {
        Ok(document) => Json(document).into_response(),
        Err(refused) => refused.answer(&api, Manners::Own),
    }
}

fn show(runner: &Runner) -> Shown {
    Shown {
        id: runner.id,
        description: runner.description.clone(),
        state: if runner.revoked_at.is_some() { Standing::Revoked } else { Standing::Active },
        projects: ShownReach::from(&runner.projects),
        created_at: runner.created_at.to_rfc3339(),
        last_contact_at: runner.last_contact_at.map(Timestamp::to_rfc3339),
        revoked_at: runner.revoked_at.map(Timestamp::to_rfc3339),
        token: None,
    }
}
