//! What the admin, and whoever may read a job, can ask of Veritail itself.

mod integrity;
mod jobs;
mod page;
mod runners;
mod tokens;

pub(super) use integrity::integrity;
pub(super) use jobs::{cancel_job, create_job};
pub(super) use runners::{create_runner, list_projects, list_runners, revoke_runner};
pub(super) use tokens::{create_token, list_tokens, revoke_token, rotate_token};
