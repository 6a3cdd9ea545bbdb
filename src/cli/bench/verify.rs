//! `veritail bench verify`: how fast what is kept is looked at, beside programs that do a part of it, and what that costs
//! the runners.

mod hot;
mod others;
mod pass;

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use serde_json::{Value, json};

use self::hot::Beside;
use self::others::Remote;
use self::pass::{Pass, Spent};
use super::clock;
use super::ingest::{Load, merge};
use super::load::{self, Shared, Work};
use super::progress::Progress;
use super::proof::Proof;
use super::report::{self, median};
use super::runner::Runner;
use super::size::Size;
use super::target::{Own, Place, Target};
use crate::cli::signals::Signals;
use crate::cli::{Failed, table};
use crate::config::cron::Cron;
use crate::config::value::Span;
use crate::config::{self, Config};
use crate::trace::{ByteSize, JobId};

/// Write logs, and look at all of them as the verifier does.
///
/// In turns with it: `openssl dgst -sha256` over the same logs as files, and with objects in S3 `rclone check --download`,
/// where these are installed. Then once within a budget; then runners append, with and without *hot* beside them.
///
/// Starts a Veritail in this process, over a folder that is gone afterwards. It takes its settings from `VERITAIL_*`; a
/// Redis must have no traces, and a bucket no objects of others. Its own schedules are off.
#[derive(Debug, Args)]
pub(super) struct Verify {
    /// Logs to write.
    #[arg(long, value_name = "COUNT", default_value = "64", value_parser = clap::value_parser!(u32).range(2..=100_000))]
    jobs: u32,
    /// How much each says.
    #[arg(long, value_name = "SIZE", default_value = "4MiB")]
    bytes_per_job: Size,
    /// Chunks looked at at the same time.
    #[arg(long, value_name = "COUNT", default_value = "32", value_parser = clap::value_parser!(u16).range(1..=1024))]
    concurrency: u16,
    /// Rounds of everything that is compared.
    #[arg(long, value_name = "COUNT", default_value = "3", value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// Bytes a second for the pass within a budget.
    #[arg(long, value_name = "SIZE", default_value = "16MiB")]
    budget: Size,
    /// How long runners append in each round with and without *hot*.
    #[arg(long = "for", value_name = "TIME", default_value = "3s")]
    span: Span,
    /// Runners that append then.
    #[arg(long, value_name = "COUNT", default_value = "64", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    runners: u32,
    /// Size of their patches.
    #[arg(long, value_name = "SIZE", default_value = "4KiB")]
    patch: Size,
    /// What the logs are made from.
    #[arg(long, default_value = "1")]
    seed: u64,
    /// Print a JSON document.
    #[arg(long)]
    json: bool,
}

/// Patches that the logs are written with.
const PATCH: Size = Size(64 * 1024);
const PROJECT: &str = "veritail/bench";
/// Per core and second, of what `openssl` hashes; decoding is not counted.
const SHA256_GOAL: f64 = 0.8;
/// Of what `rclone check --download` compares in a second.
const RCLONE_GOAL: f64 = 3.0;
/// A pass within the budget takes about so many seconds.
const BUDGET_SECONDS: u64 = 5;

/// What was measured.
struct Measured {
    rounds: Vec<Round>,
    /// Half of the logs, for its memory.
    half: Pass,
    within_budget: Pass,
    beside: Beside,
    proof: Proof,
}

/// Everything that is compared, once.
struct Round {
    pass: Pass,
    /// Seconds of decoding alone, one object after the other.
    decoding: f64,
    sha256: Option<Spent>,
    rclone: Option<Spent>,
}

impl Verify {
    /// True if everything came out as it went in.
    pub(super) async fn run(self, signals: &mut Signals) -> Result<bool, Failed> {
        let target = Target::own(Own::start(quiet).await?)?;
        let done = Place::with(&target, signals, |target| self.measure(target)).await;
        target.close().await;
        done
    }

    async fn measure(&self, target: &Target) -> Result<bool, Failed> {
        let own = target.own.as_ref().ok_or_else(|| Failed("nothing was started".to_owned()))?;
        let progress = Progress::new();
        let (runners, proof) = self.write(target, &progress).await?;
        let written = Written::of(self, own, &runners, &progress).await?;
        let mut rounds = Vec::new();
        for _ in 0..self.rounds {
            rounds.push(written.round(&progress).await?);
        }
        progress.is("half of it");
        let half = written.pass(written.jobs.len() / 2, 0).await?;
        progress.is("within a budget");
        let affordable = self.budget.0.saturating_mul(BUDGET_SECONDS) / self.bytes_per_job.0;
        let jobs = usize::try_from(affordable).unwrap_or(usize::MAX).clamp(1, written.jobs.len());
        let within_budget = written.pass(jobs, self.budget.0).await?;
        let beside = Beside::measure(target, own, &self.appends(), self.rounds, &progress).await?;
        progress.ends();
        let measured = Measured { rounds, half, within_budget, beside, proof };
        if self.json {
            let plan = json!({
                "jobs": self.jobs, "bytes_per_job": self.bytes_per_job, "concurrency": self.concurrency,
                "rounds": self.rounds, "budget": self.budget, "for": self.span.to_string(), "runners": self.runners,
                "patch": self.patch,
            });
            let mut document = report::head("verify", self.seed, Some(target), plan);
            merge(&mut document, measured.json(self.budget));
            report::print_json(document);
        } else {
            measured.tell(self.budget);
        }
        if !measured.holds() {
            measured.proof.complain();
            measured.beside.complain();
        }
        Ok(measured.holds())
    }

    async fn write(&self, target: &Target, progress: &Progress) -> Result<(Vec<Runner>, Proof), Failed> {
        let load = Load {
            runners: self.jobs,
            patch: PATCH,
            rate: 0.0,
            span: None,
            bytes_per_job: Some(self.bytes_per_job),
            seed: self.seed,
            project: PROJECT.to_owned(),
        };
        let (plan, content, shared) = (load.plan()?, load.content(), Arc::new(Shared::default()));
        progress.is("writing logs");
        let jobs = load::make_jobs(&target.wire, PROJECT, plan.runners).await?;
        let runners = load::runners(&target.wire, &content, &shared, jobs, plan.patch);
        let runners = load::all(runners, Work::Plan, &plan, progress).await;
        let runners = load::all(runners, Work::Finish, &plan, progress).await;
        let proof = Proof::of(&runners).await.and_failures(&shared.so_far().failures);
        Ok((runners, proof))
    }

    fn appends(&self) -> Load {
        Load {
            runners: self.runners,
            patch: self.patch,
            rate: 0.0,
            span: Some(self.span),
            bytes_per_job: None,
            seed: self.seed,
            project: PROJECT.to_owned(),
        }
    }
}

/// Nothing is looked at but when it is measured, and the only copies are the persistent ones.
fn quiet(config: &mut Config) {
    let config::Verify { hot, full, inventory, canary, .. } = &mut config.verify;
    for schedule in [hot, full, inventory, canary] {
        *schedule = Cron::OFF;
    }
    config.pipeline.live_grace = Span::secs(0);
}

/// The logs, persistent, and as files.
struct Written<'a> {
    own: &'a Own,
    concurrency: usize,
    jobs: Vec<JobId>,
    bytes_per_job: u64,
    files: Vec<PathBuf>,
    remote: Option<Remote>,
}

/// Tries of a first pass, a second apart, until the live copies are gone.
const TRIES: usize = 60;

impl<'a> Written<'a> {
    async fn of(asked: &Verify, own: &'a Own, runners: &[Runner], progress: &Progress) -> Result<Self, Failed> {
        progress.is("writing the same logs as files");
        let mut files = Vec::new();
        for runner in runners {
            let file = own.folder.path().join("raw").join(runner.job.id.to_string());
            let size = usize::try_from(PATCH.0).unwrap_or_default();
            let pieces = (0..runner.said).step_by(size).map(|at| {
                let left = usize::try_from(runner.said - at).unwrap_or(usize::MAX);
                runner.content.piece(runner.number, at, size.min(left))
            });
            let bytes: Vec<u8> = pieces.flat_map(|piece| piece.to_vec()).collect();
            others::write(&file, &bytes).map_err(Failed::because)?;
            files.push(file);
        }
        let written = Self {
            own,
            concurrency: asked.concurrency.into(),
            jobs: runners.iter().map(|runner| JobId(runner.job.id)).collect(),
            bytes_per_job: asked.bytes_per_job.0,
            files,
            remote: Remote::of(own.config.object.url.as_deref()),
        };
        progress.is("waiting until the live copies are gone");
        for _ in 0..TRIES {
            let pass = written.pass(written.jobs.len(), 0).await?;
            if pass.tally.looks == pass.tally.chunks {
                written.copies().await?;
                return Ok(written);
            }
            clock::sleep(std::time::Duration::from_secs(1)).await;
        }
        Err(Failed(format!("live copies of finished logs are still there after {TRIES} s")))
    }

    /// The first jobs, within a budget; 0: as fast as it goes.
    async fn pass(&self, jobs: usize, bytes_per_second: u64) -> Result<Pass, Failed> {
        let verifier = pass::verifier(self.own.running.pipeline(), bytes_per_second, self.concurrency);
        let jobs = &self.jobs[..jobs.min(self.jobs.len())];
        Pass::over(&verifier, jobs, self.bytes_per_job * jobs.len() as u64).await
    }

    async fn round(&self, progress: &Progress) -> Result<Round, Failed> {
        let bytes = self.bytes_per_job * self.jobs.len() as u64;
        progress.is("looking at all of it");
        let pass = self.pass(self.jobs.len(), 0).await?;
        progress.is("openssl");
        let sha256 = others::sha256(&self.files, bytes).await?;
        let rclone = match &self.remote {
            Some(remote) => {
                progress.is("rclone");
                others::rclone(remote, &self.folder_of_copies(), self.concurrency, bytes).await?
            }
            None => None,
        };
        progress.is("decoding");
        let decoding = self.decode(None).await?;
        Ok(Round { pass, decoding, sha256, rclone })
    }

    fn folder_of_copies(&self) -> PathBuf {
        self.own.folder.path().join("copies")
    }

    /// What rclone compares with.
    async fn copies(&self) -> Result<(), Failed> {
        if self.remote.is_some() {
            self.decode(Some(self.folder_of_copies())).await?;
        }
        Ok(())
    }

    async fn decode(&self, copies: Option<PathBuf>) -> Result<f64, Failed> {
        let objects = self.own.running.pipeline().stores().objects.clone();
        let largest = ByteSize(self.own.config.pipeline.chunk_size.into());
        let took = others::decode_all(objects.as_ref(), largest, copies.as_deref()).await?;
        Ok(took.as_secs_f64())
    }
}

impl Measured {
    fn holds(&self) -> bool {
        self.proof.holds() && self.beside.holds()
    }

    fn each(&self, of: impl Fn(&Round) -> f64) -> f64 {
        median(self.rounds.iter().map(of).collect())
    }

    fn of_other(&self, other: impl Fn(&Round) -> Option<&Spent>, of: impl Fn(&Spent) -> f64) -> Option<f64> {
        let figures: Vec<f64> = self.rounds.iter().filter_map(&other).map(of).collect();
        (!figures.is_empty()).then(|| median(figures))
    }

    /// Bytes in a second of processor time, decoding left out.
    fn per_cpu_second(&self) -> f64 {
        self.each(|round| {
            round.pass.spent.bytes as f64 / (round.pass.spent.cpu.as_secs_f64() - round.decoding).max(1e-9)
        })
    }

    fn sha256_ratio(&self) -> Option<f64> {
        let sha256 = self.of_other(|round| round.sha256.as_ref(), Spent::per_cpu_second)?;
        Some(self.per_cpu_second() / sha256)
    }

    fn rclone_ratio(&self) -> Option<f64> {
        let rclone = self.of_other(|round| round.rclone.as_ref(), Spent::per_second)?;
        Some(self.each(|round| round.pass.spent.per_second()) / rclone)
    }

    fn json(&self, budget: Size) -> Value {
        let rounds: Vec<Value> = self
            .rounds
            .iter()
            .map(|round| {
                json!({
                    "pass": round.pass.json(), "decoding_seconds": round.decoding,
                    "sha256": round.sha256.as_ref().map(Spent::json), "rclone": round.rclone.as_ref().map(Spent::json),
                })
            })
            .collect();
        let all = self.rounds.last().map(|round| &round.pass);
        json!({
            "rounds": rounds, "bytes_per_cpu_second_without_decoding": self.per_cpu_second(),
            "sha256": { "ratio": self.sha256_ratio(), "goal": SHA256_GOAL },
            "rclone": { "ratio": self.rclone_ratio(), "goal": RCLONE_GOAL },
            "memory": {
                "half": { "chunks": self.half.tally.chunks, "grew": self.half.grew },
                "all": { "chunks": all.map(|all| all.tally.chunks), "grew": all.and_then(|all| all.grew) },
            },
            "budget": { "bytes_per_second": budget, "pass": self.within_budget.json() },
            "beside_appends": self.beside.json(), "proof": self.proof.json(),
        })
    }

    fn tell(&self, budget: Size) {
        const MIB: f64 = (1 << 20) as f64;
        let row = |name: &str, took: f64, cpu: f64, bytes: u64| {
            let rates = [bytes as f64 / took.max(1e-9), bytes as f64 / cpu.max(1e-9)];
            let mut row = vec![name.to_owned(), format!("{took:.2}"), format!("{cpu:.2}")];
            row.extend(rates.map(|rate| format!("{:.0}", rate / MIB)));
            row
        };
        let mut rows = Vec::new();
        for Round { pass, decoding, sha256, rclone } in &self.rounds {
            let Spent { took, cpu, bytes } = pass.spent;
            rows.push(row("all of it", took.as_secs_f64(), cpu.as_secs_f64(), bytes));
            rows.push(row("  decoding alone", *decoding, *decoding, bytes));
            for (name, other) in [("  openssl dgst", sha256), ("  rclone check", rclone)] {
                if let Some(other) = other {
                    rows.push(row(name, other.took.as_secs_f64(), other.cpu.as_secs_f64(), other.bytes));
                }
            }
        }
        table::print(&["round", "seconds", "cpu seconds", "MiB/s", "MiB/cpu s"], &rows);
        println!();
        match self.sha256_ratio() {
            Some(ratio) => {
                println!("by openssl, per core, decoding left out: {ratio:.2} (goal: at least {SHA256_GOAL})")
            }
            None => println!("openssl is not installed: nothing to compare with"),
        }
        if let Some(ratio) = self.rclone_ratio() {
            println!("by rclone check --download: {ratio:.1} (goal: at least {RCLONE_GOAL})");
        }
        for pass in [Some(&self.half), self.rounds.last().map(|round| &round.pass)].into_iter().flatten() {
            if let Some(grew) = pass.grew {
                println!("memory grew by {} over {} chunks", Size(grew), pass.tally.chunks);
            }
        }
        let met = Size(self.within_budget.spent.per_second() as u64);
        println!("{met} a second within a budget of {budget}");
        self.beside.tell();
        if self.holds() {
            self.proof.tell();
        }
    }
}
