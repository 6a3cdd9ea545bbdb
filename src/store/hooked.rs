//! One wrapper around every store: measuring, recording, delays and faults are hooks over it.
//!
//! A wrapped store keeps the contract of the store inside. What a hook adds is an error before the call, which then has
//! no effect, or one after it, which takes away the answer and not the effect: the two ways in which a network fails.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::{self, StreamExt as _, TryStreamExt as _};

use super::database::accounts::{Accounts, ApiToken, NewRunner, NewToken, Project, Runner, RunnerId, Taken, TokenId};
use super::database::drills::{Drill, DrillFilter, DrillId, Drills, NewDrill};
use super::database::leases::{Generation, Leases, When};
use super::database::listing::{
    JobFilter, Listed as ListedPage, ListedProject, Listing, Page, ProjectFilter, ProjectName,
};
use super::database::verifications::{Cursor, Named, NewRun, Place, Run, RunEnd, RunFilter, RunId, Verifications};
use super::database::{
    Backlog, Basis, Closing, Contact, CorruptTraces, Database, Deletion, Erased, Job, Mismatch, MismatchFilter, NewJob,
    NewMismatch, Note, Opened, Recorded, Resolution, Rewind, RowOpened, Unfinished, Waiting,
};
use super::live::{Append, Entry, LiveCopy, LiveStore, LiveTrace, LiveUsage, Outcome, ScanPage};
use super::object::{ObjectStore, Objects};
use super::{Result, StoreError};
use crate::seams::Clock;
use crate::trace::{
    ByteSize, ChunkId, ChunkIndex, ChunkRow, DataStore, Ending, Epoch, JobId, JobStatus, Location, ProjectId, Record,
    RunState, Sha256, Tally, Timestamp, Version,
};

/// A call to a store, as hooks see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Call {
    /// The store's role: `live`, `database` or `object_store`.
    pub store: &'static str,
    /// The method of the store's trait.
    pub operation: &'static str,
    /// The job, where the arguments name exactly one. An object's key is not taken apart for it.
    pub job: Option<JobId>,
}

/// Stands on both sides of every call.
#[async_trait]
pub trait Hook: Send + Sync {
    /// Before the store is asked. An error: the call fails without an effect.
    async fn before(&self, call: &Call) -> Result<()>;

    /// After the store answered. An error: the effect (if any) happened, its answer is lost. Not told of a call that its
    /// caller gave up while it was under way.
    async fn after(&self, call: &Call, took: Duration, failed: Option<&StoreError>) -> Result<()>;
}

/// A store with a hook around every call that asks it something.
pub struct Hooked<S: ?Sized> {
    inner: Arc<S>,
    hook: Arc<dyn Hook>,
    clock: Arc<dyn Clock>,
}

impl<S: ?Sized> Hooked<S> {
    /// `inner` with `hook` around its calls; `clock` measures how long they take.
    pub fn new(inner: Arc<S>, hook: Arc<dyn Hook>, clock: Arc<dyn Clock>) -> Self {
        Self { inner, hook, clock }
    }

    async fn around<T>(&self, call: Call, work: impl Future<Output = Result<T>> + Send) -> Result<T> {
        self.hook.before(&call).await?;
        let begun = self.clock.passed();
        let answer = work.await;
        let took = self.clock.passed().saturating_sub(begun);
        self.hook.after(&call, took, answer.as_ref().err()).await?;
        answer
    }
}

impl Hooked<dyn ObjectStore> {
    /// A listing is one call, from its first object asked for to its end or its error. Its time is its reader's too.
    fn around_listing(&self, call: Call, list: impl FnOnce() -> Objects + Send + 'static) -> Objects {
        let (hook, clock) = (self.hook.clone(), self.clock.clone());
        let begun = {
            let (hook, clock) = (hook.clone(), clock.clone());
            async move { hook.before(&call).await.map(|()| (list(), clock.passed())) }
        };
        let listed = stream::once(begun).map_ok(move |(listed, begun)| {
            stream::unfold((Some(listed), hook.clone(), clock.clone()), move |(listed, hook, clock)| async move {
                let mut listed = listed?;
                let next = listed.next().await;
                if let Some(Ok(object)) = next {
                    return Some((Ok(object), (Some(listed), hook, clock)));
                }
                let failed = next.and_then(Result::err);
                let took = clock.passed().saturating_sub(begun);
                let told = hook.after(&call, took, failed.as_ref()).await;
                let error = told.err().or(failed)?;
                Some((Err(error), (None, hook, clock)))
            })
        });
        listed.try_flatten().boxed()
    }
}

/// Implements a store's trait by calling the store inside between the hooks: per method its arguments, its answer, and
/// the job that the call is about.
macro_rules! hooked {
    ($store:literal, $trait:ident { $($plain:tt)* } $(
        $method:ident($($argument:ident: $type:ty),*) -> $answer:ty, $job:expr;
    )+) => {
        #[async_trait]
        impl $trait for Hooked<dyn $trait> {
            $($plain)*

            $(async fn $method(&self, $($argument: $type),*) -> Result<$answer> {
                let call = Call { store: $store, operation: stringify!($method), job: $job };
                self.around(call, self.inner.$method($($argument),*)).await
            })+
        }
    };
}

hooked! { "live", LiveStore {
    fn name(&self) -> DataStore {
        self.inner.name()
    }
}
    load(job: JobId) -> Option<LiveTrace>, Some(job);
    append(job: JobId, append: Append) -> Outcome, Some(job);
    replace(
        job: JobId, expected: Option<Bytes>, next: &Entry, status: JobStatus, expires: Option<Duration>
    ) -> Outcome, Some(job);
    set_status(job: JobId, status: JobStatus) -> bool, Some(job);
    watch(job: JobId, until: Timestamp) -> (), Some(job);
    read_chunk(job: JobId, chunk: ChunkId) -> Option<Bytes>, Some(job);
    read_open(job: JobId, chunk: ChunkId) -> LiveCopy, Some(job);
    present(copies: &[(JobId, ChunkId)]) -> BTreeSet<(JobId, ChunkId)>, None;
    release(job: JobId, chunk: ChunkId, grace: Duration) -> (), Some(job);
    scan(from: Option<Vec<u8>>, limit: usize) -> ScanPage, None;
    usage() -> LiveUsage, None;
    ping() -> (), None;
}

hooked! { "database", Database {}
    create_job(new: NewJob) -> Job, None;
    job(job: JobId) -> Option<Job>, Some(job);
    unfinished_jobs(after: JobId, limit: u32) -> Vec<Job>, None;
    changed_jobs(since: Timestamp, after: JobId, limit: u32) -> Vec<Job>, None;
    note_contacts(contacts: &[Contact], now: Timestamp) -> (), None;
    set_trace_reset(job: JobId, trace_reset: bool) -> (), Some(job);
    mark_installed(job: JobId, epoch: Epoch) -> bool, Some(job);
    rewind(job: JobId, rewind: &Rewind) -> bool, Some(job);
    end(job: JobId, ending: &Ending, at: Timestamp, trace_reset: Option<bool>) -> Option<Job>, Some(job);
    reopen(job: JobId, epoch: Epoch, at: Timestamp) -> bool, Some(job);
    cancel(job: JobId, at: Timestamp) -> Option<Job>, Some(job);
    close(job: JobId, epoch: Epoch, closing: &Closing) -> bool, Some(job);
    erase(job: JobId, by: &str, at: Timestamp, again_at: Timestamp) -> Erased, Some(job);
    due_deletions(now: Timestamp, limit: u32) -> Vec<Deletion>, None;
    deletion_done(id: i64) -> (), None;
    open_chunk(job: JobId, epoch: Epoch, index: ChunkIndex, at: Timestamp) -> RowOpened, Some(job);
    record(
        job: JobId, epoch: Epoch, index: ChunkIndex, begun: Epoch, record: &Record, next: Option<ChunkIndex>, at: Timestamp
    ) -> Recorded, Some(job);
    chunk(job: JobId, index: ChunkIndex) -> Option<ChunkRow>, Some(job);
    chunks(job: JobId, from: ChunkIndex, limit: u32) -> Vec<ChunkRow>, Some(job);
    persist(job: JobId, index: ChunkIndex, version: Version, to: &Location, at: Timestamp) -> bool, Some(job);
    waiting(until: Timestamp, limit: u32) -> Vec<Waiting>, None;
    backlog() -> Backlog, None;
    spilled(limit: u32) -> Vec<Waiting>, None;
    spill() -> Backlog, None;
    remove_unnamed_bytes(grace: Duration) -> u64, None;
    unfinished() -> Unfinished, None;
    open_mismatch(mismatch: &NewMismatch, basis: Basis) -> Opened, Some(mismatch.job);
    resolve_mismatches(
        job: JobId, chunk: Option<ChunkIndex>, resolution: Resolution, note: &Note, at: Timestamp
    ) -> u64, Some(job);
    resolve_mismatch(id: i64, resolution: Resolution, note: &Note, at: Timestamp) -> Option<Mismatch>, None;
    mismatch(id: i64) -> Option<Mismatch>, None;
    mismatches(filter: MismatchFilter) -> Vec<Mismatch>, filter.job;
    due_notifications(now: Timestamp, limit: u32) -> Vec<Mismatch>, None;
    set_notification(id: i64, next: Option<Timestamp>) -> (), None;
    corrupt_traces() -> CorruptTraces, None;
    ping(limit: Duration) -> (), None;
}

hooked! { "database", Leases {}
    take(name: &str, holder: &str, time: Duration, when: When) -> Option<Generation>, None;
    renew(name: &str, turn: Generation, time: Duration) -> bool, None;
    finish(name: &str, turn: Generation, next_in: Duration) -> (), None;
}

hooked! { "database", Verifications {}
    begin_run(new: &NewRun) -> Run, None;
    note_progress(run: RunId, tally: &Tally, at: Timestamp) -> bool, None;
    end_run(run: RunId, state: RunState, message: Option<&str>, tally: &Tally, at: Timestamp) -> (), None;
    ask_to_stop(run: RunId, by: &str) -> Option<Run>, None;
    run(run: RunId) -> Option<Run>, None;
    runs(filter: RunFilter) -> Vec<Run>, None;
    end_silent_runs(silent_since: Timestamp, message: &str, at: Timestamp) -> u64, None;
    remove_runs(before: Timestamp) -> u64, None;
    cursors() -> Vec<Cursor>, None;
    first_cursor(cursor: &Cursor) -> Cursor, None;
    save_cursor(cursor: &Cursor) -> bool, None;
    next_cycle(next: &Cursor, ended: &RunEnd) -> bool, None;
    passed_jobs(from: JobId, to: JobId) -> Vec<(JobId, Option<Job>)>, None;
    kept_chunks(at: Place, to: JobId, limit: u32) -> Vec<(JobId, ChunkRow)>, None;
    kept_places(at: Place, to: JobId, limit: u32) -> Vec<Place>, None;
    persisted_since(
        since: Timestamp, after: Option<(Timestamp, Place)>, limit: u32
    ) -> Vec<(JobId, ChunkRow)>, None;
    named(store: DataStore, prefix: &str, after: Option<&str>, limit: u32) -> Vec<Named>, None;
    newest_job() -> JobId, None;
    first_job_since(since: Timestamp) -> JobId, None;
}

hooked! { "database", Drills {}
    announce(new: &NewDrill) -> DrillId, Some(new.job);
    note_damaged(drill: DrillId, at: Timestamp) -> (), None;
    call_off(drill: DrillId, at: Timestamp) -> (), None;
    damage_record(drill: DrillId, version: Version, wrong: Sha256) -> bool, None;
    drill(drill: DrillId) -> Option<Drill>, None;
    drills(filter: &DrillFilter) -> Vec<Drill>, filter.job;
    settle_drills(now: Timestamp) -> Vec<Drill>, None;
    canary_jobs(limit: u32) -> Vec<Job>, None;
    remove_canary_jobs(before: Timestamp) -> u64, None;
}

hooked! { "database", Listing {}
    project(name: &ProjectName) -> Option<ListedProject>, None;
    projects(filter: &ProjectFilter, page: Page) -> ListedPage<ListedProject>, None;
    jobs(filter: &JobFilter, page: Page) -> ListedPage<Job>, None;
}

hooked! { "database", Accounts {}
    create_token(new: NewToken) -> ApiToken, None;
    token(token_sha256: [u8; 32]) -> Option<ApiToken>, None;
    tokens(after: TokenId, limit: u32) -> Vec<ApiToken>, None;
    revoke_token(token: TokenId, at: Timestamp) -> Option<ApiToken>, None;
    rotate_token(
        token: TokenId, token_sha256: [u8; 32], expires_at: Option<Timestamp>, at: Timestamp
    ) -> Option<ApiToken>, None;
    note_token_uses(uses: &[(TokenId, Timestamp)]) -> (), None;
    create_runner(new: NewRunner) -> Runner, None;
    runner(token_sha256: [u8; 32]) -> Option<Runner>, None;
    runners(after: RunnerId, limit: u32) -> Vec<Runner>, None;
    revoke_runner(runner: RunnerId, at: Timestamp) -> Option<Runner>, None;
    note_runner_contacts(contacts: &[(RunnerId, Timestamp)]) -> (), None;
    take_pending_job(
        runner: RunnerId, trace_reset: Option<bool>, new_token_sha256: [u8; 32], at: Timestamp
    ) -> Option<Taken>, None;
    runner_of(job: JobId) -> Option<RunnerId>, Some(job);
    project(project: ProjectId) -> Option<Project>, None;
    project_at(path: &str) -> Option<Project>, None;
    projects(after: ProjectId, limit: u32) -> Vec<Project>, None;
}

hooked! { "object_store", ObjectStore {
    fn list(&self, prefix: &str) -> Objects {
        let (inner, prefix) = (self.inner.clone(), prefix.to_owned());
        let call = Call { store: "object_store", operation: "list", job: None };
        self.around_listing(call, move || inner.list(&prefix))
    }

    async fn drop_cache(&self, key: &str) {
        self.inner.drop_cache(key).await;
    }

    fn give_up(&self, key: &str) {
        self.inner.give_up(key);
    }

    fn keeps_versions(&self) -> bool {
        self.inner.keeps_versions()
    }
}
    put(key: &str, bytes: Bytes) -> (), None;
    get(key: &str, most: ByteSize) -> Option<Bytes>, None;
    delete(key: &str) -> (), None;
    delete_below(prefix: &str) -> u64, None;
    remove_lost_attempts() -> u64, None;
    ping() -> (), None;
}
