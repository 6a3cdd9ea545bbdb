//! Every rule is broken in every small way there is, one at a time; its own tests must see each.
//!
//! An operator turns round, a threshold moves by a tenth, a matcher goes or turns round, a time is halved or doubled, another
//! aggregate is taken, a label is not kept or not compared. What changes nothing is written down in `equivalent.txt`, with the reason.

mod batch;
mod changes;

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use changes::{Change, changes};

use crate::alerts::{self, Rule, read};

/// How many changes one process judges: with more of them the last one to work would keep the others waiting.
const AT_ONCE: usize = 60;

/// What a rule is called among the survivors: one of several with a name has its window.
fn title(rule: &Rule) -> String {
    rule.value("window").map_or_else(|| rule.name.clone(), |window| format!("{} {window}", rule.name))
}

#[test]
fn every_change_of_a_rule_is_seen_by_its_tests() {
    let only = std::env::var("ONLY").ok();
    let is_meant = |rule: &Rule| only.as_ref().is_none_or(|only| rule.text.contains(only));
    // Of the watchdog there is nothing that could be wrong.
    let rules = alerts::rules().into_iter().filter(|rule| rule.name != "VeritailWatchdog" && is_meant(rule));
    let mut batches: Vec<(Rule, Vec<Change>)> = Vec::new();
    let (mut count, mut titles) = (0, BTreeSet::new());
    for rule in rules {
        titles.insert(title(&rule));
        let mut all = changes(&rule);
        count += all.len();
        while !all.is_empty() {
            let mut some: Vec<Change> = all.drain(..all.len().min(AT_ONCE)).collect();
            some.insert(0, Change { what: String::new(), text: rule.text.clone() });
            batches.push((rule.clone(), some));
        }
    }
    assert!(!batches.is_empty(), "no rule is meant by {only:?}");
    let (next, survivors) = (AtomicUsize::new(0), Mutex::new(BTreeSet::new()));
    let workers = std::thread::available_parallelism().map_or(2, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                let folder = tempfile::tempdir().expect("a folder");
                while let Some((rule, some)) = batches.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let unseen = batch::unseen(folder.path(), rule, some);
                    let unseen = unseen.into_iter().filter(|number| *number > 0);
                    let lines = unseen.map(|number| format!("{} {}", title(rule), some[number].what));
                    survivors.lock().expect("no thread panics here").extend(lines);
                }
            });
        }
    });
    let survivors = survivors.into_inner().expect("all threads ended");
    let equivalent: BTreeSet<String> = equivalent()
        .into_iter()
        .filter(|line| titles.iter().any(|title| line.starts_with(&format!("{title} "))))
        .collect();
    println!("{count} changes of {} rules, of which {} change nothing", titles.len(), equivalent.len());
    let lines = |lines: BTreeSet<&String>| lines.into_iter().map(|line| format!("{line}\n")).collect::<String>();
    let unseen = lines(survivors.difference(&equivalent).collect());
    let unmet = lines(equivalent.difference(&survivors).collect());
    assert!(
        unseen.is_empty() && unmet.is_empty(),
        "not seen:\n{unseen}\nin equivalent.txt, and seen or none:\n{unmet}"
    );
}

/// The changes that change nothing: lines before which stands why, as `#`.
fn equivalent() -> BTreeSet<String> {
    let file = alerts::root().join("tests/observe/mutation/equivalent.txt");
    read(&file).lines().filter(|line| !line.is_empty() && !line.starts_with('#')).map(str::to_owned).collect()
}

#[test]
fn every_line_of_what_is_equivalent_is_about_a_rule() {
    let titles: BTreeSet<String> = alerts::rules().iter().map(title).collect();
    for line in equivalent() {
        assert!(titles.iter().any(|title| line.starts_with(&format!("{title} "))), "{line}");
    }
}
