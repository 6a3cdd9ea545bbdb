//! What a process stands on and leaves behind: its folder, its Redis, its port.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tempfile::TempDir;
use veritail::pipeline::Stores;
use veritail::seams::real::SystemClock;
use veritail::store::database::sqlite::SqliteDatabase;
use veritail::store::live::LiveStore;
use veritail::store::live::embedded::EmbeddedLive;
use veritail::store::live::redis::RedisLive;
use veritail::store::object::bucket::Bucket;

use crate::support::redis_server::{Durability, RedisServer};

/// Which live store a process uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Live {
    Embedded,
    Redis,
}

/// How busy a process is beside its requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// One sweep at its start and then none, one migration at a time: what is under way at a moment is known.
    Quiet,
    /// Sweeps all the time.
    Busy,
}

/// Small, so that a short log has many chunks.
pub const CHUNK_SIZE: usize = 4096;

pub struct Ground {
    pub pace: Pace,
    /// The port of every process but the first, which takes a free one.
    pub port: u16,
    folder: TempDir,
    redis: Option<RedisServer>,
}

impl Ground {
    pub fn new(live: Live, pace: Pace) -> Self {
        let redis = (live == Live::Redis).then(|| RedisServer::start(Durability::Nothing));
        Self { pace, port: 0, folder: tempfile::tempdir().expect("a folder"), redis }
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// What the processes say of themselves, one after the other.
    pub fn log(&self) -> PathBuf {
        self.folder().join("stderr.txt")
    }

    pub fn redis_url(&self) -> Option<String> {
        self.redis.as_ref().map(RedisServer::url)
    }

    /// The stores themselves, to look at and to harm. No process runs meanwhile: the embedded store has one owner.
    pub async fn open(&self) -> Stores {
        let live: Arc<dyn LiveStore> = match self.redis_url() {
            Some(url) => Arc::new(RedisLive::connect(&url, false).await.expect("Redis answers")),
            None => {
                let live = EmbeddedLive::open(&self.folder().join("live"), Arc::new(SystemClock));
                Arc::new(live.expect("the folder opens after a crash"))
            }
        };
        let database = SqliteDatabase::open(&self.folder().join("veritail.db")).await.expect("the database opens");
        let objects = Bucket::folder(&self.folder().join("objects")).expect("the objects are there");
        Stores {
            live,
            objects: Arc::new(objects),
            spill: Arc::new(database.chunk_bytes()),
            leases: Arc::new(database.clone()),
            verifications: Arc::new(database.clone()),
            database: Arc::new(database),
        }
    }
}

impl Drop for Ground {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = std::fs::read_to_string(self.log()).unwrap_or_default();
            let lines: Vec<&str> = log.lines().collect();
            eprintln!("the end of what the processes said:\n{}", lines[lines.len().saturating_sub(40)..].join("\n"));
        }
    }
}
