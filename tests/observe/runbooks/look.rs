//! Every block that looks, and every command in a sentence, on a service that has something to show: a damaged log and a
//! drill, a runner that disagrees, a job that runs, and in the node's log a store that was set back, a lock, a canary and a
//! webhook that get nowhere.

use std::collections::BTreeSet;

use ::redis::Value;
use reqwest::Method;
use sqlx::{Connection as _, PgConnection, Row as _};
use tokio::task::JoinHandle;

use super::heal::ACTS;
use super::inline::inline;
use super::machine::Machine;
use super::redis::masters;
use super::{Block, block, page, pages};
use crate::support::redis_server::order;
use crate::support::server::{Send as _, ended};
use crate::support::wait::{PATIENCE, holds_within, until};

/// A verifier that is at work now and then, and a canary and a webhook that get no answer.
const BUSY: &[(&str, &str)] = &[
    ("VERITAIL_DATABASE_STATEMENT_TIMEOUT", "1s"),
    ("VERITAIL_VERIFY_HOT", "*/5 * * * * *"),
    ("VERITAIL_VERIFY_FULL", "*/5 * * * * *"),
    ("VERITAIL_VERIFY_FULL_SLICE", "800ms"),
    ("VERITAIL_VERIFY_INVENTORY", "*/20 * * * * *"),
    ("VERITAIL_VERIFY_CANARY", "*/5 * * * * *"),
    ("VERITAIL_VERIFY_CANARY_URL", "http://127.0.0.1:1"),
    ("VERITAIL_WEBHOOK_URL", "http://127.0.0.1:1/"),
];

/// Where the sessions of the database are.
const SESSIONS: &str = "FROM pg_stat_activity";

#[test]
fn each_block_that_acts_is_there_and_is_run_elsewhere() {
    let tests = include_str!("heal.rs");
    for (name, part) in ACTS {
        assert_ne!(block(name, part).info, "promql");
        let listed = ACTS.iter().filter(|(_, other)| other == part).count();
        let named = tests.matches(&format!("\"{part}\"")).count();
        assert!(named >= 2 * listed, "{name}: no test runs the block of {part:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_that_looks_shows_something() {
    let machine = Machine::start(BUSY).await;
    let run = trouble(&machine).await;
    let acts: BTreeSet<String> = ACTS.iter().map(|(name, part)| block(name, part).text).collect();
    let mut done = BTreeSet::from([masters().text, block("README", "set -a").text]);
    let mut wrong = Vec::new();
    let mut ran = 0;
    for block in pages().iter().flat_map(|name| [page(name), inline(name)].concat()) {
        let is_run = ["sh", "sql"].contains(&block.info.as_str()) && !acts.contains(&block.text);
        // Several runbooks have the same.
        if !is_run || !done.insert(block.text.clone()) {
            continue;
        }
        ran += 1;
        let looked = look(&machine, &block, run).await;
        wrong.extend(looked.err().map(|why| format!("{}: {why}", block.page)));
    }
    assert!(
        wrong.is_empty(),
        "{} of {ran}:\n\n{}\n\nthe node logged\n{}",
        wrong.len(),
        wrong.join("\n\n"),
        machine.node().log()
    );
    assert!(ran > 60, "{ran} blocks");
}

/// One block, with a session to end where it ends one, a client where it ends that, and a run that is over where it waits.
async fn look(machine: &Machine, block: &Block, run: i64) -> Result<(), String> {
    let ends = ["4711", "(PID)"].into_iter().find(|example| block.text.contains(example));
    if ends.is_some() || block.text.contains(SESSIONS) {
        let blocked = Blocked::make(machine).await;
        let pid = blocked.pid.to_string();
        let here = ends.map(|example| (example, if example == "4711" { pid.clone() } else { format!("({pid})") }));
        let examples: Vec<(&str, &str)> = here.iter().map(|(example, here)| (*example, here.as_str())).collect();
        let said = machine.attempt(block, &examples)?;
        // It is another user's, of whose sessions less is shown: as the runbooks say.
        let shown = [pid.as_str(), "<insufficient privilege>"].iter().all(|part| said.all().contains(part));
        if block.text.contains(SESSIONS) && !shown {
            return Err(format!("{pid} holds what somebody waits for, and is not in\n{}", said.all()));
        }
        return blocked.end(ends.is_some()).await;
    }
    if block.text.contains("NUMBER") {
        let client = ::redis::Client::open(machine.production().redis.url()).expect("a URL");
        let mut connection = client.get_connection().expect("a connection");
        let id: i64 = ::redis::cmd("CLIENT").arg("ID").query(&mut connection).expect("a number");
        machine.attempt(block, &[("NUMBER", &id.to_string())])?;
        let asked: ::redis::RedisResult<String> = ::redis::cmd("PING").query(&mut connection);
        return asked.err().map(drop).ok_or_else(|| "the client was not ended".to_owned());
    }
    let watch = format!("watch {run}");
    let run: &[(&str, &str)] = if block.text.contains("watch 7") { &[("watch 7", &watch)] } else { &[] };
    machine.attempt(block, run).map(drop)
}

/// A transaction that was left open, and somebody who waits for what it holds.
pub(super) struct Blocked {
    holder: PgConnection,
    pid: i32,
    waiter: JoinHandle<PgConnection>,
}

impl Blocked {
    /// The first is another user's, the second of the role that the machine has.
    pub(super) async fn make(machine: &Machine) -> Self {
        let url = machine.variable("VERITAIL_DATABASE_URL");
        let mut holder = PgConnection::connect(&machine.as_another_user()).await.expect("a connection");
        for sql in ["BEGIN", "SELECT FROM verification_runs, trace_chunks", "SELECT pg_advisory_xact_lock(42)"] {
            sqlx::raw_sql(sql).execute(&mut holder).await.expect("a lock");
        }
        let pid = sqlx::query("SELECT pg_backend_pid()").fetch_one(&mut holder).await.expect("a number").get(0);
        let mut other = PgConnection::connect(url).await.expect("a connection");
        let waits: i32 = sqlx::query("SELECT pg_backend_pid()").fetch_one(&mut other).await.expect("a number").get(0);
        let waiter = tokio::spawn(async move {
            sqlx::raw_sql("SELECT pg_advisory_lock(42)").execute(&mut other).await.expect("a lock, in the end");
            other
        });
        let mut asks = PgConnection::connect(url).await.expect("a connection");
        until("somebody waits for the lock", async || {
            let blocking = sqlx::query("SELECT pg_blocking_pids($1)").bind(waits);
            let blocking: Vec<i32> = blocking.fetch_one(&mut asks).await.expect("a list").get(0);
            blocking == [pid]
        })
        .await;
        Self { holder, pid, waiter }
    }

    /// It was ended if it was to be, and nobody waits any more.
    pub(super) async fn end(mut self, by_the_block: bool) -> Result<(), String> {
        let ended = if by_the_block {
            let asked = sqlx::raw_sql("SELECT 1").execute(&mut self.holder).await;
            asked.err().map(drop).ok_or_else(|| "the session was not ended".to_owned())
        } else {
            Ok(())
        };
        drop(self.holder);
        self.waiter.await.expect("it gets the lock").close().await.expect("closed");
        ended
    }
}

/// All that there is to be seen of; the number of an inventory.
async fn trouble(machine: &Machine) -> i64 {
    let client = machine.client();
    let log: Vec<u8> = (0..1_000).flat_map(|line| format!("line {line}\n").into_bytes()).collect();
    let damaged = machine.kept(&log, "object_store").await;
    // Redis loses all it has: of logs there is nothing in it.
    let redis = machine.production().redis.port();
    until("a mark is there", async || {
        order(redis, &["KEYS", "*:mark:*"]).is_ok_and(|marks| marks != Value::Array(Vec::new()))
    })
    .await;
    order(redis, &["FLUSHALL"]).expect("Redis takes it");
    machine.node().until_logged("master_replid").await;
    machine.shell(
        "KEY=$(veritail inspect 42 --keys | grep -o 'traces/73/42/c/1-1-.*')\n\
         echo damaged | aws s3 cp - \"s3://$BUCKET/$KEY\"; echo done\n\
         veritail verify 42",
    );
    assert_eq!(machine.mismatch(17).await["state"], "open");
    // A reader breaks off.
    assert!(client.trace_request(&damaged).try_answer().await.is_err());
    // Another Veritail's.
    order(redis, &["SET", "veritail:{4000000}:chunk:0-1", "not ours"]).expect("Redis takes it");
    machine.node().until_logged("in the live store and not in the database").await;
    let drilled = machine.kept(&log, "object_store").await;
    let drill = format!("veritail drill corrupt {} --store object_store --kind missing --yes-damage-data", drilled.id);
    machine.shell(&drill);
    let disagrees = client.make_job_with_reset(false).await;
    client.append_all(&disagrees, 0, &log).await;
    client.put_until_decided(&disagrees, &ended("success", &log[..5_000], false)).await;
    let running = client.make_job().await;
    client.append_all(&running, 0, &log).await;
    // Redis loses these two: one runner is waited for, of the other everybody knows that it has nothing.
    for can_send_again in [true, false] {
        let job = client.make_job_with_reset(can_send_again).await;
        client.append_all(&job, 0, &log).await;
        let Ok(Value::Array(keys)) = order(redis, &["KEYS", &format!("veritail:{{{}}}:*", job.id)]) else {
            panic!("no keys")
        };
        for key in keys {
            let Value::BulkString(key) = key else { panic!("{key:?} is no key") };
            order(redis, &["DEL", &String::from_utf8_lossy(&key)]).expect("Redis takes it");
        }
        client.put(&job, &ended("success", &log, can_send_again)).await;
    }
    machine.shell("echo left over | aws s3 cp - \"s3://$BUCKET/${PREFIX}traces/73/42/c/1-1-0123456789abcdef0123456789abcdef.zst\"; echo done");
    machine.way().grow_old();
    let rule = r#"{"Rules":[{"ID":"old","Status":"Enabled","Filter":{"Prefix":"traces/"},"Expiration":{"Days":30}}]}"#;
    let put = "aws s3api put-bucket-lifecycle-configuration --bucket \"$BUCKET\" --lifecycle-configuration";
    machine.shell(&format!("{put} '{rule}'; echo done"));

    for kind in ["gap", "orphan"] {
        listed(machine, &format!("/api/v1/mismatches?state=open&kind={kind}")).await;
    }
    machine.node().until_logged("the webhook was not told").await;
    let database = &machine.production().database;
    let mut lock = database.server().connection(database.name()).await;
    for sql in ["BEGIN", "LOCK TABLE verification_runs, mismatches IN ACCESS EXCLUSIVE MODE"] {
        sqlx::raw_sql(sql).execute(&mut lock).await.expect("a lock");
    }
    for text in ["gauges could not be sampled", "the verifier's", "canary"] {
        machine.node().until_logged(text).await;
    }
    drop(lock);
    let run = listed(machine, "/api/v1/verify/runs?schedule=inventory&state=complete").await;
    run["id"].as_i64().expect("a number")
}

/// Waits until a list has something in it: the first of it.
async fn listed(machine: &Machine, path: &str) -> serde_json::Value {
    let mut first = serde_json::Value::Null;
    let look = async || {
        let answer = machine.client().admin(Method::GET, path).answer().await;
        if answer.status == 200 {
            first = answer.json()["items"][0].clone();
        }
        first.is_object()
    };
    assert!(holds_within(PATIENCE, look).await, "{path} stays empty\n{}", machine.node().log());
    first
}
