//! `/api/v1/runners` and `/api/v1/projects`: who asks for jobs, and whose jobs there are.

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Value, json};

use super::page::{Named, Page, form, moment, name, reach, show_reach};
use crate::api::Api;
use crate::api::error::{Manners, Refused};
use crate::api::token::{RUNNER_PREFIX, TokenHash, make};
use crate::store::database::accounts::{NewRunner, Runner, RunnerId};
use crate::trace::ProjectId;

/// A runner to be made.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    description: String,
    /// To be said always: whoever has the token gets the payloads of all these projects' jobs.
    projects: Named,
}

/// `POST /api/v1/runners`: its token is shown this once.
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
        let mut document = show(&runner);
        document["token"] = secret.into();
        Ok::<_, Refused>(document)
    };
    match create.await {
        Ok(document) => (StatusCode::CREATED, Json(document)).into_response(),
        Err(refused) => refused.answer(&api, Manners::Own),
    }
}

/// `GET /api/v1/runners`: all of them, also the revoked ones, page by page.
pub(in crate::api) async fn list_runners(
    State(api): State<Api>,
    query: Result<Query<Vec<(String, String)>>, QueryRejection>,
    headers: HeaderMap,
) -> Response {
    let list = async {
        let _held = api.auth.admin(&headers).await?;
        let page = Page::of(&query.map(|Query(all)| all).unwrap_or_default())?;
        let runners = api.auth.accounts().runners(RunnerId(page.after), page.ask()).await?;
        Ok::<_, Refused>(page.document(runners, |runner| runner.id.0, show))
    };
    match list.await {
        Ok(document) => Json(document).into_response(),
        Err(refused) => refused.answer(&api, Manners::Own),
    }
}

/// `DELETE /api/v1/runners/:id`: it gets no more jobs; those that it runs go on.
pub(in crate::api) async fn revoke_runner(
    State(api): State<Api>,
    Path(runner): Path<String>,
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

/// `GET /api/v1/projects`: all of them, page by page.
pub(in crate::api) async fn list_projects(
    State(api): State<Api>,
    query: Result<Query<Vec<(String, String)>>, QueryRejection>,
    headers: HeaderMap,
) -> Response {
    let list = async {
        let _held = api.auth.admin(&headers).await?;
        let page = Page::of(&query.map(|Query(all)| all).unwrap_or_default())?;
        let projects = api.auth.accounts().projects(ProjectId(page.after), page.ask()).await?;
        let show =
            |project: &crate::store::database::accounts::Project| json!({ "id": project.id, "path": project.path });
        Ok::<_, Refused>(page.document(projects, |project| project.id.0, show))
    };
    match list.await {
        Ok(document) => Json(document).into_response(),
        Err(refused) => refused.answer(&api, Manners::Own),
    }
}

fn show(runner: &Runner) -> Value {
    json!({
        "id": runner.id,
        "description": runner.description,
        "state": if runner.revoked_at.is_some() { "revoked" } else { "active" },
        "projects": show_reach(&runner.projects),
        "created_at": moment(runner.created_at),
        "last_contact_at": runner.last_contact_at.map(moment),
        "revoked_at": runner.revoked_at.map(moment),
    })
}
