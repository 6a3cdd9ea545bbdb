//! Hashing together: bytes that several looks fetched at about the same time go through the processor side by side.

use std::sync::Mutex;

use bytes::Bytes;
use tokio::sync::oneshot;

use crate::trace::{Record, Sha256, Stored};

/// At most so many go together. A thread that requests are answered on is kept from that for no longer than it takes.
const TOGETHER_MAX: usize = 16;
/// What is longer than this, in bytes, goes by itself: it takes long enough, and comes seldom.
const LONG: usize = 256 * 1024;

/// What waits to be hashed on a node. It takes no task and no thread of its own: whoever waits hashes for all.
#[derive(Debug, Default)]
pub struct Hashing {
    waiting: Mutex<Vec<Waiting>>,
}

#[derive(Debug)]
struct Waiting {
    bytes: Bytes,
    told: oneshot::Sender<Sha256>,
}

impl Hashing {
    /// The record of `bytes`.
    pub async fn record(&self, bytes: &Bytes) -> Record {
        Record::knowing(self.sha256(bytes).await, bytes)
    }

    /// `bytes` as they lie in a store.
    pub async fn stored(&self, bytes: &Bytes) -> Stored {
        Stored::knowing(self.sha256(bytes).await, bytes)
    }

    async fn sha256(&self, bytes: &Bytes) -> Sha256 {
        if bytes.len() > LONG {
            return Sha256::of(bytes);
        }
        let (told, mut answer) = oneshot::channel();
        self.waiting().push(Waiting { bytes: bytes.clone(), told });
        loop {
            // Others that are under way put theirs beside it.
            tokio::task::yield_now().await;
            if let Ok(sha256) = answer.try_recv() {
                return sha256;
            }
            let some_waited = self.hash_some();
            if let Ok(sha256) = answer.try_recv() {
                return sha256;
            }
            if !some_waited {
                break;
            }
        }
        // Another thread has it in hand.
        answer.await.unwrap_or_else(|_| Sha256::of(bytes))
    }

    /// Hashes those that have waited longest. False if none waits.
    fn hash_some(&self) -> bool {
        let mut some: Vec<Waiting> = {
            let mut waiting = self.waiting();
            let count = waiting.len().min(TOGETHER_MAX);
            waiting.drain(..count).collect()
        };
        if some.is_empty() {
            return false;
        }
        some.retain(|one| !one.told.is_closed());
        let parts: Vec<&[u8]> = some.iter().map(|one| &one.bytes[..]).collect();
        let digests = Sha256::of_each(&parts);
        for (one, sha256) in some.into_iter().zip(digests) {
            // Nobody is there to be told where the look was given up meanwhile.
            let _ = one.told.send(sha256);
        }
        true
    }

    fn waiting(&self) -> std::sync::MutexGuard<'_, Vec<Waiting>> {
        self.waiting.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    fn bytes(number: usize) -> Bytes {
        vec![b'x'; number].into()
    }

    #[tokio::test]
    async fn each_is_told_of_its_own_however_many_there_are() {
        for count in [0, 1, 2, TOGETHER_MAX, TOGETHER_MAX + 1, 100] {
            let hashing = Hashing::default();
            let all: Vec<Bytes> = (0..count).map(bytes).collect();
            let told = futures::future::join_all(all.iter().map(|bytes| hashing.record(bytes))).await;
            assert_eq!(told, all.iter().map(|bytes| Record::of(bytes)).collect::<Vec<_>>());
            assert!(hashing.waiting().is_empty());
        }
    }

    #[tokio::test]
    async fn what_waits_at_the_same_time_goes_together() {
        let hashing = Hashing::default();
        let (one, other) = (bytes(1), bytes(2));
        let (mut first, mut second) = (Box::pin(hashing.stored(&one)), Box::pin(hashing.stored(&other)));
        assert!(first.as_mut().now_or_never().is_none() && second.as_mut().now_or_never().is_none());
        assert_eq!(hashing.waiting().len(), 2);
        assert_eq!(second.now_or_never(), Some(Stored::of(&other)));
        assert!(hashing.waiting().is_empty(), "the first one's too");
        assert_eq!(first.now_or_never(), Some(Stored::of(&one)));
    }

    #[tokio::test]
    async fn a_look_that_is_given_up_keeps_nobody_waiting() {
        let hashing = Hashing::default();
        let all: Vec<Bytes> = (0..2 * TOGETHER_MAX).map(bytes).collect();
        let mut given_up: Vec<_> = all.iter().map(|bytes| Box::pin(hashing.stored(bytes))).collect();
        for look in &mut given_up {
            assert!(look.as_mut().now_or_never().is_none());
        }
        drop(given_up);
        assert_eq!(hashing.record(&bytes(7)).await, Record::of(&bytes(7)));
        assert!(hashing.waiting().is_empty());
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn threads_hash_for_each_other() {
        let hashing = std::sync::Arc::new(Hashing::default());
        let mut tasks = tokio::task::JoinSet::new();
        for number in 0..200 {
            let hashing = hashing.clone();
            tasks.spawn(async move { hashing.record(&bytes(number)).await == Record::of(&bytes(number)) });
        }
        while let Some(is_right) = tasks.join_next().await {
            assert!(is_right.unwrap());
        }
    }

    #[tokio::test]
    async fn long_ones_go_by_themselves() {
        let (hashing, long) = (Hashing::default(), bytes(LONG + 1));
        assert_eq!(hashing.record(&long).now_or_never(), Some(Record::of(&long)));
    }
}
