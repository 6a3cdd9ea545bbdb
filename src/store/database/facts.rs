//! Facts: the few things that an installation remembers about itself, each under a name.

use async_trait::async_trait;

use crate::store::Result;

/// The id of the object store that the traces are in.
pub const OBJECT_STORE_ID: &str = "object_store_id";
/// The id of the object store whose mark is known to have been written.
pub const OBJECT_STORE_MARKED: &str = "object_store_marked";

/// The contract of the facts.
#[async_trait]
pub trait Facts: Send + Sync {
    /// The fact of this name, or `None`.
    async fn fact(&self, name: &str) -> Result<Option<String>>;

    /// Writes the fact down unless there is one of this name, and answers the one that there is: of several nodes that
    /// start at once, all go by the first.
    async fn first_fact(&self, name: &str, value: &str) -> Result<String>;

    /// Writes the fact down, whatever there was.
    async fn set_fact(&self, name: &str, value: &str) -> Result<()>;
}
