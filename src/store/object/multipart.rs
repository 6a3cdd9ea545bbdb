//! Large objects, put in parts: one that is cut off costs a part and not the whole.
//!
//! A reader sees nothing before the last step. An upload that fails is aborted, so that its parts cost nothing; what a
//! crash leaves goes by the bucket's lifecycle rule for incomplete uploads.

use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use object_store::path::Path;
use object_store::{ObjectStoreExt as _, PutPayload};

use super::bucket::Bucket;
use super::errors::Operation;
use crate::store::Result;

/// The size of a part, unless there would be too many: S3 takes no smaller ones than 5 MiB but for the last.
const PART_MIN: usize = 8 * 1024 * 1024;
/// Parts of one object, at most: what S3 takes.
const PARTS_MAX: usize = 10_000;
/// Parts under way at once.
const AT_ONCE: usize = 4;

impl Bucket {
    /// Each step has the time that an operation has.
    pub(super) async fn put_in_parts(&self, path: &Path, bytes: Bytes) -> Result<()> {
        let mut upload = self.ask(Operation::Put, self.objects.put_multipart(path)).await?;
        let size = part_size(bytes.len());
        // Nothing is sent before it is its turn.
        let mut parts = Vec::new();
        for from in (0..bytes.len()).step_by(size) {
            let part = PutPayload::from(bytes.slice(from..bytes.len().min(from + size)));
            parts.push(self.ask(Operation::Put, upload.put_part(part)));
        }
        let sent = stream::iter(parts).buffer_unordered(AT_ONCE).try_collect::<()>().await;
        let put = match sent {
            Ok(()) => self.ask(Operation::Put, upload.complete()).await.map(drop),
            Err(error) => Err(error),
        };
        if put.is_err()
            && let Err(error) = self.ask(Operation::Put, upload.abort()).await
        {
            tracing::warn!(%error, "the parts of {path} may still lie in the object store: a lifecycle rule removes them");
        }
        put
    }
}

fn part_size(size: usize) -> usize {
    PART_MIN.max(size.div_ceil(PARTS_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_never_too_many_nor_too_small() {
        const GIB: usize = 1 << 30;
        for size in [1, PART_MIN, PART_MIN + 1, GIB, 80 * GIB, 5000 * GIB] {
            assert!(part_size(size) >= 5 << 20 && size.div_ceil(part_size(size)) <= PARTS_MAX, "{size}");
        }
    }
}
