//! Every query of every panel and of every runbook, asked of a real Prometheus that scrapes the real service under real load and with real damage:
//! each has an answer, with the labels that legends and columns name.

use super::boards::{self, Board, list, text};
use super::grafana::Choice;
use super::prometheus::{JOB, Series};
use super::stage::{QUICK, Stage, now};
use crate::support::production::Production;
use crate::support::runner::pause;

/// Columns of the table of alerts that only some alerts have.
const OF_SOME_ALERTS: &[&str] = &["kind", "store", "dependency"];

/// Between two scrapes of the stage, and two values of an answer, in seconds.
const STEP: u64 = 2;

/// One query with what its panel does with the answer.
struct Question {
    panel: String,
    expr: String,
    instant: bool,
    /// Labels that have to be there.
    labels: Vec<String>,
}

fn questions() -> Vec<Question> {
    let mut questions = Vec::new();
    for board in boards::all() {
        for panel in board.panels() {
            let organized = list(&panel.json["transformations"]).iter().find(|step| step["id"] == "organize");
            let columns = organized.and_then(|step| step["options"]["includeByName"].as_object().cloned());
            for target in panel.targets() {
                let mut labels: Vec<String> = target
                    .legend
                    .split("{{")
                    .skip(1)
                    .map(|part| part.split("}}").next().unwrap_or_default().trim().to_owned())
                    .collect();
                if target.is_table {
                    let named = columns.iter().flatten().map(|(name, _)| name.clone());
                    labels.extend(named.filter(|name| !name.starts_with("Value")));
                }
                if target.expr.contains("ALERTS") {
                    labels.retain(|label| !OF_SOME_ALERTS.contains(&label.as_str()));
                }
                let (panel, expr, instant) = (panel.name.clone(), target.expr.to_owned(), target.instant);
                questions.push(Question { panel, expr, instant, labels });
            }
        }
        questions.extend(asked_beside_panels(&board));
    }
    let of_runbooks = crate::runbooks::queries::with_an_answer().into_iter();
    questions.extend(of_runbooks.map(|(page, expr)| Question { panel: page, expr, instant: true, labels: Vec::new() }));
    questions
}

/// Annotations, which are questions too.
fn asked_beside_panels(board: &Board) -> Vec<Question> {
    let annotations = list(&board.json["annotations"]["list"]).iter();
    annotations
        .map(|annotation| Question {
            panel: format!("{}: annotation {}", board.file, text(&annotation["name"])),
            expr: text(&annotation["expr"]).to_owned(),
            instant: false,
            labels: text(&annotation["tagKeys"]).split(',').map(str::to_owned).collect(),
        })
        .collect()
}

/// What is wrong with an answer.
fn complaint(question: &Question, answer: &[Series]) -> Option<String> {
    if answer.is_empty() {
        return Some("no series".to_owned());
    }
    if answer.iter().all(|series| series.values.iter().all(|value| value.is_nan())) {
        return Some("all NaN".to_owned());
    }
    let missing = question.labels.iter().find(|label| !answer.iter().any(|series| series.has(label)));
    missing.map(|label| format!("no series has the label {label}"))
}

async fn ask(stage: &Stage, question: &Question, choice: &Choice, to: f64) -> Vec<Series> {
    let expr = choice.apply(&question.expr);
    let answer = if question.instant {
        stage.prometheus.at(&expr, to).await
    } else {
        stage.prometheus.over(&expr, stage.began, to, STEP as f64).await
    };
    answer.unwrap_or_else(|error| panic!("{}: {error}\n{expr}", question.panel))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_query_of_every_panel_has_an_answer() {
    let _servers = Production::hold();
    let stage = Stage::start(&QUICK).await;
    stage.until_finished(12).await;
    stage.damage().await;

    let (jobs, instances) = (vec![JOB.to_owned()], stage.instances());
    let mut choice = Choice { jobs, instances, range: 0, step: STEP, scrape: STEP };
    let mut open: Vec<Question> = questions();
    let (all, mut told) = (open.len(), Vec::new());
    assert!(all > 120, "the queries are found");
    for _ in 0..90 {
        let to = now();
        choice.range = (to - stage.began).round().max(1.0) as u64;
        let mut left = Vec::new();
        told.clear();
        for question in open {
            let answer = ask(&stage, &question, &choice, to).await;
            if let Some(why) = complaint(&question, &answer) {
                told.push(format!("{}: {why}\n  {}", question.panel, choice.apply(&question.expr)));
                left.push(question);
            }
        }
        open = left;
        if open.is_empty() {
            break;
        }
        pause(1000).await;
    }
    assert!(open.is_empty(), "{} of {all} have no answer:\n{}", open.len(), told.join("\n"));

    // What else Prometheus scrapes is nowhere in it: itself, here.
    let to = now();
    let up = stage.prometheus.at("up", to).await.expect("answered");
    assert_eq!(up.len(), stage.instances().len() + 1);
    let nodes = questions().into_iter().find(|question| question.expr.contains("count(up{")).expect("Nodes up");
    let listed = nodes.expr.split_once('/').map(|(_, count)| count.trim().to_owned()).expect("a share");
    let listed = stage.prometheus.at(&choice.apply(&listed), to).await.expect("answered");
    assert_eq!(listed[0].values, [stage.instances().len() as f64]);
    let values = stage.prometheus.ask("label/instance/values", &[("match[]", "veritail_build_info".to_owned())]).await;
    assert_eq!(list(&values.expect("answered")).len(), stage.instances().len(), "the variable has them all");
}
