//! `GET /api/v1/verify/status`: how the verifier stands.

use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};

use crate::api::Api;
use crate::api::error::{Manners, Refused};
use crate::verify::Status;

/// How the verifier stands: coverage, the newest run of each schedule, and the walks of the full run.
#[utoipa::path(
    get, path = "/api/v1/verify/status", tag = "Verification",
    responses((status = 200, description = "How it stands, the same on every node.", body = Status), (status = 403)),
)]
pub(in crate::api) async fn status(State(api): State<Api>, headers: HeaderMap) -> Response {
    let look = async {
        let _held = api.auth.admin(&headers).await?;
        Ok::<_, Refused>(api.verifier.status().await?)
    };
    match look.await {
        Ok(status) => Json(status).into_response(),
        Err(refused) => refused.answer(&api, Manners::Own),
    }
}
