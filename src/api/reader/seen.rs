//! Which projects a token may know of, for lists and documents that are about more than one job.

use axum::http::HeaderMap;

use crate::api::Api;
use crate::api::error::Refused;
use crate::trace::ProjectId;

/// What a token may see.
pub(super) struct Seen {
    /// Only these projects; `None` = all.
    pub(super) among: Option<Vec<ProjectId>>,
}

impl Seen {
    /// What whoever sent these headers may see. A job's token opens that job and no list: to such a request it is as good
    /// as none, and no stranger learns whether it is one.
    pub(super) fn by(api: &Api, headers: &HeaderMap) -> Result<Self, Refused> {
        match api.auth.admin(headers) {
            Ok(()) => Ok(Self { among: None }),
            Err(_) => Err(Refused::NoToken),
        }
    }

    /// True if this project is among them.
    pub(super) fn has(&self, project: ProjectId) -> bool {
        self.among.as_ref().is_none_or(|among| among.contains(&project))
    }
}
