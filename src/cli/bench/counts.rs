//! What the server asked of its stores, from its metrics before and after.

use std::collections::BTreeMap;

use serde_json::{Value, json};

const CALLS: &str = "veritail_dependency_request_duration_seconds_count{";
const OPERATIONS: &str = "veritail_trace_operations_total{";
const MIGRATIONS: &str = "veritail_migrate_duration_seconds_";
/// What goes on by itself, whoever appends or not.
const BACKGROUND: [&str; 3] = ["ping", "usage", "scan"];

/// Counters at one moment, or what was added to them between two.
#[derive(Clone, Debug, Default)]
pub(super) struct Counts {
    /// By dependency and operation.
    calls: BTreeMap<(String, String), u64>,
    /// Chunks that were sealed.
    pub(super) chunks: u64,
    /// Migrations that went well, and the seconds they took together.
    pub(super) migrations: u64,
    pub(super) migrating: f64,
}

impl Counts {
    /// Reads the text of `/metrics`.
    pub(super) fn read(metrics: &str) -> Self {
        let mut counts = Self::default();
        for line in metrics.lines() {
            let Some((series, value)) = line.rsplit_once(' ') else { continue };
            let value: f64 = value.parse().unwrap_or_default();
            let label = |name: &str| {
                let (_, rest) = series.split_once(&format!("{name}=\""))?;
                Some(rest.split('"').next().unwrap_or_default().to_owned())
            };
            if series.starts_with(CALLS) {
                let of = (label("dependency").unwrap_or_default(), label("operation").unwrap_or_default());
                *counts.calls.entry(of).or_default() += value as u64;
            } else if series.starts_with(OPERATIONS) && label("operation").as_deref() == Some("chunked") {
                counts.chunks += value as u64;
            } else if series.starts_with(MIGRATIONS) && label("result").as_deref() != Some("error") {
                match series[MIGRATIONS.len()..].split('{').next() {
                    Some("count") => counts.migrations += value as u64,
                    Some("sum") => counts.migrating += value,
                    _ => {}
                }
            }
        }
        counts
    }

    /// What came since `before`.
    pub(super) fn since(&self, before: &Self) -> Self {
        let calls = self
            .calls
            .iter()
            .map(|(of, count)| (of.clone(), count.saturating_sub(before.calls.get(of).copied().unwrap_or_default())));
        Self {
            calls: calls.filter(|(_, count)| *count > 0).collect(),
            chunks: self.chunks.saturating_sub(before.chunks),
            migrations: self.migrations.saturating_sub(before.migrations),
            migrating: self.migrating - before.migrating,
        }
    }

    /// Adds what came at another time.
    pub(super) fn add(&mut self, more: &Self) {
        more.calls.iter().for_each(|(of, count)| *self.calls.entry(of.clone()).or_default() += count);
        self.chunks += more.chunks;
        self.migrations += more.migrations;
        self.migrating += more.migrating;
    }

    /// Leaves out what only reads in the database: whoever looks whether something has happened asks there too.
    pub(super) fn without_queries(mut self) -> Self {
        self.calls.remove(&("database".to_owned(), "query".to_owned()));
        self
    }

    /// Calls of a dependency but for what goes on by itself. `live` is whichever live store there is.
    pub(super) fn of(&self, dependency: &str) -> u64 {
        let is_it = |name: &str| match dependency {
            "live" => !matches!(name, "database" | "object_store"),
            dependency => name == dependency,
        };
        let calls =
            self.calls.iter().filter(|((name, operation), _)| is_it(name) && !BACKGROUND.contains(&operation.as_str()));
        calls.map(|(_, count)| count).sum()
    }

    pub(super) fn json(&self, per: u64) -> Value {
        let mut calls: BTreeMap<&str, BTreeMap<&str, u64>> = BTreeMap::new();
        for ((dependency, operation), count) in &self.calls {
            calls.entry(dependency).or_default().insert(operation, *count);
        }
        let each = |dependency| self.of(dependency) as f64 / per.max(1) as f64;
        json!({
            "calls": calls, "chunks": self.chunks,
            "each": { "live": each("live"), "database": each("database"), "object_store": each("object_store") },
        })
    }

    /// For people.
    pub(super) fn row(&self, name: &str, per: u64) -> Vec<String> {
        let each = |dependency| format!("{:.3}", self.of(dependency) as f64 / per.max(1) as f64);
        vec![name.to_owned(), per.to_string(), each("live"), each("database"), each("object_store")]
    }

    pub(super) const HEAD: [&str; 5] = ["calls per", "count", "live store", "database", "object store"];
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_counted_by_store_without_what_goes_on_by_itself() {
        let metrics = |appends: u64| {
            let name = CALLS.trim_end_matches('{');
            format!(
                "# TYPE {name} counter\n\
                 {name}{{dependency=\"redis\",operation=\"append\",result=\"ok\"}} {appends}\n\
                 {name}{{dependency=\"redis\",operation=\"append\",result=\"error\"}} 1\n\
                 {name}{{dependency=\"redis\",operation=\"ping\",result=\"ok\"}} {appends}\n\
                 {name}{{dependency=\"database\",operation=\"change\",result=\"ok\"}} 5\n\
                 veritail_trace_operations_total{{operation=\"chunked\"}} {appends}\n\
                 veritail_migrate_duration_seconds_sum{{result=\"ok\"}} 0.{appends}\n\
                 veritail_migrate_duration_seconds_count{{result=\"ok\"}} {appends}\n"
            )
        };
        let counts = Counts::read(&metrics(9)).since(&Counts::read(&metrics(4)));
        assert_eq!((counts.of("live"), counts.of("database"), counts.chunks, counts.migrations), (5, 0, 5, 5));
        assert!((counts.migrating - 0.5).abs() < 1e-9);
        assert_eq!(counts.json(10)["each"]["live"], 0.5);
    }
}
