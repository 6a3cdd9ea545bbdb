//! The service as a whole in one process: that the parts are wired to each other.

use std::time::Duration;

use reqwest::{Client, Method, RequestBuilder, Response, StatusCode};
use serde_json::{Value, json};
use veritail::app::{self, Running};
use veritail::config::Config;
use veritail::config::value::Secret;
use veritail::seams::real::SystemClock;
use veritail::seams::within;

use crate::support::postgres_server::{PostgresServer, TestDatabase};

/// A running service with an empty data folder.
struct Service {
    running: Running,
    client: Client,
    _folder: tempfile::TempDir,
}

/// A job as its creator got it.
struct Job {
    id: i64,
    token: String,
}

impl Service {
    async fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        Self::start_with(config(folder.path()), folder).await
    }

    async fn start_with(config: Config, folder: tempfile::TempDir) -> Self {
        let running = app::start(config).await.expect("started");
        Self { running, client: Client::new(), _folder: folder }
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("http://{}{path}", self.running.address))
    }

    fn admin(&self, method: Method, path: &str) -> RequestBuilder {
        self.request(method, path).header("PRIVATE-TOKEN", self.running.admin_token.reveal())
    }

    async fn make_job(&self) -> Job {
        let wanted = json!({"project": "group/demo", "name": "rspec", "trace_reset": true});
        let answer = self.admin(Method::POST, "/api/v1/jobs").json(&wanted).send().await.expect("answered");
        assert_eq!(answer.status(), 201);
        let made: Value = answer.json().await.expect("JSON");
        assert_eq!(made["status"], "running");
        let token = made["token"].as_str().expect("a token").to_owned();
        assert!(token.starts_with("vtj_"));
        Job { id: made["id"].as_i64().expect("a number"), token }
    }

    async fn append(&self, job: &Job, start: usize, bytes: &[u8]) -> Response {
        self.request(Method::PATCH, &format!("/api/v4/jobs/{}/trace", job.id))
            .header("job-token", &job.token)
            .header("Content-Range", format!("{start}-{}", start + bytes.len()))
            .body(bytes.to_vec())
            .send()
            .await
            .expect("answered")
    }

    async fn finish(&self, job: &Job, log: &[u8]) -> Response {
        let checksum = format!("crc32:{:08x}", crc32fast::hash(log));
        let put = json!({"token": job.token, "state": "success", "exit_code": 0,
            "output": {"checksum": checksum, "bytesize": log.len()}, "info": {"features": {"trace_reset": true}}});
        let path = format!("/api/v4/jobs/{}", job.id);
        // As gitlab-runner: asked again while the answer is 202.
        for _ in 0..20 {
            let answer = self.request(Method::PUT, &path).json(&put).send().await.expect("answered");
            if answer.status() != 202 {
                return answer;
            }
        }
        panic!("job {} is never proven", job.id);
    }

    fn trace(&self, job: &Job) -> RequestBuilder {
        self.admin(Method::GET, &format!("/api/v4/projects/group%2Fdemo/jobs/{}/trace", job.id))
    }
}

fn config(folder: &std::path::Path) -> Config {
    let mut config = Config { data_dir: folder.to_owned(), ..Config::default() };
    config.http.listen = "127.0.0.1:0".parse().expect("an address");
    config
}

fn header<'a>(answer: &'a Response, name: &str) -> &'a str {
    answer.headers().get(name).map_or("", |value| value.to_str().expect("text"))
}

fn log(size: usize) -> Vec<u8> {
    (0..size).map(|at| b"0123456789abcde\n"[at % 16] ^ u8::try_from(at / 131_072).expect("small")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_is_appended_proven_and_read_back() {
    let service = Service::start().await;
    let job = service.make_job().await;
    let log = log(300_000);

    let first = service.append(&job, 0, &log[..200_000]).await;
    assert_eq!((first.status().as_u16(), header(&first, "Range")), (202, "0-200000"));
    assert_eq!(header(&first, "Job-Status"), "running");
    let again = service.append(&job, 0, &log[..200_000]).await;
    assert_eq!((again.status().as_u16(), header(&again, "Range")), (416, "0-200000"));
    assert_eq!(again.text().await.expect("a body"), r#"{"error":"416 Range Not Satisfiable"}"#);
    assert_eq!(service.append(&job, 200_000, &log[200_000..]).await.status(), 202);
    let empty = service.append(&job, 300_000, b"").await;
    assert_eq!((empty.status().as_u16(), header(&empty, "Range")), (202, "0-300000"));

    let live = service.trace(&job).send().await.expect("answered");
    assert_eq!(header(&live, "Cache-Control"), "private, no-cache");
    assert_eq!(live.bytes().await.expect("a body"), log);

    let done = service.finish(&job, &log).await;
    assert_eq!((done.status().as_u16(), header(&done, "Job-Status")), (200, "success"));
    assert_eq!(service.finish(&job, &log).await.status(), 200, "a lost answer, retried");
    assert_eq!(service.finish(&job, b"other").await.status(), 403);
    let late = service.append(&job, 300_000, b"late").await;
    assert_eq!((late.status().as_u16(), header(&late, "Job-Status")), (403, "success"));

    let whole = service.trace(&job).send().await.expect("answered");
    assert_eq!(header(&whole, "Content-Length"), "300000");
    assert_eq!(header(&whole, "Accept-Ranges"), "bytes");
    let etag = header(&whole, "ETag").to_owned();
    assert_eq!(whole.bytes().await.expect("a body"), log);

    let part = service
        .trace(&job)
        .header("Range", "bytes=131070-131074")
        .header("If-Range", &etag)
        .send()
        .await
        .expect("answered");
    assert_eq!((part.status().as_u16(), header(&part, "Content-Range")), (206, "bytes 131070-131074/300000"));
    assert_eq!(part.bytes().await.expect("a body"), log[131_070..131_075]);
    let other =
        service.trace(&job).header("Range", "bytes=0-1").header("If-Range", "\"x\"").send().await.expect("answered");
    assert_eq!(other.status(), 200);
    let behind = service.trace(&job).header("Range", "bytes=300000-").send().await.expect("answered");
    assert_eq!((behind.status().as_u16(), header(&behind, "Content-Range")), (416, "bytes */300000"));
    let known = service.trace(&job).header("If-None-Match", &etag).send().await.expect("answered");
    assert_eq!(known.status(), 304);
    let path = format!("/api/v4/projects/group%2Fdemo/jobs/{}/trace", job.id);
    let head = service.admin(Method::HEAD, &path).send().await.expect("answered");
    assert_eq!((head.status().as_u16(), header(&head, "Content-Length")), (200, "300000"));

    let path = format!("/api/v1/jobs/{}/integrity", job.id);
    let report = service.request(Method::GET, &path).bearer_auth(&job.token).send().await.expect("answered");
    let report: Value = report.json().await.expect("JSON");
    assert_eq!((&report["verdict"], report["chunks"].as_array().map(Vec::len)), (&json!("verified"), Some(3)));
    assert!(service.running.stop().await, "everything settles");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_learns_nothing() {
    let service = Service::start().await;
    let job = service.make_job().await;
    let mut answers = Vec::new();
    for (id, token) in [(job.id, "wrong"), (999, "wrong"), (999, job.token.as_str()), (job.id, "")] {
        let stranger = Job { id, token: token.to_owned() };
        let answer = service.append(&stranger, 0, b"x").await;
        let mut headers: Vec<String> = answer.headers().keys().map(ToString::to_string).collect();
        headers.sort();
        answers.push((answer.status(), headers, answer.text().await.expect("a body")));
        let answer = service.finish(&stranger, b"").await;
        assert_eq!((answer.status().as_u16(), header(&answer, "Job-Status")), (403, ""));
    }
    assert_eq!(answers[0].0, StatusCode::FORBIDDEN);
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");

    let path = format!("/api/v4/projects/group%2Fdemo/jobs/{}/trace", job.id);
    let status = |request: RequestBuilder| async { request.send().await.expect("answered").status().as_u16() };
    assert_eq!(status(service.request(Method::GET, &path)).await, 401);
    assert_eq!(status(service.request(Method::GET, &path).bearer_auth("wrong")).await, 404);
    assert_eq!(status(service.request(Method::GET, &path).header("JOB-TOKEN", &job.token)).await, 200);
    assert_eq!(status(service.admin(Method::GET, &path.replace("group%2Fdemo", "other"))).await, 404);
    assert_eq!(status(service.admin(Method::GET, &path.replace("group%2Fdemo", "1"))).await, 200);
    let jobs = "/api/v1/jobs";
    assert_eq!(status(service.request(Method::POST, jobs)).await, 401);
    assert_eq!(status(service.request(Method::POST, jobs).bearer_auth(&job.token)).await, 403);
    let bad = service.admin(Method::POST, jobs).body("{").send().await.expect("answered");
    assert_eq!((bad.status().as_u16(), header(&bad, "Content-Type")), (400, "application/problem+json"));
    service.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_understood_is_400_and_stores_nothing() {
    let service = Service::start().await;
    let job = service.make_job().await;
    let path = format!("/api/v4/jobs/{}/trace?token={}", job.id, job.token);
    for range in [None, Some("nonsense")] {
        let mut request =
            service.request(Method::PATCH, &path).header("JOB-TOKEN", "wrong: the parameter wins").body("x");
        if let Some(range) = range {
            request = request.header("Content-Range", range);
        }
        assert_eq!(request.send().await.expect("answered").status(), 400, "{range:?}");
    }
    let path = format!("/api/v4/jobs/{}", job.id);
    for (body, status) in [("{", 400), (r#"{"state":"done"}"#, 400), (r#"{"state":"running"}"#, 200)] {
        let request = service.request(Method::PUT, &path).header("JOB-TOKEN", &job.token).body(body);
        assert_eq!(request.send().await.expect("answered").status(), status, "{body}");
    }
    assert_eq!(service.trace(&job).send().await.expect("answered").text().await.expect("a body"), "");
    service.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_reaches_the_runner_and_its_last_lines_count() {
    let service = Service::start().await;
    let job = service.make_job().await;
    assert_eq!(service.append(&job, 0, b"one ").await.status(), 202);
    let canceled =
        service.admin(Method::POST, &format!("/api/v1/jobs/{}/cancel", job.id)).send().await.expect("answered");
    assert_eq!(canceled.json::<Value>().await.expect("JSON")["status"], "canceling");
    let last = service.append(&job, 4, b"two").await;
    assert_eq!((last.status().as_u16(), header(&last, "Job-Status")), (202, "canceling"));
    assert_eq!(service.trace(&job).send().await.expect("answered").text().await.expect("a body"), "one two");
    service.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_process_tells_about_itself() {
    let service = Service::start().await;
    let asked = service
        .request(Method::GET, "/healthz?verbose")
        .header("X-Request-Id", "abc-1")
        .send()
        .await
        .expect("answered");
    assert_eq!(header(&asked, "X-Request-Id"), "abc-1");
    let health: Value = asked.json().await.expect("JSON");
    assert_eq!(health["dependencies"], json!({"embedded": "ok", "database": "ok", "object_store": "ok"}));

    let job = service.make_job().await;
    assert_eq!(service.append(&job, 0, b"bytes").await.status(), 202);
    let wanted = [
        r#"veritail_http_requests_total{route="append",method="PATCH",status="202"}"#,
        r#"veritail_dependency_requests_total{dependency="embedded",operation="append",result="ok"}"#,
        r#"veritail_dependency_up{dependency="database"} 1"#,
        r#"veritail_task_last_success_timestamp_seconds{task="gauges"}"#,
        "veritail_build_info{",
        "process_cpu_seconds_total",
    ];
    let mut page = String::new();
    for _ in 0..200 {
        page = service.request(Method::GET, "/metrics").send().await.expect("answered").text().await.expect("a body");
        if wanted.iter().all(|series| page.contains(series)) {
            break;
        }
    }
    for series in wanted {
        assert!(page.contains(series), "{series} is not in\n{page}");
    }
    assert!(!page.contains(" summary\n"), "{page}");

    assert_eq!(service.request(Method::GET, "/readyz").send().await.expect("answered").status(), 200);
    service.running.begin_draining();
    let ready = service.request(Method::GET, "/readyz").send().await.expect("answered");
    assert_eq!((ready.status().as_u16(), header(&ready, "Retry-After")), (503, "1"));
    service.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_is_there_after_a_restart() {
    let folder = tempfile::tempdir().expect("a folder");
    let running = app::start(config(folder.path())).await.expect("started");
    let service = Service { running, client: Client::new(), _folder: tempfile::tempdir().expect("a folder") };
    let job = service.make_job().await;
    assert_eq!(service.append(&job, 0, b"kept").await.status(), 202);
    let token = service.running.admin_token.clone();
    assert!(service.running.stop().await);

    let running = app::start(config(folder.path())).await.expect("the folder is free again");
    assert_eq!(running.admin_token, token);
    let service = Service { running, client: Client::new(), _folder: tempfile::tempdir().expect("a folder") };
    assert_eq!(service.append(&job, 4, b" on").await.status(), 202);
    assert_eq!(service.trace(&job).send().await.expect("answered").text().await.expect("a body"), "kept on");
    service.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_stalls_is_ended_and_what_came_whole_is_kept() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut config = config(folder.path());
    config.http.body_timeout = "200ms".parse().expect("a time");
    let running = app::start(config).await.expect("started");
    let service = Service { running, client: Client::new(), _folder: folder };
    let job = service.make_job().await;
    // One whole slice (a chunk), a part of the next, then silence.
    let body = log(140_000);
    let first = futures::stream::iter([Ok::<_, std::io::Error>(body.clone())]);
    let stalling = futures::StreamExt::chain(first, futures::stream::pending());
    let answer = service
        .request(Method::PATCH, &format!("/api/v4/jobs/{}/trace", job.id))
        .header("JOB-TOKEN", &job.token)
        .header("Content-Range", "0-200000")
        .body(reqwest::Body::wrap_stream(stalling))
        .send()
        .await
        .expect("answered");
    assert_eq!((answer.status().as_u16(), header(&answer, "Range")), (408, "0-131072"));
    let again = service.append(&job, 0, &body).await;
    assert_eq!((again.status().as_u16(), header(&again, "Range")), (416, "0-131072"));
    assert_eq!(service.append(&job, 131_072, &body[131_072..]).await.status(), 202);
    service.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_comes_only_after_a_full_patch_was_read() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    let service = Service::start().await;
    let body = vec![b'x'; 1024 * 1024];
    let head = format!("PATCH /api/v4/jobs/77/trace HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n", body.len());
    let mut connection = tokio::net::TcpStream::connect(service.running.address).await.expect("connected");
    connection.write_all(head.as_bytes()).await.expect("sent");
    let mut answer = [0; 12];
    let early = within(&SystemClock, Duration::from_millis(200), connection.peek(&mut answer)).await;
    assert!(early.is_none(), "answered before the body was read");
    connection.write_all(&body).await.expect("the body is taken to its end");
    connection.read_exact(&mut answer).await.expect("answered");
    assert_eq!(&answer, b"HTTP/1.1 403");
    drop(connection);
    service.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_is_appended_proven_and_erased_over_postgres() {
    let database = TestDatabase::empty(&PostgresServer::shared()).await;
    let folder = tempfile::tempdir().expect("a folder");
    let mut config = config(folder.path());
    config.database.url = Some(Secret::new(database.url()));
    let service = Service::start_with(config, folder).await;
    assert!(!service._folder.path().join("veritail.db").exists(), "no other database");
    let job = service.make_job().await;
    let log = log(300_000);
    assert_eq!(service.append(&job, 0, &log[..200_000]).await.status(), 202);
    assert_eq!(service.append(&job, 200_000, &log[200_000..]).await.status(), 202);
    assert_eq!(service.finish(&job, &log).await.status(), 200);
    assert_eq!(service.trace(&job).send().await.expect("answered").bytes().await.expect("a body"), log);
    let path = format!("/api/v4/projects/group%2Fdemo/jobs/{}/erase", job.id);
    assert!(service.admin(Method::POST, &path).send().await.expect("answered").status().is_success());
    assert!(!service.trace(&job).send().await.expect("answered").status().is_success());
    let ready = service.request(Method::GET, "/readyz").send().await.expect("answered");
    assert_eq!(ready.status(), 200);
    assert!(service.running.stop().await);
}

#[tokio::test]
async fn two_databases_are_one_too_many() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut config = config(folder.path());
    config.database.url = Some(Secret::new("postgres://veritail:s3cret@127.0.0.1:1/veritail"));
    config.database.path = Some(folder.path().join("veritail.db"));
    let message = app::start(config).await.err().expect("refused").to_string();
    assert!(message.contains("database.path") && message.contains("VERITAIL_DATABASE_URL"), "{message}");
    assert!(!message.contains("s3cret"), "{message}");
}
