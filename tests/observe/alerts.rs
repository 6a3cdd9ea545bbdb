//! The rules below `alerts/` as they stand there, and the programs of Prometheus that judge them.

use std::path::{Path, PathBuf};
use std::process::Command;

/// One rule, with its text.
#[derive(Clone, Debug)]
pub struct Rule {
    /// The file's name without its ending, such as `integrity`.
    pub file: String,
    /// True of an alert, false of what is recorded.
    pub alerts: bool,
    pub name: String,
    /// All of its lines.
    pub text: String,
}

impl Rule {
    /// The expression, its lines joined.
    pub fn expr(&self) -> String {
        let behind = self.text.lines().skip_while(|line| line.trim() != "expr: |").skip(1);
        let lines: Vec<&str> = behind.take_while(|line| line.starts_with("          ")).map(str::trim).collect();
        lines.join(" ")
    }

    /// What stands behind a key, without quotes: of `for`, a label or an annotation.
    pub fn value(&self, key: &str) -> Option<String> {
        let mut lines = self.text.lines().map(str::trim);
        let value = lines.find_map(|line| line.strip_prefix(key)?.strip_prefix(':').map(str::trim))?;
        if value != ">-" {
            return Some(value.trim_matches('\'').replace("''", "'"));
        }
        // Folded: the lines that are further in.
        Some(lines.take_while(|line| !is_key(line)).collect::<Vec<_>>().join(" "))
    }
}

fn is_key(line: &str) -> bool {
    ["runbook_url:", "dashboard_url:", "summary:", "description:", "- "].iter().any(|key| line.starts_with(key))
}

/// The folder of the rules.
pub fn folder() -> PathBuf {
    root().join("alerts")
}

/// The top of the repository.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The files below `alerts/` whose names end so, sorted.
pub fn files(ending: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder()).expect("the folder of the rules");
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    files.retain(|file| file.to_string_lossy().ends_with(ending));
    files.sort();
    assert!(!files.is_empty(), "no file ends with {ending}");
    files
}

/// A file's text.
pub fn read(file: &Path) -> String {
    std::fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

/// Every rule of every file.
pub fn rules() -> Vec<Rule> {
    let mut rules: Vec<Rule> = Vec::new();
    for file in files(".rules.yml") {
        let stem = file.file_name().unwrap_or_default().to_string_lossy().replace(".rules.yml", "");
        let mut inside = false;
        for line in read(&file).lines() {
            let begins = |what: &str| line.strip_prefix(&format!("      - {what}: ")).map(str::to_owned);
            let (alert, record) = (begins("alert"), begins("record"));
            if let Some(name) = alert.clone().or(record) {
                rules.push(Rule { file: stem.clone(), alerts: alert.is_some(), name, text: String::new() });
                inside = true;
            } else if line.starts_with("  - name:") || line.trim_start().starts_with('#') {
                inside = false;
            }
            if let Some(rule) = rules.last_mut().filter(|_| inside) {
                rule.text += line;
                rule.text += "\n";
            }
        }
    }
    assert!(rules.len() > 40, "the rules are found");
    rules
}

/// The alerts among them.
pub fn alerts() -> Vec<Rule> {
    rules().into_iter().filter(|rule| rule.alerts).collect()
}

/// Runs a program that judges; what it says, and whether it is content.
pub fn judged(program: &str, arguments: &[&str]) -> (bool, String) {
    // It only computes: tests beside it whose limits are in real time have the processor first.
    let mut nice = Command::new("nice");
    nice.args(["-n", "19", program]).args(arguments).current_dir(folder());
    let output = nice.output().expect("nice is part of every system");
    assert_ne!(output.status.code(), Some(127), "{program} is missing; `tests/run prepare` installs what tests need");
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&said).into_owned())
}

/// The tests of one rule: the blocks of its file's tests that are about it, each with its own series.
pub fn tests_of(rule: &Rule) -> Vec<String> {
    let mut blocks = Vec::new();
    for file in files(".test.yml") {
        let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if !name.starts_with(&rule.file) {
            continue;
        }
        let text = read(&file);
        let (head, tests) = text.split_once("\ntests:\n").expect("a file of tests");
        let every = head.lines().find_map(|line| line.strip_prefix("evaluation_interval: ")).expect("an interval");
        let about = match rule.alerts {
            true => vec![format!("alertname=\"{}\"", rule.name), format!("alertname: {}\n", rule.name)],
            // As the whole name: those of other times begin alike.
            false => ["'", ")", " ", "{"].iter().map(|end| format!("{}{end}", rule.name)).collect(),
        };
        for block in tests.split("  - interval: ").skip(1) {
            if about.iter().any(|about| block.contains(about)) {
                // The comment of the block behind it is none of it.
                let lines: Vec<&str> = block.lines().filter(|line| !line.starts_with("  #")).collect();
                blocks.push(format!("evaluation_interval: {every}\n\0  - interval: {}\n", lines.join("\n")));
            }
        }
    }
    blocks
}
