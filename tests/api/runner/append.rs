//! `PATCH /api/v4/jobs/:id/trace`, row by row.

use serde_json::json;

use crate::support::server::{Binary, Client, Job, Send as _, ended, log};

/// What a refusal of a wrong offset says.
const WRONG_OFFSET: &str = r#"{"error":"416 Range Not Satisfiable"}"#;

async fn patch(client: &Client, job: &Job, range: &str, body: &[u8]) -> crate::support::server::Answer {
    client.patch(job).header("Content-Range", range).body(body.to_vec()).answer().await
}

#[tokio::test]
async fn append_at_the_write_position_answers_202_and_where_the_log_goes_on() {
    let server = Binary::start(&[]);
    let client = server.client();
    let job = client.make_job().await;
    let first = client.append(&job, 0, b"one ").await;
    assert_eq!((first.place(), first.state()), ((202, "0-4"), (202, "running")));
    assert_eq!((first.interval(), first.text()), ("60", r#"{"message":"202 Accepted"}"#));
    let second = client.append(&job, 4, b"two").await;
    assert_eq!((second.place(), second.state(), second.interval()), ((202, "0-7"), (202, "running"), "60"));
    assert_eq!(client.trace(&job).await, "one two");
    server.assert_untroubled().await;
}

#[tokio::test]
async fn append_of_no_bytes_at_the_end_answers_202_and_stores_nothing() {
    let server = Binary::start(&[]);
    let client = server.client();
    let job = client.make_job().await;
    // Some clients compute the end of an empty first patch as -1.
    for range in ["0-0", "0--1", "0-"] {
        let expected = if range == "0-" { (400, "") } else { (202, "0-0") };
        assert_eq!(patch(client, &job, range, b"").await.place(), expected, "{range}");
    }
    client.append_all(&job, 0, b"abc").await;
    let empty = patch(client, &job, "3-3", b"").await;
    assert_eq!((empty.place(), empty.state()), ((202, "0-3"), (202, "running")));
    assert_eq!(patch(client, &job, "2-2", b"").await.place(), (416, "0-3"));
    assert_eq!(patch(client, &job, "4-4", b"").await.place(), (416, "0-3"));
    assert_eq!(client.trace(&job).await, "abc");
    server.assert_untroubled().await;
}

#[tokio::test]
async fn append_at_wrong_offset_answers_416_and_stores_nothing() {
    let server = Binary::start(&[]);
    let client = server.client();
    let job = client.make_job().await;
    let early = client.append(&job, 5, b"early").await;
    assert_eq!((early.place(), early.interval(), early.text()), ((416, "0-0"), "1", WRONG_OFFSET));
    client.append_all(&job, 0, b"0123456789").await;
    for (start, body) in [(0, "0123456789"), (0, "other"), (9, "x"), (11, "x"), (1_000_000, "x")] {
        let refused = client.append(&job, start, body.as_bytes()).await;
        assert_eq!(
            (refused.place(), refused.interval(), refused.text()),
            ((416, "0-10"), "1", WRONG_OFFSET),
            "{start}"
        );
    }
    assert_eq!(client.trace(&job).await, "0123456789");
    assert_eq!(client.integrity(&job).await["mismatches"], json!([]));
    server.assert_untroubled().await;
}

#[tokio::test]
async fn content_range_is_read_in_every_spelling_that_clients_send() {
    let server = Binary::start(&[]);
    let client = server.client();
    let job = client.make_job().await;
    let mut expected = String::new();
    // The start is the write position in each; "{e}" is the exclusive end, "{i}" the inclusive one.
    for spelling in [
        "{s}-{i}",
        "{s}-{e}",
        "{s}-4",
        "{s}-{i}/{e}",
        "{s}-{e}/{e}",
        "{s}-{i}/*",
        "{s}-15",
        "{s}-0",
        "{s}--1",
        "bytes {s}-{i}",
        "bytes {s}-{i}/{e}",
        "bytes {s}-{i}/*",
        "bytes={s}-{e}",
        "BYTES {s}-{i}",
        "  {s}-{e}  ",
        "000{s}-{e}",
        "{s}-99999999999999999999999999",
    ] {
        let (start, end) = (expected.len(), expected.len() + 4);
        let range = spelling.replace("{s}", &start.to_string()).replace("{e}", &end.to_string());
        let range = range.replace("{i}", &(end - 1).to_string());
        let answer = patch(client, &job, &range, b"abc\n").await;
        assert_eq!(answer.place(), (202, format!("0-{end}").as_str()), "{range}");
        expected.push_str("abc\n");
    }
    assert_eq!(client.trace(&job).await, expected);
    server.assert_untroubled().await;
}

#[tokio::test]
async fn content_range_missing_or_unreadable_answers_400_and_stores_nothing() {
    let server = Binary::start(&[]);
    let client = server.client();
    let job = client.make_job().await;
    let missing = client.patch(&job).body("x").answer().await;
    assert_eq!((missing.status, missing.header("Range")), (400, ""));
    for range in
        ["", "-", "0", "0-", "-5", "a-b", "0-x", "0x0-1", "1e0-2", "+0-1", "0-1/x", "0-1/2/3", "bytes", "items 0-1"]
    {
        let answer = patch(client, &job, range, b"x").await;
        assert_eq!(answer.status, 400, "{range:?}");
        assert!(answer.json()["message"].as_str().expect("a message").contains("Content-Range"), "{range:?}");
    }
    assert_eq!(client.trace(&job).await, "");
    server.assert_untroubled().await;
}

#[tokio::test]
async fn content_type_and_unknown_parameters_do_not_matter() {
    let server = Binary::start(&[]);
    let client = server.client();
    let job = client.make_job().await;
    let path = format!("/api/v4/jobs/{}/trace", job.id);
    for (at, (query, content_type)) in
        [("", None), ("?debug_trace=false", Some("text/plain")), ("?debug_trace=true&x=%ff", Some("application/json"))]
            .into_iter()
            .enumerate()
    {
        let mut request = client.request(reqwest::Method::PATCH, &format!("{path}{query}"));
        request = request.header("JOB-TOKEN", &job.token).header("Content-Range", format!("{at}-{at}")).body("x");
        if let Some(content_type) = content_type {
            request = request.header("Content-Type", content_type);
        }
        assert_eq!(request.answer().await.status, 202, "{query} {content_type:?}");
    }
    assert_eq!(client.trace(&job).await, "xxx");
    server.assert_untroubled().await;
}

#[tokio::test]
async fn bodies_have_no_limit_of_their_own_and_may_split_a_character() {
    let server = Binary::start(&[]);
    let client = server.client();
    let job = client.make_job().await;
    let mut bytes = log(5 * 1024 * 1024);
    bytes.extend("ü".as_bytes());
    let (first, second) = bytes.split_at(bytes.len() - 1);
    client.append_all(&job, 0, first).await;
    client.append_all(&job, first.len(), second).await;
    assert!(client.trace(&job).await == bytes, "the log is as sent");
    server.assert_untroubled().await;
}

#[tokio::test]
async fn append_after_the_job_ended_answers_403_and_its_status() {
    let server = Binary::start(&[]);
    let client = server.client();
    for state in ["success", "failed"] {
        let job = client.make_job().await;
        client.append_all(&job, 0, b"log").await;
        assert_eq!(client.put_until_decided(&job, &ended(state, b"log", true)).await.state(), (200, state));
        for start in [0, 3, 10] {
            let late = client.append(&job, start, b"late").await;
            assert_eq!((late.state(), late.header("Range")), ((403, state), ""), "{start}");
        }
        assert_eq!(client.trace(&job).await, "log");
    }
    let job = client.make_job().await;
    client.cancel(&job).await;
    let put = client.put_until_decided(&job, &ended("failed", b"", true)).await;
    assert_eq!(put.header("Job-Status"), "canceled");
    assert_eq!(client.append(&job, 0, b"late").await.state(), (403, "canceled"));
    server.assert_untroubled().await;
}

#[tokio::test]
async fn append_to_a_job_that_no_runner_requested_answers_403() {
    let server = Binary::start(&[]);
    let client = server.client();
    let job = client.make_job_of(json!({"payload": {}})).await;
    assert_eq!(client.append(&job, 0, b"x").await.status, 403);
    assert_eq!(client.trace(&job).await, "");
    server.assert_untroubled().await;
}

#[tokio::test]
async fn append_while_canceling_answers_202_and_the_last_lines_count() {
    let server = Binary::start(&[]);
    let client = server.client();
    let job = client.make_job().await;
    client.append_all(&job, 0, b"one ").await;
    assert_eq!(client.cancel(&job).await.json()["status"], "canceling");
    let last = client.append(&job, 4, b"after_script").await;
    assert_eq!((last.state(), last.place()), ((202, "canceling"), (202, "0-16")));
    assert_eq!(client.trace(&job).await, "one after_script");
    let done = client.put_until_decided(&job, &ended("failed", b"one after_script", true)).await;
    assert_eq!(done.header("Job-Status"), "canceled");
    assert_eq!(client.integrity(&job).await["verdict"], "verified");
    server.assert_untroubled().await;
}

#[tokio::test]
async fn append_over_the_limit_answers_403_stores_nothing_and_fails_the_job() {
    let server = Binary::start(&[("VERITAIL_TRACE_LIMIT", "1000")]);
    let client = server.client();
    let job = client.make_job().await;
    client.append_all(&job, 0, &[b'a'; 999]).await;
    // Up to the limit is allowed, and the limit is looked at before the offset.
    client.append_all(&job, 999, b"b").await;
    let over = client.append(&job, 5000, b"x").await;
    assert_eq!((over.state(), over.header("Range")), ((403, "failed"), ""));
    let late = client.append(&job, 1000, b"x").await;
    assert_eq!(late.state(), (403, "failed"));
    let trace = client.trace(&job).await;
    assert_eq!((trace.len(), trace[999]), (1000, b'b'));
    let report = client.integrity_until(&job, "a verdict", |report| report["verdict"] != "pending").await;
    assert_eq!((&report["verdict"], &report["size"]), (&json!("unclaimed"), &json!(1000)));

    let whole = client.make_job().await;
    let over = client.append(&whole, 0, &[b'a'; 1001]).await;
    assert_eq!(over.state(), (403, "failed"), "one body over the limit");
    assert_eq!(client.trace(&whole).await, "");
    server.assert_untroubled().await;
}

#[tokio::test]
async fn no_limit_means_none() {
    let server = Binary::start(&[("VERITAIL_TRACE_LIMIT", "0")]);
    let client = server.client();
    let job = client.make_job().await;
    let far = client.append_request(&job, 0, b"x").header("X", "y");
    assert_eq!(far.answer().await.status, 202);
    for start in ["18446744073709551615-1", "18446744073709551614-0", "9223372036854775807-9"] {
        assert_eq!(patch(client, &job, start, b"abc").await.place(), (416, "0-1"), "{start}");
    }
    assert_eq!(client.trace(&job).await, "x");
    server.assert_untroubled().await;
}

#[tokio::test]
async fn the_interval_follows_readers_and_arrears() {
    let server = Binary::start(&[]);
    let client = server.client();
    let job = client.make_job().await;
    assert_eq!(client.append(&job, 0, b"a").await.interval(), "60");
    assert_eq!(client.trace(&job).await, "a");
    assert_eq!(client.append(&job, 1, b"b").await.interval(), "3", "somebody reads");

    let job = client.make_job().await;
    let full = log(1024 * 1024);
    assert_eq!(client.append(&job, 0, &full[..full.len() - 1]).await.interval(), "60");
    assert_eq!(client.append(&job, full.len() - 1, &full).await.interval(), "1", "a full patch: more is waiting");

    let job = client.make_job().await;
    client.append_all(&job, 0, b"0123").await;
    assert_eq!(client.append(&job, 8, b"89").await.place(), (416, "0-4"));
    assert_eq!(client.append(&job, 4, b"45").await.interval(), "1", "it is still behind");
    assert_eq!(client.append(&job, 6, b"67").await.interval(), "60", "it has made up");
    server.assert_untroubled().await;
}
