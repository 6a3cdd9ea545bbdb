//! Many changes of one rule judged by one process: each is a rule with a name of its own, and every test asks for each of them.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;

use super::changes::Change;
use crate::alerts::{self, Rule, judged, tests_of};

/// One test of a rule.
#[derive(Clone)]
struct Test {
    /// How often rules are evaluated.
    every: String,
    /// Its series.
    head: String,
    /// What it asks of alerts, and of expressions.
    asked: [String; 2],
}

const SECTIONS: [&str; 2] = ["    alert_rule_test:", "    promql_expr_test:"];

/// The tests of a rule: of one of several with a name those of its window, and without the texts, where all of them speak.
fn tests(rule: &Rule) -> Vec<Test> {
    let window = rule.value("window").map(|window| format!("window=\"{window}\""));
    let own = tests_of(rule).into_iter().filter(|test| window.as_ref().is_none_or(|window| test.contains(window)));
    own.map(|test| {
        let (every, block) = test.split_once("\n\0").expect("an interval");
        let mut test = Test { every: every.to_owned(), head: String::new(), asked: Default::default() };
        let (mut section, mut questions) = (None, [Vec::new(), Vec::new()]);
        for line in block.lines() {
            let begun = SECTIONS.iter().position(|name| *name == line);
            section = begun.or(section);
            match section.map(|section| &mut questions[section]) {
                None => test.head += &format!("{line}\n"),
                Some(_) if begun.is_some() => {}
                Some(questions) if line.starts_with("      - ") => questions.push(format!("{line}\n")),
                Some(questions) => *questions.last_mut().expect("one has begun") += &format!("{line}\n"),
            }
        }
        // A test of two rules asks for the other one too.
        let own = questions.map(|all| all.into_iter().filter(|question| question.contains(&rule.name)).collect());
        test.asked = own;
        if window.is_some() {
            test.asked[0].clear();
        }
        test
    })
    .collect()
}

/// The name of a change, by its number.
fn name_of(rule: &Rule, number: usize) -> String {
    format!("{}_{number}_", rule.name)
}

/// A text in which a rule has another name.
fn renamed(text: &str, rule: &Rule, number: usize) -> String {
    let is_in_a_name = |c: char| c.is_ascii_alphanumeric() || "_:".contains(c);
    let mut parts = text.split(rule.name.as_str());
    let mut changed = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let name = if part.starts_with(is_in_a_name) { rule.name.clone() } else { name_of(rule, number) };
        changed += &name;
        changed += part;
    }
    changed
}

/// The changes, by number, that the tests of a rule do not see.
///
/// # Panics
///
/// If what is judged is no rule any more, or the rule as it is does not pass its tests alone: it is the change 0.
pub fn unseen(folder: &Path, rule: &Rule, changes: &[Change]) -> BTreeSet<usize> {
    let all = tests(rule);
    // Most are seen by the first test, and by when it fires: what it says then is asked of the others alone.
    let first = Test { asked: [String::new(), all[0].asked[1].clone()], ..all[0].clone() };
    let mut left: BTreeSet<usize> = (0..changes.len()).collect();
    for tests in [&[first][..], &all] {
        loop {
            let judgement = judge(folder, rule, changes, tests, &left);
            assert!(!judgement.seen.contains(&0), "{} does not pass its tests alone:\n{}", rule.name, judgement.said);
            left.retain(|number| !judgement.seen.contains(number));
            // A rule that cannot be evaluated ends the test: the others were not asked for all.
            if !judgement.ended {
                break;
            }
        }
    }
    left
}

struct Judgement {
    seen: BTreeSet<usize>,
    ended: bool,
    said: String,
}

fn judge(folder: &Path, rule: &Rule, changes: &[Change], tests: &[Test], asked: &BTreeSet<usize>) -> Judgement {
    let speaks = tests.iter().any(|test| !test.asked[0].is_empty());
    let text_of = |change: &'_ Change| match change.text.split_once("        annotations:\n") {
        Some((silent, _)) if !speaks => silent.to_owned(),
        _ => change.text.clone(),
    };
    let texts: String = asked.iter().map(|&number| renamed(&text_of(&changes[number]), rule, number)).collect();
    let rules = format!("groups:\n  - name: mutated\n    rules:\n{texts}{}", recorded_for(&texts));
    std::fs::write(folder.join("rules.yml"), rules).expect("written");
    let mut arguments = vec!["test".to_owned(), "rules".to_owned()];
    for (number, every) in tests.iter().map(|test| &test.every).collect::<BTreeSet<_>>().into_iter().enumerate() {
        let mut text = format!("rule_files: [rules.yml]\n{every}\ngroup_eval_order: [recorded, mutated]\ntests:\n");
        for test in tests.iter().filter(|test| test.every == *every) {
            text += &test.head;
            for (section, questions) in SECTIONS.iter().zip(&test.asked).filter(|(_, text)| !text.is_empty()) {
                writeln!(text, "{section}").expect("a string");
                text.extend(asked.iter().map(|&number| renamed(questions, rule, number)));
            }
        }
        let file = folder.join(format!("{number}.test.yml"));
        std::fs::write(&file, text).expect("written");
        arguments.push(file.display().to_string());
    }
    let (content, said) = judged("promtool", &arguments.iter().map(String::as_str).collect::<Vec<_>>());
    let mut judgement = Judgement { seen: BTreeSet::new(), ended: false, said };
    for line in judgement.said.lines().map(str::trim_start) {
        if ["alertname: ", "expr: ", "rule: "].iter().any(|begin| line.starts_with(begin)) {
            judgement.seen.extend(number_in(line, rule));
            judgement.ended |= line.starts_with("rule: ");
        }
    }
    assert!(content == judgement.seen.is_empty(), "{}: {}", rule.name, judgement.said);
    judgement
}

/// The number of the change that a line names.
fn number_in(line: &str, rule: &Rule) -> Option<usize> {
    let behind = line.split(&format!("{}_", rule.name)).nth(1)?;
    behind.split('_').next()?.parse().ok()
}

/// What is recorded and read by rules, as a group of its own.
fn recorded_for(texts: &str) -> String {
    let is_read = |rule: &Rule| !rule.alerts && texts.contains(&rule.name);
    let texts: String = alerts::rules().into_iter().filter(is_read).map(|rule| rule.text).collect();
    if texts.is_empty() { texts } else { format!("\n  - name: recorded\n    rules:\n{texts}") }
}
