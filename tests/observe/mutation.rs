//! Every alert is broken in every small way there is, one at a time; its own tests must see each.
//!
//! An operator turns round, a threshold moves by a tenth, a matcher goes or turns round, a time is halved or doubled. What changes nothing is written down in `equivalent.txt`, with the reason.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::alerts::{self, Rule, judged, read, tests_of};

/// One change of a rule: what was changed, and the rule then.
struct Mutant {
    rule: usize,
    what: String,
    text: String,
}

/// Recorded times, each with one that is shorter and one that is longer.
const RECORDED: &[(&str, [&str; 2])] = &[
    ("rate5m", ["rate30m", "rate1h"]),
    ("rate30m", ["rate5m", "rate1h"]),
    ("rate1h", ["rate30m", "rate2h"]),
    ("rate2h", ["rate1h", "rate6h"]),
    ("rate6h", ["rate2h", "rate1d"]),
    ("rate1d", ["rate6h", "rate3d"]),
    ("rate3d", ["rate6h", "rate1d"]),
];

/// Every mutant of a rule's expression and times.
fn mutants(rule: &Rule) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let text = &rule.text;
    let begin = text.find("expr: |\n").expect("an expression") + "expr: |\n".len();
    let end = begin + text[begin..].find("        labels:").expect("labels");
    let mut change = |at: usize, old: &str, new: String| {
        let line = 1 + text[begin..at].matches('\n').count();
        let column = at - text[..at].rfind('\n').map_or(0, |newline| newline + 1);
        let changed = format!("{}{new}{}", &text[..at], &text[at + old.len()..]);
        found.push((format!("{line}:{column} `{old}` as `{new}`"), changed));
    };
    let mut at = begin;
    while at < end {
        let rest = &text[at..end];
        if rest.starts_with('{') {
            let inside = rest.split('}').next().expect("an end");
            matchers(at, inside, &mut change);
            at += inside.len();
        } else if let Some(range) = rest.strip_prefix('[') {
            let time = range.split(']').next().expect("an end");
            times(at + 1, time, &mut change);
            at += time.len();
        } else if rest.starts_with('"') {
            at += rest[1..].find('"').expect("an end") + 1;
        } else if rest.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') {
            let word =
                &rest[..rest.find(|c: char| !c.is_ascii_alphanumeric() && !"_:".contains(c)).unwrap_or(rest.len())];
            words(at, word, &mut change);
            if ["for", "keep_firing_for", "offset"].contains(&word) {
                let time = rest[word.len()..].trim_start_matches([':', ' ']);
                let skipped = rest.len() - time.len();
                let time = &time[..time.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(time.len())];
                times(at + skipped, time, &mut change);
                at += skipped + time.len();
                continue;
            }
            at += word.len().max(1);
            continue;
        } else if rest.starts_with(|c: char| c.is_ascii_digit()) {
            let number = &rest[..rest.find(|c: char| !c.is_ascii_digit() && !".e".contains(c)).unwrap_or(rest.len())];
            let value: f64 = number.parse().expect("a number");
            if value == 0.0 {
                change(at, number, "1.1".to_owned());
            } else {
                change(at, number, format!("{}", value * 1.1));
                change(at, number, format!("{}", value * 0.9));
            }
            at += number.len();
            continue;
        } else {
            for (operator, others) in [("==", ["!=", ">"]), (">", [">=", "<"]), ("<", ["<=", ">"])] {
                if rest.starts_with(operator) {
                    // Of what is divided by: nothing divided by nothing is no number, which is above no bound.
                    let guards = rest.starts_with("> 0)") && text[..at].contains("/ (");
                    let others = others.iter().filter(|other| !(guards && **other == ">="));
                    others.for_each(|other| change(at, operator, (*other).to_owned()));
                    at += operator.len() - 1;
                    break;
                }
            }
        }
        at += 1;
    }
    found
}

fn words(at: usize, word: &str, change: &mut impl FnMut(usize, &str, String)) {
    let others: &[&str] = match word {
        "and" => &["unless"],
        "unless" => &["and"],
        "or" => &["and"],
        "clamp_min" => &["clamp_max"],
        _ => &[],
    };
    others.iter().for_each(|other| change(at, word, (*other).to_owned()));
    for (time, others) in RECORDED {
        if let Some(stem) = word.strip_suffix(time).filter(|stem| stem.ends_with("ratio_")) {
            others.iter().for_each(|other| change(at, word, format!("{stem}{other}")));
        }
    }
}

/// Half as long, and twice.
fn times(at: usize, time: &str, change: &mut impl FnMut(usize, &str, String)) {
    let (number, unit) = time.split_at(time.len() - 1);
    let seconds = number.parse::<u64>().expect("a number")
        * match unit {
            "m" => 60,
            "h" => 3600,
            _ => 86400,
        };
    change(at, time, format!("{}s", seconds / 2));
    change(at, time, format!("{}s", seconds * 2));
}

/// Each goes, and turns round.
fn matchers(at: usize, inside: &str, change: &mut impl FnMut(usize, &str, String)) {
    let mut place = at + 1;
    for matcher in inside[1..].split(',') {
        let label = matcher.find(['=', '!']).expect("an operator");
        let value = matcher.find('"').expect("a value");
        let turned = match &matcher[label..value] {
            "=" => "!=",
            "!=" => "=",
            "=~" => "!~",
            _ => "=~",
        };
        change(place, matcher, String::new());
        change(place, matcher, format!("{}{turned}{}", &matcher[..label], &matcher[value..]));
        place += matcher.len() + 1;
    }
}

/// Whether a rule's tests are content with `text` in its place.
fn passes(folder: &Path, text: &str, tests: &[String]) -> bool {
    let mut rules = format!("groups:\n  - name: mutated\n    rules:\n{text}");
    rules += &recorded_for(text);
    std::fs::write(folder.join("rules.yml"), rules).expect("written");
    let mut arguments = vec!["test".to_owned(), "rules".to_owned()];
    for every in ["1m", "15m"] {
        let head = format!("evaluation_interval: {every}\n");
        let blocks: Vec<&str> = tests.iter().filter_map(|test| test.strip_prefix(&head)?.strip_prefix("\0")).collect();
        if !blocks.is_empty() {
            let order = "group_eval_order: [recorded, mutated]\n";
            let file = folder.join(format!("{every}.test.yml"));
            let tests = format!("rule_files: [rules.yml]\n{head}{order}tests:\n{}", blocks.join("\n"));
            std::fs::write(&file, tests).expect("written");
            arguments.push(file.display().to_string());
        }
    }
    judged("promtool", &arguments.iter().map(String::as_str).collect::<Vec<_>>()).0
}

/// What is recorded and read by a rule, as a group of its own.
fn recorded_for(text: &str) -> String {
    let needed = alerts::rules().into_iter().filter(|rule| !rule.alerts && text.contains(&rule.name));
    let texts: String = needed.map(|rule| rule.text).collect();
    if texts.is_empty() { texts } else { format!("\n  - name: recorded\n    rules:\n{texts}") }
}

/// The tests of a rule: of one of several with a name those of its window, and without the texts, where all of them speak.
fn tests(rule: &Rule) -> Vec<String> {
    let Some(window) = rule.value("window") else { return tests_of(rule) };
    let own = tests_of(rule).into_iter().filter(|test| test.contains(&format!("window=\"{window}\"")));
    own.map(|test| {
        let Some((head, rest)) = test.split_once("    alert_rule_test:\n") else { return test };
        format!("{head}    promql_expr_test:\n{}", rest.split_once("    promql_expr_test:\n").expect("both kinds").1)
    })
    .collect()
}

#[test]
fn every_change_of_a_rule_is_seen_by_its_tests() {
    let only = std::env::var("ONLY").unwrap_or_default();
    let rules: Vec<Rule> = alerts::alerts().into_iter().filter(|rule| rule.text.contains(&only)).collect();
    let tested: Vec<Vec<String>> = rules.iter().map(tests).collect();
    let mut all: Vec<Mutant> = Vec::new();
    for (number, rule) in rules.iter().enumerate() {
        all.push(Mutant { rule: number, what: String::new(), text: rule.text.clone() });
        // There is nothing in it that could be wrong.
        if rule.name != "VeritailWatchdog" {
            all.extend(mutants(rule).into_iter().map(|(what, text)| Mutant { rule: number, what, text }));
        }
    }
    assert!(all.len() > rules.len(), "mutants are made");
    let equivalent = equivalent();
    let (next, survivors) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let workers = std::thread::available_parallelism().map_or(2, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                let folder = tempfile::tempdir().expect("a folder");
                while let Some(mutant) = all.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let rule = &rules[mutant.rule];
                    let passed = passes(folder.path(), &mutant.text, &tested[mutant.rule]);
                    if mutant.what.is_empty() {
                        assert!(passed, "{} does not pass its tests alone", rule.name);
                    } else if passed {
                        let window = rule.value("window").map_or_else(String::new, |window| format!(" {window}"));
                        let survivor = format!("{}{window} {}", rule.name, mutant.what);
                        println!("{survivor}");
                        survivors.lock().expect("no thread panics here").push(survivor);
                    }
                }
            });
        }
    });
    let mut survivors = survivors.into_inner().expect("all threads ended");
    survivors.sort();
    println!(
        "{} changes, {} seen, {} of the others change nothing",
        all.len() - rules.len(),
        all.len() - rules.len() - survivors.len(),
        equivalent.len()
    );
    survivors.retain(|survivor| !equivalent.contains(survivor));
    assert!(survivors.is_empty(), "{} are not seen:\n{}", survivors.len(), survivors.join("\n"));
}

/// The changes that change nothing: lines before which stands why, as `#`.
fn equivalent() -> BTreeSet<String> {
    let file = alerts::root().join("tests/observe/equivalent.txt");
    read(&file).lines().filter(|line| !line.is_empty() && !line.starts_with('#')).map(str::to_owned).collect()
}
