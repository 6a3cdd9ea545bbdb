//! The seeded simulation: the real pipeline on three nodes over model stores that delay, fail, lose and rot, while runners
//! send logs the way real ones do and nodes die and come back. Single-threaded, in virtual time: a seed replays exactly.
//!
//! `cargo test --test sim -- --seeds 10000 --from 1` runs many; one failing seed again, with its story on standard error:
//! `cargo test --test sim -- --seeds 1 --from 4711 --story`. With `--vigils` in place of `--seeds` nothing that was kept is
//! harmed, and the verifiers look as often as they can. Without either both are run.
#![allow(unreachable_pub, reason = "one test binary, nothing outside of it")]

#[path = "../support/mod.rs"]
mod support;

mod clocks;
mod disturbed;
mod faults;
mod machine;
mod network;
mod oracle;
mod plan;
mod planted;
mod queue;
mod reader;
mod run;
mod runner;
mod tally;
mod unnamed;
mod verifying;
mod vigil;
mod world;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Seeds without a number given: enough to see that nothing is broken at large. `tests/run` asks for many.
const SEEDS: u64 = 100;
/// The environment may say how many. The program that other tests start refuses variables of its own kind that it does not
/// know, so whoever runs all tests at once says it by the first name.
const HOW_MANY: [&str; 2] = ["SIM_SEEDS", "VERITAIL_SIM_SEEDS"];

/// One vigil to so many seeds: for a thousand of them that is more than ten million looks.
const SEEDS_A_VIGIL: u64 = 4;

/// Failing seeds that are printed in full.
const SHOWN: usize = 5;

/// What a seed is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Course {
    /// See [`run`].
    Seed,
    /// See [`vigil`].
    Vigil,
}

impl Course {
    /// Runs a seed; a panic is a violation too.
    fn run(self, seed: u64) -> Result<oracle::Seen, String> {
        let run = move || match self {
            Self::Seed => run::simulate(seed),
            Self::Vigil => vigil::keep(seed),
        };
        catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|panic| {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string));
            Err(format!("panicked: {}", text.unwrap_or_default()))
        })
    }

    fn name(self) -> &'static str {
        match self {
            Self::Seed => "seed",
            Self::Vigil => "vigil",
        }
    }
}

struct Options {
    seeds: u64,
    vigils: u64,
    from: u64,
    story: bool,
}

impl Options {
    /// Everything that is to be run, the longest first.
    fn courses(&self) -> Vec<(Course, u64)> {
        let of = |course, many| (self.from..self.from + many).map(move |seed| (course, seed));
        of(Course::Vigil, self.vigils).chain(of(Course::Seed, self.seeds)).collect()
    }
}

fn options() -> Options {
    let many = HOW_MANY.iter().find_map(|name| std::env::var(name).ok()?.parse().ok()).unwrap_or(SEEDS);
    let mut options = Options { seeds: many, vigils: many.div_ceil(SEEDS_A_VIGIL), from: 1, story: false };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let mut number = || words.next().and_then(|value| value.parse().ok()).expect("a number after the option");
        match word.as_str() {
            "--seeds" => (options.seeds, options.vigils) = (number(), 0),
            "--vigils" => (options.seeds, options.vigils) = (0, number()),
            "--from" => options.from = number(),
            "--story" => options.story = true,
            // Options of the standard test runner mean nothing here.
            _ => {}
        }
    }
    options
}

fn main() -> ExitCode {
    let options = options();
    if std::env::args().any(|word| word == "--list") {
        return ExitCode::SUCCESS;
    }
    if options.story {
        tracing_subscriber::fmt()
            .with_max_level(tracing::Level::DEBUG)
            .without_time()
            .with_writer(std::io::stderr)
            .init();
    } else {
        std::panic::set_hook(Box::new(|_| {}));
    }
    let courses = options.courses();
    let next = AtomicUsize::new(0);
    let failed = Mutex::new(Vec::new());
    let seen = Mutex::new(BTreeMap::<Course, oracle::Seen>::new());
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some(&(course, seed)) = courses.get(next.fetch_add(1, Ordering::Relaxed)) {
                    match course.run(seed) {
                        Ok(what) => seen.lock().expect("not poisoned").entry(course).or_default().add(&what),
                        Err(violation) => failed.lock().expect("not poisoned").push((course, seed, violation)),
                    }
                }
            });
        }
    });
    let mut failed = failed.into_inner().expect("not poisoned");
    failed.sort();
    for (course, seen) in seen.into_inner().expect("not poisoned") {
        println!("{}s: {seen}", course.name());
    }
    for (course, seed, violation) in failed.iter().take(SHOWN) {
        println!("{} {seed}: {violation}", course.name());
        println!("    replay: cargo test --test sim -- --{}s 1 --from {seed} --story", course.name());
    }
    println!("simulation: {} passed, {} failed", courses.len() - failed.len(), failed.len());
    if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
