//! Who may do what: runners by their job's token, readers by that or by a token of their own, the admin by the admin's or
//! by a token with the scope for it.
//!
//! A stranger learns nothing: an unknown job, a wrong token, a foreign project's job and an erased job are told apart
//! neither by the answer nor by the time it takes. What is remembered only ever lets in: whatever it would refuse is looked
//! up, so every refusal costs the same statement, and a token made on one node is good on another a millisecond later.
//! What that statement finds still takes its time (a row to be read, or none), so a refusal goes out no sooner than
//! [`REFUSAL_MIN`] after the statement began, and both arrive together.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::http::HeaderMap;

use super::error::Refused;
use super::last_seen::LastSeen;
use super::limits::{Held, Limits};
use super::token::{self, READER_PREFIX, RUNNER_PREFIX, TokenHash};
use crate::config::value::Secret;
use crate::pipeline::Recent;
use crate::seams::{Chance, Clock, no_sooner};
use crate::store::Result as StoreResult;
use crate::store::database::accounts::{Accounts, ApiToken, Runner, RunnerId, Scope, TokenId};
use crate::store::database::{Database, Job};
use crate::trace::{ByteSize, JobId, JobStatus, ProjectId, Timestamp, TraceState};

/// The tokens that are known.
pub struct Auth {
    admin: TokenHash,
    accounts: Arc<dyn Accounts>,
    clock: Arc<dyn Clock>,
    limits: Limits,
    ttl: Duration,
    /// With the moment in which each was looked up, as all of these.
    jobs: Recent<JobId, (Timestamp, Arc<Known>)>,
    tokens: Recent<[u8; 32], (Timestamp, ApiToken)>,
    runners: Recent<[u8; 32], (Timestamp, Runner)>,
    /// How often something was revoked here: what was looked up before is not remembered after.
    revocations: AtomicU64,
    tokens_seen: LastSeen<TokenId>,
    runners_seen: LastSeen<RunnerId>,
}

/// What never changes of a job once it runs, as far as deciding about a request goes.
pub struct Known {
    /// The job.
    pub job: JobId,
    /// Its project.
    pub project: ProjectId,
    /// The project's path.
    pub project_path: String,
    /// When it was made.
    pub made_at: Timestamp,
    /// The longest trace accepted; 0 = no limit.
    pub trace_limit: ByteSize,
    erased: bool,
    /// No runner has taken it yet; whoever takes it gets another token.
    pub pending: bool,
    token_sha256: [u8; 32],
}

/// A request about a job that was let in.
pub struct Admitted {
    /// The job.
    pub known: Arc<Known>,
    /// Counts as under way for as long as this is there.
    pub held: Held,
}

/// What a reader may see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Access {
    /// Everything; with this token, or with the admin's own.
    Everything(Option<ApiToken>),
    /// The projects of this token.
    Projects(ApiToken),
    /// The job whose token this may be, and nothing else. Also what a token that nobody made gets.
    OneJob,
}

/// Somebody who may do everything.
pub struct Admin {
    /// Who it is, as it is kept with what was done: `admin`, or `token 3 (oncall)`.
    pub by: String,
    /// Counts as under way for as long as this is there.
    pub held: Held,
}

/// The least time that a refusal takes: far more than it takes a database to find a row, and to find none.
pub const REFUSAL_MIN: Duration = Duration::from_millis(5);
/// How long a job is remembered for the time in which the database does not answer.
const OUTAGE_MAX: Duration = Duration::from_secs(4 * 3600);
/// Jobs, tokens and runners that are remembered; about 300 bytes each.
const REMEMBERED: usize = 100_000;

impl From<&Job> for Known {
    fn from(job: &Job) -> Self {
        Self {
            job: job.id,
            project: job.project,
            project_path: job.project_path.clone(),
            made_at: job.created_at,
            trace_limit: job.trace_limit,
            erased: job.state == TraceState::Erased,
            pending: job.status == JobStatus::Pending,
            token_sha256: job.token_sha256,
        }
    }
}

impl Auth {
    /// `ttl` is how long what is known is remembered: so long a token may live on other nodes after it was revoked here.
    pub fn new(
        admin_token: &Secret,
        ttl: Duration,
        accounts: Arc<dyn Accounts>,
        clock: Arc<dyn Clock>,
        limits: Limits,
    ) -> Self {
        Self {
            admin: TokenHash::of(admin_token.reveal()),
            accounts,
            clock,
            limits,
            ttl,
            jobs: Recent::new(REMEMBERED),
            tokens: Recent::new(REMEMBERED),
            runners: Recent::new(REMEMBERED),
            revocations: AtomicU64::new(0),
            tokens_seen: LastSeen::new(),
            runners_seen: LastSeen::new(),
        }
    }

    /// Tokens, runners and projects.
    pub fn accounts(&self) -> &dyn Accounts {
        self.accounts.as_ref()
    }

    /// The job, if `token` is its token and it is not erased.
    pub async fn runner(
        &self,
        database: &dyn Database,
        job: JobId,
        token: Option<&str>,
    ) -> Result<Option<Admitted>, Refused> {
        let hash = TokenHash::of(token.unwrap_or_default());
        let may = |known: &Known| hash.is(&known.token_sha256) && !known.erased;
        let Some(known) = self.job_if(database, job, may).await? else { return Ok(None) };
        let held = self.limits.enter(hash.0, None)?;
        Ok(Some(Admitted { known, held }))
    }

    /// The job, if whoever sent these headers may read it.
    pub async fn reader(&self, database: &dyn Database, job: JobId, headers: &HeaderMap) -> Result<Admitted, Refused> {
        let token = token::reader_token(headers).ok_or(Refused::NoToken)?;
        let hash = TokenHash::of(token);
        let access = self.access_of(token, &hash).await?;
        let may = |known: &Known| match &access {
            Access::Everything(_) => true,
            Access::Projects(token) => token.scopes.contains(&Scope::Read) && token.projects.includes(known.project),
            Access::OneJob => hash.is(&known.token_sha256),
        };
        let known = self.job_if(database, job, may).await?.ok_or(Refused::Unknown)?;
        let held = if self.is_admin(&hash) { Held::default() } else { self.limits.enter(hash.0, Some(job))? };
        Ok(Admitted { known, held })
    }

    /// What whoever sent these headers may see, for documents that are about more than one job.
    pub async fn access(&self, headers: &HeaderMap) -> Result<(Access, Held), Refused> {
        let token = token::reader_token(headers).ok_or(Refused::NoToken)?;
        let hash = TokenHash::of(token);
        let access = self.access_of(token, &hash).await?;
        let limited = !self.is_admin(&hash) && access != Access::OneJob;
        let held = if limited { self.limits.enter(hash.0, None)? } else { Held::default() };
        Ok((access, held))
    }

    /// Fails unless these headers carry the admin's token, or one with the scope `admin`.
    pub async fn admin(&self, headers: &HeaderMap) -> Result<Admin, Refused> {
        match self.access(headers).await? {
            (Access::Everything(None), held) => Ok(Admin { by: "admin".to_owned(), held }),
            (Access::Everything(Some(token)), held) => {
                Ok(Admin { by: format!("token {} ({})", token.id.0, token.name), held })
            }
            _ => Err(Refused::NotAllowed),
        }
    }

    /// The runner whose token this is.
    pub async fn account(&self, token: Option<&str>) -> Result<Option<(Runner, Held)>, Refused> {
        let Some(token) = token.filter(|token| token.starts_with(RUNNER_PREFIX)) else { return Ok(None) };
        let hash = TokenHash::of(token);
        let now = self.clock.now();
        let runner = match self.runners.get(&hash.0).filter(|(since, _)| self.is_fresh(now, *since)) {
            Some((_, runner)) => runner,
            None => {
                let before = self.revocations.load(Ordering::SeqCst);
                let found = self.accounts.runner(hash.0).await?;
                let good = found.filter(|found| hash.is(&found.token_sha256) && found.revoked_at.is_none());
                let Some(runner) = good else { return Ok(None) };
                self.runners.put(hash.0, (now, runner.clone()));
                if self.revocations.load(Ordering::SeqCst) != before {
                    self.runners.forget(&hash.0);
                }
                runner
            }
        };
        self.runners_seen.note(runner.id, now);
        let held = self.limits.enter(hash.0, None)?;
        Ok(Some((runner, held)))
    }

    /// The token or runner with this secret was revoked: from now on it is not let in here.
    pub fn forget(&self, token_sha256: &[u8; 32]) {
        self.revocations.fetch_add(1, Ordering::SeqCst);
        self.tokens.forget(token_sha256);
        self.runners.forget(token_sha256);
    }

    /// Forgets what was only remembered to limit those who ask for much. To be called every [`FORGETS`](super::limits::FORGETS).
    pub fn forget_idle(&self) {
        self.limits.forget_idle();
    }

    /// Writes down when tokens and runners were last seen.
    pub async fn write_last_seen(&self) -> StoreResult<()> {
        let tokens = self.tokens_seen.take();
        if !tokens.is_empty()
            && let Err(error) = self.accounts.note_token_uses(&tokens).await
        {
            self.tokens_seen.put_back(tokens);
            return Err(error);
        }
        let runners = self.runners_seen.take();
        if !runners.is_empty()
            && let Err(error) = self.accounts.note_runner_contacts(&runners).await
        {
            self.runners_seen.put_back(runners);
            return Err(error);
        }
        Ok(())
    }

    fn is_admin(&self, hash: &TokenHash) -> bool {
        hash.is(&self.admin.0)
    }

    /// True if what was looked up then may still be believed. Not if the clock was set back since.
    fn is_fresh(&self, now: Timestamp, since: Timestamp) -> bool {
        since <= now && now.since(since) < self.ttl
    }

    async fn access_of(&self, token: &str, hash: &TokenHash) -> StoreResult<Access> {
        if self.is_admin(hash) {
            return Ok(Access::Everything(None));
        }
        // The prefix is the stranger's own choice: that only these are looked up tells nothing.
        if !token.starts_with(READER_PREFIX) {
            return Ok(Access::OneJob);
        }
        let Some(token) = self.api_token(hash).await? else { return Ok(Access::OneJob) };
        self.tokens_seen.note(token.id, self.clock.now());
        let is_admin = token.scopes.contains(&Scope::Admin);
        Ok(if is_admin { Access::Everything(Some(token)) } else { Access::Projects(token) })
    }

    async fn api_token(&self, hash: &TokenHash) -> StoreResult<Option<ApiToken>> {
        let now = self.clock.now();
        let is_good = |(since, token): &(Timestamp, ApiToken)| self.is_fresh(now, *since) && token.is_good(now);
        if let Some((_, token)) = self.tokens.get(&hash.0).filter(is_good) {
            return Ok(Some(token));
        }
        let before = self.revocations.load(Ordering::SeqCst);
        let found = self.accounts.token(hash.0).await?;
        let Some(token) = found.filter(|found| hash.is(&found.token_sha256) && found.is_good(now)) else {
            return Ok(None);
        };
        self.tokens.put(hash.0, (now, token.clone()));
        if self.revocations.load(Ordering::SeqCst) != before {
            self.tokens.forget(&hash.0);
        }
        Ok(Some(token))
    }

    /// The job, if this may be done with it. Whatever the remembered job would refuse is looked up.
    async fn job_if(
        &self,
        database: &dyn Database,
        job: JobId,
        may: impl Fn(&Known) -> bool + Send + Sync,
    ) -> StoreResult<Option<Arc<Known>>> {
        let now = self.clock.now();
        let remembered = self.jobs.get(&job).filter(|(_, known)| may(known));
        if let Some((_, known)) = remembered.as_ref().filter(|(since, _)| self.is_fresh(now, *since)) {
            return Ok(Some(known.clone()));
        }
        let remembered = remembered.filter(|(since, _)| now.since(*since) < self.ttl.max(OUTAGE_MAX));
        let look = async {
            let known = match database.job(job).await {
                Ok(found) => found.as_ref().map(|found| Arc::new(Known::from(found))),
                // A runner that is turned away while the database is away gives its log up; it was let in before.
                Err(error) => return remembered.map(|(_, known)| Some(known)).ok_or(error),
            };
            if let Some(known) = known.as_ref().filter(|known| !known.erased && !known.pending) {
                self.jobs.put(job, (now, known.clone()));
            }
            Ok(known.filter(|known| may(known)))
        };
        self.evenly(look).await
    }

    /// Looks something up; that it is not there, or not for whoever asks, is told no sooner than [`REFUSAL_MIN`] after.
    pub async fn evenly<T: Send>(
        &self,
        look: impl Future<Output = StoreResult<Option<T>>> + Send,
    ) -> StoreResult<Option<T>> {
        no_sooner(self.clock.as_ref(), REFUSAL_MIN, look, |found| matches!(found, Ok(None))).await
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
