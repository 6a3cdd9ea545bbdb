//! Who may do what: runners by their job's token, readers by that or the admin's, the admin by the admin's.
//!
//! A stranger learns nothing: an unknown job, a wrong token and an erased job are told apart neither by the answer nor by
//! the time it takes.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use axum::http::HeaderMap;
use moka::sync::Cache;

use super::error::Refused;
use super::token::{self, TokenHash};
use crate::config::value::Secret;
use crate::seams::Chance;
use crate::store::Result as StoreResult;
use crate::store::database::{Database, Job};
use crate::trace::{ByteSize, JobId, ProjectId, TraceState};

/// The tokens that are known.
pub struct Auth {
    admin: TokenHash,
    jobs: Cache<JobId, Known>,
}

/// What never changes of a job, as far as deciding about a request goes.
#[derive(Clone)]
pub struct Known {
    /// The job.
    pub job: JobId,
    /// Its project.
    pub project: ProjectId,
    /// The project's path.
    pub project_path: String,
    /// The longest trace accepted; 0 = no limit.
    pub trace_limit: ByteSize,
    erased: bool,
    token_sha256: [u8; 32],
}

/// Jobs whose tokens are remembered; about 200 bytes each.
const REMEMBERED: u64 = 100_000;
/// Compared with when the job is unknown, so that this takes as long. No token has this hash.
const NO_TOKEN: [u8; 32] = [0; 32];

impl From<&Job> for Known {
    fn from(job: &Job) -> Self {
        Self {
            job: job.id,
            project: job.project,
            project_path: job.project_path.clone(),
            trace_limit: job.trace_limit,
            erased: job.state == TraceState::Erased,
            token_sha256: job.token_sha256,
        }
    }
}

impl Auth {
    /// `ttl` is how long a job's token is remembered.
    pub fn new(admin_token: &Secret, ttl: Duration) -> Self {
        let jobs = Cache::builder().max_capacity(REMEMBERED).time_to_live(ttl).build();
        Self { admin: TokenHash::of(admin_token.reveal()), jobs }
    }

    /// The job, if `token` is its token and it is not erased.
    pub async fn runner(&self, database: &dyn Database, job: JobId, token: Option<&str>) -> StoreResult<Option<Known>> {
        let known = self.known(database, job).await?;
        let promised = known.as_ref().map_or(&NO_TOKEN, |known| &known.token_sha256);
        let is = TokenHash::of(token.unwrap_or_default()).is(promised);
        Ok(known.filter(|known| is && !known.erased))
    }

    /// The job, if whoever sent these headers may read it.
    pub async fn reader(&self, database: &dyn Database, job: JobId, headers: &HeaderMap) -> Result<Known, Refused> {
        let token = token::reader_token(headers).ok_or(Refused::NoToken)?;
        let known = self.known(database, job).await?;
        let hash = TokenHash::of(token);
        let promised = known.as_ref().map_or(&NO_TOKEN, |known| &known.token_sha256);
        let (is_admin, is_jobs) = (hash.is(&self.admin.0), hash.is(promised));
        known.filter(|_| is_admin || is_jobs).ok_or(Refused::Unknown)
    }

    /// Fails unless these headers carry the admin's token.
    pub fn admin(&self, headers: &HeaderMap) -> Result<(), Refused> {
        let token = token::reader_token(headers).ok_or(Refused::NoToken)?;
        if TokenHash::of(token).is(&self.admin.0) { Ok(()) } else { Err(Refused::NotAllowed) }
    }

    /// Remembers only what is there: a token made on one node is used on another a millisecond later.
    async fn known(&self, database: &dyn Database, job: JobId) -> StoreResult<Option<Known>> {
        if let Some(known) = self.jobs.get(&job) {
            return Ok(Some(known));
        }
        let known = database.job(job).await?.as_ref().map(Known::from);
        if let Some(known) = known.as_ref().filter(|known| !known.erased) {
            self.jobs.insert(job, known.clone());
        }
        Ok(known)
    }
}

/// Why there is no admin token.
#[derive(Debug, thiserror::Error)]
pub enum NoAdminToken {
    /// The file cannot be read or made.
    #[error("the admin token in {}: {error}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// A token that anybody could guess.
    #[error("the admin token in {place} has fewer than {SHORTEST} characters")]
    Short {
        /// Where it is.
        place: String,
    },
}

/// The fewest characters of an admin token.
const SHORTEST: usize = 16;

/// The name of the file in the data folder that holds the admin token.
pub const ADMIN_TOKEN_FILE: &str = "admin-token";

/// The admin token: the configured one, else the one in the data folder, else a new one that is written there.
pub fn admin_token(configured: Option<&Secret>, data_dir: &Path, chance: &dyn Chance) -> Result<Secret, NoAdminToken> {
    let path = data_dir.join(ADMIN_TOKEN_FILE);
    let (token, place) = match configured {
        Some(token) => (token.clone(), "VERITAIL_ADMIN_TOKEN".to_owned()),
        None => {
            let token = kept_token(&path, data_dir, chance);
            (token.map_err(|error| NoAdminToken::File { path: path.clone(), error })?, path.display().to_string())
        }
    };
    if token.reveal().len() < SHORTEST { Err(NoAdminToken::Short { place }) } else { Ok(token) }
}

fn kept_token(path: &Path, folder: &Path, chance: &dyn Chance) -> std::io::Result<Secret> {
    if !path.try_exists()? {
        // Written whole before it has its name, and never over another: two processes may start at once.
        let mut file = tempfile::Builder::new().prefix(".admin-token").tempfile_in(folder)?;
        file.write_all(format!("{}\n", token::make(token::ADMIN_PREFIX, chance)).as_bytes())?;
        file.as_file().sync_all()?;
        match file.persist_noclobber(path) {
            Ok(_) => fs::File::open(folder)?.sync_all()?,
            Err(error) if error.error.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error.error),
        }
    }
    Ok(Secret::new(fs::read_to_string(path)?.trim()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::seams::real::SystemChance;

    #[test]
    fn the_first_start_makes_an_admin_token_and_later_ones_find_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let first = admin_token(None, folder.path(), &SystemChance).expect("made");
        let second = admin_token(None, folder.path(), &SystemChance).expect("found");
        assert_eq!(first, second);
        let mode = fs::metadata(folder.path().join(ADMIN_TOKEN_FILE)).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_short_or_empty_admin_token_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join(ADMIN_TOKEN_FILE), "\n").expect("written");
        assert!(admin_token(None, folder.path(), &SystemChance).is_err());
        assert!(admin_token(Some(&Secret::new("short")), folder.path(), &SystemChance).is_err());
    }
}
