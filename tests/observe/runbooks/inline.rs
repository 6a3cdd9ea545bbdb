//! Commands and statements within the sentences of the runbooks: each is run, or stands here with the reason why it is not.

use std::process::Command;

use serde_json::Value;

use super::look::Blocked;
use super::machine::Machine;
use super::{Block, block, pages, text};
use crate::alerts::folder;
use crate::support::program::Running;
use crate::support::redis_server::free_port;

/// What begins what can be run.
const RUN: &[&str] = &[
    "veritail ",
    "redis-cli -u \"$REDIS\" ",
    "info ",
    "ACL SETUSER ",
    "SELECT ",
    "journalctl ",
    "timedatectl",
    OF_A_FOLDER,
    AMTOOL,
    GRANT,
];
/// Not on the service that has something to show, but each in a test of this file.
const ELSEWHERE: &[&str] = &[OF_A_FOLDER, AMTOOL, GRANT];
const OF_A_FOLDER: &str = "ls -l /var/lib/veritail/objects";
const AMTOOL: &str = "amtool ";
const GRANT: &str = "GRANT ";

/// What else has more than one word, and why nobody runs it.
const NOT_RUN: &[(&str, &str)] = &[
    ("curl -sf", "what the blocks begin with"),
    ("redis-cli -u \"$REDIS\"", "what the blocks begin with"),
    ("redis-cli -s /run/redis.sock", "what they may begin with instead; no Redis here listens on a socket"),
    ("psql \"\"", "what nobody should do"),
    ("kill -9", "what a node bears"),
    ("podman compose -f deploy/compose.yaml exec veritail cat /var/lib/veritail/admin-token", "no containers here"),
    ("exec redis redis-cli", "no containers here"),
    ("exec postgres psql -U veritail", "no containers here"),
    ("sqlite3 /var/lib/veritail/veritail.db \"SELECT 1\"", "no test needs this program else"),
    ("gcloud storage ls gs://BUCKET/PREFIX.veritail-objects", "a program of Google's, for their cloud"),
    ("az storage blob show --account-name NAME -c CONTAINER -n PREFIX.veritail-objects", "of Azure's, for their cloud"),
    ("ACL SAVE", "the Redis of the tests has no file for it"),
    ("nginx -s reload", "no balancer here"),
    ("set server veritail/node1 state maint", "no balancer here"),
    ("state ready", "no balancer here"),
    ("appendonly yes", "a line of a configuration"),
    ("min-replicas-to-write 1", "a line of a configuration"),
    ("crc32 = 0x6176d8fd", "a part of a statement"),
    ("sha256 = x'dbcf...'", "a part of a statement"),
    ("time() - max by (schedule) (...)", "a part of a query that is on the page"),
    ("no answer in time", "what is answered"),
    ("<insufficient privilege>", "what is answered"),
    ("idle in transaction", "what is answered"),
    ("COPY 0", "what is answered"),
    ("UPDATE 1", "what is answered"),
];

/// What stands between two marks in the sentences of a page.
fn spans(name: &str) -> Vec<String> {
    let sentences: String = text(name).split("```").step_by(2).collect();
    sentences.split('`').skip(1).step_by(2).map(|span| span.split_whitespace().collect::<Vec<_>>().join(" ")).collect()
}

fn is_listed(span: &str) -> bool {
    NOT_RUN.iter().any(|(listed, _)| *listed == span)
}

fn is_run(span: &str) -> bool {
    !is_listed(span) && RUN.iter().any(|begin| span.starts_with(begin))
}

/// The commands and statements of a page that can be run, each as a block.
fn all(name: &str) -> Vec<Block> {
    let block = |span: String| {
        let (info, text) = match span.split(' ').next() {
            Some("SELECT" | "GRANT") => ("sql", format!("{span};\n")),
            // The administrator of Redis says it.
            Some("ACL" | "info") => ("sh", format!("redis-cli -u \"$REDIS\" {span}\n")),
            _ => ("sh", format!("{span}\n")),
        };
        Block { page: name.to_owned(), info: info.to_owned(), text }
    };
    spans(name).into_iter().filter(|span| is_run(span)).map(block).collect()
}

/// Those that are run on the service that has something to show.
pub(super) fn inline(name: &str) -> Vec<Block> {
    all(name).into_iter().filter(|block| !ELSEWHERE.iter().any(|begin| block.text.starts_with(begin))).collect()
}

/// The only one that begins like this, of all pages.
fn only(begin: &str) -> Block {
    let found: Vec<Block> =
        pages().iter().flat_map(|name| all(name)).filter(|block| block.text.starts_with(begin)).collect();
    let [block] = found.as_slice() else { panic!("{} begin with {begin:?}", found.len()) };
    block.clone()
}

#[test]
fn what_has_more_than_one_word_is_run_or_has_its_reason() {
    let all: Vec<String> = pages().iter().flat_map(|name| spans(name)).collect();
    for span in all.iter().filter(|span| span.contains(' ')) {
        assert!(is_run(span) || is_listed(span), "{span:?} is not run, and nothing says why");
    }
    for (listed, _) in NOT_RUN {
        assert!(all.iter().any(|span| span == listed), "{listed:?} is in no runbook");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_of_objects_is_the_right_one() {
    Machine::start_alone().run(&only(OF_A_FOLDER), &[]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_alert_is_silenced_for_a_day_and_an_hour() {
    let below = tempfile::tempdir().expect("a folder");
    let address = format!("127.0.0.1:{}", free_port());
    let mut alertmanager = Command::new("prometheus-alertmanager");
    alertmanager.args([
        format!("--config.file={}", folder().join("alertmanager.example.yml").display()),
        format!("--storage.path={}", below.path().display()),
        format!("--web.listen-address={address}"),
        "--cluster.listen-address=".to_owned(),
    ]);
    let mut alertmanager = Running::start(&mut alertmanager);
    let answers = || std::net::TcpStream::connect(&address).is_ok();
    assert!(tokio::task::block_in_place(|| alertmanager.wait_until(answers)), "no answer at {address}");

    let said = Machine::start_alone().run(&only(AMTOOL), &[("127.0.0.1:9093", &address)]);
    let http = reqwest::Client::builder().no_proxy().build().expect("a client");
    let asked = http.get(format!("http://{address}/api/v2/silence/{}", said.line(0))).send().await.expect("answered");
    let silence: Value = asked.json().await.expect("JSON");
    let matchers = silence["matchers"].as_array().unwrap_or_else(|| panic!("{silence:#}"));
    let mut labels: Vec<(&str, &str)> = matchers
        .iter()
        .map(|matcher| (matcher["name"].as_str().expect("a label"), matcher["value"].as_str().expect("a value")))
        .collect();
    labels.sort_unstable();
    assert_eq!(labels, [("alertname", "VeritailAbsent"), ("job", "veritail-old")], "{silence:#}");
    let moment =
        |name: &str| -> jiff::Timestamp { silence[name].as_str().expect("a moment").parse().expect("a moment") };
    // From when it was asked for, not from when that arrived.
    let lasts = moment("endsAt").duration_since(moment("startsAt")).as_secs();
    assert!((25 * 3600 - 60..=25 * 3600).contains(&lasts), "{silence:#}");
}

/// What the first page says of sessions of others, before and after its `GRANT`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_others_do_is_shown_to_who_may_see_it() {
    let machine = Machine::start(&[]).await;
    let blocked = Blocked::make(&machine).await;
    let looks = block("VeritailContactsStale", "pg_blocking_pids");
    let is_shown = || machine.run(&looks, &[]).all().contains("idle in transaction");
    assert!(!is_shown());
    let role = machine.role();
    machine.production().database.execute(only(GRANT).text.replace("veritail_app", &role)).await;
    assert!(is_shown());
    blocked.end(false).await.expect("nobody waits");
}
