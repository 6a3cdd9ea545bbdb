//! The engines of production for one test: a Redis of its own, and a database and a bucket on servers that tests share.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use veritail::pipeline::Stores;
use veritail::seams::real::SystemClock;
use veritail::store::live::redis::RedisLive;
use veritail::store::object::bucket::{Bucket, Options};

use super::postgres_server::{PostgresServer, TestDatabase};
use super::redis_server::{Durability, RedisServer};
use super::weed::Weed;

/// Settings: small chunks, and what takes minutes in production in seconds.
pub const IN_SECONDS: &[(&str, &str)] = &[
    ("VERITAIL_CHUNK_SIZE", "4096"),
    ("VERITAIL_GAUGE_INTERVAL", "500ms"),
    ("VERITAIL_LIVE_GRACE", "1s"),
    ("VERITAIL_LEASE_TIME", "2s"),
    ("VERITAIL_SPILL_AFTER", "1s"),
    ("VERITAIL_OBJECT_PATIENCE", "3s"),
    ("VERITAIL_OBJECT_TIMEOUT", "2s"),
    ("VERITAIL_OBJECT_RETRY_FOR", "500ms"),
];

/// Redis, PostgreSQL and S3; they go with this value.
pub struct Production {
    /// Its Redis.
    pub redis: RedisServer,
    /// Its database.
    pub database: TestDatabase,
    weed: Arc<Weed>,
    bucket: String,
}

impl Production {
    /// Makes a database and a bucket, and starts a Redis.
    pub async fn start() -> Self {
        static BUCKETS: AtomicU32 = AtomicU32::new(0);
        // Starting them takes seconds, in which others on this thread would wait.
        let weed = tokio::task::spawn_blocking(Weed::shared).await.expect("S3 starts");
        let server = tokio::task::spawn_blocking(PostgresServer::shared).await.expect("PostgreSQL starts");
        let bucket = format!("test-{}-{}", std::process::id(), BUCKETS.fetch_add(1, Ordering::Relaxed));
        weed.make_bucket(&bucket);
        let database = TestDatabase::new(&server).await;
        Self { redis: RedisServer::start(Durability::Nothing), database, weed, bucket }
    }

    /// The servers that tests share stay until the last of these goes.
    pub fn hold() -> impl Send {
        (Weed::shared(), PostgresServer::shared())
    }

    /// The port of its S3.
    pub fn s3_port(&self) -> u16 {
        self.weed.port()
    }

    /// Credentials for its S3 with which one may read and list.
    pub fn reader(&self) -> Vec<(String, String)> {
        let all = self.weed.reader_variables().into_iter();
        all.filter(|(name, _)| ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"].contains(&name.as_str())).collect()
    }

    /// The environment of a process that uses it, with S3 at `s3_port`: its own, or that of a network before it.
    pub fn variables(&self, s3_port: u16) -> Vec<(String, String)> {
        let own = format!(":{}", self.s3_port());
        let moved = |(name, value): (String, String)| (name, value.replace(&own, &format!(":{s3_port}")));
        let mut variables: Vec<(String, String)> = self.weed.variables().into_iter().map(moved).collect();
        let mut set = |name: &str, value: String| variables.push((name.to_owned(), value));
        set("VERITAIL_REDIS_URL", self.redis.url());
        set("VERITAIL_DATABASE_URL", self.database.url());
        set("VERITAIL_OBJECT_STORE_URL", self.bucket_url());
        variables
    }

    /// The stores themselves.
    pub async fn stores(&self) -> Stores {
        let database = self.database.open().await;
        let live = RedisLive::connect(&self.redis.url(), false).await.expect("Redis answers");
        let bucket =
            Bucket::open(&self.bucket_url(), &self.weed.variables(), Options::default(), Arc::new(SystemClock));
        // As a server opens it: a listing that finds nothing asks whose store it is.
        let objects = bucket.expect("a bucket").identify(&database, "production", false).await.expect("its own bucket");
        Stores {
            live: Arc::new(live),
            objects: Arc::new(objects),
            spill: Arc::new(database.chunk_bytes()),
            leases: Arc::new(database.clone()),
            verifications: Arc::new(database.clone()),
            drills: Arc::new(database.clone()),
            database: Arc::new(database),
        }
    }

    fn bucket_url(&self) -> String {
        format!("s3://{}", self.bucket)
    }
}

impl Drop for Production {
    fn drop(&mut self) {
        self.weed.remove_bucket(&self.bucket);
    }
}
