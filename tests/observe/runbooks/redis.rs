//! What the first page says of Sentinel and Cluster: each line, of real ones.

use super::machine::Machine;
use super::{Block, block};
use crate::alerts::{read, root};
use crate::support::redis_cluster::RedisCluster;
use crate::support::redis_sentinel::{NAME, RedisSentinel};
use crate::support::redis_server::{Product, order};

/// The block that sets `REDIS` to a master.
pub(super) fn masters() -> Block {
    block("README", "sentinel get-master-addr-by-name")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_master_is_found_behind_sentinels_and_in_a_cluster() {
    let (sentinel, cluster) =
        tokio::task::block_in_place(|| (RedisSentinel::start(Product::Redis), RedisCluster::start(Product::Redis)));
    let machine = Machine::start_alone();
    let master = sentinel.servers[sentinel.master().expect("a master")].port();
    let asked = format!("127.0.0.1 -p {}", sentinel.sentinels[0].port());
    let node = format!("redis://127.0.0.1:{}", cluster.nodes[0].port());
    let second = format!("redis://127.0.0.1:{}/0", cluster.nodes[1].port());
    let masters = masters();
    // Then as every runbook asks the one in REDIS.
    let then = Block { text: masters.text.clone() + "redis-cli -u \"${REDIS:?}\" ping\n", ..masters };
    let said = machine.run(
        &then,
        &[
            ("10.0.0.21 -p 26379", asked.as_str()),
            ("mymaster", NAME),
            ("redis://veritail:password@10.0.0.21:6379", &node),
            ("redis://veritail:password@10.0.0.22:6379/0", &second),
        ],
    );
    assert_eq!(said.line(0).split_whitespace().collect::<Vec<_>>(), ["127.0.0.1", &master.to_string()]);
    for server in &cluster.nodes {
        assert!(said.line(1).contains(&format!("127.0.0.1:{}@", server.port())), "{}", said.all());
    }
    assert_eq!(said.line(1).lines().count(), 3, "{}", said.all());
    assert_eq!(said.line(3), "PONG");
}

/// Of what the runbooks ask Redis, as the first page says.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_user_of_the_nodes_may_ask_some_of_it() {
    let machine = Machine::start(&[]).await;
    let port = machine.production().redis.port();
    let rights = read(&root().join("docs/operations/redis.md"));
    let (_, rights) = rights.split_once("\nACL SETUSER veritail ").expect("the rights");
    let rights = rights.split("\n```").next().expect("a block").replace("\\\n", " ");
    let words: Vec<&str> = ["ACL", "SETUSER", "veritail"].into_iter().chain(rights.split_whitespace()).collect();
    order(port, &words).expect("Redis takes it");
    let ask = |words: &str| {
        let text =
            format!("export REDIS=redis://veritail:password@127.0.0.1:{port}\nredis-cli -u \"$REDIS\" {words}\n");
        machine.attempt(&Block { page: "the test".to_owned(), info: "sh".to_owned(), text }, &[])
    };
    for may in ["ping", "info memory"] {
        assert!(ask(may).is_ok(), "{may}");
    }
    for may_not in ["config get maxmemory", "client list", "dbsize"] {
        let said = ask(may_not).err().unwrap_or_else(|| panic!("{may_not} is allowed"));
        assert!(said.contains("NOPERM"), "{said}");
    }
}
