//! A bucket: any store that the crate `object_store` reaches, in a cloud or a local folder.
//!
//! Requests are made again while they fail for a time, and every operation has an end: [`Options::retry_for`] and one
//! more [`Options::timeout`]. Keys are never written twice, so making a put again is safe.
//!
//! The mark (see `identity`) is read at the start, by [`ping`](ObjectStore::ping), and whenever an object is not there:
//! a bucket in a cloud costs nothing more for it. A folder's is read before every put too, which behind a lost mount
//! would write to the disk below it.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path as FilePath;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{Error, ObjectStoreExt as _};

use super::attempts::Attempts;
use super::cloud::{self, Place, Service};
use super::errors::{NAME, Operation, failed, is_no_object, late};
use super::files::Files;
use super::identity::{MARK, mark_text};
use super::listing;
use super::{Listed, ObjectStore, Objects};
use crate::seams::real::SystemClock;
use crate::seams::{Clock, within};
use crate::store::{Result, StoreError};
use crate::trace::{ByteSize, Timestamp};

/// How a store is spoken to.
#[derive(Clone, Debug)]
pub struct Options {
    /// Time for one request, its body included.
    pub timeout: Duration,
    /// Time for a connection to be made.
    pub connect_timeout: Duration,
    /// How long a failing request is made again.
    pub retry_for: Duration,
    /// True to send a SHA-256 with every upload to S3, for the store to hold against what it received.
    pub upload_checksum: bool,
    /// Objects of at least this size are put in parts.
    pub multipart_min: ByteSize,
    /// After this time a failed put has happened or never will.
    pub settled_after: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(15),
            connect_timeout: Duration::from_secs(5),
            retry_for: Duration::from_secs(10),
            upload_checksum: true,
            multipart_min: ByteSize(32 << 20),
            settled_after: Duration::from_secs(300),
        }
    }
}

/// An object store. Cheap to clone.
#[derive(Clone)]
pub struct Bucket {
    pub(super) objects: Arc<dyn object_store::ObjectStore>,
    /// The same, where it is a folder.
    folder: Option<Files>,
    /// The id that its mark must have; `None`: any.
    pub(super) id: Option<String>,
    service: Service,
    options: Options,
    clock: Arc<dyn Clock>,
    pub(super) attempts: Attempts,
    /// Its answers to puts name versions.
    keeps_versions: Arc<AtomicBool>,
}

impl fmt::Debug for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bucket").field("objects", &self.objects).field("id", &self.id).finish_non_exhaustive()
    }
}

impl Bucket {
    /// The store at `url`; `variables` are those of the environment. Nothing is asked of it yet but that a folder exists:
    /// [`identify`](Self::identify) comes next.
    pub fn open(url: &str, variables: &[(String, String)], options: Options, clock: Arc<dyn Clock>) -> Result<Self> {
        match cloud::place(url)? {
            Place::Folder(path) => Self::open_folder(&path, options, clock),
            Place::Cloud { service, bucket, prefix } => {
                let objects = cloud::client(service, &bucket, prefix, variables, &options)?;
                Ok(Self::new(objects, None, service, options, clock))
            }
        }
    }

    /// The store in a folder that exists. A put is synced to the disk before it returns.
    pub fn open_folder(path: &FilePath, options: Options, clock: Arc<dyn Clock>) -> Result<Self> {
        // Emptied folders stay: removing one could meet a put that is just about to use it.
        let objects = LocalFileSystem::new_with_prefix(path);
        let objects = objects.map_err(|error| failed(Service::Folder, Operation::Get, &error))?.with_fsync(true);
        let objects = Arc::new(objects);
        Ok(Self::new(objects.clone(), Some(Files::new(objects)), Service::Folder, options, clock))
    }

    /// The store in a folder, which is made and marked if it is not there, whatever its id: for tools and tests that have
    /// no database to ask.
    pub fn folder(path: &FilePath) -> Result<Self> {
        fs::create_dir_all(path).and_then(|()| mark(path)).map_err(|error| StoreError::unavailable(NAME, error))?;
        Self::open_folder(path, Options::default(), Arc::new(SystemClock))
    }

    fn new(
        objects: Arc<dyn object_store::ObjectStore>,
        folder: Option<Files>,
        service: Service,
        options: Options,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let attempts = Attempts::new(clock.clone());
        Self { objects, folder, id: None, service, options, clock, attempts, keeps_versions: Arc::default() }
    }

    /// Asks the store, with an end.
    pub(super) async fn ask<T>(
        &self,
        operation: Operation,
        work: impl Future<Output = object_store::Result<T>> + Send,
    ) -> Result<T> {
        let limit = self.options.retry_for + self.options.timeout;
        match within(self.clock.as_ref(), limit, work).await {
            Some(answer) => answer.map_err(|error| failed(self.service, operation, &error)),
            None => Err(late(operation, limit)),
        }
    }

    /// The first `most` bytes of what lies there.
    pub(super) async fn read(&self, path: &Path, most: ByteSize) -> object_store::Result<Bytes> {
        if let Some(folder) = &self.folder {
            return folder.read(path, most).await;
        }
        let object = self.objects.get(path).await?;
        if object.meta.size <= most.0 { object.bytes().await } else { first(object.into_stream(), most).await }
    }

    /// Asks about an object: `None` if there is none, and the store has its mark.
    async fn ask_for<T>(
        &self,
        operation: Operation,
        work: impl Future<Output = object_store::Result<T>> + Send,
    ) -> Result<Option<T>> {
        let found = async {
            match work.await {
                Ok(found) => Ok(Some(found)),
                Err(error) if is_no_object(&error) => Ok(None),
                Err(error) => Err(error),
            }
        };
        match self.ask(operation, found).await? {
            Some(found) => Ok(Some(found)),
            None => self.expect_mark().await.map(|()| None),
        }
    }

    /// Lists without the mark; it is the caller who looks for that.
    fn list_objects(&self, prefix: &str) -> Result<Objects> {
        let top = (!prefix.is_empty()).then(|| path(prefix.trim_end_matches('/'))).transpose()?;
        let listed = match self.service {
            Service::Folder => listing::in_order(self.objects.clone(), top),
            Service::S3 | Service::Gcs | Service::Azure => self.objects.list(top.as_ref()),
        };
        let listed = stream::unfold((listed, self.clone()), |(mut listed, bucket)| async move {
            let next = async { listed.next().await.transpose() };
            let next = bucket.ask(Operation::List, next).await.transpose()?;
            Some((next, (listed, bucket)))
        });
        let listed = listed.map_ok(|object| Listed {
            key: object.location.into(),
            size: ByteSize(object.size),
            modified: Some(Timestamp(object.last_modified.timestamp_millis())),
        });
        Ok(listed.try_filter(|object| std::future::ready(object.key != MARK)).boxed())
    }

    /// Deletes many objects, in as few requests as the store allows. That some are gone already is no error.
    async fn delete_all(&self, keys: impl futures::Stream<Item = Result<Path>> + Send + 'static) -> Result<u64> {
        // The listing's own error is kept aside: what goes through the deletion has to be one of `object_store`.
        let (failed_listing, mut failure) = futures::channel::mpsc::unbounded();
        let keys = keys.map(move |key| {
            key.map_err(|error| {
                let message = error.to_string();
                let _ = failed_listing.unbounded_send(error);
                Error::Generic { store: NAME, source: message.into() }
            })
        });
        let mut deleted = self.objects.delete_stream(keys.boxed());
        let mut count = 0;
        loop {
            let next = async {
                match deleted.next().await {
                    Some(Err(error)) if is_no_object(&error) => Ok(Some(())),
                    next => Ok(next.transpose()?.map(drop)),
                }
            };
            match self.ask(Operation::Delete, next).await {
                Ok(Some(())) => count += 1,
                Ok(None) => return Ok(count),
                Err(error) => return Err(failure.try_recv().unwrap_or(error)),
            }
        }
    }
}

/// Marks a folder, durably, unless it is marked.
fn mark(folder: &FilePath) -> io::Result<()> {
    match File::create_new(folder.join(MARK)) {
        Ok(mut file) => {
            file.write_all(mark_text(None).as_bytes())?;
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
        let path = path(key)?;
        if self.service == Service::Folder {
            self.expect_mark().await?;
        }
        let attempt = self.attempts.begin(key);
        if self.service == Service::Folder || ByteSize::of(&bytes) < self.options.multipart_min {
            let put = self.ask(Operation::Put, self.objects.put(&path, bytes.into())).await?;
            if is_a_version(self.service, put.version.as_deref()) {
                self.keeps_versions.store(true, Ordering::Relaxed);
            }
        } else {
            self.put_in_parts(&path, bytes).await?;
        }
        attempt.kept();
        Ok(())
    }

    async fn get(&self, key: &str, most: ByteSize) -> Result<Option<Bytes>> {
        let path = path(key)?;
        self.ask_for(Operation::Get, self.read(&path, most)).await
    }

    async fn delete(&self, key: &str) -> Result<()> {
        let path = path(key)?;
        self.ask_for(Operation::Delete, self.objects.delete(&path)).await.map(drop)
    }

    fn list(&self, prefix: &str) -> Objects {
        let listed = match self.list_objects(prefix) {
            Ok(listed) => listed,
            Err(error) => stream::once(std::future::ready(Err(error))).boxed(),
        };
        // A store that lost its mark lists nothing, and that must not be believed.
        let bucket = self.clone();
        let end = stream::once(async move { bucket.expect_mark().await });
        listed.chain(end.filter_map(|marked| std::future::ready(marked.err().map(Err)))).boxed()
    }

    async fn delete_below(&self, prefix: &str) -> Result<u64> {
        let listed = self.list_objects(prefix)?;
        let deleted = self.delete_all(listed.and_then(|object| std::future::ready(path(&object.key)))).await?;
        if deleted == 0 {
            self.expect_mark().await?;
        }
        Ok(deleted)
    }

    async fn drop_cache(&self, key: &str) {
        if let (Some(folder), Ok(path)) = (&self.folder, path(key)) {
            folder.drop_pages(&path).await;
        }
    }

    fn give_up(&self, key: &str) {
        self.attempts.remember(key.to_owned());
    }

    async fn remove_lost_attempts(&self) -> Result<u64> {
        self.abort_lost_uploads().await?;
        let keys = self.attempts.take_lost(self.options.settled_after);
        if keys.is_empty() {
            return Ok(0);
        }
        let paths: Vec<_> = keys.iter().map(|key| path(key)).collect();
        let deleted = self.delete_all(stream::iter(paths)).await;
        if deleted.is_err() {
            self.attempts.put_back(keys);
        }
        deleted
    }

    fn keeps_versions(&self) -> bool {
        self.keeps_versions.load(Ordering::Relaxed)
    }

    async fn ping(&self) -> Result<()> {
        self.expect_mark().await
    }
}

/// True if the answer to a put names a version that stays. Google's store numbers every object, whether it keeps it or not.
fn is_a_version(service: Service, version: Option<&str>) -> bool {
    match service {
        Service::S3 | Service::Azure => version.is_some_and(|version| version != "null"),
        Service::Gcs | Service::Folder => false,
    }
}

/// The first `most` bytes; what comes after them is not read.
async fn first(
    mut pieces: impl futures::Stream<Item = object_store::Result<Bytes>> + Unpin,
    most: ByteSize,
) -> object_store::Result<Bytes> {
    let mut bytes = BytesMut::new();
    while ByteSize::of(&bytes) < most
        && let Some(piece) = pieces.try_next().await?
    {
        bytes.extend_from_slice(&piece);
    }
    bytes.truncate(most.as_usize());
    Ok(bytes.freeze())
}

fn path(key: &str) -> Result<Path> {
    match Path::parse(key) {
        Ok(path) if path.as_ref() == key && !key.is_empty() && key != MARK => Ok(path),
        Ok(_) => Err(StoreError::unreadable(NAME, format!("{key:?} is not a key"))),
        Err(error) => Err(StoreError::unreadable(NAME, error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_keeps_versions_if_it_names_one_that_it_would_not_otherwise() {
        assert!(is_a_version(Service::S3, Some("3sL4kqtJlcpXroDTDmJ-rmSpXd3dIbrHY")));
        for (service, version) in [
            (Service::S3, None),
            (Service::S3, Some("null")),
            (Service::Gcs, Some("1360887697105000")),
            (Service::Folder, Some("1")),
        ] {
            assert!(!is_a_version(service, version), "{service:?}");
        }
    }

    #[tokio::test]
    async fn what_comes_after_the_limit_is_not_read() {
        let pieces = |sizes: &'static [usize]| {
            let pieces = stream::iter(sizes).map(|size| Ok(Bytes::from(vec![7; *size])));
            pieces.chain(stream::once(async { panic!("read on") })).boxed()
        };
        assert_eq!(first(pieces(&[4, 4]), ByteSize(8)).await.unwrap().len(), 8);
        assert_eq!(first(pieces(&[4, 4]), ByteSize(7)).await.unwrap().len(), 7);
        assert_eq!(first(pieces(&[]), ByteSize(0)).await.unwrap().len(), 0);
    }
}
