//! The life of a trace, one verb a file: open, append, migrate, finalize, reconcile, read, sweep.
//!
//! The order of a chunk's steps, in this order and no other (each arrow is a named fail point in [`points`]):
//!
//! ```text
//! row inserted -> bytes + open end committed -> record written -> PUT new key -> GET equals the record
//!              -> row flipped -> live copy released
//! ```
//!
//! The database decides what a trace is, the live store only how long its open end is. Whenever the two disagree, every
//! path goes through [`reconcile`], which plans from evidence and installs the plan under its epoch.

mod append;
mod ask;
mod cancel;
mod close;
mod contacts;
mod drill;
mod erase;
mod evaluate;
pub mod examine;
mod finalize;
mod gap;
mod known;
mod locks;
mod loss;
mod migrate;
mod notify;
pub mod pace;
pub mod points;
mod read;
mod recent;
mod reconcile;
mod record;
mod repair;
mod report;
mod run;
mod settings;
mod slices;
mod spill;
mod stages;
mod sweep;
mod sweep_live;
mod turns;
mod work;

use std::sync::Arc;

pub use append::{AppendRequest, Appended};
pub use drill::{DrillOrder, DrillReport, NoDrill};
pub use finalize::{FinalPut, Finalized};
pub use loss::log_resolved;
pub use notify::{Message, NOTIFY_INTERVAL, NotDelivered, Webhook};
pub use read::{Mode, OpenedReading, ReadError, Reading};
pub use recent::Recent;
pub use report::{ChunkReport, CopyReport, Integrity, MismatchReport};
pub use settings::Settings;
pub use slices::BodyBroken;
pub use spill::UNNAMED_GRACE;
pub use sweep::SweepReport;
pub use sweep_live::LiveCount;

use crate::seams::Seams;
use crate::store::database::Database;
use crate::store::database::drills::Drills;
use crate::store::database::leases::Leases;
use crate::store::database::verifications::Verifications;
use crate::store::hashing::Hashing;
use crate::store::live::LiveStore;
use crate::store::object::ObjectStore;
use crate::trace::{DataStore, Location};

/// The stores that a node works over; any number of nodes share them.
#[derive(Clone)]
pub struct Stores {
    /// Decides how long the open ends are.
    pub live: Arc<dyn LiveStore>,
    /// Decides everything else.
    pub database: Arc<dyn Database>,
    /// Keeps the proven bytes.
    pub objects: Arc<dyn ObjectStore>,
    /// Keeps them in the database while the object store does not take them.
    pub spill: Arc<dyn ObjectStore>,
    /// Says whose turn it is.
    pub leases: Arc<dyn Leases>,
    /// What the verifier remembers.
    pub verifications: Arc<dyn Verifications>,
    /// Damage that is done on purpose.
    pub drills: Arc<dyn Drills>,
}

impl Stores {
    /// The store that a persistent copy lies in.
    pub fn of(&self, at: &Location) -> &dyn ObjectStore {
        match at {
            Location::Object(_) => self.objects.as_ref(),
            Location::Database(_) => self.spill.as_ref(),
        }
    }

    /// The store of persistent copies that goes by this name, `database` or `object_store`.
    pub fn keeping(&self, store: DataStore) -> &dyn ObjectStore {
        if store == DataStore::Database { self.spill.as_ref() } else { self.objects.as_ref() }
    }
}

/// One node. What it remembers is a shortcut: any node can do any step at any time. Cheap to clone.
#[derive(Clone)]
pub struct Pipeline(Arc<Node>);

/// The inside of a node; opaque outside of this module.
pub struct Node {
    stores: Stores,
    seams: Seams,
    settings: Settings,
    /// Tells this node from the others, in leases and in what it finds.
    name: String,
    hashing: Hashing,
    spill: spill::Spill,
    known: known::KnownTraces,
    contacts: contacts::Contacts,
    migrating: locks::KeyedLocks<(crate::trace::JobId, crate::trace::ChunkIndex)>,
    evaluating: locks::KeyedLocks<crate::trace::JobId>,
    work: work::Work,
    sweep_soon: tokio::sync::Notify,
    live_count: std::sync::Mutex<Option<LiveCount>>,
}

impl std::ops::Deref for Pipeline {
    type Target = Node;

    fn deref(&self) -> &Node {
        &self.0
    }
}

impl Pipeline {
    /// A node over these stores. Nothing runs by itself before [`start`](Self::start).
    pub fn new(stores: Stores, seams: Seams, settings: Settings) -> Self {
        let started = seams.clock.now();
        Self(Arc::new(Node {
            name: settings.node_name.clone().unwrap_or_else(|| seams.chance.name()),
            hashing: Hashing::default(),
            spill: spill::Spill::default(),
            stores,
            seams,
            settings,
            known: known::KnownTraces::new(known::CAPACITY),
            contacts: contacts::Contacts::new(started),
            migrating: locks::KeyedLocks::default(),
            evaluating: locks::KeyedLocks::default(),
            work: work::Work::new(),
            sweep_soon: tokio::sync::Notify::new(),
            live_count: std::sync::Mutex::default(),
        }))
    }

    /// The stores it works over.
    pub fn stores(&self) -> &Stores {
        &self.0.stores
    }

    /// Its time, chance and tasks.
    pub fn seams(&self) -> &Seams {
        &self.0.seams
    }

    /// Its settings.
    pub fn settings(&self) -> &Settings {
        &self.0.settings
    }

    /// What this node is called in what it writes down.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Writes down what this node acknowledged.
    async fn write_contacts(&self) -> crate::store::Result<()> {
        let patience = self.settings().database_patience;
        self.contacts.write(self.stores().database.as_ref(), self.seams().clock.as_ref(), patience).await
    }

    /// True if the runner of a job was not heard of for so long, while it could have been: an outage is nobody's silence.
    fn is_silent(&self, job: &crate::store::database::Job, limit: std::time::Duration) -> bool {
        let since = job.last_contact_at.max(self.contacts.hearing_since());
        self.now().since(since) >= limit
    }

    /// A named point between two durable steps.
    async fn point(&self, name: &'static str) {
        self.seams().points.reached(name).await;
    }

    fn now(&self) -> crate::trace::Timestamp {
        self.seams().clock.now()
    }
}
