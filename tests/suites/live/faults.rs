//! The wrapper: what it counts, and what a caller finds who lost a call before or after its effect.

use std::sync::Arc;
use std::time::Duration;

use veritail::seams::real::SystemClock;
use veritail::store::StoreError;
use veritail::store::hooked::Hooked;
use veritail::store::live::{Entry, LiveStore};
use veritail::trace::{JobStatus, Timestamp};

use super::steps::{JOB, append, append_of, bytes, changed, chunk, empty_end, load, open, stored};
use super::{Rig, embedded};
use crate::support::hooks::{Faults, Recorder, Side};

/// The store with hooks, and the same store without.
struct Wrapped<H> {
    hooked: Hooked<dyn LiveStore>,
    hook: Arc<H>,
    inner: Rig,
}

async fn wrapped<H: veritail::store::hooked::Hook + Default + 'static>() -> Wrapped<H> {
    let (inner, hook) = (embedded().await, Arc::new(H::default()));
    let hooked = Hooked::new(inner.store.clone(), hook.clone(), Arc::new(SystemClock));
    Wrapped { hooked, hook, inner }
}

fn lost<T: std::fmt::Debug>(answer: Result<T, StoreError>) {
    assert!(matches!(answer, Err(StoreError::Unavailable { .. })), "{answer:?}");
}

#[tokio::test]
async fn recorder_counts_each_call_once_by_store_and_operation() {
    let wrapped = wrapped::<Recorder>().await;
    let end = open(&wrapped.hooked, JOB).await;
    append(&wrapped.hooked, JOB, &end, b"abc").await;
    wrapped.hooked.release(JOB, chunk(0), Duration::ZERO).await.unwrap();
    assert_eq!(wrapped.hooked.name(), wrapped.inner.store.name());
    assert_eq!(wrapped.hook.list(), [("live", "append", 1), ("live", "release", 1), ("live", "replace", 1)]);
    wrapped.hook.reset();
    wrapped.hooked.ping().await.unwrap();
    assert_eq!(wrapped.hook.count("live", "ping"), 1);
    assert_eq!(wrapped.hook.count("live", "append"), 0);
}

#[tokio::test]
async fn lost_append_is_in_or_not_and_the_entry_tells_which() {
    let Wrapped { hooked, hook, inner } = wrapped::<Faults>().await;
    let end = open(&hooked, JOB).await;

    let (first, next) = append_of(&end, b"abc");
    hook.fail("live", "append", Side::Before);
    lost(hooked.append(JOB, first.clone()).await);
    assert_eq!(bytes(&*inner.store, JOB, chunk(0)).await, None);
    stored(hooked.append(JOB, first).await.unwrap());

    let (second, last) = append_of(&next, b"def");
    hook.fail("live", "append", Side::After);
    lost(hooked.append(JOB, second.clone()).await);
    assert_eq!(bytes(&*inner.store, JOB, chunk(0)).await.as_deref(), Some(&b"abcdef"[..]));
    // The same append again stores nothing twice: the entry is already the one it was to become.
    assert_eq!(changed(hooked.append(JOB, second).await.unwrap()).entry, Entry::Live(last));
    assert_eq!(bytes(&*inner.store, JOB, chunk(0)).await.as_deref(), Some(&b"abcdef"[..]));
    assert_eq!(hook.left(), 0);
}

#[tokio::test]
async fn lost_replacement_is_in_or_not_and_the_entry_tells_which() {
    let Wrapped { hooked, hook, inner } = wrapped::<Faults>().await;
    let entry = Entry::Live(empty_end());
    hook.fail("live", "replace", Side::Before);
    lost(hooked.replace(JOB, None, &entry, JobStatus::Running, None).await);
    assert!(load(&*inner.store, JOB).await.is_none());
    hook.fail("live", "replace", Side::After);
    lost(hooked.replace(JOB, None, &entry, JobStatus::Running, None).await);
    assert_eq!(load(&*inner.store, JOB).await.unwrap().entry, entry);
    assert_eq!(changed(hooked.replace(JOB, None, &entry, JobStatus::Running, None).await.unwrap()).entry, entry);
}

#[tokio::test]
async fn lost_status_watch_and_release_can_simply_be_repeated() {
    let Wrapped { hooked, hook, inner } = wrapped::<Faults>().await;
    let end = open(&hooked, JOB).await;
    append(&hooked, JOB, &end, b"abc").await;
    let status = async || load(&*inner.store, JOB).await.unwrap().status;
    let watched = async || load(&*inner.store, JOB).await.unwrap().watched_until;

    hook.fail("live", "set_status", Side::Before);
    lost(hooked.set_status(JOB, JobStatus::Canceling).await);
    assert_eq!(status().await, JobStatus::Running);
    hook.fail("live", "set_status", Side::After);
    lost(hooked.set_status(JOB, JobStatus::Canceling).await);
    assert_eq!(status().await, JobStatus::Canceling);
    assert!(hooked.set_status(JOB, JobStatus::Canceling).await.unwrap());

    hook.fail("live", "watch", Side::Before);
    lost(hooked.watch(JOB, Timestamp(5)).await);
    assert_eq!(watched().await, Timestamp(0));
    hook.fail("live", "watch", Side::After);
    lost(hooked.watch(JOB, Timestamp(5)).await);
    assert_eq!(watched().await, Timestamp(5));
    hooked.watch(JOB, Timestamp(5)).await.unwrap();

    hook.fail("live", "release", Side::Before);
    lost(hooked.release(JOB, chunk(0), Duration::ZERO).await);
    assert!(bytes(&*inner.store, JOB, chunk(0)).await.is_some());
    hook.fail("live", "release", Side::After);
    lost(hooked.release(JOB, chunk(0), Duration::ZERO).await);
    assert!(bytes(&*inner.store, JOB, chunk(0)).await.is_none());
    hooked.release(JOB, chunk(0), Duration::ZERO).await.unwrap();
    assert_eq!(hook.left(), 0);
}

#[tokio::test]
async fn lost_reads_fail_once_on_either_side() {
    let Wrapped { hooked, hook, .. } = wrapped::<Faults>().await;
    open(&hooked, JOB).await;
    for side in [Side::Before, Side::After] {
        for operation in ["load", "read_chunk", "read_open", "present", "scan", "usage", "ping"] {
            hook.fail("live", operation, side);
        }
        lost(hooked.load(JOB).await);
        lost(hooked.read_chunk(JOB, chunk(0)).await);
        lost(hooked.read_open(JOB, chunk(0)).await);
        lost(hooked.present(&[(JOB, chunk(0))]).await);
        lost(hooked.scan(None, 10).await);
        lost(hooked.usage().await);
        lost(hooked.ping().await);
        assert_eq!(hook.left(), 0);
    }
    assert!(hooked.load(JOB).await.unwrap().is_some());
    assert_eq!(hooked.scan(None, 10).await.unwrap().found.len(), 1);
    hooked.ping().await.unwrap();
}
