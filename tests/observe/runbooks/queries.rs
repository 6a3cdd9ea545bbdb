//! The queries of the runbooks: Prometheus reads them, they ask for what there is, and they have an answer.

use super::{blocks, runbooks};
use crate::alerts::judged;
use crate::dashboards::known::Known;
use crate::dashboards::promql::Query;

/// Queries that have no answer while a service is asked that runs and works, and why.
const NO_ANSWER: &[(&str, &str)] = &[("absent(veritail_build_info)", "it asks whether there is none")];

/// Every query, with the page that it is on.
fn queries() -> Vec<(String, String)> {
    let mut queries = Vec::new();
    for (name, page) in runbooks() {
        for (_, text) in blocks(&page).into_iter().filter(|(info, _)| *info == "promql") {
            let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
            queries.extend(lines.map(|line| (name.clone(), line.to_owned())));
        }
    }
    assert!(queries.len() > 40, "{} queries", queries.len());
    queries
}

/// Those that have to have an answer of a live service, each once.
pub fn with_an_answer() -> Vec<(String, String)> {
    let mut queries = queries();
    queries.sort_by(|one, other| one.1.cmp(&other.1));
    queries.dedup_by(|one, other| one.1 == other.1);
    queries.retain(|(_, query)| NO_ANSWER.iter().all(|(known, _)| known != query));
    queries
}

#[test]
fn every_query_of_a_runbook_is_one() {
    let mut rules = "groups:\n  - name: runbooks\n    rules:\n".to_owned();
    for (number, (_, query)) in queries().iter().enumerate() {
        rules += &format!("      - record: query:number{number}\n        expr: |\n          {query}\n");
    }
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("queries.yml");
    std::fs::write(&file, rules).expect("written");
    let (content, said) = judged("promtool", &["check", "rules", "--lint=none", &file.display().to_string()]);
    assert!(content, "{said}");
}

#[tokio::test]
async fn every_query_of_a_runbook_is_of_what_is_exported() {
    let known = Known::load().await;
    for (name, query) in queries() {
        let complaints = known.complaints(&Query::of(&query));
        assert!(complaints.is_empty(), "{name}: {query}\n{}", complaints.join("; "));
    }
}

#[test]
fn what_is_excused_of_an_answer_is_on_some_page() {
    let queries = queries();
    for (known, _) in NO_ANSWER {
        assert!(queries.iter().any(|(_, query)| query == known), "{known} is in no runbook");
    }
}
