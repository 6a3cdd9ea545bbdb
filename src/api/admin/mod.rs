//! What the admin, and whoever may read a job, can ask of Veritail itself.

pub(super) mod drills;
pub(super) mod integrity;
pub(super) mod job;
pub(super) mod jobs;
pub(super) mod mismatches;
mod page;
pub(super) mod runners;
pub(super) mod tokens;
pub(super) mod verify;
