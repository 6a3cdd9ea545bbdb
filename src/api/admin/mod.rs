//! What the admin, and whoever may read a job, can ask of Veritail itself.

mod integrity;
mod jobs;

pub(super) use integrity::integrity;
pub(super) use jobs::{cancel_job, create_job};
