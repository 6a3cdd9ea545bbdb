//! `veritail mismatches`: what was found to be wrong, for people and for scripts.

use serde_json::{Value, json};

use crate::program::{Server, code, run, text};
use crate::support::server::{Send as _, ended};

/// A server with a log of which the only copy was found to be bad, and one that is good.
async fn with_a_mismatch() -> Server {
    let server = Server::start(&[("VERITAIL_LIVE_GRACE", "0s"), ("VERITAIL_NODE_NAME", "node-7")]);
    let client = server.client();
    for _ in 0..2 {
        let job = client.make_job().await;
        client.append_all(&job, 0, b"abcd").await;
        assert_eq!(client.put_until_decided(&job, &ended("success", b"abcd", true)).await.status, 200);
        let key = client.integrity(&job).await["chunks"][0]["copies"][0]["key"].as_str().expect("a key").to_owned();
        std::fs::write(server.data_dir().join("objects").join(key), "rot").expect("written");
        assert_eq!(client.trace_request(&job).answer().await.status, 500);
    }
    server
}

fn lines(page: &str) -> Vec<Value> {
    page.lines().map(|line| serde_json::from_str(line).expect("a document a line")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn mismatches_are_listed_shown_and_resolved() {
    let server = with_a_mismatch().await;
    let run = |arguments: &[&str]| {
        let output = server.command(&[&["mismatches"], arguments].concat()).output().expect("it runs");
        assert_eq!(code(&output), (Some(0), String::new()), "{arguments:?}");
        text(&output.stdout)
    };
    let page = run(&["list"]);
    let cells: Vec<Vec<&str>> = page.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!((cells.len(), cells[0][..3].to_vec()), (3, vec!["id", "job_id", "chunk_index"]), "{page}");
    assert_eq!(cells[1][..6], ["1", "1", "0", "size", "object_store", "read"], "{page}");
    assert!(!page.contains('\x1b'), "a table for a file has no colours");

    let all = lines(&run(&["list", "--json"]));
    assert_eq!(all.len(), 2);
    assert_eq!((&all[0]["id"], &all[0]["node"], &all[0]["state"]), (&json!(1), &json!("node-7"), &json!("open")));
    assert_eq!(lines(&run(&["show", "1", "--json"])), all[..1]);
    let page = run(&["show", "1"]);
    for part in ["id               1\n", "node             node-7\n", "times_seen       1\n", "resolved_by      -\n"] {
        assert!(page.contains(part), "{part:?} is not in {page}");
    }

    let ids = |filters: &[&str]| {
        let found = lines(&run(&[&["list", "--json"], filters].concat()));
        found.iter().map(|found| found["id"].as_i64().expect("a number")).collect::<Vec<_>>()
    };
    let noted = run(&["resolve", "1", "--comment", "the disk was replaced"]);
    assert!(noted.contains("acknowledged") && noted.contains("the disk was replaced"), "{noted}");
    assert_eq!(lines(&run(&["resolve", "1", "--comment", "another", "--json"]))[0]["comment"], "the disk was replaced");
    assert_eq!(ids(&["--state", "open"]), [2]);
    assert_eq!(ids(&["--state", "resolved", "--job", "1", "--project", "group/demo"]), [1]);
    assert_eq!(ids(&["--kind", "size", "--store", "object_store", "--detector", "read"]), [1, 2]);
    assert_eq!(ids(&["--since", "2100-01-01T00:00:00+02:00"]), [0; 0]);

    let some = server.command(&["mismatches", "list", "--limit", "1"]).output().expect("it runs");
    assert_eq!(text(&some.stdout).lines().count(), 2);
    assert!(code(&some).1.contains("there are more"), "{}", code(&some).1);
    let none = server.command(&["mismatches", "list", "--job", "9"]).output().expect("it runs");
    assert_eq!((code(&none), text(&none.stdout)), ((Some(0), "none\n".to_owned()), String::new()));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_done_is_said() {
    let server = Server::start(&[]);
    for (arguments, status, word) in [
        (&["show", "9"][..], 1, "there is no mismatch 9"),
        (&["resolve", "9", "--comment", "x"], 1, "there is no mismatch 9"),
        (&["resolve", "9", "--comment", " "], 1, "comment must have"),
        (&["resolve", "9"], 2, "--comment"),
        (&["list", "--since", "yesterday"], 1, "since must be a time"),
        (&["list", "--project", "no/such"], 1, "there is no project"),
        (&["list", "--kind", "rust"], 2, "undecodable"),
        (&["list", "--json", "--limit", "1"], 2, "--limit"),
    ] {
        let output = server.command(&[&["mismatches"], arguments].concat()).output().expect("it runs");
        let (code, said) = code(&output);
        assert_eq!((code, said.contains(word)), (Some(status), true), "{arguments:?}: {said}");
    }
    let away = run(&["mismatches", "list", "--json", "--token", "x", "--url", "http://127.0.0.1:1"]);
    assert_eq!((code(&away).0, code(&away).1.contains("does not answer")), (Some(1), true));
}
