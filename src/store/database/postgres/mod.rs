//! PostgreSQL: the database of a set-up with several nodes.
//!
//! **Who waits for whom.** SQLite has one writer at a time; here statements of all nodes run at once, each on what was
//! committed when it began (READ COMMITTED). A statement that waited for a row sees that row as it is then, and all others
//! as they were before. So whatever writes a chunk's row first locks its job's row: shared if one statement says it all,
//! alone if something is read and decided first. A rewind changes the job's row, and so nothing is written beside it that
//! was decided on the epoch before. Locks are taken in the order job, chunks from the first to the last, mismatches, and of
//! several jobs or mismatches by number: nobody waits in a circle. A deadlock would still be done again.
//!
//! **What is done again** when the connection was lost and with it the answer ([`calls::Repeat`]):
//! - reading, and what finds its own change and says the same of it: `note_contacts`, `set_trace_reset`, `mark_installed`,
//!   `end`, `cancel`, `erase`, `deletion_done`, `open_chunk`, the plain case of `record`, `resolve_mismatch`, `renew` and
//!   `finish` of leases, revoking, notes of last use, and bytes under their key.
//! - not `persist`, `rewind`, `reopen`, `close`, filling a hole: they would say "somebody else was first" of their own
//!   change, and a migration that hears so deletes its object, which the row names by then. Not what counts or makes
//!   something: `open_mismatch`, `resolve_mismatches`, `create_*`, `rotate_token`, `take_pending_job`, `take`. Their callers
//!   get `Unavailable`, which is "not known", and look.

mod accounts;
mod bytes;
mod calls;
mod chunks;
mod drills;
mod erasure;
mod errors;
mod facts;
mod gauges;
mod jobs;
mod leases;
mod listing;
mod migrations;
mod mismatches;
mod pool;
mod record;
mod transitions;
mod verifications;

use std::time::Duration;

use async_trait::async_trait;
use sqlx::postgres::PgConnectOptions;

use super::rows::chunks::Sealing;
use super::waits::{Connections, Waited, Waits};
use super::{
    Backlog, Basis, Closing, Contact, CorruptTraces, Database, Deletion, Erased, Job, Mismatch, MismatchFilter, NAME,
    NewJob, NewMismatch, Note, Opened, Recorded, Resolution, Rewind, RowOpened, Unfinished, Waiting,
};
use crate::store::{Result, StoreError};
use crate::trace::{ChunkIndex, ChunkRow, Ending, Epoch, JobId, Location, Record, Timestamp, Version};
pub use bytes::ChunkBytes;
use errors::failed;
use pool::Pool;

/// How a node uses the server.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// The most connections at a time.
    pub pool_size: u32,
    /// How long a caller waits for a connection.
    pub acquire_timeout: Duration,
    /// How long a statement may take; half of it may be waiting for a lock.
    pub statement_timeout: Duration,
}

/// A PostgreSQL database. Cheap to clone; all clones share the connections.
#[derive(Clone)]
pub struct PostgresDatabase {
    pool: Pool,
    settings: Settings,
}

super::rows::cells!(sqlx::postgres::PgRow, failed);

impl PostgresDatabase {
    /// Connects to the database at `url` and brings its tables up to date.
    pub async fn connect(url: &str, settings: Settings) -> Result<Self> {
        let database = Self { pool: Pool::new(options(url)?, settings), settings };
        let mut held = database.pool.take(false).await?;
        // Its settings were changed for it, so it is not kept.
        migrations::run(&mut held.connection).await?;
        Ok(database)
    }

    /// The same, telling how long callers wait for a connection.
    #[must_use]
    pub fn telling_waits(mut self, waited: Waited) -> Self {
        self.pool.waits = Waits(Some(waited));
        self
    }

    /// How its connections are.
    pub fn connections(&self) -> Connections {
        self.pool.connections()
    }

    /// The bytes of chunks that the object store did not take.
    pub fn chunk_bytes(&self) -> ChunkBytes {
        ChunkBytes(self.clone())
    }

    /// Closes the connections that nobody uses; others close when their call has ended.
    pub async fn close(self) {
        self.pool.close().await;
    }
}

/// What the URL says. No error repeats it: it may hold a password.
fn options(url: &str) -> Result<PgConnectOptions> {
    let is_ours = ["postgres://", "postgresql://"].iter().any(|scheme| url.starts_with(scheme));
    let wrong = "this is no URL such as postgres://veritail@db.example.com:5432/veritail?sslmode=verify-full";
    if !is_ours {
        return Err(StoreError::unreadable(NAME, wrong));
    }
    let options: PgConnectOptions = url.parse().map_err(|error| match error {
        // What `sqlx` says of a parameter names it and its value alone; of anything else it could quote the URL.
        sqlx::Error::Configuration(error) if error.to_string().contains("ssl") => StoreError::unreadable(NAME, error),
        _ => StoreError::unreadable(NAME, wrong),
    })?;
    Ok(match options.get_application_name() {
        Some(_) => options,
        None => options.application_name("veritail"),
    })
}

#[async_trait]
impl Database for PostgresDatabase {
    async fn create_job(&self, new: NewJob) -> Result<Job> {
        jobs::create(self, new).await
    }

    async fn job(&self, job: JobId) -> Result<Option<Job>> {
        jobs::find(self, job).await
    }

    async fn unfinished_jobs(&self, after: JobId, limit: u32) -> Result<Vec<Job>> {
        jobs::unfinished(self, after, limit).await
    }

    async fn changed_jobs(&self, since: Timestamp, after: JobId, limit: u32) -> Result<Vec<Job>> {
        jobs::changed(self, since, after, limit).await
    }

    async fn note_contacts(&self, contacts: &[Contact], now: Timestamp) -> Result<()> {
        jobs::note_contacts(self, contacts, now).await
    }

    async fn set_trace_reset(&self, job: JobId, trace_reset: bool) -> Result<()> {
        jobs::set_trace_reset(self, job, trace_reset).await
    }

    async fn mark_installed(&self, job: JobId, epoch: Epoch) -> Result<bool> {
        jobs::mark_installed(self, job, epoch).await
    }

    async fn rewind(&self, job: JobId, rewind: &Rewind) -> Result<bool> {
        transitions::rewind(self, job, rewind).await
    }

    async fn end(&self, job: JobId, ending: &Ending, at: Timestamp, trace_reset: Option<bool>) -> Result<Option<Job>> {
        transitions::end(self, job, ending, at, trace_reset).await
    }

    async fn reopen(&self, job: JobId, epoch: Epoch, at: Timestamp) -> Result<bool> {
        transitions::reopen(self, job, epoch, at).await
    }

    async fn cancel(&self, job: JobId, at: Timestamp) -> Result<Option<Job>> {
        transitions::cancel(self, job, at).await
    }

    async fn erase(&self, job: JobId, by: &str, at: Timestamp, again_at: Timestamp) -> Result<Erased> {
        erasure::erase(self, job, by, at, again_at).await
    }

    async fn due_deletions(&self, now: Timestamp, limit: u32) -> Result<Vec<Deletion>> {
        erasure::due(self, now, limit).await
    }

    async fn deletion_done(&self, id: i64) -> Result<()> {
        erasure::done(self, id).await
    }

    async fn close(&self, job: JobId, epoch: Epoch, closing: &Closing) -> Result<bool> {
        transitions::close(self, job, epoch, closing).await
    }

    async fn open_chunk(&self, job: JobId, epoch: Epoch, index: ChunkIndex, at: Timestamp) -> Result<RowOpened> {
        chunks::open(self, job, epoch, index, at).await
    }

    async fn record(
        &self,
        job: JobId,
        epoch: Epoch,
        index: ChunkIndex,
        begun: Epoch,
        record: &Record,
        next: Option<ChunkIndex>,
        at: Timestamp,
    ) -> Result<Recorded> {
        let sealing = Sealing { job, epoch, index, begun, record, next, at };
        record::record(self, &sealing).await
    }

    async fn chunk(&self, job: JobId, index: ChunkIndex) -> Result<Option<ChunkRow>> {
        chunks::find(self, job, index).await
    }

    async fn chunks(&self, job: JobId, from: ChunkIndex, limit: u32) -> Result<Vec<ChunkRow>> {
        chunks::list(self, job, from, limit).await
    }

    async fn persist(
        &self,
        job: JobId,
        index: ChunkIndex,
        version: Version,
        to: &Location,
        at: Timestamp,
    ) -> Result<bool> {
        chunks::persist(self, job, index, version, to, at).await
    }

    async fn waiting(&self, until: Timestamp, limit: u32) -> Result<Vec<Waiting>> {
        chunks::waiting(self, until, limit).await
    }

    async fn backlog(&self) -> Result<Backlog> {
        gauges::backlog(self).await
    }

    async fn spilled(&self, limit: u32) -> Result<Vec<Waiting>> {
        chunks::spilled(self, limit).await
    }

    async fn spill(&self) -> Result<Backlog> {
        gauges::spill(self).await
    }

    async fn remove_unnamed_bytes(&self, grace: Duration) -> Result<u64> {
        bytes::remove_unnamed(self, grace).await
    }

    async fn unfinished(&self) -> Result<Unfinished> {
        gauges::unfinished(self).await
    }

    async fn open_mismatch(&self, mismatch: &NewMismatch, basis: Basis) -> Result<Opened> {
        mismatches::open(self, mismatch, basis).await
    }

    async fn resolve_mismatches(
        &self,
        job: JobId,
        chunk: Option<ChunkIndex>,
        resolution: Resolution,
        note: &Note,
        at: Timestamp,
    ) -> Result<u64> {
        mismatches::resolve(self, job, chunk, resolution, note, at).await
    }

    async fn resolve_mismatch(
        &self,
        id: i64,
        resolution: Resolution,
        note: &Note,
        at: Timestamp,
    ) -> Result<Option<Mismatch>> {
        mismatches::resolve_one(self, id, resolution, note, at).await
    }

    async fn mismatch(&self, id: i64) -> Result<Option<Mismatch>> {
        mismatches::find(self, id).await
    }

    async fn mismatches(&self, filter: MismatchFilter) -> Result<Vec<Mismatch>> {
        mismatches::list(self, filter).await
    }

    async fn due_notifications(&self, now: Timestamp, limit: u32) -> Result<Vec<Mismatch>> {
        mismatches::due_notifications(self, now, limit).await
    }

    async fn set_notification(&self, id: i64, next: Option<Timestamp>) -> Result<()> {
        mismatches::set_notification(self, id, next).await
    }

    async fn corrupt_traces(&self) -> Result<CorruptTraces> {
        mismatches::corrupt_traces(self).await
    }

    async fn ping(&self, limit: Duration) -> Result<()> {
        self.ask(limit).await
    }
}
