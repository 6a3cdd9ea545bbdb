//! What there is to ask for: the metrics of the table, the process's own, what rules record, and the alerts.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use veritail::telemetry::family::{Row, Type};
use veritail::telemetry::table;

use super::boards::text;
use super::prometheus::Prometheus;
use super::promql::{Query, Selector, matches};

/// The metrics of the process itself, with their types.
pub const PROCESS: &[(&str, Type)] = &[
    ("process_cpu_seconds_total", Type::Counter),
    ("process_max_fds", Type::Gauge),
    ("process_open_fds", Type::Gauge),
    ("process_resident_memory_bytes", Type::Gauge),
    ("process_start_time_seconds", Type::Gauge),
    ("process_threads", Type::Gauge),
    ("process_virtual_memory_bytes", Type::Gauge),
    ("process_virtual_memory_max_bytes", Type::Gauge),
];

/// An alert as Prometheus understood it.
pub struct Alert {
    /// Its name; several rules may share it.
    pub name: String,
    /// What it asks.
    pub query: Query,
    /// Whether it wakes somebody.
    pub pages: bool,
}

/// See the module.
pub struct Known {
    rows: BTreeMap<&'static str, Row>,
    /// What rules record, with the labels that it has.
    recorded: BTreeMap<String, BTreeSet<String>>,
    /// The alerts.
    pub alerts: Vec<Alert>,
    /// The queries of all rules.
    pub rules: Vec<Query>,
}

impl Known {
    /// Reads the table, and the rules by way of a Prometheus.
    pub async fn load() -> Self {
        let rules = Prometheus::start(&[], "1m").rules().await;
        let rows = table::rows().into_iter().map(|row| (row.name, row)).collect();
        let mut known = Self { rows, recorded: BTreeMap::new(), alerts: Vec::new(), rules: Vec::new() };
        for rule in &rules {
            let (name, query) = (text(&rule["name"]).to_owned(), Query::of(text(&rule["query"])));
            if rule["type"] == "alerting" {
                let pages = rule["labels"]["severity"] == "critical";
                known.alerts.push(Alert { name, query: Query::of(text(&rule["query"])), pages });
            } else {
                known.recorded.insert(name, labels_of(rule, &query));
            }
            known.rules.push(query);
        }
        assert!(!known.alerts.is_empty() && !known.recorded.is_empty(), "the rules are found");
        known
    }

    /// The name of the family that a selector asks for.
    pub fn family<'a>(&self, selector: &'a Selector) -> &'a str {
        selector.family(|name| self.rows.get(name).is_some_and(|row| row.metric_type == Type::Histogram))
    }

    /// The families of the table.
    pub fn families(&self) -> impl Iterator<Item = &'static str> {
        self.rows.keys().copied()
    }

    /// Counter or not; `None` of what is not known.
    pub fn is_counter(&self, selector: &Selector) -> Option<bool> {
        let family = self.family(selector);
        if let Some(row) = self.rows.get(family) {
            return Some(row.metric_type != Type::Gauge);
        }
        if let Some((_, kind)) = PROCESS.iter().find(|(name, _)| *name == family) {
            return Some(*kind == Type::Counter);
        }
        let is_other = self.recorded.contains_key(family)
            || ["veritail_build_info", "up", "ALERTS", "ALERTS_FOR_STATE"].contains(&family);
        is_other.then_some(false)
    }

    /// What is wrong with a query: names, labels and values that nobody emits.
    pub fn complaints(&self, query: &Query) -> Vec<String> {
        let mut wrong = Vec::new();
        let mut labels: BTreeSet<String> = ["job", "instance", "le"].map(str::to_owned).into();
        // What `label_replace` and `label_join` make.
        labels.extend(query.strings.iter().cloned());
        for selector in &query.selectors {
            let family = self.family(selector);
            let sets = self.labels(family);
            if self.is_counter(selector).is_none() {
                wrong.push(format!("{family} is not exported"));
            }
            labels.extend(sets.keys().cloned());
            for (label, operator, value) in &selector.matchers {
                match sets.get(label.as_str()) {
                    _ if ["job", "instance"].contains(&label.as_str()) => {}
                    _ if label == "le" && selector.name.ends_with("_bucket") => {}
                    None if family.starts_with("ALERTS") => {}
                    None => wrong.push(format!("{family} has no label {label}")),
                    Some(None) => {}
                    Some(Some(set)) => {
                        let unknown = unknown(set, operator, value);
                        wrong.extend(unknown.map(|one| format!("{family} has no {label} {one}")));
                    }
                }
            }
        }
        let of_nobody = query.grouped.iter().filter(|label| !labels.contains(*label) && *label != "alertstate");
        wrong.extend(of_nobody.map(|label| format!("nothing here has the label {label}")));
        wrong
    }

    /// The labels of a family with their closed sets, if they are closed.
    fn labels(&self, family: &str) -> BTreeMap<String, Option<Vec<&'static str>>> {
        if let Some(row) = self.rows.get(family) {
            return row.labels.iter().map(|(label, set)| ((*label).to_owned(), Some(set.clone()))).collect();
        }
        if family == "veritail_build_info" {
            return ["version", "revision"].map(|label| (label.to_owned(), None)).into();
        }
        self.recorded.get(family).into_iter().flatten().map(|label| (label.clone(), None)).collect()
    }
}

/// What a matcher asks for and a closed set does not have.
fn unknown<'a>(set: &[&'static str], operator: &str, value: &'a str) -> impl Iterator<Item = &'a str> {
    let is_pattern = operator.contains('~');
    let alternatives: Vec<&str> = if is_pattern { value.split('|').collect() } else { vec![value] };
    let is_known = |one: &str| set.iter().any(|known| if is_pattern { matches(one, known) } else { *known == one });
    let unknown: Vec<&str> = alternatives.into_iter().filter(|one| !is_known(one)).collect();
    unknown.into_iter()
}

/// The labels that a recorded series may have: those that its query groups by or makes, and the rule's own.
fn labels_of(rule: &Value, query: &Query) -> BTreeSet<String> {
    let own = rule["labels"].as_object().into_iter().flatten().map(|(label, _)| label.clone());
    own.chain(query.grouped.iter().cloned()).chain(query.strings.iter().cloned()).collect()
}
