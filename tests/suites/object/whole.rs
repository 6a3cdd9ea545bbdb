//! The real program over S3: a log goes in, is proven, comes out and is erased; and it does not start over a wrong store.

#![allow(clippy::disallowed_methods, reason = "the tests wait for real servers, each with a limit")]

use std::process::{Command, Stdio};
use std::time::Duration;

use futures::TryStreamExt as _;
use reqwest::Method;
use veritail::store::object::ObjectStore as _;
use veritail::store::object::bucket::Bucket;

use super::clouds::{name, open, options};
use crate::support::bad_network::{BadNetwork, Fault};
use crate::support::server::{Binary, Job, Send as _, ended, log};
use crate::support::weed::Weed;

/// Three chunks and a bit.
const SIZE: usize = 400_000;

fn start(url: &str, variables: &[(String, String)]) -> Binary {
    let mut all = vec![("VERITAIL_OBJECT_STORE_URL", url)];
    all.extend(variables.iter().map(|(name, value)| (name.as_str(), value.as_str())));
    // An answer that is lost is not waited for.
    all.extend([("VERITAIL_OBJECT_TIMEOUT", "2s"), ("VERITAIL_SWEEP_INTERVAL", "1s")]);
    Binary::start(&all)
}

async fn send(server: &Binary, log: &[u8]) -> Job {
    let job = server.client().make_job().await;
    for (index, part) in log.chunks(100_000).enumerate() {
        server.client().append_all(&job, index * 100_000, part).await;
    }
    let answer = server.client().put_until_decided(&job, &ended("success", log, true)).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    job
}

async fn keys(bucket: &Bucket) -> Vec<String> {
    let listed: Vec<_> = bucket.list("").try_collect().await.unwrap();
    listed.into_iter().map(|object| object.key).collect()
}

#[tokio::test]
async fn a_log_is_kept_in_s3_and_erased_from_it() {
    let (weed, name) = (Weed::shared(), name());
    weed.make_bucket(&name);
    let url = format!("s3://{name}/logs");
    let mut server = start(&url, &weed.variables());
    let log = log(SIZE);
    let job = send(&server, &log).await;
    assert_eq!(server.client().trace(&job).await, log);
    let bucket = open(&url, &weed.variables(), options()).unwrap();
    assert_eq!(keys(&bucket).await.len(), 4);
    server.restart();
    assert_eq!(server.client().trace(&job).await, log);

    let path = format!("/api/v4/projects/{}/jobs/{}/erase", job.project, job.id);
    let erased = server.client().admin(Method::POST, &path).answer().await;
    assert!((200..300).contains(&erased.status), "{}", erased.text());
    assert_eq!(keys(&bucket).await, [""; 0]);
    server.assert_untroubled().await;
}

/// The network is carried by another thread than waits for the server.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_is_proven_although_the_network_before_s3_is_bad() {
    let (weed, name) = (Weed::shared(), name());
    weed.make_bucket(&name);
    let network = BadNetwork::before(weed.port()).await;
    let mut variables = weed.variables();
    variables.retain(|(name, _)| name != "AWS_ENDPOINT_URL");
    variables.push(("AWS_ENDPOINT_URL".to_owned(), format!("http://127.0.0.1:{}", network.port())));
    let server = start(&format!("s3://{name}"), &variables);
    for fault in [Fault::LoseAnswer, Fault::CutRequest, Fault::Refuse(503), Fault::Deny(500)] {
        network.next("PUT", fault);
        network.next("GET", if fault == Fault::CutRequest { Fault::CutAnswer } else { fault });
    }
    let log = log(SIZE);
    let job = send(&server, &log).await;
    assert_eq!(server.client().trace(&job).await, log);
    assert_eq!(network.left(), 0);
}

/// What the program says when it does not start.
fn refused(variables: &[(&str, &str)], more: &[(String, String)], folder: &std::path::Path) -> String {
    let mut child = Command::new(env!("CARGO_BIN_EXE_veritail"))
        .args(["serve", "--listen", "127.0.0.1:0", "--data-dir"])
        .arg(folder)
        .env_clear()
        .env("VERITAIL_OBJECT_RETRY_FOR", "1s")
        .envs(variables.iter().copied())
        .envs(more.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    for _ in 0..600 {
        if child.try_wait().unwrap().is_some() {
            let said = child.wait_with_output().unwrap();
            assert!(!said.status.success());
            return String::from_utf8(said.stderr).unwrap();
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    panic!("it has started, or never ends");
}

#[test]
fn a_start_over_a_wrong_store_says_what_to_do() {
    let weed = Weed::shared();
    let folder = tempfile::tempdir().unwrap();
    let s3 = |url| [("VERITAIL_OBJECT_STORE_URL", url)];

    let said = refused(&s3("s3://not-there"), &weed.variables(), folder.path());
    assert!(said.contains("s3://not-there") && said.contains("the bucket is not there: make it"), "{said}");

    let mut encrypted = weed.variables();
    encrypted.retain(|(name, _)| name != "AWS_ALLOW_HTTP");
    let said = refused(&s3("s3://not-there"), &encrypted, folder.path());
    assert!(said.contains("AWS_ALLOW_HTTP=true"), "{said}");

    let said = refused(&s3("s3://key:hunter2@bucket"), &weed.variables(), folder.path());
    assert!(said.contains("s3://bucket/prefix") && !said.contains("hunter2"), "{said}");

    let both = [("VERITAIL_OBJECT_STORE_URL", "s3://a"), ("VERITAIL_OBJECT_PATH", "/nowhere/at/all")];
    let said = refused(&both, &weed.variables(), folder.path());
    assert!(said.contains("object.path and object.url are both set"), "{said}");
    for secret in ["veritail-secret", "Signature="] {
        assert!(!said.contains(secret), "{said}");
    }
}

/// The disk of the objects is not mounted when the machine comes up.
#[tokio::test]
async fn a_start_over_an_unmounted_folder_is_refused() {
    let mut server = Binary::start(&[]);
    let log = log(SIZE);
    let job = send(&server, &log).await;
    server.kill();
    server.take_objects_away();
    let said = refused(&[], &[], &server.data_dir());
    assert!(said.contains("not mounted") && said.contains("object.adopt"), "{said}");
    std::fs::remove_dir_all(server.data_dir().join("objects")).unwrap();
    server.bring_objects_back();
    server.restart();
    assert_eq!(server.client().trace(&job).await, log);
}
