//! What a process stands on and leaves behind: its folder, its engines, its port.

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

use crate::support::production::Production;
use crate::support::redis_server::{Durability, RedisServer};

/// Which engines a process uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum On {
    /// What it comes with.
    Embedded,
    /// Redis, and else what it comes with.
    Redis,
    /// Redis, PostgreSQL and S3.
    Production,
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
    engines: Engines,
}

enum Engines {
    Embedded,
    Redis(RedisServer),
    Production(Box<Production>),
}

impl Ground {
    pub async fn new(on: On, pace: Pace) -> Self {
        let engines = match on {
            On::Embedded => Engines::Embedded,
            On::Redis => Engines::Redis(RedisServer::start(Durability::Nothing)),
            On::Production => Engines::Production(Box::new(Production::start().await)),
        };
        Self { pace, port: 0, folder: tempfile::tempdir().expect("a folder"), engines }
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// What the processes say of themselves, one after the other.
    pub fn log(&self) -> PathBuf {
        self.folder().join("stderr.txt")
    }

    /// What tells a process of its engines.
    pub fn variables(&self) -> Vec<(String, String)> {
        match &self.engines {
            Engines::Embedded => Vec::new(),
            Engines::Redis(redis) => vec![("VERITAIL_REDIS_URL".to_owned(), redis.url())],
            Engines::Production(production) => production.variables(production.s3_port()),
        }
    }

    pub fn redis_url(&self) -> Option<String> {
        match &self.engines {
            Engines::Embedded => None,
            Engines::Redis(redis) => Some(redis.url()),
            Engines::Production(production) => Some(production.redis.url()),
        }
    }

    /// The stores themselves, to look at and to harm. No process runs meanwhile: the embedded store has one owner.
    pub async fn open(&self) -> Stores {
        let live: Arc<dyn LiveStore> = match &self.engines {
            Engines::Production(production) => return production.stores().await,
            Engines::Redis(redis) => Arc::new(RedisLive::connect(&redis.url(), false).await.expect("Redis answers")),
            Engines::Embedded => {
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
            drills: Arc::new(database.clone()),
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
