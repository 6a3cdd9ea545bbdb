//! A master, a replica, and three Sentinels that watch them.

use redis::Value;

use super::redis_server::{Durability, Product, RedisServer, info, order, until};

/// The name under which the Sentinels know the master.
pub const NAME: &str = "trail";

/// All of them; they die with this value.
pub struct RedisSentinel {
    /// The servers, the first master first.
    pub servers: Vec<RedisServer>,
    /// The Sentinels.
    pub sentinels: Vec<RedisServer>,
}

impl RedisSentinel {
    /// Starts them; the replica is in step and every Sentinel knows the others when this returns.
    pub fn start(product: Product) -> Self {
        let master = RedisServer::start_with(product, Durability::Nothing, &["--repl-diskless-sync-delay", "0"]);
        let port = master.port().to_string();
        let replica = RedisServer::start_with(product, Durability::Nothing, &["--replicaof", "127.0.0.1", &port]);
        until("the replica is in step", || info(replica.port(), "master_link_status") == "up");
        let sentinels: Vec<RedisServer> = (0..3).map(|_| sentinel(product, &port)).collect();
        for sentinel in &sentinels {
            until("the Sentinels know each other and the replica", || {
                let Ok(known) = order(sentinel.port(), &["SENTINEL", "MASTER", NAME]) else { return false };
                let known: std::collections::HashMap<String, String> =
                    redis::FromRedisValue::from_redis_value(known).expect("fields");
                known.get("num-other-sentinels").is_some_and(|others| others == "2")
                    && known.get("num-slaves").is_some_and(|replicas| replicas == "1")
            });
        }
        Self { servers: vec![master, replica], sentinels }
    }

    /// The URL to connect to.
    pub fn url(&self) -> String {
        let all: Vec<_> = self.sentinels.iter().map(|sentinel| format!("127.0.0.1:{}", sentinel.port())).collect();
        format!("redis-sentinel://{}/{NAME}", all.join(","))
    }

    /// The place of the server that the Sentinels say is the master.
    pub fn master(&self) -> Option<usize> {
        let answer = order(self.sentinels[0].port(), &["SENTINEL", "GET-MASTER-ADDR-BY-NAME", NAME]).ok()?;
        let Value::Array(parts) = answer else { return None };
        let port: u16 = redis::FromRedisValue::from_redis_value(parts.get(1)?.clone()).ok()?;
        self.servers.iter().position(|server| server.port() == port)
    }

    /// Kills the master and waits until the replica has taken its place.
    pub fn fail_over(&mut self) {
        let old = self.master().expect("a master");
        self.servers[old].kill();
        let new = 1 - old;
        until("the replica has taken over", || {
            self.master() == Some(new) && info(self.servers[new].port(), "role") == "master"
        });
    }
}

fn sentinel(product: Product, master: &str) -> RedisServer {
    let file = format!(
        "sentinel monitor {NAME} 127.0.0.1 {master} 2\nsentinel down-after-milliseconds {NAME} 500\n\
         sentinel failover-timeout {NAME} 2000\n"
    );
    RedisServer::start_sentinel(product, &file)
}
