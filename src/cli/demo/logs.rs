//! Logs as real jobs write them: sections, colours, and progress that overwrites its own line. The same at every run.

use std::fmt::Write as _;

/// A small generator of numbers, so that a log needs no seed from outside (`SplitMix64`).
pub(in crate::cli) struct Dice(u64);

impl Dice {
    pub(in crate::cli) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number below `limit`.
    pub(in crate::cli) fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % limit.max(1)
    }
}

/// What a job does most of the time.
#[derive(Clone, Copy)]
pub(in crate::cli) enum Flavour {
    /// Runs tests, one line each.
    Tests,
    /// Compiles, with warnings.
    Compiles,
    /// Pulls and pushes, with progress bars.
    Pulls,
    /// Rolls out, and waits.
    Deploys,
}

const GREEN: &str = "\x1b[32;1m";
const RED: &str = "\x1b[31;1m";
const YELLOW: &str = "\x1b[33m";
const CYAN: &str = "\x1b[36m";
const PLAIN: &str = "\x1b[0;m";
/// Section times begin here: a log that is the same at every run has no clock.
const BEGAN: u64 = 1_767_225_600;

const CRATES: &[&str] = &["bytes", "serde", "tokio", "hyper", "rustls", "tracing", "regex", "clap", "http", "uuid"];
const TESTS: &[&str] = &["Project", "Pipeline", "MergeRequest", "Runner", "Artifact", "Release", "Snippet"];

/// A log of exactly `size` bytes.
pub(in crate::cli) fn log(flavour: Flavour, seed: u64, size: usize) -> Vec<u8> {
    let mut dice = Dice::new(seed);
    let mut text = String::with_capacity(size + 4096);
    opening(&mut text);
    let mut section = 0;
    while text.len() < size {
        section += 1;
        let (at, name) = (BEGAN + 10 * section, format!("step_{section}"));
        // Writing to a string cannot fail, here and below.
        let _ = write!(text, "section_start:{at}:{name}[collapsed=true]\r\x1b[0K{CYAN}Step {section}{PLAIN}\n");
        for _ in 0..20 + dice.below(60) {
            line(flavour, &mut dice, &mut text);
        }
        let _ = write!(text, "section_end:{}:{name}\r\x1b[0K\n", at + 7);
    }
    let ending = format!("\n{GREEN}Job succeeded{PLAIN}\n");
    let mut log = text.into_bytes();
    // Cut wherever that is, as a pipe would, so that the log ends like one.
    log.truncate(size.saturating_sub(ending.len()));
    log.extend_from_slice(ending.as_bytes());
    log
}

fn opening(text: &mut String) {
    let _ = write!(
        text,
        "\x1b[0KRunning with gitlab-runner 18.6.0\x1b[0;m\n\
         section_start:{BEGAN}:prepare_executor\r\x1b[0K\x1b[36;1mPreparing the \"docker\" executor{PLAIN}\n\
         Using Docker executor with image debian:trixie ...\n\
         section_end:{}:prepare_executor\r\x1b[0K",
        BEGAN + 4
    );
}

fn line(flavour: Flavour, dice: &mut Dice, text: &mut String) {
    match flavour {
        Flavour::Tests => tests(dice, text),
        Flavour::Compiles => compiles(dice, text),
        Flavour::Pulls => pulls(dice, text),
        Flavour::Deploys => deploys(dice, text),
    }
}

fn pick<'a>(dice: &mut Dice, from: &[&'a str]) -> &'a str {
    from[usize::try_from(dice.below(from.len() as u64)).unwrap_or_default()]
}

fn tests(dice: &mut Dice, text: &mut String) {
    let (name, number, ms) = (pick(dice, TESTS), dice.below(100_000), dice.below(900));
    let outcome = if dice.below(60) == 0 { format!("{YELLOW}pending{PLAIN}") } else { format!("{GREEN}ok{PLAIN}") };
    let _ = writeln!(text, "  {name} #{number} keeps what it was given … {outcome} ({ms} ms)");
}

fn compiles(dice: &mut Dice, text: &mut String) {
    let (name, minor, patch) = (pick(dice, CRATES), dice.below(40), dice.below(30));
    let _ = writeln!(text, "{GREEN}   Compiling{PLAIN} {name}-sys v0.{minor}.{patch}");
    if dice.below(12) == 0 {
        let (row, column) = (dice.below(2000), dice.below(100));
        let _ = writeln!(text, "{YELLOW}warning{PLAIN}: unused variable: `left`\n  --> src/{name}.rs:{row}:{column}");
    }
}

/// One line that is written over and over.
fn pulls(dice: &mut Dice, text: &mut String) {
    let (layer, total) = (dice.below(u64::MAX), 10 + dice.below(90));
    for part in 1..=5 {
        let done = total * part / 5;
        let filled = usize::try_from(part * 8).unwrap_or_default();
        let _ = write!(
            text,
            "\r{layer:016x}: Pulling [{}>{:gap$}] {done:>3}MB/{total}MB",
            "=".repeat(filled),
            "",
            gap = 40 - filled
        );
    }
    let _ = writeln!(text, "\r\x1b[K{layer:016x}: {GREEN}Pull complete{PLAIN}");
}

fn deploys(dice: &mut Dice, text: &mut String) {
    let (pod, ready) = (dice.below(u64::from(u32::MAX)), dice.below(12));
    let _ = writeln!(text, "deployment/web-{pod:08x}: {ready} of 12 replicas are up to date …");
    if dice.below(40) == 0 {
        let _ = writeln!(text, "{RED}Readiness probe failed{PLAIN}: connection refused; trying again");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_has_its_size_and_is_the_same_every_time() {
        for flavour in [Flavour::Tests, Flavour::Compiles, Flavour::Pulls, Flavour::Deploys] {
            let first = log(flavour, 7, 100_000);
            assert_eq!(first.len(), 100_000);
            assert_eq!(first, log(flavour, 7, 100_000));
            assert_ne!(first, log(flavour, 8, 100_000));
            let text = String::from_utf8_lossy(&first).into_owned();
            assert!(text.contains("section_start:") && text.contains('\r') && text.contains("\x1b["));
            assert!(text.ends_with("Job succeeded\x1b[0;m\n"));
        }
    }
}
