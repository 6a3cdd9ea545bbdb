//! `veritail drill`: damage on purpose, and what came of it.

use serde_json::{Value, json};

use crate::program::{Server, code, run, text};
use crate::support::server::{ended, log};

/// A server on which only readers find anything, with a finished log as job 1.
async fn with_a_log() -> Server {
    let server = Server::start(&[("VERITAIL_VERIFY_HOT", "off"), ("VERITAIL_VERIFY_FULL", "off")]);
    let (client, said) = (server.client(), log(5_000));
    let job = client.make_job().await;
    client.append_all(&job, 0, &said).await;
    assert_eq!(client.put_until_decided(&job, &ended("success", &said, true)).await.status, 200);
    server
}

const ORDER: [&str; 7] = ["drill", "corrupt", "1", "--store", "object_store", "--kind", "checksum"];

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_is_damaged_only_where_that_is_said_and_drills_are_listed() {
    let server = with_a_log().await;
    let run = |arguments: &[&str]| server.command(arguments).output().expect("it runs");
    let empty = run(&["drill", "list"]);
    assert_eq!((code(&empty), text(&empty.stdout)), ((Some(0), "none\n".to_owned()), String::new()));

    let (status, said) = code(&run(&ORDER));
    assert!(status == Some(1) && said.contains("--yes-damage-data") && said.contains("job 1"), "{said}");
    assert_eq!(text(&run(&["drill", "list", "--json"]).stdout), "", "nothing was announced");

    let elsewhere = ["drill", "corrupt", "1", "--store", "redis", "--kind", "size", "--yes-damage-data"];
    let (status, said) = code(&run(&elsewhere));
    assert!(status == Some(1) && said.contains("the live store of this server is embedded"), "{said}");
    let nowhere = ["drill", "corrupt", "9", "--store", "database", "--kind", "record", "--yes-damage-data"];
    let (status, said) = code(&run(&nowhere));
    assert!(status == Some(1) && said.contains("job 9"), "{said}");

    let done = run(&[&ORDER[..], &["--yes-damage-data"]].concat());
    let (status, said) = code(&done);
    assert!(status == Some(0) && said.contains("veritail drill list"), "{said}");
    let shown = text(&done.stdout);
    let cells: Vec<Vec<&str>> = shown.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(cells[0], ["id", "job_id", "chunk_index", "store", "kind", "must_be_found_by"], "{shown}");
    assert_eq!(cells[1][..5], ["1", "1", "0", "object_store", "checksum"], "{shown}");

    let read = run(&["cat", "1"]);
    assert_eq!((read.status.code(), read.stdout), (Some(0), log(5_000)), "served from the good copy");
    let listed = text(&run(&["drill", "list", "--job", "1", "--json"]).stdout);
    let listed: Value = serde_json::from_str(&listed).unwrap_or_else(|_| panic!("{listed}"));
    assert_eq!(
        (&listed["result"], &listed["found_by"], &listed["found_kind"], &listed["found_store"], &listed["by"]),
        (&json!("found"), &json!("read"), &json!("checksum"), &json!("object_store"), &json!("admin")),
        "{listed}"
    );
    let table = text(&run(&["drill", "list"]).stdout);
    assert!(table.starts_with("id") && table.contains("found") && table.lines().count() == 2, "{table}");
    assert!(text(&run(&["mismatches", "show", "1"]).stdout).contains("drill_id         1\n"));

    let json =
        run(&["drill", "corrupt", "1", "--store", "database", "--kind", "record", "--yes-damage-data", "--json"]);
    let drill: Value = serde_json::from_slice(&json.stdout).expect("a document");
    assert_eq!((&drill["id"], &drill["kind"], &drill["result"]), (&json!(2), &json!("record"), &Value::Null));
    let one = run(&["drill", "list", "--limit", "1"]);
    assert!(text(&one.stdout).lines().count() == 2 && code(&one).1.contains("--limit"), "{}", text(&one.stdout));
}

#[test]
fn what_cannot_be_damaged_is_refused_before_anything_is_asked() {
    for wrong in [
        &["drill", "corrupt", "1", "--store", "disk", "--kind", "size"][..],
        &["drill", "corrupt", "1", "--store", "database", "--kind", "gap"],
        &["drill", "corrupt", "--store", "database", "--kind", "size"],
        &["drill"],
    ] {
        assert_eq!(run(wrong).status.code(), Some(2), "{wrong:?}");
    }
    let unreachable = run(&[&ORDER[..], &["--yes-damage-data", "--url", "http://127.0.0.1:1"]].concat());
    assert_eq!(unreachable.status.code(), Some(1), "{}", text(&unreachable.stderr));
}
