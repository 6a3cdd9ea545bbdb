//! Group commit: the two writes that every chunk needs share transactions, and so one sync of the disk.
//!
//! Many runners that begin together also fill their chunks together; one after the other each would wait for the syncs of
//! all before it. Whoever gets the connection takes along what waits by then, and answers for it after the commit, so an
//! answer means what it always meant. A caller that goes away takes its write with it, unless somebody runs it already.

use std::sync::{Arc, Mutex, PoisonError};

use futures::future::{Either, select};
use sqlx::{Connection as _, SqliteConnection};
use tokio::sync::oneshot;

use super::errors::failed;
use super::{NAME, SqliteDatabase, chunks, record};
use crate::store::database::rows::chunks::Sealing;
use crate::store::{Result, StoreError};
use crate::trace::{ChunkIndex, Epoch, JobId, Location, Record, Timestamp, Version};

/// The most writes in one transaction, so that the first of them does not wait for long.
const TOGETHER_MAX: usize = 256;

/// A statement that says by the version of the row that it changed whether it was taken.
#[derive(Clone, Debug)]
pub(super) enum Write {
    /// A chunk's record, and the rows of the next two chunks.
    Seal {
        job: JobId,
        epoch: Epoch,
        index: ChunkIndex,
        begun: Epoch,
        record: Record,
        next: Option<ChunkIndex>,
        at: Timestamp,
    },
    /// Where a chunk's persistent copy is.
    Persist { job: JobId, index: ChunkIndex, version: Version, to: Location, at: Timestamp },
}

impl Write {
    async fn run(&self, connection: &mut SqliteConnection) -> Result<Option<Version>> {
        match self {
            Self::Seal { job, epoch, index, begun, record, next, at } => {
                let (job, epoch, index, begun, next, at) = (*job, *epoch, *index, *begun, *next, *at);
                let sealing = Sealing { job, epoch, index, begun, record, next, at };
                record::seal_open(connection, &sealing).await
            }
            Self::Persist { job, index, version, to, at } => {
                chunks::persist(connection, *job, *index, *version, to, *at).await
            }
        }
    }
}

struct Waiting {
    write: Write,
    answer: oneshot::Sender<Result<Option<Version>>>,
}

/// Writes that wait for the connection; shared by all clones of a handle.
#[derive(Clone, Default)]
pub(super) struct Together(Arc<Mutex<Vec<Waiting>>>);

impl Together {
    fn add(&self, write: Write) -> oneshot::Receiver<Result<Option<Version>>> {
        let (answer, answered) = oneshot::channel();
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(Waiting { write, answer });
        answered
    }

    /// The longest waiting, without those whose callers went away.
    fn take(&self) -> Vec<Waiting> {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.retain(|waiting| !waiting.answer.is_closed());
        let count = waiting.len().min(TOGETHER_MAX);
        waiting.drain(..count).collect()
    }
}

impl SqliteDatabase {
    /// Commits `write`, alone or together with others. The version that its row has now, if it was taken.
    pub(super) async fn commit(&self, write: Write) -> Result<Option<Version>> {
        let mut answered = self.together.add(write);
        loop {
            let turn = std::pin::pin!(self.writing());
            match select(&mut answered, turn).await {
                // Whoever ran it went away in the middle of it: as with an answer that got lost, nobody knows.
                Either::Left((answer, _)) => {
                    return answer.unwrap_or_else(|_| Err(StoreError::unavailable(NAME, "a commit was broken off")));
                }
                Either::Right((connection, _)) => {
                    let mut connection = connection?;
                    run(&mut connection, self.together.take()).await;
                }
            }
        }
    }
}

/// Runs all of them and tells each what came of it.
async fn run(connection: &mut SqliteConnection, waiting: Vec<Waiting>) {
    if waiting.len() > 1 {
        match in_one_transaction(connection, &waiting).await {
            Ok(taken) => return waiting.into_iter().zip(taken).for_each(|(one, taken)| tell(one, Ok(taken))),
            // What is on the disk is not known: none of them may be tried again here.
            Err(Broken::Commit(error)) => {
                return waiting.into_iter().for_each(|one| tell(one, Err(error.clone())));
            }
            // One of them is the reason, and nothing was changed: each gets an answer of its own.
            Err(Broken::Before) => {}
        }
    }
    for one in waiting {
        let taken = one.write.run(connection).await;
        tell(one, taken);
    }
}

fn tell(waiting: Waiting, taken: Result<Option<Version>>) {
    // A caller that went away meanwhile needs no answer; its write is as good as any.
    let _gone = waiting.answer.send(taken);
}

enum Broken {
    Before,
    Commit(StoreError),
}

async fn in_one_transaction(
    connection: &mut SqliteConnection,
    waiting: &[Waiting],
) -> std::result::Result<Vec<Option<Version>>, Broken> {
    let begun = connection.begin_with("BEGIN IMMEDIATE").await;
    let mut transaction = begun.map_err(|_| Broken::Before)?;
    let mut taken = Vec::with_capacity(waiting.len());
    for one in waiting {
        match one.write.run(&mut transaction).await {
            Ok(changed) => taken.push(changed),
            Err(_) => {
                return match transaction.rollback().await {
                    Ok(()) => Err(Broken::Before),
                    Err(error) => Err(Broken::Commit(failed(error))),
                };
            }
        }
    }
    transaction.commit().await.map_err(|error| Broken::Commit(failed(error)))?;
    Ok(taken)
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;
    use futures::future::join_all;

    use super::*;
    use crate::store::database::{Database as _, NewJob};
    use crate::trace::{ByteSize, ChunkSize, JobStatus};

    const FIRST: ChunkIndex = ChunkIndex(0);

    async fn open(jobs: usize) -> (tempfile::TempDir, SqliteDatabase, Vec<JobId>) {
        let folder = tempfile::tempdir().unwrap();
        let database = SqliteDatabase::open(&folder.path().join("veritail.db")).await.unwrap();
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
        let mut ids = Vec::new();
        for _ in 0..jobs {
            ids.push(database.create_job(new.clone()).await.unwrap().id);
        }
        (folder, database, ids)
    }

    fn seal(job: JobId, record: Record) -> Write {
        let epoch = Epoch::FIRST;
        Write::Seal { job, epoch, index: FIRST, begun: epoch, record, next: None, at: Timestamp(1) }
    }

    fn waiting(database: &SqliteDatabase) -> usize {
        database.together.0.lock().unwrap().len()
    }

    async fn commits(database: &SqliteDatabase, all: Vec<Write>) -> Vec<Result<Option<Version>>> {
        // Nobody gets the connection before all of them wait for it.
        let held = database.writer.acquire().await.unwrap();
        let count = all.len();
        let mut all = join_all(all.into_iter().map(|write| database.commit(write)));
        assert!((&mut all).now_or_never().is_none());
        assert_eq!(waiting(database), count);
        drop(held);
        all.await
    }

    #[tokio::test]
    async fn what_waits_for_the_connection_is_taken_along() {
        let (_folder, database, jobs) = open(20).await;
        let record = Record::of(b"log");
        let sealed = commits(&database, jobs.iter().map(|job| seal(*job, record)).collect()).await;
        assert!(sealed.iter().all(|taken| matches!(taken, Ok(Some(Version::FIRST)))), "{sealed:?}");
        assert_eq!(waiting(&database), 0);
        for job in jobs {
            assert_eq!(database.chunk(job, FIRST).await.unwrap().unwrap().record(), Some(&record));
        }
    }

    #[tokio::test]
    async fn one_that_fails_or_is_not_taken_does_not_keep_the_others_from_their_own_answers() {
        let (_folder, database, jobs) = open(3).await;
        let record = Record::of(b"log");
        let bad = Record { size: ByteSize(u64::MAX), ..record };
        let all = vec![seal(jobs[0], record), seal(jobs[1], bad), seal(JobId(99), record), seal(jobs[2], record)];
        let answers = commits(&database, all).await;
        assert!(matches!(answers[..], [Ok(Some(_)), Err(_), Ok(None), Ok(Some(_))]), "{answers:?}");
        assert!(database.chunk(jobs[1], FIRST).await.unwrap().is_none());
        assert!(database.chunk(jobs[2], FIRST).await.unwrap().is_some());
    }

    #[tokio::test]
    async fn whoever_goes_away_takes_its_write_along_and_leaves_the_others_theirs() {
        let (_folder, database, jobs) = open(2).await;
        let held = database.writer.acquire().await.unwrap();
        let mut gone = Box::pin(database.commit(seal(jobs[0], Record::of(b"gone"))));
        let mut stays = Box::pin(database.commit(seal(jobs[1], Record::of(b"stays"))));
        assert!((&mut gone).now_or_never().is_none() && (&mut stays).now_or_never().is_none());
        drop(gone);
        drop(held);
        assert_eq!(stays.await.unwrap(), Some(Version::FIRST));
        assert!(database.chunk(jobs[0], FIRST).await.unwrap().is_none());
    }
}
