//! Runners at full speed, with and without *hot* beside them.

use std::time::Duration;

use serde_json::{Value, json};

use crate::cli::bench::clock;
use crate::cli::bench::ingest::{Load, Round};
use crate::cli::bench::progress::Progress;
use crate::cli::bench::report::median;
use crate::cli::bench::target::{Own, Target};
use crate::cli::{Failed, table};
use crate::trace::Schedule;
use crate::verify::{Settings, Verifier};

/// At most a tenth of the requests is lost, and the p99 is at most a tenth more.
const REQUESTS_GOAL: f64 = 0.9;
const P99_GOAL: f64 = 1.1;
/// Between two ticks: a cron expression can say no less.
const EVERY: Duration = Duration::from_secs(1);

/// Rounds without and with *hot*.
pub(super) struct Beside {
    rounds: Vec<(Round, Round)>,
    looks: Vec<u64>,
}

impl Beside {
    /// Runs both, in turns, and each first as often as second.
    pub(super) async fn measure(
        target: &Target,
        own: &Own,
        load: &Load,
        count: u32,
        progress: &Progress,
    ) -> Result<Self, Failed> {
        let mut beside = Self { rounds: Vec::new(), looks: Vec::new() };
        for round in 0..count {
            let (alone, with);
            if round % 2 == 0 {
                alone = alone_round(target, load, progress).await?;
                with = beside.with_hot(target, own, load, progress).await?;
            } else {
                with = beside.with_hot(target, own, load, progress).await?;
                alone = alone_round(target, load, progress).await?;
            }
            beside.rounds.push((alone, with));
        }
        Ok(beside)
    }

    async fn with_hot(
        &mut self,
        target: &Target,
        own: &Own,
        load: &Load,
        progress: &Progress,
    ) -> Result<Round, Failed> {
        let settings = Settings { hot_interval: EVERY, open_interval: EVERY, ..Settings::default() };
        let verifier = Verifier::new(own.running.pipeline().clone(), settings);
        let before = looks(&target.wire.metrics().await?);
        let round = tokio::select! {
            round = alone_round(target, load, progress) => round?,
            failed = tick_for_ever(&verifier) => return Err(failed),
        };
        self.looks.push(looks(&target.wire.metrics().await?).saturating_sub(before));
        Ok(round)
    }

    /// With *hot* by without: requests a second, and p99.
    fn ratios(&self) -> (f64, f64) {
        let ratio = |of: fn(&Round) -> f64| {
            let with = median(self.rounds.iter().map(|(_, with)| of(with)).collect());
            with / median(self.rounds.iter().map(|(alone, _)| of(alone)).collect())
        };
        (ratio(|round| round.met.patches_per_second()), ratio(|round| round.met.took.service.at(0.99)))
    }

    pub(super) fn holds(&self) -> bool {
        self.rounds.iter().all(|(alone, with)| alone.proof.holds() && with.proof.holds())
    }

    pub(super) fn complain(&self) {
        let rounds = self.rounds.iter().flat_map(|(alone, with)| [alone, with]);
        rounds.filter(|round| !round.proof.holds()).for_each(|round| round.proof.complain());
    }

    pub(super) fn json(&self) -> Value {
        let (requests, p99) = self.ratios();
        let rounds: Vec<Value> = self
            .rounds
            .iter()
            .zip(&self.looks)
            .map(|((alone, with), looks)| {
                json!({ "without": alone.json(false), "with": with.json(false), "looks": looks })
            })
            .collect();
        json!({
            "rounds": rounds, "requests_ratio": requests, "requests_goal": REQUESTS_GOAL,
            "p99_ratio": p99, "p99_goal": P99_GOAL,
        })
    }

    pub(super) fn tell(&self) {
        let row = |name: String, round: &Round, looks: String| {
            let at = |quantile| format!("{:.2}", round.met.took.service.at(quantile));
            vec![name, format!("{:.0}", round.met.patches_per_second()), at(0.5), at(0.99), looks]
        };
        let rows: Vec<_> = (1..)
            .zip(self.rounds.iter().zip(&self.looks))
            .flat_map(|(number, ((alone, with), looks))| {
                [
                    row(format!("appends {number}"), alone, "-".to_owned()),
                    row(format!("hot beside {number}"), with, looks.to_string()),
                ]
            })
            .collect();
        println!();
        table::print(&["round", "patches/s", "p50 ms", "p99 ms", "looks"], &rows);
        let (requests, p99) = self.ratios();
        println!("\nrequests with hot beside, median by median: {requests:.2} (goal: at least {REQUESTS_GOAL})");
        println!("p99, median by median: {p99:.2} (goal: at most {P99_GOAL})");
    }
}

async fn alone_round(target: &Target, load: &Load, progress: &Progress) -> Result<Round, Failed> {
    Round::run(&target.wire, load, &load.plan()?, &load.content(), progress).await
}

async fn tick_for_ever(verifier: &Verifier) -> Failed {
    loop {
        if let Err(error) = verifier.tick(Schedule::Hot).await {
            return Failed::because(error);
        }
        clock::sleep(EVERY).await;
    }
}

/// Looks of the verifier so far, out of the text of `/metrics`.
fn looks(metrics: &str) -> u64 {
    let counts = metrics.lines().filter(|line| line.starts_with("veritail_verify_checks_total{"));
    counts.filter_map(|line| line.rsplit_once(' ')?.1.parse::<u64>().ok()).sum()
}
