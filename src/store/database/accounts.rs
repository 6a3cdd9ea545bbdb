//! Who may come in, and what waits for whom: API tokens, runners, projects, and the queue of pending jobs.
//!
//! A trait of its own beside [`Database`](super::Database): the life of a trace needs none of it, so the pipeline is not
//! handed it. Of every secret only the SHA-256 is here.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Job;
use crate::store::Result;
use crate::trace::state::names;
use crate::trace::{JobId, ProjectId, Timestamp};

names! {
    /// What a token is good for.
    Scope {
        /// Reading traces and everything about them.
        Read = "read",
        /// Everything that the admin may do.
        Admin = "admin",
    }
}

/// The number of an API token; positive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(transparent)]
pub struct TokenId(pub i64);

/// The number of a runner; positive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(transparent)]
pub struct RunnerId(pub i64);

/// The projects that a token or a runner is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reach {
    /// All there are and will be.
    All,
    /// These, in order of number, each once.
    These(Vec<ProjectId>),
}

impl Reach {
    /// True if it goes as far as `project`.
    pub fn includes(&self, project: ProjectId) -> bool {
        match self {
            Self::All => true,
            Self::These(projects) => projects.contains(&project),
        }
    }
}

/// A project.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Project {
    /// Its number.
    pub id: ProjectId,
    /// Its path, such as `group/demo`.
    pub path: String,
}

/// A token for the API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiToken {
    /// Its number.
    pub id: TokenId,
    /// What people call it.
    pub name: String,
    /// SHA-256 of the secret.
    pub token_sha256: [u8; 32],
    /// What it is good for.
    pub scopes: Vec<Scope>,
    /// The projects it is for.
    pub projects: Reach,
    /// The moment from which on it is good for nothing.
    pub expires_at: Option<Timestamp>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last used; about a minute late.
    pub last_used_at: Option<Timestamp>,
    /// When it was revoked, or replaced by a rotation.
    pub revoked_at: Option<Timestamp>,
    /// The token whose place it took.
    pub rotated_from: Option<TokenId>,
}

impl ApiToken {
    /// True if it may be used at all.
    pub fn is_good(&self, now: Timestamp) -> bool {
        self.revoked_at.is_none() && self.expires_at.is_none_or(|expires| now < expires)
    }
}

/// A token to be made.
#[derive(Clone, Debug)]
pub struct NewToken {
    /// What people call it.
    pub name: String,
    /// SHA-256 of the secret.
    pub token_sha256: [u8; 32],
    /// What it is good for.
    pub scopes: Vec<Scope>,
    /// The projects it is for.
    pub projects: Reach,
    /// The moment from which on it is good for nothing.
    pub expires_at: Option<Timestamp>,
    /// Now.
    pub at: Timestamp,
}

/// A runner: whoever asks for pending jobs with its token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Runner {
    /// Its number.
    pub id: RunnerId,
    /// What people call it.
    pub description: String,
    /// SHA-256 of its token.
    pub token_sha256: [u8; 32],
    /// The projects whose jobs it gets.
    pub projects: Reach,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it last asked; about a minute late.
    pub last_contact_at: Option<Timestamp>,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
}

/// A runner to be made.
#[derive(Clone, Debug)]
pub struct NewRunner {
    /// What people call it.
    pub description: String,
    /// SHA-256 of its token.
    pub token_sha256: [u8; 32],
    /// The projects whose jobs it gets.
    pub projects: Reach,
    /// Now.
    pub at: Timestamp,
}

/// A job that a runner was given.
#[derive(Clone, Debug, PartialEq)]
pub struct Taken {
    /// The job, running.
    pub job: Job,
    /// The payload, as its creator gave it; an empty object if there was none.
    pub payload: serde_json::Value,
}

/// The contract of the accounts.
#[async_trait]
pub trait Accounts: Send + Sync {
    /// Makes a token.
    async fn create_token(&self, new: NewToken) -> Result<ApiToken>;

    /// The token of this hash, good or not.
    async fn token(&self, token_sha256: [u8; 32]) -> Result<Option<ApiToken>>;

    /// Tokens with a number above `after`, in order of number.
    async fn tokens(&self, after: TokenId, limit: u32) -> Result<Vec<ApiToken>>;

    /// Revokes a token; the first time stays. Answers it as it is afterwards.
    async fn revoke_token(&self, token: TokenId, at: Timestamp) -> Result<Option<ApiToken>>;

    /// Revokes a token that is good and makes one with another secret in its place, both or neither. Name, scopes and
    /// projects stay; so does the expiry, unless another is given. `None` if there is no such token or it is not good.
    async fn rotate_token(
        &self,
        token: TokenId,
        token_sha256: [u8; 32],
        expires_at: Option<Timestamp>,
        at: Timestamp,
    ) -> Result<Option<ApiToken>>;

    /// Raises `last_used_at` of all these tokens, in one statement. Unknown ones are passed over.
    async fn note_token_uses(&self, uses: &[(TokenId, Timestamp)]) -> Result<()>;

    /// Makes a runner.
    async fn create_runner(&self, new: NewRunner) -> Result<Runner>;

    /// The runner with a token of this hash, revoked or not.
    async fn runner(&self, token_sha256: [u8; 32]) -> Result<Option<Runner>>;

    /// Runners with a number above `after`, in order of number.
    async fn runners(&self, after: RunnerId, limit: u32) -> Result<Vec<Runner>>;

    /// Revokes a runner; the first time stays. Its running jobs go on. Answers it as it is afterwards.
    async fn revoke_runner(&self, runner: RunnerId, at: Timestamp) -> Result<Option<Runner>>;

    /// Raises `last_contact_at` of all these runners, in one statement. Unknown ones are passed over.
    async fn note_runner_contacts(&self, contacts: &[(RunnerId, Timestamp)]) -> Result<()>;

    /// Gives the oldest pending job of the runner's projects to it: the job becomes `Running`, once however many ask at
    /// the same moment, in one statement. The statement remembers the runner, `at` as `started_at`, and, if it is known, whether it can send its
    /// log again, and gives the job the token that was made for this run: the one its creator got was a placeholder,
    /// good for nothing from now on. `None` if nothing is pending, or the runner is unknown or revoked.
    async fn take_pending_job(
        &self,
        runner: RunnerId,
        trace_reset: Option<bool>,
        new_token_sha256: [u8; 32],
        at: Timestamp,
    ) -> Result<Option<Taken>>;

    /// The runner that a job was given to.
    async fn runner_of(&self, job: JobId) -> Result<Option<RunnerId>>;

    /// A project by its number.
    async fn project(&self, project: ProjectId) -> Result<Option<Project>>;

    /// A project by its path.
    async fn project_at(&self, path: &str) -> Result<Option<Project>>;

    /// Projects with a number above `after`, in order of number, but for the canary's.
    async fn projects(&self, after: ProjectId, limit: u32) -> Result<Vec<Project>>;
}
