//! The object store: bytes under keys that are never written twice.

mod attempts;
pub mod bucket;
mod cloud;
pub mod codec;
mod errors;
mod files;
mod identity;
pub mod keys;
mod listing;
mod multipart;

use async_trait::async_trait;
use bytes::Bytes;
use futures::TryStreamExt as _;
use futures::stream::BoxStream;

use super::Result;
use crate::trace::{ByteSize, Timestamp};

/// What a listing says of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// The key.
    pub key: String,
    /// Its size in bytes.
    pub size: ByteSize,
    /// When it was written, by the store's clock, if it says so.
    pub modified: Option<Timestamp>,
}

/// A listing on its way: it holds a page at a time, however many objects there are. It ends with its first error.
pub type Objects = BoxStream<'static, Result<Listed>>;

/// The contract of an object store. Keys are `/`-separated and unique per attempt, so no conditional put is needed and
/// every S3-compatible store will do that shows at once what was written and what was deleted.
#[async_trait]
pub trait ObjectStore: Send + Sync {
    /// Stores `bytes` under `key`; when it returns, they are durable by the store's own measure. A reader sees the whole
    /// object or none. After an error the object may or may not be there: the key is never used again.
    async fn put(&self, key: &str, bytes: Bytes) -> Result<()>;

    /// The object's first `most` bytes, which may be all of it; `None` if there is none. No more than that comes into
    /// memory, whatever lies there: one byte more than expected tells a longer object.
    async fn get(&self, key: &str, most: ByteSize) -> Result<Option<Bytes>>;

    /// The whole object, however long it is, or `None` if there is none.
    async fn get_whole(&self, key: &str) -> Result<Option<Bytes>> {
        self.get(key, ByteSize(u64::MAX)).await
    }

    /// Removes the object; that it is already gone is no error.
    async fn delete(&self, key: &str) -> Result<()>;

    /// All objects whose key begins with `prefix` (a whole path, ending in `/`, or empty for all), in the order of their
    /// keys, byte by byte.
    fn list(&self, prefix: &str) -> Objects;

    /// Removes all objects whose key begins with `prefix`, as [`list`](Self::list) has it, many at a time where the store
    /// can. Answers how many it found.
    async fn delete_below(&self, prefix: &str) -> Result<u64> {
        let (mut listed, mut deleted) = (self.list(prefix), 0);
        while let Some(object) = listed.try_next().await? {
            self.delete(&object.key).await?;
            deleted += 1;
        }
        Ok(deleted)
    }

    /// The next read of this object is to come from where it lies, and not from this machine's memory of it: as far as that can
    /// be asked for.
    async fn drop_cache(&self, _key: &str) {}

    /// Nobody will ever name this object, whether it is there or not: it is removed a while later, like what failed puts
    /// may have left.
    fn give_up(&self, _key: &str) {}

    /// Removes what puts may have left that failed a while ago, and what was given up, as far as this process remembers them. Answers how many
    /// keys are settled; what fails stays for the next time.
    async fn remove_lost_attempts(&self) -> Result<u64> {
        Ok(0)
    }

    /// True if it is known that the store keeps what is deleted or put over, as another version: each costs for as long as
    /// the store's own rules keep it.
    fn keeps_versions(&self) -> bool {
        false
    }

    /// Asks whether the store answers.
    async fn ping(&self) -> Result<()>;
}
