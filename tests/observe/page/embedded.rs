//! One Veritail on the stores that are part of the program: a folder, and nothing beside it.

use std::sync::Arc;
use std::time::Duration;

use veritail::seams::real::SystemClock;
use veritail::store::database::Database as _;
use veritail::store::database::sqlite::SqliteDatabase;
use veritail::store::live::embedded::EmbeddedLive;
use veritail::store::live::{Append, LiveStore as _, Outcome};
use veritail::trace::{ByteSize, ChunkIndex, JobId};

use super::integrity::DAMAGE;
use super::post::Post;
use super::site::{Node, VARIABLES, Watched, variables_of};
use super::{only, page};
use crate::support::production::IN_SECONDS;
use crate::support::runner::Runner;
use crate::support::server::{Client, Job, log};

/// See the module. All of it ends with this value.
pub(super) struct Alone {
    node: Node,
    client: Client,
    variables: Vec<(String, String)>,
}

impl Alone {
    pub(super) fn start() -> Self {
        let variables: Vec<_> = variables_of(IN_SECONDS).chain(variables_of(VARIABLES)).collect();
        let mut node = Node::new();
        let client = tokio::task::block_in_place(|| node.start(&variables));
        Self { node, client, variables }
    }

    /// Flips a bit of what its live store holds of the job's first chunk. Nobody else may open that store meanwhile: the
    /// node ends before, and comes back.
    async fn flip_live(&mut self, job: &Job) {
        tokio::task::block_in_place(|| self.node.stop());
        let (below, id) = (self.node.data_dir(), JobId(job.id));
        let database = SqliteDatabase::open(&below.join("veritail.db")).await.expect("a database");
        let chunk = database.chunk(id, ChunkIndex(0)).await.expect("a database").expect("a row").id();
        database.close().await;
        let live = EmbeddedLive::open(&below.join("live"), Arc::new(SystemClock)).expect("a live store");
        let copy = live.read_open(id, chunk).await.expect("a live store");
        let (entry, bytes) = (copy.trace.expect("an entry"), copy.bytes.expect("a live copy"));
        // It takes bytes that nobody vouched for: the copy is taken away, and written anew under the same entry.
        live.release(id, chunk, Duration::ZERO).await.expect("a live store");
        let (epoch, expected, next) = (entry.entry.epoch(), entry.raw.clone(), entry.raw);
        let mut bytes = bytes.to_vec();
        bytes[17] ^= 1;
        let append = Append { epoch, expected, chunk, at: ByteSize::ZERO, bytes: bytes.into(), seals: false, next };
        let written = live.append(id, append).await.expect("a live store");
        assert!(matches!(written, Outcome::Stored { .. }), "{written:?}");
        drop(live);
        tokio::task::block_in_place(|| self.node.start(&self.variables));
    }
}

impl Watched for Alone {
    fn job(&self) -> String {
        "veritail-embedded".to_owned()
    }

    fn targets(&self) -> Vec<String> {
        vec![self.node.target()]
    }

    fn log(&self) -> String {
        self.node.log()
    }
}

/// A bit of what its live store holds of a job whose runner goes on.
pub(super) async fn bytes_rot(mut site: Alone, post: &Post) {
    const NAME: &str = "VeritailChecksumMismatch";
    let client = site.client.clone();
    let job = client.make_job_with_reset(true).await;
    let log = log(9_000);
    let mut runner = Runner::new(&client, &job).with_patience(200);
    runner.send(&log[..3_000]).await;
    site.flip_live(&job).await;
    let about = [("kind", "checksum"), ("store", "embedded")];
    let message = page(post, &site, NAME, true, &about).await;
    assert_eq!(message.label("severity"), "critical");
    assert!(message.annotation("summary").contains("embedded"), "{}", message.annotation("summary"));
    // The runner goes on, and is asked for the bytes.
    assert_eq!(runner.finish(&log).await.status, 200);
    page(post, &site, NAME, false, &about).await;
    assert_eq!(client.trace(&job).await, log);
    only(post, &site, DAMAGE);
}
