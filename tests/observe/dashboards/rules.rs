//! What every dashboard, panel and query has to be, read from the files; after the rules of grafana/dashboard-linter that
//! read plain JSON.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::boards::{self, Board, Panel, list, text};
use super::known::{Known, PROCESS};
use super::promql::Query;

/// The units that panels are in; others are mistakes until somebody adds them here.
const UNITS: &[&str] = &["none", "s", "bytes", "Bps", "reqps", "ops", "percentunit"];
/// The functions that a counter may stand in.
const OF_COUNTERS: &[&str] = &["rate", "increase"];
/// What is exported and shown nowhere, and why.
const NOT_SHOWN: &[(&str, &str)] = &[
    ("process_virtual_memory_bytes", "says nothing that resident memory does not"),
    ("process_virtual_memory_max_bytes", "has no limit where it runs"),
];
/// What is not a sum over the time shown but a question about it.
const GAUGES_OVER_TIME: &[&str] = &["deriv", "max_over_time", "min_over_time"];

fn name(board: &Board) -> &str {
    &board.file
}

#[test]
fn every_dashboard_stays_itself_and_finds_the_others() {
    let boards = boards::all();
    let files: Vec<&str> = boards.iter().map(name).collect();
    let wanted = ["dependencies", "ingest", "integrity", "overview", "storage"].map(|name| format!("veritail-{name}"));
    assert_eq!(files, wanted);
    for board in &boards {
        let json = &board.json;
        assert_eq!(text(&json["uid"]), board.file, "the file has its name");
        assert!(board.file.len() <= 40, "{}", board.file);
        assert!(text(&json["title"]).starts_with("Veritail / "), "{}", board.file);
        assert!(!text(&json["description"]).is_empty(), "{}", board.file);
        assert_eq!(json["editable"], false, "{}", board.file);
        assert_eq!(json["tags"], json!(["veritail"]), "{}", board.file);
        assert!(json.get("id").is_none(), "{}: a number is Grafana's to give", board.file);
        let schema = json["schemaVersion"].as_i64().expect("a number");
        assert!((36..=39).contains(&schema), "{}: what Grafana 10 knows", board.file);
        let link = &list(&json["links"])[0];
        assert_eq!(
            (text(&link["type"]), link["includeVars"] == true, link["keepTime"] == true),
            ("dashboards", true, true)
        );
        assert_eq!(link["tags"], json!(["veritail"]), "{}", board.file);
    }
}

#[test]
fn every_dashboard_has_the_three_variables() {
    for board in boards::all() {
        let variables = list(&board.json["templating"]["list"]);
        let names: Vec<&str> = variables.iter().map(|variable| text(&variable["name"])).collect();
        assert_eq!(names, ["datasource", "job", "instance"], "{}", board.file);
        assert_eq!((text(&variables[0]["type"]), text(&variables[0]["query"])), ("datasource", "prometheus"));
        for variable in &variables[1..] {
            let looks = json!({
                "type": "query", "multi": true, "includeAll": true, "refresh": 2,
                "datasource": {"type": "prometheus", "uid": "${datasource}"},
            });
            for (key, value) in looks.as_object().expect("an object") {
                assert_eq!(&variable[key], value, "{}: {} {key}", board.file, variable["name"]);
            }
            // All would be everything that Prometheus scrapes.
            assert!(variable.get("allValue").is_none(), "{}: {}", board.file, variable["name"]);
        }
    }
}

#[test]
fn every_panel_says_what_it_is_and_stands_alone() {
    let mut titles = BTreeSet::new();
    for board in boards::all() {
        let mut ids = BTreeSet::new();
        let mut taken: BTreeMap<(i64, i64), String> = BTreeMap::new();
        for json in list(&board.json["panels"]) {
            let title = text(&json["title"]).to_owned();
            assert!(ids.insert(json["id"].as_i64().expect("a number")), "{}: {title} has another's id", board.file);
            let at = |key: &str| json["gridPos"][key].as_i64().expect("a number");
            assert!(at("x") >= 0 && at("w") > 0 && at("h") > 0 && at("x") + at("w") <= 24, "{}: {title}", board.file);
            for cell in (at("x")..at("x") + at("w")).flat_map(|x| (at("y")..at("y") + at("h")).map(move |y| (x, y))) {
                let other = taken.insert(cell, title.clone());
                assert!(other.is_none(), "{}: {title} lies on {other:?}", board.file);
            }
        }
        for panel in board.panels() {
            let title = text(&panel.json["title"]);
            assert!(!title.is_empty() && titles.insert(panel.name.clone()), "{}: titles differ", panel.name);
            let description = text(&panel.json["description"]);
            for part in ["**Normal:** ", "**Otherwise:** "] {
                assert!(description.contains(part), "{}: {part} is missing", panel.name);
            }
            if panel.kind() == "text" {
                continue;
            }
            assert_eq!(
                panel.json["datasource"],
                json!({"type": "prometheus", "uid": "${datasource}"}),
                "{}",
                panel.name
            );
            assert!(!panel.targets().is_empty(), "{}: it asks nothing", panel.name);
            let refs: BTreeSet<&str> =
                list(&panel.json["targets"]).iter().map(|target| text(&target["refId"])).collect();
            assert_eq!(refs.len(), panel.targets().len(), "{}: names of queries differ", panel.name);
        }
    }
    assert!(titles.len() > 80, "the panels are found");
}

/// The settings of all fields and those of some, each with its key.
fn settings<'a>(panel: &Panel<'a>, key: &str) -> Vec<&'a Value> {
    let json = panel.json;
    let of_all = json["fieldConfig"]["defaults"].get(key);
    let overrides = list(&json["fieldConfig"]["overrides"]).iter().flat_map(|of_some| list(&of_some["properties"]));
    of_all
        .into_iter()
        .chain(overrides.filter(|property| property["id"] == key).map(|property| &property["value"]))
        .collect()
}

#[test]
fn every_number_has_a_unit_and_counts_have_no_fractions() {
    for board in boards::all() {
        for panel in board.panels() {
            let units = match panel.kind() {
                "text" => continue,
                "heatmap" => vec![&panel.json["options"]["yAxis"]["unit"]],
                _ => settings(&panel, "unit"),
            };
            assert!(!units.is_empty(), "{}: no unit", panel.name);
            assert!(units.iter().all(|unit| UNITS.contains(&text(unit))), "{}: {units:?}", panel.name);
            // A unit of all columns would stand behind texts too.
            let of_all = panel.json["fieldConfig"]["defaults"].get("unit");
            assert!(panel.kind() != "table" || of_all.is_none(), "{}: units belong to columns", panel.name);
            let no_unit = units.iter().all(|unit| text(unit) == "none");
            for target in panel.targets() {
                let counts = target.expr.contains("increase(")
                    && !target.expr.contains(" / ")
                    && !target.expr.contains("_bucket");
                if counts {
                    assert!(target.expr.contains("round("), "{}: {}", panel.name, target.expr);
                    let decimals = settings(&panel, "decimals");
                    assert!(no_unit || panel.kind() == "table", "{}: counts have no unit", panel.name);
                    assert!(
                        decimals.iter().any(|decimals| decimals.as_i64() == Some(0)),
                        "{}: counts are whole",
                        panel.name
                    );
                }
            }
        }
    }
}

#[tokio::test]
async fn every_query_is_for_the_chosen_nodes_and_for_what_is_exported() {
    let known = Known::load().await;
    let mut seen = 0;
    for board in boards::all() {
        for panel in board.panels() {
            for target in panel.targets() {
                let query = Query::of(target.expr);
                assert!(!query.selectors.is_empty(), "{}: {}", panel.name, target.expr);
                let complaints = known.complaints(&query);
                assert!(complaints.is_empty(), "{}: {}\n{}", panel.name, complaints.join("; "), target.expr);
                for selector in &query.selectors {
                    seen += 1;
                    let has = |label: &str, value: &str| {
                        selector.matchers.contains(&(label.to_owned(), "=~".to_owned(), value.to_owned()))
                    };
                    let of_no_job = selector.name.starts_with("ALERTS") || selector.name.starts_with("slo:");
                    let of_no_instance = selector.name.contains(':');
                    assert!(has("job", "$job") || of_no_job, "{}: {} of which job?", panel.name, selector.name);
                    assert!(
                        has("instance", "$instance") || of_no_job || of_no_instance,
                        "{}: {} of which node?",
                        panel.name,
                        selector.name
                    );
                    let inside = selector.inside.last().map_or("", String::as_str);
                    let is_counter = known.is_counter(selector).expect("it is known");
                    assert_eq!(
                        is_counter,
                        OF_COUNTERS.contains(&inside),
                        "{}: {} in {inside}",
                        panel.name,
                        selector.name
                    );
                    let range = selector.range.as_deref();
                    let wanted = match inside {
                        // As the alert has it.
                        "deriv" | "max_over_time" | "min_over_time" => "30m",
                        _ if target.instant && inside != "rate" => "$__range",
                        _ => "$__rate_interval",
                    };
                    let has_range = is_counter || GAUGES_OVER_TIME.contains(&inside);
                    assert_eq!(range, has_range.then_some(wanted), "{}: {}", panel.name, selector.name);
                }
            }
        }
    }
    assert!(seen > 150, "the queries are found");
}

#[tokio::test]
async fn everything_that_is_exported_is_shown_or_alerted_on() {
    let known = Known::load().await;
    let mut used: BTreeSet<String> = BTreeSet::new();
    let boards = boards::all();
    let shown = boards.iter().flat_map(Board::panels).flat_map(|panel| {
        let exprs: Vec<String> = panel.targets().iter().map(|target| target.expr.to_owned()).collect();
        exprs
    });
    for query in shown.map(|expr| Query::of(&expr)) {
        used.extend(query.selectors.iter().map(|selector| known.family(selector).to_owned()));
    }
    let on_a_dashboard = used.len();
    for query in &known.rules {
        used.extend(query.selectors.iter().map(|selector| known.family(selector).to_owned()));
    }
    let excused = |name: &str| NOT_SHOWN.iter().any(|(known, _)| *known == name);
    let process = PROCESS.iter().map(|(name, _)| *name);
    let missing: Vec<&str> =
        known.families().chain(process).filter(|name| !used.contains(*name) && !excused(name)).collect();
    assert!(missing.is_empty(), "exported, and neither shown nor alerted on: {missing:?}");
    assert!(on_a_dashboard > 60, "the metrics are found");
}

/// A limit is where an alert fires: its description names the alert, and its number stands in the alert's rule. Of counts that
/// must be 0 it is 1; of a share of what an alert allows it is 1 too, and the numbers of both queries are the same.
#[tokio::test]
async fn every_limit_is_where_its_alert_fires() {
    let known = Known::load().await;
    let mut seen = 0;
    for board in boards::all() {
        for panel in board.panels() {
            let description = text(&panel.json["description"]);
            let alerts: Vec<(&str, bool)> = description
                .split("**Alert:** ")
                .skip(1)
                .flat_map(|sentence| sentence.split(", "))
                .map(|alert| (alert.split('`').nth(1).expect("a name"), alert.contains("(a page)")))
                .collect();
            let mut numbers: Vec<f64> = Vec::new();
            for (alert, pages) in &alerts {
                let rules: Vec<_> = known.alerts.iter().filter(|known| known.name == *alert).collect();
                assert!(!rules.is_empty(), "{}: there is no alert {alert}", panel.name);
                assert!(
                    rules.iter().any(|rule| rule.pages == *pages),
                    "{}: {alert} is of another severity",
                    panel.name
                );
                numbers.extend(rules.iter().flat_map(|rule| &rule.query.numbers));
            }
            let steps = settings(&panel, "thresholds").into_iter().flat_map(|of| list(&of["steps"]));
            let limits: Vec<f64> = steps.filter_map(|step| step["value"].as_f64()).collect();
            assert_eq!(limits.is_empty(), alerts.is_empty(), "{}: limits and alerts go together", panel.name);
            let own: Vec<f64> = panel.targets().iter().flat_map(|target| Query::of(target.expr).numbers).collect();
            for limit in limits {
                seen += 1;
                let as_it_is = numbers.contains(&limit);
                let none_allowed = limit == 1.0 && numbers.contains(&0.0);
                let of_what_is_allowed =
                    limit == 1.0 && !numbers.is_empty() && numbers.iter().all(|number| own.contains(number));
                assert!(
                    as_it_is || none_allowed || of_what_is_allowed,
                    "{}: {limit} is not where {alerts:?} fire: {numbers:?}, {own:?}",
                    panel.name
                );
            }
        }
    }
    assert!(seen > 25, "the limits are found");
}

/// From a number to what explains it: links lead to dashboards that are there, and keep time and choice.
#[test]
fn links_lead_to_dashboards_that_are_there() {
    let boards = boards::all();
    let mut seen = 0;
    for panel in boards.iter().flat_map(Board::panels) {
        for link in settings(&panel, "links").into_iter().flat_map(list) {
            let url = text(&link["url"]);
            let uid = url.strip_prefix("/d/").and_then(|rest| rest.split('?').next()).unwrap_or_default();
            assert!(boards.iter().any(|board| board.file == uid), "{}: {url} leads nowhere", panel.name);
            for kept in
                ["${__url_time_range}", "${job:queryparam}", "${instance:queryparam}", "${datasource:queryparam}"]
            {
                assert!(url.contains(kept), "{}: {url} forgets {kept}", panel.name);
            }
            seen += 1;
        }
    }
    assert!(seen > 10, "the links are found");
    for panel in boards.iter().filter(|board| board.file == "veritail-overview").flat_map(Board::panels) {
        // What fires stands in the table beside it.
        let is_count_of_pages = panel.json["title"] == "Pages firing";
        let has_link = is_count_of_pages || !settings(&panel, "links").is_empty();
        assert!(panel.kind() != "stat" || has_link, "{}: where does it lead?", panel.name);
    }
}

#[tokio::test]
async fn annotations_and_variables_ask_for_what_is_exported() {
    let known = Known::load().await;
    for board in boards::all() {
        let annotations = list(&board.json["annotations"]["list"]);
        let names: Vec<&str> = annotations.iter().map(|annotation| text(&annotation["name"])).collect();
        assert_eq!(names, ["Starts", "Mismatches"], "{}", board.file);
        for annotation in annotations {
            let complaints = known.complaints(&Query::of(text(&annotation["expr"])));
            assert!(complaints.is_empty(), "{}: {complaints:?}", board.file);
        }
        for variable in &list(&board.json["templating"]["list"])[1..] {
            let query = text(&variable["query"]["query"]);
            assert!(query.starts_with("label_values(veritail_build_info"), "{}: {query}", board.file);
        }
    }
}
