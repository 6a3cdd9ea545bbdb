//! A Redis Cluster of three masters on loopback, made without any tool: slots are given out, and nodes introduced.

use redis::Value;

use super::certificates::Authority;
use super::redis_server::{Product, RedisServer, free_port, info, order};
use super::wait::until_blocking;

const SLOTS: u16 = 16384;

/// The masters; they die with this value.
pub struct RedisCluster {
    /// In the order of their slots.
    pub nodes: Vec<RedisServer>,
    /// What stands behind the master at a place, if anything does.
    pub replica: Option<(usize, RedisServer)>,
    over_tls: bool,
}

impl RedisCluster {
    /// Starts it; every node sees all slots served when this returns.
    pub fn start(product: Product) -> Self {
        Self::start_over(None, product)
    }

    /// The same, all of them over TLS with each other and with clients, if there is an authority.
    pub fn start_over(tls: Option<&Authority>, product: Product) -> Self {
        let nodes: Vec<RedisServer> = (0..3).map(|_| node(tls, product)).collect();
        let third = SLOTS / 3;
        for (at, node) in (0u16..).zip(&nodes) {
            let (first, last) = (third * at, if at == 2 { SLOTS - 1 } else { third * (at + 1) - 1 });
            done(node.port(), &["CLUSTER", "ADDSLOTSRANGE", &first.to_string(), &last.to_string()]);
            done(node.port(), &["CLUSTER", "SET-CONFIG-EPOCH", &(at + 1).to_string()]);
        }
        let cluster = Self { nodes, replica: None, over_tls: tls.is_some() };
        for node in &cluster.nodes[1..] {
            cluster.introduce(node);
        }
        cluster.until_complete(3);
        cluster
    }

    /// Puts a replica behind the master at a place; it is in step when this returns.
    pub fn add_replica(&mut self, place: usize, product: Product) {
        assert!(!self.over_tls && self.replica.is_none(), "one replica, without TLS");
        let replica = node(None, product);
        self.introduce(&replica);
        let master = id(&self.nodes[place]);
        until_blocking("the replica knows its master", || {
            order(replica.port(), &["CLUSTER", "REPLICATE", &master]).is_ok()
        });
        until_blocking("the replica is in step", || info(replica.port(), "master_link_status") == "up");
        self.replica = Some((place, replica));
        self.until_complete(4);
    }

    /// Kills the master that has a replica, and waits until that has taken its place.
    pub fn fail_over(&mut self) {
        let (place, replica) = self.replica.take().expect("a replica");
        self.nodes[place].kill();
        until_blocking("the replica has taken over", || info(replica.port(), "role") == "master");
        self.nodes[place] = replica;
        self.until_complete(4);
    }

    /// Makes a node known to the first one, and by it to all.
    fn introduce(&self, node: &RedisServer) {
        let Ok(Value::BulkString(own)) = order(node.port(), &["CLUSTER", "NODES"]) else { panic!("a node's nodes") };
        let own = String::from_utf8(own).expect("text");
        let bus = own.split_once('@').expect("a bus port").1;
        let bus: String = bus.chars().take_while(char::is_ascii_digit).collect();
        done(self.nodes[0].port(), &["CLUSTER", "MEET", "127.0.0.1", &self.port_of(node).to_string(), &bus]);
    }

    /// Waits until every node sees so many nodes, and all slots served.
    fn until_complete(&self, known: usize) {
        let known = format!("cluster_known_nodes:{known}");
        for node in &self.nodes {
            until_blocking("the Cluster is complete", || {
                let Ok(Value::BulkString(state)) = order(node.port(), &["CLUSTER", "INFO"]) else { return false };
                let state = String::from_utf8_lossy(&state).into_owned();
                state.contains("cluster_state:ok") && state.contains(&known)
            });
        }
    }

    fn port_of(&self, node: &RedisServer) -> u16 {
        if self.over_tls { node.tls_port() } else { node.port() }
    }

    /// The URL to connect to.
    pub fn url(&self) -> String {
        let all: Vec<_> = self.nodes.iter().map(|node| format!("127.0.0.1:{}", self.port_of(node))).collect();
        format!("{}-cluster://{}", if self.over_tls { "rediss" } else { "redis" }, all.join(","))
    }

    /// The place of the node that has a key's slot now.
    pub fn place_of(&self, slot: u16) -> usize {
        let has = |node: &RedisServer| {
            let Ok(Value::BulkString(nodes)) = order(node.port(), &["CLUSTER", "NODES"]) else { return false };
            let nodes = String::from_utf8_lossy(&nodes).into_owned();
            let own = nodes.lines().find(|line| line.contains("myself")).unwrap_or_default().to_owned();
            own.split(' ').skip(8).any(|range| {
                let (first, last) = range.split_once('-').unwrap_or((range, range));
                matches!((first.parse::<u16>(), last.parse::<u16>()), (Ok(first), Ok(last)) if (first..=last).contains(&slot))
            })
        };
        self.nodes.iter().position(has).expect("a node has the slot")
    }

    /// Begins to move a slot: from now on each side sends for keys to the other.
    pub fn begin_move(&self, slot: u16, to: usize) {
        let (source, target) = (&self.nodes[self.place_of(slot)], &self.nodes[to]);
        let slot = slot.to_string();
        done(target.port(), &["CLUSTER", "SETSLOT", &slot, "IMPORTING", &id(source)]);
        done(source.port(), &["CLUSTER", "SETSLOT", &slot, "MIGRATING", &id(target)]);
    }

    /// Moves one key of a slot that is being moved.
    pub fn move_key(&self, slot: u16, key: &str, to: usize) {
        let source = &self.nodes[self.place_of(slot)];
        done(source.port(), &["MIGRATE", "127.0.0.1", &self.nodes[to].port().to_string(), key, "0", "5000"]);
    }

    /// Moves what is left in the slot, and gives it over.
    pub fn end_move(&self, slot: u16, to: usize) {
        let source = &self.nodes[self.place_of(slot)];
        let number = slot.to_string();
        loop {
            let keys = order(source.port(), &["CLUSTER", "GETKEYSINSLOT", &number, "100"]).expect("keys");
            let keys: Vec<String> = redis::FromRedisValue::from_redis_value(keys).expect("keys");
            if keys.is_empty() {
                break;
            }
            keys.iter().for_each(|key| self.move_key(slot, key, to));
        }
        let new = id(&self.nodes[to]);
        done(self.nodes[to].port(), &["CLUSTER", "SETSLOT", &number, "NODE", &new]);
        done(source.port(), &["CLUSTER", "SETSLOT", &number, "NODE", &new]);
    }

    /// Empties every node.
    pub fn flush(&self) {
        self.nodes.iter().for_each(|node| done(node.port(), &["FLUSHALL"]));
    }

    /// How many keys each node has.
    pub fn keys(&self) -> Vec<String> {
        self.nodes.iter().map(|node| info(node.port(), "db0")).collect()
    }
}

/// A server that has no slots and knows no other yet.
fn node(tls: Option<&Authority>, product: Product) -> RedisServer {
    // Its own port for the bus: the usual one, 10000 further, may be beyond the last.
    let bus = free_port().to_string();
    let mut arguments = vec!["--cluster-enabled", "yes", "--cluster-port", &bus, "--cluster-node-timeout", "2000"];
    if tls.is_some() {
        arguments.extend(["--tls-cluster", "yes"]);
    }
    RedisServer::start_over(tls, product, &arguments)
}

fn done(port: u16, words: &[&str]) {
    order(port, words).unwrap_or_else(|error| panic!("{words:?}: {error}"));
}

fn id(node: &RedisServer) -> String {
    let id = order(node.port(), &["CLUSTER", "MYID"]).expect("an id");
    redis::FromRedisValue::from_redis_value(id).expect("text")
}
