//! Real stores, and nodes over them that bring a chunk to a moment of its life and no further.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use sqlx::{AssertSqlSafe, Connection as _, Executor as _};
use tempfile::TempDir;
use veritail::pipeline::{Pipeline, Settings, Stores, points};
use veritail::seams::real::{NoFailPoints, OwnedTasks, SystemChance, SystemClock};
use veritail::seams::{FailPoints, Seams};
use veritail::store::database::accounts::Accounts;
use veritail::store::database::leases::When;
use veritail::store::database::listing::Listing;
use veritail::store::database::sqlite::SqliteDatabase;
use veritail::store::hooked::Hooked;
use veritail::store::live::embedded::EmbeddedLive;
use veritail::store::object::bucket::Bucket;
use veritail::trace::{ByteSize, DataStore};
use veritail::verify::{self, Budgeted, Verifier};

use crate::gate::Gate;
use crate::support::production::Production;
use crate::support::server::{Away, Client, Front};

/// Small, so that hundreds of traces are quick.
pub const CHUNK_SIZE: usize = 4096;
/// Longer than any test takes.
const LONG: Duration = Duration::from_secs(3600);

/// Which stores.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// fjall, SQLite, a folder.
    Embedded,
    /// Redis, PostgreSQL, S3.
    Production,
}

impl Side {
    /// The name of its live store.
    pub fn live(self) -> DataStore {
        match self {
            Self::Embedded => DataStore::Embedded,
            Self::Production => DataStore::Redis,
        }
    }
}

/// Where a node keeps what it moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Keeps {
    InObjectStore,
    /// The object store takes nothing from it.
    InDatabase,
}

/// What a node does with the chunks that it takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// Nothing but what requests want.
    Rests,
    /// It moves them on.
    Moves(Keeps),
    /// It stops once bytes are in the live store, before anything is done with them.
    PausesOnceTaken,
    /// It stops between reading a copy back and naming it in the row, until the verifier has looked.
    Pauses,
    /// The same, until everything is damaged.
    PausesUntilDamaged(Keeps),
}

impl Place {
    const ALL: &'static [Self] = &[
        Self::Rests,
        Self::Moves(Keeps::InObjectStore),
        Self::Moves(Keeps::InDatabase),
        Self::PausesOnceTaken,
        Self::Pauses,
        Self::PausesUntilDamaged(Keeps::InObjectStore),
        Self::PausesUntilDamaged(Keeps::InDatabase),
    ];

    fn keeps(self) -> Keeps {
        match self {
            Self::Moves(keeps) | Self::PausesUntilDamaged(keeps) => keeps,
            Self::Rests | Self::PausesOnceTaken | Self::Pauses => Keeps::InObjectStore,
        }
    }

    /// Where its gate stands.
    fn gate(self) -> Option<&'static str> {
        match self {
            Self::Rests | Self::Moves(_) => None,
            Self::PausesOnceTaken => Some(points::COMMITTED),
            Self::Pauses | Self::PausesUntilDamaged(_) => Some(points::READ_BACK),
        }
    }
}

/// A node, and a client of it.
pub struct Site {
    pub client: Client,
    pub gate: Arc<Gate>,
}

/// The stores, and the nodes over them.
pub struct Ground {
    pub side: Side,
    pub stores: Stores,
    sites: BTreeMap<Place, Site>,
    tasks: Arc<OwnedTasks>,
    engines: Engines,
}

enum Engines {
    Embedded(TempDir),
    Production(Box<Production>),
}

impl Ground {
    /// Starts all of it. No node sweeps: what was left stays as it is.
    pub async fn start(side: Side) -> Self {
        let engines = match side {
            Side::Embedded => Engines::Embedded(tempfile::tempdir().expect("a folder")),
            Side::Production => Engines::Production(Box::new(Production::start().await)),
        };
        let (stores, listing, accounts) = engines.open().await;
        for task in ["sweep", "live_sweep"] {
            let turn = stores.leases.take(task, "nobody", LONG, When::Early).await.expect("a database");
            assert!(turn.is_some(), "somebody sweeps already");
        }
        let tasks = Arc::new(OwnedTasks::default());
        let mut ground = Self { side, stores, sites: BTreeMap::new(), tasks, engines };
        for place in Place::ALL {
            let site = ground.site(*place, listing.clone(), accounts.clone()).await;
            ground.sites.insert(*place, site);
        }
        ground
    }

    async fn site(&self, place: Place, listing: Arc<dyn Listing>, accounts: Arc<dyn Accounts>) -> Site {
        let gate = Arc::new(Gate::at(place.gate()));
        let mut stores = self.stores.clone();
        if place.keeps() == Keeps::InDatabase {
            let away = Away::default();
            away.take("object_store", "put");
            stores.objects = Arc::new(Hooked::new(stores.objects, Arc::new(away), Arc::new(SystemClock)));
        }
        let pipeline = self.node(stores, gate.clone());
        if place != Place::Rests {
            pipeline.start();
        }
        let chunk_size = u32::try_from(CHUNK_SIZE).expect("small");
        let verifier = Verifier::new(pipeline.clone(), verify::Settings::default());
        let client = Front { listing, accounts, chunk_size, trace_limit: 0 }.serve(&verifier, &self.tasks).await;
        Site { client, gate }
    }

    fn node(&self, stores: Stores, points: Arc<dyn FailPoints>) -> Pipeline {
        let seams =
            Seams { clock: Arc::new(SystemClock), chance: Arc::new(SystemChance), spawn: self.tasks.clone(), points };
        let settings = Settings {
            live_grace: LONG,
            // As many as may wait at a gate.
            migrate_workers: 64,
            spill_after: Duration::ZERO,
            spill_max: ByteSize(1 << 30),
            ..Settings::default()
        };
        Pipeline::new(stores, seams, settings)
    }

    /// The node of a place.
    pub fn at(&self, place: Place) -> &Site {
        &self.sites[&place]
    }

    /// The verifier of one more node, as fast as it can.
    pub fn verifier(&self) -> Verifier {
        let unlimited = Budgeted { bytes_per_second: ByteSize::ZERO, requests_per_second: 0, concurrency: 8 };
        let settings = verify::Settings {
            hot: unlimited,
            full: unlimited,
            hot_interval: Duration::from_millis(1),
            fresh_cycle: Duration::from_secs(1),
            old_cycle: Duration::from_secs(1),
            ..verify::Settings::default()
        };
        Verifier::new(self.node(self.stores.clone(), Arc::new(NoFailPoints)), settings)
    }

    /// Changes the database behind the nodes' backs; exactly one row.
    pub async fn change_row(&self, sql: String) {
        let changed = match &self.engines {
            Engines::Embedded(folder) => {
                let file = sqlx::sqlite::SqliteConnectOptions::new().filename(sqlite(folder));
                let mut connection = sqlx::SqliteConnection::connect_with(&file).await.expect("the nodes' database");
                connection.execute(AssertSqlSafe(sql.clone())).await.expect("changed").rows_affected()
            }
            Engines::Production(engines) => {
                let mut connection = engines.database.server().connection(engines.database.name()).await;
                connection.execute(AssertSqlSafe(sql.clone())).await.expect("changed").rows_affected()
            }
        };
        assert_eq!(changed, 1, "{sql}");
    }

    /// Bytes as this database's SQL has them.
    pub fn literal(&self, bytes: &[u8]) -> String {
        match self.side {
            Side::Embedded => format!("x'{}'", hex::encode(bytes)),
            Side::Production => format!("'\\x{}'::bytea", hex::encode(bytes)),
        }
    }

    /// A command to its Redis.
    pub async fn redis(&self, words: &[&[u8]]) {
        let Engines::Production(engines) = &self.engines else { panic!("there is no Redis on this side") };
        let client = redis::Client::open(engines.redis.url()).expect("a URL");
        let mut connection = client.get_multiplexed_async_connection().await.expect("connected");
        let mut command = redis::Cmd::new();
        for word in words {
            command.arg(*word);
        }
        let _: redis::Value = command.query_async(&mut connection).await.expect("done");
    }

    /// Ends everything that runs over the stores.
    pub async fn stop(self) {
        self.tasks.end().await;
    }
}

impl Engines {
    async fn open(&self) -> (Stores, Arc<dyn Listing>, Arc<dyn Accounts>) {
        match self {
            Self::Production(engines) => {
                let database = engines.database.open().await;
                (engines.stores().await, Arc::new(database.clone()), Arc::new(database))
            }
            Self::Embedded(folder) => {
                let live = EmbeddedLive::open(&folder.path().join("live"), Arc::new(SystemClock)).expect("opened");
                let database = SqliteDatabase::open(&sqlite(folder)).await.expect("opened");
                let objects = Bucket::folder(&folder.path().join("objects")).expect("opened");
                let stores = Stores {
                    live: Arc::new(live),
                    objects: Arc::new(objects),
                    spill: Arc::new(database.chunk_bytes()),
                    leases: Arc::new(database.clone()),
                    verifications: Arc::new(database.clone()),
                    drills: Arc::new(database.clone()),
                    database: Arc::new(database.clone()),
                };
                (stores, Arc::new(database.clone()), Arc::new(database))
            }
        }
    }
}

fn sqlite(folder: &TempDir) -> PathBuf {
    folder.path().join("veritail.db")
}
