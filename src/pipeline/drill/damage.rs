//! The damage itself, by what the stores can do anyhow.

use std::time::Duration;

use bytes::Bytes;

use crate::store::Result;
use crate::store::database::Job;
use crate::store::database::drills::DrillId;
use crate::store::live::{Append, Outcome};
use crate::trace::{ByteSize, ChunkId, ChunkIndex, ChunkRow, JobId, Kind, Location, Sha256};

use super::super::Pipeline;
use super::target::Target;

/// Attempts to put damaged live bytes in place while somebody else writes.
const ROUNDS: u32 = 8;

impl Pipeline {
    /// False if the copy is not there any more: then nothing was damaged.
    pub(super) async fn damage(&self, job: &Job, target: &Target, kind: Kind, drill: DrillId) -> Result<bool> {
        match target {
            Target::Live(chunk) => self.damage_live(job.id, *chunk, kind).await,
            Target::Kept(index, at) => self.damage_kept(job.id, *index, at, kind).await,
            Target::Record(row, record) => {
                let mut wrong = record.sha256.0;
                wrong[0] = !wrong[0];
                self.stores().drills.damage_record(drill, row.version, Sha256(wrong)).await
            }
        }
    }

    /// The copy is released at once and begun again with other bytes, beside the same entry.
    async fn damage_live(&self, job: JobId, chunk: ChunkId, kind: Kind) -> Result<bool> {
        let live = self.stores().live.as_ref();
        let copy = live.read_open(job, chunk).await?;
        let (Some(mut trace), Some(bytes)) = (copy.trace, copy.bytes) else { return Ok(false) };
        live.release(job, chunk, Duration::ZERO).await?;
        let Some(damaged) = damaged(&bytes, kind) else { return Ok(true) };
        for _ in 0..ROUNDS {
            let again = Append {
                epoch: trace.entry.epoch(),
                expected: trace.raw.clone(),
                chunk,
                at: ByteSize::ZERO,
                bytes: damaged.clone(),
                seals: false,
                next: trace.raw,
            };
            if matches!(live.append(job, again).await?, Outcome::Stored { .. }) {
                break;
            }
            // Somebody else writes at this moment. If that goes on, the copy is missing, which is damage too.
            let Some(now) = live.load(job).await? else { break };
            trace = now;
        }
        Ok(true)
    }

    async fn damage_kept(&self, job: JobId, index: ChunkIndex, at: &Location, kind: Kind) -> Result<bool> {
        if !self.damage_object(at, kind).await? {
            return Ok(false);
        }
        let row = self.stores().database.chunk(job, index).await?;
        let is_named = row.as_ref().and_then(ChunkRow::persistent_copy).is_some_and(|named| named == at);
        if !is_named {
            // It moved on meanwhile: no row speaks for these bytes any more.
            self.remove_unnamed(at).await;
        }
        Ok(is_named)
    }

    /// Puts other bytes over the object's key, or deletes it. False if it is not there.
    pub(super) async fn damage_object(&self, at: &Location, kind: Kind) -> Result<bool> {
        let (store, key) = (self.stores().of(at), &at.object().key);
        let Some(bytes) = store.get_whole(key).await? else { return Ok(false) };
        match damaged(&bytes, kind) {
            Some(damaged) => store.put(key, damaged).await?,
            None => store.delete(key).await?,
        }
        Ok(true)
    }
}

/// The bytes with the damage; `None`: there are to be none.
fn damaged(bytes: &Bytes, kind: Kind) -> Option<Bytes> {
    let mut bytes = bytes.to_vec();
    match kind {
        Kind::Checksum => {
            let middle = bytes.len() / 2;
            let byte = bytes.get_mut(middle)?;
            *byte = !*byte;
        }
        // An empty copy would be none.
        Kind::Size if bytes.len() > 1 => bytes.truncate(bytes.len() - 1),
        Kind::Size => bytes.push(b'\n'),
        _ => return None,
    }
    Some(bytes.into())
}
