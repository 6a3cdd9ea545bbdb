//! Repair: a persistent copy that is not as recorded is replaced from one that is.
//!
//! The record decides which copy is good, never age or majority. The good bytes become a new object, read back; the row is
//! flipped to it; then the bad object goes to quarantine. A crash in between leaves the mismatch open or an orphan.

use bytes::Bytes;

use crate::store::Result;
use crate::store::copies::{Looked, look_live, look_object};
use crate::store::database::{Job, Lost, Resolution};
use crate::store::object::{ObjectStore, codec, keys};
use crate::trace::proof::persistent_record;
use crate::trace::{ByteSize, ChunkId, ChunkIndex, ChunkRow, ChunkState, JobId, Location, Look, Record};

use super::Pipeline;
use super::loss::log_resolved;

/// Why a copy is good again.
pub(super) const FROM_LIVE: &str = "repaired from the live copy";
/// The longest object that is moved to quarantine.
const ASIDE_MAX: ByteSize = ByteSize(64 * 1024 * 1024);

impl Pipeline {
    /// Looks at a live copy.
    pub(super) async fn look_live(&self, job: JobId, chunk: ChunkId, record: &Record) -> Looked {
        look_live(self.stores().live.as_ref(), &self.hashing, job, chunk, record).await
    }

    /// Looks at a persistent copy.
    pub(super) async fn look_persisted(&self, at: &Location, record: &Record) -> Looked {
        look_object(self.stores().of(at), &self.hashing, at.object(), record).await
    }

    /// Replaces the persistent copy of a chunk by `bytes`, which are as recorded; `why` says where they are from. False if
    /// the row changed meanwhile.
    pub(super) async fn repair(
        &self,
        job: JobId,
        row: &ChunkRow,
        record: &Record,
        bytes: &Bytes,
        why: &'static str,
    ) -> Result<bool> {
        let to = self.keep(job, row, codec::encode(bytes).into(), record).await?;
        if !self.stores().database.persist(job, row.index, row.version, &to, self.now()).await? {
            self.remove_unnamed(&to).await;
            return Ok(false);
        }
        let index = row.index;
        self.note_repaired(job, index, why).await?;
        tracing::info!(
            job_id = job.0,
            chunk = index.0,
            key = to.object().key,
            "job {job}: chunk {index} has a good copy again: {why}"
        );
        if let Some(bad) = location(row) {
            let (store, key) = (self.stores().of(bad), &bad.object().key);
            // The chunk is healed whatever becomes of this: what stays is an object that no row names.
            if let Err(error) = self.put_aside(job, row.id(), store, key).await {
                tracing::warn!(job_id = job.0, key, %error, "job {job}: {key} is not in quarantine yet");
            }
        }
        Ok(true)
    }

    /// A chunk has a good persistent copy: what was wrong with it is healed. Of a chunk with filler only what was wrong with
    /// that copy: the gap, and what was lost below it, no copy heals.
    pub(super) async fn note_repaired(&self, job: JobId, index: ChunkIndex, why: &'static str) -> Result<()> {
        let database = &self.stores().database;
        let Some(known) = database.job(job).await? else { return Ok(()) };
        if self.is_misplaced(&known, index).await? {
            // Its copy is as the row says, and the row is not where it belongs.
            return Ok(());
        }
        if !self.holds_filler(&known, index).await? {
            return self.resolve(job, index, Resolution::Repaired, why).await;
        }
        let (live, note) = (self.stores().live.name(), self.own_note(why));
        for open in self.open_mismatches(job).await? {
            if open.what.chunk == Some(index) && open.what.store != live && open.what.kind.is_of_a_log() {
                let resolved = database.resolve_mismatch(open.id, Resolution::Repaired, &note, self.now()).await?;
                resolved.iter().for_each(log_resolved);
            }
        }
        Ok(())
    }

    /// Moves a bad object to quarantine: nothing bad is thrown away. False: it does not fit in memory and stays where it is.
    pub(super) async fn put_aside(
        &self,
        job: JobId,
        chunk: ChunkId,
        store: &dyn ObjectStore,
        bad: &str,
    ) -> Result<bool> {
        if let Some(bytes) = store.get(bad, ASIDE_MAX + ByteSize(1)).await? {
            if ByteSize::of(&bytes) > ASIDE_MAX {
                tracing::warn!(
                    job_id = job.0,
                    key = bad,
                    "job {job}: {bad} is over {ASIDE_MAX} bytes and stays where it is"
                );
                return Ok(false);
            }
            let key = keys::quarantine_key(job, chunk.index, chunk.epoch, &self.seams().chance.name());
            self.stores().objects.put(&key, bytes).await?;
        }
        store.delete(bad).await.map(|()| true)
    }

    /// Looks again at every persistent copy that an open mismatch speaks of, and repairs what has a good live copy.
    /// Answers the chunks that stay bad; `None` if a row changed meanwhile: look again.
    pub(super) async fn recheck(&self, job: &Job, rows: &[ChunkRow]) -> Result<Option<Vec<Lost>>> {
        let mut bad = Vec::new();
        for mismatch in self.open_mismatches(job.id).await? {
            let row = rows.iter().find(|row| Some(row.index) == mismatch.what.chunk);
            let Some((row, record, at)) = row.and_then(|row| Some((row, persistent_record(row)?, location(row)?)))
            else {
                continue;
            };
            let seen_at_the_copy = mismatch.what.store != self.stores().live.name();
            if !seen_at_the_copy || bad.iter().any(|lost: &Lost| lost.index == row.index) {
                continue;
            }
            if self.look_persisted(at, record).await.reached()?.look == Look::Sound {
                self.note_repaired(job.id, row.index, "read again, and as recorded").await?;
                continue;
            }
            let live = self.look_live(job.id, row.id(), record).await.reached()?;
            match live.sound() {
                Some(bytes) if self.repair(job.id, row, record, &bytes, FROM_LIVE).await? => {}
                Some(_) => return Ok(None),
                None => bad.push(Lost { index: row.index, version: Some(row.version) }),
            }
        }
        Ok(Some(bad))
    }
}

/// Where the persistent copy lies that a row speaks of.
fn location(row: &ChunkRow) -> Option<&Location> {
    match &row.state {
        ChunkState::Persisted { at, .. } | ChunkState::Wanted { kept: Some(at), .. } => Some(at),
        ChunkState::Open | ChunkState::Sealed { .. } | ChunkState::Wanted { .. } => None,
    }
}
