//! An object store in memory, with knobs that damage it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::{self, StreamExt as _};
use veritail::store::Result;
use veritail::store::object::{Listed, ObjectStore, Objects};
use veritail::trace::ByteSize;

/// See the module.
#[derive(Default)]
pub struct ModelObjects {
    objects: Mutex<BTreeMap<String, Bytes>>,
    damage_next_put: AtomicBool,
}

impl ModelObjects {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
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

    fn objects(&self) -> MutexGuard<'_, BTreeMap<String, Bytes>> {
        self.objects.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl ObjectStore for ModelObjects {
    async fn put(&self, key: &str, bytes: Bytes) -> Result<()> {
        self.objects().insert(key.to_owned(), bytes);
        if self.damage_next_put.swap(false, Ordering::Relaxed) {
            self.flip_byte(key, 5);
        }
        Ok(())
    }

    async fn get(&self, key: &str) -> Result<Option<Bytes>> {
        Ok(self.objects().get(key).cloned())
    }

    async fn delete(&self, key: &str) -> Result<()> {
        self.objects().remove(key);
        Ok(())
    }

    fn list(&self, prefix: &str) -> Objects {
        let objects = self.objects();
        let listed = objects.iter().filter(|(key, _)| key.starts_with(prefix));
        let listed: Vec<_> = listed.map(|(key, bytes)| (key.clone(), ByteSize::of(bytes))).collect();
        stream::iter(listed.into_iter().map(|(key, size)| Ok(Listed { key, size }))).boxed()
    }

    async fn ping(&self) -> Result<()> {
        Ok(())
    }
}
