//! The program as somebody types it: what it says when something is wrong, how it ends, and who may see what it keeps.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use crate::support::server::{Binary, Send as _, ended, log};

/// The program with these arguments, in an environment of its own.
fn veritail(arguments: &[&str]) -> Command {
    let mut program = Command::new(env!("CARGO_BIN_EXE_veritail"));
    program.args(arguments).env_clear().stdin(Stdio::null());
    program
}

fn run(arguments: &[&str]) -> Output {
    veritail(arguments).output().expect("run")
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn code(output: &Output) -> i32 {
    output.status.code().expect("it ended by itself")
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).expect("there").permissions().mode() & 0o777
}

#[test]
fn errors_of_the_start_name_what_where_and_what_to_do() {
    let place = tempfile::tempdir().expect("a folder");
    let file = place.path().join("file");
    std::fs::write(&file, "").expect("written");
    let (data, below_a_file) = (place.path().join("data"), file.join("data"));
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let taken = taken.local_addr().expect("an address").to_string();
    let data = data.to_str().expect("text");
    let below_a_file = below_a_file.to_str().expect("text");
    let refused = "redis://:s3cret@127.0.0.1:1/0";
    let no_database = "postgres://veritail:s3cret@127.0.0.1:1/veritail";
    // Arguments, variables, and what the message has to say.
    type Case<'a> = (&'a [&'a str], &'a [(&'a str, &'a str)], &'a [&'a str]);
    let cases: &[Case<'_>] = &[
        (&["--listen", &taken, "--data-dir", data], &[], &[&taken, "--listen"]),
        (&["--data-dir", below_a_file], &[], &[below_a_file, "--data-dir"]),
        (&["--data-dir", data], &[("VERITAIL_REDIS_URL", "localhost:6379")], &["VERITAIL_REDIS_URL", "URL"]),
        (&["--data-dir", data], &[("VERITAIL_REDIS_URL", refused)], &["VERITAIL_REDIS_URL", "127.0.0.1:1"]),
        (
            &["--data-dir", data],
            &[("VERITAIL_DATABASE_URL", "mysql://a:s3cret@b/c")],
            &["VERITAIL_DATABASE_URL", "postgres://"],
        ),
        (&["--data-dir", data], &[("VERITAIL_DATABASE_URL", no_database)], &["VERITAIL_DATABASE_URL", "refused"]),
        (&["--data-dir", data], &[("VERITAIL_DATABASE_PATH", below_a_file)], &[below_a_file, "database.path"]),
        (&["--data-dir", data], &[("VERITAIL_OBJECT_PATH", below_a_file)], &[below_a_file]),
    ];
    for (arguments, variables, words) in cases {
        let arguments: Vec<&str> = ["serve"].iter().chain(*arguments).copied().collect();
        let mut command = veritail(&arguments);
        // What the log says before is not the message.
        command.env("VERITAIL_LISTEN", "127.0.0.1:0").env("VERITAIL_LOG", "error").envs(variables.iter().copied());
        let output = command.output().expect("run");
        let error = said(&output);
        assert_eq!((code(&output), error.lines().count()), (1, 1), "{error}");
        for word in *words {
            assert!(error.contains(word), "{error:?} does not say {word:?}");
        }
        assert!(!error.contains("s3cret"), "{error}");
    }
    let odd = run(&["serve", "--listen", "localhost:8080"]);
    let error = said(&odd);
    assert_eq!(code(&odd), 2);
    assert!(
        error.contains("localhost:8080") && error.contains("--listen") && error.contains("127.0.0.1:8080"),
        "{error}"
    );
}

#[test]
fn a_second_server_on_the_same_folder_is_told_so() {
    let server = Binary::start(&[]);
    let folder = server.data_dir();
    let folder = folder.to_str().expect("text");
    let second = run(&["serve", "--listen", "127.0.0.1:0", "--data-dir", folder]);
    let error = said(&second);
    assert_eq!(code(&second), 1, "{error}");
    assert!(
        error.contains("another veritail serve") && error.contains(folder) && error.contains("--data-dir"),
        "{error}"
    );
}

#[tokio::test]
async fn inspect_ends_with_what_it_found() {
    let server = Binary::start(&[("VERITAIL_LIVE_GRACE", "0s")]);
    let client = server.client();
    let url = format!("http://{}", client.address());
    let inspect = |job: &str| run(&["inspect", job, "--url", &url, "--token", "admin-token-of-the-tests"]);

    let job = client.make_job().await;
    let number = job.id.to_string();
    let log = log(200_000);
    client.append_all(&job, 0, &log).await;
    assert_eq!(code(&inspect(&number)), 0, "pending");
    assert_eq!(client.put_until_decided(&job, &ended("success", &log, true)).await.status, 200);
    let sound = inspect(&number);
    let page = String::from_utf8(sound.stdout.clone()).expect("text");
    assert_eq!((code(&sound), said(&sound).as_str()), (0, ""));
    assert!(page.contains("verified") && !page.contains("traces/"), "{page}");
    assert!(page.lines().all(|line| line.len() <= 100), "{page}");

    let report = client.integrity(&job).await;
    let key = report["chunks"][1]["copies"][0]["key"].as_str().expect("a key").to_owned();
    std::fs::write(server.data_dir().join("objects").join(&key), "rot").expect("written");
    assert!(client.trace_request(&job).try_answer().await.is_err());
    let damaged = inspect(&number);
    let page = String::from_utf8(damaged.stdout.clone()).expect("text");
    assert_eq!(code(&damaged), 1, "{page}");
    assert!(page.contains(&key) && page.contains("open"), "the damaged object is named: {page}");
    let json = run(&["inspect", &number, "--json", "--url", &url, "--token", "admin-token-of-the-tests"]);
    assert_eq!(code(&json), 1);

    let unknown = inspect("999");
    assert_eq!((code(&unknown), said(&unknown).contains("job 999")), (2, true), "{}", said(&unknown));
    for (argument, word) in [("0", "1.."), ("-1", "1.."), ("x", "JOB")] {
        let odd = inspect(argument);
        assert_eq!((code(&odd), said(&odd).contains(word)), (2, true), "{}", said(&odd));
    }
}

#[test]
fn inspect_says_what_is_wrong_with_where_it_was_to_look() {
    for (url, word) in [
        ("localhost:8080", "http://127.0.0.1:8080"),
        ("127.0.0.1:1", "--url"),
        ("http://127.0.0.1:1", "veritail serve"),
    ] {
        let output = run(&["inspect", "1", "--token", "x", "--url", url]);
        assert_eq!((code(&output), said(&output).contains(word)), (2, true), "{}", said(&output));
        assert!(said(&output).contains(url), "{}", said(&output));
    }
    let away = said(&run(&["inspect", "1", "--token", "x", "--url", "http://127.0.0.1:1"]));
    assert!(away.contains("Connection refused") && !away.contains("/api/"), "the cause, and no address twice: {away}");
    let no_certificate =
        ["inspect", "1", "--token", "x", "--url", "https://127.0.0.1:1", "--ca-certificate", "Cargo.toml"];
    let no_certificate = run(&no_certificate);
    assert!(said(&no_certificate).contains("Cargo.toml: there is no certificate"), "{}", said(&no_certificate));
    let no_token = run(&["inspect", "1", "--data-dir", "/nowhere"]);
    assert!(code(&no_token) == 2 && said(&no_token).contains("--token"), "{}", said(&no_token));
    let help = run(&["inspect", "--help"]);
    assert!(String::from_utf8_lossy(&help.stdout).contains("could not be looked at"));
}

#[tokio::test]
async fn what_is_kept_is_for_the_user_of_the_server_alone() {
    let mut server = Binary::start(&[]);
    let job = server.client().make_job().await;
    server.client().append_all(&job, 0, b"secret").await;
    let data = server.data_dir();
    assert_eq!(mode(&data), 0o700);
    for name in ["live", "objects"] {
        assert_eq!(mode(&data.join(name)), 0o700, "{name}");
    }
    for name in ["veritail.db", "veritail.db-wal", "veritail.db-shm"] {
        assert_eq!(mode(&data.join(name)), 0o600, "{name}");
    }
    // Left open by somebody: what is Veritail's own is closed again, the folder itself is theirs.
    for name in [".", "live", "objects", "veritail.db"] {
        std::fs::set_permissions(data.join(name), std::fs::Permissions::from_mode(0o755)).expect("opened");
    }
    server.restart();
    assert_eq!(
        [".", "live", "objects", "veritail.db"].map(|name| mode(&data.join(name))),
        [0o755, 0o700, 0o700, 0o600]
    );
    assert_eq!(server.client().trace(&job).await, "secret");
}

#[tokio::test]
async fn the_log_says_first_what_runs_where() {
    let server = Binary::start(&[("VERITAIL_LOG", "debug")]);
    let client = server.client();
    let job = client.make_job().await;
    client.append_all(&job, 0, b"log").await;
    let log = server.log();
    let started: Vec<&str> = log.lines().filter(|line| line.contains("veritail::cli::serve: started")).collect();
    let [started] = started.as_slice() else { panic!("{log}") };
    for part in [
        format!("version=\"{}\"", env!("CARGO_PKG_VERSION")),
        "revision=".to_owned(),
        format!("address={}", client.address()),
        "live_store=embedded".to_owned(),
        format!("data_dir={}", server.data_dir().display()),
    ] {
        assert!(started.contains(&part), "{part} is not in {started}");
    }
    assert!(log.contains("answered status=202"), "debug is about Veritail: {log}");
    assert!(!log.contains("sqlx"), "and not about its libraries: {log}");
}

/// What a message says is said once, and without Rust's own notation.
#[tokio::test]
async fn a_mismatch_is_logged_in_words() {
    let server = Binary::start(&[("VERITAIL_LIVE_GRACE", "0s"), ("VERITAIL_NODE_NAME", "node-7")]);
    let client = server.client();
    let job = client.make_job().await;
    client.append_all(&job, 0, b"abcd").await;
    assert_eq!(client.put_until_decided(&job, &ended("success", b"abcd", true)).await.status, 200);
    let report = client.integrity(&job).await;
    let key = report["chunks"][0]["copies"][0]["key"].as_str().expect("a key").to_owned();
    std::fs::write(server.data_dir().join("objects").join(key), "rot").expect("written");
    assert_eq!(client.trace_request(&job).answer().await.status, 500);
    let log = server.log();
    let line = log.lines().find(|line| line.contains("ERROR")).unwrap_or_else(|| panic!("{log}"));
    assert!(line.contains("expected=4 bytes, crc32 ed82cd11, sha256 "), "{line}");
    assert!(line.contains("found=3 bytes as stored, sha256 "), "{line}");
    for part in ["mismatch_id=1 ", "job_id=1 ", "chunk=0 ", "epoch=1 ", "detector=read ", "node=\"node-7\""] {
        assert!(line.contains(part), "{part} is not in {line}");
    }
    assert!(!log.contains("Some(") && !log.contains("Found {"), "{log}");
    let told = log.lines().find(|line| line.contains("could not be read")).unwrap_or_else(|| panic!("{log}"));
    let error = told.split("error=").nth(1).expect("a field");
    assert_eq!(told.matches(error).count(), 1, "{told}");
}

/// Somebody who may only read is told what is missing, and not that the job is another's.
#[tokio::test]
async fn a_reader_is_told_what_its_token_may_not_do() {
    let server = Binary::start(&[]);
    let url = format!("http://{}", server.client().address());
    let admin = ["--url", &url, "--token", "admin-token-of-the-tests"];
    let made = run(&[&["token", "create", "--all-projects", "reader"][..], &admin].concat());
    let token = String::from_utf8_lossy(&made.stdout).trim().to_owned();
    assert!(token.starts_with("vtr_"), "{}", said(&made));
    let spool = tempfile::tempdir().expect("a folder");
    let spool = spool.path().to_str().expect("text");
    for (arguments, wanted) in [
        (&["project", "list"][..], "this needs the admin token"),
        (&["send", "--project", "a/b", "--name", "x", "--spool-dir", spool], "this token may not make jobs"),
    ] {
        let output = run(&[arguments, &["--url", &url, "--token", &token]].concat());
        assert!(said(&output).contains(wanted) && said(&output).contains("--token"), "{}", said(&output));
    }
}
