//! `veritail demo` as a stranger runs it, but for the terminal.
#![allow(clippy::disallowed_methods, reason = "a test waits for a process, with a limit of its own")]

use std::process::{Command, Stdio};

/// Every claim of the demo, by a part of its line.
const CLAIMS: &[&str] = &[
    "3 jobs ended with 200: every byte was read back and proven before",
    "rspec: 3.5 MiB read back, byte for byte",
    "rspec: 29 chunks with CRC-32 and SHA-256 of what was sent; verified",
    "compile: 2.5 MiB read back, byte for byte",
    "docker-build: 12 chunks with CRC-32 and SHA-256 of what was sent; verified",
    "deploy: the last 87.9 KiB are acknowledged, and in the live store alone",
    "now they are wiped from it",
    "its next patch, at 1 925 008, was answered 416: go on at 1 835 008",
    "the runner sent 90 000 of 3 000 000 bytes again",
    "the loss was counted",
    "deploy: 2.9 MiB read back, byte for byte",
    "rspec: the connection breaks at the damage; 917 504 bytes before are good",
    "it is named: chunk 7: checksum in object_store, found by read, open",
    "everything behind the damage is still served, verified",
    "?unverified=1 shows what is there: 3 700 000 bytes, the bad chunk as it is",
    "it is counted once, though two readers met it",
];

#[test]
fn the_demo_holds_what_it_claims_and_leaves_nothing_behind() {
    let folder = tempfile::tempdir().expect("a folder");
    let output = Command::new(env!("CARGO_BIN_EXE_veritail"))
        .args(["demo", "--once"])
        .env("TMPDIR", folder.path())
        // A proxy of the environment has no business between a demo and itself.
        .env("http_proxy", "http://127.0.0.1:9")
        .stdin(Stdio::null())
        .output()
        .expect("run");
    let page = String::from_utf8(output.stdout).expect("text");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}\n{page}\n{errors}", output.status);
    for claim in CLAIMS {
        assert!(page.lines().any(|line| line.contains(claim) && line.contains('✓')), "{claim:?} is not in\n{page}");
    }
    assert!(page.contains("19 of 19 claims held"), "{page}");
    assert!(!page.contains('✗') && !page.contains('\x1b'), "{page}");
    assert_eq!(errors, "", "nothing goes wrong");
    let left: Vec<_> = std::fs::read_dir(folder.path()).expect("read").collect();
    assert!(left.is_empty(), "{left:?}");
}
