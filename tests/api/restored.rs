//! A database that was restored from an older backup while the live store and the objects went on.

use reqwest::Method;

use crate::support::postgres_server::{PostgresServer, TestDatabase};
use crate::support::server::{Binary, Client, Job, ended, log};

/// Sends what the server asks for, as a runner does, until the log is there; then ends the job and answers how that went.
async fn send_and_end(client: &Client, job: &Job, log: &[u8], mut start: usize) -> u16 {
    for _ in 0..200 {
        let end = log.len().min(start + 100_000);
        let answer = client.append(job, start, &log[start..end]).await;
        let (status, range) = answer.place();
        assert!(status == 202 || status == 416, "{status} {}", answer.text());
        start = range.strip_prefix("0-").and_then(|end| end.parse().ok()).expect("a position");
        if start < log.len() {
            continue;
        }
        let put = client.put_until_decided(job, &ended("success", log, true)).await;
        match put.state().0 {
            // Something is missing: the next append says what.
            412 => continue,
            status => return status,
        }
    }
    panic!("job {} does not come to an end", job.id);
}

#[tokio::test(flavor = "multi_thread")]
async fn after_an_older_database_is_restored_runners_are_asked_again_and_nothing_erased_is_read() {
    let server = PostgresServer::shared();
    let database = TestDatabase::new(&server).await;
    let url = database.url();
    let mut binary = Binary::start(&[("VERITAIL_DATABASE_URL", &url)]);
    let log = log(500_000);
    let (running, erased) = (binary.client().make_job().await, binary.client().make_job().await);
    binary.client().append_all(&running, 0, &log[..150_000]).await;
    binary.client().append_all(&erased, 0, &log).await;
    assert_eq!(binary.client().put_until_decided(&erased, &ended("success", &log, true)).await.state().0, 200);
    binary.kill();
    let backup = TestDatabase::copy(&server, database.name()).await;
    binary.restart();

    // What the backup does not know: more of a log, an erasure, and a job.
    binary.client().append_all(&running, 150_000, &log[150_000..420_000]).await;
    let path = format!("/api/v4/projects/group%2Fdemo/jobs/{}/erase", erased.id);
    assert!(binary.client().admin(Method::POST, &path).send().await.expect("answered").status().is_success());
    let unknown = binary.client().make_job().await;
    binary.client().append_all(&unknown, 0, &log[..300_000]).await;
    binary.kill();
    server.execute("postgres", format!("DROP DATABASE {} WITH (FORCE)", database.name())).await;
    server.execute("postgres", format!("ALTER DATABASE {} RENAME TO {}", backup.name(), database.name())).await;
    binary.restart();
    let client = binary.client();

    assert_eq!(send_and_end(client, &running, &log, 420_000).await, 200, "{}", binary.log());
    assert_eq!(client.trace(&running).await, log);

    let answer = client.trace_request(&erased).send().await.expect("answered");
    let whole = answer.status().is_success() && answer.bytes().await.is_ok_and(|bytes| !bytes.is_empty());
    assert!(!whole, "an erased log is read again");

    let stranger = client.append(&unknown, 300_000, &log[300_000..]).await;
    assert!(matches!(stranger.place().0, 401 | 403 | 404), "{}", stranger.text());
    // The next job has the number of one that the live store knows.
    let next = client.make_job().await;
    let other: Vec<u8> = log.iter().rev().copied().collect();
    assert_eq!(next.id, unknown.id);
    assert!(client.trace(&next).await.is_empty(), "a new job has the log of another");
    assert_eq!(client.append(&next, 0, &other[..1000]).await.place(), (202, "0-1000"));
    assert_eq!(send_and_end(client, &next, &other, 1000).await, 200, "{}", binary.log());
    assert_eq!(client.trace(&next).await, other);
}
