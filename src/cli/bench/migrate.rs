//! `veritail bench migrate`: how long a full chunk waits until it is persistent, beside the object store's own PUT and GET.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use clap::Args;
use serde_json::{Value, json};

use super::clock;
use super::counts::Counts;
use super::flips::Following;
use super::ingest::{Load, merge};
use super::latency::Latency;
use super::load::{self, Shared, Work};
use super::progress::Progress;
use super::proof::Proof;
use super::report;
use super::runner::Runner;
use super::size::Size;
use super::target::{Place, Target};
use crate::cli::signals::Signals;
use crate::cli::{Failed, table};
use crate::seams::real::{SystemChance, SystemClock};
use crate::seams::{Chance as _, within};
use crate::store::object::{ObjectStore, codec, keys};
use crate::trace::{ChunkIndex, ChunkState, Epoch, JobId};

/// Fill chunks one by one, and wait until each is persistent and read back.
///
/// With --start the object store is asked for the same bytes directly in between, one PUT and one GET each: what is above
/// that is Veritail's own.
#[derive(Debug, Args)]
pub(super) struct Migrate {
    #[command(flatten)]
    place: Place,
    /// Chunks to fill, one after the other, each the first of a job.
    #[arg(long, value_name = "COUNT", default_value = "50", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    chunks: u32,
    /// The server's size of a chunk, where it was not started here.
    #[arg(long, value_name = "SIZE", default_value = "128KiB")]
    chunk_size: Size,
    /// What the logs are made from.
    #[arg(long, default_value = "1")]
    seed: u64,
    /// The project of the jobs; it is made if there is none.
    #[arg(long, value_name = "PATH", default_value = "veritail/bench")]
    project: String,
    /// Print a JSON document.
    #[arg(long)]
    json: bool,
}

/// How long a chunk may wait.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two looks at one that runs elsewhere: what is measured is up to this much longer than it was.
const LOOK: Duration = Duration::from_millis(1);

/// What was measured.
struct Measured {
    /// From the answer to the patch that fills a chunk until its row names a persistent copy.
    persisted: Latency,
    /// PUT and GET of the same bytes, directly.
    direct: Option<Latency>,
    /// But for queries, which our own looks are too.
    counts: Counts,
    proof: Proof,
}

impl Migrate {
    /// True if everything came out as it went in.
    pub(super) async fn run(self, signals: &mut Signals) -> Result<bool, Failed> {
        let target = self.place.open().await?;
        let done = Place::with(&target, signals, |target| self.measure(target)).await;
        target.close().await;
        done
    }

    async fn measure(&self, target: &Target) -> Result<bool, Failed> {
        let chunk_size = target.chunk_size().unwrap_or(self.chunk_size.0);
        let plan = json!({ "chunks": self.chunks, "chunk_size": chunk_size, "project": self.project });
        let mut document = report::head("migrate", self.seed, Some(target), plan);
        let progress = Progress::new();
        let measured = self.chunks(target, chunk_size, &progress).await?;
        progress.ends();
        if self.json {
            merge(&mut document, measured.json());
            report::print_json(document);
            if !measured.proof.holds() {
                measured.proof.complain();
            }
        } else {
            measured.tell();
        }
        Ok(measured.proof.holds())
    }

    async fn chunks(&self, target: &Target, chunk_size: u64, progress: &Progress) -> Result<Measured, Failed> {
        let load = Load {
            runners: self.chunks,
            patch: Size(chunk_size),
            rate: 0.0,
            span: None,
            bytes_per_job: Some(Size(chunk_size)),
            seed: self.seed,
            project: self.project.clone(),
        };
        let (plan, content, shared) = (load.plan()?, load.content(), Arc::new(Shared::default()));
        let jobs = load::make_jobs(&target.wire, &self.project, plan.runners).await?;
        let mut runners = load::runners(&target.wire, &content, &shared, jobs, plan.patch);
        let objects = target.own.as_ref().map(|own| own.running.pipeline().stores().objects.clone());
        let mut direct = objects.as_ref().map(|_| Latency::new());
        let mut persisted = Latency::new();
        let mut counts = Counts::default();
        progress.is("filling chunks");
        for (at, runner) in (1..).zip(&mut runners) {
            let before = Counts::read(&target.wire.metrics().await?);
            let flips = target.own.as_ref().map(|own| own.flips.follow());
            runner.say(chunk_size, Some(clock::now())).await.map_err(Failed)?;
            persisted.record(until_persisted(target, runner, flips).await?);
            counts.add(&Counts::read(&target.wire.metrics().await?).since(&before));
            if let (Some(objects), Some(direct)) = (&objects, &mut direct) {
                let bytes = content.piece(runner.number, 0, usize::try_from(chunk_size).unwrap_or_default());
                let job = JobId(runner.job.id);
                direct.record(put_and_get(objects.as_ref(), job, codec::encode(&bytes).into()).await?);
            }
            progress.at(at);
        }
        progress.is("finishing");
        let runners = load::all(runners, Work::Finish, &plan, progress).await;
        let proof = Proof::of(&runners).await.and_failures(&shared.so_far().failures);
        Ok(Measured { persisted, direct, counts: counts.without_queries(), proof })
    }
}

/// Waits until the first chunk of a runner's job is persistent. One of our own says when; another is asked through the API.
async fn until_persisted(target: &Target, runner: &Runner, mut flips: Option<Following>) -> Result<Duration, Failed> {
    let began = clock::now();
    let persisted = async {
        loop {
            let flipped = match &mut flips {
                Some(flips) => flips.next().await,
                None => None,
            };
            if is_persistent(target, runner).await? {
                return Ok(flipped.unwrap_or_else(clock::now).saturating_duration_since(began));
            }
            if flipped.is_none() {
                clock::sleep(LOOK).await;
            }
        }
    };
    within(&SystemClock, PATIENCE, persisted).await.unwrap_or_else(|| {
        let (job, patience) = (runner.job.id, PATIENCE.as_secs());
        Err(Failed(format!("job {job}: its chunk is not persistent after {patience} s")))
    })
}

async fn is_persistent(target: &Target, runner: &Runner) -> Result<bool, Failed> {
    if let Some(own) = &target.own {
        let database = &own.running.pipeline().stores().database;
        let row = database.chunk(JobId(runner.job.id), ChunkIndex(0)).await.map_err(Failed::because)?;
        return Ok(row.is_some_and(|row| matches!(row.state, ChunkState::Persisted { .. })));
    }
    let report = runner.wire.integrity(runner.job.id).await?;
    let store = &report["chunks"][0]["data_store"];
    Ok(["object_store", "database"].iter().any(|persistent| store == persistent))
}

/// One PUT and one GET of a key of our own, which is removed again. The key is as deep as the chunk's and its job's first too: in
/// a folder the way to it is made, and synced, as it is for the chunk.
async fn put_and_get(objects: &dyn ObjectStore, job: JobId, bytes: Bytes) -> Result<Duration, Failed> {
    let key = format!("bench/{}", keys::chunk_key(job, ChunkIndex(0), Epoch::FIRST, &SystemChance.name()));
    let began = clock::now();
    objects.put(&key, bytes.clone()).await.map_err(Failed::because)?;
    let read = objects.get_whole(&key).await.map_err(Failed::because)?;
    let took = began.elapsed();
    objects.delete(&key).await.map_err(Failed::because)?;
    if read.is_none_or(|read| read != bytes) {
        return Err(Failed(format!("the object store did not keep {key} as it was written")));
    }
    Ok(took)
}

impl Measured {
    /// The server's own mean: from when it begins with a chunk.
    fn mean_of_server(&self) -> Option<f64> {
        (self.counts.migrations > 0).then(|| 1000.0 * self.counts.migrating / self.counts.migrations as f64)
    }

    fn ratio(&self) -> Option<f64> {
        self.direct.as_ref().map(|direct| self.persisted.at(0.5) / direct.at(0.5))
    }

    fn json(&self) -> Value {
        json!({
            "milliseconds": {
                "until_persistent": self.persisted.json(), "put_and_get": self.direct.as_ref().map(Latency::json),
                "mean_of_server": self.mean_of_server(),
            },
            "median_ratio": self.ratio(), "per_chunk": self.counts.json(self.persisted.count()),
            "proof": self.proof.json(),
        })
    }

    fn tell(&self) {
        let mut rows = vec![self.persisted.row("full to persistent")];
        rows.extend(self.direct.iter().map(|direct| direct.row("PUT and GET alone")));
        table::print(&Latency::HEAD, &rows);
        if let Some(ratio) = self.ratio() {
            println!("\nmedian by median: {ratio:.2}");
        }
        if let Some(mean) = self.mean_of_server() {
            println!("by the server's own metric, from when it begins with a chunk: {mean:.2} ms on average");
        }
        println!();
        table::print(&Counts::HEAD, &[self.counts.row("chunk, queries left out", self.persisted.count())]);
        self.proof.tell();
    }
}
