//! Which projects a token may know of, for lists and documents that are about more than one job.

use axum::http::HeaderMap;

use crate::api::Api;
use crate::api::auth::Access;
use crate::api::error::Refused;
use crate::api::limits::Held;
use crate::store::database::accounts::{Reach, Scope};
use crate::trace::ProjectId;

/// What a token may see.
pub(super) struct Seen {
    /// Only these projects; `None` = all.
    pub(super) among: Option<Vec<ProjectId>>,
    /// True for the admin, and for tokens that may do the same.
    pub(super) everything: bool,
    _held: Held,
}

impl Seen {
    /// What whoever sent these headers may see. A job's token opens that job and no list: to such a request it is as good
    /// as none, and no stranger learns whether it is one.
    pub(super) async fn by(api: &Api, headers: &HeaderMap) -> Result<Self, Refused> {
        let (access, held) = api.auth.access(headers).await?;
        match access {
            Access::Everything(_) => Ok(Self { among: None, everything: true, _held: held }),
            Access::Projects(token) if token.scopes.contains(&Scope::Read) => {
                let among = match token.projects {
                    Reach::All => None,
                    Reach::These(projects) => Some(projects),
                };
                Ok(Self { among, everything: false, _held: held })
            }
            Access::Projects(_) | Access::OneJob => Err(Refused::NoToken),
        }
    }

    /// True if this project is among them.
    pub(super) fn has(&self, project: ProjectId) -> bool {
        self.among.as_ref().is_none_or(|among| among.contains(&project))
    }
}
