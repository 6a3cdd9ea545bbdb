//! What only a server can do: be full, forget its scripts, go away, come back, lose single keys, be of the wrong kind.

use std::time::Duration;

use redis::aio::MultiplexedConnection;
use veritail::store::StoreError;
use veritail::store::live::redis::{RESPONSE_TIMEOUT, RedisLive};
use veritail::store::live::{Append, Entry, LiveStore, Refusal};
use veritail::trace::{ByteSize, ChunkSize, Epoch, JobId, JobStatus, OpenEnd, Timestamp};

use super::steps::{
    JOB, append, append_of, bury, bytes, changed, chunk, load, open, open_and_fill, refused, scan, stored,
};
use crate::support::redis_server::{Durability, RedisServer};
use crate::support::wait::{until, until_some};

const TRACE: &str = "veritail:{42}:trace";
const CHUNK: &str = "veritail:{42}:chunk:0-1";

async fn connect(server: &RedisServer) -> RedisLive {
    RedisLive::connect(&server.url(), false).await.expect("the server answers")
}

/// Another client of the same server.
async fn other_hands(server: &RedisServer) -> MultiplexedConnection {
    let client = redis::Client::open(server.url()).unwrap();
    client.get_multiplexed_async_connection().await.unwrap()
}

async fn order<T: redis::FromRedisValue>(hands: &mut MultiplexedConnection, command: &str) -> T {
    let mut words = command.split(' ');
    let mut command = redis::cmd(words.next().unwrap());
    words.for_each(|word| {
        command.arg(word);
    });
    command.query_async(hands).await.unwrap()
}

#[tokio::test]
async fn keys_are_readable_and_unreleased_ones_do_not_expire() {
    let server = RedisServer::start(Durability::Nothing);
    let (store, mut hands) = (connect(&server).await, other_hands(&server).await);
    let end = append(&store, JOB, &open(&store, JOB).await, b"raw \x00 bytes").await;
    assert_eq!(order::<Vec<u8>>(&mut hands, &format!("GET {CHUNK}")).await, b"raw \x00 bytes");
    assert_eq!(order::<Vec<u8>>(&mut hands, &format!("HGET {TRACE} entry")).await, end.encode());
    assert_eq!(order::<String>(&mut hands, &format!("HGET {TRACE} epoch")).await, "1");
    assert_eq!(order::<String>(&mut hands, &format!("HGET {TRACE} status")).await, "running");
    assert_eq!(order::<i64>(&mut hands, &format!("TTL {TRACE}")).await, -1);
    assert_eq!(order::<i64>(&mut hands, &format!("TTL {CHUNK}")).await, -1);
    store.release(JOB, chunk(0), Duration::from_secs(120)).await.unwrap();
    let left = order::<i64>(&mut hands, &format!("TTL {CHUNK}")).await;
    assert!((100..=120).contains(&left), "{left}");
    bury(&store, JOB, &end, Some(Duration::from_secs(86_400))).await;
    let left = order::<i64>(&mut hands, &format!("TTL {TRACE}")).await;
    assert!((86_000..=86_400).contains(&left), "{left}");
}

#[tokio::test]
async fn full_server_refuses_appends_unchanged_and_lets_traces_be_finished() {
    let server = RedisServer::start(Durability::Nothing);
    let (store, mut hands) = (connect(&server).await, other_hands(&server).await);
    let end = append(&store, JOB, &open(&store, JOB).await, b"abc").await;
    let other = append(&store, JobId(43), &open(&store, JobId(43)).await, b"abc").await;
    order::<()>(&mut hands, "CONFIG SET maxmemory 1").await;

    let (more, next) = append_of(&end, b"def");
    let answer = store.append(JOB, more.clone()).await;
    assert!(matches!(answer, Err(StoreError::Full { .. })), "{answer:?}");
    assert_eq!(load(&store, JOB).await.unwrap().raw, end.encode());
    assert_eq!(bytes(&store, JOB, chunk(0)).await.as_deref(), Some(&b"abc"[..]));
    let new = store.replace(JobId(44), None, &Entry::Live(end.clone()), JobStatus::Running, None).await;
    assert!(matches!(new, Err(StoreError::Full { .. })), "{new:?}");
    assert!(load(&store, JobId(44)).await.is_none());

    // What frees memory, or ends a trace, goes on.
    assert!(store.set_status(JOB, JobStatus::Canceling).await.unwrap());
    store.watch(JOB, Timestamp(7)).await.unwrap();
    bury(&store, JobId(43), &other, Some(Duration::from_secs(60))).await;
    store.release(JobId(43), chunk(0), Duration::ZERO).await.unwrap();
    assert_eq!(bytes(&store, JobId(43), chunk(0)).await, None);
    assert_eq!(store.usage().await.unwrap().limit, ByteSize(1));
    assert_eq!(scan(&store, 100).await.len(), 3);

    order::<()>(&mut hands, "CONFIG SET maxmemory 0").await;
    stored(store.append(JOB, more).await.unwrap());
    assert_eq!(load(&store, JOB).await.unwrap().raw, next.encode());
}

#[tokio::test]
async fn forgotten_scripts_are_loaded_again() {
    let server = RedisServer::start(Durability::Nothing);
    let (store, mut hands) = (connect(&server).await, other_hands(&server).await);
    let mut end = open(&store, JOB).await;
    for _ in 0..3 {
        order::<()>(&mut hands, "SCRIPT FLUSH").await;
        end = append(&store, JOB, &end, b"abc").await;
    }
    assert_eq!(bytes(&store, JOB, chunk(0)).await.as_deref(), Some(&b"abcabcabc"[..]));
}

/// Whether they come into the chunk or not, and whatever the server knows of the script.
#[tokio::test]
async fn staged_bytes_leave_nothing_behind() {
    let server = RedisServer::start(Durability::Nothing);
    let (store, mut hands) = (connect(&server).await, other_hands(&server).await);
    let end = OpenEnd::new(Epoch::FIRST, ChunkSize::DEFAULT);
    let (many, next) = append_of(&end, &[b'x'; 16 * 1024]);
    assert!(matches!(refused(store.append(JOB, many.clone()).await.unwrap()), Refusal::Absent));
    stored(store.replace(JOB, None, &Entry::Live(end.clone()), JobStatus::Running, None).await.unwrap());
    order::<()>(&mut hands, "SCRIPT FLUSH").await;
    stored(store.append(JOB, many.clone()).await.unwrap());
    changed(store.append(JOB, many.clone()).await.unwrap());
    let again = Append { expected: next.encode().into(), ..many };
    assert!(matches!(refused(store.append(JOB, again).await.unwrap()), Refusal::ChunkSize { .. }));
    let mut keys: Vec<String> = order(&mut hands, "KEYS *").await;
    keys.sort();
    assert_eq!(keys, ["veritail:{42}:chunk:0-1", "veritail:{42}:trace"]);
    let renamed: String = order(&mut hands, "INFO commandstats").await;
    assert!(renamed.contains("cmdstat_rename:calls=1,"), "{renamed}");
}

/// The key that was staged would expire; the chunk that it became does not, in the server's file either.
#[tokio::test]
async fn staged_bytes_are_a_chunk_for_good_after_a_kill() {
    let mut server = RedisServer::start(Durability::Always);
    let store = connect(&server).await;
    let end = OpenEnd::new(Epoch::FIRST, ChunkSize::DEFAULT);
    stored(store.replace(JOB, None, &Entry::Live(end.clone()), JobStatus::Running, None).await.unwrap());
    let next = append(&store, JOB, &end, &[b'x'; 16 * 1024]).await;
    server.restart();
    let (store, mut hands) = (connect(&server).await, other_hands(&server).await);
    assert_eq!(order::<i64>(&mut hands, &format!("TTL {CHUNK}")).await, -1);
    assert_eq!(order::<Vec<String>>(&mut hands, "KEYS *staged*").await, [""; 0]);
    assert_eq!(bytes(&store, JOB, chunk(0)).await, Some(vec![b'x'; 16 * 1024]));
    append(&store, JOB, &next, b"more").await;
}

#[tokio::test]
async fn vanished_trace_key_is_absent_and_an_append_creates_nothing() {
    let server = RedisServer::start(Durability::Nothing);
    let (store, mut hands) = (connect(&server).await, other_hands(&server).await);
    let end = append(&store, JOB, &open(&store, JOB).await, b"abc").await;
    order::<()>(&mut hands, &format!("DEL {TRACE}")).await;
    let (more, _) = append_of(&end, b"def");
    assert!(matches!(refused(store.append(JOB, more).await.unwrap()), Refusal::Absent));
    assert_eq!(order::<u64>(&mut hands, &format!("EXISTS {TRACE}")).await, 0);
    assert_eq!(order::<Vec<u8>>(&mut hands, &format!("GET {CHUNK}")).await, b"abc");
}

#[tokio::test]
async fn copy_changed_by_other_hands_is_not_appended_to() {
    let server = RedisServer::start(Durability::Nothing);
    let (store, mut hands) = (connect(&server).await, other_hands(&server).await);
    let end = append(&store, JOB, &open(&store, JOB).await, b"abc").await;
    for (harm, size) in [(format!("APPEND {CHUNK} x"), 4), (format!("SET {CHUNK} ab"), 2), (format!("DEL {CHUNK}"), 0)]
    {
        order::<redis::Value>(&mut hands, &harm).await;
        let (more, _) = append_of(&end, b"def");
        match refused(store.append(JOB, more).await.unwrap()) {
            Refusal::ChunkSize { found } => assert_eq!(found, ByteSize(size), "{harm}"),
            refusal => panic!("{harm}: {refusal:?}"),
        }
        assert_eq!(load(&store, JOB).await.unwrap().raw, end.encode());
    }
    assert_eq!(order::<u64>(&mut hands, &format!("EXISTS {CHUNK}")).await, 0);
}

#[tokio::test]
async fn keys_of_another_kind_are_unreadable() {
    let server = RedisServer::start(Durability::Nothing);
    let (store, mut hands) = (connect(&server).await, other_hands(&server).await);
    order::<redis::Value>(&mut hands, &format!("LPUSH {TRACE} x")).await;
    assert!(matches!(store.load(JOB).await, Err(StoreError::Unreadable { .. })));
    order::<redis::Value>(&mut hands, &format!("DEL {TRACE}")).await;
    open(&store, JOB).await;
    order::<redis::Value>(&mut hands, &format!("HSET {TRACE} status asleep")).await;
    assert!(matches!(store.load(JOB).await, Err(StoreError::Unreadable { .. })));
    // Names that this store did not give are nobody's business.
    for name in ["veritail:{x}:trace", "veritail:{7}:chunk:1", "veritail:{7}:other", "veritail:7:trace"] {
        order::<redis::Value>(&mut hands, &format!("SET {name} x")).await;
    }
    assert_eq!(scan(&store, 10).await.len(), 1);
}

#[tokio::test]
async fn sealed_chunk_takes_the_memory_it_needs() {
    let server = RedisServer::start(Durability::Nothing);
    let (store, mut hands) = (connect(&server).await, other_hands(&server).await);
    open_and_fill(&store, JOB).await;
    assert_eq!(order::<u64>(&mut hands, &format!("STRLEN {CHUNK}")).await, 128 * 1024);
    let used = order::<u64>(&mut hands, &format!("MEMORY USAGE {CHUNK}")).await;
    // The allocator's next size is 160 KiB; built by appends alone it would be 256 KiB.
    assert!(used < 164 * 1024, "{used} bytes for a chunk of 128 KiB");
}

#[tokio::test]
async fn server_that_may_evict_is_refused_unless_allowed() {
    let server = RedisServer::start(Durability::Nothing);
    let mut hands = other_hands(&server).await;
    order::<()>(&mut hands, "CONFIG SET maxmemory-policy allkeys-lru").await;
    let error = RedisLive::connect(&server.url(), false).await.err().expect("it is refused").to_string();
    assert!(error.contains("maxmemory-policy allkeys-lru") && error.contains("noeviction"), "{error}");
    RedisLive::connect(&server.url(), true).await.unwrap().ping().await.unwrap();
}

#[tokio::test]
async fn errors_do_not_repeat_the_password() {
    let server = RedisServer::start(Durability::Nothing);
    let mut hands = other_hands(&server).await;
    order::<()>(&mut hands, "CONFIG SET requirepass other").await;
    let address = server.url().replace("redis://", "");
    for url in [format!("redis://:hunter2@{address}"), format!("nonsense://:hunter2@{address}"), "hunter2".to_owned()] {
        match RedisLive::connect(&url, false).await {
            Err(error @ StoreError::Unavailable { .. }) => {
                assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
            }
            Err(error) => panic!("{error:?}"),
            Ok(_) => panic!("connected with {url}"),
        }
    }
}

#[tokio::test]
async fn dead_server_is_unavailable_and_its_return_is_found() {
    let mut server = RedisServer::start(Durability::Always);
    let store = connect(&server).await;
    let end = append(&store, JOB, &open(&store, JOB).await, b"abc").await;
    server.kill();
    let (more, _) = append_of(&end, b"def");
    for _ in 0..3 {
        let answer = store.append(JOB, more.clone()).await;
        assert!(matches!(answer, Err(StoreError::Unavailable { .. })), "{answer:?}");
    }
    server.restart();
    // The first commands may still fail with the old connection; each makes the store try anew.
    until("the store comes back", async || store.ping().await.is_ok()).await;
    assert_eq!(load(&store, JOB).await.unwrap().raw, end.encode());
    stored(store.append(JOB, more).await.unwrap());
    assert_eq!(bytes(&store, JOB, chunk(0)).await.as_deref(), Some(&b"abcdef"[..]));
}

#[tokio::test]
async fn server_that_does_not_answer_is_unavailable_in_time() {
    let server = RedisServer::start(Durability::Nothing);
    let (store, mut hands) = (connect(&server).await, other_hands(&server).await);
    let end = open(&store, JOB).await;
    order::<()>(&mut hands, "CLIENT PAUSE 600000 ALL").await;
    let (append, _) = append_of(&end, b"abc");
    let limit = RESPONSE_TIMEOUT * 2;
    let answer = veritail::seams::within(&veritail::seams::real::SystemClock, limit, store.append(JOB, append)).await;
    assert!(matches!(answer, Some(Err(StoreError::Unavailable { .. }))), "{answer:?}");
}

#[tokio::test]
async fn wiped_server_has_no_trace() {
    let mut server = RedisServer::start(Durability::Nothing);
    let store = connect(&server).await;
    open(&store, JOB).await;
    server.restart();
    let trace = until_some("the store comes back", async || store.load(JOB).await.ok()).await;
    assert!(trace.is_none());
}
