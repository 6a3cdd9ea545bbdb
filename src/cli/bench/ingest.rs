//! `veritail bench ingest`: many runners that append and finish, as they do.

use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use serde_json::{Map, Value, json};

use super::compare;
use super::content::Content;
use super::counts::Counts;
use super::latency::Latency;
use super::load::{self, Met, Plan, Shared, Work};
use super::progress::Progress;
use super::proof::Proof;
use super::report;
use super::size::Size;
use super::target::{Place, Target};
use super::wire::Wire;
use crate::cli::signals::Signals;
use crate::cli::{Failed, table};
use crate::config::value::Span;

/// Append and finish as many runners do, and prove that everything is there.
///
/// Each runner makes its trace with a first patch, which is not measured, then sends at its rate or as fast as it is taken.
/// Afterwards it ends its job, and the whole is read back and compared.
#[derive(Debug, Args)]
pub(super) struct Ingest {
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    load: Load,
    /// Measure the bare minimum too, in turns: with Redis a handler that does one `APPEND` for each patch, with the embedded
    /// live store appends to it without HTTP.
    #[arg(long, requires = "start")]
    baseline: bool,
    /// Rounds of each with --baseline.
    #[arg(long, value_name = "COUNT", default_value = "3", requires = "baseline", value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// Print a JSON document.
    #[arg(long)]
    json: bool,
}

/// How much is asked of it.
#[derive(Clone, Debug, Args)]
pub(super) struct Load {
    /// Runners at the same time, each with a job.
    #[arg(long, value_name = "COUNT", default_value = "64", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(super) runners: u32,
    /// Size of a patch.
    #[arg(long, value_name = "SIZE", default_value = "4KiB")]
    pub(super) patch: Size,
    /// Patches a second of each runner; 0 = as fast as they are taken. With a rate, times are also counted from when a patch
    /// should have been sent.
    #[arg(long, value_name = "RATE", default_value = "0", value_parser = rate)]
    pub(super) rate: f64,
    /// How long the runners send [default: 10s, unless --bytes-per-job is given].
    #[arg(long = "for", value_name = "TIME")]
    pub(super) span: Option<Span>,
    /// How much each job says.
    #[arg(long, value_name = "SIZE")]
    pub(super) bytes_per_job: Option<Size>,
    /// What the logs are made from; the same seed makes the same logs.
    #[arg(long, default_value = "1")]
    pub(super) seed: u64,
    /// The project of the jobs; it is made if there is none.
    #[arg(long, value_name = "PATH", default_value = "veritail/bench")]
    pub(super) project: String,
}

/// The largest patch.
const PATCH_MAX: u64 = 64 * 1024 * 1024;

fn rate(text: &str) -> Result<f64, String> {
    let rate: Option<f64> = text.parse().ok().filter(|rate| (0.0..=100_000.0).contains(rate));
    rate.ok_or_else(|| "not a number from 0 to 100000".to_owned())
}

impl Load {
    pub(super) fn plan(&self) -> Result<Plan, Failed> {
        if self.patch.0 > PATCH_MAX {
            return Err(Failed(format!("--patch is {}; at most {} are possible", self.patch, Size(PATCH_MAX))));
        }
        let span = match (self.span, self.bytes_per_job) {
            (Some(Span(span)), _) => Some(span),
            (None, None) => Some(Duration::from_secs(10)),
            (None, Some(_)) => None,
        };
        let bytes = self.bytes_per_job.map(|size| size.0);
        let runners = usize::try_from(self.runners).unwrap_or(1);
        Ok(Plan { runners, patch: self.patch.0, rate: self.rate, span, bytes })
    }

    pub(super) fn json(&self) -> Value {
        let Self { runners, patch, rate, span, bytes_per_job, seed: _, project } = self;
        let span = span.map(|span| span.to_string());
        json!({ "runners": runners, "patch": patch, "rate": rate, "for": span, "bytes_per_job": bytes_per_job, "project": project })
    }

    pub(super) fn content(&self) -> Arc<Content> {
        Arc::new(Content::new(self.seed, usize::try_from(self.patch.0).unwrap_or_default()))
    }
}

/// One round of load, from the making of the jobs to the proof.
pub(super) struct Round {
    pub(super) met: Met,
    /// While patches were measured.
    pub(super) appending: Counts,
    /// From then on until every job had ended.
    pub(super) whole: Counts,
    pub(super) proof: Proof,
}

impl Round {
    pub(super) async fn run(
        wire: &Wire,
        load: &Load,
        plan: &Plan,
        content: &Arc<Content>,
        progress: &Progress,
    ) -> Result<Self, Failed> {
        let shared = Arc::new(Shared::default());
        progress.is("making jobs");
        let jobs = load::make_jobs(wire, &load.project, plan.runners).await?;
        let runners = load::runners(wire, content, &shared, jobs, plan.patch);
        let runners = load::all(runners, Work::First, plan, progress).await;
        let before = Counts::read(&wire.metrics().await?);
        progress.is("appending");
        let runners = load::all(runners, Work::Plan, plan, progress).await;
        let after = Counts::read(&wire.metrics().await?);
        progress.is("finishing");
        let runners = load::all(runners, Work::Finish, plan, progress).await;
        let ended = Counts::read(&wire.metrics().await?);
        progress.is("reading back");
        let met = shared.so_far();
        let proof = Proof::of(&runners).await.and_failures(&met.failures);
        progress.is("");
        Ok(Self { met, appending: after.since(&before), whole: ended.since(&before), proof })
    }

    pub(super) fn json(&self, rated: bool) -> Value {
        json!({
            "load": self.met.json(rated), "per_append": self.appending.json(self.met.patches),
            "per_chunk": self.whole.json(self.whole.chunks), "proof": self.proof.json(),
        })
    }

    fn tell(&self, rated: bool) {
        let met = &self.met;
        let (mib, seconds) = (met.bytes_per_second() / f64::from(1 << 20), met.elapsed.as_secs_f64());
        let (patches, rate) = (met.patches, met.patches_per_second());
        println!("{patches} patches in {seconds:.2} s: {rate:.0} a second, {mib:.1} MiB/s\n");
        let mut rows = vec![met.took.service.row("a patch")];
        if rated {
            rows.push(met.took.corrected.row("a patch, from its time"));
        }
        if met.took.last_tenth.count() > 0 {
            rows.push(met.took.first_tenth.row("in the first tenth of a job"));
            rows.push(met.took.last_tenth.row("in the last tenth"));
        }
        rows.push(met.took.proof.row("the proof of a job"));
        table::print(&Latency::HEAD, &rows);
        println!();
        let rows = [self.appending.row("patch", patches), self.whole.row("chunk, to the end", self.whole.chunks)];
        table::print(&Counts::HEAD, &rows);
        let answers: Vec<String> = met.answers.iter().map(|(status, count)| format!("{status}: {count}")).collect();
        let at_once = met.final_puts.get(&1).copied().unwrap_or_default();
        let jobs: u64 = met.final_puts.values().sum();
        println!("\nanswers by status: {}; {at_once} of {jobs} jobs ended with one final PUT", answers.join(", "));
        if met.missed > 0 {
            println!("{} patches were not sent in time: it does not keep up with this rate", met.missed);
        }
        self.proof.tell();
    }
}

impl Ingest {
    /// True if everything came out as it went in.
    pub(super) async fn run(self, signals: &mut Signals) -> Result<bool, Failed> {
        let plan = self.load.plan()?;
        let target = self.place.open().await?;
        let done = Place::with(&target, signals, |target| self.measure(target, plan)).await;
        target.close().await;
        done
    }

    async fn measure(&self, target: &Target, plan: Plan) -> Result<bool, Failed> {
        let (content, progress, rated) = (self.load.content(), Progress::new(), plan.rate > 0.0);
        let mut document = report::head("ingest", self.load.seed, Some(target), self.load.json());
        if self.baseline {
            let compared = compare::run(target, &self.load, &plan, &content, self.rounds, &progress).await?;
            progress.ends();
            return Ok(compared.tell(self.json, document));
        }
        let round = Round::run(&target.wire, &self.load, &plan, &content, &progress).await?;
        progress.ends();
        if self.json {
            merge(&mut document, round.json(rated));
            report::print_json(document);
            if !round.proof.holds() {
                round.proof.complain();
            }
        } else {
            round.tell(rated);
        }
        Ok(round.proof.holds())
    }
}

/// Puts the parts of `more` into a document.
pub(super) fn merge(document: &mut Map<String, Value>, more: Value) {
    if let Value::Object(more) = more {
        document.extend(more);
    }
}
