//! Faults with real servers: three nodes over Redis, PostgreSQL and S3, tens of runners, one fault at a time, then an audit.
//!
//! `cargo test --test chaos` runs every scenario and prints a report; `-- --only redis` those whose name has this in it,
//! `--runners 60 --seconds 30` a longer load, `--keep` leaves the logs of a failed scenario where they are. With
//! `--old PROGRAM` nodes begin as that program, an earlier version, and go on as the one of now where they are restarted:
//! `--only node --old PROGRAM` is an upgrade under load, and both versions side by side.
#![allow(clippy::disallowed_methods, reason = "the tests wait for real servers")]
#![allow(unreachable_pub, reason = "one test binary, nothing outside of it")]
#![allow(clippy::unwrap_used, reason = "a test that unwraps nothing has failed")]

#[path = "../support/mod.rs"]
mod support;

mod audit;
mod balancer;
mod load;
mod report;
mod scenarios;
mod stack;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use load::Load;
use report::{Line, Report};
use scenarios::Scenario;
use stack::{Engines, Stack};

struct Options {
    only: Option<String>,
    load: Load,
    keep: bool,
    old: Option<PathBuf>,
}

fn options() -> Options {
    let mut options = Options { only: None, load: Load::default(), keep: false, old: None };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let mut value = || words.next().expect("a value after the option");
        match word.as_str() {
            "--only" => options.only = Some(value()),
            "--runners" => options.load.runners = value().parse().expect("a number of runners"),
            "--seconds" => options.load.time = Duration::from_secs(value().parse().expect("a number of seconds")),
            "--old" => options.old = Some(PathBuf::from(value())),
            "--keep" => options.keep = true,
            // Options of the standard test runner mean nothing here.
            _ => {}
        }
    }
    options
}

fn main() -> ExitCode {
    let options = options();
    let only = |scenario: &&Scenario| options.only.as_ref().is_none_or(|part| scenario.name.contains(part));
    let scenarios: Vec<&Scenario> = scenarios::ALL.iter().filter(only).collect();
    if std::env::args().any(|word| word == "--list") {
        scenarios.iter().for_each(|scenario| println!("{}: test", scenario.name));
        return ExitCode::SUCCESS;
    }
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let mut report = Report::default();
    let mut engines = Engines::start(options.old.as_deref());
    for scenario in scenarios {
        let began = Instant::now();
        let (line, again) = runtime.block_on(run(scenario, engines, &options));
        engines = again;
        report.add(line.took(began.elapsed()));
    }
    drop(engines);
    report.print();
    if report.failed() == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The load with the fault in its middle, then calm, then the audit.
async fn run(scenario: &Scenario, engines: Engines, options: &Options) -> (Line, Engines) {
    let mut stack = Stack::start(scenario.redis, engines).await;
    let under_way = load::start(&stack, &options.load);
    tokio::time::sleep(options.load.time / 4).await;
    (scenario.fault)(&mut stack).await;
    let sent = under_way.finish().await;
    let mut line = audit::audit(scenario, &stack, sent).await;
    if line.is_bad() {
        line.say(stack.last_words());
        if options.keep {
            line.say(format!("kept in {}", stack.keep_logs().display()));
        }
    }
    (line, stack.stop())
}
