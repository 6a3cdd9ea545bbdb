//! `veritail verify`: by a running server and over the stores themselves, with real damage in each of them.

use std::process::Output;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use veritail::seams::real::SystemClock;
use veritail::store::live::LiveStore as _;
use veritail::store::live::embedded::EmbeddedLive;
use veritail::trace::{ChunkId, ChunkIndex, Epoch, JobId};

use crate::program::{Server, code, run, signal, text, veritail};
use crate::support::server::{Job, ended};
use crate::support::wait::until_some;

/// Nothing is verified but what is asked for.
const QUIET: [(&str, &str); 3] =
    [("VERITAIL_LIVE_GRACE", "0s"), ("VERITAIL_VERIFY_HOT", "off"), ("VERITAIL_VERIFY_FULL", "off")];

/// A job that ended with four bytes.
async fn finished(server: &Server) -> Job {
    let client = server.client();
    let job = client.make_job().await;
    client.append_all(&job, 0, b"abcd").await;
    assert_eq!(client.put_until_decided(&job, &ended("success", b"abcd", true)).await.status, 200);
    job
}

/// `veritail verify` by the running server.
fn asked(server: &Server, arguments: &[&str]) -> Output {
    server.command(&[&["verify"], arguments].concat()).output().expect("it runs")
}

/// The same over the server's stores.
fn direct(server: &Server, arguments: &[&str]) -> Output {
    let folder = server.data_dir();
    run(&[&["verify"], arguments, &["--data-dir", folder.to_str().expect("text")]].concat())
}

/// The documents of `--json`: the mismatches and the run.
fn documents(output: &Output) -> (Vec<Value>, Value) {
    let page = text(&output.stdout);
    let mut lines: Vec<Value> =
        page.lines().map(|line| serde_json::from_str(line).expect("a document a line")).collect();
    let run = lines.pop().map(|last| last["run"].clone()).unwrap_or_default();
    (lines.iter().map(|line| line["mismatch"].clone()).collect(), run)
}

/// Job, kind and store of each.
fn labels(found: &[Value]) -> Vec<(i64, String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    found.iter().map(|one| (one["job_id"].as_i64().unwrap_or(0), text(&one["kind"]), text(&one["store"]))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn damage_in_each_store_is_found_by_a_server_and_without_one() {
    let mut server = Server::start(&QUIET);
    let client = server.client();
    let (good, rotten, wrong) = (finished(&server).await, finished(&server).await, finished(&server).await);
    let running = client.make_job().await;
    client.append_all(&running, 0, b"live").await;
    let key = client.integrity(&rotten).await["chunks"][0]["copies"][0]["key"].as_str().expect("a key").to_owned();
    let sound = asked(&server, &["--all"]);
    assert_eq!(code(&sound), (Some(0), String::new()), "{}", text(&sound.stdout));
    assert!(text(&sound.stdout).starts_with("run 1 over all: complete; "), "{}", text(&sound.stdout));

    // The object rots, the record is changed.
    std::fs::write(server.data_dir().join("objects").join(key), "rot").expect("written");
    server.kill();
    let database = format!("sqlite://{}", server.data_dir().join("veritail.db").display());
    let database = sqlx::SqlitePool::connect(&database).await.expect("connected");
    let changed = sqlx::query("UPDATE trace_chunks SET crc32 = crc32 + 1 WHERE job_id = ?1").bind(wrong.id);
    assert_eq!(changed.execute(&database).await.expect("changed").rows_affected(), 1);
    database.close().await;
    let damaged = [
        (rotten.id, "size".to_owned(), "object_store".to_owned()),
        (wrong.id, "record".to_owned(), "database".to_owned()),
    ];
    server.launch();
    let all = asked(&server, &["--all", "--json"]);
    let (found, ended) = documents(&all);
    assert_eq!((code(&all).0, labels(&found)), (Some(1), damaged.to_vec()), "{}", text(&all.stdout));
    assert_eq!((&ended["state"], &ended["tally"]["differs"]), (&json!("complete"), &json!(2)), "{ended}");

    // The live copy is lost while nobody serves.
    server.kill();
    let live = EmbeddedLive::open(&server.data_dir().join("live"), Arc::new(SystemClock)).expect("opened");
    let chunk = ChunkId { index: ChunkIndex(0), epoch: Epoch(1) };
    live.release(JobId(running.id), chunk, Duration::ZERO).await.expect("released");
    drop(live);
    let with_live = [&damaged[..], &[(running.id, "missing".to_owned(), "embedded".to_owned())]].concat();
    let all = direct(&server, &["--all", "--json", "--report-only"]);
    let (found, ended) = documents(&all);
    assert_eq!((code(&all).0, labels(&found)), (Some(1), with_live), "{}", text(&all.stdout));
    assert_eq!((&ended["tally"]["differs"], &ended["tally"]["repaired"]), (&json!(3), &json!(0)), "{ended}");

    let project = direct(&server, &["--project", "group/demo", "--report-only"]);
    let page = text(&project.stdout);
    assert_eq!(code(&project), (Some(1), String::new()), "{page}");
    let cells: Vec<Vec<&str>> = page.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(cells[0], ["job", "chunk", "kind", "store", "expected", "found", "state"], "{page}");
    assert_eq!((cells[1][0], cells[1][2]), (rotten.id.to_string().as_str(), "size"), "{page}");
    assert!(page.contains("project group/demo: complete") && page.contains("3 differ"), "{page}");
    server.launch();
    // What was found later is none of the first run's.
    let first = asked(&server, &["watch", "1"]);
    assert_eq!((code(&first).0, text(&first.stdout).lines().count()), (Some(0), 1), "{}", text(&first.stdout));
    let second = documents(&asked(&server, &["watch", "2", "--json"])).0;
    assert_eq!(labels(&second), damaged, "the live copy was lost after it");
    server.kill();
    let one = direct(&server, &[&good.id.to_string()]);
    assert_eq!(code(&one), (Some(0), String::new()), "{}", text(&one.stdout));
    let late = direct(&server, &["--since", "2100-01-01T00:00:00Z"]);
    assert_eq!(code(&late), (Some(0), String::new()), "{}", text(&late.stdout));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_checked_ends_with_two_and_is_said() {
    let server = Server::start(&QUIET);
    let job = finished(&server).await;
    let empty = tempfile::tempdir().expect("a folder");
    let empty = empty.path().to_str().expect("text");
    let locked = direct(&server, &[&job.id.to_string()]);
    assert_eq!(code(&locked).0, Some(2));
    for word in ["another veritail serve", "--url"] {
        assert!(code(&locked).1.contains(word), "{}", code(&locked).1);
    }
    for (output, word) in [
        (asked(&server, &[]), "--all"),
        (asked(&server, &["1", "--all"]), "cannot be used with"),
        (asked(&server, &["4711"]), "there is no job 4711"),
        (asked(&server, &["--project", "no/such"]), "there is no project"),
        (asked(&server, &["--since", "yesterday"]), "RFC 3339"),
        (asked(&server, &["--all", "--report-only"]), "--data-dir"),
        (asked(&server, &["--all", "--url", "http://127.0.0.1:1"]), "does not answer"),
        (asked(&server, &["--all", "--url", &server.url(), "--data-dir", empty]), "cannot be used with"),
        (run(&["verify", "--all", "--data-dir", empty]), "there is no installation"),
        (asked(&server, &["watch", "4711"]), "there is no run 4711"),
    ] {
        assert_eq!((code(&output).0, code(&output).1.contains(word)), (Some(2), true), "{word}: {}", code(&output).1);
    }
    assert!(!std::path::Path::new(empty).join("veritail.db").exists(), "a mistyped folder stays as it was");
    let stop = asked(&server, &["stop", "4711"]);
    assert_eq!((code(&stop).0, code(&stop).1.contains("there is no run 4711")), (Some(1), true));
}

/// A chunk a second: nobody waits for the end.
const SLOW: (&str, &str) = ("VERITAIL_VERIFY_FULL_REQUESTS_PER_SECOND", "1");

#[tokio::test(flavor = "multi_thread")]
async fn a_run_is_watched_and_stopped_in_the_middle() {
    let mut server = Server::start(&[&QUIET[..], &[SLOW]].concat());
    for _ in 0..60 {
        finished(&server).await;
    }
    let begun = asked(&server, &["--all", "--detach"]);
    assert_eq!((code(&begun).0, text(&begun.stdout).starts_with("run 1 has begun")), (Some(0), true));
    let watching = server.command(&["verify", "watch", "1", "--json"]).spawn().expect("it runs");
    let running = asked(&server, &["runs", "--state", "running", "--json"]);
    let running: Value = serde_json::from_str(&text(&running.stdout)).expect("one");
    assert_eq!((&running["id"], &running["scope"], &running["expected"]), (&json!(1), &json!("all"), &json!(60)));
    let table = text(&asked(&server, &["runs"]).stdout);
    assert!(table.starts_with("id  schedule") && table.lines().count() == 2, "{table}");
    let status = asked(&server, &["status"]);
    assert!(code(&status).0 == Some(0) && text(&status.stdout).contains("\nmanual"), "{}", text(&status.stdout));
    let stop = asked(&server, &["stop", "1"]);
    assert_eq!((code(&stop).0, text(&stop.stdout).as_str()), (Some(0), "run 1 was asked to stop\n"));
    let watched = watching.wait_with_output().expect("it ends");
    let (found, ended) = documents(&watched);
    assert_eq!((watched.status.code(), found.len(), &ended["state"]), (Some(2), 0, &json!("stopped")), "{ended}");
    assert_eq!(text(&asked(&server, &["stop", "1"]).stdout), "run 1 had ended already: stopped\n");

    // Ctrl-C, without a server.
    server.kill();
    let folder = server.data_dir();
    let mut command = veritail(&["verify", "--all", "--json", "--data-dir", folder.to_str().expect("text")]);
    let child = command.envs([SLOW]).spawn().expect("it runs");
    // It listens to signals once its run is there.
    until_some("a handler for SIGINT", async || {
        let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).ok()?;
        let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"))?;
        let caught = u64::from_str_radix(caught.trim(), 16).ok()?;
        (caught & 0b10 != 0).then_some(())
    })
    .await;
    signal(&child, "INT");
    let interrupted = child.wait_with_output().expect("it ends");
    let (_, ended) = documents(&interrupted);
    assert_eq!((interrupted.status.code(), &ended["state"]), (Some(2), &json!("stopped")), "{ended}");
    assert!(ended["tally"]["chunks"].as_u64().is_some_and(|chunks| chunks < 60), "{ended}");
}
