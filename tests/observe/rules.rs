//! The rules: what Prometheus says of them, what every alert has, and that they speak of what the code exports.

use std::collections::BTreeSet;

use veritail::telemetry::family::Row;
use veritail::telemetry::table;

use crate::alerts::{self, Rule, files, judged, read, root, rules};

/// Where runbooks are read, and where they lie.
const RUNBOOKS: &str = "https://veritail.example/runbooks/";
const DASHBOARDS: &str = "https://grafana.example/d/";
/// The dashboards that there are, each a file below `dashboards/`.
const UIDS: &[&str] =
    &["veritail-overview", "veritail-ingest", "veritail-storage", "veritail-integrity", "veritail-dependencies"];
/// Labels that Prometheus or a rule gives, and no metric declares.
const OTHER_LABELS: &[&str] = &["job", "instance", "le", "slo", "version", "revision", "alertname"];
/// Metrics that are not in the table: of the process, of Prometheus, and the constant one.
const OTHER_METRICS: &[&str] =
    &["veritail_build_info", "process_open_fds", "process_max_fds", "process_start_time_seconds"];

#[test]
fn prometheus_accepts_every_rule() {
    for file in files(".rules.yml") {
        let file = file.display().to_string();
        let (content, said) = judged("promtool", &["check", "rules", "--lint=all", "--lint-fatal", &file]);
        assert!(content, "{said}");
    }
}

#[test]
fn every_alert_passes_its_tests() {
    std::thread::scope(|scope| {
        for file in files(".test.yml") {
            scope.spawn(move || {
                let (content, said) = judged("promtool", &["test", "rules", &file.display().to_string()]);
                assert!(content, "{said}");
            });
        }
    });
}

#[test]
fn every_alert_says_what_it_means_and_where_to_go_on() {
    for rule in alerts::alerts() {
        let name = &rule.name;
        assert!(name.starts_with("Veritail"), "{name}");
        for key in ["summary", "description"] {
            assert!(rule.value(key).is_some_and(|text| text.len() > 10), "{name} has no {key}");
        }
        let severity = rule.value("severity").unwrap_or_default();
        assert!(["critical", "warning", "none"].contains(&severity.as_str()), "{name}: severity {severity:?}");
        let component = rule.value("component").unwrap_or_default();
        let known = ["integrity", "verifier", "canary", "api", "storage", "dependencies", "runtime"];
        assert!(known.contains(&component.as_str()), "{name}: component {component:?}");
        let runbook = rule.value("runbook_url").unwrap_or_default();
        assert_eq!(runbook.strip_prefix(RUNBOOKS), Some(name.as_str()), "{name}: {runbook}");
        assert!(root().join(format!("docs/runbooks/{name}.md")).exists(), "{name} has no runbook");
        let dashboard = rule.value("dashboard_url").unwrap_or_default();
        let uid = dashboard.strip_prefix(DASHBOARDS).and_then(|rest| rest.split('?').next()).unwrap_or_default();
        assert!(UIDS.contains(&uid), "{name}: {dashboard}");
        // The dashboards come as a folder of their own.
        let boards = root().join("dashboards");
        assert!(!boards.exists() || boards.join(format!("{uid}.json")).exists(), "{name}: there is no dashboard {uid}");
        assert!(!alerts::tests_of(&rule).is_empty(), "{name} has no test");
    }
}

/// Those whose second part sees a counter that was not there before, and no others: the page and their runbooks say so.
#[test]
fn what_fires_once_more_after_an_outage_of_prometheus_is_named() {
    let page = read(&root().join("docs/operations/alerts.md"));
    let (_, told) = page.split_once("**After Prometheus was away**").expect("a paragraph");
    let told = told.split("\n\n").next().unwrap_or(told);
    for rule in alerts::alerts() {
        let again = rule.expr().contains("unless last_over_time(");
        assert_eq!(told.contains(&rule.name), again, "{} in the paragraph", rule.name);
        let runbook = read(&root().join(format!("docs/runbooks/{}.md", rule.name)));
        assert_eq!(runbook.contains("- Not news after Prometheus was away for more than"), again, "{}", rule.name);
    }
}

/// One reading of a metric in an expression: its name, and its matchers as label, operator and value.
struct Selector {
    name: String,
    matchers: Vec<(String, String, String)>,
}

/// Every metric that a text reads, with its matchers. `'` stands for `"` in the queries of annotations.
fn selectors(text: &str) -> Vec<Selector> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(at) = ["veritail_", "process_"].iter().filter_map(|prefix| rest.find(prefix)).min() {
        let before = rest[..at].chars().next_back();
        rest = &rest[at..];
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
        let name = rest[..end].to_owned();
        rest = &rest[end..];
        // A part of the name of something recorded.
        if before == Some(':') || rest.starts_with(':') {
            continue;
        }
        let matchers = rest.strip_prefix('{').and_then(|rest| rest.split_once('}')).map_or("", |(inside, _)| inside);
        found.push(Selector { name, matchers: matchers_of(matchers) });
    }
    found
}

fn matchers_of(text: &str) -> Vec<(String, String, String)> {
    let text = text.replace('\'', "\"");
    let mut matchers = Vec::new();
    let mut rest = text.as_str();
    while let Some((head, behind)) = rest.split_once('"') {
        let (value, behind) = behind.split_once('"').expect("a value that ends");
        let head = head.trim_start_matches(',').trim();
        let at = head.find(['=', '!']).expect("an operator");
        matchers.push((head[..at].to_owned(), head[at..].to_owned(), value.to_owned()));
        rest = behind;
    }
    matchers
}

/// The family of a name, as its `_bucket`, `_count` and `_sum` too.
fn row<'a>(rows: &'a [Row], name: &str) -> Option<&'a Row> {
    let of_histogram = ["_bucket", "_count", "_sum"].iter().find_map(|ending| name.strip_suffix(ending));
    rows.iter().find(|row| row.name == name || Some(row.name) == of_histogram && !row.buckets.is_empty())
}

/// Whether a part of a pattern matches a value; a point stands for any letter.
fn matches(pattern: &str, value: &str) -> bool {
    pattern.len() == value.len() && pattern.bytes().zip(value.bytes()).all(|(a, b)| a == b || a == b'.')
}

#[test]
fn every_metric_and_label_that_a_rule_names_is_exported() {
    let rows = table::rows();
    let (mut seen, mut wrong) = (BTreeSet::new(), Vec::new());
    for rule in rules() {
        for Selector { name, matchers } in selectors(&rule.text) {
            seen.insert(name.clone());
            // The canary's, in a build that has none.
            let is_absent = name.starts_with("veritail_canary_") && !rows.iter().any(|row| row.name.contains("canary"));
            if OTHER_METRICS.contains(&name.as_str()) || is_absent {
                continue;
            }
            let Some(row) = row(&rows, &name) else {
                wrong.push(format!("{}: {name} is not exported", rule.name));
                continue;
            };
            for (label, operator, value) in matchers.iter().filter(|(label, ..)| label != "job" && label != "le") {
                // What a template fills in is of the alert's own labels.
                let Some((_, known)) = row.labels.iter().find(|(known, _)| known == label) else {
                    wrong.push(format!("{}: {name} has no label {label}", rule.name));
                    continue;
                };
                for part in value.split('|').filter(|part| *part != "%s") {
                    let is_exact = !operator.contains('~');
                    if !known.iter().any(|known| if is_exact { *known == part } else { matches(part, known) }) {
                        wrong.push(format!("{}: {name} has no {label} {part:?}", rule.name));
                    }
                }
            }
        }
    }
    assert!(seen.len() > 40, "{seen:?}");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_label_that_is_kept_is_one_that_there_is() {
    let rows = table::rows();
    let known: BTreeSet<&str> = rows.iter().flat_map(|row| row.labels.iter().map(|(label, _)| *label)).collect();
    for rule in rules() {
        let expr = rule.expr();
        for kept in expr.split("by (").skip(1).filter_map(|rest| rest.split(')').next()) {
            for label in kept.split(',').map(str::trim) {
                assert!(known.contains(label) || OTHER_LABELS.contains(&label), "{}: by ({label})", rule.name);
            }
        }
    }
}

/// Prometheus 3 writes `le="1"` as `le="1.0"`, so that a rule that names an integer finds nothing.
#[test]
fn no_rule_names_a_whole_number_as_a_bound_and_every_bound_is_one_of_the_histogram() {
    let rows = table::rows();
    let mut seen = 0;
    for rule in rules() {
        for Selector { name, matchers } in selectors(&rule.text) {
            for (_, _, bound) in matchers.iter().filter(|(label, ..)| label == "le") {
                seen += 1;
                let number: f64 = bound.parse().expect("a number");
                assert!(number.fract() != 0.0, "{}: le={bound:?}", rule.name);
                let row = row(&rows, &name).expect("a histogram");
                assert!(row.buckets.contains(&number), "{}: {name} has no bound {bound}", rule.name);
                // The only bound that a rule speaks of is that of the objective.
                assert_eq!(number, table::QUICK_APPEND, "{}", rule.name);
            }
        }
    }
    assert!(seen > 5, "{seen}");
    for page in ["docs/operations/telemetry.md", "docs/operations/alerts.md"] {
        let objective = format!("within {} s", table::QUICK_APPEND);
        assert!(read(&root().join(page)).contains(&objective), "{page} does not say {objective}");
    }
}

/// `..._rate1h` is over an hour, all of it.
#[test]
fn what_is_recorded_over_a_time_says_over_which() {
    let mut seen = 0;
    let is_time = |time: &str| time.ends_with(['m', 'h', 'd']) && time.starts_with(|c: char| c.is_ascii_digit());
    for rule in rules().iter().filter(|rule| !rule.alerts && rule.name.contains("veritail_slo_errors")) {
        let time = ["rate", "increase"].iter().find_map(|word| rule.name.rsplit_once(word).map(|(_, time)| time));
        let time = time.filter(|time| is_time(time)).unwrap_or_else(|| panic!("{} has no time", rule.name));
        for range in rule.expr().split('[').skip(1).filter_map(|rest| rest.split(']').next().map(str::to_owned)) {
            assert_eq!(range, time, "{}", rule.name);
            seen += 1;
        }
    }
    assert!(seen > 40, "{seen}");
}

#[test]
fn the_page_on_alerts_lists_them_all() {
    let page = read(&root().join("docs/operations/alerts.md"));
    let mut expected = "| alert | severity | for | means |\n|---|---|---|---|\n".to_owned();
    for rules in alerts::alerts().chunk_by(|one, next| one.name == next.name) {
        expected += &line(rules);
    }
    let (head, rest) = page.split_once("<!-- alerts: generated -->\n").expect("the place of the list");
    let (written, tail) = rest.split_once("<!-- end -->").expect("the end of the list");
    if std::env::var_os("VERITAIL_UPDATE_DOCS").is_some_and(|value| value == "1") {
        let page = format!("{head}<!-- alerts: generated -->\n{expected}<!-- end -->{tail}");
        std::fs::write(root().join("docs/operations/alerts.md"), page).expect("written");
        return;
    }
    assert!(written == expected, "the list is old: VERITAIL_UPDATE_DOCS=1 cargo test --test observe rules");
}

/// Of the rules of one alert.
fn line(rules: &[Rule]) -> String {
    let name = &rules[0].name;
    let runbook = read(&root().join(format!("docs/runbooks/{name}.md")));
    // The first sentence of the runbook.
    let means = runbook.lines().nth(2).unwrap_or_default();
    let each = |value: fn(&Rule) -> String| {
        let mut values: Vec<String> = rules.iter().map(value).collect();
        values.dedup();
        values.join(", ")
    };
    let severities = each(|rule| rule.value("severity").unwrap_or_default());
    let waits = each(|rule| rule.value("for").unwrap_or_else(|| "at once".to_owned()));
    format!("| [{name}](../runbooks/{name}.md) | {severities} | {waits} | {means} |\n")
}
