//! Veritail and the bare minimum in turns: machines differ and are busy, ratios within one run less so.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::bare::{self, BareRedis};
use super::content::Content;
use super::ingest::{Load, Round, merge};
use super::load::{Met, Plan};
use super::progress::Progress;
use super::report::{median, print_json};
use super::target::{Own, Target};
use crate::cli::{Failed, table};

/// What both did.
pub(super) struct Compared {
    /// What the minimum is.
    minimum: &'static str,
    /// What is asked of the ratio of requests.
    goal: f64,
    rated: bool,
    rounds: Vec<(Round, Met)>,
}

/// With Redis: seven of ten requests, and at most twice the time of the slowest hundredth.
const REDIS_GOAL: f64 = 0.7;
const P99_GOAL: f64 = 2.0;
/// Without: half of what the store takes without HTTP.
const EMBEDDED_GOAL: f64 = 0.5;

/// Runs both, in turns, and each first as often as second.
pub(super) async fn run(
    target: &Target,
    load: &Load,
    plan: &Plan,
    content: &Arc<Content>,
    count: u32,
    progress: &Progress,
) -> Result<Compared, Failed> {
    let own = target.own.as_ref().ok_or_else(|| Failed("--baseline needs --start".to_owned()))?;
    let redis = match &own.config.live.redis_url {
        Some(url) => Some(BareRedis::start(url.reveal()).await?),
        None => None,
    };
    let mut rounds = Vec::new();
    for round in 0..count {
        let (ours, minimum);
        if round % 2 == 0 {
            ours = Round::run(&target.wire, load, plan, content, progress).await?;
            minimum = bare_round(own, redis.as_ref(), plan, content, round, progress).await?;
        } else {
            minimum = bare_round(own, redis.as_ref(), plan, content, round, progress).await?;
            ours = Round::run(&target.wire, load, plan, content, progress).await?;
        }
        rounds.push((ours, minimum));
    }
    let (minimum, goal) = match redis {
        Some(_) => ("one APPEND a patch, over HTTP", REDIS_GOAL),
        None => ("the embedded live store, without HTTP", EMBEDDED_GOAL),
    };
    Ok(Compared { minimum, goal, rated: plan.rate > 0.0, rounds })
}

async fn bare_round(
    own: &Own,
    redis: Option<&BareRedis>,
    plan: &Plan,
    content: &Arc<Content>,
    round: u32,
    progress: &Progress,
) -> Result<Met, Failed> {
    progress.is("the bare minimum");
    match redis {
        Some(redis) => redis.round(plan, content, progress).await,
        None => {
            let folder = own.folder.path().join(format!("bare-{round}"));
            let met = bare::embedded(&folder, plan, content).await;
            std::fs::remove_dir_all(&folder).map_err(Failed::because)?;
            met
        }
    }
}

impl Compared {
    fn each<T>(&self, of: impl Fn(&Round, &Met) -> T) -> Vec<T> {
        self.rounds.iter().map(|(ours, bare)| of(ours, bare)).collect()
    }

    fn holds(&self) -> bool {
        self.rounds.iter().all(|(ours, bare)| ours.proof.holds() && bare.failures.is_empty())
    }

    /// Ours by the minimum's: requests a second, and p99.
    fn ratios(&self) -> (f64, f64) {
        let requests = median(self.each(|ours, _| ours.met.patches_per_second()))
            / median(self.each(|_, bare| bare.patches_per_second()));
        let p99 = median(self.each(|ours, _| ours.met.took.service.at(0.99)))
            / median(self.each(|_, bare| bare.took.service.at(0.99)));
        (requests, p99)
    }

    fn json(&self) -> Value {
        let (requests, p99) = self.ratios();
        let ours: Vec<Value> = self.each(|ours, _| ours.json(self.rated));
        let bare: Vec<Value> = self.each(|_, bare| bare.json(self.rated));
        json!({
            "rounds": ours,
            "baseline": {
                "what": self.minimum, "rounds": bare,
                "requests_ratio": requests, "requests_goal": self.goal, "p99_ratio": p99, "p99_goal": P99_GOAL,
            },
        })
    }

    /// Says how it came out; true if everything is proven. A goal that is missed is a figure, not a failure.
    pub(super) fn tell(&self, json: bool, mut document: Map<String, Value>) -> bool {
        if json {
            merge(&mut document, self.json());
            print_json(document);
        } else {
            self.tell_people();
        }
        self.rounds.iter().filter(|(ours, _)| !ours.proof.holds()).for_each(|(ours, _)| ours.proof.complain());
        for why in self.rounds.iter().flat_map(|(_, bare)| bare.failures.iter().take(1)) {
            eprintln!("veritail: the bare minimum: {why}");
        }
        self.holds()
    }

    fn tell_people(&self) {
        let row = |name: String, met: &Met| {
            let took = &met.took.service;
            let mut row = vec![name, format!("{:.0}", met.patches_per_second())];
            row.push(format!("{:.1}", met.bytes_per_second() / f64::from(1 << 20)));
            row.extend([0.5, 0.99, 0.999].map(|quantile| format!("{:.2}", took.at(quantile))));
            row
        };
        let rows: Vec<_> = (1..)
            .zip(&self.rounds)
            .flat_map(|(round, (ours, bare))| {
                [row(format!("veritail {round}"), &ours.met), row(format!("bare {round}"), bare)]
            })
            .collect();
        table::print(&["round", "patches/s", "MiB/s", "p50 ms", "p99 ms", "p99.9 ms"], &rows);
        let (requests, p99) = self.ratios();
        println!("\nbare: {}", self.minimum);
        println!("requests, median by median: {requests:.2} (goal: at least {})", self.goal);
        println!("p99, median by median: {p99:.2} (goal: at most {P99_GOAL})");
        if self.holds() {
            println!("proven: every job of every round, read back byte for byte");
        }
    }
}
