//! An object store in memory, with knobs that damage it.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::{self, StreamExt as _};
use veritail::seams::Clock;
use veritail::store::Result;
use veritail::store::object::{Listed, ObjectStore, Objects};
use veritail::trace::{ByteSize, Timestamp};

/// See the module.
pub struct ModelObjects {
    clock: Arc<dyn Clock>,
    objects: Mutex<BTreeMap<String, Object>>,
    damage_next_put: AtomicBool,
    /// Read wrong the next time.
    misread: Mutex<Option<String>>,
    /// Whether it keeps versions, and whether it has said so.
    versioned: AtomicBool,
    keeps_versions: AtomicBool,
    listing: Option<Mutex<Listing>>,
}

#[derive(Clone)]
pub(super) struct Object {
    bytes: Bytes,
    written: Timestamp,
}

/// What a listing shows where it lags behind what was written and deleted.
struct Listing {
    clock: Arc<dyn Clock>,
    lag_ms: u64,
    shown: BTreeMap<String, Shown>,
    /// Not shown yet, oldest first: when, which key, and what of it, or `None` for one that was deleted.
    pending: VecDeque<(Timestamp, String, Option<Shown>)>,
}

/// What a listing says of an object besides its key.
#[derive(Clone, Copy)]
struct Shown {
    size: ByteSize,
    written: Timestamp,
}

impl Listing {
    fn changed(&mut self, key: &str, shown: Option<Shown>) {
        self.pending.push_back((self.clock.now(), key.to_owned(), shown));
    }

    fn catch_up(&mut self) {
        let until = self.clock.now().plus_ms(-i64::try_from(self.lag_ms).unwrap_or(i64::MAX));
        while let Some((_, key, shown)) = self.pending.pop_front_if(|(at, ..)| *at <= until) {
            match shown {
                Some(shown) => self.shown.insert(key, shown),
                None => self.shown.remove(&key),
            };
        }
    }
}

impl Object {
    fn shown(&self) -> Shown {
        Shown { size: ByteSize::of(&self.bytes), written: self.written }
    }
}

impl ModelObjects {
    /// An empty store.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            objects: Mutex::default(),
            damage_next_put: AtomicBool::new(false),
            misread: Mutex::default(),
            versioned: AtomicBool::new(false),
            keeps_versions: AtomicBool::new(false),
            listing: None,
        }
    }

    /// An empty store whose listings are `lag_ms` old: they miss what was just written, and show what was just deleted.
    pub fn lagging(clock: Arc<dyn Clock>, lag_ms: u64) -> Self {
        let listing = Listing { clock: clock.clone(), lag_ms, shown: BTreeMap::new(), pending: VecDeque::new() };
        Self { listing: Some(Mutex::new(listing)), ..Self::new(clock) }
    }

    /// From now on listings are so old.
    pub fn set_lag(&self, lag_ms: u64) {
        if let Some(mut listing) = self.listing() {
            listing.lag_ms = lag_ms;
        }
    }

    /// An object's bytes as they are.
    pub fn bytes(&self, key: &str) -> Option<Bytes> {
        self.objects().get(key).map(|object| object.bytes.clone())
    }

    /// Flips the bits of one byte of an object. False if there is no such byte.
    pub fn flip_byte(&self, key: &str, at: usize) -> bool {
        self.change(key, |bytes| bytes.get_mut(at).map(|byte| *byte = !*byte).is_some())
    }

    /// Flips one bit of an object. False if there is no such byte.
    pub fn flip_bit(&self, key: &str, at: usize, bit: u8) -> bool {
        self.change(key, |bytes| bytes.get_mut(at).map(|byte| *byte ^= 1 << bit).is_some())
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

    /// Whether it keeps what is deleted or put over. It says so with its next answer to a put.
    pub fn keep_versions(&self, keeps: bool) {
        self.versioned.store(keeps, Ordering::Relaxed);
    }

    /// As a node that starts finds it: it has put nothing yet.
    pub fn forget_answers(&self) {
        self.keeps_versions.store(false, Ordering::Relaxed);
    }

    /// From now on every object is kept as it is written, and read as it is kept.
    pub fn be_good(&self) {
        self.damage_next_put.store(false, Ordering::Relaxed);
        *self.misread.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// This object is read wrong the next time, and only then.
    pub fn misread_once(&self, key: &str) {
        *self.misread.lock().unwrap_or_else(PoisonError::into_inner) = Some(key.to_owned());
    }

    /// The keys of all objects, in order.
    pub fn keys(&self) -> Vec<String> {
        self.objects().keys().cloned().collect()
    }

    /// The keys of objects that were written at least `age` ago, in order.
    pub fn older_than(&self, age: Duration) -> Vec<String> {
        let until = self.clock.now().before(age);
        let objects = self.objects();
        objects.iter().filter(|(_, object)| object.written <= until).map(|(key, _)| key.clone()).collect()
    }

    fn change(&self, key: &str, change: impl FnOnce(&mut Vec<u8>) -> bool) -> bool {
        let mut objects = self.objects();
        let Some(object) = objects.get_mut(key) else { return false };
        let mut bytes = object.bytes.to_vec();
        let changed = change(&mut bytes);
        object.bytes = bytes.into();
        changed
    }

    fn listing(&self) -> Option<MutexGuard<'_, Listing>> {
        self.listing.as_ref().map(|listing| listing.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn changed(&self, key: &str, shown: Option<Shown>) {
        if let Some(mut listing) = self.listing() {
            listing.changed(key, shown);
        }
    }

    pub(super) fn objects(&self) -> MutexGuard<'_, BTreeMap<String, Object>> {
        self.objects.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl ObjectStore for ModelObjects {
    async fn put(&self, key: &str, bytes: Bytes) -> Result<()> {
        self.keeps_versions.fetch_or(self.versioned.load(Ordering::Relaxed), Ordering::Relaxed);
        let object = Object { bytes, written: self.clock.now() };
        self.changed(key, Some(object.shown()));
        self.objects().insert(key.to_owned(), object);
        if self.damage_next_put.swap(false, Ordering::Relaxed) {
            self.flip_byte(key, 5);
        }
        Ok(())
    }

    async fn get(&self, key: &str, most: ByteSize) -> Result<Option<Bytes>> {
        let first = |bytes: &Bytes| bytes.slice(..bytes.len().min(most.as_usize()));
        let mut bytes = self.bytes(key).as_ref().map(first);
        let mut misread = self.misread.lock().unwrap_or_else(PoisonError::into_inner);
        if bytes.is_some() && misread.take_if(|misread| misread == key).is_some() {
            bytes = Some(Bytes::from_static(b"what was read wrong"));
        }
        Ok(bytes)
    }

    async fn delete(&self, key: &str) -> Result<()> {
        if self.objects().remove(key).is_some() {
            self.changed(key, None);
        }
        Ok(())
    }

    fn list(&self, prefix: &str) -> Objects {
        let shown: BTreeMap<String, Shown> = match self.listing() {
            Some(mut listing) => {
                listing.catch_up();
                listing.shown.clone()
            }
            None => self.objects().iter().map(|(key, object)| (key.clone(), object.shown())).collect(),
        };
        let prefix = prefix.to_owned();
        let listed = shown.into_iter().filter(move |(key, _)| key.starts_with(&prefix));
        let listed = listed.map(|(key, Shown { size, written })| Ok(Listed { key, size, modified: Some(written) }));
        stream::iter(listed).boxed()
    }

    fn keeps_versions(&self) -> bool {
        self.keeps_versions.load(Ordering::Relaxed)
    }

    async fn ping(&self) -> Result<()> {
        Ok(())
    }
}
