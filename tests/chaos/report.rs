//! The report: one line a scenario, and what each finding means.

use std::time::Duration;

/// What came of one scenario.
#[derive(Debug, Default)]
pub struct Line {
    pub scenario: &'static str,
    pub jobs: usize,
    pub bytes: usize,
    /// Requests that failed or were refused for now.
    pub failed_requests: u32,
    /// Answers 416 and 412: bytes asked for again.
    pub asked_again: u32,
    /// Bytes that were acknowledged and cannot be read.
    pub missing: usize,
    /// Traces whose verdict is not `verified`.
    pub not_verified: usize,
    /// Mismatches that no damage explains, or that nobody resolved.
    pub false_mismatches: usize,
    /// Mismatches of bytes that the fault did take away, all resolved.
    pub healed: usize,
    /// Objects, live keys and rows that nobody needs.
    pub left_over: usize,
    /// What is left over and why that is as it should be.
    pub explained: Vec<String>,
    pub took: Duration,
    pub words: Vec<String>,
}

impl Line {
    /// True if something is not as it should be.
    pub fn is_bad(&self) -> bool {
        self.missing + self.not_verified + self.false_mismatches + self.left_over > 0
    }

    /// How long it took.
    pub fn took(self, took: Duration) -> Self {
        Self { took, ..self }
    }

    /// For the reader of a report that is not all zeros.
    pub fn say(&mut self, words: impl Into<String>) {
        self.words.push(words.into());
    }
}

/// All lines.
#[derive(Default)]
pub struct Report(Vec<Line>);

impl Report {
    /// Adds a line, and prints it at once.
    pub fn add(&mut self, line: Line) {
        println!(
            "{} {} ({:.1} s)",
            if line.is_bad() { "FAILED" } else { "held" },
            line.scenario,
            line.took.as_secs_f64()
        );
        line.words.iter().for_each(|words| println!("{words}"));
        self.0.push(line);
    }

    /// How many scenarios did not hold.
    pub fn failed(&self) -> usize {
        self.0.iter().filter(|line| line.is_bad()).count()
    }

    /// Prints the table and the line for the test runner.
    pub fn print(&self) {
        println!(
            "\n{:<34} {:>5} {:>7} {:>7} {:>7} {:>7} {:>8} {:>8} {:>7} {:>7}",
            "fault", "jobs", "KiB", "failed", "again", "healed", "missing", "unproven", "false", "left"
        );
        for line in &self.0 {
            println!(
                "{:<34} {:>5} {:>7} {:>7} {:>7} {:>7} {:>8} {:>8} {:>7} {:>7}",
                line.scenario,
                line.jobs,
                line.bytes / 1024,
                line.failed_requests,
                line.asked_again,
                line.healed,
                line.missing,
                line.not_verified,
                line.false_mismatches,
                line.left_over
            );
            line.explained.iter().for_each(|why| println!("    {why}"));
        }
        println!("\nfailed: requests answered 429 or 5xx, or not at all. again: bytes asked for again (416, 412).");
        println!("healed: losses found, written down and made good. All others must be 0.");
        println!(
            "\ntest result: {}. {} passed; {} failed; 0 ignored; 0 measured; 0 filtered out",
            if self.failed() == 0 { "ok" } else { "FAILED" },
            self.0.len() - self.failed(),
            self.failed()
        );
    }
}
