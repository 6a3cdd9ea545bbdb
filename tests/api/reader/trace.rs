//! `GET /api/v4/projects/:id/jobs/:job_id/trace`, row by row.

use std::time::Duration;

use reqwest::Method;

use crate::support::server::{Binary, Client, Job, Send as _, ended, flipped, log};
use crate::support::wait;

async fn finished(client: &Client, log: &[u8]) -> Job {
    let job = client.make_job().await;
    client.append_all(&job, 0, log).await;
    assert_eq!(client.put_until_decided(&job, &ended("success", log, true)).await.status, 200);
    job
}

#[tokio::test]
async fn a_trace_is_200_and_text_from_the_first_moment_to_the_last() {
    let server = Binary::start(&[]);
    let client = server.client();
    let job = client.make_job().await;
    let empty = client.trace_request(&job).answer().await;
    assert_eq!((empty.status, empty.header("Content-Type")), (200, "text/plain; charset=utf-8"));
    assert_eq!((empty.header("Content-Length"), empty.text()), ("0", ""));
    let log = log(150_000);
    client.append_all(&job, 0, &log).await;
    let live = client.trace_request(&job).answer().await;
    assert_eq!((live.header("Cache-Control"), live.header("Accept-Ranges")), ("private, no-cache", "bytes"));
    assert!(live.body == log);
    assert_eq!(client.put_until_decided(&job, &ended("success", &log, true)).await.status, 200);
    let whole = client.trace_request(&job).answer().await;
    assert_eq!((whole.header("Content-Length"), whole.header("Cache-Control")), ("150000", "private, max-age=300"));
    assert!(whole.body == log);
    server.assert_untroubled().await;
}

#[tokio::test]
async fn a_project_is_named_by_number_or_by_path_and_parameters_are_ignored() {
    let server = Binary::start(&[]);
    let client = server.client();
    let job = finished(client, b"log").await;
    for (project, status) in [
        (job.project.to_string().as_str(), 200),
        ("group%2Fdemo", 200),
        ("group%2fdemo", 200),
        ("group%2Fother", 404),
        ("999", 404),
        ("-1", 404),
        ("%00", 404),
        ("%ff", 404),
        ("99999999999999999999999", 404),
    ] {
        let path = format!("/api/v4/projects/{project}/jobs/{}/trace", job.id);
        assert_eq!(client.admin(Method::GET, &path).answer().await.status, status, "{project}");
    }
    let path = format!("/api/v4/projects/{}/jobs/{}/trace?private=1&iterator=true&x=%ff", job.project, job.id);
    // python-gitlab says so although it sends no body.
    let answer = client.admin(Method::GET, &path).header("Content-Type", "application/json").answer().await;
    assert_eq!((answer.status, answer.text()), (200, "log"));
    server.assert_untroubled().await;
}

#[tokio::test]
async fn readers_come_with_any_of_three_headers() {
    let server = Binary::start(&[]);
    let client = server.client();
    let job = finished(client, b"log").await;
    let path = format!("/api/v4/projects/group%2Fdemo/jobs/{}/trace", job.id);
    for (name, value) in [
        ("PRIVATE-TOKEN", job.token.clone()),
        ("private-token", job.token.clone()),
        ("Authorization", format!("Bearer {}", job.token)),
        ("Authorization", format!("bearer {}", job.token)),
        ("JOB-TOKEN", job.token.clone()),
    ] {
        let answer = client.request(Method::GET, &path).header(name, &value).answer().await;
        assert_eq!((answer.status, answer.text()), (200, "log"), "{name}");
    }
    for (name, value) in [("X", "y"), ("Authorization", "Basic eDp5"), ("PRIVATE-TOKEN", "")] {
        let answer = client.request(Method::GET, &path).header(name, value).answer().await;
        assert_eq!((answer.status, answer.header("WWW-Authenticate")), (401, "Bearer"), "{name}");
        assert_eq!(answer.text(), r#"{"message":"401 Unauthorized"}"#);
    }
    let wrong = client.request(Method::GET, &path).bearer_auth("wrong").answer().await;
    assert_eq!((wrong.status, wrong.text()), (404, r#"{"message":"404 Not Found"}"#));
    server.assert_untroubled().await;
}

#[tokio::test]
async fn ranges_are_served_as_rfc_9110_has_them_live_and_finished() {
    let server = Binary::start(&[]);
    let client = server.client();
    let log = log(300_000);
    let live = client.make_job().await;
    client.append_all(&live, 0, &log).await;
    let done = finished(client, &log).await;
    for job in [&live, &done] {
        for (range, from, to) in [
            ("bytes=0-0", 0, 1),
            ("bytes=131071-131072", 131_071, 131_073),
            ("bytes=131072-262143", 131_072, 262_144),
            ("bytes=299999-", 299_999, 300_000),
            ("bytes=-1", 299_999, 300_000),
            ("bytes=-400000", 0, 300_000),
            ("bytes=5-99999999999999999999", 5, 300_000),
        ] {
            let part = client.trace_request(job).header("Range", range).answer().await;
            let content_range = format!("bytes {from}-{}/300000", to - 1);
            assert_eq!((part.status, part.header("Content-Range")), (206, content_range.as_str()), "{range}");
            assert_eq!(part.header("Content-Length"), (to - from).to_string());
            assert!(part.body == log[from..to], "{range}");
        }
        for range in ["bytes=300000-", "bytes=99999999999999999999-", "bytes=-0"] {
            let refused = client.trace_request(job).header("Range", range).answer().await;
            assert_eq!((refused.status, refused.header("Content-Range")), (416, "bytes */300000"), "{range}");
        }
        for range in ["bytes=5-4", "bytes=a-b", "lines=0-1", "bytes=0-1,5-6", "bytes=-", "0-5"] {
            let whole = client.trace_request(job).header("Range", range).answer().await;
            assert_eq!((whole.status, whole.body.len()), (200, 300_000), "{range}");
        }
    }
    server.assert_untroubled().await;
}

#[tokio::test]
async fn a_tag_names_the_bytes_and_changes_with_them() {
    let server = Binary::start(&[]);
    let client = server.client();
    let job = client.make_job().await;
    client.append_all(&job, 0, b"0123456789").await;
    let first = client.trace_request(&job).answer().await;
    let tag = first.header("ETag").to_owned();
    assert!(tag.starts_with('"') && tag.ends_with('"'), "{tag}");
    for known in [tag.clone(), format!("W/{tag}"), format!("\"x\", {tag}"), "*".to_owned()] {
        let same = client.trace_request(&job).header("If-None-Match", &known).answer().await;
        assert_eq!((same.status, same.header("ETag"), same.text()), (304, tag.as_str(), ""), "{known}");
    }
    let part = client.trace_request(&job).header("Range", "bytes=2-3").header("If-Range", &tag).answer().await;
    assert_eq!((part.status, part.text()), (206, "23"));
    client.append_all(&job, 10, b"more").await;
    let grown = client.trace_request(&job).header("If-None-Match", &tag).answer().await;
    assert_eq!((grown.status, grown.text()), (200, "0123456789more"));
    assert_ne!(grown.header("ETag"), tag);
    let stale = client.trace_request(&job).header("Range", "bytes=2-3").header("If-Range", &tag).answer().await;
    assert_eq!((stale.status, stale.text()), (200, "0123456789more"), "a part of another version would not fit");
    server.assert_untroubled().await;
}

#[tokio::test]
async fn head_says_what_get_would() {
    let server = Binary::start(&[]);
    let client = server.client();
    let job = finished(client, b"0123456789").await;
    let get = client.trace_request(&job).answer().await;
    let path = format!("/api/v4/projects/{}/jobs/{}/trace", job.project, job.id);
    let head = client.admin(Method::HEAD, &path).header("Range", "bytes=0-1").answer().await;
    assert_eq!((head.status, head.body.len()), (200, 0));
    for name in ["Content-Length", "Content-Type", "ETag", "Accept-Ranges", "Cache-Control"] {
        assert_eq!(head.header(name), get.header(name), "{name}");
    }
    server.assert_untroubled().await;
}

#[tokio::test]
async fn unverified_reads_are_not_cached_and_have_no_tag() {
    let server = Binary::start(&[]);
    let client = server.client();
    let job = finished(client, b"0123456789").await;
    let sure = client.trace_request(&job).answer().await;
    let path = format!("/api/v4/projects/{}/jobs/{}/trace?unverified=1", job.project, job.id);
    let bare = client.admin(Method::GET, &path).answer().await;
    assert_eq!((bare.status, bare.header("Cache-Control"), bare.text()), (200, "no-store", "0123456789"));
    assert!(sure.headers.contains_key("ETag") && !bare.headers.contains_key("ETag"));
    // What has no name cannot be gone on with, only be read again.
    let tag = sure.header("ETag");
    for (name, status) in [("If-None-Match", 200), ("If-Match", 412)] {
        assert_eq!(client.admin(Method::GET, &path).header(name, tag).answer().await.status, status, "{name}");
    }
    let again = client.admin(Method::GET, &path).header("Range", "bytes=2-3").header("If-Range", tag).answer().await;
    assert_eq!((again.status, again.text()), (200, "0123456789"));
    server.assert_untroubled().await;
}

#[tokio::test]
async fn conditions_are_held_as_rfc_9110_has_them() {
    let server = Binary::start(&[]);
    let client = server.client();
    let job = finished(client, b"0123456789").await;
    let tag = client.trace_request(&job).answer().await.header("ETag").to_owned();

    let two_lines = client.trace_request(&job).header("If-None-Match", "\"other\"").header("If-None-Match", &tag);
    let known = two_lines.answer().await;
    assert_eq!((known.status, known.header("ETag"), known.body.len()), (304, tag.as_str(), 0));
    assert_eq!(client.trace_request(&job).header("If-Match", &tag).answer().await.text(), "0123456789");
    let other = client.trace_request(&job).header("If-Match", "\"other\"").answer().await;
    assert_eq!((other.status, other.text()), (412, r#"{"message":"412 Precondition Failed"}"#));
    assert_eq!(other.header("Cache-Control"), "no-store");

    let part = || client.trace_request(&job).header("Range", "bytes=2-3");
    assert_eq!(part().header("If-Range", &tag).answer().await.text(), "23");
    let odd = reqwest::header::HeaderValue::from_bytes(b"\"\xff\"").expect("a value");
    let whole = part().header("If-Range", odd).answer().await;
    assert_eq!((whole.status, whole.text()), (200, "0123456789"), "what cannot be read is not this version");

    let beyond = client.trace_request(&job).header("Range", "bytes=10-").answer().await;
    assert_eq!((beyond.status, beyond.header("Content-Range")), (416, "bytes */10"));
    assert_eq!((beyond.header("Cache-Control"), beyond.header("ETag")), ("no-store", ""));
    server.assert_untroubled().await;
}

/// A file of the object store is changed on the disk: no reader gets its bytes, and the mismatch is written down.
#[tokio::test]
async fn a_damaged_object_breaks_the_connection_and_is_written_down() {
    let server = Binary::start(&[("VERITAIL_LIVE_GRACE", "0s")]);
    let client = server.client();
    let log = log(300_000);
    let job = finished(client, &log).await;
    let report = client.integrity(&job).await;
    let key = report["chunks"][1]["copies"][0]["key"].as_str().expect("a key");
    let file = server.data_dir().join("objects").join(key);
    let bytes = std::fs::read(&file).expect("the object");
    std::fs::write(&file, flipped(&bytes)).expect("written");
    for _ in 0..2 {
        assert!(client.trace_request(&job).try_answer().await.is_err(), "a log that looks complete");
    }
    assert_eq!(reads(client, "damaged").await, 2.0);
    // Where nothing was said yet, it is said.
    let there = client.trace_request(&job).header("Range", "bytes=131072-131073").answer().await;
    let why = "job 1, chunk 1: no copy is as it was recorded (checksum); unverified=1 shows what there is";
    assert_eq!(there.status, 500);
    let said = serde_json::json!({ "message": format!("500 Internal Server Error: {why}"), "error": "damaged" });
    assert_eq!(there.json(), said);
    assert_eq!((there.header("Cache-Control"), there.header("ETag")), ("no-store", ""));
    assert_eq!((reads(client, "damaged").await, reads(client, "500").await), (3.0, 0.0));
    let good = client.trace_request(&job).header("Range", "bytes=0-131071").answer().await;
    assert!(good.body == log[..131_072], "sound chunks are served");
    let path = format!("/api/v4/projects/{}/jobs/{}/trace?unverified=1", job.project, job.id);
    assert_eq!(client.admin(Method::GET, &path).answer().await.body.len(), 300_000, "all there is");
    let mismatches = client.integrity(&job).await["mismatches"].clone();
    assert_eq!(mismatches.as_array().map(Vec::len), Some(1), "counted once: {mismatches:#}");
    let found = &mismatches[0];
    assert_eq!((&found["kind"], &found["store"]), (&"checksum".into(), &"object_store".into()));
    assert_eq!(
        (&found["chunk_index"], &found["detector"], &found["state"]),
        (&1.into(), &"read".into(), &"open".into())
    );
    assert_eq!(client.metric("veritail_panics_total", "").await, 0.0);
}

/// A folder that lost its mark is one that is not mounted: what is missing in it cannot be had.
#[tokio::test]
async fn a_log_that_breaks_off_is_no_request_that_was_answered_well() {
    let server = Binary::start(&[("VERITAIL_LIVE_GRACE", "0s")]);
    let client = server.client();
    let log = log(300_000);
    let job = finished(client, &log).await;
    let report = client.integrity(&job).await;
    let objects = server.data_dir().join("objects");
    let away = [
        objects.join(".veritail-objects"),
        objects.join(report["chunks"][1]["copies"][0]["key"].as_str().expect("a key")),
    ];
    let moved = |file: &std::path::PathBuf| file.with_extension("away");
    away.iter().for_each(|file| std::fs::rename(file, moved(file)).expect("moved"));
    assert!(client.trace_request(&job).try_answer().await.is_err(), "a log that looks complete");
    assert_eq!((reads(client, "cut").await, reads(client, "200").await), (1.0, 0.0));
    // Where nothing was said yet, it is said.
    let later = client.trace_request(&job).header("Range", "bytes=131072-").answer().await;
    assert_eq!((later.status, later.text()), (503, r#"{"message":"503 Service Unavailable"}"#));
    assert!(later.header("Retry-After").parse::<u64>().is_ok_and(|seconds| seconds > 0), "{:?}", later.headers);
    assert_eq!(later.header("Cache-Control"), "no-store");
    assert_eq!((reads(client, "cut").await, reads(client, "503").await), (1.0, 1.0));
    away.iter().for_each(|file| std::fs::rename(moved(file), file).expect("moved back"));
    assert_eq!(client.trace(&job).await, log);
    let head = client.admin(Method::HEAD, &format!("/api/v4/projects/{}/jobs/{}/trace", job.project, job.id));
    assert_eq!(head.answer().await.status, 200);
    // A log counts when it has ended, which the server knows a moment after its reader.
    wait::until("both count", async || reads(client, "200").await >= 2.0).await;
    let ended = [reads(client, "200").await, reads(client, "cut").await, reads(client, "damaged").await];
    assert_eq!(ended, [2.0, 1.0, 0.0]);
}

/// An object that is a pipe hangs whoever opens it, as a store does that answers nothing.
#[tokio::test]
async fn a_reader_that_goes_away_before_the_first_byte_counts_as_one_whose_log_broke_off() {
    let server = Binary::start(&[("VERITAIL_LIVE_GRACE", "0s")]);
    let client = server.client();
    let job = finished(client, b"0123456789").await;
    let key = client.integrity(&job).await["chunks"][0]["copies"][0]["key"].as_str().expect("a key").to_owned();
    let object = server.data_dir().join("objects").join(key);
    std::fs::remove_file(&object).expect("it is there");
    assert!(std::process::Command::new("mkfifo").arg(&object).status().expect("it runs").success());
    let impatient = client.trace_request(&job).timeout(Duration::from_millis(300));
    assert!(impatient.try_answer().await.is_err());
    wait::until("it counts", async || reads(client, "cut").await >= 1.0).await;
    assert_eq!((reads(client, "cut").await, reads(client, "200").await), (1.0, 0.0));
    assert_eq!(client.metric("veritail_http_requests_in_flight", "route=\"read\"").await, 0.0);
}

/// How many reads were answered so.
async fn reads(client: &Client, status: &str) -> f64 {
    let of = |method: &str| format!("route=\"read\",method=\"{method}\",status=\"{status}\"");
    let (gets, heads) = (of("GET"), of("HEAD"));
    const NAME: &str = "veritail_http_requests_total";
    client.metric(NAME, &gets).await + client.metric(NAME, &heads).await
}
