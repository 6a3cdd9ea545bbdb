//! `veritail demo` as a stranger runs it, but for the terminal.
#![allow(clippy::disallowed_methods, reason = "a test waits for a process, with a limit of its own")]

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

/// Every claim of the demo, by a part of its line.
const CLAIMS: &[&str] = &[
    "3 jobs ended with 200: every byte was read back and proven before",
    "rspec: 3 700 000 bytes read back, byte for byte",
    "rspec: 29 chunks with CRC-32 and SHA-256 of what was sent; verified",
    "compile: 2 600 000 bytes read back, byte for byte",
    "docker-build: 12 chunks with CRC-32 and SHA-256 of what was sent; verified",
    "deploy: the last 90 000 bytes are acknowledged, and in the live store alone",
    "nobody but the runner has them now",
    "its next patch, at 1 925 008, was answered 416: go on at 1 835 008",
    "the runner sent 90 000 of 3 000 000 bytes again",
    "the loss was counted",
    "deploy: 3 000 000 bytes read back, byte for byte",
    "rspec: the connection breaks at the damage; 917 504 bytes before are good",
    "it is named: chunk 7: checksum in object_store, found by read, open",
    "everything behind the damage is still served, verified",
    "?unverified=1 shows what is there: 3 700 000 bytes, the bad chunk as it is",
    "it is counted once, though two readers met it",
];

/// The demo in `folder`, with nobody at a terminal.
fn demo(folder: &Path) -> Command {
    let mut demo = Command::new(env!("CARGO_BIN_EXE_veritail"));
    demo.args(["demo", "--once"]).env("TMPDIR", folder).stdin(Stdio::null());
    // A proxy of the environment has no business between a demo and itself.
    demo.env("http_proxy", "http://127.0.0.1:9");
    demo
}

fn is_empty(folder: &Path) -> bool {
    std::fs::read_dir(folder).expect("read").next().is_none()
}

#[test]
fn a_demo_that_is_told_to_end_leaves_nothing_behind() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut child = demo(folder.path()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("started");
    // Its third line comes when the server is up and the folder is there.
    let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    let up = lines.by_ref().map_while(Result::ok).find(|line| line.contains("keeps everything in"));
    assert!(up.is_some() && !is_empty(folder.path()));
    let told = Command::new("kill").args(["-TERM", &child.id().to_string()]).status().expect("kill runs");
    assert!(told.success());
    lines.for_each(drop);
    let output = child.wait_with_output().expect("ended");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!((output.status.code(), errors.contains("SIGTERM")), (Some(1), true), "{errors}");
    assert!(is_empty(folder.path()));
}

#[test]
fn the_demo_holds_what_it_claims_and_leaves_nothing_behind() {
    let folder = tempfile::tempdir().expect("a folder");
    let output = demo(folder.path()).output().expect("run");
    let page = String::from_utf8(output.stdout).expect("text");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}\n{page}\n{errors}", output.status);
    for claim in CLAIMS {
        assert!(page.lines().any(|line| line.contains(claim) && line.contains('✓')), "{claim:?} is not in\n{page}");
    }
    assert!(page.contains("19 of 19 claims held"), "{page}");
    assert!(!page.contains('✗') && !page.contains('\x1b'), "{page}");
    assert_eq!(errors, "", "nothing goes wrong");
    assert!(page.contains(&format!("{}/veritail-demo-", folder.path().display())), "the damaged object in full");
    assert!(!page.contains("iB "), "one unit for all sizes");
    assert!(is_empty(folder.path()));
}

/// With Prometheus beside it, which `tests/run prepare` installs.
#[test]
fn the_demo_pages_somebody_and_says_what_to_import() {
    let folder = tempfile::tempdir().expect("a folder");
    let output = demo(folder.path()).arg("--observe").output().expect("run");
    let page = String::from_utf8(output.stdout).expect("text");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}\n{page}\n{errors}", output.status);
    assert!(page.contains("✓ VeritailChecksumMismatch fires: checksum in object_store, critical"), "{page}");
    assert!(page.contains("20 of 20 claims held"), "{page}");
    for part in ["/alerts", "dashboards/veritail-*.json"] {
        assert!(page.contains(part), "{part} is not in\n{page}");
    }
    assert!(is_empty(folder.path()));
}

#[test]
fn the_demo_goes_on_where_prometheus_is_not_installed() {
    let folder = tempfile::tempdir().expect("a folder");
    let output = demo(folder.path()).arg("--observe").env("PATH", folder.path()).output().expect("run");
    let page = String::from_utf8(output.stdout).expect("text");
    assert!(output.status.success(), "{page}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(page.contains("Prometheus is not installed") && page.contains("19 of 19 claims held"), "{page}");
}
