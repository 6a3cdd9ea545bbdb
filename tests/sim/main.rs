//! The seeded simulation: the real pipeline on three nodes over model stores that delay, fail, lose and rot, while runners
//! send logs the way real ones do and nodes die and come back. Single-threaded, in virtual time: a seed replays exactly.
//!
//! `cargo test --test sim -- --seeds 10000 --from 1` runs many; one failing seed again, with its story on standard error:
//! `cargo test --test sim -- --seeds 1 --from 4711 --story`.
#![allow(unreachable_pub, reason = "one test binary, nothing outside of it")]

#[path = "../support/mod.rs"]
mod support;

mod clocks;
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
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

/// Seeds without a number given: enough to see that nothing is broken at large. `tests/run` asks for many.
const SEEDS: u64 = 100;
/// The environment may say how many. The program that other tests start refuses variables of its own kind that it does not
/// know, so whoever runs all tests at once says it by the first name.
const HOW_MANY: [&str; 2] = ["SIM_SEEDS", "VERITAIL_SIM_SEEDS"];

/// Failing seeds that are printed in full.
const SHOWN: usize = 5;

struct Options {
    seeds: u64,
    from: u64,
    story: bool,
}

fn options() -> Options {
    let mut options = Options { seeds: SEEDS, from: 1, story: false };
    if let Some(seeds) = HOW_MANY.iter().find_map(|name| std::env::var(name).ok()?.parse().ok()) {
        options.seeds = seeds;
    }
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let mut number = || words.next().and_then(|value| value.parse().ok()).expect("a number after the option");
        match word.as_str() {
            "--seeds" => options.seeds = number(),
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
    let next = AtomicU64::new(options.from);
    let failed = Mutex::new(Vec::new());
    let seen = Mutex::new(oracle::Seen::default());
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= options.from + options.seeds {
                        return;
                    }
                    match catch_unwind(AssertUnwindSafe(|| run::simulate(seed))) {
                        Ok(Ok(what)) => seen.lock().expect("not poisoned").add(&what),
                        Ok(Err(violation)) => failed.lock().expect("not poisoned").push((seed, violation)),
                        Err(panic) => {
                            let text = panic.downcast_ref::<String>().cloned();
                            let text = text.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string));
                            let text = format!("panicked: {}", text.unwrap_or_default());
                            failed.lock().expect("not poisoned").push((seed, text));
                        }
                    }
                }
            });
        }
    });
    let mut failed = failed.into_inner().expect("not poisoned");
    failed.sort();
    println!("{}", seen.into_inner().expect("not poisoned"));
    for (seed, violation) in failed.iter().take(SHOWN) {
        println!("seed {seed}: {violation}");
        println!("    replay: cargo test --test sim -- --seeds 1 --from {seed} --story");
    }
    let bad = failed.len() as u64;
    println!("simulation: {} passed, {bad} failed", options.seeds - bad);
    if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
