//! The faults, each with what it may take away.

use std::time::Duration;

use futures::future::BoxFuture;

use crate::stack::{Needs, Stack};
use crate::support::runner::pause;

/// One fault under load.
pub struct Scenario {
    /// Its name in the report.
    pub name: &'static str,
    /// What it runs on.
    pub needs: fn() -> Needs,
    /// What it takes away for good, so that a mismatch of it is no false one.
    pub takes: Takes,
    /// True if a process dies in it: what it had half done may be left for the inventory.
    pub kills: bool,
    /// The fault itself; when it returns everything is well again.
    pub fault: for<'a> fn(&'a mut Stack) -> BoxFuture<'a, ()>,
}

/// What a fault takes away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Takes {
    /// Nothing that was acknowledged.
    Nothing,
    /// Bytes in the live store.
    LiveBytes,
    /// Objects that were read back.
    Objects,
}

/// How long something is away.
const AWAY: Duration = Duration::from_secs(3);

macro_rules! scenarios {
    ($($(#[doc = $doc:literal])* $name:ident on $needs:path, takes $takes:ident, kills $kills:literal, |$stack:ident| $fault:block)+) => {
        /// All of them.
        pub const ALL: &[Scenario] = &[$(Scenario {
            name: stringify!($name),
            needs: $needs,
            takes: Takes::$takes,
            kills: $kills,
            fault: |$stack| Box::pin(async move $fault),
        }),+];
    };
}

scenarios! {
    /// No fault: the measure of all others.
    nothing_happens on Needs::everything, takes Nothing, kills false, |_stack| {
        tokio::time::sleep(AWAY).await;
    }
    redis_restarted_that_keeps_everything on Needs::a_redis_that_keeps, takes Nothing, kills false, |stack| {
        stack.redis.kill();
        tokio::time::sleep(AWAY).await;
        stack.redis.restart();
    }
    redis_wiped on Needs::everything, takes LiveBytes, kills false, |stack| {
        stack.redis_command(&["FLUSHALL"]);
    }
    redis_restarted_empty on Needs::everything, takes LiveBytes, kills false, |stack| {
        stack.redis.restart();
    }
    redis_set_back on Needs::everything, takes LiveBytes, kills false, |stack| {
        stack.redis_command(&["SAVE"]);
        tokio::time::sleep(AWAY / 2).await;
        stack.redis.restart();
    }
    redis_paused on Needs::everything, takes Nothing, kills false, |stack| {
        stack.redis.pause();
        // Longer than a command waits.
        tokio::time::sleep(Duration::from_secs(7)).await;
        stack.redis.go_on();
    }
    redis_full on Needs::everything, takes Nothing, kills false, |stack| {
        stack.redis_command(&["CONFIG", "SET", "maxmemory", "1"]);
        tokio::time::sleep(AWAY).await;
        stack.redis_command(&["CONFIG", "SET", "maxmemory", "0"]);
    }
    a_node_killed on Needs::everything, takes Nothing, kills true, |stack| {
        stack.kill_node(0);
        tokio::time::sleep(AWAY).await;
        stack.restart_node(0);
    }
    nodes_killed_one_after_the_other on Needs::everything, takes Nothing, kills true, |stack| {
        for node in 0..stack.nodes() {
            stack.kill_node(node);
            pause(500).await;
            stack.restart_node(node);
        }
    }
    a_node_paused_and_back on Needs::everything, takes Nothing, kills false, |stack| {
        stack.pause_node(1);
        // Longer than its turn at the sweeps lasts.
        tokio::time::sleep(Duration::from_secs(8)).await;
        stack.resume_node(1);
    }
    an_object_lost_after_its_read_back on Needs::everything, takes Objects, kills false, |stack| {
        let lost = stack.lose_objects(6).await;
        for job in lost {
            // The reader that meets the hole reports it, and the runner is asked again.
            stack.read(job).await;
        }
    }
}
