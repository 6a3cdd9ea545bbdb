//! Hostile and broken requests: a clear answer each, nothing stored that is not said to be, no panic, no 5xx.

use std::net::SocketAddr;
use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::postgres_server::{PostgresServer, TestDatabase};
use crate::support::server::{Binary, Client, Job, Send as _, ended, log};

/// How long a raw answer may take.
const ANSWER_MAX: Duration = Duration::from_secs(20);

async fn connect(address: SocketAddr) -> TcpStream {
    TcpStream::connect(address).await.expect("connected")
}

/// All that comes until the server closes or has sent a whole answer without a body left to wait for.
async fn read_answer(connection: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    let reading = async {
        let mut buffer = [0; 4096];
        loop {
            match connection.read(&mut buffer).await {
                Ok(0) | Err(_) => return,
                Ok(size) => answer.extend_from_slice(&buffer[..size]),
            }
            let text = String::from_utf8_lossy(&answer).to_lowercase();
            let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            if length.and_then(|length| length.trim().parse().ok()).is_some_and(|length: usize| body.len() >= length) {
                return;
            }
        }
    };
    tokio::time::timeout(ANSWER_MAX, reading).await.expect("answered in time");
    String::from_utf8_lossy(&answer).into_owned()
}

/// The status of the answer to exactly these bytes; 0 where the server only closes.
async fn raw(client: &Client, bytes: &[u8]) -> (u16, String) {
    let mut connection = connect(client.address()).await;
    connection.write_all(bytes).await.expect("sent");
    let answer = read_answer(&mut connection).await;
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    (status, answer)
}

fn patch_head(job: &Job, fields: &str) -> Vec<u8> {
    let head = format!("PATCH /api/v4/jobs/{}/trace HTTP/1.1\r\nHost: x\r\nJOB-TOKEN: {}\r\n", job.id, job.token);
    format!("{head}{fields}\r\n").into_bytes()
}

#[tokio::test]
async fn hostile_content_ranges_are_400_or_416_or_over_the_limit() {
    let server = Binary::start(&[("VERITAIL_TRACE_LIMIT", "0")]);
    let client = server.client();
    let job = client.make_job().await;
    client.append_all(&job, 0, b"kept").await;
    for (range, status) in [
        ("18446744073709551615-18446744073709551616", 416),
        ("18446744073709551612-18446744073709551615", 416),
        ("18446744073709551616-18446744073709551617", 400),
        ("99999999999999999999999999999999-1", 400),
        ("-1-5", 400),
        ("--5", 400),
        ("4-\t5", 400),
        ("4 - 5", 400),
        ("bytes 4", 400),
        ("bytes */4", 400),
        ("bytesx4-5", 400),
        ("4-5,6-7", 400),
        ("4-5;6", 400),
        ("0x4-0x5", 400),
        ("4.0-5.0", 400),
        ("NaN-inf", 400),
        ("4-5/-1", 400),
        (&"9".repeat(8000), 400),
        (&format!("{}-5", "0".repeat(8000)), 416),
    ] {
        let answer = client.patch(&job).header("Content-Range", range).body("x").answer().await;
        assert_eq!(answer.status, status, "{:.60}", range);
        if status == 416 {
            assert_eq!(answer.header("Range"), "0-4");
        }
    }
    assert_eq!(client.trace(&job).await, "kept");
    let limited = Binary::start(&[]);
    let job = limited.client().make_job().await;
    let answer = limited.client().patch(&job).header("Content-Range", "18446744073709551615-1").body("xy");
    assert_eq!(
        answer.answer().await.state(),
        (403, "failed"),
        "start and length over the limit, not wrapped around it"
    );
    limited.assert_untroubled().await;
    server.assert_untroubled().await;
}

#[tokio::test]
async fn bytes_are_bytes() {
    let server = Binary::start(&[]);
    let client = server.client();
    let job = client.make_job().await;
    let all: Vec<u8> = (0..=255).cycle().take(1000).collect();
    let mut expected = Vec::new();
    for body in [&b"\0\0\0"[..], b"\xff\xfe\x80", b"\xc3", b"\xa9", b"\r\n\r\n", b"\x1b[0Ksection_end", &all] {
        client.append_all(&job, expected.len(), body).await;
        expected.extend_from_slice(body);
    }
    assert_eq!(client.trace(&job).await, expected);
    assert_eq!(client.put_until_decided(&job, &ended("success", &expected, true)).await.status, 200);
    assert_eq!(client.trace(&job).await, expected);
    server.assert_untroubled().await;
}

#[tokio::test]
async fn header_values_that_are_not_ascii_are_refused_clearly() {
    let server = Binary::start(&[]);
    let client = server.client();
    let job = client.make_job().await;
    let raw_field = |field: &[u8]| {
        let mut bytes = patch_head(&job, "Content-Length: 1\r\nConnection: close");
        bytes.truncate(bytes.len() - 2);
        [&bytes, &b"\r\n"[..], field, b"\r\n\r\nx"].concat()
    };
    for (field, status) in [
        (&b"Content-Range: 0-\xff"[..], 400),
        (b"Content-Range: \xc3\xa9-1", 400),
        (b"Content-Range: 0-1\0", 400),
        (b"Content-Range: 0-1\r\nX-Request-Id: \xff\xfe", 202),
        (b"JOB-TOKEN: \xff\r\nContent-Range: 1-1", 202),
    ] {
        let (seen, answer) = raw(client, &raw_field(field)).await;
        assert_eq!(seen, status, "{}: {answer}", String::from_utf8_lossy(field));
    }
    let path = format!("/api/v4/jobs/{}/trace", job.id);
    let odd = format!("PATCH {path} HTTP/1.1\r\nHost: x\r\nJOB-TOKEN: \u{e9}\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(raw(client, odd.as_bytes()).await.0, 403);
    let odd =
        format!("GET /api/v4/projects/1/jobs/{}/trace HTTP/1.1\r\nHost: x\r\nPRIVATE-TOKEN: \u{e9}\r\n\r\n", job.id);
    assert_eq!(raw(client, odd.as_bytes()).await.0, 401);
    server.assert_untroubled().await;
}

#[tokio::test]
async fn requests_that_are_no_http_end_their_connection_and_nothing_else() {
    let server = Binary::start(&[]);
    let client = server.client();
    let job = client.make_job().await;
    for bytes in [
        &b"\0\0\0\0\r\n\r\n"[..],
        b"GET\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"PATCH / HTTP/9.9\r\n\r\n",
    ] {
        let (status, _) = raw(client, &[bytes, b"\r\n\r\n"].concat()).await;
        assert!(status == 0 || status == 400, "{bytes:?}: {status}");
    }
    for fields in
        ["Content-Length: -1", "Content-Length: 99999999999999999999999", "Content-Length: 1\r\nContent-Length: 2"]
    {
        let (status, answer) = raw(client, &patch_head(&job, &format!("Content-Range: 0-1\r\n{fields}\r\n"))).await;
        assert_eq!(status, 400, "{fields}: {answer}");
    }
    client.append_all(&job, 0, b"goes on").await;
    server.assert_untroubled().await;
}

#[tokio::test]
async fn a_body_that_stalls_is_408_and_says_what_is_stored() {
    let server = Binary::start(&[("VERITAIL_HTTP_BODY_TIMEOUT", "300ms")]);
    let client = server.client();
    let job = client.make_job().await;
    let body = log(140_000);
    let mut connection = connect(client.address()).await;
    let head = patch_head(&job, "Content-Range: 0-199999\r\nContent-Length: 200000\r\n");
    connection.write_all(&[head, body.clone()].concat()).await.expect("sent");
    let answer = read_answer(&mut connection).await.to_lowercase();
    assert!(answer.starts_with("http/1.1 408"), "{answer}");
    assert!(answer.contains("\r\nrange: 0-131072\r\n") && answer.contains("\r\nconnection: close\r\n"), "{answer}");
    assert!(client.trace(&job).await == body[..131_072]);
    assert_eq!(client.append(&job, 0, &body).await.place(), (416, "0-131072"));

    let mut connection = connect(client.address()).await;
    let head = format!("PUT /api/v4/jobs/{} HTTP/1.1\r\nHost: x\r\nContent-Length: 50\r\n\r\n{{", job.id);
    connection.write_all(head.as_bytes()).await.expect("sent");
    assert!(read_answer(&mut connection).await.starts_with("HTTP/1.1 408"));
    assert_eq!(client.integrity(&job).await["verdict"], "pending");
    server.assert_untroubled().await;
}

/// Slow but never silent for long: it is taken.
#[tokio::test]
async fn a_slow_body_is_taken() {
    let server = Binary::start(&[("VERITAIL_HTTP_BODY_TIMEOUT", "1s")]);
    let client = server.client();
    let job = client.make_job().await;
    let mut connection = connect(client.address()).await;
    let head = patch_head(&job, "Content-Range: 0-7\r\nContent-Length: 8\r\n");
    connection.write_all(&head).await.expect("sent");
    for byte in b"slowpoke" {
        tokio::time::sleep(Duration::from_millis(200)).await;
        connection.write_all(&[*byte]).await.expect("sent");
    }
    let answer = read_answer(&mut connection).await;
    assert!(answer.starts_with("HTTP/1.1 202"), "{answer}");
    assert_eq!(client.trace(&job).await, "slowpoke");
    server.assert_untroubled().await;
}

#[tokio::test]
async fn of_a_body_that_breaks_off_the_whole_slices_are_kept_and_reported() {
    let server = Binary::start(&[]);
    let client = server.client();
    let job = client.make_job().await;
    let body = log(300_000);
    let mut connection = connect(client.address()).await;
    let head = patch_head(&job, "Content-Range: 0-399999\r\nContent-Length: 400000\r\n");
    connection.write_all(&[head, body.clone()].concat()).await.expect("sent");
    drop(connection);
    let report = client.integrity_until(&job, "the slices", |report| report["size"] == 262_144).await;
    assert_eq!(report["mismatches"], json!([]));
    assert!(client.trace(&job).await == body[..262_144]);
    // What the runner is told next is where it goes on.
    assert_eq!(client.append(&job, 0, &body).await.place(), (416, "0-262144"));
    client.append_all(&job, 262_144, &body[262_144..]).await;
    assert_eq!(client.put_until_decided(&job, &ended("success", &body, true)).await.status, 200);

    // Before a whole slice came, nothing is stored.
    let job = client.make_job().await;
    let mut connection = connect(client.address()).await;
    let head = patch_head(&job, "Content-Range: 0-9\r\nContent-Length: 10\r\n");
    connection.write_all(&[head, b"half ".to_vec()].concat()).await.expect("sent");
    drop(connection);
    assert_eq!(client.append(&job, 5, b"x").await.place(), (416, "0-0"));
    server.assert_untroubled().await;
}

#[tokio::test]
async fn bytes_beyond_the_content_length_are_not_part_of_the_log() {
    let server = Binary::start(&[]);
    let client = server.client();
    let job = client.make_job().await;
    let head = patch_head(&job, "Content-Range: 0-3\r\nContent-Length: 4\r\n");
    let (status, answer) = raw(client, &[head, b"abcdefgh".to_vec()].concat()).await;
    assert_eq!(status, 202, "{answer}");
    assert_eq!(client.trace(&job).await, "abcd");
    server.assert_untroubled().await;
}

#[tokio::test]
async fn a_chunked_body_over_the_limit_fails_the_job_and_keeps_a_prefix_that_is_proven() {
    let server = Binary::start(&[("VERITAIL_TRACE_LIMIT", "200000")]);
    let client = server.client();
    let job = client.make_job().await;
    let body = log(500_000);
    let pieces: Vec<_> = body.chunks(50_000).map(|piece| Ok::<_, std::io::Error>(piece.to_vec())).collect();
    let stream = reqwest::Body::wrap_stream(futures::stream::iter(pieces));
    let answer = client.patch(&job).header("Content-Range", "0-1").body(stream).answer().await;
    assert_eq!(answer.state(), (403, "failed"));
    let report = client.integrity_until(&job, "a verdict", |report| report["verdict"] != "pending").await;
    assert_eq!(report["verdict"], "unclaimed", "{report:#}");
    let trace = client.trace(&job).await;
    assert!(trace.len() <= 200_000 && trace == body[..trace.len()]);
    assert_eq!(report["size"], trace.len());
    server.assert_untroubled().await;
}

#[tokio::test]
async fn puts_that_are_not_understood_are_400_and_change_nothing() {
    let server = Binary::start(&[]);
    // A body that is not read to its end ends its connection: a new one for each request.
    let client = &server.client().by_way_of(server.client().address());
    let job = client.make_job().await;
    client.append_all(&job, 0, b"log").await;
    let path = format!("/api/v4/jobs/{}", job.id);
    let deep = format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000));
    let deep_object = format!(r#"{{"state":"success","x":{deep}}}"#);
    let huge = format!(r#"{{"state":"success","failure_reason":"{}"}}"#, "x".repeat(1_049_000));
    for body in [
        "{",
        "[]",
        "null",
        "7",
        "\"running\"",
        "state=success",
        "{\"state\":\"success\"",
        "{\"state\":\"success\"}}",
        "{\"state\":\"\\ud800\"}",
        "\u{feff}{}",
        &deep,
        &deep_object,
        &huge,
    ] {
        let request = client.request(Method::PUT, &path).header("JOB-TOKEN", &job.token).body(body.to_owned());
        let answer = request.answer().await;
        assert_eq!(answer.status, 400, "{body:.60}");
        assert!(answer.json()["message"].as_str().is_some_and(|text| text.starts_with("400")), "{body:.60}");
    }
    let request = client.request(Method::PUT, &path).header("JOB-TOKEN", &job.token);
    assert_eq!(request.body(b"{\"state\":\"success\xff\"}".to_vec()).answer().await.status, 400);
    assert_eq!(client.integrity(&job).await["verdict"], "pending");
    client.append_all(&job, 3, b" goes on").await;
    server.assert_untroubled().await;
}

#[tokio::test]
async fn odd_fields_of_a_final_put_count_as_absent() {
    let server = Binary::start(&[]);
    let client = server.client();
    for odd in [
        json!({"exit_code": "x", "failure_reason": 7}),
        json!({"exit_code": 1e300, "output": []}),
        json!({"exit_code": -9_223_372_036_854_775_808_i64, "output": {"checksum": 7, "bytesize": "x"}}),
        json!({"output": {"checksum": "crc32:zzzzzzzz", "bytesize": 3}}),
        json!({"output": {"checksum": "crc32:1ffffffff"}}),
        json!({"output": {"checksum": "crc32:-1"}, "info": []}),
        json!({"info": {"features": {"trace_reset": "yes"}}, "failure_reason": "\u{0}\u{1f4a5}".repeat(500)}),
    ] {
        let job = client.make_job().await;
        client.append_all(&job, 0, b"log").await;
        let mut body = odd.clone();
        body["state"] = "failed".into();
        assert_eq!(client.put(&job, &body).await.state(), (200, "failed"), "{odd}");
        let report = client.integrity_until(&job, "a verdict", |report| report["verdict"] != "pending").await;
        assert_eq!(report["verdict"], "unclaimed", "{odd}");
    }
    server.assert_untroubled().await;
}

/// A claim about more bytes than could ever be: the runner is asked, and without it the loss is written down.
#[tokio::test]
async fn absurd_claims_are_answered_and_do_no_harm() {
    let server = Binary::start(&[("VERITAIL_RESEND_ATTEMPTS", "0")]);
    let client = server.client();
    for size in [json!(i64::MAX), json!(u64::MAX), json!(-5), json!(1e18), json!("9223372036854775807")] {
        let job = client.make_job().await;
        client.append_all(&job, 0, b"abcd").await;
        let body = json!({"state": "success", "output": {"checksum": "crc32:ed82cd11", "bytesize": size},
            "info": {"features": {"trace_reset": true}}});
        assert_eq!(client.put_until_decided(&job, &body).await.state(), (200, "success"), "{size}");
        let report = client.integrity(&job).await;
        assert!(matches!(report["verdict"].as_str(), Some("corrupt" | "verified")), "{size}: {report:#}");
        assert_eq!((client.trace(&job).await, &report["size"]), ("abcd".into(), &json!(4)), "{size}");
    }
    assert_eq!(client.metric("veritail_panics_total", "").await, 0.0);
}

#[tokio::test]
async fn jobs_that_are_not_understood_are_400_problems() {
    let server = Binary::start(&[]);
    // A body that is not read to its end ends its connection: a new one for each request.
    let client = &server.client().by_way_of(server.client().address());
    let post = |body: Vec<u8>| client.admin(Method::POST, "/api/v1/jobs").body(body);
    let mut bodies: Vec<Vec<u8>> = ["", "{", "[]", "null", "{}", "\0"].map(|body| body.as_bytes().to_vec()).to_vec();
    bodies.push(b"{\"project\":\"\xff\",\"name\":\"x\"}".to_vec());
    for odd in [
        json!({"project": true, "name": "x"}),
        json!({"project": "group/demo", "name": []}),
        json!({"project": "group/demo", "name": ""}),
        json!({"project": "group/demo", "name": "x".repeat(5000)}),
        json!({"project": "../../etc", "name": "x"}),
        json!({"project": "group/\u{0}", "name": "x"}),
        json!({"project": "a/".repeat(5000), "name": "x"}),
        json!({"project": "group/demo", "name": "x", "trace_reset": "yes"}),
        json!({"project": "group/demo", "name": "x", "payload": "text"}),
        json!({"project": "group/demo", "name": "x", "unknown": 1}),
    ] {
        bodies.push(odd.to_string().into_bytes());
    }
    bodies.push(format!("{}{}", "[".repeat(50_000), "]".repeat(50_000)).into_bytes());
    for body in bodies {
        let shown = String::from_utf8_lossy(&body[..body.len().min(60)]).into_owned();
        let answer = post(body).answer().await;
        assert_eq!((answer.status, answer.header("Content-Type")), (400, "application/problem+json"), "{shown}");
        let problem: Value = answer.json();
        assert_eq!((&problem["status"], problem["detail"].is_string()), (&json!(400), true), "{shown}");
        assert!(answer.body.len() < 2000, "what was sent is not sent back: {shown}");
    }
    let huge = post(vec![b' '; 2 * 1024 * 1024 + 1]).answer().await;
    assert_eq!((huge.status, huge.header("Content-Type")), (413, "application/problem+json"), "{}", huge.text());
    server.assert_untroubled().await;
}

/// Without a token a stranger is asked for one, whatever the path says.
#[tokio::test]
async fn paths_that_are_not_text_are_answered_after_the_token_was_looked_at() {
    let server = Binary::start(&[]);
    let client = server.client();
    for (method, odd, unknown) in [
        (Method::PATCH, "/api/v4/jobs/%ff/trace", "/api/v4/jobs/999/trace"),
        (Method::GET, "/api/v4/projects/%ff/jobs/1/trace", "/api/v4/projects/9/jobs/999/trace"),
        (Method::POST, "/api/v4/projects/1/jobs/%ff/erase", "/api/v4/projects/1/jobs/999/erase"),
        (Method::GET, "/api/v1/jobs/%ff/integrity", "/api/v1/jobs/999/integrity"),
        (Method::POST, "/api/v1/jobs/%ff/cancel", "/api/v1/jobs/999/cancel"),
    ] {
        let answer = client.request(method.clone(), odd).answer().await;
        assert_eq!(answer.looks(), client.request(method, unknown).answer().await.looks(), "{odd}");
        assert!(matches!(answer.status, 401 | 403), "{odd}: {}", answer.status);
    }
    server.assert_untroubled().await;
}

/// Every way to refuse an append is counted under its own name.
#[tokio::test]
async fn refused_appends_are_counted_by_cause() {
    let server = Binary::start(&[("VERITAIL_HTTP_BODY_TIMEOUT", "300ms")]);
    let client = server.client();
    let job = client.make_job().await;
    assert_eq!(client.patch(&job).body("x").answer().await.status, 400);
    assert_eq!(client.append(&job, 7, b"x").await.status, 416);
    let wrong = client.request(Method::PATCH, &format!("/api/v4/jobs/{}/trace", job.id)).body("x");
    assert_eq!(wrong.answer().await.status, 403);
    let mut connection = connect(client.address()).await;
    let head = patch_head(&job, "Content-Range: 0-9\r\nContent-Length: 10\r\n");
    connection.write_all(&[head, b"half".to_vec()].concat()).await.expect("sent");
    assert!(read_answer(&mut connection).await.starts_with("HTTP/1.1 408"));
    for reason in ["malformed", "range", "forbidden", "broken_off"] {
        let seen = client.metric("veritail_append_rejected_total", &format!("reason=\"{reason}\"")).await;
        assert_eq!(seen, 1.0, "{reason}");
    }
    assert_eq!(client.metric("veritail_append_rejected_total", "").await, 4.0);
    server.assert_untroubled().await;
}

#[tokio::test]
async fn the_sizes_of_bodies_are_recorded_by_route() {
    let server = Binary::start(&[]);
    let client = server.client();
    let job = client.make_job().await;
    client.append_all(&job, 0, b"abcd").await;
    assert_eq!(client.put_until_decided(&job, &ended("success", b"abcd", true)).await.status, 200);
    assert_eq!(client.trace(&job).await, "abcd");
    for (route, bodies) in [("append", 1.0), ("finalize", 1.0), ("other", 1.0), ("read", 0.0)] {
        let label = format!("route=\"{route}\"");
        assert_eq!(client.metric("veritail_http_request_size_bytes_count", &label).await, bodies, "{route}");
    }
    assert_eq!(client.metric("veritail_http_request_size_bytes_sum", "route=\"append\"").await, 4.0);
    assert!(
        client.metric("veritail_http_request_size_bytes_sum", "route=\"other\"").await > 20.0,
        "the job that was made"
    );
    server.assert_untroubled().await;
}

/// What a client sends may be anything, a secret in the wrong place too.
#[tokio::test]
async fn an_unreadable_checksum_is_logged_with_its_job_and_without_its_text() {
    let server = Binary::start(&[]);
    let client = server.client();
    let job = client.make_job().await;
    let body = json!({"state": "success", "output": {"checksum": "glpat-not-for-a-log"}});
    assert_eq!(client.put_until_decided(&job, &body).await.status, 200);
    let log = server.log();
    let line = log.lines().find(|line| line.contains("checksum cannot be read")).unwrap_or_else(|| panic!("{log}"));
    assert!(line.contains(&format!("job_id={}", job.id)) && line.contains("length=19"), "{line}");
    assert!(!log.contains("glpat"), "{log}");
    server.assert_untroubled().await;
}

#[tokio::test]
async fn paths_and_methods_that_lead_nowhere_are_told_so() {
    let server = Binary::start(&[]);
    let client = server.client();
    for (method, path, status) in [
        (Method::GET, "/", 404),
        (Method::GET, "/api/v4/nothing", 404),
        (Method::GET, "/api/v1/nothing", 404),
        (Method::POST, "/api/v4/jobs/1/trace", 405),
        (Method::DELETE, "/api/v4/jobs/1", 405),
        (Method::GET, "/api/v1/jobs", 405),
        (Method::PATCH, "/api/v4/jobs//trace", 403),
        (Method::GET, "/api/v4", 404),
        (Method::GET, "/api/v1", 404),
        (Method::PATCH, "/api/v4/jobs/%ff/trace", 403),
        (Method::PUT, "/api/v4/jobs/%ff", 403),
        (Method::GET, "/api/v1/jobs/%ff/integrity", 404),
        (Method::POST, "/api/v1/jobs/%ff/cancel", 404),
        (Method::GET, "/api/v4/projects/%ff/jobs/1/trace", 404),
        (Method::GET, "/api/v4/projects/1/jobs/%ff/trace", 404),
        (Method::POST, "/api/v4/projects/%ff/jobs/%ff/erase", 404),
        (Method::PATCH, "/api/v4/jobs/%2e%2e%2f/trace", 403),
        (Method::PATCH, "/api/v4/jobs/1%00/trace", 403),
        (Method::PUT, "/api/v4/jobs/+1", 403),
    ] {
        let shown = format!("{method} {path}");
        let put = method == Method::PUT;
        let mut request = client.admin(method, path);
        if put {
            request = request.json(&json!({"state": "running"}));
        }
        let answer = request.answer().await;
        assert_eq!(answer.status, status, "{shown}: {}", answer.text());
        // GitLab's manners below its path, problem documents elsewhere.
        let told = if path.starts_with("/api/v4") { "message" } else { "title" };
        assert!(answer.json()[told].is_string(), "{shown}: {}", answer.text());
    }
    let long = format!("/api/v4/jobs/{}/trace", "1".repeat(20_000));
    let answer = client.admin(Method::PATCH, &long).answer().await;
    assert!((400..500).contains(&answer.status), "{}", answer.status);
    server.assert_untroubled().await;
}

/// Neither database may see it: one would take it, the other break on it.
#[tokio::test(flavor = "multi_thread")]
async fn a_nul_in_a_text_is_refused_or_names_nothing_whatever_the_database() {
    let database = TestDatabase::new(&PostgresServer::shared()).await;
    let url = database.url();
    for variables in [&[][..], &[("VERITAIL_DATABASE_URL", url.as_str())]] {
        let server = Binary::start(variables);
        let client = server.client();
        let job = client.make_job().await;
        for (path, body) in [
            ("/api/v1/jobs", json!({"project": "group/demo", "name": "a\0b"})),
            ("/api/v1/jobs", json!({"project": "group/a\0b", "name": "rspec"})),
            ("/api/v1/tokens", json!({"name": "a\0b", "projects": "all"})),
            ("/api/v1/tokens", json!({"name": "ci", "projects": ["group/a\0b"]})),
            ("/api/v1/runners", json!({"description": "a\0b", "projects": "all"})),
            ("/api/v1/mismatches/1/resolve", json!({"comment": "a\0b"})),
        ] {
            let answer = client.admin(Method::POST, path).json(&body).answer().await;
            assert_eq!(answer.status, 400, "{path} {body}: {}", answer.text());
            let said = answer.json()["detail"].as_str().unwrap_or_default().to_owned();
            assert!(said.contains("NUL") || said.contains("group/a"), "{path} {body}: {said}");
        }
        for (method, path, status) in [
            (Method::GET, "/api/v4/projects?search=a%00b".to_owned(), 400),
            (Method::GET, "/api/v4/projects/group%2Fa%00b".to_owned(), 404),
            (Method::GET, "/api/v4/projects/group%2Fa%00b/jobs".to_owned(), 404),
            (Method::GET, format!("/api/v4/projects/%00/jobs/{}/trace", job.id), 404),
        ] {
            let answer = client.admin(method, &path).answer().await;
            assert_eq!(answer.status, status, "{path}: {}", answer.text());
        }
        // A payload is JSON, which is kept as it is; and an end is an end, whatever is said of its reason.
        let payload = json!({"variables": [{"value": "a\0b"}]});
        let body = json!({"project": "group/demo", "name": "rspec", "payload": payload});
        assert_eq!(client.admin(Method::POST, "/api/v1/jobs").json(&body).answer().await.status, 201);
        let put = client.put(&job, &json!({"state": "failed", "failure_reason": "a\0b"})).await;
        assert_eq!(put.state(), (200, "failed"), "{}", put.text());
        server.assert_untroubled().await;
    }
}
