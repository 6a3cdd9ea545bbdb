//! Drills: one copy is damaged on purpose, announced before, to see that it is found.
//!
//! Copies are damaged by what the stores can do anyhow: an object is put over its key or deleted, a live copy is released
//! and begun again with other bytes. Only the database's own record needs a method of its own, which acts on what was
//! announced and on nothing else.

mod damage;
mod report;
mod settle;
mod target;

use std::time::Duration;

pub use report::DrillReport;

use crate::store::StoreError;
use crate::store::database::drills::{Drill, DrillId, NewDrill};
use crate::store::database::{Job, MismatchFilter};
use crate::store::object::codec;
use crate::trace::{ChunkIndex, ChunkState, DataStore, JobId, Kind};

use super::Pipeline;

/// Which copy is to be damaged, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DrillOrder {
    /// The job.
    pub job: JobId,
    /// The chunk; `None`: the last one that has such a copy.
    pub chunk: Option<ChunkIndex>,
    /// Where the copy lies.
    pub store: DataStore,
    /// What will be wrong with it: `Checksum`, `Size`, `Missing`, or in the database also `Record`.
    pub kind: Kind,
    /// Who wants it.
    pub by: String,
    /// How soon it has to be found.
    pub within: Duration,
}

/// Why nothing was damaged.
#[derive(Debug, thiserror::Error)]
pub enum NoDrill {
    /// There is no such job.
    #[error("there is no such job")]
    Unknown,
    /// The copy is not there, is not sound, or cannot be damaged in this way; it says what to do.
    #[error("{0}")]
    Impossible(String),
    /// A store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Pipeline {
    /// Announces damage and does it. It is found like any other, and counts as a drill alone.
    pub async fn drill(&self, order: &DrillOrder) -> Result<Drill, NoDrill> {
        let job = self.stores().database.job(order.job).await?.ok_or(NoDrill::Unknown)?;
        let target = self.target(&job, order).await?;
        let chunk = target.index();
        self.refuse_damaged(&job, chunk).await?;
        let drill = self.announce(order, chunk).await?;
        // Where this fails it is not known whether the damage was done. The announcement stays until that shows.
        let is_done = self.damage(&job, &target, order.kind, drill).await?;
        self.announced(drill, is_done).await
    }

    /// The same with a chunk's persistent copy that nobody has looked at yet: the chunk is given a new one in the store of
    /// the order, which is damaged before the row names it. The copy before it stays, and the damage can be healed from it.
    pub async fn drill_new_copy(&self, order: &DrillOrder, chunk: ChunkIndex) -> Result<Drill, NoDrill> {
        let database = &self.stores().database;
        let job = database.job(order.job).await?.ok_or(NoDrill::Unknown)?;
        self.refuse_damaged(&job, chunk).await?;
        let row = database.chunk(job.id, chunk).await?.ok_or_else(|| impossible("there is no such chunk"))?;
        let ChunkState::Persisted { record, at } = &row.state else {
            return Err(impossible(&format!("chunk {chunk} is not in a persistent store")));
        };
        let good = self.look_persisted(at, record).await.reached()?.sound();
        let good = good.ok_or_else(|| impossible(&format!("chunk {chunk} is not as recorded already")))?;
        let stored = codec::encode(&good).into();
        let new = match order.store {
            DataStore::ObjectStore => self.keep_in_object_store(job.id, &row, stored, record).await?,
            DataStore::Database => self.keep_in_database(job.id, &row, stored, record).await?,
            store => return Err(impossible(&format!("no persistent copy lies in {store}"))),
        };
        let drill = self.announce(order, chunk).await?;
        self.damage_object(&new, order.kind).await?;
        let is_named = database.persist(job.id, chunk, row.version, &new, self.now()).await?;
        if !is_named {
            self.remove_unnamed(&new).await;
        }
        self.announced(drill, is_named).await
    }

    async fn announce(&self, order: &DrillOrder, chunk: ChunkIndex) -> Result<DrillId, NoDrill> {
        let DrillOrder { job, store, kind, by, within, .. } = order;
        let now = self.now();
        let new = NewDrill {
            job: *job,
            chunk,
            kind: *kind,
            store: *store,
            by: by.clone(),
            at: now,
            must_be_found_by: now.after(*within),
        };
        let drill = self.stores().drills.announce(&new).await?;
        tracing::warn!(
            drill_id = drill.0, job_id = job.0, chunk = chunk.0, %kind, %store, by,
            "drill {drill}: chunk {chunk} of job {job} is damaged in {store} on purpose, for {by}"
        );
        Ok(drill)
    }

    /// What was announced was done, or was not and will not be.
    async fn announced(&self, drill: DrillId, is_done: bool) -> Result<Drill, NoDrill> {
        let drills = self.stores().drills.as_ref();
        if !is_done {
            drills.call_off(drill, self.now()).await?;
            return Err(impossible("the copy went away before it could be damaged: it moved on; try again"));
        }
        drills.note_damaged(drill, self.now()).await?;
        drills.drill(drill).await?.ok_or(NoDrill::Unknown)
    }

    /// Damage on damage tells nothing.
    async fn refuse_damaged(&self, job: &Job, chunk: ChunkIndex) -> Result<(), NoDrill> {
        let filter = MismatchFilter { job: Some(job.id), open: Some(true), limit: 1000, ..MismatchFilter::default() };
        let open = self.stores().database.mismatches(filter).await?;
        if open.iter().any(|open| open.what.chunk == Some(chunk)) {
            return Err(impossible(&format!("chunk {chunk} has an open mismatch already; choose another chunk")));
        }
        Ok(())
    }
}

fn impossible(why: &str) -> NoDrill {
    NoDrill::Impossible(why.to_owned())
}
