//! What was used lately, in bounds.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher as _, Hash};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A map that forgets the least used when it is full.
///
/// Every request looks here, so this is a plain map behind a lock that is held for nanoseconds, in parts so that requests
/// of different keys seldom meet. What was not used while half of a part's capacity was is forgotten.
pub struct Recent<K, V> {
    parts: [Mutex<Part<K, V>>; PARTS],
    hasher: RandomState,
    /// Entries of a part that are new or used before the others count as unused.
    half: usize,
}

struct Part<K, V> {
    used: HashMap<K, V>,
    /// What was in `used` when it was full the last time, and was not used since.
    unused: HashMap<K, V>,
}

const PARTS: usize = 16;

impl<K: Hash + Eq, V: Clone> Recent<K, V> {
    /// An empty map of at most about `capacity` entries.
    pub fn new(capacity: usize) -> Self {
        let part = || Mutex::new(Part { used: HashMap::new(), unused: HashMap::new() });
        let parts = std::array::from_fn(|_| part());
        Self { parts, hasher: RandomState::new(), half: (capacity / PARTS / 2).max(1) }
    }

    fn part(&self, key: &K) -> MutexGuard<'_, Part<K, V>> {
        let part = (self.hasher.hash_one(key) % PARTS as u64) as usize;
        self.parts[part].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The value, which counts as used now.
    pub fn get(&self, key: &K) -> Option<V> {
        self.part(key).get(key, self.half)
    }

    /// Puts a value in place of whatever was there.
    pub fn put(&self, key: K, value: V) {
        self.part(&key).put(key, value, self.half);
    }

    /// Forgets a key.
    pub fn forget(&self, key: &K) {
        let mut part = self.part(key);
        part.used.remove(key);
        part.unused.remove(key);
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        let parts = self.parts.iter().map(|part| part.lock().unwrap_or_else(PoisonError::into_inner));
        parts.map(|part| part.used.len() + part.unused.len()).sum()
    }

    /// True if there is nothing.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<K: Hash + Eq, V: Clone> Part<K, V> {
    fn get(&mut self, key: &K, half: usize) -> Option<V> {
        if let Some(value) = self.used.get(key) {
            return Some(value.clone());
        }
        let (key, value) = self.unused.remove_entry(key)?;
        self.put(key, value.clone(), half);
        Some(value)
    }

    fn put(&mut self, key: K, value: V, half: usize) {
        self.unused.remove(&key);
        self.used.insert(key, value);
        if self.used.len() >= half {
            self.unused = std::mem::take(&mut self.used);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_used_stays_and_the_rest_is_forgotten_in_bounds() {
        let recent = Recent::new(PARTS * 20);
        for number in 2..10_000 {
            recent.put(number, number);
            assert_eq!(recent.get(&2), Some(2), "{number}");
            assert_eq!(recent.get(&number), Some(number));
            assert!(recent.len() <= PARTS * 20);
        }
        assert_eq!(recent.get(&3), None);
    }

    #[test]
    fn what_is_forgotten_is_gone_wherever_it_was() {
        let recent = Recent::new(1);
        recent.put(1, "kept");
        assert!(recent.parts.iter().all(|part| part.lock().expect("no panic").used.is_empty()));
        recent.forget(&1);
        assert!(recent.is_empty());
        let recent = Recent::new(PARTS * 20);
        recent.put(1, "kept");
        recent.forget(&1);
        assert_eq!(recent.get(&1), None);
    }
}
