//! The names of keys.

use super::cluster;
use crate::store::live::Found;
use crate::trace::{ByteSize, ChunkId, ChunkIndex, Epoch, JobId};

/// Matches all keys of this store.
pub(super) const ALL: &str = "veritail:{*";

/// The hash of a job's trace.
pub(super) fn trace(job: JobId) -> String {
    format!("veritail:{{{job}}}:trace")
}

/// The bytes of a chunk.
pub(super) fn chunk(job: JobId, chunk: ChunkId) -> String {
    format!("veritail:{{{job}}}:chunk:{chunk}")
}

/// Bytes on their way into a chunk; `name` is given once.
pub(super) fn staged(job: JobId, name: &str) -> String {
    format!("veritail:{{{job}}}:staged:{name}")
}

/// The slot of all keys of a job.
pub(super) fn slot(job: JobId) -> u16 {
    cluster::slot(&job.to_string())
}

/// The mark of one process on the master of a slot; `tag` is in that slot.
pub(super) fn mark(tag: &str, process: &str) -> String {
    format!("veritail:{{{tag}}}:mark:{process}")
}

/// Reads a name; `None` for one that this store did not give.
pub(super) fn read(name: &[u8]) -> Option<Found> {
    let name = std::str::from_utf8(name).ok()?;
    let (job, thing) = name.strip_prefix("veritail:{")?.split_once("}:")?;
    let job = JobId(job.parse().ok()?);
    if thing == "trace" {
        return Some(Found::Trace(job));
    }
    let (index, epoch) = thing.strip_prefix("chunk:")?.split_once('-')?;
    let chunk = ChunkId { index: ChunkIndex(index.parse().ok()?), epoch: Epoch(epoch.parse().ok()?) };
    Some(Found::Chunk { job, chunk, released: false, size: ByteSize::ZERO })
}
