//! Redis over TLS, as a user who may do what the documentation says and nothing else.

use std::sync::Arc;
use std::time::Duration;

use veritail::seams::real::{SystemChance, SystemClock};
use veritail::store::live::redis::{Options, RedisLive};
use veritail::store::live::{Entry, LiveStore, Outcome};
use veritail::store::{Result, StoreError};
use veritail::trace::{ChunkSize, Epoch, JobId, JobStatus, OpenEnd};

use super::redis_shapes::append_at_last;
use super::steps::{JOB, append, bury, bytes, chunk, open as open_trace, open_and_fill, scan};
use crate::support::certificates::Authority;
use crate::support::redis_cluster::RedisCluster;
use crate::support::redis_sentinel::RedisSentinel;
use crate::support::redis_server::{Product, RedisServer, info, order};

/// The rules in docs/operations/redis.md, between these marks.
const PAGE: &str = include_str!("../../../docs/operations/redis.md");

/// A server with a TLS port, its authority, and a user with the documented rules.
pub(super) struct Server {
    server: RedisServer,
    authority: Authority,
}

impl Server {
    /// Starts it; `strict` wants a certificate of its clients.
    pub(super) fn start(strict: bool) -> Self {
        let authority = Authority::new();
        let clients = ["--tls-auth-clients", if strict { "yes" } else { "no" }];
        let server = RedisServer::start_over(Some(&authority), Product::Redis, &clients);
        let rules = documented_rules();
        let mut user = vec!["ACL", "SETUSER", "veritail", "on", ">p@ss/word"];
        user.extend(rules.split_whitespace());
        order(server.port(), &user).expect("the documented rules are rules");
        Self { server, authority }
    }

    /// How to get in.
    pub(super) fn options(&self) -> Options {
        let url = format!("rediss://veritail:p%40ss%2Fword@127.0.0.1:{}", self.server.tls_port());
        Options { url, authority: Some(self.authority.pem().into()), ..Options::default() }
    }
}

/// What the page tells operators to give to the user.
fn documented_rules() -> String {
    let from = PAGE.find("ACL SETUSER veritail on >password ").expect("the page has the rules");
    let rules = &PAGE[from + "ACL SETUSER veritail on >password ".len()..];
    rules[..rules.find("```").expect("the end of the block")].replace('\\', " ")
}

pub(super) async fn open(options: Options) -> Result<RedisLive> {
    RedisLive::open(options, Arc::new(SystemClock), Arc::new(SystemChance)).await
}

async fn refusal(options: Options) -> String {
    match open(options).await {
        Err(error @ StoreError::Unavailable { .. }) => error.to_string(),
        Err(error) => panic!("{error:?}"),
        Ok(_) => panic!("it is let in"),
    }
}

#[tokio::test]
async fn documented_user_can_do_everything() {
    let server = Server::start(false);
    let store = open(server.options()).await.unwrap();
    let end = append(&store, JOB, &open_trace(&store, JOB).await, b"abc").await;
    store.release(JOB, chunk(0), Duration::from_secs(9)).await.unwrap();
    assert_eq!(scan(&store, 10).await.len(), 2);
    bury(&store, JOB, &end, Some(Duration::from_secs(9))).await;
    assert!(store.look_for_rollbacks().await.is_empty());
    store.usage().await.unwrap();
    store.ping().await.unwrap();
}

/// The documented one gives back the spare room of a full chunk.
#[tokio::test]
async fn user_without_bitop_takes_more_memory_and_loses_nothing() {
    let server = Server::start(false);
    let store = open(server.options()).await.unwrap();
    let mut used = Vec::new();
    for (job, rights) in [(JOB, "+bitop"), (JobId(JOB.0 + 1), "-bitop")] {
        order(server.server.port(), &["ACL", "SETUSER", "veritail", rights]).unwrap();
        open_and_fill(&store, job).await;
        assert_eq!(bytes(&store, job, chunk(0)).await, Some(vec![b'x'; 128 * 1024]), "{rights}");
        let key = format!("veritail:{{{job}}}:chunk:0-1");
        let ::redis::Value::Int(bytes) = order(server.server.port(), &["MEMORY", "USAGE", &key]).unwrap() else {
            panic!("no size");
        };
        used.push(bytes);
    }
    assert!(used[0] < 164 * 1024 && used[1] > 256 * 1024, "{used:?}");
}

/// The documented one spares the server the way of the bytes through Lua.
#[tokio::test]
async fn user_without_rename_loses_nothing() {
    let server = Server::start(false);
    let store = open(server.options()).await.unwrap();
    order(server.server.port(), &["ACL", "SETUSER", "veritail", "-rename"]).unwrap();
    let mut end = OpenEnd::new(Epoch::FIRST, ChunkSize::DEFAULT);
    let opened = store.replace(JOB, None, &Entry::Live(end.clone()), JobStatus::Running, None).await.unwrap();
    assert!(matches!(opened, Outcome::Stored { .. }), "{opened:?}");
    for _ in 0..4 {
        end = append(&store, JOB, &end, &[b'x'; 64 * 1024]).await;
    }
    for index in [0, 1] {
        assert_eq!(bytes(&store, JOB, chunk(index)).await, Some(vec![b'x'; 128 * 1024]));
    }
    let ::redis::Value::Array(log) = order(server.server.port(), &["ACL", "LOG"]).unwrap() else { panic!("no log") };
    assert_eq!(log.len(), 1, "it is tried once: {log:?}");
}

/// What is refused in the middle of a script takes nothing back: the bytes come into the chunk the other way, and only there.
#[tokio::test]
async fn user_without_persist_is_told_so_and_staged_bytes_come_in_all_the_same() {
    let server = Server::start(false);
    let store = open(server.options()).await.unwrap();
    order(server.server.port(), &["ACL", "SETUSER", "veritail", "-persist"]).unwrap();
    let end = OpenEnd::new(Epoch::FIRST, ChunkSize::DEFAULT);
    store.replace(JOB, None, &Entry::Live(end.clone()), JobStatus::Running, None).await.unwrap();
    let end = append(&store, JOB, &end, &[b'x'; 64 * 1024]).await;
    assert_eq!(bytes(&store, JOB, chunk(0)).await, Some(vec![b'x'; 64 * 1024]));
    let (more, _) = super::steps::append_of(&end, b"def");
    let error = store.append(JOB, more).await.unwrap_err().to_string();
    assert!(error.contains("ACL") && error.contains("persist"), "{error}");
}

#[tokio::test]
async fn user_that_may_too_little_is_told_what() {
    let server = Server::start(false);
    let store = open(server.options()).await.unwrap();
    let end = open_trace(&store, JOB).await;
    order(server.server.port(), &["ACL", "SETUSER", "veritail", "-append"]).unwrap();
    let end = append(&store, JOB, &end, b"abc").await;
    let (more, _) = super::steps::append_of(&end, b"def");
    let error = store.append(JOB, more).await.unwrap_err().to_string();
    assert!(error.contains("ACL") && error.contains("append"), "{error}");
    order(server.server.port(), &["ACL", "SETUSER", "veritail", "-evalsha"]).unwrap();
    let error = store.release(JOB, chunk(0), Duration::ZERO).await.unwrap_err().to_string();
    assert!(error.contains("ACL") && error.contains("evalsha"), "{error}");
}

#[tokio::test]
async fn unknown_authority_and_missing_certificate_are_refused() {
    let server = Server::start(true);
    let own = server.authority.sign("veritail");
    let own = (own.certificate.into_bytes(), own.key.into_bytes());
    refusal(server.options()).await;
    let options = Options { certificate: Some(own.clone()), ..server.options() };
    open(options.clone()).await.unwrap().ping().await.unwrap();
    let error = refusal(Options { authority: Some(Authority::new().pem().into()), ..options }).await;
    assert!(error.contains("certificate"), "{error}");
}

#[tokio::test]
async fn wrong_password_is_refused_and_not_repeated() {
    let server = Server::start(false);
    let url = server.options().url.replace("p%40ss%2Fword", "hunter2");
    let error = refusal(Options { url, ..server.options() }).await;
    assert!(!error.contains("hunter2") && error.contains("127.0.0.1"), "{error}");
}

/// Whom to trust, and where.
fn trusting(authority: &Authority, url: String) -> Options {
    Options { url, authority: Some(authority.pem().into()), ..Options::default() }
}

/// No server of it takes a plain connection from another or from a client where TLS is asked for; the address of the new
/// master, which the Sentinels give, is its TLS port.
#[tokio::test]
async fn sentinels_and_both_masters_are_spoken_to_over_tls() {
    let authority = Authority::new();
    let mut sentinel = RedisSentinel::start_over(Some(&authority), Product::Redis);
    let error = refusal(trusting(&Authority::new(), sentinel.url())).await;
    assert!(error.contains("certificate"), "{error}");
    let error = refusal(trusting(&authority, sentinel.url().replace("rediss", "redis"))).await;
    assert!(!error.is_empty(), "a TLS port speaks nothing else");
    let store = open(trusting(&authority, sentinel.url())).await.unwrap();
    let end = append(&store, JOB, &open_trace(&store, JOB).await, b"abc").await;
    assert_eq!(order(sentinel.servers[0].port(), &["WAIT", "1", "5000"]), Ok(redis::Value::Int(1)));
    sentinel.fail_over();
    append_at_last(&store, JOB, &end, b"def").await;
    assert_eq!(bytes(&store, JOB, chunk(0)).await.as_deref(), Some(&b"abcdef"[..]));
    assert_eq!(order(sentinel.servers[1].port(), &["STRLEN", "veritail:{42}:chunk:0-1"]), Ok(redis::Value::Int(6)));
}

#[tokio::test]
async fn masters_of_a_cluster_are_spoken_to_over_tls_and_so_are_redirections() {
    let authority = Authority::new();
    let cluster = RedisCluster::start_over(Some(&authority), Product::Redis);
    let error = refusal(trusting(&Authority::new(), cluster.url())).await;
    assert!(error.contains("certificate"), "{error}");
    // All it is told of is the first node: where the others are, that one says.
    let first = format!("rediss-cluster://127.0.0.1:{}", cluster.nodes[0].tls_port());
    let store = open(trusting(&authority, first)).await.unwrap();
    for job in 1..=12 {
        append(&store, JobId(job), &open_trace(&store, JobId(job)).await, b"abc").await;
    }
    let filled = cluster.nodes.iter().filter(|node| !info(node.port(), "db0").is_empty()).count();
    assert_eq!((scan(&store, 100).await.len(), filled), (24, 3), "{:?}", cluster.keys());
}
