//! What only several servers can do: move slots, fail over, lose a part; and what any server can do that comes back
//! without its last writes.

use std::ops::Deref;
use std::sync::{Arc, LazyLock, Mutex, Weak};
use std::time::Duration;

use tokio::sync::OwnedMutexGuard;
use veritail::store::StoreError;
use veritail::store::live::redis::{RedisLive, RollbackKind};
use veritail::store::live::{Entry, LiveStore, Outcome, Refusal};
use veritail::trace::{JobId, OpenEnd};

use super::steps::{append, append_of, bytes, chunk, load, open, scan, stored};
use crate::support::redis_cluster::RedisCluster;
use crate::support::redis_sentinel::{NAME, RedisSentinel};
use crate::support::redis_server::{Durability, Product, RedisServer, info, order};
use crate::support::wait::until;

/// One of these at a time, empty at first; as many as wait share the servers, and the last one ends them.
pub(super) struct Shared<T> {
    // Before the servers, so that the next in line finds them.
    _turn: OwnedMutexGuard<()>,
    shared: Arc<T>,
}

impl<T> Deref for Shared<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.shared
    }
}

struct Pool<T> {
    servers: Mutex<Weak<T>>,
    turn: Arc<tokio::sync::Mutex<()>>,
}

impl<T> Pool<T> {
    fn new() -> Self {
        Self { servers: Mutex::new(Weak::new()), turn: Arc::default() }
    }

    async fn take(&self, start: impl FnOnce() -> T) -> Shared<T> {
        let servers = {
            let mut shared = self.servers.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            shared.upgrade().unwrap_or_else(|| {
                let servers = Arc::new(start());
                *shared = Arc::downgrade(&servers);
                servers
            })
        };
        Shared { _turn: self.turn.clone().lock_owned().await, shared: servers }
    }
}

static CLUSTER: LazyLock<Pool<RedisCluster>> = LazyLock::new(Pool::new);
static VALKEY_CLUSTER: LazyLock<Pool<RedisCluster>> = LazyLock::new(Pool::new);
static SENTINEL: LazyLock<Pool<RedisSentinel>> = LazyLock::new(Pool::new);

pub(super) async fn cluster() -> Shared<RedisCluster> {
    let shared = CLUSTER.take(|| RedisCluster::start(Product::Redis)).await;
    shared.flush();
    shared
}

pub(super) async fn valkey_cluster() -> Shared<RedisCluster> {
    let shared = VALKEY_CLUSTER.take(|| RedisCluster::start(Product::Valkey)).await;
    shared.flush();
    shared
}

pub(super) async fn sentinel() -> Shared<RedisSentinel> {
    let shared = SENTINEL.take(|| RedisSentinel::start(Product::Redis)).await;
    order(shared.servers[0].port(), &["FLUSHALL"]).expect("the master");
    shared
}

async fn connect(url: &str) -> RedisLive {
    RedisLive::connect(url, false).await.expect("the servers answer")
}

/// A job whose keys are on the node at a place, and its slot.
fn job_at(cluster: &RedisCluster, place: usize) -> (JobId, u16) {
    let found =
        (1..1000).map(|job| (JobId(job), slot_of(cluster, job))).find(|(_, slot)| cluster.place_of(*slot) == place);
    found.expect("a job for every node")
}

fn slot_of(cluster: &RedisCluster, job: i64) -> u16 {
    let slot = order(cluster.nodes[0].port(), &["CLUSTER", "KEYSLOT", &job.to_string()]).expect("a slot");
    redis::FromRedisValue::from_redis_value(slot).expect("a number")
}

/// Appends until it gets in, as a runner does; an append that was in already counts.
pub(super) async fn append_at_last(store: &RedisLive, job: JobId, end: &OpenEnd, bytes: &[u8]) -> OpenEnd {
    let (append, next) = append_of(end, bytes);
    until("the append gets in", async || match store.append(job, append.clone()).await {
        Ok(Outcome::Stored { .. }) => true,
        Ok(Outcome::Refused(Refusal::Changed(trace))) if trace.entry == Entry::Live(next.clone()) => true,
        Ok(Outcome::Refused(refusal)) => panic!("{refusal:?}"),
        Err(StoreError::Unavailable { .. }) => false,
        Err(error) => panic!("{error:?}"),
    })
    .await;
    next
}

#[tokio::test]
async fn appends_go_on_while_their_slot_moves() {
    let cluster = cluster().await;
    let store = connect(&cluster.url()).await;
    let (job, slot) = job_at(&cluster, 0);
    let mut end = append(&store, job, &open(&store, job).await, b"0").await;
    cluster.begin_move(slot, 2);
    // Both keys are still on the one side, then one on each, then both on the other.
    end = append(&store, job, &end, b"1").await;
    cluster.move_key(slot, &format!("veritail:{{{job}}}:trace"), 2);
    let (more, _) = append_of(&end, b"2");
    let between = store.append(job, more).await;
    assert!(matches!(between, Err(StoreError::Unavailable { .. })), "{between:?}");
    cluster.move_key(slot, &format!("veritail:{{{job}}}:chunk:0-1"), 2);
    end = append(&store, job, &end, b"2").await;
    cluster.end_move(slot, 2);
    end = append(&store, job, &end, b"3").await;
    assert_eq!(bytes(&store, job, chunk(0)).await.as_deref(), Some(&b"0123"[..]));
    assert_eq!(load(&store, job).await.unwrap().raw, end.encode());
    cluster.begin_move(slot, 0);
    cluster.end_move(slot, 0);
}

#[tokio::test]
async fn scan_meets_everything_while_slots_move() {
    let cluster = cluster().await;
    let store = connect(&cluster.url()).await;
    for job in 1..=60 {
        open(&store, JobId(job)).await;
    }
    // From the last master read to the first one, when that has been read.
    let last = (0..3).max_by_key(|place| cluster.nodes[*place].port().to_string()).unwrap();
    let first = (0..3).min_by_key(|place| cluster.nodes[*place].port().to_string()).unwrap();
    let moved: Vec<u16> =
        (1..=60).map(|job| slot_of(&cluster, job)).filter(|slot| cluster.place_of(*slot) == last).collect();
    assert!(moved.len() > 5);
    let (mut found, mut from, mut pages) = (std::collections::BTreeSet::new(), None, 0);
    loop {
        let page = store.scan(from, 1000).await.unwrap();
        found.extend(page.found);
        pages += 1;
        if pages == 1 {
            for slot in &moved {
                cluster.begin_move(*slot, first);
                cluster.end_move(*slot, first);
            }
        }
        match page.next {
            Some(next) => from = Some(next),
            None => break,
        }
    }
    for slot in &moved {
        cluster.begin_move(*slot, last);
        cluster.end_move(*slot, last);
    }
    assert_eq!(found.len(), 60, "in {pages} pages");
}

#[tokio::test]
async fn forgotten_scripts_and_killed_connections_are_made_up_for_in_a_cluster() {
    let cluster = cluster().await;
    let store = connect(&cluster.url()).await;
    for place in 0..3 {
        let (job, _) = job_at(&cluster, place);
        let mut end = open(&store, job).await;
        for text in [b"a", b"b"] {
            for node in &cluster.nodes {
                order(node.port(), &["SCRIPT", "FLUSH"]).unwrap();
            }
            end = append(&store, job, &end, text).await;
        }
        order(cluster.nodes[place].port(), &["CLIENT", "KILL", "TYPE", "NORMAL"]).unwrap();
        append_at_last(&store, job, &end, b"c").await;
        assert_eq!(bytes(&store, job, chunk(0)).await.as_deref(), Some(&b"abc"[..]));
    }
}

#[tokio::test]
async fn full_master_refuses_its_own_jobs_only_and_lets_them_be_finished() {
    let cluster = cluster().await;
    let store = connect(&cluster.url()).await;
    let ((full, _), (other, _)) = (job_at(&cluster, 1), job_at(&cluster, 2));
    let end = append(&store, full, &open(&store, full).await, b"abc").await;
    open(&store, other).await;
    order(cluster.nodes[1].port(), &["CONFIG", "SET", "maxmemory", "1"]).unwrap();
    let (more, _) = append_of(&end, b"def");
    let answer = store.append(full, more).await;
    append(&store, other, &super::steps::empty_end(), b"x").await;
    super::steps::bury(&store, full, &end, Some(Duration::from_secs(60))).await;
    store.release(full, chunk(0), Duration::ZERO).await.unwrap();
    order(cluster.nodes[1].port(), &["CONFIG", "SET", "maxmemory", "0"]).unwrap();
    assert!(matches!(answer, Err(StoreError::Full { .. })), "{answer:?}");
}

#[tokio::test]
async fn one_node_of_a_cluster_by_a_plain_url_is_refused_with_the_right_one() {
    let cluster = cluster().await;
    let error = RedisLive::connect(&cluster.nodes[0].url(), false).await.err().expect("refused").to_string();
    assert!(error.contains("redis-cluster://"), "{error}");
}

#[tokio::test]
async fn any_master_that_may_evict_is_refused_and_later_named() {
    let cluster = cluster().await;
    let store = connect(&cluster.url()).await;
    let node = cluster.nodes[2].port();
    order(node, &["CONFIG", "SET", "maxmemory-policy", "allkeys-lru"]).unwrap();
    let refused = RedisLive::connect(&cluster.url(), false).await.err().map(|error| error.to_string());
    store.usage().await.unwrap();
    let (safe, evicting) = store.evicting();
    order(node, &["CONFIG", "SET", "maxmemory-policy", "noeviction"]).unwrap();
    assert!(refused.is_some_and(|refused| refused.contains(&node.to_string()) && refused.contains("allkeys-lru")));
    assert_eq!((safe, evicting), (2, vec![format!("127.0.0.1:{node} (allkeys-lru)")]));
}

#[tokio::test]
async fn emptied_master_of_a_cluster_is_known_and_moved_slots_are_no_loss() {
    let cluster = cluster().await;
    let (one, two) = (connect(&cluster.url()).await, connect(&cluster.url()).await);
    for store in [&one, &two, &one, &two] {
        assert!(store.look_for_rollbacks().await.is_empty());
    }
    cluster.begin_move(0, 2);
    cluster.end_move(0, 2);
    for store in [&one, &two, &one] {
        assert!(store.look_for_rollbacks().await.is_empty());
    }
    cluster.begin_move(0, 0);
    cluster.end_move(0, 0);
    for store in [&one, &two, &one] {
        store.usage().await.unwrap();
        assert!(store.look_for_rollbacks().await.is_empty());
    }
    order(cluster.nodes[1].port(), &["FLUSHALL"]).unwrap();
    for store in [&one, &two] {
        let found = store.look_for_rollbacks().await;
        let found: Vec<_> = found.iter().map(|rollback| (rollback.kind, rollback.master.clone())).collect();
        assert_eq!(found, [(RollbackKind::Empty, format!("127.0.0.1:{}", cluster.nodes[1].port()))]);
        assert!(store.look_for_rollbacks().await.is_empty());
    }
}

#[tokio::test]
async fn server_with_an_older_state_is_younger_and_a_plain_restart_is_nothing() {
    let mut server = RedisServer::start(Durability::Always);
    let store = connect(&server.url()).await;
    assert!(store.look_for_rollbacks().await.is_empty());
    server.restart();
    until("the server answers again", async || {
        assert!(store.look_for_rollbacks().await.is_empty(), "nothing was lost");
        store.ping().await.is_ok()
    })
    .await;
    assert!(store.look_for_rollbacks().await.is_empty());
    let mark: Vec<String> =
        redis::FromRedisValue::from_redis_value(order(server.port(), &["KEYS", "*mark*"]).unwrap()).unwrap();
    order(server.port(), &["SET", &mark[0], "1"]).unwrap();
    let found = store.look_for_rollbacks().await;
    assert_eq!(found.iter().map(|rollback| rollback.kind).collect::<Vec<_>>(), [RollbackKind::Younger]);
    assert!(found[0].to_string().contains("run_id"), "{}", found[0]);
}

/// A command whose connection broke may reach the server behind later ones.
#[tokio::test]
async fn a_mark_that_comes_late_lowers_nothing() {
    let server = RedisServer::start(Durability::Nothing);
    let store = connect(&server.url()).await;
    for _ in 0..3 {
        assert!(store.look_for_rollbacks().await.is_empty());
    }
    let mark: Vec<String> =
        redis::FromRedisValue::from_redis_value(order(server.port(), &["KEYS", "*mark*"]).unwrap()).unwrap();
    let script = include_str!("../../../src/store/live/redis/mark.lua");
    order(server.port(), &["EVAL", script, "1", &mark[0], "2", "60000"]).unwrap();
    assert_eq!(order(server.port(), &["GET", &mark[0]]), Ok(redis::Value::BulkString(b"3".to_vec())));
    assert!(store.look_for_rollbacks().await.is_empty(), "nothing was lost");
    assert_eq!(order(server.port(), &["GET", &mark[0]]), Ok(redis::Value::BulkString(b"4".to_vec())));
}

#[tokio::test]
async fn server_that_stands_still_is_left_alone_after_the_first_and_used_again() {
    let server = RedisServer::start(Durability::Nothing);
    let store = Arc::new(connect(&server.url()).await);
    let end = append(&*store, JobId(42), &open(&*store, JobId(42)).await, b"abc").await;
    server.stand_still(true);
    let away = store.ping().await;
    // The one attempt to connect is shared by all who wait for it.
    let all = futures::future::join_all((0..50).map(|_| store.ping())).await;
    server.stand_still(false);
    assert!(away.is_err() && all.iter().all(Result::is_err));
    let connections: u64 = info(server.port(), "total_connections_received").parse().unwrap();
    assert!(connections < 12, "{connections} connections");
    append_at_last(&store, JobId(42), &end, b"def").await;
    assert_eq!(bytes(&*store, JobId(42), chunk(0)).await.as_deref(), Some(&b"abcdef"[..]));
}

#[tokio::test]
async fn failover_is_followed_and_nothing_that_was_replicated_is_lost() {
    let mut sentinel = RedisSentinel::start(Product::Redis);
    let store = connect(&sentinel.url()).await;
    let job = JobId(42);
    let end = append(&store, job, &open(&store, job).await, b"abc").await;
    assert!(store.look_for_rollbacks().await.is_empty());
    assert_eq!(order(sentinel.servers[0].port(), &["WAIT", "1", "5000"]), Ok(redis::Value::Int(1)));
    sentinel.fail_over();
    append_at_last(&store, job, &end, b"def").await;
    assert_eq!(bytes(&store, job, chunk(0)).await.as_deref(), Some(&b"abcdef"[..]));
    assert!(store.look_for_rollbacks().await.is_empty(), "nothing was lost");
    assert_eq!(scan(&store, 10).await.len(), 2);
}

#[tokio::test]
async fn master_that_is_demoted_is_left_for_the_new_one() {
    let sentinel = RedisSentinel::start(Product::Redis);
    let store = connect(&sentinel.url()).await;
    let end = append(&store, JobId(42), &open(&store, JobId(42)).await, b"abc").await;
    // The old one lives on and would answer reads.
    until("the Sentinel begins a failover", async || {
        order(sentinel.sentinels[0].port(), &["SENTINEL", "FAILOVER", NAME]).is_ok()
    })
    .await;
    until("the second is master", async || {
        sentinel.master() == Some(1) && info(sentinel.servers[0].port(), "role") == "slave"
    })
    .await;
    append_at_last(&store, JobId(42), &end, b"def").await;
    assert_eq!(bytes(&store, JobId(42), chunk(0)).await.as_deref(), Some(&b"abcdef"[..]));
    assert_eq!(order(sentinel.servers[1].port(), &["STRLEN", "veritail:{42}:chunk:0-1"]), Ok(redis::Value::Int(6)));
}

#[tokio::test]
async fn unknown_master_name_and_replicas_are_refused_by_name() {
    let sentinel = sentinel().await;
    let url = sentinel.url().replace("/trail", "/other");
    let error = RedisLive::connect(&url, false).await.err().expect("refused").to_string();
    assert!(error.contains("other") && error.contains("no master"), "{error}");
    let error = RedisLive::connect(&sentinel.servers[1].url(), false).await.err().expect("refused").to_string();
    assert!(error.contains("not a master"), "{error}");
}

#[tokio::test]
async fn unavailable_append_to_a_stored_end_is_seen_by_its_entry() {
    let cluster = cluster().await;
    let store = connect(&cluster.url()).await;
    let (job, _) = job_at(&cluster, 0);
    let (first, next) = append_of(&open(&store, job).await, b"abc");
    stored(store.append(job, first.clone()).await.unwrap());
    assert_eq!(super::steps::changed(store.append(job, first).await.unwrap()).raw, next.encode());
}
