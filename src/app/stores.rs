//! The stores as configured, each measured.

use std::path::Path;
use std::sync::Arc;

use super::measure::Measure;
use crate::config::Config;
use crate::pipeline::Stores;
use crate::seams::Seams;
use crate::store::Result;
use crate::store::database::Database;
use crate::store::database::accounts::Accounts;
use crate::store::database::listing::Listing;
use crate::store::database::sqlite::SqliteDatabase;
use crate::store::hooked::Hooked;
use crate::store::live::LiveStore;
use crate::store::live::embedded::EmbeddedLive;
use crate::store::live::redis::RedisLive;
use crate::store::object::ObjectStore;
use crate::store::object::bucket::Bucket;
use crate::telemetry::metrics::Dependency;

/// What was opened.
pub(super) struct Opened {
    /// The stores of the pipeline.
    pub(super) stores: Stores,
    /// The lists for readers.
    pub(super) listing: Arc<dyn Listing>,
    /// Tokens, runners, and the jobs that wait for one.
    pub(super) accounts: Arc<dyn Accounts>,
}

/// Opens them, and wraps each so that its requests are counted and timed.
pub(super) async fn open(config: &Config, seams: &Seams) -> Result<Opened> {
    let place = |path: Option<&Path>, name: &str| path.map_or_else(|| config.data_dir.join(name), Path::to_owned);
    let clock = || seams.clock.clone();

    let database = SqliteDatabase::open(&place(config.database.path.as_deref(), "veritail.db")).await?;
    let listing: Arc<dyn Listing> = Arc::new(database.clone());
    let accounts: Arc<dyn Accounts> = Arc::new(database.clone());
    let database: Arc<dyn Database> = Arc::new(database);
    let objects: Arc<dyn ObjectStore> = Arc::new(Bucket::folder(&place(config.object.path.as_deref(), "objects"))?);
    let live: Arc<dyn LiveStore> = match &config.live.redis_url {
        Some(url) => Arc::new(RedisLive::connect(url.reveal(), config.live.allow_eviction).await?),
        None => Arc::new(EmbeddedLive::open(&config.data_dir.join("live"), clock())?),
    };
    let measure = |dependency| Arc::new(Measure(dependency));
    let of_live = Dependency::of_live(live.name());
    let listing = Arc::new(Hooked::new(listing, measure(Dependency::Database), clock()));
    let accounts = Arc::new(Hooked::new(accounts, measure(Dependency::Database), clock()));
    let stores = Stores {
        live: Arc::new(Hooked::new(live, measure(of_live), clock())),
        database: Arc::new(Hooked::new(database, measure(Dependency::Database), clock())),
        objects: Arc::new(Hooked::new(objects, measure(Dependency::ObjectStore), clock())),
    };
    Ok(Opened { stores, listing, accounts })
}
