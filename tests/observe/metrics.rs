//! The metrics: few enough, well named, and each gauge says whose it is.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::time::Duration;

use reqwest::Method;
use tokio::time::MissedTickBehavior;
use veritail::app;
use veritail::config::{Config, Flags};
use veritail::telemetry::exporter::UPKEEP_INTERVAL;
use veritail::telemetry::family::{Row, Type};
use veritail::telemetry::metrics::{self, Stage};
use veritail::telemetry::table;

use crate::alerts::{files, read, root};
use crate::support::server::{Binary, Send as _, ended, log};
use crate::support::wait::{PATIENCE, holds_within};

/// The most series of a node, those of the process included.
const SERIES_MAX: usize = 2_500;
/// `process_*`, `veritail_build_info`, and what Prometheus adds to every target.
const BESIDE: usize = 30;

#[test]
fn a_node_has_few_series_even_if_everything_happens() {
    let mut all = BESIDE;
    for row in table::rows() {
        // A node has one live store.
        let possible = row.possible().into_iter().filter(|values| !values.contains(&"embedded"));
        all += possible.count() * row.series_each();
    }
    println!("{all} series at most");
    assert!(all < SERIES_MAX, "{all}");
}

#[test]
fn every_gauge_says_how_the_nodes_are_taken_together() {
    for row in table::rows().iter().filter(|row| row.metric_type == Type::Gauge) {
        let shared = row.help.contains("every node says the same");
        let own = row.help.contains("Of this node: ") && row.help.contains(" count");
        assert!(shared != own, "{}: {}", row.name, row.help);
    }
}

/// Counters are of one node, but for those that are about what is the same for all: their sum would count it several times.
#[test]
fn counters_that_are_not_of_one_node_say_so_and_are_not_added_up() {
    const SHARED: &[&str] = &["veritail_redis_evicted_keys_total", "veritail_live_store_rollbacks_total"];
    for row in table::rows().iter().filter(|row| row.metric_type != Type::Gauge) {
        let says_so = row.help.contains("every node says the same");
        assert_eq!(says_so, SHARED.contains(&row.name), "{}: {}", row.name, row.help);
    }
    for name in SHARED {
        let rules = files(".rules.yml").iter().map(|file| read(file)).collect::<String>();
        let uses: Vec<&str> = rules.lines().filter(|line| line.contains(name)).map(str::trim).collect();
        assert!(!uses.is_empty(), "no alert is about {name}");
        let is_added_up = |line: &&str| !line.starts_with("max by") && !line.starts_with("group by");
        assert!(!uses.iter().any(is_added_up), "{uses:?}");
    }
    let page = read(&root().join("docs/operations/telemetry.md"));
    assert!(SHARED.iter().all(|name| page.contains(name)), "the page says which");
}

/// What a scrape says: the lines of series, without comments.
fn series(page: &str) -> Vec<&str> {
    page.lines().filter(|line| !line.starts_with('#') && !line.is_empty()).collect()
}

/// The name of a series, its labels and its value.
fn taken_apart(line: &str) -> (&str, Vec<(&str, &str)>, &str) {
    let (series, value) = line.rsplit_once(' ').expect("a value");
    let Some((name, labels)) = series.split_once('{') else { return (series, Vec::new(), value) };
    let labels = labels.trim_end_matches('}').split(',').filter_map(|label| label.split_once('='));
    (name, labels.map(|(name, value)| (name, value.trim_matches('"'))).collect(), value)
}

/// The family that a series is of: a histogram has three names.
fn family<'a>(rows: &'a [Row], name: &str) -> Option<&'a Row> {
    let parts = ["_bucket", "_sum", "_count"];
    rows.iter().find(|row| {
        row.name == name
            || (row.metric_type == Type::Histogram
                && parts.iter().any(|part| name.strip_suffix(part) == Some(row.name)))
    })
}

/// The page of a node that was asked everything once: every route, with and without success, and a whole life.
async fn page_of_a_busy_node() -> String {
    let server = Binary::start(&[
        ("VERITAIL_GAUGE_INTERVAL", "100ms"),
        ("VERITAIL_LIVE_SWEEP_INTERVAL", "1s"),
        ("VERITAIL_VERIFY_HOT", "*/1 * * * * *"),
        ("VERITAIL_VERIFY_FULL", "*/1 * * * * *"),
        ("VERITAIL_VERIFY_JITTER", "0s"),
    ]);
    let client = server.client();
    let document: serde_json::Value = client.request(Method::GET, "/openapi.json").answer().await.json();
    let job = client.make_job().await;
    let bytes = log(300_000);
    client.append_all(&job, 0, &bytes).await;
    assert_eq!(client.append(&job, 7, &bytes).await.status, 416);
    assert_eq!(client.put_until_decided(&job, &ended("success", &bytes, true)).await.status, 200);
    assert_eq!(client.trace(&job).await, bytes);
    let open = client.make_job().await;
    client.append_all(&open, 0, &bytes[..5000]).await;
    for (path, methods) in document["paths"].as_object().expect("paths") {
        let path = path.replace("{job}", "999").replace("{project}", "1").replace(['{', '}'], "");
        for method in methods.as_object().expect("methods").keys() {
            let method: Method = method.to_uppercase().parse().expect("a method");
            client.request(method.clone(), &path).answer().await;
            client.admin(method, &path).body("{}").answer().await;
        }
    }
    for method in ["HEAD", "OPTIONS", "BREW"] {
        client.request(method.parse().expect("a method"), "/nothing/here").answer().await;
        let read = format!("/api/v4/projects/{}/jobs/{}/trace", job.project, job.id);
        client.admin(method.parse().expect("a method"), &read).answer().await;
    }
    // What is sampled has come, and the store was counted after the last append.
    let mut page = String::new();
    let look = async || {
        page = client.request(Method::GET, "/metrics").answer().await.text().to_owned();
        let counted = page.lines().any(|line| line == r#"veritail_live_bytes{source="store"} 5000"#);
        counted && absent(&page).iter().all(|name| MAY_BE_ABSENT.contains(name))
    };
    let came = holds_within(PATIENCE, look).await;
    assert!(came, "{:?} are absent; {page}\n{}", absent(&page), server.log());
    page
}

/// What a node without Redis and canary, and before its first inventory, does not show.
const MAY_BE_ABSENT: &[&str] = &[
    "veritail_redis_used_memory_bytes",
    "veritail_redis_fullest_master_ratio",
    "veritail_redis_maxmemory_bytes",
    "veritail_redis_evicted_keys_total",
    "veritail_redis_masters",
    "veritail_canary_last_success_timestamp_seconds",
    "veritail_quarantine_objects",
    "veritail_quarantine_bytes",
];

/// Metrics of the table of which a page has no series.
fn absent(page: &str) -> Vec<&'static str> {
    let rows = table::rows();
    let seen: BTreeSet<&str> =
        series(page).into_iter().filter_map(|line| family(&rows, taken_apart(line).0)).map(|row| row.name).collect();
    rows.iter().map(|row| row.name).filter(|name| !seen.contains(name)).collect()
}

#[tokio::test]
async fn a_busy_node_shows_what_the_table_says_and_nothing_else() {
    let page = page_of_a_busy_node().await;
    let all = series(&page);
    println!("{} series", all.len());
    assert!(all.len() < SERIES_MAX, "{} series", all.len());
    assert!(!page.lines().any(|line| line.starts_with("# TYPE") && line.ends_with("summary")), "{page}");

    let rows = table::rows();
    for line in &all {
        let (name, labels, _) = taken_apart(line);
        if name.starts_with("process_") || name == "veritail_build_info" {
            continue;
        }
        let row = family(&rows, name).unwrap_or_else(|| panic!("{name} is not in the table"));
        let values: Vec<&str> = labels.iter().filter(|(name, _)| *name != "le").map(|(_, value)| *value).collect();
        let mut possible = row.possible().into_iter();
        assert!(possible.any(|known| known == values), "{line} is not among the combinations of {}", row.name);
    }
    let value = |series: &str| {
        let line = all.iter().find(|line| line.strip_prefix(series).is_some_and(|rest| rest.starts_with(' ')));
        let line = line.unwrap_or_else(|| panic!("{series} is not there"));
        taken_apart(line).2.parse::<f64>().expect("a number")
    };
    for stage in ["append", "record", "put", "read_back", "persist", "evaluate", "read"] {
        let passed = value(&format!("veritail_stage_duration_seconds_count{{stage=\"{stage}\"}}"));
        assert!(passed > 0.0, "nothing passed the stage {stage}");
    }
    assert!(value("veritail_db_pool_acquire_duration_seconds_count") > 0.0);
    assert_eq!(value("veritail_db_pool_max_connections"), 5.0);
    assert!(value("veritail_tokio_workers") >= 1.0 && value("veritail_tokio_alive_tasks") >= 1.0);
    assert!((0.0..=1.0).contains(&value("veritail_tokio_busy_ratio")));
    assert_eq!(value(r#"veritail_live_chunks{source="store"}"#), 1.0);
    assert!(value("process_resident_memory_bytes") > 0.0);
    assert!(
        value(r#"veritail_dependency_requests_total{dependency="object_store",operation="put",result="ok"}"#) >= 3.0
    );
    assert!(value(r#"veritail_http_requests_total{route="append",method="PATCH",status="416"}"#) >= 1.0);
}

#[tokio::test]
async fn promtool_finds_nothing_to_say() {
    let page = page_of_a_busy_node().await;
    let mut promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool is installed by tests/run");
    promtool.stdin.take().expect("piped").write_all(page.as_bytes()).expect("taken");
    let said = promtool.wait_with_output().expect("it ends");
    let words = String::from_utf8_lossy(&said.stdout).into_owned() + &String::from_utf8_lossy(&said.stderr);
    assert!(said.status.success() && words.is_empty(), "{words}");
}

#[tokio::test]
async fn every_series_about_integrity_is_there_before_anything_happened() {
    let server = Binary::start(&[]);
    let page = server.client().request(Method::GET, "/metrics").answer().await.text().to_owned();
    let all: BTreeSet<String> = series(&page)
        .into_iter()
        .map(|line| {
            let (name, labels, _) = taken_apart(line);
            let values: Vec<&str> = labels.into_iter().map(|(_, value)| value).collect();
            format!("{name} {}", values.join(" "))
        })
        .collect();
    let of_integrity = ["veritail_integrity_mismatches_total", "veritail_integrity_repairs_total"];
    let of_checks = ["veritail_verify_checks_total", "veritail_e2e_checksum_results_total", "veritail_rewinds_total"];
    let of_loss = ["veritail_live_lost_traces_total", "veritail_client_checksum_results_total"];
    let rows = table::rows();
    for name in of_integrity.into_iter().chain(of_checks).chain(of_loss) {
        let row = rows.iter().find(|row| row.name == name).expect("in the table");
        for values in row.possible() {
            assert!(all.contains(&format!("{name} {}", values.join(" "))), "{name} {values:?}");
        }
    }
}

#[test]
fn what_objectives_are_measured_by_is_among_the_bounds() {
    let rows = table::rows();
    let bounds = |name: &str| rows.iter().find(|row| row.name == name).expect("in the table").buckets;
    assert!(bounds("veritail_http_request_duration_seconds").contains(&table::QUICK_APPEND));
    assert!(bounds("veritail_chunk_size_bytes").contains(&131_072.0), "the size of a full chunk");
    for row in rows.iter().filter(|row| row.metric_type == Type::Histogram) {
        assert!(row.buckets.is_sorted_by(|a, b| a < b), "{}", row.name);
    }
}

/// What histograms take in is sorted away by a task of the node, also where nobody scrapes. A node in this process: no client
/// asks so much that it is seen.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_stays_flat_without_a_scrape() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut config = Config::load(None, [], &Flags::default()).expect("defaults");
    config.data_dir = folder.path().to_owned();
    config.http.listen = SocketAddr::from(([127, 0, 0, 1], 0));
    let node = app::start(config).await.expect("started");
    let before = rss_kib();
    let mut second = tokio::time::interval(Duration::from_secs(1));
    // On a machine that is behind there is no more of it between two upkeeps.
    second.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for _ in 0..4 * UPKEEP_INTERVAL.as_secs() {
        second.tick().await;
        (0..500_000).for_each(|_| metrics::passed(Stage::Read, Duration::from_millis(1)));
    }
    let grown = rss_kib().saturating_sub(before);
    println!("{grown} KiB more");
    assert!(grown < 100 * 1024, "{grown} KiB more after ten million observations");
    node.stop().await;
}

fn rss_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("the kernel says so");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}
