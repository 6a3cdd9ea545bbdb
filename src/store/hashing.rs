//! Hashing together: bytes that several looks fetched at about the same time go through the processor side by side.

use std::collections::VecDeque;
use std::sync::Mutex;

use bytes::Bytes;
use tokio::sync::oneshot;
use tokio::sync::oneshot::error::TryRecvError;

use crate::trace::{Record, Sha256, Stored};

/// At most so many go together.
const TOGETHER_MAX: usize = 16;
/// And at most so many bytes: a thread that requests are answered on is kept from that for about a millisecond.
const BYTES_MAX: usize = 2 << 20;
/// What is longer than this, in bytes, goes by itself: such are all chunks of a trace that was made with larger ones.
const LONG: usize = 256 * 1024;

/// What waits to be hashed on a node. It takes no task and no thread of its own: whoever waits hashes for all.
#[derive(Debug, Default)]
pub struct Hashing {
    waiting: Mutex<VecDeque<Waiting>>,
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
        if bytes.len() > LONG || !Sha256::goes_together() {
            return Sha256::of(bytes);
        }
        let (told, mut answer) = oneshot::channel();
        self.waiting().push_back(Waiting { bytes: bytes.clone(), told });
        let mut is_told = || match answer.try_recv() {
            Ok(sha256) => Some(sha256),
            // Whoever had it in hand did not come to its end.
            Err(TryRecvError::Closed) => Some(Sha256::of(bytes)),
            Err(TryRecvError::Empty) => None,
        };
        loop {
            // Others that are under way put theirs beside it.
            tokio::task::yield_now().await;
            if let Some(sha256) = is_told() {
                return sha256;
            }
            let some_waited = self.hash_some();
            if let Some(sha256) = is_told() {
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
        let some = self.next();
        let parts: Vec<&[u8]> = some.iter().map(|one| &one.bytes[..]).collect();
        let digests = Sha256::of_each(&parts);
        let some_waited = !some.is_empty();
        for (one, sha256) in some.into_iter().zip(digests) {
            // Nobody is there to be told where the look was given up meanwhile.
            let _ = one.told.send(sha256);
        }
        some_waited
    }

    /// Takes those that go together off the list, without those whose looks were given up.
    fn next(&self) -> Vec<Waiting> {
        let (mut waiting, mut some, mut bytes) = (self.waiting(), Vec::new(), 0);
        while some.len() < TOGETHER_MAX
            && let Some(one) = waiting.pop_front_if(|one| one.told.is_closed() || bytes + one.bytes.len() <= BYTES_MAX)
        {
            if !one.told.is_closed() {
                bytes += one.bytes.len();
                some.push(one);
            }
        }
        some
    }

    fn waiting(&self) -> std::sync::MutexGuard<'_, VecDeque<Waiting>> {
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
    async fn no_more_bytes_go_together_than_are_hashed_in_a_moment() {
        let (hashing, long) = (Hashing::default(), bytes(LONG));
        let mut looks: Vec<_> = (0..TOGETHER_MAX).map(|_| Box::pin(hashing.stored(&long))).collect();
        assert!(looks.iter_mut().all(|look| look.as_mut().now_or_never().is_none()));
        assert_eq!(hashing.next().len(), BYTES_MAX / LONG);
        assert_eq!(hashing.waiting().len(), TOGETHER_MAX - BYTES_MAX / LONG);
    }

    #[tokio::test]
    async fn what_another_thread_did_not_come_to_the_end_of_is_hashed_all_the_same() {
        let (hashing, long) = (Hashing::default(), bytes(1000));
        let mut look = Box::pin(hashing.stored(&long));
        assert!(look.as_mut().now_or_never().is_none());
        drop(hashing.next());
        assert_eq!(look.now_or_never(), Some(Stored::of(&long)));
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
        assert!(hashing.next().is_empty(), "nobody waits for them");
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
