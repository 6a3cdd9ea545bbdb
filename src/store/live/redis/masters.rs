//! The masters, and the way of a command to the one that has its keys.
//!
//! One server is a map of one range, and so is a Sentinel's master; in a Cluster there are many. A command is sent again
//! only where the server said that it did nothing (`MOVED`, `ASK`, `TRYAGAIN`, `CLUSTERDOWN`, `LOADING`, `READONLY`) or
//! where it was never sent. An answer that got lost is the caller's to look into.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use ::redis::{Client, Cmd, ErrorKind, RedisError, RedisResult, ServerErrorKind, Value};
use tokio::sync::Mutex;

use super::access::Access;
use super::cluster::{self, Owned, SLOTS};
use super::node::{Failed, Node};
use super::sentinel;
use super::url::{Address, Shape};
use super::{RESPONSE_TIMEOUT, Time};
use crate::trace::Timestamp;

/// Sendings of one command at most.
const ROUNDS: u32 = 12;
/// The first wait for a Cluster that asks for one, in milliseconds, and the longest.
const WAIT_MIN: u64 = 10;
const WAIT_MAX: u64 = 400;
/// The map is not looked at again within about this time, in milliseconds, however many commands would like it.
const MAP_AGE_MIN: u64 = 100;

/// Who has which slots.
#[derive(Default)]
pub(super) struct Map {
    version: u64,
    ranges: Vec<(u16, u16, Arc<Node>)>,
}

impl Map {
    pub(super) fn node(&self, slot: u16) -> Option<&Arc<Node>> {
        self.ranges.iter().find(|(first, last, _)| (*first..=*last).contains(&slot)).map(|(_, _, node)| node)
    }

    /// The masters in the order of their addresses, each with its first slot.
    pub(super) fn masters(&self) -> Vec<(u16, Arc<Node>)> {
        let mut masters: BTreeMap<&str, (u16, &Arc<Node>)> = BTreeMap::new();
        for (first, _, node) in &self.ranges {
            let known = masters.entry(node.address()).or_insert((*first, node));
            known.0 = known.0.min(*first);
        }
        masters.into_values().map(|(first, node)| (first, node.clone())).collect()
    }

    /// The same with one slot elsewhere.
    fn with(&self, slot: u16, node: Arc<Node>) -> Self {
        let mut ranges = vec![(slot, slot, node)];
        for (first, last, node) in &self.ranges {
            if *first < slot {
                ranges.push((*first, (*last).min(slot - 1), node.clone()));
            }
            if *last > slot {
                ranges.push(((*first).max(slot + 1), *last, node.clone()));
            }
        }
        Self { version: self.version + 1, ranges }
    }
}

/// The masters of a live store.
pub(super) struct Masters {
    shape: Shape,
    access: Access,
    time: Time,
    map: RwLock<Arc<Map>>,
    /// When the map was last looked at; held while that is done.
    looked: Mutex<Option<Timestamp>>,
}

impl Masters {
    /// Finds them. Fails if none can be found.
    pub(super) async fn find(shape: Shape, access: Access, time: Time) -> RedisResult<Self> {
        let masters = Self { shape, access, time, map: RwLock::default(), looked: Mutex::default() };
        let ranges = masters.look().await?;
        masters.put(Map { version: 1, ranges });
        Ok(masters)
    }

    pub(super) fn is_cluster(&self) -> bool {
        matches!(self.shape, Shape::Cluster(_))
    }

    /// Who has what, as last seen.
    pub(super) fn map(&self) -> Arc<Map> {
        self.map.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn put(&self, map: Map) {
        *self.map.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(map);
    }

    /// Looks again who has what. One look at a time, and not at once again.
    pub(super) async fn refresh(&self) -> RedisResult<()> {
        self.refresh_after(self.map().version).await
    }

    async fn refresh_after(&self, seen: u64) -> RedisResult<()> {
        let mut looked = self.looked.lock().await;
        let now = self.time.clock.now();
        let version = self.map().version;
        if version != seen || looked.is_some_and(|at| now >= at && now.ms_since(at) < MAP_AGE_MIN) {
            return Ok(());
        }
        let ranges = self.look().await;
        *looked = Some(self.time.clock.now());
        self.put(Map { version: version + 1, ranges: ranges? });
        Ok(())
    }

    async fn look(&self) -> RedisResult<Vec<(u16, u16, Arc<Node>)>> {
        let known = self.map();
        let all = |node| vec![(0, SLOTS - 1, node)];
        match &self.shape {
            Shape::Single(address) => {
                let known = known.node(0).cloned();
                known.map_or_else(|| self.node(&Map::default(), address), Ok).map(all)
            }
            Shape::Given(given) => match known.node(0) {
                Some(node) => Ok(all(node.clone())),
                None => {
                    let client = self.access.given(given)?;
                    Ok(all(Node::new(given.addr().to_string(), client, self.time.clone())))
                }
            },
            Shape::Sentinel { sentinels, name } => {
                let address = sentinel::master(&self.access, sentinels, name, &self.time).await?;
                self.node(&known, &address).map(all)
            }
            Shape::Cluster(seeds) => {
                let owned = self.ask_cluster(&known, seeds).await?;
                owned.iter().map(|owned| Ok((owned.first, owned.last, self.node(&known, &owned.master)?))).collect()
            }
        }
    }

    /// Asks the masters that are known, and then those of the URL, until one answers.
    async fn ask_cluster(&self, known: &Map, seeds: &[Address]) -> RedisResult<Vec<Owned>> {
        let mut last = RedisError::from((ErrorKind::Client, "no node of the Cluster was asked"));
        let known = known.masters().into_iter().map(|(_, node)| Ok(node));
        let seeds = seeds.iter().map(|seed| self.any_role(seed));
        for node in known.chain(seeds) {
            let node = node?;
            let host = node.address().rsplit_once(':').map_or("", |(host, _)| host).trim_matches(['[', ']']);
            let answer = node.call(&cluster::ask_slots()).await.map_err(RedisError::from);
            match answer.and_then(|answer| cluster::read_slots(answer, host)) {
                Ok(owned) if owned.is_empty() => {
                    last = (ErrorKind::Client, "the Cluster has not given out any slots").into();
                }
                Ok(owned) => return Ok(owned),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// A node to ask about the others; a replica will do.
    fn any_role(&self, address: &Address) -> RedisResult<Arc<Node>> {
        let client: Client = self.access.client(address)?;
        Ok(Node::of_any_role(address.to_string(), client, self.time.clone()))
    }

    /// The node at an address: the one that is known, with its connection, or a new one.
    fn node(&self, known: &Map, address: &Address) -> RedisResult<Arc<Node>> {
        let name = address.to_string();
        match known.ranges.iter().find(|(_, _, node)| node.address() == name) {
            Some((_, _, node)) => Ok(node.clone()),
            None => Ok(Node::new(name, self.access.client(address)?, self.time.clone())),
        }
    }

    /// Sends a command to the master of its slot, and follows the slot.
    pub(super) async fn call(&self, slot: u16, command: &Cmd) -> RedisResult<Value> {
        let begun = self.time.clock.now();
        let mut asked: Option<Arc<Node>> = None;
        let mut round = 0;
        loop {
            round += 1;
            let map = self.map();
            let (node, answer) = match (asked.take(), map.node(slot)) {
                (Some(node), _) => (Some(node.clone()), node.call_asking(command).await),
                (None, Some(node)) => (Some(node.clone()), node.call(command).await),
                (None, None) => (None, Err(Failed::NotSent(nobody(slot)))),
            };
            let failed = match answer {
                Ok(answer) => return Ok(answer),
                Err(failed) => failed,
            };
            let late = u128::from(self.time.clock.now().ms_since(begun)) >= RESPONSE_TIMEOUT.as_millis();
            let next = next(&failed);
            let error = RedisError::from(failed);
            if late || round >= ROUNDS || next == Next::GiveUp {
                return Err(error);
            }
            let host = node.as_ref().and_then(|node| node.address().rsplit_once(':')).map_or("", |(host, _)| host);
            match next {
                Next::Moved => {
                    let Some(to) = cluster::redirected(&error, host.trim_matches(['[', ']'])) else {
                        return Err(error);
                    };
                    // What the others have heard of it may be older than what its last owner says.
                    let _ = self.refresh_after(map.version).await;
                    self.move_slot(slot, &to)?;
                }
                Next::Ask => {
                    let Some(to) = cluster::redirected(&error, host.trim_matches(['[', ']'])) else {
                        return Err(error);
                    };
                    asked = Some(self.node(&map, &to)?);
                }
                Next::Wait => {
                    self.time.pause((WAIT_MIN << round.min(8)).min(WAIT_MAX)).await;
                    let _ = self.refresh_after(map.version).await;
                }
                Next::Look | Next::GiveUp => {
                    self.refresh_after(map.version).await.map_err(|_| error.clone())?;
                    let now = self.map();
                    if now.node(slot).map(|node| node.address()) == node.as_ref().map(|node| node.address()) {
                        return Err(error);
                    }
                }
            }
        }
    }

    fn move_slot(&self, slot: u16, to: &Address) -> RedisResult<()> {
        let name = to.to_string();
        let mut current = self.map.write().unwrap_or_else(PoisonError::into_inner);
        if self.is_cluster() && current.node(slot).is_none_or(|node| node.address() != name) {
            let node = self.node(&current, to)?;
            *current = Arc::new(current.with(slot, node));
        }
        Ok(())
    }
}

fn nobody(slot: u16) -> RedisError {
    (ErrorKind::Client, "no master has the slot", slot.to_string()).into()
}

/// What to do about a command that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    /// The slot is elsewhere now.
    Moved,
    /// The slot is on its way, and this key has arrived.
    Ask,
    /// It passes: keys of the slot are on both sides, or the Cluster has no quorum yet, or data is being loaded.
    Wait,
    /// It was not done here. Perhaps another master has taken over: look, and go there if so.
    Look,
    /// It is not known whether it was done, or it was refused for good.
    GiveUp,
}

fn next(failed: &Failed) -> Next {
    match failed {
        Failed::NotSent(_) => Next::Look,
        Failed::Sent(error) => match error.kind() {
            ErrorKind::Server(ServerErrorKind::Moved) => Next::Moved,
            ErrorKind::Server(ServerErrorKind::Ask) => Next::Ask,
            ErrorKind::Server(
                ServerErrorKind::TryAgain
                | ServerErrorKind::ClusterDown
                | ServerErrorKind::MasterDown
                | ServerErrorKind::BusyLoading,
            ) => Next::Wait,
            ErrorKind::Server(ServerErrorKind::ReadOnly) => Next::Look,
            _ => Next::GiveUp,
        },
    }
}
