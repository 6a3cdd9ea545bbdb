//! `veritail send`: proven, resumed, over a killed server, after a loss, interrupted, refused.

use std::process::Stdio;

use serde_json::{Value, json};

use crate::program::{Running, Server, code, job, signal, text};
use crate::support::server::{Send as _, log};
use crate::support::wait::until;

const NEW: [&str; 5] = ["send", "--project", "group/demo", "--name", "build"];

/// The jobs' logs have reached `size` bytes on the server.
async fn until_sent(server: &Server, id: i64, size: u64) {
    server.client().integrity_until(&job(id), "that much", |report| report["size"].as_u64() >= Some(size)).await;
}

/// Job 1 is there.
async fn until_made(server: &Server) {
    let ask = || server.client().admin(reqwest::Method::GET, "/api/v1/jobs/1/integrity").answer();
    until("a job is made", async || ask().await.status == 200).await;
}

async fn assert_log(server: &Server, id: i64, expected: &[u8], verdict: &str) {
    let report = server.client().integrity(&job(id)).await;
    assert_eq!((report["size"].as_u64(), &report["verdict"]), (Some(expected.len() as u64), &json!(verdict)));
    assert!(server.client().trace(&job(id)).await == expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_is_sent_proven_and_leaves_nothing_in_the_spool() {
    let server = Server::start(&[]);
    let sent = log(3_000_000);
    let mut command = server.command(&NEW);
    command.args(["--state", "failed", "--exit-code", "3", "--json"]);
    let mut running = Running::start(command);
    running.write(&sent);
    let output = running.end();
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let said: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let crc32 = format!("{:08x}", crc32fast::hash(&sent));
    let expected = json!({"job": 1, "verdict": "verified", "size": sent.len(), "crc32": crc32, "spool": null});
    assert_eq!(said, expected);
    assert_log(&server, 1, &sent, "verified").await;
    assert_eq!(server.spooled(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_log_is_proven_and_tee_passes_every_byte_on() {
    let server = Server::start(&[]);
    let output = Running::start(server.command(&NEW)).end();
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert_log(&server, 1, b"", "verified").await;

    let sent = log(300_000);
    let mut command = server.command(&NEW);
    let mut running = Running::start({
        command
            .arg("--tee")
            .stdout(Stdio::from(std::fs::File::create(server.folder.path().join("tee")).expect("made")));
        command
    });
    running.write(&sent);
    assert_eq!(code(&running.end()).0, Some(0));
    assert!(std::fs::read(server.folder.path().join("tee")).expect("written") == sent);
    assert_log(&server, 2, &sent, "verified").await;
}

/// Who reads what tee writes goes away; the log does not.
#[tokio::test(flavor = "multi_thread")]
async fn a_broken_pipe_behind_tee_loses_nothing() {
    let server = Server::start(&[]);
    let sent = log(500_000);
    let mut command = server.command(&NEW);
    command.arg("--tee");
    let mut running = Running::start(command);
    drop(running.child.stdout.take());
    running.write(&sent);
    let output = running.end();
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert_log(&server, 1, &sent, "verified").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_killed_in_the_middle_costs_nothing() {
    let mut server = Server::start(&[]);
    let sent = log(2_500_000);
    let mut running = Running::start(server.command(&NEW));
    running.write(&sent[..1_200_000]);
    until_made(&server).await;
    until_sent(&server, 1, 1_000_000).await;
    server.kill();
    // While it is away what comes is read all the same.
    running.write(&sent[1_200_000..]);
    server.launch();
    let output = running.end();
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert_log(&server, 1, &sent, "verified").await;
    assert_eq!(server.spooled(), 0);
}

/// A live store that comes back empty: what it had not proven elsewhere is taken from the spool.
#[tokio::test(flavor = "multi_thread")]
async fn a_lost_tail_is_sent_again() {
    let mut redis = crate::support::redis_server::RedisServer::start(crate::support::redis_server::Durability::Nothing);
    let server = Server::start(&[("VERITAIL_REDIS_URL", &redis.url())]);
    let sent = log(1_500_000);
    let mut running = Running::start(server.command(&NEW));
    running.write(&sent[..1_200_000]);
    until_made(&server).await;
    // Into the open chunk, which only the live store has.
    until_sent(&server, 1, 1_200_000).await;
    redis.restart();
    running.write(&sent[1_200_000..]);
    let output = running.end();
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert_log(&server, 1, &sent, "verified").await;
    let moved = server.client().metric("veritail_append_rejected_total", "reason=\"range\"").await;
    assert!(moved >= 1.0, "nothing was lost");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_is_not_proven_in_time_is_kept_and_resumed() {
    let mut server = Server::start(&[]);
    let sent = log(400_000);
    let mut command = server.command(&NEW);
    command.args(["--give-up-after", "1s", "--state", "failed"]);
    let mut running = Running::start(command);
    running.write(&sent[..100_000]);
    until_made(&server).await;
    until_sent(&server, 1, 100_000).await;
    server.kill();
    running.write(&sent[100_000..]);
    let (status, said) = code(&running.end());
    assert_eq!(status, Some(3), "{said}");
    let file = server.left_over();
    let resume = format!("veritail send --resume {}", file.display());
    assert!(said.contains(&resume), "{said}");

    server.launch();
    let mut resume = server.command(&["send", "--resume"]);
    // The job's token is in the spool: nothing else is needed.
    resume.arg(&file).env_remove("VERITAIL_TOKEN").env_remove("VERITAIL_URL");
    let output = resume.output().expect("it runs");
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert_log(&server, 1, &sent, "verified").await;
    assert_eq!(server.spooled(), 0);
}

/// Nothing was made yet when the server was away; killed itself, it resumes what it had read, as a failed job.
#[tokio::test(flavor = "multi_thread")]
async fn a_killed_sender_leaves_what_it_read_for_a_job_made_later() {
    let mut server = Server::start(&[]);
    server.kill();
    let sent = log(200_000);
    let mut running = Running::start(server.command(&NEW));
    running.write(&sent);
    until("the spool", async || {
        let files = std::fs::read_dir(server.spool()).into_iter().flatten().filter_map(Result::ok);
        let mut sizes = files.filter_map(|file| file.metadata().ok()).map(|file| file.len());
        sizes.any(|size| size == 200_000)
    })
    .await;
    running.child.kill().expect("its own handle");
    running.child.wait().expect("its own handle");
    server.launch();
    let output = server.command(&["send", "--resume"]).arg(server.left_over()).output().expect("it runs");
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("the job is failed"), "{}", text(&output.stderr));
    assert_log(&server, 1, &sent, "verified").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_sender_finishes_what_it_read_as_canceled() {
    let server = Server::start(&[]);
    let sent = log(150_000);
    let mut running = Running::start(server.command(&NEW));
    running.write(&sent);
    until_made(&server).await;
    until_sent(&server, 1, 150_000).await;
    signal(&running.child, "INT");
    // Its input stays open: it is not waited for longer than a moment.
    let stdin = running.child.stdin.take();
    let output = running.child.wait_with_output().expect("it ends");
    drop(stdin);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert_log(&server, 1, &sent, "verified").await;
    let path = "/api/v1/jobs/1/cancel";
    let canceled = server.client().admin(reqwest::Method::POST, path).answer().await.json();
    assert_eq!(canceled["status"], "canceled");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_there_is_takes_the_log_with_its_token_alone() {
    let server = Server::start(&[]);
    let there = server.client().make_job().await;
    let mut command = server.command(&["send", "--job", &there.id.to_string(), "--job-token", &there.token]);
    command.env_remove("VERITAIL_TOKEN");
    let mut running = Running::start(command);
    running.write(b"abcd");
    let output = running.end();
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert_log(&server, there.id, b"abcd", "verified").await;

    // It is over now, and its token was never another.
    for token in [there.token.as_str(), "vtj_other"] {
        let mut running = Running::start(server.command(&["send", "--job", "1", "--job-token", token]));
        running.write(b"more");
        let (status, said) = code(&running.end());
        assert_eq!(status, Some(4), "{said}");
        assert!(said.contains("the log is kept"), "{said}");
    }
}

/// A trace over its limit is refused, with the spool kept.
#[tokio::test(flavor = "multi_thread")]
async fn a_log_over_the_limit_is_refused() {
    let server = Server::start(&[("VERITAIL_TRACE_LIMIT", "1000")]);
    let mut running = Running::start(server.command(&NEW));
    running.write(&log(2000));
    let (status, said) = code(&running.end());
    assert_eq!(status, Some(4), "{said}");
    assert!(server.left_over().is_file());
}

#[test]
fn a_wrong_command_line_is_told_apart() {
    let alone = crate::program::run(&["send"]);
    assert_eq!(alone.status.code(), Some(2), "{}", text(&alone.stderr));
    let missing = crate::program::run(&["send", "--resume", "/nowhere/send-1.json"]);
    assert_eq!(missing.status.code(), Some(1), "{}", text(&missing.stderr));
}
