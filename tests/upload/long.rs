//! A long log in small patches, in memory that does not grow with it.
//!
//! `VERITAIL_TEST_LOG_MIB=100` sends the longest log that the default limit takes, and more is possible; without it a part
//! of that, which is quick enough for every run.

use futures::StreamExt as _;

use crate::support::redis_server::{Durability, RedisServer};
use crate::support::server::{Binary, ended, log};

const MIB: usize = 1024 * 1024;
/// What a runner sends when little comes at a time.
const PATCH: usize = 4096;
/// MiB sent when nothing else is asked for.
const DEFAULT_MIB: usize = 24;
/// After this much the memory is looked at first: everything that is made once is made by then.
const WARM: usize = 10 * MIB;
/// What it may grow by from then on: buffers and caches of fixed size that are not full yet at first.
const GROWTH_MAX_KIB: u64 = 64 * 1024;
/// How long the log may be is the test's affair.
const NO_LIMIT: (&str, &str) = ("VERITAIL_TRACE_LIMIT", "0");

#[tokio::test(flavor = "multi_thread")]
async fn a_long_log_in_small_patches_comes_back_from_the_embedded_stores() {
    sends_a_long_log(&Binary::start(&[NO_LIMIT]), "embedded").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_log_in_small_patches_comes_back_from_redis() {
    let redis = RedisServer::start(Durability::Nothing);
    sends_a_long_log(&Binary::start(&[NO_LIMIT, ("VERITAIL_REDIS_URL", &redis.url())]), "redis").await;
}

async fn sends_a_long_log(server: &Binary, live: &str) {
    let mib = std::env::var("VERITAIL_TEST_LOG_MIB").ok().and_then(|mib| mib.parse().ok()).unwrap_or(DEFAULT_MIB);
    let log = log(mib * MIB);
    let client = server.client();
    let job = client.make_job().await;
    let began = std::time::Instant::now();
    let mut warm = 0;
    let mut most = 0;
    let mut seen = Vec::new();
    for (at, patch) in log.chunks(PATCH).enumerate() {
        let answer = client.append(&job, at * PATCH, patch).await;
        assert_eq!(answer.place(), (202, format!("0-{}", at * PATCH + patch.len()).as_str()), "{}", server.log());
        let sent = at * PATCH + patch.len();
        if sent == WARM {
            warm = server.rss_kib();
        }
        if sent.is_multiple_of(10 * MIB) {
            seen.push(server.rss_kib() / 1024);
        }
        if sent.is_multiple_of(MIB) && sent > WARM {
            most = most.max(server.rss_kib());
        }
    }
    let appended = began.elapsed();
    assert_eq!(client.put_until_decided(&job, &ended("success", &log, true)).await.state(), (200, "success"));
    let proven = began.elapsed();
    let after = server.rss_kib();

    let response = client.trace_request(&job).send().await.expect("answered");
    let mut stream = response.bytes_stream();
    let (mut read, mut next, mut while_read) = (0, MIB, 0);
    while let Some(piece) = stream.next().await {
        let piece = piece.expect("the whole log");
        assert!(log[read..].starts_with(&piece), "other bytes at {read}");
        read += piece.len();
        if read >= next {
            while_read = while_read.max(server.rss_kib());
            next += MIB;
        }
    }
    let done = began.elapsed();
    assert_eq!(read, log.len());
    let report = client.integrity(&job).await;
    assert_eq!(report["verdict"], "verified");
    assert_eq!(report["crc32"], format!("{:08x}", crc32fast::hash(&log)));
    println!(
        "{live}: {mib} MiB in patches of {PATCH} bytes: appended in {appended:.1?} ({:.0}/s), proven after {proven:.1?}, \
         read in {:.1?}; RSS {warm} KiB after 10 MiB, at most {most} while appending, {after} after the proof, at most \
         {while_read} while read; MiB after every 10 MiB: {seen:?}",
        (log.len() / PATCH) as f64 / appended.as_secs_f64(),
        done - proven,
    );
    let highest = most.max(after).max(while_read);
    assert!(highest <= warm + GROWTH_MAX_KIB, "RSS grew from {warm} to {highest} KiB");
    server.assert_untroubled().await;
}
