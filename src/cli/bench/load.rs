//! Many runners at once, and what they met.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::{StreamExt as _, TryStreamExt as _};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::clock;
use super::content::Content;
use super::latency::Latency;
use super::progress::Progress;
use super::runner::Runner;
use super::wire::{Job, Wire};
use crate::cli::Failed;

/// What the runners are to do.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) runners: usize,
    pub(super) patch: u64,
    /// Patches a second of each runner; 0 = one after the other.
    pub(super) rate: f64,
    /// For how long.
    pub(super) span: Option<Duration>,
    /// How much each says.
    pub(super) bytes: Option<u64>,
}

/// What was met, shared by all runners.
#[derive(Default)]
pub(super) struct Shared(Mutex<Met>);

/// What was met.
#[derive(Clone, Default)]
pub(super) struct Met {
    pub(super) patches: u64,
    pub(super) bytes: u64,
    /// Patches whose time came before the end and that were not sent.
    pub(super) missed: u64,
    /// Answers to patches and final PUTs, those outside of the measured time too.
    pub(super) answers: BTreeMap<u16, u64>,
    pub(super) took: Times,
    /// How many final PUTs jobs needed, and how many jobs needed so many.
    pub(super) final_puts: BTreeMap<u32, u64>,
    /// What ended a runner early.
    pub(super) failures: Vec<String>,
    /// How long the measured part took.
    pub(super) elapsed: Duration,
}

/// Distributions of time.
#[derive(Clone)]
pub(super) struct Times {
    /// From the sending of a patch.
    pub(super) service: Latency,
    /// From when it should have been sent: a server that stalls delays what comes behind too.
    pub(super) corrected: Latency,
    /// Patches in the first tenth of a job whose length is known, and in its last.
    pub(super) first_tenth: Latency,
    pub(super) last_tenth: Latency,
    /// From the first final PUT to its 200.
    pub(super) proof: Latency,
}

impl Default for Times {
    fn default() -> Self {
        let [service, corrected, first_tenth, last_tenth, proof] = std::array::from_fn(|_| Latency::new());
        Self { service, corrected, first_tenth, last_tenth, proof }
    }
}

/// Failures that are named; the rest is counted.
const FAILURES_NAMED: usize = 10;

impl Shared {
    fn met(&self) -> MutexGuard<'_, Met> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn answered(&self, status: u16) {
        *self.met().answers.entry(status).or_default() += 1;
    }

    /// `tenth` is where in its job a patch lies, from 0, if that is known.
    pub(super) fn appended(&self, size: u64, service: Duration, corrected: Duration, tenth: Option<u64>) {
        let mut met = self.met();
        match tenth {
            Some(0) => met.took.first_tenth.record(service),
            Some(9) => met.took.last_tenth.record(service),
            _ => {}
        }
        met.patches += 1;
        met.bytes += size;
        met.took.service.record(service);
        met.took.corrected.record(corrected);
    }

    pub(super) fn missed(&self, patches: u64) {
        self.met().missed += patches;
    }

    pub(super) fn finished(&self, rounds: u32, took: Duration) {
        let mut met = self.met();
        *met.final_puts.entry(rounds).or_default() += 1;
        met.took.proof.record(took);
    }

    pub(super) fn failed(&self, why: String) {
        self.met().failures.push(why);
    }

    pub(super) fn patches(&self) -> u64 {
        self.met().patches
    }

    pub(super) fn end_of_measure(&self, elapsed: Duration) {
        self.met().elapsed = elapsed;
    }

    pub(super) fn so_far(&self) -> Met {
        self.met().clone()
    }
}

impl Met {
    pub(super) fn patches_per_second(&self) -> f64 {
        self.patches as f64 / self.elapsed.as_secs_f64().max(1e-9)
    }

    pub(super) fn bytes_per_second(&self) -> f64 {
        self.bytes as f64 / self.elapsed.as_secs_f64().max(1e-9)
    }

    pub(super) fn json(&self, rated: bool) -> Value {
        let named: Vec<_> = self.failures.iter().take(FAILURES_NAMED).collect();
        let answers: BTreeMap<String, u64> = self
            .answers
            .iter()
            .map(|(status, count)| (if *status == 0 { "none".to_owned() } else { status.to_string() }, *count))
            .collect();
        json!({
            "seconds": self.elapsed.as_secs_f64(), "patches": self.patches, "bytes": self.bytes,
            "patches_per_second": self.patches_per_second(), "bytes_per_second": self.bytes_per_second(),
            "missed": self.missed, "answers": answers, "final_puts": self.final_puts,
            "milliseconds": {
                "from_sending": self.took.service.json(),
                "from_intended_start": rated.then(|| self.took.corrected.json()),
                "first_tenth": self.took.first_tenth.json(), "last_tenth": self.took.last_tenth.json(),
                "proof": self.took.proof.json(),
            },
            "failures": { "count": self.failures.len(), "first": named },
        })
    }
}

/// Jobs that are made at the same time.
const MAKING: usize = 16;

/// Makes a job for each runner.
pub(super) async fn make_jobs(wire: &Wire, project: &str, count: usize) -> Result<Vec<Job>, Failed> {
    let making = futures::stream::iter(0..count).map(|number| async move {
        // The name says what it is to whoever finds it later.
        wire.make_job(project, &format!("bench-{number}")).await
    });
    making.buffered(MAKING).try_collect().await
}

/// The runners of these jobs.
pub(super) fn runners(
    wire: &Wire,
    content: &Arc<Content>,
    shared: &Arc<Shared>,
    jobs: Vec<Job>,
    patch: u64,
) -> Vec<Runner> {
    let runner = |(number, job)| Runner::new(wire.clone(), content.clone(), shared.clone(), number, job, patch);
    (0..).zip(jobs).map(runner).collect()
}

/// What each runner does in a round of work.
#[derive(Clone, Copy)]
pub(super) enum Work {
    /// One patch, which makes the trace: not measured.
    First,
    /// The plan: measured.
    Plan,
    /// The final PUT, until it is answered 200.
    Finish,
}

/// All runners at once; those that failed are left out from then on.
pub(super) async fn all(runners: Vec<Runner>, work: Work, plan: &Plan, progress: &Progress) -> Vec<Runner> {
    let (mut tasks, start) = (JoinSet::new(), clock::now());
    let shared = runners.first().map(|runner| runner.shared.clone());
    for mut runner in runners {
        let plan = plan.clone();
        tasks.spawn(async move {
            let done = match work {
                Work::First => runner.say(runner.patch.min(plan.bytes.unwrap_or(u64::MAX)), None).await,
                Work::Plan => runner.work(&plan, start).await,
                Work::Finish => runner.finish().await,
            };
            (runner, done)
        });
    }
    let mut left = Vec::new();
    let mut ticks = 0u32;
    while !tasks.is_empty() {
        tokio::select! {
            Some(joined) = tasks.join_next() => {
                let Ok((runner, done)) = joined else { continue };
                match done {
                    Ok(()) => left.push(runner),
                    Err(why) => runner.shared.failed(why),
                }
            }
            () = clock::sleep_until(start + progress.interval() * (ticks + 1)) => {
                ticks += 1;
                if let Some(shared) = &shared {
                    progress.at(shared.patches());
                }
            }
        }
    }
    if let (Work::Plan, Some(shared)) = (work, shared) {
        shared.end_of_measure(start.elapsed());
    }
    left.sort_by_key(|runner| runner.number);
    left
}
