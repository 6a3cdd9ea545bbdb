//! The stores as configured, each measured.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::measure::Measure;
use super::{CannotStart, private, redis};
use crate::config::Config;
use crate::config::value::Secret;
use crate::pipeline::Stores;
use crate::seams::Seams;
use crate::store::StoreError;
use crate::store::database::Database;
use crate::store::database::accounts::Accounts;
use crate::store::database::drills::Drills;
use crate::store::database::facts::Facts;
use crate::store::database::leases::Leases;
use crate::store::database::listing::Listing;
use crate::store::database::postgres::{self, PostgresDatabase};
use crate::store::database::sqlite::SqliteDatabase;
use crate::store::database::verifications::Verifications;
use crate::store::database::waits::Connections;
use crate::store::hooked::Hooked;
use crate::store::live::LiveStore;
use crate::store::live::embedded::EmbeddedLive;
use crate::store::live::redis::RedisLive;
use crate::store::object::ObjectStore;
use crate::store::object::bucket::{Bucket, Options};
use crate::telemetry::metrics::{self, Dependency};
use crate::trace::ByteSize;

/// The database's file in the data folder.
const SQLITE: &str = "veritail.db";
/// The embedded live store's folder in it.
const LIVE: &str = "live";

/// What was opened.
pub(super) struct Opened {
    /// The stores of the pipeline.
    pub(super) stores: Stores,
    /// The lists for readers.
    pub(super) listing: Arc<dyn Listing>,
    /// Tokens, runners, and the jobs that wait for one.
    pub(super) accounts: Arc<dyn Accounts>,
    /// How the connections to the database are.
    pub(super) connections: Box<dyn Fn() -> Connections + Send + Sync>,
    /// The live store itself, where it is Redis: it is watched.
    pub(super) redis: Option<Arc<RedisLive>>,
}

/// Opens them, and wraps each so that its requests are counted and timed.
pub(super) async fn open(config: &Config, seams: &Seams) -> Result<Opened, CannotStart> {
    let clock = || seams.clock.clone();
    // What has a place of its own is made private there; what is there already is as its owner wants it.
    let opened = match &config.database.url {
        Some(url) => open_postgres(config, url).await?,
        None => open_sqlite(config).await?,
    };
    let OpenedDatabase { database, listing, accounts, leases, verifications, drills, facts, spill, connections } =
        opened;
    let objects = open_objects(config, facts.as_ref(), seams).await?;
    let redis = redis::open(&config.live, seams).await?;
    let live: Arc<dyn LiveStore> = match &redis {
        Some(redis) => redis.clone(),
        None => {
            let folder = place(config, None, LIVE, private::folder, private::folder)?;
            let embedded = EmbeddedLive::open(&folder, clock());
            Arc::new(embedded.map_err(cannot_open(&folder.display().to_string(), "--data-dir"))?)
        }
    };
    let measure = |dependency| Arc::new(Measure::new(dependency));
    let of_live = Dependency::of_live(live.name());
    let listing = Arc::new(Hooked::new(listing, measure(Dependency::Database), clock()));
    let accounts = Arc::new(Hooked::new(accounts, measure(Dependency::Database), clock()));
    let stores = Stores {
        live: Arc::new(Hooked::new(live, measure(of_live), clock())),
        database: Arc::new(Hooked::new(database, measure(Dependency::Database), clock())),
        objects: Arc::new(Hooked::new(objects, measure(Dependency::ObjectStore), clock())),
        spill: Arc::new(Hooked::new(spill, measure(Dependency::Database), clock())),
        leases: Arc::new(Hooked::new(leases, measure(Dependency::Database), clock())),
        verifications: Arc::new(Hooked::new(verifications, measure(Dependency::Database), clock())),
        drills: Arc::new(Hooked::new(drills, measure(Dependency::Database), clock())),
    };
    Ok(Opened { stores, listing, accounts, connections, redis })
}

/// The database, by each of its contracts.
struct OpenedDatabase {
    database: Arc<dyn Database>,
    listing: Arc<dyn Listing>,
    accounts: Arc<dyn Accounts>,
    leases: Arc<dyn Leases>,
    verifications: Arc<dyn Verifications>,
    drills: Arc<dyn Drills>,
    facts: Arc<dyn Facts>,
    spill: Arc<dyn ObjectStore>,
    connections: Box<dyn Fn() -> Connections + Send + Sync>,
}

/// The files and folders that hold what nobody else has, where a server has been at work.
pub(super) fn local(config: &Config) -> Vec<PathBuf> {
    let own = |name| config.data_dir.join(name);
    let database = config.database.url.is_none().then(|| config.database.path.clone().unwrap_or_else(|| own(SQLITE)));
    let live = config.live.redis_url.is_none().then(|| own(LIVE));
    database.into_iter().chain(live).collect()
}

async fn open_sqlite(config: &Config) -> Result<OpenedDatabase, CannotStart> {
    let file = place(config, config.database.path.as_deref(), SQLITE, private::file, |_| Ok(()))?;
    let name = file.display().to_string();
    let database = SqliteDatabase::open(&file).await.map_err(cannot_open(&name, "database.path"))?;
    let database = database.telling_waits(Arc::new(metrics::connection_waited));
    let its_connections = database.clone();
    Ok(OpenedDatabase {
        listing: Arc::new(database.clone()),
        accounts: Arc::new(database.clone()),
        leases: Arc::new(database.clone()),
        verifications: Arc::new(database.clone()),
        drills: Arc::new(database.clone()),
        facts: Arc::new(database.clone()),
        spill: Arc::new(database.chunk_bytes()),
        connections: Box::new(move || its_connections.connections()),
        database: Arc::new(database),
    })
}

async fn open_postgres(config: &Config, url: &Secret) -> Result<OpenedDatabase, CannotStart> {
    if let Some(path) = &config.database.path {
        return Err(CannotStart::TwoDatabases { path: path.clone() });
    }
    let settings = postgres::Settings {
        pool_size: config.database.pool_size,
        acquire_timeout: config.database.acquire_timeout.0,
        statement_timeout: config.database.statement_timeout.0,
    };
    // Not the URL itself: it may hold a password.
    let cannot_open = cannot_open("the PostgreSQL database", "database.url (VERITAIL_DATABASE_URL)");
    let database = PostgresDatabase::connect(url.reveal(), settings).await.map_err(cannot_open)?;
    let database = database.telling_waits(Arc::new(metrics::connection_waited));
    let its_connections = database.clone();
    Ok(OpenedDatabase {
        listing: Arc::new(database.clone()),
        accounts: Arc::new(database.clone()),
        leases: Arc::new(database.clone()),
        verifications: Arc::new(database.clone()),
        drills: Arc::new(database.clone()),
        facts: Arc::new(database.clone()),
        spill: Arc::new(database.chunk_bytes()),
        connections: Box::new(move || its_connections.connections()),
        database: Arc::new(database),
    })
}

/// The bucket or folder, if it is the one that the database knows.
async fn open_objects(config: &Config, facts: &dyn Facts, seams: &Seams) -> Result<Arc<dyn ObjectStore>, CannotStart> {
    let given = &config.object;
    let options = Options {
        timeout: given.timeout.0,
        connect_timeout: given.connect_timeout.0,
        retry_for: given.retry_for.0,
        upload_checksum: given.upload_checksum,
        multipart_min: ByteSize(given.multipart_min),
        ..Options::default()
    };
    let clock = seams.clock.clone();
    let (opened, shown, setting) = match (&given.url, &given.path) {
        (Some(_), Some(_)) => return Err(CannotStart::TwoObjectStores),
        (Some(url), None) => {
            let variables = std::env::vars_os()
                .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
            let variables: Vec<_> = variables.collect();
            let opened = Bucket::open(url, &variables, options, clock);
            // A URL that cannot be read is not repeated: somebody may have written a password into it.
            let shown = if opened.is_ok() { url.clone() } else { "the object store".to_owned() };
            (opened, shown, "object.url (VERITAIL_OBJECT_STORE_URL)")
        }
        (None, path) => {
            let folder = place(config, path.as_deref(), "objects", private::folder, private::make_folder)?;
            (Bucket::open_folder(&folder, options, clock), folder.display().to_string(), "object.path")
        }
    };
    let bucket = match opened {
        Ok(bucket) => bucket.identify(facts, &seams.chance.name(), given.adopt).await,
        Err(error) => Err(error),
    };
    let bucket = bucket.map_err(cannot_open(&shown, setting))?;
    tracing::info!("objects are kept in {shown}");
    Ok(Arc::new(bucket))
}

type Make = fn(&Path) -> std::io::Result<()>;

/// The configured place, or the one in the data folder, which is Veritail's own.
fn place(config: &Config, given: Option<&Path>, name: &str, own: Make, make: Make) -> Result<PathBuf, CannotStart> {
    let (path, make) = given.map_or_else(|| (config.data_dir.join(name), own), |path| (path.to_owned(), make));
    make(&path).map_err(|error| CannotStart::DataDir { path: path.clone(), error })?;
    Ok(path)
}

pub(super) fn cannot_open(place: &str, setting: &'static str) -> impl FnOnce(StoreError) -> CannotStart {
    move |error| CannotStart::Store { place: place.to_owned(), error, setting }
}
