//! The runbooks: one for each alert, all in the same shape, with commands that there are, and that do what is said of them.

mod heal;
mod inline;
mod look;
mod machine;
pub mod queries;
mod redis;

use std::collections::BTreeSet;
use std::process::{Command, Stdio};

use clap::Parser as _;

use crate::alerts::{alerts, read, root};

/// A block of a runbook.
#[derive(Clone, Debug)]
struct Block {
    page: String,
    /// What stands behind the fence.
    info: String,
    /// Its lines, as far to the left as they get.
    text: String,
}

/// What somebody who is woken looks for, in this order.
const HEADINGS: &[&str] = &["Impact", "Look", "Do", "Over when", "What it is not"];
/// Programs that a runbook may call, beside `veritail`, `curl` and what a shell has itself.
const PROGRAMS: &[&str] =
    &["redis-cli", "psql", "systemctl", "journalctl", "df", "grep", "export", "echo", "ls", "timedatectl", "aws", "cp"];

/// The names of all pages, README too.
fn pages() -> BTreeSet<String> {
    let entries = std::fs::read_dir(root().join("docs/runbooks")).expect("runbooks");
    entries.map(|entry| entry.expect("an entry").path().file_stem().expect("a name").to_string_lossy().into()).collect()
}

fn text(name: &str) -> String {
    read(&root().join(format!("docs/runbooks/{name}.md")))
}

fn runbooks() -> Vec<(String, String)> {
    let names = pages().into_iter().filter(|name| name != "README");
    names.map(|name| (name.clone(), text(&name))).collect()
}

/// The fenced blocks: what stands behind the fence, and the text.
fn blocks(page: &str) -> Vec<(&str, &str)> {
    let parts: Vec<&str> = page.split("```").collect();
    assert!(parts.len() % 2 == 1, "a fence is not closed");
    parts.iter().skip(1).step_by(2).map(|block| block.split_once('\n').expect("a line")).collect()
}

/// The blocks of a page, README too.
fn page(name: &str) -> Vec<Block> {
    let block = |(info, text): (&str, &str)| {
        let lines = text.lines().map(str::trim_start).filter(|line| !line.is_empty());
        let text = lines.map(|line| format!("{line}\n")).collect();
        Block { page: name.to_owned(), info: info.to_owned(), text }
    };
    blocks(&text(name)).into_iter().map(block).collect()
}

/// The only block of a page that has this in it.
fn block(name: &str, part: &str) -> Block {
    let found: Vec<Block> = page(name).into_iter().filter(|block| block.text.contains(part)).collect();
    let [block] = found.as_slice() else { panic!("{name}: {} blocks have {part:?} in them", found.len()) };
    block.clone()
}

#[test]
fn every_alert_has_a_runbook_and_every_runbook_an_alert() {
    let names: BTreeSet<String> = alerts().into_iter().map(|rule| rule.name).collect();
    let pages: BTreeSet<String> = runbooks().into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, pages);
}

#[test]
fn every_runbook_has_the_same_shape() {
    for (name, page) in runbooks() {
        let mut lines = page.lines();
        assert_eq!(lines.next(), Some(format!("# {name}").as_str()));
        let means = lines.nth(1).unwrap_or_default();
        assert!(means.ends_with('.') && means.len() > 20, "{name}: its first sentence says what it means: {means:?}");
        let headings: Vec<&str> = page.lines().filter_map(|line| line.strip_prefix("## ")).collect();
        assert_eq!(headings, HEADINGS, "{name}");
        assert!(!blocks(&page).is_empty(), "{name}: how to look");
        // What the commands need is there, and links of alerts lead past it.
        assert!(page.contains("## Look\n\nFirst [set up the shell](README.md), once.\n"), "{name}");
        for heading in page.split("\n## ").skip(1) {
            assert!(heading.lines().skip(1).any(|line| line.len() > 10), "{name}: nothing below {heading:?}");
        }
    }
}

/// Commands of `veritail`, also within a sentence, are taken by its own command line, paths of `curl` are in the
/// description of the API, and the rest is a program that is known, in a block that a shell can read.
#[test]
fn every_command_of_a_runbook_is_one() {
    let document = serde_json::to_value(veritail::api::openapi::document()).expect("JSON");
    let paths: Vec<String> = document["paths"].as_object().expect("paths").keys().cloned().collect();
    let mut commands = 0;
    for (name, page) in runbooks() {
        for span in page.split('`').skip(1).step_by(2).filter(|span| span.starts_with("veritail ")) {
            if let Err(error) = veritail::cli::Cli::try_parse_from(words(span)) {
                panic!("{name}: {span}\n{error}");
            }
        }
        for (info, text) in blocks(&page) {
            assert!(["sh", "promql", "sql", "text"].contains(&info), "{name}: a block of {info:?}");
            if info != "sh" {
                continue;
            }
            let read = Command::new("bash").args(["-n", "-c", text]).stdin(Stdio::null()).status().expect("bash runs");
            assert!(read.success(), "{name}: {text}");
            for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
                commands += 1;
                let line = line.split(" #").next().unwrap_or(line);
                let first = line.split('|').next().unwrap_or(line).trim();
                let words = words(first);
                match words[0].as_str() {
                    "veritail" => {
                        if let Err(error) = veritail::cli::Cli::try_parse_from(&words) {
                            panic!("{name}: {line}\n{error}");
                        }
                    }
                    "curl" => {
                        let url = words.iter().find_map(|word| word.strip_prefix("$U")).unwrap_or_default().to_owned();
                        let path = url.split('?').next().unwrap_or_default();
                        assert!(paths.iter().any(|known| is_path(known, path)), "{name}: {path:?} is no path: {line}");
                    }
                    program => assert!(PROGRAMS.contains(&program), "{name}: {program} is not known: {line}"),
                }
            }
        }
    }
    assert!(commands > 60, "{commands} commands");
}

/// The words of a line, those in quotes as one.
fn words(line: &str) -> Vec<String> {
    let (mut words, mut quote) = (vec![String::new()], None);
    for letter in line.chars() {
        match (letter, quote) {
            (letter, Some(open)) if letter == open => quote = None,
            ('"' | '\'', None) => quote = Some(letter),
            (' ', None) => words.push(String::new()),
            (letter, _) => words.last_mut().expect("a word").push(letter),
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

fn is_path(known: &str, path: &str) -> bool {
    let (known, path): (Vec<&str>, Vec<&str>) = (known.split('/').collect(), path.split('/').collect());
    known.len() == path.len() && known.iter().zip(path).all(|(known, part)| *known == part || known.starts_with('{'))
}
