//! What readers ask: projects, jobs, the trace of a job, and to erase it.

mod conditions;
pub(super) mod documents;
pub(super) mod erase;
pub(super) mod jobs;
mod links;
pub(super) mod login;
mod page;
pub(super) mod projects;
mod range;
mod seen;
pub(super) mod trace;

use super::auth::Known;

/// A project is named by number or by path; the path came URL-encoded.
fn is_project(known: &Known, project: &str) -> bool {
    project == known.project_path || project.parse() == Ok(known.project.0)
}
