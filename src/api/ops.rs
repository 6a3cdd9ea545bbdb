//! For whoever runs this process: is it alive, does it take work, what does it count.

use std::time::Duration;

use axum::Json;
use axum::extract::{RawQuery, State};
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::Api;
use crate::seams::within;
use crate::telemetry::exporter;

/// How long a dependency has to answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// 200 while the process runs. `?verbose` names the state of every dependency, which never changes the status: restarting
/// this process would not help.
pub(super) async fn healthz(State(api): State<Api>, RawQuery(query): RawQuery) -> Response {
    let verbose = query.is_some_and(|query| query.split('&').any(|part| part.split('=').next() == Some("verbose")));
    if !verbose {
        return Json(json!({ "status": "ok" })).into_response();
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
    let mut dependencies = serde_json::Map::new();
    dependencies.insert(stores.live.name().to_string(), state(live).into());
    dependencies.insert("database".to_owned(), state(database).into());
    dependencies.insert("object_store".to_owned(), state(objects).into());
    Json(json!({
        "status": "ok",
        "version": exporter::VERSION,
        "revision": exporter::REVISION,
        "draining": api.is_draining(),
        "dependencies": dependencies,
    }))
    .into_response()
}

/// 200 while this process takes work; about itself alone, never about what it shares with others.
pub(super) async fn readyz(State(api): State<Api>) -> Response {
    if api.is_draining() {
        let mut response = (StatusCode::SERVICE_UNAVAILABLE, Json(json!({ "status": "draining" }))).into_response();
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(1));
        return response;
    }
    Json(json!({ "status": "ready" })).into_response()
}

/// The metrics, as Prometheus reads them.
pub(super) async fn metrics(State(api): State<Api>) -> Response {
    let format = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    ([(CONTENT_TYPE, format)], api.exporter.render()).into_response()
}
