//! The house rules that no compiler knows: what may import what, how long things get, which words do not belong here.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use veritail::pipeline::points;

const FILE_LINES_MAX: usize = 600;
const FUNCTION_LINES_MAX: usize = 100;

/// What each module may import. What has a higher place stands earlier, so a list that names only later modules runs down.
const MAY_IMPORT: &[(&str, &[&str])] = &[
    ("main", &["cli"]),
    ("cli", &["app", "api", "config", "verify", "pipeline", "tasks", "store", "telemetry", "seams", "trace"]),
    ("app", &["api", "config", "verify", "pipeline", "tasks", "store", "telemetry", "seams", "trace"]),
    ("api", &["config", "verify", "pipeline", "tasks", "store", "telemetry", "seams", "trace"]),
    // It knows the settings of those below, and the words that its values are.
    ("config", &["verify", "pipeline", "telemetry", "seams", "trace"]),
    ("verify", &["pipeline", "tasks", "store", "telemetry", "seams", "trace"]),
    ("pipeline", &["tasks", "store", "telemetry", "seams", "trace"]),
    ("tasks", &["store", "telemetry", "seams", "trace"]),
    ("store", &["seams", "trace"]),
    ("telemetry", &["trace"]),
    ("seams", &["trace"]),
    ("trace", &[]),
];

/// What `trace` may not touch: it is a value of its arguments.
const IMPURE: &[&str] = &[
    "tokio",
    "std::fs",
    "std::net",
    "Instant",
    "SystemTime",
    "std::thread",
    "std::env",
    "std::io",
    "rand",
    "SystemTime",
    "async ",
];

/// The parts a rule reads: whatever holds bytes that people wrote.
const NOT_OURS: &[&str] = &["target", ".git", "node_modules", "proptest-regressions"];

struct Source {
    path: PathBuf,
    /// The module right below the crate.
    module: String,
    text: String,
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn files_below(folder: &Path, found: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries {
        let path = entry.expect("a folder that can be read").path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() && !NOT_OURS.contains(&name.as_str()) && !path.join("CACHEDIR.TAG").exists() {
            files_below(&path, found);
        } else if path.is_file() {
            found.push(path);
        }
    }
    found.sort();
}

fn sources() -> Vec<Source> {
    let src = root().join("src");
    let mut files = Vec::new();
    files_below(&src, &mut files);
    let rust = files.into_iter().filter(|path| path.extension().is_some_and(|extension| extension == "rs"));
    let sources: Vec<Source> = rust
        .map(|path| {
            let below = path.strip_prefix(&src).expect("below src");
            let first = below.iter().next().expect("a name").to_string_lossy();
            let module = first.trim_end_matches(".rs").to_owned();
            Source { text: fs::read_to_string(&path).expect("text"), module, path: below.to_owned() }
        })
        .collect();
    assert!(sources.len() > 50, "the sources are found");
    sources
}

/// The names that stand behind `crate::` in code: of imports, also of a list in braces, and of paths.
fn imported(text: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for line in text.lines().filter(|line| !line.trim_start().starts_with("//")) {
        for (at, _) in line.match_indices("crate::") {
            let rest = &line[at + "crate::".len()..];
            let list = match rest.strip_prefix('{') {
                Some(list) => list.split('}').next().unwrap_or_default().split(',').map(str::trim).collect(),
                None => vec![rest],
            };
            for name in list {
                let end = name.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(name.len());
                names.insert(name[..end].to_owned());
            }
        }
    }
    names
}

#[test]
fn imports_run_down() {
    let mut wrong = Vec::new();
    for source in sources().iter().filter(|source| source.module != "lib") {
        let rule = MAY_IMPORT.iter().find(|(module, _)| *module == source.module);
        let Some((_, allowed)) = rule else {
            wrong.push(format!("{}: its module has no place in the list", source.path.display()));
            continue;
        };
        for name in imported(&source.text) {
            if name != source.module && !allowed.contains(&name.as_str()) {
                wrong.push(format!("{}: {} imports {name}", source.path.display(), source.module));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_list_of_imports_runs_down_itself() {
    let place = |name: &str| MAY_IMPORT.iter().position(|(module, _)| *module == name);
    for (module, allowed) in MAY_IMPORT {
        for name in *allowed {
            assert!(place(name) > place(module), "{module} may import {name}, which is above it");
        }
    }
}

/// The lines of code, without comments, up to the tests at the end of a file.
fn code(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let lines = text.lines().enumerate().take_while(|(_, line)| line.trim() != "#[cfg(test)]");
    lines.map(|(at, line)| (at + 1, line)).filter(|(_, line)| !line.trim_start().starts_with("//"))
}

#[test]
fn the_core_is_pure() {
    for source in sources().iter().filter(|source| source.module == "trace") {
        for (at, line) in code(&source.text) {
            let impure = IMPURE.iter().find(|name| line.contains(*name));
            assert!(impure.is_none(), "{}:{at}: {line}", source.path.display());
        }
    }
}

#[test]
fn only_the_edge_knows_http() {
    for source in sources().iter().filter(|source| !matches!(source.module.as_str(), "api" | "cli")) {
        for (at, line) in code(&source.text) {
            assert!(!line.contains("axum"), "{}:{at}: {line}", source.path.display());
        }
    }
}

#[test]
fn nothing_is_left_to_do() {
    for source in sources() {
        for (at, line) in code(&source.text) {
            for word in ["todo!(", "unimplemented!(", "dbg!("] {
                assert!(!line.contains(word), "{}:{at}: {line}", source.path.display());
            }
        }
    }
}

/// A bare one makes SQLite prepare its statement anew each time it is bound.
#[test]
fn every_limit_of_sqlite_is_a_sum() {
    let below =
        |source: &Source| ["sqlite", "rows"].map(|name| source.path.starts_with(format!("store/database/{name}")));
    let mut limits = 0;
    for source in sources().iter().filter(|source| below(source).contains(&true)) {
        for (at, line) in code(&source.text) {
            for limit in line.split("LIMIT ").skip(1).filter(|limit| limit.starts_with(['?', '$'])) {
                assert!(limit[2..].starts_with(" + 0"), "{}:{at}: {line}", source.path.display());
                limits += 1;
            }
        }
    }
    assert!(limits > 20, "{limits} limits");
}

#[test]
fn files_stay_short() {
    for source in sources() {
        let lines = source.text.lines().count();
        assert!(lines <= FILE_LINES_MAX, "{} has {lines} lines", source.path.display());
    }
}

/// rustfmt closes a function at the indentation of its head.
#[test]
fn functions_stay_short() {
    let mut functions = 0;
    for source in sources() {
        let lines: Vec<&str> = source.text.lines().collect();
        for (at, line) in lines.iter().enumerate() {
            let head = line.trim_start();
            let is_modifier =
                |word: &&str| word.starts_with("pub") || word.ends_with(')') || matches!(*word, "async" | "const");
            let is_function = head.trim_start_matches("$(").split(' ').find(|word| !is_modifier(word)) == Some("fn");
            if !is_function || head.starts_with("//") {
                continue;
            }
            let indent = &line[..line.len() - head.len()];
            let is_end = |line: &&str| line.strip_prefix(indent).is_some_and(|rest| rest.starts_with('}'));
            let has_no_body = |line: &&str| {
                line.strip_prefix(indent).is_some_and(|rest| !rest.starts_with(' ') && rest.ends_with([';', '}']))
            };
            let length = lines[at..].iter().position(|line| is_end(line) || has_no_body(line)).unwrap_or(0) + 1;
            functions += 1;
            assert!(length <= FUNCTION_LINES_MAX, "{}:{}: {length} lines", source.path.display(), at + 1);
        }
    }
    assert!(functions > 300, "the functions are found");
}

#[test]
fn every_fail_point_is_listed_and_reached_somewhere() {
    let sources = sources();
    let (table, rest): (Vec<&Source>, Vec<&Source>) = sources
        .iter()
        .filter(|source| source.module == "pipeline")
        .partition(|source| source.path.ends_with("points.rs"));
    let mut declared = Vec::new();
    for line in table.iter().flat_map(|table| table.text.lines()) {
        if let Some((name, text)) = line.strip_prefix("pub const ").and_then(|line| line.split_once(": &str = ")) {
            declared.push((name, text.trim_matches(['"', ';'])));
        }
    }
    let texts: Vec<&str> = declared.iter().map(|(_, text)| *text).collect();
    assert_eq!(texts, points::ALL, "all are listed, in order");
    assert_eq!(texts.iter().collect::<BTreeSet<_>>().len(), texts.len(), "no name is used twice");
    for (name, _) in declared {
        let used = format!(".point(points::{name})");
        assert!(rest.iter().any(|source| source.text.contains(&used)), "{name} is never reached");
    }
    for source in rest {
        let literal = source.text.contains(".point(\"");
        assert!(!literal, "{}: a fail point without a name", source.path.display());
    }
}

/// The repository speaks of the project alone.
#[test]
fn no_word_of_where_it_was_made() {
    // In pieces, so that this file does not hold them.
    let forbidden =
        [["/wo", "rk/"], ["crates", ".io"], ["pypi", ".org"], ["npm", "js"], ["/ro", "ot/"]].map(|word| word.concat());
    let mut files = Vec::new();
    files_below(&root(), &mut files);
    assert!(files.len() > 100, "the files are found");
    for path in files {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.ends_with(".lock") || name.ends_with("-lock.json") || name == ".git" {
            continue;
        }
        let Ok(text) = fs::read_to_string(&path) else { continue };
        for (at, line) in text.lines().enumerate() {
            let found = forbidden.iter().find(|word| line.contains(word.as_str()));
            assert!(found.is_none(), "{}:{}: {line}", path.display(), at + 1);
        }
    }
}
