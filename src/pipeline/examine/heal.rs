//! Healing what an examination found: from any copy that is as recorded, or by asking the runner.
//!
//! The record decides which copy is good. Where none is, nothing is changed that a person could still need.

use std::time::Duration;

use bytes::Bytes;
use futures::TryStreamExt as _;

use crate::store::Result;
use crate::store::copies::STORED_MAX;
use crate::store::database::Job;
use crate::store::object::{ObjectStore, codec, keys};
use crate::trace::{ByteSize, ChunkId, ChunkRow, ChunkSize, ChunkState, Epoch, JobId, Kind, Look, Record};

use super::{Examiner, Pipeline, Promise, Sight};

/// Epochs of a chunk whose live copies are looked at, the newest first.
pub(super) const EPOCHS_MAX: usize = 16;

impl Pipeline {
    /// Heals a chunk. `Some(true)`: everything that differed is as recorded now; `Some(false)`: no good copy was found;
    /// `None`: it is not known yet.
    pub(super) async fn heal(
        &self,
        job: &Job,
        row: &ChunkRow,
        promise: &Promise<'_>,
        sights: &[Sight],
        examiner: Examiner,
    ) -> Result<Option<bool>> {
        let live_name = self.stores().live.name();
        match sights.iter().find(|sight| sight.store != live_name).map(|sight| sight.look) {
            Some(Look::Sound) => {
                // The copy that counts is right. The live one is on its way out, and goes now.
                self.stores().live.release(job.id, row.id(), Duration::ZERO).await?;
                self.note_repaired(job.id, row.index, "the copy that counts is as recorded").await?;
                return Ok(Some(true));
            }
            // Which copy is right shows when the one that counts can be seen.
            Some(Look::Unreachable | Look::Moved) => return Ok(None),
            Some(Look::Differs(_)) | None => {}
        }
        let seen = sights.iter().find_map(|sight| sight.good_bytes(promise.record).cloned());
        let good = match seen {
            Some(bytes) => Some(bytes),
            None => self.search_good_copy(job.id, row, promise.record).await?,
        };
        if let Some(bytes) = good {
            let repaired = self.repair(job.id, row, promise.record, &bytes, "repaired from a good copy").await?;
            let is_bad_live = |sight: &Sight| sight.store == live_name && matches!(sight.look, Look::Differs(_));
            if repaired && sights.iter().any(is_bad_live) {
                // Nothing needs it any more, and the next look would find it again.
                self.stores().live.release(job.id, row.id(), Duration::ZERO).await?;
            }
            return Ok(repaired.then_some(true));
        }
        let is_record = sights.iter().any(|sight| sight.look == Look::Differs(Kind::Record));
        match row.state {
            // Right copies of a wrong record are not given up for lost where nobody can send them again.
            ChunkState::Sealed { .. } if is_record && job.trace_reset != Some(true) => {}
            ChunkState::Sealed { .. } => {
                self.reconcile(job.id, true, examiner.detector).await?;
            }
            _ => self.want_again(job.id, row).await?,
        }
        Ok(Some(false))
    }

    /// Looks for a copy that is as recorded wherever one may be left: live copies of other epochs, objects that a lost
    /// attempt or an earlier repair left, what lies in the database or in quarantine.
    async fn search_good_copy(&self, job: JobId, row: &ChunkRow, record: &Record) -> Result<Option<Bytes>> {
        for epoch in (1..=row.epoch.0.saturating_add(1)).rev().take(EPOCHS_MAX) {
            let chunk = ChunkId { index: row.index, epoch: Epoch(epoch) };
            if let Some(bytes) = self.look_live(job, chunk, record).await.sound() {
                return Ok(Some(bytes));
            }
        }
        let (objects, spill) = (self.stores().objects.as_ref(), self.stores().spill.as_ref());
        for (store, prefix) in
            [(objects, keys::job_prefix(job)), (spill, keys::job_prefix(job)), (objects, keys::quarantine_prefix(job))]
        {
            if let Some(bytes) = search(store, &prefix, row, record).await? {
                return Ok(Some(bytes));
            }
        }
        Ok(None)
    }
}

/// The bytes of the first object of this chunk that is as recorded.
async fn search(store: &dyn ObjectStore, prefix: &str, row: &ChunkRow, record: &Record) -> Result<Option<Bytes>> {
    let mut listed = store.list(prefix);
    while let Some(object) = listed.try_next().await? {
        if keys::parse(&object.key).is_ok_and(|key| key.index == row.index)
            && let Some(bytes) = as_recorded(store, &object.key, record).await?
        {
            return Ok(Some(bytes));
        }
    }
    Ok(None)
}

/// The bytes of an object, if they are the promised ones.
pub(super) async fn as_recorded(store: &dyn ObjectStore, key: &str, record: &Record) -> Result<Option<Bytes>> {
    Ok(decoded(store, key).await?.filter(|bytes| Record::of(bytes) == *record))
}

/// What an object holds: decoded, or as it is, for live remains are kept in quarantine without being encoded.
pub(super) async fn decoded(store: &dyn ObjectStore, key: &str) -> Result<Option<Bytes>> {
    let Some(stored) = store.get(key, STORED_MAX).await? else { return Ok(None) };
    let most = ByteSize(ChunkSize::MAX.into());
    Ok(Some(codec::decode(&stored, most).unwrap_or(stored)))
}
