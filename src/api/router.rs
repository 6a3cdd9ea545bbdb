//! All routes on one screen.

use axum::Router;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::{delete, get, patch, post, put};

use super::{Api, admin, error, observe, openapi, ops, reader, runner};

/// Where runners append.
pub const APPEND: &str = "/api/v4/jobs/{job}/trace";
/// Where runners say how a job is.
pub const FINALIZE: &str = "/api/v4/jobs/{job}";
/// Where readers get a trace.
pub const TRACE: &str = "/api/v4/projects/{project}/jobs/{job}/trace";

/// Everything that is answered.
pub fn router(api: Api) -> Router {
    Router::new()
        // Runners
        .route(APPEND, patch(runner::append::append))
        .route(FINALIZE, put(runner::finalize::finalize))
        .route("/api/v4/runners/verify", post(runner::queue::verify))
        .route("/api/v4/jobs/request", post(runner::queue::request_job))
        // Readers
        .route("/api/v4/version", get(reader::login::version))
        .route("/api/v4/user", get(reader::login::user))
        .route("/api/v4/projects", get(reader::projects::projects))
        .route("/api/v4/projects/{project}", get(reader::projects::project))
        .route("/api/v4/projects/{project}/jobs", get(reader::jobs::jobs))
        .route("/api/v4/projects/{project}/jobs/{job}", get(reader::jobs::job))
        .route(TRACE, get(reader::trace::trace))
        .route("/api/v4/projects/{project}/jobs/{job}/erase", post(reader::erase::erase))
        .route("/api/v1/jobs/{job}", get(admin::job::job))
        .route("/api/v1/jobs/{job}/integrity", get(admin::integrity::integrity))
        // The admin
        .route("/api/v1/jobs", post(admin::jobs::create_job))
        .route("/api/v1/jobs/{job}/cancel", post(admin::jobs::cancel_job))
        .route("/api/v1/drills", get(admin::drills::list_drills).post(admin::drills::start_drill))
        .route("/api/v1/mismatches", get(admin::mismatches::list::mismatches))
        .route("/api/v1/mismatches/{mismatch}", get(admin::mismatches::one::show))
        .route("/api/v1/mismatches/{mismatch}/resolve", post(admin::mismatches::one::resolve))
        .route("/api/v1/verify/runs", get(admin::verify::runs::list_runs).post(admin::verify::ask::start_run))
        .route("/api/v1/verify/runs/{run}", get(admin::verify::runs::show_run))
        .route("/api/v1/verify/runs/{run}/stop", post(admin::verify::runs::stop_run))
        .route("/api/v1/verify/status", get(admin::verify::status::status))
        .route("/api/v1/runners", get(admin::runners::list_runners).post(admin::runners::create_runner))
        .route("/api/v1/runners/{runner}", delete(admin::runners::revoke_runner))
        .route("/api/v1/tokens", get(admin::tokens::list_tokens).post(admin::tokens::create_token))
        .route("/api/v1/tokens/{token}", delete(admin::tokens::revoke_token))
        .route("/api/v1/tokens/{token}/rotate", post(admin::tokens::rotate_token))
        .route("/api/v1/projects", get(admin::runners::list_projects))
        // Whoever runs this process
        .route("/healthz", get(ops::healthz))
        .route("/readyz", get(ops::readyz))
        .route("/metrics", get(ops::metrics))
        .route("/openapi.json", get(openapi::openapi))
        .fallback(error::no_such_route)
        .method_not_allowed_fallback(error::no_such_method)
        .layer(from_fn(error::answer_panics))
        .layer(from_fn_with_state(api.clone(), observe::observe))
        .with_state(api)
}
