//! SQLite: the database of a set-up without servers, one file in WAL mode.
//!
//! Writers queue in front of one connection, so they never wait for each other inside SQLite, and what every chunk needs
//! is committed [`together`]; between several handles on
//! the same file (several nodes on one machine) SQLite's own busy timeout makes them wait. Readers have connections of
//! their own and wait for nobody. Every commit is synced to the disk: a live copy is released because the row that names
//! its successor is committed.
//!
//! Every limit is `LIMIT ?1 + 0`, also in the statements of [`rows`](super::rows). SQLite (3.51) looks at a bare `LIMIT ?1` when it
//! plans, so that each binding makes it prepare the statement anew: longer than most of them take.

mod accounts;
mod bytes;
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
mod record;
mod together;
mod transitions;
mod verifications;

use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;
use sqlx::pool::PoolConnection;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{Sqlite, Transaction};

use super::rows::chunks::Sealing;
use super::waits::{Connections, Waited, Waits};
use super::{
    Backlog, Basis, Closing, Contact, CorruptTraces, Database, Deletion, Erased, Job, Mismatch, MismatchFilter, NAME,
    NewJob, NewMismatch, Note, Opened, Recorded, Resolution, Rewind, RowOpened, Unfinished, Waiting,
};
use crate::seams::Clock as _;
use crate::seams::real::SystemClock;
use crate::store::{Result, StoreError};
use crate::trace::{ChunkIndex, ChunkRow, Ending, Epoch, JobId, Location, Record, Timestamp, Version};
pub use bytes::ChunkBytes;
use errors::{failed, is_busy};

/// How long a statement waits for writers of other handles, and a caller for a connection.
const PATIENCE: Duration = Duration::from_secs(30);
/// Tries to open a file that others make at the same moment, and the time between two: ten seconds.
const TRIES: u32 = 500;
const BETWEEN_TRIES: Duration = Duration::from_millis(20);
/// Connections for reading.
const READERS: u32 = 4;
/// What each of them caches, as SQLite takes it: 512 KiB. The system caches the file as well.
const READER_CACHE: &str = "-512";

/// Connects. Of several nodes that open a new file at the same moment one changes it to write ahead of the file, and SQLite does
/// not let the others wait for that.
async fn once_free<C: Future<Output = sqlx::Result<SqlitePool>>>(connect: impl Fn() -> C) -> Result<SqlitePool> {
    for _ in 0..TRIES {
        match connect().await {
            Err(error) if is_busy(&error) => SystemClock.sleep(BETWEEN_TRIES).await,
            connected => return connected.map_err(failed),
        }
    }
    connect().await.map_err(failed)
}

/// An open database file. Cheap to clone; all clones share the connections.
#[derive(Clone)]
pub struct SqliteDatabase {
    writer: SqlitePool,
    readers: SqlitePool,
    together: together::Together,
    waits: Waits,
}

impl SqliteDatabase {
    /// Opens the file, makes it if it is not there, and brings its tables up to date.
    pub async fn open(path: &Path) -> Result<Self> {
        let file = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(PATIENCE);
        let pool = || {
            SqlitePoolOptions::new()
                .acquire_timeout(PATIENCE)
                .idle_timeout(None)
                .max_lifetime(None)
                .test_before_acquire(false)
        };
        let writer = once_free(|| pool().max_connections(1).connect_with(file.clone())).await?;
        migrations::run(&writer).await?;
        let readers = pool()
            .max_connections(READERS)
            .connect_with(file.pragma("query_only", "on").pragma("cache_size", READER_CACHE));
        Ok(Self {
            writer,
            readers: readers.await.map_err(failed)?,
            together: together::Together::default(),
            waits: Waits::default(),
        })
    }

    /// The same, telling how long callers wait for a connection.
    #[must_use]
    pub fn telling_waits(self, waited: Waited) -> Self {
        Self { waits: Waits(Some(waited)), ..self }
    }

    /// How its connections are.
    pub fn connections(&self) -> Connections {
        let pools = [&self.writer, &self.readers];
        let idle = pools.iter().map(|pool| pool.num_idle() as u64).sum();
        let open: u64 = pools.iter().map(|pool| u64::from(pool.size())).sum();
        Connections { idle, in_use: open.saturating_sub(idle), most: 1 + u64::from(READERS) }
    }

    /// The bytes of chunks that the object store did not take.
    pub fn chunk_bytes(&self) -> ChunkBytes {
        ChunkBytes(self.clone())
    }

    /// Waits for what is under way and closes the file.
    pub async fn close(self) {
        self.readers.close().await;
        self.writer.close().await;
    }

    /// A connection for reading.
    async fn reader(&self) -> Result<PoolConnection<Sqlite>> {
        self.waits.told(self.readers.acquire()).await.map_err(failed)
    }

    /// The connection for writing.
    async fn writing(&self) -> Result<PoolConnection<Sqlite>> {
        self.waits.told(self.writer.acquire()).await.map_err(failed)
    }

    /// A transaction that holds SQLite's write lock from its start, so that what it reads stays true until it commits.
    async fn begin(&self) -> Result<Transaction<'static, Sqlite>> {
        self.waits.told(self.writer.begin_with("BEGIN IMMEDIATE")).await.map_err(failed)
    }
}

crate::store::database::rows::cells!(sqlx::sqlite::SqliteRow, failed);

#[async_trait]
impl Database for SqliteDatabase {
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
        self.commit(together::Write::Persist { job, index, version, to: to.clone(), at })
            .await
            .map(|taken| taken.is_some())
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
        let question = sqlx::query("SELECT count(*) FROM projects WHERE id = 0").execute(&self.readers);
        #[allow(clippy::disallowed_methods, reason = "the limit is the machine's: a file system that hangs")]
        let answer = tokio::time::timeout(limit, question).await;
        match answer {
            Ok(answer) => answer.map(drop).map_err(failed),
            Err(late) => Err(StoreError::unavailable(NAME, late)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::{ByteSize, ChunkSize, JobStatus};

    #[tokio::test]
    async fn a_full_disk_is_full_and_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let db = SqliteDatabase::open(&folder.path().join("veritail.db")).await.unwrap();
        let new = NewJob {
            project_path: "group/demo".to_owned(),
            name: "rspec".to_owned(),
            token_sha256: [0; 32],
            status: JobStatus::Running,
            payload: None,
            chunk_size: ChunkSize::DEFAULT,
            trace_limit: ByteSize::ZERO,
            trace_reset: None,
            at: Timestamp(0),
        };
        let job = db.create_job(new).await.unwrap().id;
        sqlx::query("PRAGMA max_page_count = 1").execute(&db.writer).await.unwrap();
        for index in (0..10_000).map(ChunkIndex) {
            let record = Record::of(b"log");
            match db.record(job, Epoch::FIRST, index, Epoch::FIRST, &record, None, Timestamp(0)).await {
                Ok(_) => {}
                Err(error) => {
                    assert!(matches!(error, StoreError::Full { store: "database", .. }), "{error}");
                    assert_eq!(db.chunk(job, index).await.unwrap(), None);
                    return;
                }
            }
        }
        panic!("never full");
    }
}
