//! Tokens, runners and projects out of their rows.

use super::{Cells, digest, json, number, optional_number, optional_text, optional_time, text, time, to_json};
use crate::store::Result;
use crate::store::database::accounts::{ApiToken, Project, Reach, Runner, RunnerId, Taken, TokenId};
use crate::store::database::rows::jobs;
use crate::trace::ProjectId;

/// The columns of a token.
macro_rules! token_columns {
    () => {
        "id, name, token_sha256, scopes, projects, expires_at, created_at, last_used_at, revoked_at, rotated_from"
    };
}
pub(in crate::store::database) use token_columns;

/// The columns of a runner.
macro_rules! runner_columns {
    () => {
        "id, description, token_sha256, projects, created_at, last_contact_at, revoked_at"
    };
}
pub(in crate::store::database) use runner_columns;

/// A token out of its [`token_columns`].
pub(in crate::store::database) fn read_token(row: &impl Cells) -> Result<ApiToken> {
    Ok(ApiToken {
        id: TokenId(number(row, "id")?),
        name: text(row, "name")?,
        token_sha256: digest(row, "token_sha256")?,
        scopes: json(row, "scopes")?,
        projects: read_reach(row)?,
        expires_at: optional_time(row, "expires_at")?,
        created_at: time(row, "created_at")?,
        last_used_at: optional_time(row, "last_used_at")?,
        revoked_at: optional_time(row, "revoked_at")?,
        rotated_from: optional_number(row, "rotated_from")?.map(TokenId),
    })
}

/// A runner out of its [`runner_columns`].
pub(in crate::store::database) fn read_runner(row: &impl Cells) -> Result<Runner> {
    Ok(Runner {
        id: RunnerId(number(row, "id")?),
        description: text(row, "description")?,
        token_sha256: digest(row, "token_sha256")?,
        projects: read_reach(row)?,
        created_at: time(row, "created_at")?,
        last_contact_at: optional_time(row, "last_contact_at")?,
        revoked_at: optional_time(row, "revoked_at")?,
    })
}

/// A project out of its number and path.
pub(in crate::store::database) fn read_project(row: &impl Cells) -> Result<Project> {
    Ok(Project { id: ProjectId(number(row, "id")?), path: text(row, "path")? })
}

/// A job that was taken, out of its columns and its payload.
pub(in crate::store::database) fn read_taken(row: &impl Cells) -> Result<Taken> {
    let payload = match optional_text(row, "payload")? {
        Some(_) => json(row, "payload")?,
        None => serde_json::json!({}),
    };
    Ok(Taken { job: jobs::read(row)?, payload })
}

/// A reach as its column has it.
pub(in crate::store::database) fn reach_column(reach: &Reach) -> Result<Option<String>> {
    match reach {
        Reach::All => Ok(None),
        Reach::These(projects) => to_json(projects).map(Some),
    }
}

fn read_reach(row: &impl Cells) -> Result<Reach> {
    match optional_text(row, "projects")? {
        None => Ok(Reach::All),
        Some(_) => json(row, "projects").map(Reach::These),
    }
}
