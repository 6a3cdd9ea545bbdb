//! For whoever runs this process: is it alive, does it take work, what does it count.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::Json;
use axum::extract::{RawQuery, State};
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use super::Api;
use crate::seams::within;
use crate::telemetry::exporter;

/// How long a dependency has to answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// How this process is.
#[derive(Debug, Default, Serialize, ToSchema)]
pub(super) struct Health {
    /// `ok`, `ready` or `draining`.
    status: &'static str,
    /// Its version.
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<&'static str>,
    /// What was built, such as a commit; `unknown` where the build was not told.
    #[serde(skip_serializing_if = "Option::is_none")]
    revision: Option<&'static str>,
    /// True once it takes no more work.
    #[serde(skip_serializing_if = "Option::is_none")]
    draining: Option<bool>,
    /// `ok`, `error` or `timeout`, for every store.
    #[serde(skip_serializing_if = "Option::is_none")]
    dependencies: Option<BTreeMap<String, &'static str>>,
}

/// 200 while the process runs. `?verbose` names the state of every dependency, which never changes the status: restarting
/// this process would not help.
#[utoipa::path(
    get, path = "/healthz", tag = "Operations",
    params(("verbose" = Option<String>, Query, description = "Present: look at every dependency too.")),
    responses((status = 200, description = "The process runs.", body = Health)),
)]
pub(super) async fn healthz(State(api): State<Api>, RawQuery(query): RawQuery) -> Response {
    let verbose = query.is_some_and(|query| query.split('&').any(|part| part.split('=').next() == Some("verbose")));
    if !verbose {
        return Json(Health { status: "ok", ..Health::default() }).into_response();
    }
    let stores = api.pipeline.stores();
    let (live, database, objects) = futures::join!(
        within(api.clock(), PATIENCE, stores.live.ping()),
        within(api.clock(), PATIENCE, stores.database.ping(PATIENCE)),
        within(api.clock(), PATIENCE, stores.objects.ping()),
    );
    let state = |answer: Option<crate::store::Result<()>>| match answer {
        Some(Ok(())) => "ok",
        Some(Err(_)) => "error",
        None => "timeout",
    };
    let dependencies = BTreeMap::from([
        (stores.live.name().to_string(), state(live)),
        ("database".to_owned(), state(database)),
        ("object_store".to_owned(), state(objects)),
    ]);
    let health = Health {
        status: "ok",
        version: Some(exporter::VERSION),
        revision: Some(exporter::REVISION),
        draining: Some(api.is_draining()),
        dependencies: Some(dependencies),
    };
    Json(health).into_response()
}

/// 200 while this process takes work; about itself alone, never about what it shares with others.
#[utoipa::path(
    get, path = "/readyz", tag = "Operations",
    responses(
        (status = 200, description = "It takes work.", body = Health),
        (status = 503, description = "It is about to stop.", body = Health, headers(("Retry-After" = u32))),
    ),
)]
pub(super) async fn readyz(State(api): State<Api>) -> Response {
    if api.is_draining() {
        let mut response =
            (StatusCode::SERVICE_UNAVAILABLE, Json(Health { status: "draining", ..Health::default() })).into_response();
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(1));
        return response;
    }
    Json(Health { status: "ready", ..Health::default() }).into_response()
}

/// The metrics, as Prometheus reads them.
#[utoipa::path(
    get, path = "/metrics", tag = "Operations",
    responses((status = 200, description = "Text, version 0.0.4.", body = String,
        content_type = "text/plain; version=0.0.4; charset=utf-8")),
)]
pub(super) async fn metrics(State(api): State<Api>) -> Response {
    let format = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    ([(CONTENT_TYPE, format)], api.exporter.render()).into_response()
}
