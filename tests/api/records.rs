//! Records of full chunks, which are written beside the answers.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::TryStreamExt as _;
use tokio::sync::watch;
use tokio::time::timeout;
use veritail::store::Result;
use veritail::store::StoreError;
use veritail::store::hooked::{Call, Hook};
use veritail::store::object::{codec, keys};
use veritail::trace::{ByteSize, ChunkIndex, ChunkRow, ChunkState, JobId, Location, Sha256, StoredObject, Timestamp};

use crate::support::hooks::{Faults, Recorder, Side};
use crate::support::server::{Hooks, Job, Node, log};
use crate::support::wait::until;

const CHUNK: usize = 131_072;
/// Within this time an answer that waits for nothing comes also on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// An operation waits in front of its store while it is closed.
struct Door {
    operation: &'static str,
    open: watch::Sender<bool>,
}

impl Door {
    fn before_every(operation: &'static str) -> Self {
        Self { operation, open: watch::Sender::new(true) }
    }

    fn close(&self) {
        self.open.send_replace(false);
    }

    fn open(&self) {
        self.open.send_replace(true);
    }
}

#[async_trait]
impl Hook for Door {
    async fn before(&self, call: &Call) -> Result<()> {
        if call.operation == self.operation {
            let mut open = self.open.subscribe();
            open.wait_for(|open| *open).await.expect("the door outlives its node");
        }
        Ok(())
    }

    async fn after(&self, _call: &Call, _took: Duration, _failed: Option<&StoreError>) -> Result<()> {
        Ok(())
    }
}

/// A door, and what is asked of the stores on both sides of it.
struct Watched {
    door: Door,
    calls: Recorder,
}

#[async_trait]
impl Hook for Watched {
    async fn before(&self, call: &Call) -> Result<()> {
        self.calls.before(call).await?;
        self.door.before(call).await
    }

    async fn after(&self, _call: &Call, _took: Duration, _failed: Option<&StoreError>) -> Result<()> {
        Ok(())
    }
}

/// A node that migrates, and whose sweeps come too late for everything.
async fn start_working(hook: Arc<dyn Hook>) -> Node {
    let mut hooks = Hooks::new(hook);
    hooks.settings.sweep_interval = Duration::from_secs(3600);
    Node::start(hooks).await
}

async fn start(hook: Arc<dyn Hook>) -> Node {
    let mut hooks = Hooks::new(hook);
    hooks.works = false;
    Node::start(hooks).await
}

async fn row(node: &Node, job: &Job, index: u32) -> Option<ChunkRow> {
    node.stores().database.chunk(JobId(job.id), ChunkIndex(index)).await.expect("the database answers")
}

async fn is_recorded(node: &Node, job: &Job, index: u32) -> bool {
    row(node, job, index).await.is_some_and(|row| row.record().is_some())
}

async fn is_persistent(node: &Node, job: &Job) -> bool {
    row(node, job, 0).await.is_some_and(|row| matches!(row.state, ChunkState::Persisted { .. }))
}

/// A node that works, what is asked of its stores from now on, and a job whose first chunk is full while its record waits.
async fn full_before_its_record() -> (Arc<Watched>, Node, Job) {
    let watched = Arc::new(Watched { door: Door::before_every("record"), calls: Recorder::default() });
    let node = start_working(watched.clone()).await;
    let job = node.client().make_job().await;
    let log = log(CHUNK);
    node.client().append_all(&job, 0, &log[..10]).await;
    watched.calls.reset();
    watched.door.close();
    node.client().append_all(&job, 10, &log[10..]).await;
    (watched, node, job)
}

#[tokio::test(flavor = "multi_thread")]
async fn neither_the_patch_that_fills_a_chunk_nor_the_next_waits_for_its_record() {
    let door = Arc::new(Door::before_every("record"));
    let node = start(door.clone()).await;
    let client = node.client();
    let job = client.make_job().await;
    let log = log(3 * CHUNK);
    client.append_all(&job, 0, &log[..CHUNK + 1]).await;
    assert!(is_recorded(&node, &job, 0).await, "the first byte of chunk 1 waits for the row that this record makes");

    door.close();
    let answered = timeout(PATIENCE, async {
        client.append_all(&job, CHUNK + 1, &log[CHUNK + 1..2 * CHUNK]).await;
        client.append_all(&job, 2 * CHUNK, &log[2 * CHUNK..2 * CHUNK + 10]).await;
    });
    answered.await.expect("both are answered while the record waits");
    assert!(!is_recorded(&node, &job, 1).await);
    assert!(row(&node, &job, 2).await.is_some(), "the row was there before the first byte");

    // The record of chunk 1 makes the row of chunk 3, and comes before that of chunk 2.
    door.open();
    client.append_all(&job, 2 * CHUNK + 10, &log[2 * CHUNK + 10..]).await;
    assert!(is_recorded(&node, &job, 1).await);
    assert!(row(&node, &job, 3).await.is_some());
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_was_not_written_is_written_by_the_next_append() {
    let faults = Arc::new(Faults::default());
    let node = start(faults.clone()).await;
    let client = node.client();
    let job = client.make_job().await;
    let log = log(CHUNK + 10);
    faults.fail("database", "record", Side::Before);
    client.append_all(&job, 0, &log[..CHUNK]).await;
    client.append_all(&job, CHUNK, &log[CHUNK..]).await;
    assert_eq!(faults.left(), 0);
    assert!(is_recorded(&node, &job, 0).await);
    assert!(row(&node, &job, 1).await.is_some());
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_chunk_is_read_while_its_record_waits_and_moves_on_without_a_question_for_its_row() {
    let (watched, node, job) = full_before_its_record().await;
    let calls = &watched.calls;
    calls.until("live", "read_chunk", 1).await;
    assert_eq!(calls.count("object_store", "put"), 0, "nothing is stored of which there is no record");

    watched.door.open();
    calls.until("live", "release", 1).await;
    let operations = ["record", "persist", "chunk"].map(|operation| calls.count("database", operation));
    assert_eq!(operations, [1, 1, 0]);
    assert_eq!(["put", "get"].map(|operation| calls.count("object_store", operation)), [1, 1]);
    assert_eq!(calls.count("live", "read_chunk"), 1);
    assert!(is_persistent(&node, &job).await);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_chunk_whose_record_was_taken_and_not_answered_moves_on_by_its_row() {
    let faults = Arc::new(Faults::default());
    let node = start_working(faults.clone()).await;
    let client = node.client();
    let job = client.make_job().await;
    faults.fail("database", "record", Side::After);
    client.append_all(&job, 0, &log(CHUNK)).await;
    until("the chunk is persistent", async || is_persistent(&node, &job).await).await;
    assert_eq!(faults.left(), 0);
    node.stop().await;
}

/// The copy that was on its way is one too many, and goes.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_chunk_whose_row_changed_since_its_record_is_left_to_who_changed_it() {
    let watched = Arc::new(Watched { door: Door::before_every("get"), calls: Recorder::default() });
    let (calls, node) = (&watched.calls, start_working(watched.clone()).await);
    let client = node.client();
    let job = client.make_job().await;
    let log = log(CHUNK);
    watched.door.close();
    client.append_all(&job, 0, &log).await;
    calls.until("object_store", "get", 1).await;

    let (stored, sealed) = (codec::encode(&log), row(&node, &job, 0).await.unwrap());
    let key = keys::chunk_key(JobId(job.id), ChunkIndex(0), sealed.epoch, "another");
    let (size, sha256) = (ByteSize::of(&stored), Sha256::of(&stored));
    node.stores().objects.put(&key, stored.into()).await.unwrap();
    let to = Location::Object(StoredObject { key: key.clone(), size, sha256 });
    let persisted =
        node.stores().database.persist(JobId(job.id), ChunkIndex(0), sealed.version, &to, Timestamp(0)).await;
    assert!(persisted.unwrap(), "somebody else was faster");

    watched.door.open();
    calls.until("object_store", "delete", 1).await;
    until("only what the row names is there", async || {
        let left: Vec<_> = node.stores().objects.list("traces/").try_collect().await.unwrap();
        left.len() == 1 && left[0].key == key
    })
    .await;
    assert!(client.trace(&job).await == log);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_takes_long_keeps_no_worker_and_its_chunk_moves_on_all_the_same() {
    let (watched, node, job) = full_before_its_record().await;
    let calls = &watched.calls;
    calls.until("database", "chunk", 1).await;
    assert_eq!(calls.count("object_store", "put"), 0, "its worker went on without it");

    watched.door.open();
    calls.until("live", "release", 1).await;
    assert!(is_persistent(&node, &job).await);
    node.stop().await;
}
