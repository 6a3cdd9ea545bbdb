//! The object store: bytes under keys that are never written twice.

pub mod bucket;
pub mod codec;
pub mod keys;

use async_trait::async_trait;
use bytes::Bytes;

use super::Result;

/// What a listing says of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// The key.
    pub key: String,
    /// Its size in bytes.
    pub size: crate::trace::ByteSize,
}

/// The contract of an object store. Keys are `/`-separated and unique per attempt, so no conditional put is needed and
/// every S3-compatible store will do.
#[async_trait]
pub trait ObjectStore: Send + Sync {
    /// Stores `bytes` under `key`; when it returns, they are durable by the store's own measure. A reader sees the whole
    /// object or none. After an error the object may or may not be there.
    async fn put(&self, key: &str, bytes: Bytes) -> Result<()>;

    /// The whole object, or `None` if there is none.
    async fn get(&self, key: &str) -> Result<Option<Bytes>>;

    /// Removes the object; that it is already gone is no error.
    async fn delete(&self, key: &str) -> Result<()>;

    /// All objects whose key begins with `prefix` (a whole path, ending in `/`, or empty for all), in no given order.
    async fn list(&self, prefix: &str) -> Result<Vec<Listed>>;

    /// Asks whether the store answers.
    async fn ping(&self) -> Result<()>;
}
