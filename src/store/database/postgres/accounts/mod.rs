//! The accounts in PostgreSQL, one table a file.

mod projects;
mod queue;
mod runners;
mod tokens;

use async_trait::async_trait;

use super::PostgresDatabase;
use crate::store::Result;
use crate::store::database::accounts::{
    Accounts, ApiToken, NewRunner, NewToken, Project, Runner, RunnerId, Taken, TokenId,
};
use crate::trace::{JobId, ProjectId, Timestamp};

#[async_trait]
impl Accounts for PostgresDatabase {
    async fn create_token(&self, new: NewToken) -> Result<ApiToken> {
        tokens::create(self, &new).await
    }

    async fn token(&self, token_sha256: [u8; 32]) -> Result<Option<ApiToken>> {
        tokens::find(self, token_sha256).await
    }

    async fn tokens(&self, after: TokenId, limit: u32) -> Result<Vec<ApiToken>> {
        tokens::list(self, after, limit).await
    }

    async fn revoke_token(&self, token: TokenId, at: Timestamp) -> Result<Option<ApiToken>> {
        tokens::revoke(self, token, at).await
    }

    async fn rotate_token(
        &self,
        token: TokenId,
        token_sha256: [u8; 32],
        expires_at: Option<Timestamp>,
        at: Timestamp,
    ) -> Result<Option<ApiToken>> {
        tokens::rotate(self, token, token_sha256, expires_at, at).await
    }

    async fn note_token_uses(&self, uses: &[(TokenId, Timestamp)]) -> Result<()> {
        tokens::note_uses(self, uses).await
    }

    async fn create_runner(&self, new: NewRunner) -> Result<Runner> {
        runners::create(self, &new).await
    }

    async fn runner(&self, token_sha256: [u8; 32]) -> Result<Option<Runner>> {
        runners::find(self, token_sha256).await
    }

    async fn runners(&self, after: RunnerId, limit: u32) -> Result<Vec<Runner>> {
        runners::list(self, after, limit).await
    }

    async fn revoke_runner(&self, runner: RunnerId, at: Timestamp) -> Result<Option<Runner>> {
        runners::revoke(self, runner, at).await
    }

    async fn note_runner_contacts(&self, contacts: &[(RunnerId, Timestamp)]) -> Result<()> {
        runners::note_contacts(self, contacts).await
    }

    async fn take_pending_job(
        &self,
        runner: RunnerId,
        trace_reset: Option<bool>,
        new_token_sha256: [u8; 32],
        at: Timestamp,
    ) -> Result<Option<Taken>> {
        queue::take(self, runner, trace_reset, new_token_sha256, at).await
    }

    async fn runner_of(&self, job: JobId) -> Result<Option<RunnerId>> {
        queue::runner_of(self, job).await
    }

    async fn project(&self, project: ProjectId) -> Result<Option<Project>> {
        projects::find(self, project).await
    }

    async fn project_at(&self, path: &str) -> Result<Option<Project>> {
        projects::find_at(self, path).await
    }

    async fn projects(&self, after: ProjectId, limit: u32) -> Result<Vec<Project>> {
        projects::list(self, after, limit).await
    }
}
