//! Two versions over one Redis, as while nodes are replaced: the scripts of version 0.1.0, beside the store as it is now.
//!
//! The scripts lie beside this file as that version had them. They are never changed.

use redis::Value;
use veritail::store::live::redis::RedisLive;

use super::steps::{JOB, append, append_of, bury, bytes, chunk, load, open};
use crate::support::redis_server::{Durability, RedisServer};

/// A node of the earlier version, as far as Redis sees it.
struct Earlier(redis::aio::MultiplexedConnection);

impl Earlier {
    async fn on(server: &RedisServer) -> Self {
        let client = redis::Client::open(server.url()).unwrap();
        Self(client.get_multiplexed_async_connection().await.unwrap())
    }

    /// Runs a script; the first word of its answer, or the number.
    async fn run(&mut self, script: &str, keys: &[&str], arguments: &[&[u8]]) -> String {
        let mut eval = redis::cmd("EVAL");
        eval.arg(script).arg(keys.len()).arg(keys);
        for argument in arguments {
            eval.arg(*argument);
        }
        match eval.query_async(&mut self.0).await.expect("refused or not, it is no error") {
            Value::Array(words) => redis::FromRedisValue::from_redis_value(words[0].clone()).unwrap(),
            Value::Int(number) => number.to_string(),
            other => panic!("{other:?}"),
        }
    }

    async fn append(&mut self, epoch: &str, expected: &[u8], size: &str, bytes: &[u8], next: &[u8]) -> String {
        let arguments = [epoch.as_bytes(), expected, size.as_bytes(), bytes, b"0", next];
        self.run(include_str!("append.lua"), &[TRACE, CHUNK], &arguments).await
    }
}

const TRACE: &str = "veritail:{42}:trace";
const CHUNK: &str = "veritail:{42}:chunk:0-1";

async fn stage() -> (RedisServer, RedisLive, Earlier) {
    let server = RedisServer::start(Durability::Nothing);
    let store = RedisLive::connect(&server.url(), false).await.unwrap();
    let earlier = Earlier::on(&server).await;
    (server, store, earlier)
}

#[tokio::test]
async fn both_append_by_turns_to_one_trace() {
    let (_server, store, mut earlier) = stage().await;
    let end = append(&store, JOB, &open(&store, JOB).await, b"new").await;
    let (_, next) = append_of(&end, b"old");
    assert_eq!(earlier.append("1", &end.encode(), "3", b"old", &next.encode()).await, "stored");
    let last = append(&store, JOB, &next, b"new").await;
    assert_eq!(load(&store, JOB).await.unwrap().raw, last.encode());
    assert_eq!(bytes(&store, JOB, chunk(0)).await.as_deref(), Some(&b"newoldnew"[..]));
}

/// What the earlier version refuses of its own, it refuses of the other as well, and nothing is changed.
#[tokio::test]
async fn the_earlier_one_is_refused_what_the_other_was_first_to_change() {
    let (_server, store, mut earlier) = stage().await;
    let first = open(&store, JOB).await;
    let end = append(&store, JOB, &first, b"new").await;
    let (_, next) = append_of(&first, b"old");
    assert_eq!(earlier.append("1", &first.encode(), "0", b"old", &next.encode()).await, "changed");
    assert_eq!(earlier.append("2", &end.encode(), "3", b"old", &next.encode()).await, "changed");
    assert_eq!(earlier.append("1", &end.encode(), "2", b"old", &next.encode()).await, "size");
    let entry = first.encode();
    assert_eq!(earlier.run(include_str!("open.lua"), &[TRACE], &[&entry, b"1", b"running", b""]).await, "changed");
    let replaced = earlier.run(include_str!("replace.lua"), &[TRACE], &[&entry, &entry, b"1", b"running", b""]).await;
    assert_eq!(replaced, "changed");
    assert_eq!(load(&store, JOB).await.unwrap().raw, end.encode());
    assert_eq!(bytes(&store, JOB, chunk(0)).await.as_deref(), Some(&b"new"[..]));

    bury(&store, JOB, &end, None).await;
    let tombstone = load(&store, JOB).await.unwrap().raw;
    assert_eq!(earlier.append("1", &end.encode(), "3", b"old", &next.encode()).await, "changed");
    assert_eq!(load(&store, JOB).await.unwrap().raw, tombstone, "nothing brings it back");
    assert_eq!(earlier.run(include_str!("release.lua"), &[CHUNK], &[b"0"]).await, "1");
    assert_eq!(bytes(&store, JOB, chunk(0)).await, None);
}

#[tokio::test]
async fn a_trace_that_the_earlier_one_made_is_gone_on_with() {
    let (_server, store, mut earlier) = stage().await;
    let end = super::steps::empty_end();
    assert_eq!(earlier.append("1", &end.encode(), "0", b"old", b"").await, "absent", "only `open` makes a trace");
    let opened = earlier.run(include_str!("open.lua"), &[TRACE], &[&end.encode(), b"1", b"running", b""]).await;
    assert_eq!(opened, "stored");
    let (_, next) = append_of(&end, b"old");
    assert_eq!(earlier.append("1", &end.encode(), "0", b"old", &next.encode()).await, "stored");
    append(&store, JOB, &next, b"new").await;
    assert_eq!(bytes(&store, JOB, chunk(0)).await.as_deref(), Some(&b"oldnew"[..]));
}
