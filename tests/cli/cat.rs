//! `veritail cat`: whole, followed while it grows, damaged, into a file.

use std::path::{Path, PathBuf};

use sqlx::Connection as _;

use crate::program::{Server, code, text};
use crate::support::server::{Job, ended, flipped, log};
use crate::support::wait::{until, until_some};

async fn finished(server: &Server, size: usize) -> (Job, Vec<u8>) {
    let (client, sent) = (server.client(), log(size));
    let job = client.make_job().await;
    client.append_all(&job, 0, &sent).await;
    assert_eq!(client.put_until_decided(&job, &ended("success", &sent, true)).await.status, 200);
    (job, sent)
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    entries.flat_map(|path| if path.is_dir() { files_below(&path) } else { vec![path] }).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_finished_log_comes_whole_to_the_screen_and_to_a_file() {
    let server = Server::start(&[]);
    let (_, sent) = finished(&server, 1_000_000).await;
    let output = server.command(&["cat", "1"]).output().expect("it runs");
    assert_eq!(code(&output), (Some(0), String::new()));
    assert!(output.stdout == sent);
    let file = server.folder.path().join("copy");
    let output = server.command(&["cat", "1", "--output"]).arg(&file).output().expect("it runs");
    assert_eq!((code(&output), output.stdout.len()), ((Some(0), String::new()), 0));
    assert!(std::fs::read(&file).expect("written") == sent);
}

/// A line without an end is as long in a terminal as it is in a file.
#[tokio::test(flavor = "multi_thread")]
async fn a_line_of_a_megabyte_comes_whole_to_a_terminal() {
    const TERMINAL: &str = "import os, pty, sys; sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:])))";
    let server = Server::start(&[]);
    let client = server.client();
    let job = client.make_job().await;
    let sent: Vec<u8> =
        (0..1_000_000u32).map(|at| b'a' + u8::try_from(at % 23 + at / 1000 % 3).expect("small")).collect();
    client.append_all(&job, 0, &sent).await;
    assert_eq!(client.put_until_decided(&job, &ended("success", &sent, true)).await.status, 200);
    let cat = server.command(&["cat", "1"]);
    let mut terminal = std::process::Command::new("python3");
    terminal.args(["-c", TERMINAL]).arg(cat.get_program()).args(cat.get_args()).stdin(std::process::Stdio::null());
    let environment = cat.get_envs().filter_map(|(name, value)| Some((name, value?)));
    let output =
        terminal.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default()).envs(environment).output();
    let output = output.expect("python3 runs");
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert_eq!(output.stdout.len(), sent.len());
    assert!(output.stdout == sent);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_followed_log_comes_as_it_grows_and_ends_with_its_job() {
    let server = Server::start(&[]);
    let (client, sent) = (server.client(), log(700_000));
    let job = client.make_job().await;
    let file = server.folder.path().join("followed");
    let following = server
        .command(&["cat", "1", "--follow"])
        .stdout(std::fs::File::create(&file).expect("made"))
        .spawn()
        .expect("it runs");
    let mut at = 0;
    for piece in sent.chunks(250_000) {
        client.append_all(&job, at, piece).await;
        at += piece.len();
        until("the piece", async || std::fs::metadata(&file).expect("made").len() == at as u64).await;
    }
    assert_eq!(client.put_until_decided(&job, &ended("success", &sent, true)).await.status, 200);
    let output = following.wait_with_output().expect("it ends");
    assert_eq!(code(&output), (Some(0), String::new()));
    assert!(std::fs::read(&file).expect("written") == sent);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_log_breaks_off_and_says_so() {
    let server = Server::start(&[("VERITAIL_LIVE_GRACE", "0s")]);
    let (job, _) = finished(&server, 400_000).await;
    let client = server.client();
    let released = |report: &serde_json::Value| {
        let copies = report["chunks"].as_array().expect("a list").iter().flat_map(|chunk| chunk["copies"].as_array());
        copies.flatten().all(|copy| copy["store"] == "object_store")
    };
    client.integrity_until(&job, "one copy each", released).await;
    let mut objects = files_below(&server.data_dir().join("objects"));
    objects.sort();
    // In the middle, and then where it begins: the server says that before a byte of it.
    for victim in [2, 0] {
        let victim = objects.get(victim).expect("a chunk");
        let bytes = std::fs::read(victim).expect("an object");
        std::fs::write(victim, flipped(&bytes)).expect("damaged");
        for more in [&[][..], &["--follow"]] {
            let output = server.command(&["cat", "1"]).args(more).output().expect("it runs");
            let (status, said) = code(&output);
            assert_eq!(status, Some(5), "{said}");
            assert!(said.contains("broke off") && said.contains("veritail inspect 1"), "{said}");
            assert!(output.stdout.len() < 400_000);
        }
    }
    let file = server.folder.path().join("copy");
    let output = server.command(&["cat", "1", "--output"]).arg(&file).output().expect("it runs");
    assert_eq!(code(&output).0, Some(5));
    assert!(!file.exists() && text(&output.stderr).contains("was not written"), "{}", text(&output.stderr));
    let output = server.command(&["cat", "1", "--unverified"]).output().expect("it runs");
    assert_eq!((output.status.code(), output.stdout.len()), (Some(0), 400_000));
}

/// An error of the server that says nothing about the bytes is no damage.
#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_cannot_be_read_is_an_error_and_no_damage() {
    let server = Server::start(&[]);
    finished(&server, 10_000).await;
    let database = format!("sqlite://{}", server.data_dir().join("veritail.db").display());
    let mut database = sqlx::SqliteConnection::connect(&database).await.expect("a database");
    // A bit that no checksum has.
    sqlx::raw_sql("UPDATE trace_chunks SET crc32 = crc32 + 4294967296").execute(&mut database).await.expect("changed");
    let output = server.command(&["cat", "1"]).output().expect("it runs");
    let (status, said) = code(&output);
    assert_eq!((status, output.stdout.len()), (Some(1), 0), "{said}");
    assert!(said.contains("answered 500") && !said.contains("broke off"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_is_not_there_is_said_to_be_so() {
    let server = Server::start(&[]);
    let (status, said) = code(&server.command(&["cat", "7"]).output().expect("it runs"));
    assert_eq!(status, Some(1), "{said}");
    assert!(said.contains("there is no job 7"), "{said}");
}

/// `head` has its lines and goes: nothing is wrong, and nothing is to be said. Following ends with it.
#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_wants_no_more_is_no_mistake() {
    let server = Server::start(&[]);
    let (client, sent) = (server.client(), log(1_000_000));
    let job = client.make_job().await;
    client.append_all(&job, 0, &sent).await;
    for more in [&[][..], &["--follow"]] {
        let mut command = server.command(&["cat", "1"]);
        let mut reading = command.args(more).spawn().expect("it runs");
        drop(reading.stdout.take());
        let ended = until_some("its end", async || reading.try_wait().expect("a child")).await;
        let mut said = String::new();
        std::io::Read::read_to_string(&mut reading.stderr.take().expect("piped"), &mut said).expect("text");
        assert_eq!((ended.code(), said.as_str()), (Some(1), ""), "{more:?}");
    }
}
