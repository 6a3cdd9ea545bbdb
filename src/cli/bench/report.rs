//! What every report begins with: the program, the machine, the seed; and printing it.

use std::fs;

use serde_json::{Map, Value, json};

use super::target::Target;
use crate::telemetry::exporter;

/// The head of a report.
pub(super) fn head(bench: &str, seed: u64, target: Option<&Target>, plan: Value) -> Map<String, Value> {
    let mut head = Map::new();
    head.insert("bench".to_owned(), json!(bench));
    head.insert("version".to_owned(), json!(exporter::VERSION));
    head.insert("revision".to_owned(), json!(exporter::REVISION));
    head.insert("debug_build".to_owned(), json!(cfg!(debug_assertions)));
    head.insert("machine".to_owned(), machine());
    head.insert("seed".to_owned(), json!(seed));
    head.insert("plan".to_owned(), plan);
    if let Some(target) = target {
        head.insert("target".to_owned(), target.describe());
    }
    head
}

fn machine() -> Value {
    let line = |file: &str, name: &str| {
        let text = fs::read_to_string(file).ok()?;
        let line = text.lines().find_map(|line| line.strip_prefix(name))?.trim_start_matches([' ', '\t', ':']);
        Some(line.trim().to_owned())
    };
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    json!({
        "cores": cores, "cpu": line("/proc/cpuinfo", "model name"), "memory": line("/proc/meminfo", "MemTotal"),
        "os": std::env::consts::OS, "architecture": std::env::consts::ARCH,
    })
}

/// Prints the document for programs.
pub(super) fn print_json(report: Map<String, Value>) {
    // Whoever does not read on need not.
    let _ = std::io::Write::write_fmt(&mut std::io::stdout(), format_args!("{:#}\n", Value::Object(report)));
}

/// The middle one of some figures; 0 of none.
pub(super) fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    match (figures.len() / 2, figures.len() % 2) {
        (_, _) if figures.is_empty() => 0.0,
        (half, 1) => figures[half],
        (half, _) => f64::midpoint(figures[half - 1], figures[half]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(median(vec![]), 0.0);
        assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), 2.5);
    }
}
