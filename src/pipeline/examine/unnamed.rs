//! Stored bytes that no row names: what they are worth, and what becomes of them.
//!
//! Crashes leave them by design: between a put and the flip of the row, or in a repair. They are removed only where nobody
//! can miss them: their trace is erased, or the chunk that they are a copy of was read just now and has a sound one.
//! Everything else is written down and left alone. After a database was restored from a backup they may be all there is.

use std::time::Duration;

use futures::TryStreamExt as _;

use crate::store::Result;
use crate::store::database::{Found, Job, Mismatch, Resolution};
use crate::store::object::keys::{self, ObjectKey, ObjectKind};
use crate::store::object::{Listed, ObjectStore};
use crate::telemetry::verification as telemetry;
use crate::trace::{ByteSize, ChunkId, ChunkRow, ChunkState, DataStore, JobId, Kind, Location, Timestamp};

use super::heal::as_recorded;
use super::{Examiner, Pipeline};
use crate::pipeline::log_resolved;

/// What became of bytes that no row seemed to name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unnamed {
    /// They are gone, or named, or somebody may still come for them.
    Settled,
    /// They were removed.
    Removed,
    /// They are written down as an orphan.
    Noted,
}

/// What they are worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Worth<'a> {
    /// A row names them, or the pipeline is not done with their job.
    Settled,
    /// Their trace is erased.
    Erased,
    /// The chunk of this row has another copy, of their epoch or a later one.
    Spare(&'a ChunkRow),
    /// Perhaps the only ones.
    Unclear,
}

impl Worth<'_> {
    /// By what the database says; `settled_by`: what was erased later is left to the erasing.
    fn of<'a>(key: &ObjectKey, job: Option<&Job>, row: Option<&'a ChunkRow>, settled_by: Timestamp) -> Worth<'a> {
        let Some(job) = job else { return Worth::Unclear };
        if let Some((at, _)) = &job.erased {
            return if *at <= settled_by { Worth::Erased } else { Worth::Settled };
        }
        if key.kind == ObjectKind::Quarantined || row.is_some_and(|row| names(row, key)) {
            return Worth::Settled;
        }
        match row {
            Some(row) if matches!(row.state, ChunkState::Persisted { .. }) && row.epoch >= key.epoch => {
                Worth::Spare(row)
            }
            // Its chunk waits for a persistent copy, as it did when these were written.
            _ if job.is_unfinished() => Worth::Settled,
            _ => Worth::Unclear,
        }
    }
}

fn names(row: &ChunkRow, key: &ObjectKey) -> bool {
    row.persistent_copy().map(Location::object).is_some_and(|at| keys::parse(&at.key).as_ref() == Ok(key))
}

impl Pipeline {
    /// Looks at stored bytes of ours that were written at least `grace` ago and that no row seemed to name. `removes`:
    /// those that nobody can miss are removed instead of written down.
    pub async fn examine_unnamed(
        &self,
        store: DataStore,
        (object, key): (&Listed, &ObjectKey),
        examiner: Examiner,
        (grace, removes): (Duration, bool),
    ) -> Result<Unnamed> {
        let database = self.stores().database.as_ref();
        let (job, row) = (database.job(key.job).await?, database.chunk(key.job, key.index).await?);
        let worth = Worth::of(key, job.as_ref(), row.as_ref(), self.now().before(grace));
        let lies_in = self.stores().keeping(store);
        if worth == Worth::Settled || lies_in.get(&object.key, ByteSize(1)).await?.is_none() {
            return Ok(Unnamed::Settled);
        }
        let may_go = match worth {
            Worth::Spare(row) if removes => {
                let seen = self.examine(key.job, row, examiner).await?.tally;
                if seen.repaired > 0 {
                    // Perhaps from these very bytes. The next inventory finds nothing wrong, and removes them.
                    return Ok(Unnamed::Settled);
                }
                seen.looks > 0 && seen.sound == seen.looks
            }
            worth => removes && worth == Worth::Erased,
        };
        let is_gone = match worth {
            _ if !may_go => false,
            // Such as a bad one that a repair replaced and did not come to put aside.
            Worth::Spare(row) if !self.is_as_recorded(lies_in, &object.key, row).await? => {
                let chunk = ChunkId { index: key.index, epoch: key.epoch };
                self.put_aside(key.job, chunk, lies_in, &object.key).await?
            }
            _ => lies_in.delete(&object.key).await.map(|()| true)?,
        };
        if is_gone {
            telemetry::orphan_removed();
            tracing::info!(
                job_id = key.job.0, key = object.key, %store,
                "job {}: {} is removed from {store}: no row names it, and nobody can miss it", key.job, object.key
            );
            return Ok(Unnamed::Removed);
        }
        let found = Found { size: Some(object.size), ..Found::default() };
        let place = (key.job, Some(key.index), key.epoch);
        self.note_without_row(place, (Kind::Orphan, store, examiner.into()), found).await?;
        Ok(Unnamed::Noted)
    }

    /// True if an object holds what the row promises.
    async fn is_as_recorded(&self, store: &dyn ObjectStore, key: &str, row: &ChunkRow) -> Result<bool> {
        let Some(record) = row.record() else { return Ok(false) };
        Ok(as_recorded(store, key, record).await?.is_some())
    }

    /// Resolves an open mismatch of bytes that no row speaks for, if they are gone by now or one does. True if it did.
    pub async fn resolve_if_gone(&self, known: &Mismatch) -> Result<bool> {
        let what = &known.what;
        let Some(index) = what.chunk else { return Ok(false) };
        let chunk = ChunkId { index, epoch: what.epoch };
        let is_there = match what.store {
            DataStore::Database | DataStore::ObjectStore => self.has_unnamed(what.store, what.job, chunk).await?,
            store if store == self.stores().live.name() => self.left_over(what.job, chunk, Duration::ZERO).await?,
            // Not a store of this node: it cannot know.
            _ => true,
        };
        if is_there {
            return Ok(false);
        }
        let comment = "the bytes are gone, or a row names them".to_owned();
        let note = self.own_note(comment);
        let database = &self.stores().database;
        let resolved = database.resolve_mismatch(known.id, Resolution::Repaired, &note, self.now()).await?;
        resolved.iter().for_each(log_resolved);
        Ok(true)
    }

    async fn has_unnamed(&self, store: DataStore, job: JobId, chunk: ChunkId) -> Result<bool> {
        for prefix in [keys::job_prefix(job), keys::quarantine_prefix(job)] {
            let mut listed = self.stores().keeping(store).list(&prefix);
            while let Some(object) = listed.try_next().await? {
                let Ok(key) = keys::parse(&object.key) else { continue };
                if (key.index, key.epoch) != (chunk.index, chunk.epoch) {
                    continue;
                }
                let database = self.stores().database.as_ref();
                let (known, row) = (database.job(job).await?, database.chunk(job, key.index).await?);
                if Worth::of(&key, known.as_ref(), row.as_ref(), self.now()) != Worth::Settled {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }
}
