//! Where proven bytes go: the object store, or, while that takes nothing, the database.
//!
//! A live store that cannot be emptied fills up, and then runners are turned away. So a node whose object store has
//! failed for a while puts sealed chunks into the database instead, as carefully as into any store: written, read back,
//! compared, and only then named by the row. They move on when the object store is back. The database is small and dear:
//! how much it takes is limited.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;

use crate::seams::within;
use crate::store::object::{ObjectStore, codec, keys};
use crate::store::{Result, StoreError};
use crate::telemetry::metrics::{self, SpillDirection, Stage};
use crate::trace::{
    ByteSize, ChunkIndex, ChunkRow, ChunkState, Detector, JobId, Location, Look, Record, Sha256, StoredObject,
    Timestamp,
};

use super::read::ReadError;
use super::sweep::{SweepReport, Tried};
use super::{Pipeline, points};

/// While a node spills, one chunk in this time tries the object store.
const TRY_EVERY: Duration = Duration::from_secs(5);
/// A failure of the object store says nothing any more about one that comes so much later.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(600);
/// How long the amount that lies in the database is believed.
const COUNT_KEPT_FOR: Duration = Duration::from_secs(1);
/// Bytes in the database that no row came to name are removed after this time: no node is paused for longer in a move.
pub const UNNAMED_GRACE: Duration = Duration::from_secs(24 * 3600);
/// Chunks moved on between two looks at the list.
const BATCH: u32 = 50;
/// Time for moving on in one sweep.
const MOVES_FOR: Duration = Duration::from_secs(60);

/// What a node knows of its object store.
#[derive(Default)]
pub(super) struct Spill(Mutex<State>);

#[derive(Default)]
struct State {
    /// Since when nothing succeeded.
    failing_since: Option<Timestamp>,
    /// When it last failed.
    last_failed: Option<Timestamp>,
    /// Set while chunks go to the database: when the object store is tried next.
    next_try: Option<Timestamp>,
    /// What lies in the database, and when that was counted.
    counted: Option<(Timestamp, ByteSize)>,
    /// What is being put there and was not counted yet.
    on_its_way: ByteSize,
}

/// Room in the database for one chunk, until it counts by itself.
struct Room<'a>(&'a Spill, ByteSize);

impl Drop for Room<'_> {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.on_its_way = state.on_its_way - self.1;
    }
}

impl Spill {
    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Room for `size` bytes beside what lies there by the last count and what is on its way: chunks migrate side by side,
    /// and all of them would see the same room.
    fn room(&self, size: ByteSize, limit: ByteSize) -> Option<Room<'_>> {
        let mut state = self.state();
        let counted = state.counted.map_or(ByteSize::ZERO, |(_, bytes)| bytes);
        if counted + state.on_its_way + size > limit {
            return None;
        }
        state.on_its_way = state.on_its_way + size;
        Some(Room(self, size))
    }

    /// True while chunks go to the database.
    fn spills(&self) -> bool {
        self.state().next_try.is_some()
    }

    /// True if the object store is to be asked: it works, or its next try has come, which is this one.
    fn tries_object_store(&self, now: Timestamp) -> bool {
        let mut state = self.state();
        match state.next_try {
            Some(next) if now < next => false,
            Some(_) => {
                state.next_try = Some(now.after(TRY_EVERY));
                true
            }
            None => true,
        }
    }

    fn succeeded(&self) {
        let mut state = self.state();
        state.failing_since = None;
        if state.next_try.take().is_some() {
            metrics::spilling(false);
            tracing::info!("the object store takes chunks again: what is in the database moves on");
        }
    }

    /// Notes a failure. After `spill_after` without a success chunks go to the database.
    fn failed(&self, now: Timestamp, spill_after: Duration) {
        let mut state = self.state();
        // A failure long after the last one is a new beginning: in between nobody asked.
        let past = FORGOTTEN_AFTER.max(spill_after);
        let forgotten = state.last_failed.is_some_and(|last| now.since(last) > past);
        if forgotten && state.next_try.is_none() {
            state.failing_since = None;
        }
        state.last_failed = Some(now);
        let since = *state.failing_since.get_or_insert(now);
        if now.since(since) >= spill_after && state.next_try.is_none() {
            state.next_try = Some(now.after(TRY_EVERY));
            metrics::spilling(true);
            tracing::warn!("the object store has taken nothing for {spill_after:?}: chunks go to the database");
        }
    }
}

impl Pipeline {
    /// Puts a chunk's bytes, in their stored form, into a persistent store and reads them back. The caller makes the row name
    /// them.
    pub(super) async fn keep(&self, job: JobId, row: &ChunkRow, stored: Bytes, record: &Record) -> Result<Location> {
        if !self.spill.tries_object_store(self.now()) {
            return self.keep_in_database(job, row, stored, record).await;
        }
        match self.keep_in_object_store(job, row, stored.clone(), record).await {
            Err(_) if self.spill.spills() => self.keep_in_database(job, row, stored, record).await,
            kept => kept,
        }
    }

    /// What comes of it decides where the next chunks go.
    pub(super) async fn keep_in_object_store(
        &self,
        job: JobId,
        row: &ChunkRow,
        stored: Bytes,
        record: &Record,
    ) -> Result<Location> {
        let patience = self.settings().object_patience;
        let kept = self.put_and_read_back(Location::Object, job, row, stored, record);
        let kept = within(self.seams().clock.as_ref(), patience, kept).await;
        let kept = kept.unwrap_or_else(|| {
            Err(StoreError::unavailable("object_store", format!("a chunk was not kept and read back in {patience:?}")))
        });
        match &kept {
            Ok(_) => self.spill.succeeded(),
            Err(_) if self.settings().spill_max.is_zero() => {}
            Err(_) => self.spill.failed(self.now(), self.settings().spill_after),
        }
        kept
    }

    pub(super) async fn keep_in_database(
        &self,
        job: JobId,
        row: &ChunkRow,
        stored: Bytes,
        record: &Record,
    ) -> Result<Location> {
        let limit = self.settings().spill_max;
        self.count_spilled().await?;
        let Some(_room) = self.spill.room(record.size, limit) else {
            let message =
                format!("it holds {limit} bytes of chunks for the object store, as many as pipeline.spill_max");
            return Err(StoreError::Full { store: "database", message });
        };
        let kept = self.put_and_read_back(Location::Database, job, row, stored, record).await?;
        if let Some((_, counted)) = &mut self.spill.state().counted {
            *counted = *counted + record.size;
        }
        metrics::spill_moved(SpillDirection::ToDatabase);
        Ok(kept)
    }

    /// Counts what lies in the database, unless that was done lately.
    async fn count_spilled(&self) -> Result<()> {
        let now = self.now();
        let counted = self.spill.state().counted;
        if counted.is_none_or(|(at, _)| now.since(at) >= COUNT_KEPT_FOR) {
            let bytes = self.stores().database.spill().await?.bytes;
            self.spill.state().counted = Some((now, bytes));
        }
        Ok(())
    }

    /// Nothing is believed of a write before it was read. A copy that is not as written was never promised to anybody: it
    /// is not a mismatch but a failed migration, tried again under a new key.
    async fn put_and_read_back(
        &self,
        place: fn(StoredObject) -> Location,
        job: JobId,
        row: &ChunkRow,
        stored: Bytes,
        record: &Record,
    ) -> Result<Location> {
        let key = keys::chunk_key(job, row.index, row.epoch, &self.seams().chance.name());
        let at = place(StoredObject { key, size: ByteSize::of(&stored), sha256: Sha256::of(&stored) });
        let (store, key) = (self.stores().of(&at), &at.object().key);
        self.stage(Stage::Put, job, row.index, store.put(key, stored)).await?;
        let unnamed = Unnamed { store, key };
        self.point(points::PUT).await;
        let looked = self.stage(Stage::ReadBack, job, row.index, self.look_persisted(&at, record)).await;
        let looked = looked.reached()?;
        if looked.look != Look::Sound {
            let look = looked.look;
            tracing::error!(key, store = %at.store(), %look, "{} did not keep what was written to {key}", at.store());
            store.delete(key).await?;
            return Err(StoreError::unavailable(at.store().as_str(), format!("{key} was not kept as written: {look}")));
        }
        std::mem::forget(unnamed);
        Ok(at)
    }

    /// Moves on what lies in the database, oldest first, while the object store takes it.
    pub(super) async fn sweep_spilled(&self, report: &mut SweepReport) -> Result<()> {
        let begun = self.now();
        let mut tried = Tried::default();
        let mut goes_on = true;
        while goes_on {
            let untried = tried.untried(self.stores().database.spilled(tried.ask(BATCH)).await?);
            if untried.is_empty() {
                break;
            }
            let work = untried.into_iter().take_while(|_| {
                goes_on = self.now().since(begun) < MOVES_FOR && self.spill.tries_object_store(self.now());
                goes_on
            });
            let work = work
                .map(|chunk| async move { (chunk.job, self.in_time(self.move_on(chunk.job, chunk.row.index)).await) });
            // One chunk that cannot be moved keeps no other from it.
            for (job, moved) in self.side_by_side(work).await {
                if report.count("moving a chunk from the database to the object store", job, moved).is_some() {
                    report.moved += 1;
                }
            }
        }
        self.stores().database.remove_unnamed_bytes(UNNAMED_GRACE).await.map(drop)
    }

    /// A node that has nothing to keep would not learn that the object store is back: while it spills it tries by itself,
    /// with the chunk that has waited longest in the database, or with a question.
    pub(super) async fn try_object_store_for_ever(&self) {
        while !self.work.is_draining() {
            self.seams().clock.sleep(TRY_EVERY).await;
            if self.spill.spills() && self.spill.tries_object_store(self.now()) {
                // What fails is noted where it fails, and tried again.
                if let Err(error) = self.in_time(self.try_object_store()).await {
                    tracing::debug!(%error, "the object store is not back yet");
                }
            }
        }
    }

    async fn try_object_store(&self) -> Result<()> {
        if let Some(chunk) = self.stores().database.spilled(1).await?.first() {
            self.move_on(chunk.job, chunk.row.index).await?;
        }
        if self.spill.spills() {
            // Nothing waits, or the first that does is damaged: that the store answers has to do.
            self.stores().objects.ping().await?;
            self.spill.succeeded();
        }
        Ok(())
    }

    /// Somebody else was first: no row names this copy, and none will.
    pub(super) async fn remove_unnamed(&self, copy: &Location) {
        let (store, key) = (self.stores().of(copy), &copy.object().key);
        if store.delete(key).await.is_err() {
            store.give_up(key);
        }
    }

    async fn move_on(&self, job: JobId, index: ChunkIndex) -> Result<()> {
        let _one = self.migrating.lock(&(job, index)).await;
        let database = &self.stores().database;
        let (Some(row), Some(known)) = (database.chunk(job, index).await?, database.job(job).await?) else {
            return Ok(());
        };
        let (record, at) = match &row.state {
            ChunkState::Persisted { record, at } => (record, at),
            ChunkState::Wanted { record: Some(record), kept: Some(at), .. } if !known.is_unfinished() => (record, at),
            _ => return Ok(()),
        };
        let Location::Database(kept) = at else { return Ok(()) };
        let bytes = match self.read_persisted(&known, &row, record, at, Detector::Migrate).await {
            Ok(Some(bytes)) => bytes,
            // It moved meanwhile, or is written down as damaged: a read, a repair or a person goes on from there.
            Ok(None) | Err(ReadError::Damaged { .. } | ReadError::Lost { .. }) => return Ok(()),
            Err(ReadError::Store(error)) => return Err(error),
        };
        let to = self.keep_in_object_store(job, &row, codec::encode(&bytes).into(), record).await?;
        self.point(points::READ_BACK).await;
        if !database.persist(job, index, row.version, &to, self.now()).await? {
            self.remove_unnamed(&to).await;
            return Ok(());
        }
        self.point(points::FLIPPED).await;
        metrics::spill_moved(SpillDirection::ToObjectStore);
        self.stores().spill.delete(&kept.key).await
    }
}

/// A copy that no row names yet. Given up, by an error or by a caller that waits no longer, it is removed later.
struct Unnamed<'a> {
    store: &'a dyn ObjectStore,
    key: &'a str,
}

impl Drop for Unnamed<'_> {
    fn drop(&mut self) {
        self.store.give_up(self.key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AFTER: Duration = Duration::from_secs(60);

    fn at(seconds: u64) -> Timestamp {
        Timestamp(0).after(Duration::from_secs(seconds))
    }

    #[test]
    fn chunks_that_migrate_side_by_side_do_not_take_the_same_room() {
        let spill = Spill::default();
        spill.state().counted = Some((at(0), ByteSize(100)));
        let (size, limit) = (ByteSize(100), ByteSize(300));
        let one = spill.room(size, limit);
        let two = spill.room(size, limit);
        assert!(one.is_some() && two.is_some() && spill.room(size, limit).is_none());
        drop(one);
        assert!(spill.room(size, limit).is_some(), "what failed gives its room back");
    }

    /// Fails at these seconds, and says whether chunks go to the database then.
    fn fails(spill: &Spill, seconds: &[u64]) -> Vec<bool> {
        let fail = |second: &u64| {
            spill.failed(at(*second), AFTER);
            spill.spills()
        };
        seconds.iter().map(fail).collect()
    }

    #[test]
    fn chunks_spill_only_after_a_while_without_a_success() {
        let spill = Spill::default();
        assert_eq!(fails(&spill, &[0, 59]), [false, false]);
        spill.succeeded();
        assert_eq!(fails(&spill, &[60, 119]), [false, false]);
        assert!(spill.tries_object_store(at(119)));
        assert_eq!(fails(&spill, &[120]), [true]);
    }

    #[test]
    fn two_failures_far_apart_are_no_outage() {
        assert_eq!(fails(&Spill::default(), &[0, 3600, 3659, 3660]), [false, false, false, true]);
    }

    #[test]
    fn while_it_spills_a_node_tries_now_and_then_and_stops_with_the_first_success() {
        let spill = Spill::default();
        assert_eq!(fails(&spill, &[0, 60]), [false, true]);
        assert!(!spill.tries_object_store(at(64)));
        assert!(spill.tries_object_store(at(65)) && !spill.tries_object_store(at(65)));
        assert_eq!(fails(&spill, &[66]), [true]);
        assert!(!spill.tries_object_store(at(66)));
        spill.succeeded();
        assert!(spill.tries_object_store(at(66)));
        assert_eq!(fails(&spill, &[67]), [false]);
    }
}
