//! What every database promises of accounts, one test a rule.

use std::sync::Arc;

use tokio::task::JoinSet;
use veritail::store::StoreError;
use veritail::store::database::accounts::{
    Accounts, ApiToken, NewRunner, NewToken, Reach, Runner, RunnerId, Scope, TokenId,
};
use veritail::store::database::sqlite::SqliteDatabase;
use veritail::trace::{ProjectId, TraceState};

use super::*;
use crate::support::postgres_server::TestDatabase;

/// Runs every rule against a database that `$open` makes: a guard, the jobs and the accounts over the same tables.
macro_rules! accounts_suite {
    ($name:ident, $open:expr) => {
        accounts_suite!(@rules $name, $open;
            a_token_is_as_it_was_made,
            tokens_of_one_hash_are_refused,
            a_revoked_token_stays_revoked_since_the_first_time,
            a_rotated_token_passes_its_rights_on_once,
            what_is_not_good_is_not_rotated,
            uses_only_raise,
            tokens_and_runners_come_page_by_page,
            a_runner_is_as_it_was_made_and_can_be_revoked,
            the_oldest_pending_job_goes_first_and_once,
            a_taken_job_has_a_new_token_and_its_payload,
            a_runner_gets_jobs_of_its_projects_alone,
            a_revoked_or_unknown_runner_gets_nothing,
            what_is_not_pending_is_not_given,
            projects_are_found_by_number_and_path,
        );
    };
    (@rules $name:ident, $open:expr; $($rule:ident),+ $(,)?) => {
        mod $name {
            $(
                #[tokio::test]
                async fn $rule() {
                    let (_guard, jobs, accounts) = $open.await;
                    super::$rule(jobs.as_ref(), accounts.as_ref()).await;
                }
            )+
        }
    };
}

accounts_suite!(on_sqlite, super::on_a_file());
accounts_suite!(on_postgres, super::on_postgres());
accounts_suite!(on_the_model, super::on_a_model());
accounts_suite!(behind_hooks, super::behind_a_hook());

type Opened<G> = (G, Arc<dyn Database>, Arc<dyn Accounts>);

async fn on_a_file() -> Opened<tempfile::TempDir> {
    let (folder, database) = sqlite::open().await;
    (folder, Arc::new(database.clone()), Arc::new(database))
}

async fn on_postgres() -> Opened<TestDatabase> {
    let (guard, database) = postgres::open().await;
    (guard, Arc::new(database.clone()), Arc::new(database))
}

async fn on_a_model() -> Opened<()> {
    let model = Arc::new(model());
    ((), model.clone(), model)
}

async fn behind_a_hook() -> Opened<tempfile::TempDir> {
    let (folder, jobs, accounts) = on_a_file().await;
    let clock = Arc::new(ManualClock::at(NOW));
    let recorded: Arc<dyn Accounts> = Arc::new(Hooked::new(accounts, Arc::new(Recorder::default()), clock.clone()));
    (folder, jobs, Arc::new(Hooked::new(recorded, Arc::new(Faults::default()), clock)))
}

fn hash(text: &str) -> [u8; 32] {
    Sha256::of(text.as_bytes()).0
}

fn new_token(secret: &str) -> NewToken {
    NewToken {
        name: "dashboards".to_owned(),
        token_sha256: hash(secret),
        scopes: vec![Scope::Read],
        projects: Reach::These(vec![ProjectId(1), ProjectId(7)]),
        expires_at: Some(NOW.plus_ms(1000)),
        at: NOW,
    }
}

async fn runner(accounts: &dyn Accounts, secret: &str, projects: Reach) -> Runner {
    let new = NewRunner { description: "builds".to_owned(), token_sha256: hash(secret), projects, at: NOW };
    accounts.create_runner(new).await.unwrap()
}

async fn pending(jobs: &dyn Database, path: &str) -> Job {
    let new = NewJob { project_path: path.to_owned(), ..new_job(JobStatus::Pending) };
    jobs.create_job(new).await.unwrap()
}

pub async fn a_token_is_as_it_was_made(_: &dyn Database, accounts: &dyn Accounts) {
    let token = accounts.create_token(new_token("a")).await.unwrap();
    let expected = ApiToken {
        id: token.id,
        name: "dashboards".to_owned(),
        token_sha256: hash("a"),
        scopes: vec![Scope::Read],
        projects: Reach::These(vec![ProjectId(1), ProjectId(7)]),
        expires_at: Some(NOW.plus_ms(1000)),
        created_at: NOW,
        last_used_at: None,
        revoked_at: None,
        rotated_from: None,
    };
    assert_eq!(token, expected);
    assert_eq!(accounts.token(hash("a")).await.unwrap(), Some(expected));
    assert_eq!(accounts.token(hash("b")).await.unwrap(), None);
    let all = NewToken { scopes: vec![], projects: Reach::All, expires_at: None, ..new_token("b") };
    let all = accounts.create_token(all).await.unwrap();
    assert_eq!((all.scopes.as_slice(), &all.projects, all.expires_at), ([].as_slice(), &Reach::All, None));
    assert!(all.id > token.id);
}

pub async fn tokens_of_one_hash_are_refused(_: &dyn Database, accounts: &dyn Accounts) {
    accounts.create_token(new_token("a")).await.unwrap();
    let again = accounts.create_token(new_token("a")).await;
    assert!(matches!(again, Err(StoreError::Unreadable { .. })), "{again:?}");
}

pub async fn a_revoked_token_stays_revoked_since_the_first_time(_: &dyn Database, accounts: &dyn Accounts) {
    let token = accounts.create_token(new_token("a")).await.unwrap();
    for at in [5, 9] {
        let revoked = accounts.revoke_token(token.id, NOW.plus_ms(at)).await.unwrap().unwrap();
        assert_eq!(revoked.revoked_at, Some(NOW.plus_ms(5)));
        assert!(!revoked.is_good(NOW));
    }
    assert_eq!(accounts.revoke_token(TokenId(99), NOW).await.unwrap(), None);
}

pub async fn a_rotated_token_passes_its_rights_on_once(_: &dyn Database, accounts: &dyn Accounts) {
    let old = accounts.create_token(new_token("a")).await.unwrap();
    let at = NOW.plus_ms(5);
    let new = accounts.rotate_token(old.id, hash("b"), None, at).await.unwrap().unwrap();
    let expected =
        ApiToken { id: new.id, token_sha256: hash("b"), created_at: at, rotated_from: Some(old.id), ..old.clone() };
    assert_eq!(new, expected);
    assert_eq!(accounts.token(hash("a")).await.unwrap().unwrap().revoked_at, Some(at));
    assert_eq!(accounts.rotate_token(old.id, hash("c"), None, at).await.unwrap(), None);
    let longer = accounts.rotate_token(new.id, hash("c"), Some(NOW.plus_ms(9_000)), at).await.unwrap().unwrap();
    assert_eq!(longer.expires_at, Some(NOW.plus_ms(9_000)));
    assert_eq!(accounts.tokens(TokenId(0), 10).await.unwrap().len(), 3);
}

pub async fn what_is_not_good_is_not_rotated(_: &dyn Database, accounts: &dyn Accounts) {
    let token = accounts.create_token(new_token("a")).await.unwrap();
    assert_eq!(accounts.rotate_token(TokenId(99), hash("b"), None, NOW).await.unwrap(), None);
    // From the moment of its expiry on.
    assert_eq!(accounts.rotate_token(token.id, hash("b"), None, NOW.plus_ms(1000)).await.unwrap(), None);
    assert_eq!(accounts.token(hash("a")).await.unwrap().unwrap().revoked_at, None);
    assert_eq!(accounts.token(hash("b")).await.unwrap(), None);
}

pub async fn uses_only_raise(_: &dyn Database, accounts: &dyn Accounts) {
    let token = accounts.create_token(new_token("a")).await.unwrap();
    let known = runner(accounts, "r", Reach::All).await;
    for (noted, expected) in [(vec![5, 7], 7), (vec![6], 7), (vec![], 7), (vec![8], 8)] {
        let at = |at: &i64| NOW.plus_ms(*at);
        let mut uses: Vec<_> = noted.iter().map(|ms| (token.id, at(ms))).collect();
        let mut contacts: Vec<_> = noted.iter().map(|ms| (known.id, at(ms))).collect();
        uses.push((TokenId(99), NOW));
        contacts.push((RunnerId(99), NOW));
        accounts.note_token_uses(&uses).await.unwrap();
        accounts.note_runner_contacts(&contacts).await.unwrap();
        let expected = Some(NOW.plus_ms(expected));
        assert_eq!(accounts.token(hash("a")).await.unwrap().unwrap().last_used_at, expected);
        assert_eq!(accounts.runner(hash("r")).await.unwrap().unwrap().last_contact_at, expected);
    }
}

pub async fn tokens_and_runners_come_page_by_page(_: &dyn Database, accounts: &dyn Accounts) {
    for secret in ["a", "b", "c"] {
        accounts.create_token(new_token(secret)).await.unwrap();
        runner(accounts, secret, Reach::All).await;
    }
    let first = accounts.tokens(TokenId(0), 2).await.unwrap();
    let rest = accounts.tokens(first[1].id, 2).await.unwrap();
    let hashes: Vec<_> = first.iter().chain(&rest).map(|token| token.token_sha256).collect();
    assert_eq!(hashes, [hash("a"), hash("b"), hash("c")]);
    let first = accounts.runners(RunnerId(0), 2).await.unwrap();
    let rest = accounts.runners(first[1].id, 2).await.unwrap();
    let hashes: Vec<_> = first.iter().chain(&rest).map(|runner| runner.token_sha256).collect();
    assert_eq!(hashes, [hash("a"), hash("b"), hash("c")]);
}

pub async fn a_runner_is_as_it_was_made_and_can_be_revoked(_: &dyn Database, accounts: &dyn Accounts) {
    let made = runner(accounts, "r", Reach::These(vec![ProjectId(3)])).await;
    assert_eq!((made.description.as_str(), made.created_at), ("builds", NOW));
    assert_eq!((made.last_contact_at, made.revoked_at), (None, None));
    assert_eq!(accounts.runner(hash("r")).await.unwrap(), Some(made.clone()));
    assert_eq!(accounts.runner(hash("s")).await.unwrap(), None);
    for at in [5, 9] {
        let revoked = accounts.revoke_runner(made.id, NOW.plus_ms(at)).await.unwrap().unwrap();
        assert_eq!(revoked, Runner { revoked_at: Some(NOW.plus_ms(5)), ..made.clone() });
    }
    assert_eq!(accounts.revoke_runner(RunnerId(99), NOW).await.unwrap(), None);
}

pub async fn the_oldest_pending_job_goes_first_and_once(jobs: &dyn Database, accounts: &dyn Accounts) {
    let asks = runner(accounts, "r", Reach::All).await;
    let first = pending(jobs, "group/demo").await;
    running(jobs).await;
    let second = pending(jobs, "group/other").await;
    for (expected, secret) in [(Some(first.id), "1"), (Some(second.id), "2"), (None, "3")] {
        let taken = accounts.take_pending_job(asks.id, None, hash(secret), NOW).await.unwrap();
        assert_eq!(taken.map(|taken| taken.job.id), expected);
    }
}

pub async fn a_taken_job_has_a_new_token_and_its_payload(jobs: &dyn Database, accounts: &dyn Accounts) {
    let asks = runner(accounts, "r", Reach::All).await;
    for (before, said, after) in
        [(None, Some(true), Some(true)), (Some(false), None, Some(false)), (Some(true), Some(false), Some(false))]
    {
        let new = NewJob { trace_reset: before, ..new_job(JobStatus::Pending) };
        let waiting = jobs.create_job(new).await.unwrap();
        let at = NOW.plus_ms(5);
        let secret = format!("{}", waiting.id);
        let taken = accounts.take_pending_job(asks.id, said, hash(&secret), at).await.unwrap().unwrap();
        let expected = Job {
            status: JobStatus::Running,
            token_sha256: hash(&secret),
            trace_reset: after,
            started_at: Some(at),
            changed_at: at,
            last_contact_at: at,
            ..waiting
        };
        assert_eq!(taken.job, expected);
        assert_eq!(taken.payload, new_job(JobStatus::Pending).payload.unwrap());
        assert_eq!(job(jobs, expected.id).await, expected);
        assert_eq!(accounts.runner_of(expected.id).await.unwrap(), Some(asks.id));
    }
    let other = running(jobs).await;
    assert_eq!(accounts.runner_of(other).await.unwrap(), None);
}

pub async fn a_runner_gets_jobs_of_its_projects_alone(jobs: &dyn Database, accounts: &dyn Accounts) {
    let foreign = pending(jobs, "group/foreign").await;
    let own = pending(jobs, "group/own").await;
    let asks = runner(accounts, "r", Reach::These(vec![own.project])).await;
    let nothing = runner(accounts, "s", Reach::These(vec![])).await;
    assert_eq!(accounts.take_pending_job(nothing.id, None, hash("0"), NOW).await.unwrap(), None);
    let taken = accounts.take_pending_job(asks.id, None, hash("1"), NOW).await.unwrap().unwrap();
    assert_eq!(taken.job.id, own.id);
    assert_eq!(accounts.take_pending_job(asks.id, None, hash("2"), NOW).await.unwrap(), None);
    assert_eq!(job(jobs, foreign.id).await, foreign);
}

pub async fn a_revoked_or_unknown_runner_gets_nothing(jobs: &dyn Database, accounts: &dyn Accounts) {
    let waiting = pending(jobs, "group/demo").await;
    let revoked = runner(accounts, "r", Reach::All).await;
    accounts.revoke_runner(revoked.id, NOW).await.unwrap();
    for runner in [revoked.id, RunnerId(99)] {
        assert_eq!(accounts.take_pending_job(runner, None, hash("1"), NOW).await.unwrap(), None);
    }
    assert_eq!(job(jobs, waiting.id).await, waiting);
}

pub async fn what_is_not_pending_is_not_given(jobs: &dyn Database, accounts: &dyn Accounts) {
    let asks = runner(accounts, "r", Reach::All).await;
    let canceled = pending(jobs, "group/demo").await;
    jobs.cancel(canceled.id, NOW).await.unwrap();
    let ended = pending(jobs, "group/demo").await;
    jobs.end(ended.id, &success(), NOW, None).await.unwrap();
    running(jobs).await;
    assert_eq!(accounts.take_pending_job(asks.id, None, hash("1"), NOW).await.unwrap(), None);
    assert_eq!(job(jobs, ended.id).await.state, TraceState::Closing);
}

pub async fn projects_are_found_by_number_and_path(jobs: &dyn Database, accounts: &dyn Accounts) {
    for path in ["a", "b", "a"] {
        pending(jobs, path).await;
    }
    let all = accounts.projects(ProjectId(0), 10).await.unwrap();
    assert_eq!(all.iter().map(|project| project.path.as_str()).collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!(accounts.projects(all[0].id, 10).await.unwrap(), all[1..]);
    assert_eq!(accounts.projects(ProjectId(0), 1).await.unwrap(), all[..1]);
    for project in all {
        assert_eq!(accounts.project(project.id).await.unwrap().as_ref(), Some(&project));
        assert_eq!(accounts.project_at(&project.path).await.unwrap(), Some(project));
    }
    assert_eq!(accounts.project(ProjectId(99)).await.unwrap(), None);
    assert_eq!(accounts.project_at("A").await.unwrap(), None);
}

/// Eight runners of two nodes ask for twenty jobs all at once: every job is given once, to whom the database says.
#[tokio::test(flavor = "multi_thread")]
async fn of_many_that_ask_at_once_each_job_goes_to_one() {
    let (folder, one) = sqlite::open().await;
    let two = SqliteDatabase::open(&folder.path().join("veritail.db")).await.unwrap();
    let nodes = [Arc::new(one), Arc::new(two)];
    for _ in 0..20 {
        pending(nodes[0].as_ref(), "group/demo").await;
    }
    let mut tasks = JoinSet::new();
    for number in 0..8usize {
        let node = nodes[number % 2].clone();
        let asks = runner(node.as_ref(), &format!("runner {number}"), Reach::All).await;
        tasks.spawn(async move {
            let mut got = Vec::new();
            let mut round = 0;
            while let Some(taken) =
                node.take_pending_job(asks.id, None, hash(&format!("{number} {round}")), NOW).await.unwrap()
            {
                assert_eq!(taken.job.token_sha256, hash(&format!("{number} {round}")));
                assert_eq!(node.runner_of(taken.job.id).await.unwrap(), Some(asks.id));
                got.push(taken.job.id);
                round += 1;
            }
            got
        });
    }
    let mut all: Vec<JobId> = tasks.join_all().await.into_iter().flatten().collect();
    all.sort();
    assert_eq!(all, (1..=20).map(JobId).collect::<Vec<_>>());
}
