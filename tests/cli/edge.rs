//! The server's edge: slow clients are cut off, connections are bounded, a proxy is believed where it is trusted.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::program::{PATIENCE, Server, rest};
use crate::support::server::Send as _;
use crate::support::wait::{until, until_blocking};

const READY: &[u8] = b"GET /readyz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";

/// It is over in good time: closed, with or without an answer.
fn is_cut(stream: &mut TcpStream, began: Instant) -> String {
    let said = rest(stream);
    assert!(began.elapsed() < PATIENCE, "it was not cut");
    said
}

#[test]
fn a_head_that_drips_is_cut_off_and_so_is_an_idle_connection() {
    let server = Server::start(&[("VERITAIL_HTTP_HEADER_TIMEOUT", "300ms")]);
    let began = Instant::now();
    let mut silent = server.connect();
    let mut idle = server.connect();
    idle.write_all(b"GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n").expect("sent");
    let mut dripping = server.connect();
    let mut gone = false;
    for byte in b"GET /readyz HTTP/1.1\r\nHost: x\r\nX-Long: ".iter().cycle().take(600) {
        gone = dripping.write_all(&[*byte]).is_err();
        if gone {
            break;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(gone, "a head that drips is read for ever");
    is_cut(&mut silent, began);
    assert!(is_cut(&mut idle, began).starts_with("HTTP/1.1 200"));
    assert_eq!(exchange(&server, READY).0, 200);
}

fn exchange(server: &Server, request: &[u8]) -> (u16, String) {
    let mut stream = server.connect();
    stream.write_all(request).expect("sent");
    let answer = rest(&mut stream);
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    (status, answer)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_drips_is_cut_off_with_what_came_kept() {
    let server = Server::start(&[
        ("VERITAIL_HTTP_BODY_TIMEOUT", "500ms"),
        ("VERITAIL_HTTP_BODY_GRACE", "500ms"),
        ("VERITAIL_HTTP_BODY_RATE", "1000"),
    ]);
    let job = server.client().make_job().await;
    let mut stream = server.connect();
    let head = format!(
        "PATCH /api/v4/jobs/{}/trace HTTP/1.1\r\nHost: x\r\nJOB-TOKEN: {}\r\nContent-Range: 0-9999\r\nContent-Length: 10000\r\n\r\n",
        job.id, job.token
    );
    stream.write_all(head.as_bytes()).expect("sent");
    // Faster than the time in which nothing may come, far slower than the rate.
    let (began, mut sent) = (Instant::now(), 0);
    while sent < 10_000 && stream.write_all(b"x").is_ok() && began.elapsed() < PATIENCE {
        sent += 1;
        std::thread::sleep(Duration::from_millis(50));
        let mut peeked = [0; 1];
        stream.set_nonblocking(true).expect("set");
        let answered = stream.peek(&mut peeked).is_ok();
        stream.set_nonblocking(false).expect("set");
        if answered {
            break;
        }
    }
    let answer = is_cut(&mut stream, began);
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    assert!(sent < 200, "{sent} bytes were waited for");
    // The same for a body that is read at once.
    let (began, mut stream) = (Instant::now(), server.connect());
    let head = "POST /api/v1/jobs HTTP/1.1\r\nHost: x\r\nPRIVATE-TOKEN: admin-token-of-the-tests\r\nContent-Length: 100\r\n\r\n{";
    stream.write_all(head.as_bytes()).expect("sent");
    let answer = is_cut(&mut stream, began);
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_nobody_takes_is_cut_off() {
    let server = Server::start(&[("VERITAIL_HTTP_BODY_TIMEOUT", "500ms")]);
    let client = server.client();
    let job = client.make_job().await;
    // More than the buffers between the two hold.
    for at in 0..32 {
        client.append_all(&job, at << 20, &vec![b'x'; 1 << 20]).await;
    }
    let mut stream = server.connect();
    let head = format!(
        "GET /api/v4/projects/{}/jobs/{}/trace HTTP/1.1\r\nHost: x\r\nJOB-TOKEN: {}\r\n\r\n",
        job.project, job.id, job.token
    );
    stream.write_all(head.as_bytes()).expect("sent");
    let mut first = [0; 12];
    stream.read_exact(&mut first).expect("an answer");
    assert_eq!(&first, b"HTTP/1.1 200");
    // Cut: only that of the one who asks is left.
    client.metric_until("veritail_http_connections", "", |connections| connections <= 1.0).await;
}

#[test]
fn a_head_that_is_too_long_is_refused() {
    let server = Server::start(&[("VERITAIL_HTTP_HEADER_LIMIT", "8192")]);
    let head = |size: usize| {
        format!("GET /readyz HTTP/1.1\r\nHost: x\r\nX-Long: {}\r\nConnection: close\r\n\r\n", "x".repeat(size))
    };
    assert_eq!(exchange(&server, head(4000).as_bytes()).0, 200);
    assert_eq!(exchange(&server, head(20_000).as_bytes()).0, 431);
}

#[test]
fn further_connections_wait_until_one_ends() {
    let server = Server::start(&[("VERITAIL_HTTP_MAX_CONNECTIONS", "2")]);
    let held: Vec<TcpStream> = (0..2).map(|_| server.connect()).collect();
    until_blocking("both are taken", || server.log().contains("all 2 connections are taken"));
    let mut third = server.connect();
    third.write_all(READY).expect("sent");
    third.set_read_timeout(Some(Duration::from_millis(300))).expect("set");
    assert!(third.read(&mut [0; 1]).is_err(), "it was answered beyond the bound");
    drop(held);
    third.set_read_timeout(Some(PATIENCE)).expect("set");
    assert!(rest(&mut third).starts_with("HTTP/1.1 200"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_client_behind_a_trusted_proxy_is_in_the_log() {
    for (trusted, seen) in [("127.0.0.0/8", "client=198.51.100.7"), ("10.0.0.0/8", "client=127.0.0.1")] {
        let server = Server::start(&[("VERITAIL_TRUSTED_PROXIES", trusted), ("VERITAIL_LOG", "veritail=debug")]);
        let request = server.client().request(reqwest::Method::GET, "/readyz");
        assert_eq!(request.header("X-Forwarded-For", "203.0.113.5, 198.51.100.7").answer().await.status, 200);
        until("the line", async || server.log().contains(seen)).await;
    }
}

/// A silent connection does not keep a server from stopping, and a request that has begun is answered.
#[test]
fn a_stopping_server_waits_for_requests_and_not_for_silence() {
    let mut server = Server::start(&[("VERITAIL_HTTP_DRAIN_DELAY", "0s")]);
    let _silent = server.connect();
    let mut begun = server.connect();
    begun.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n").expect("sent");
    // It has been taken once another that came later is answered.
    assert_eq!(exchange(&server, READY).0, 200);
    let began = Instant::now();
    server.signal("TERM");
    until_blocking("it takes no more", || TcpStream::connect(server.address()).is_err());
    begun.write_all(b"\r\n").expect("sent");
    assert!(rest(&mut begun).starts_with("HTTP/1.1 200"));
    assert_eq!(server.ends(), Some(0));
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    assert!(server.log().contains("everything settled"), "{}", server.log());
}
