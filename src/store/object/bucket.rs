//! A bucket: any store that the crate `object_store` reaches. Today a local folder.
//!
//! A folder whose disk is not mounted looks like an empty one, and every chunk in it would seem to be missing. So a folder
//! is marked when it is first opened, and a store without its mark is unavailable, not empty.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path as FilePath;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::TryStreamExt;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{Error, ObjectStoreExt};

use super::{Listed, ObjectStore};
use crate::store::{Result, StoreError};
use crate::trace::{ByteSize, DataStore};

/// Its name in messages and labels.
const NAME: &str = DataStore::ObjectStore.as_str();
/// The object that marks a folder. It is not listed.
const MARK: &str = ".veritail-objects";
const MARK_TEXT: &str =
    "Objects of Veritail lie here. Without this file it takes the folder for one that is not mounted.\n";

/// An object store. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Bucket {
    objects: Arc<dyn object_store::ObjectStore>,
}

impl Bucket {
    /// A bucket in a local folder, which is made if it is not there. A put is synced to the disk before it returns.
    pub fn folder(path: &FilePath) -> Result<Self> {
        fs::create_dir_all(path).and_then(|()| mark(path)).map_err(|error| StoreError::unavailable(NAME, error))?;
        // Emptied folders stay: removing one could meet a put that is just about to use it.
        let objects = LocalFileSystem::new_with_prefix(path).map_err(failed)?.with_fsync(true);
        Ok(Self { objects: Arc::new(objects) })
    }

    /// Fails if the store has lost its mark, and with it everything.
    async fn expect_mark(&self) -> Result<()> {
        match self.objects.head(&Path::from(MARK)).await {
            Ok(_) => Ok(()),
            Err(Error::NotFound { .. }) => {
                Err(StoreError::unavailable(NAME, format!("{MARK} is missing: is the disk not mounted?")))
            }
            Err(error) => Err(failed(error)),
        }
    }
}

/// Marks a folder, durably, unless it is marked.
fn mark(folder: &FilePath) -> io::Result<()> {
    match File::create_new(folder.join(MARK)) {
        Ok(mut file) => {
            file.write_all(MARK_TEXT.as_bytes())?;
            file.sync_all()?;
            File::open(folder)?.sync_all()
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
}

#[async_trait]
impl ObjectStore for Bucket {
    async fn put(&self, key: &str, bytes: Bytes) -> Result<()> {
        // Behind a lost mark this would write to the disk below the mount point.
        self.expect_mark().await?;
        self.objects.put(&path(key)?, bytes.into()).await.map_err(failed)?;
        Ok(())
    }

    async fn get(&self, key: &str) -> Result<Option<Bytes>> {
        match self.objects.get(&path(key)?).await {
            Ok(object) => object.bytes().await.map(Some).map_err(failed),
            Err(Error::NotFound { .. }) => self.expect_mark().await.map(|()| None),
            Err(error) => Err(failed(error)),
        }
    }

    async fn delete(&self, key: &str) -> Result<()> {
        match self.objects.delete(&path(key)?).await {
            Ok(()) => Ok(()),
            Err(Error::NotFound { .. }) => self.expect_mark().await,
            Err(error) => Err(failed(error)),
        }
    }

    async fn list(&self, prefix: &str) -> Result<Vec<Listed>> {
        let folder = (!prefix.is_empty()).then(|| path(prefix.trim_end_matches('/'))).transpose()?;
        let objects: Vec<_> = self.objects.list(folder.as_ref()).try_collect().await.map_err(failed)?;
        self.expect_mark().await?;
        let listed = objects.into_iter().filter(|object| object.location.as_ref() != MARK);
        Ok(listed.map(|object| Listed { key: object.location.into(), size: ByteSize(object.size) }).collect())
    }

    async fn ping(&self) -> Result<()> {
        self.expect_mark().await
    }
}

fn path(key: &str) -> Result<Path> {
    match Path::parse(key) {
        Ok(path) if path.as_ref() == key && !key.is_empty() && key != MARK => Ok(path),
        Ok(_) => Err(StoreError::unreadable(NAME, format!("{key:?} is not a key"))),
        Err(error) => Err(StoreError::unreadable(NAME, error)),
    }
}

/// Sorts an error by what the caller does next.
fn failed(error: Error) -> StoreError {
    let causes = std::iter::successors(Some(&error as &dyn std::error::Error), |error| error.source());
    let kinds = causes.filter_map(|error| error.downcast_ref::<io::Error>()).map(io::Error::kind);
    let is_full =
        kinds.into_iter().any(|kind| matches!(kind, io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded));
    match error {
        error if is_full => StoreError::Full { store: NAME, message: error.to_string() },
        Error::InvalidPath { .. } => StoreError::unreadable(NAME, error),
        error => StoreError::unavailable(NAME, error),
    }
}
