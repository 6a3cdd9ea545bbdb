//! The accounts of the model database.

use std::collections::BTreeMap;

use async_trait::async_trait;
use veritail::store::database::accounts::{
    Accounts, ApiToken, NewRunner, NewToken, Project, Runner, RunnerId, Taken, TokenId,
};
use veritail::store::database::drills::CANARY_PROJECT;
use veritail::store::{Result, StoreError};
use veritail::trace::{JobId, JobStatus, ProjectId, Timestamp, TraceState};

use super::database::{self, ModelDatabase};

/// What the accounts keep beside jobs and projects.
#[derive(Default)]
pub(super) struct Tables {
    pub(super) payloads: BTreeMap<JobId, serde_json::Value>,
    tokens: Vec<ApiToken>,
    runners: Vec<Runner>,
    taken_by: BTreeMap<JobId, RunnerId>,
}

fn taken_already() -> StoreError {
    StoreError::unreadable("database", "two tokens of one hash")
}

#[async_trait]
impl Accounts for ModelDatabase {
    async fn create_token(&self, new: NewToken) -> Result<ApiToken> {
        let tokens = &mut self.tables().accounts.tokens;
        if tokens.iter().any(|token| token.token_sha256 == new.token_sha256) {
            return Err(taken_already());
        }
        let token = ApiToken {
            id: TokenId(tokens.len() as i64 + 1),
            name: new.name,
            token_sha256: new.token_sha256,
            scopes: new.scopes,
            projects: new.projects,
            expires_at: new.expires_at,
            created_at: new.at,
            last_used_at: None,
            revoked_at: None,
            rotated_from: None,
        };
        tokens.push(token.clone());
        Ok(token)
    }

    async fn token(&self, token_sha256: [u8; 32]) -> Result<Option<ApiToken>> {
        Ok(self.tables().accounts.tokens.iter().find(|token| token.token_sha256 == token_sha256).cloned())
    }

    async fn tokens(&self, after: TokenId, limit: u32) -> Result<Vec<ApiToken>> {
        let tables = self.tables();
        let tokens = tables.accounts.tokens.iter().filter(|token| token.id > after);
        Ok(tokens.take(limit as usize).cloned().collect())
    }

    async fn revoke_token(&self, token: TokenId, at: Timestamp) -> Result<Option<ApiToken>> {
        let mut tables = self.tables();
        let Some(token) = tables.accounts.tokens.iter_mut().find(|known| known.id == token) else { return Ok(None) };
        token.revoked_at.get_or_insert(at);
        Ok(Some(token.clone()))
    }

    async fn rotate_token(
        &self,
        token: TokenId,
        token_sha256: [u8; 32],
        expires_at: Option<Timestamp>,
        at: Timestamp,
    ) -> Result<Option<ApiToken>> {
        let tokens = &mut self.tables().accounts.tokens;
        if tokens.iter().any(|token| token.token_sha256 == token_sha256) {
            return Err(taken_already());
        }
        let id = TokenId(tokens.len() as i64 + 1);
        let old = tokens.iter_mut().find(|known| known.id == token && known.is_good(at));
        let Some(old) = old else { return Ok(None) };
        let new = ApiToken {
            id,
            token_sha256,
            expires_at: expires_at.or(old.expires_at),
            created_at: at,
            last_used_at: None,
            rotated_from: Some(old.id),
            ..old.clone()
        };
        old.revoked_at = Some(at);
        tokens.push(new.clone());
        Ok(Some(new))
    }

    async fn note_token_uses(&self, uses: &[(TokenId, Timestamp)]) -> Result<()> {
        let mut tables = self.tables();
        for (id, at) in uses {
            if let Some(token) = tables.accounts.tokens.iter_mut().find(|token| token.id == *id) {
                token.last_used_at = token.last_used_at.max(Some(*at));
            }
        }
        Ok(())
    }

    async fn create_runner(&self, new: NewRunner) -> Result<Runner> {
        let runners = &mut self.tables().accounts.runners;
        if runners.iter().any(|runner| runner.token_sha256 == new.token_sha256) {
            return Err(taken_already());
        }
        let runner = Runner {
            id: RunnerId(runners.len() as i64 + 1),
            description: new.description,
            token_sha256: new.token_sha256,
            projects: new.projects,
            created_at: new.at,
            last_contact_at: None,
            revoked_at: None,
        };
        runners.push(runner.clone());
        Ok(runner)
    }

    async fn runner(&self, token_sha256: [u8; 32]) -> Result<Option<Runner>> {
        Ok(self.tables().accounts.runners.iter().find(|runner| runner.token_sha256 == token_sha256).cloned())
    }

    async fn runners(&self, after: RunnerId, limit: u32) -> Result<Vec<Runner>> {
        let tables = self.tables();
        let runners = tables.accounts.runners.iter().filter(|runner| runner.id > after);
        Ok(runners.take(limit as usize).cloned().collect())
    }

    async fn revoke_runner(&self, runner: RunnerId, at: Timestamp) -> Result<Option<Runner>> {
        let mut tables = self.tables();
        let known = tables.accounts.runners.iter_mut().find(|known| known.id == runner);
        let Some(runner) = known else { return Ok(None) };
        runner.revoked_at.get_or_insert(at);
        Ok(Some(runner.clone()))
    }

    async fn note_runner_contacts(&self, contacts: &[(RunnerId, Timestamp)]) -> Result<()> {
        let mut tables = self.tables();
        for (id, at) in contacts {
            if let Some(runner) = tables.accounts.runners.iter_mut().find(|runner| runner.id == *id) {
                runner.last_contact_at = runner.last_contact_at.max(Some(*at));
            }
        }
        Ok(())
    }

    async fn take_pending_job(
        &self,
        runner: RunnerId,
        trace_reset: Option<bool>,
        new_token_sha256: [u8; 32],
        at: Timestamp,
    ) -> Result<Option<Taken>> {
        let mut tables = self.tables();
        let asks = tables.accounts.runners.iter().find(|known| known.id == runner && known.revoked_at.is_none());
        let Some(projects) = asks.map(|runner| runner.projects.clone()) else { return Ok(None) };
        let pending = tables.jobs.values_mut().find(|job| {
            let waits = job.status == JobStatus::Pending && job.state == TraceState::Open && job.ending.is_none();
            waits && projects.includes(job.project)
        });
        let Some(job) = pending else { return Ok(None) };
        job.status = JobStatus::Running;
        job.trace_reset = trace_reset.or(job.trace_reset);
        job.token_sha256 = new_token_sha256;
        job.last_contact_at = job.last_contact_at.max(at);
        job.changed_at = at;
        job.started_at = Some(at);
        let job = job.clone();
        tables.accounts.taken_by.insert(job.id, runner);
        let payload = tables.accounts.payloads.get(&job.id).cloned().unwrap_or_else(|| serde_json::json!({}));
        Ok(Some(Taken { job, payload }))
    }

    async fn runner_of(&self, job: JobId) -> Result<Option<RunnerId>> {
        Ok(self.tables().accounts.taken_by.get(&job).copied())
    }

    async fn project(&self, project: ProjectId) -> Result<Option<Project>> {
        Ok(all_projects(&self.tables()).find(|found| found.id == project))
    }

    async fn project_at(&self, path: &str) -> Result<Option<Project>> {
        Ok(all_projects(&self.tables()).find(|found| found.path == path))
    }

    async fn projects(&self, after: ProjectId, limit: u32) -> Result<Vec<Project>> {
        let tables = self.tables();
        let listed = all_projects(&tables).filter(|project| project.id > after && project.path != CANARY_PROJECT);
        Ok(listed.take(limit as usize).collect())
    }
}

fn all_projects(tables: &database::Tables) -> impl Iterator<Item = Project> {
    tables.projects.iter().zip(1..).map(|(path, id)| Project { id: ProjectId(id), path: path.clone() })
}
