//! Stale copies: bytes of an earlier epoch of a chunk, where those of the present one belong.

use futures::TryStreamExt as _;

use crate::store::Result;
use crate::store::object::keys;
use crate::trace::{ChunkId, ChunkRow, Epoch, JobId, Kind, Record};

use super::Pipeline;
use super::heal::{EPOCHS_MAX, decoded};

impl Pipeline {
    /// What a difference is called, whoever finds it: a copy that is not as recorded may be one of the same chunk from an
    /// earlier epoch. Where those cannot be looked at, it keeps its name.
    pub(in crate::pipeline) async fn precise_kind(
        &self,
        job: JobId,
        row: &ChunkRow,
        kind: Kind,
        found: Option<&Record>,
    ) -> Kind {
        let may_be_stale = row.epoch > Epoch::FIRST && matches!(kind, Kind::Checksum | Kind::Size | Kind::Undecodable);
        let Some(found) = found.filter(|_| may_be_stale) else { return kind };
        match self.is_earlier_copy(job, row, found).await {
            Ok(true) => Kind::StaleCopy,
            Ok(false) => kind,
            Err(error) => {
                tracing::debug!(job_id = job.0, chunk = row.index.0, %error, "earlier copies could not be compared");
                kind
            }
        }
    }

    async fn is_earlier_copy(&self, job: JobId, row: &ChunkRow, found: &Record) -> Result<bool> {
        for epoch in (1..row.epoch.0).rev().take(EPOCHS_MAX) {
            let chunk = ChunkId { index: row.index, epoch: Epoch(epoch) };
            let copy = self.stores().live.read_chunk(job, chunk).await?;
            if copy.is_some_and(|bytes| Record::of(&bytes) == *found) {
                return Ok(true);
            }
        }
        for store in [self.stores().objects.as_ref(), self.stores().spill.as_ref()] {
            let mut listed = store.list(&keys::job_prefix(job));
            while let Some(object) = listed.try_next().await? {
                let is_earlier = |key: keys::ObjectKey| key.index == row.index && key.epoch < row.epoch;
                if keys::parse(&object.key).is_ok_and(is_earlier)
                    && decoded(store, &object.key).await?.is_some_and(|bytes| Record::of(&bytes) == *found)
                {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }
}
