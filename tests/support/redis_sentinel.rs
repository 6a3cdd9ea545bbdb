//! A master, a replica, and three Sentinels that watch them.

use redis::Value;

use super::certificates::Authority;
use super::redis_server::{Product, RedisServer, info, order};
use super::wait::until_blocking;

/// The name under which the Sentinels know the master.
pub const NAME: &str = "trail";

/// All of them; they die with this value.
pub struct RedisSentinel {
    /// The servers, the first master first.
    pub servers: Vec<RedisServer>,
    /// The Sentinels.
    pub sentinels: Vec<RedisServer>,
    over_tls: bool,
}

impl RedisSentinel {
    /// Starts them; the replica is in step and every Sentinel knows the others when this returns.
    pub fn start(product: Product) -> Self {
        Self::start_over(None, product)
    }

    /// The same, all of them over TLS with each other and with clients, if there is an authority.
    pub fn start_over(tls: Option<&Authority>, product: Product) -> Self {
        let among_each_other: &[&str] = if tls.is_some() { &["--tls-replication", "yes"] } else { &[] };
        let start = |more: &[&str]| RedisServer::start_over(tls, product, &[among_each_other, more].concat());
        let port_of = |server: &RedisServer| if tls.is_some() { server.tls_port() } else { server.port() };
        let master = start(&["--repl-diskless-sync-delay", "0"]);
        let port = port_of(&master).to_string();
        let replica = start(&["--replicaof", "127.0.0.1", &port]);
        until_blocking("the replica is in step", || info(replica.port(), "master_link_status") == "up");
        let sentinels: Vec<RedisServer> =
            (0..3).map(|_| RedisServer::start_sentinel(tls, product, among_each_other, &watching(&port))).collect();
        for sentinel in &sentinels {
            until_blocking("the Sentinels know each other and the replica", || {
                let Ok(known) = order(sentinel.port(), &["SENTINEL", "MASTER", NAME]) else { return false };
                let known: std::collections::HashMap<String, String> =
                    redis::FromRedisValue::from_redis_value(known).expect("fields");
                known.get("num-other-sentinels").is_some_and(|others| others == "2")
                    && known.get("num-slaves").is_some_and(|replicas| replicas == "1")
            });
        }
        Self { servers: vec![master, replica], sentinels, over_tls: tls.is_some() }
    }

    /// The URL to connect to.
    pub fn url(&self) -> String {
        let port = |server: &RedisServer| if self.over_tls { server.tls_port() } else { server.port() };
        let all: Vec<_> = self.sentinels.iter().map(|sentinel| format!("127.0.0.1:{}", port(sentinel))).collect();
        format!("{}-sentinel://{}/{NAME}", if self.over_tls { "rediss" } else { "redis" }, all.join(","))
    }

    /// The place of the server that the Sentinels say is the master.
    pub fn master(&self) -> Option<usize> {
        let answer = order(self.sentinels[0].port(), &["SENTINEL", "GET-MASTER-ADDR-BY-NAME", NAME]).ok()?;
        let Value::Array(parts) = answer else { return None };
        let port: u16 = redis::FromRedisValue::from_redis_value(parts.get(1)?.clone()).ok()?;
        self.servers.iter().position(|server| [server.port(), server.tls_port()].contains(&port))
    }

    /// Kills the master and waits until the replica has taken its place.
    pub fn fail_over(&mut self) {
        let old = self.master().expect("a master");
        self.servers[old].kill();
        let new = 1 - old;
        until_blocking("the replica has taken over", || {
            self.master() == Some(new) && info(self.servers[new].port(), "role") == "master"
        });
    }
}

/// The file of a Sentinel that watches the master at this port.
fn watching(master: &str) -> String {
    format!(
        "sentinel monitor {NAME} 127.0.0.1 {master} 2\nsentinel down-after-milliseconds {NAME} 500\n\
         sentinel failover-timeout {NAME} 2000\n"
    )
}
