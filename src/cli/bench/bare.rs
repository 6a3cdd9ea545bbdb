//! The bare minimum that a Veritail is compared with: what its live store takes when nothing is recorded, proven or promised.

use std::path::Path;
use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path as InPath, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::patch;
use axum::serve::ListenerExt as _;
use redis::IntoConnectionInfo as _;
use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::io::tcp::TcpSettings;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::clock;
use super::content::Content;
use super::load::{self, Met, Plan, Shared, Work};
use super::progress::Progress;
use super::wire::{Job, Wire};
use crate::cli::Failed;
use crate::cli::client::Client;
use crate::seams::real::SystemClock;
use crate::store::live::embedded::EmbeddedLive;
use crate::store::live::redis::{CONNECTION_TIMEOUT, RESPONSE_TIMEOUT};
use crate::store::live::{Append, Entry, LiveStore, Outcome};
use crate::trace::content_range::parse_start;
use crate::trace::{ByteSize, ChunkSize, Epoch, JobId, JobStatus, OpenEnd};

/// A handler that takes a patch and does one `APPEND` on a Redis, over the connection that the live store uses.
pub(super) struct BareRedis {
    connection: ConnectionManager,
    wire: Wire,
    /// Ends with this value.
    _served: JoinSet<()>,
}

/// Where a key ends and the next begins, as with chunks: a value that grows for ever would cost more and more.
const KEY_SIZE: u64 = 131_072;

fn key(job: i64, at: u64) -> String {
    format!("veritail-bench:{{{job}}}:{}", at / KEY_SIZE)
}

impl BareRedis {
    pub(super) async fn start(url: &str) -> Result<Self, Failed> {
        let settings = TcpSettings::default().set_nodelay(true);
        let target = url.into_connection_info().map_err(Failed::because)?.set_tcp_settings(settings);
        let client = redis::Client::open(target).map_err(Failed::because)?;
        let config = ConnectionManagerConfig::new()
            .set_response_timeout(Some(RESPONSE_TIMEOUT))
            .set_connection_timeout(Some(CONNECTION_TIMEOUT))
            .set_number_of_retries(0);
        let connection = ConnectionManager::new_with_config(client, config).await.map_err(Failed::because)?;
        let routes = Router::new()
            .route("/api/v4/jobs/{job}/trace", patch(append))
            .layer(DefaultBodyLimit::disable())
            .with_state(connection.clone());
        let listener = TcpListener::bind("127.0.0.1:0").await.map_err(Failed::because)?;
        let address = listener.local_addr().map_err(Failed::because)?;
        let listener = listener.tap_io(|stream| drop(stream.set_nodelay(true)));
        let mut served = JoinSet::new();
        served.spawn(async move { drop(axum::serve(listener, routes).await) });
        let client = Client::loopback(format!("http://{address}"), String::new())?;
        Ok(Self { connection, wire: Wire { client }, _served: served })
    }

    /// The same load as for a Veritail. What it left in Redis is removed.
    pub(super) async fn round(&self, plan: &Plan, content: &Arc<Content>, progress: &Progress) -> Result<Met, Failed> {
        let shared = Arc::new(Shared::default());
        let jobs = (1i64..).take(plan.runners).map(|id| Job { id, token: String::new(), project_id: 0 }).collect();
        let runners = load::runners(&self.wire, content, &shared, jobs, plan.patch);
        let runners = load::all(runners, Work::First, plan, progress).await;
        let runners = load::all(runners, Work::Plan, plan, progress).await;
        let mut connection = self.connection.clone();
        for runner in &runners {
            let mut remove = redis::cmd("UNLINK");
            for part in 0..=runner.said / KEY_SIZE {
                remove.arg(key(runner.job.id, part * KEY_SIZE));
            }
            let _: u64 = remove.query_async(&mut connection).await.map_err(Failed::because)?;
        }
        Ok(shared.so_far())
    }
}

async fn append(
    State(mut connection): State<ConnectionManager>,
    InPath(job): InPath<i64>,
    headers: HeaderMap,
    body: Bytes,
) -> (StatusCode, [(&'static str, String); 1]) {
    let start = headers.get("Content-Range").and_then(|range| range.to_str().ok()).map(parse_start);
    let Some(Ok(start)) = start else { return (StatusCode::BAD_REQUEST, [("Range", "0-0".to_owned())]) };
    let length = start + ByteSize::of(&body);
    let appended = redis::cmd("APPEND").arg(key(job, start.0)).arg(&body[..]).query_async::<u64>(&mut connection).await;
    match appended {
        Ok(_) => (StatusCode::ACCEPTED, [("Range", format!("0-{length}"))]),
        Err(_) => (StatusCode::SERVICE_UNAVAILABLE, [("Range", format!("0-{start}"))]),
    }
}

/// Appends to an embedded live store in this folder, without HTTP: what its committer and its disk take.
pub(super) async fn embedded(folder: &Path, plan: &Plan, content: &Arc<Content>) -> Result<Met, Failed> {
    let live = EmbeddedLive::open(folder, Arc::new(SystemClock)).map_err(Failed::because)?;
    let (live, shared): (Arc<dyn LiveStore>, _) = (Arc::new(live), Arc::new(Shared::default()));
    let mut opened = Vec::new();
    for number in 0..plan.runners as u64 {
        opened.push(Writer::open(live.clone(), number).await?);
    }
    let (mut tasks, start) = (JoinSet::new(), clock::now());
    for mut writer in opened {
        let (plan, content, shared) = (plan.clone(), content.clone(), shared.clone());
        tasks.spawn(async move {
            if let Err(Failed(why)) = writer.work(&plan, &content, &shared, start).await {
                shared.failed(why);
            }
        });
    }
    while tasks.join_next().await.is_some() {}
    shared.end_of_measure(start.elapsed());
    Ok(shared.so_far())
}

/// One trace of the embedded store.
struct Writer {
    live: Arc<dyn LiveStore>,
    number: u64,
    job: JobId,
    end: OpenEnd,
    said: u64,
}

impl Writer {
    async fn open(live: Arc<dyn LiveStore>, number: u64) -> Result<Self, Failed> {
        let job = JobId(i64::try_from(number).unwrap_or_default() + 1);
        let end = OpenEnd::new(Epoch(0), ChunkSize::DEFAULT);
        let opened = live.replace(job, None, &Entry::Live(end.clone()), JobStatus::Running, None).await;
        opened.map_err(Failed::because)?;
        Ok(Self { live, number, job, end, said: 0 })
    }

    async fn work(
        &mut self,
        plan: &Plan,
        content: &Content,
        shared: &Shared,
        start: clock::Instant,
    ) -> Result<(), Failed> {
        let end = plan.span.map(|span| start + span);
        loop {
            let left = plan.bytes.map_or(u64::MAX, |bytes| bytes.saturating_sub(self.said));
            if left == 0 || end.is_some_and(|end| clock::now() >= end) {
                return Ok(());
            }
            let size = plan.patch.min(left);
            let began = clock::now();
            self.append(content.piece(self.number, self.said, usize::try_from(size).unwrap_or_default())).await?;
            self.said += size;
            shared.appended(size, began.elapsed(), began.elapsed(), None);
        }
    }

    async fn append(&mut self, mut bytes: Bytes) -> Result<(), Failed> {
        while !bytes.is_empty() {
            let slice = bytes.split_to(bytes.len().min(self.end.room().as_usize()));
            let mut step = self.end.append(&slice).map_err(Failed::because)?;
            // As if its record were in the database.
            step.next.sealed.clear();
            let append = Append {
                epoch: self.end.epoch,
                expected: Entry::Live(self.end.clone()).encode().into(),
                chunk: step.chunk,
                at: step.at,
                bytes: slice,
                seals: step.seals.is_some(),
                next: Entry::Live(step.next.clone()).encode().into(),
            };
            match self.live.append(self.job, append).await.map_err(Failed::because)? {
                Outcome::Stored { .. } => self.end = step.next,
                Outcome::Refused(refusal) => return Err(Failed(format!("job {}: {refusal:?}", self.job))),
            }
        }
        Ok(())
    }
}
