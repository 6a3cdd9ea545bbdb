//! Large objects, put in parts: one that is cut off costs a part and not the whole.
//!
//! A reader sees nothing before the last step. An upload that fails or is given up is aborted, so that its parts cost
//! nothing; what a crash leaves goes by the bucket's lifecycle rule for incomplete uploads.

use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use object_store::path::Path;
use object_store::{MultipartUpload, ObjectStoreExt as _, PutPayload};

use super::attempts::Attempts;
use super::bucket::Bucket;
use super::errors::{Operation, is_no_object};
use crate::store::Result;

/// The size of a part, unless there would be too many: S3 takes no smaller ones than 5 MiB but for the last.
const PART_MIN: usize = 8 * 1024 * 1024;
/// Parts of one object, at most: what S3 takes.
const PARTS_MAX: usize = 10_000;
/// Parts under way at once.
const AT_ONCE: usize = 4;

/// An upload in parts that is under way. Dropped before it came to an end, by an error or by a caller that waits no longer,
/// it is remembered and aborted later.
struct Upload<'a> {
    under_way: Option<Box<dyn MultipartUpload>>,
    attempts: &'a Attempts,
}

impl Upload<'_> {
    /// It came to an end.
    fn ended(mut self) {
        self.under_way = None;
    }
}

impl Drop for Upload<'_> {
    fn drop(&mut self) {
        if let Some(upload) = self.under_way.take() {
            self.attempts.remember_upload(upload);
        }
    }
}

impl Bucket {
    /// Each step has the time that an operation has.
    pub(super) async fn put_in_parts(&self, path: &Path, bytes: Bytes) -> Result<()> {
        let upload = self.ask(Operation::Put, self.objects.put_multipart(path)).await?;
        let mut held = Upload { under_way: Some(upload), attempts: &self.attempts };
        let Some(upload) = &mut held.under_way else { return Ok(()) };
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
        if put.is_ok() || self.abort(upload.as_mut()).await.is_ok() {
            held.ended();
        }
        put
    }

    /// That there is no such upload (any more) is no error.
    async fn abort(&self, upload: &mut dyn MultipartUpload) -> Result<()> {
        let aborted = async {
            match upload.abort().await {
                Err(error) if !is_no_object(&error) => Err(error),
                _ => Ok(()),
            }
        };
        self.ask(Operation::Put, aborted).await
    }

    /// Aborts the uploads in parts that were given up; what fails stays for the next time.
    pub(super) async fn abort_lost_uploads(&self) -> Result<()> {
        while let Some(upload) = self.attempts.take_upload() {
            let mut held = Upload { under_way: Some(upload), attempts: &self.attempts };
            if let Some(upload) = &mut held.under_way {
                self.abort(upload.as_mut()).await?;
            }
            held.ended();
        }
        Ok(())
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
