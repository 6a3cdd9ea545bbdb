//! An object store in memory, with knobs that damage it.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::{self, StreamExt as _};
use veritail::seams::Clock;
use veritail::store::Result;
use veritail::store::object::{Listed, ObjectStore, Objects};
use veritail::trace::{ByteSize, Timestamp};

/// See the module.
#[derive(Default)]
pub struct ModelObjects {
    objects: Mutex<BTreeMap<String, Bytes>>,
    damage_next_put: AtomicBool,
    listing: Option<Mutex<Listing>>,
}

/// What a listing shows where it lags behind what was written and deleted.
struct Listing {
    clock: Arc<dyn Clock>,
    lag_ms: u64,
    shown: BTreeMap<String, ByteSize>,
    /// Not shown yet, oldest first: when, which key, and its size, or `None` for one that was deleted.
    pending: VecDeque<(Timestamp, String, Option<ByteSize>)>,
}

impl Listing {
    fn changed(&mut self, key: &str, size: Option<ByteSize>) {
        self.pending.push_back((self.clock.now(), key.to_owned(), size));
    }

    fn catch_up(&mut self) {
        let until = self.clock.now().plus_ms(-i64::try_from(self.lag_ms).unwrap_or(i64::MAX));
        while let Some((_, key, size)) = self.pending.pop_front_if(|(at, ..)| *at <= until) {
            match size {
                Some(size) => self.shown.insert(key, size),
                None => self.shown.remove(&key),
            };
        }
    }
}

impl ModelObjects {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty store whose listings are `lag_ms` old: they miss what was just written, and show what was just deleted.
    pub fn lagging(clock: Arc<dyn Clock>, lag_ms: u64) -> Self {
        let listing = Listing { clock, lag_ms, shown: BTreeMap::new(), pending: VecDeque::new() };
        Self { listing: Some(Mutex::new(listing)), ..Self::default() }
    }

    /// From now on listings are so old.
    pub fn set_lag(&self, lag_ms: u64) {
        if let Some(mut listing) = self.listing() {
            listing.lag_ms = lag_ms;
        }
    }

    /// An object's bytes as they are.
    pub fn bytes(&self, key: &str) -> Option<Bytes> {
        self.objects().get(key).cloned()
    }

    /// Flips the bits of one byte of an object. False if there is no such byte.
    pub fn flip_byte(&self, key: &str, at: usize) -> bool {
        self.change(key, |bytes| bytes.get_mut(at).map(|byte| *byte = !*byte).is_some())
    }

    /// Cuts an object down to its first `size` bytes. False if it is not longer than that.
    pub fn truncate(&self, key: &str, size: usize) -> bool {
        self.change(key, |bytes| {
            let is_longer = bytes.len() > size;
            bytes.truncate(size);
            is_longer
        })
    }

    /// Loses an object. False if there is none.
    pub fn lose(&self, key: &str) -> bool {
        self.changed(key, None);
        self.objects().remove(key).is_some()
    }

    /// The next object is not kept as it is written, and the store says nothing.
    pub fn damage_next_put(&self) {
        self.damage_next_put.store(true, Ordering::Relaxed);
    }

    /// The keys of all objects, in order.
    pub fn keys(&self) -> Vec<String> {
        self.objects().keys().cloned().collect()
    }

    fn change(&self, key: &str, change: impl FnOnce(&mut Vec<u8>) -> bool) -> bool {
        let mut objects = self.objects();
        let Some(object) = objects.get_mut(key) else { return false };
        let mut bytes = object.to_vec();
        let changed = change(&mut bytes);
        *object = bytes.into();
        changed
    }

    fn listing(&self) -> Option<MutexGuard<'_, Listing>> {
        self.listing.as_ref().map(|listing| listing.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn changed(&self, key: &str, size: Option<ByteSize>) {
        if let Some(mut listing) = self.listing() {
            listing.changed(key, size);
        }
    }

    fn objects(&self) -> MutexGuard<'_, BTreeMap<String, Bytes>> {
        self.objects.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl ObjectStore for ModelObjects {
    async fn put(&self, key: &str, bytes: Bytes) -> Result<()> {
        self.changed(key, Some(ByteSize::of(&bytes)));
        self.objects().insert(key.to_owned(), bytes);
        if self.damage_next_put.swap(false, Ordering::Relaxed) {
            self.flip_byte(key, 5);
        }
        Ok(())
    }

    async fn get(&self, key: &str, most: ByteSize) -> Result<Option<Bytes>> {
        let first = |bytes: &Bytes| bytes.slice(..bytes.len().min(most.as_usize()));
        Ok(self.objects().get(key).map(first))
    }

    async fn delete(&self, key: &str) -> Result<()> {
        if self.objects().remove(key).is_some() {
            self.changed(key, None);
        }
        Ok(())
    }

    fn list(&self, prefix: &str) -> Objects {
        let shown: BTreeMap<String, ByteSize> = match self.listing() {
            Some(mut listing) => {
                listing.catch_up();
                listing.shown.clone()
            }
            None => self.objects().iter().map(|(key, bytes)| (key.clone(), ByteSize::of(bytes))).collect(),
        };
        let prefix = prefix.to_owned();
        let listed = shown.into_iter().filter(move |(key, _)| key.starts_with(&prefix));
        stream::iter(listed.map(|(key, size)| Ok(Listed { key, size }))).boxed()
    }

    async fn ping(&self) -> Result<()> {
        Ok(())
    }
}
