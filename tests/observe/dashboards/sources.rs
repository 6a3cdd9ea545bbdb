//! The dashboards are what their sources say, and the sources compile against Grafana's own types.

use std::path::Path;
use std::process::Command;

use super::boards;
use crate::support::program::installed;

/// Runs a program in a folder; what it said, if it failed.
fn run(folder: &Path, program: &str, arguments: &[&str]) -> Result<(), String> {
    let output =
        Command::new(program).args(arguments).current_dir(folder).output().expect("the program can be started");
    let said = [output.stdout, output.stderr].concat();
    if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&said).into_owned()) }
}

/// Compiles the sources beside Grafana's types, in a folder of their own.
fn compile(folder: &Path) -> Result<(), String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let clients = installed("dashboards/node_modules");
    std::os::unix::fs::symlink(clients, folder.join("node_modules")).expect("a link");
    std::fs::copy(root.join("tests/clients/dashboards/tsconfig.json"), folder.join("tsconfig.json")).expect("copied");
    std::fs::create_dir(folder.join("src")).expect("made");
    for entry in std::fs::read_dir(boards::folder().join("src")).expect("the sources") {
        let entry = entry.expect("an entry");
        std::fs::copy(entry.path(), folder.join("src").join(entry.file_name())).expect("copied");
    }
    run(folder, "node_modules/.bin/tsc", &[])
}

#[test]
fn the_dashboards_are_what_their_sources_say() {
    let folder = tempfile::tempdir().expect("a folder");
    if let Err(said) = compile(folder.path()) {
        panic!("{said}");
    }
    let made = folder.path().join("made");
    std::fs::create_dir(&made).expect("made");
    run(folder.path(), "node", &["built/build.js", "made"]).expect("they are written");
    let mut names = Vec::new();
    for entry in std::fs::read_dir(&made).expect("a folder") {
        let entry = entry.expect("an entry");
        let kept = boards::folder().join(entry.file_name());
        let new = std::fs::read_to_string(entry.path()).expect("text");
        if std::env::var_os("VERITAIL_UPDATE_DOCS").is_some_and(|value| value == "1") {
            std::fs::write(&kept, &new).expect("written");
        }
        let old = std::fs::read_to_string(&kept).unwrap_or_default();
        assert!(old == new, "{} is old: VERITAIL_UPDATE_DOCS=1 cargo test --test observe sources", kept.display());
        names.push(entry.file_name().to_string_lossy().trim_end_matches(".json").to_owned());
    }
    names.sort();
    let kept: Vec<String> = boards::all().into_iter().map(|board| board.file).collect();
    assert_eq!(kept, names, "nothing else lies there: Grafana would read it");
}
