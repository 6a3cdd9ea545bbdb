//! Records of full chunks, which are written beside the answers.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::watch;
use tokio::time::timeout;
use veritail::store::Result;
use veritail::store::StoreError;
use veritail::store::hooked::{Call, Hook};
use veritail::trace::{ChunkIndex, ChunkRow, JobId};

use crate::support::hooks::{Faults, Side};
use crate::support::server::{Hooks, Job, Node, log};

const CHUNK: usize = 131_072;
/// Within this time an answer that waits for nothing comes also on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// Records wait in front of the database while it is closed.
struct Door(watch::Sender<bool>);

#[async_trait]
impl Hook for Door {
    async fn before(&self, call: &Call) -> Result<()> {
        if call.operation == "record" {
            let mut open = self.0.subscribe();
            open.wait_for(|open| *open).await.expect("the door outlives its node");
        }
        Ok(())
    }

    async fn after(&self, _call: &Call, _took: Duration, _failed: Option<&StoreError>) -> Result<()> {
        Ok(())
    }
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

#[tokio::test(flavor = "multi_thread")]
async fn neither_the_patch_that_fills_a_chunk_nor_the_next_waits_for_its_record() {
    let door = Arc::new(Door(watch::Sender::new(true)));
    let node = start(door.clone()).await;
    let client = node.client();
    let job = client.make_job().await;
    let log = log(3 * CHUNK);
    client.append_all(&job, 0, &log[..CHUNK + 1]).await;
    assert!(is_recorded(&node, &job, 0).await, "the first byte of chunk 1 waits for the row that this record makes");

    door.0.send_replace(false);
    let answered = timeout(PATIENCE, async {
        client.append_all(&job, CHUNK + 1, &log[CHUNK + 1..2 * CHUNK]).await;
        client.append_all(&job, 2 * CHUNK, &log[2 * CHUNK..2 * CHUNK + 10]).await;
    });
    answered.await.expect("both are answered while the record waits");
    assert!(!is_recorded(&node, &job, 1).await);
    assert!(row(&node, &job, 2).await.is_some(), "the row was there before the first byte");

    // The record of chunk 1 makes the row of chunk 3, and comes before that of chunk 2.
    door.0.send_replace(true);
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
