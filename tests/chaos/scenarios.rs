//! The faults, each with what it may take away.

use std::time::Duration;

use futures::future::BoxFuture;

use crate::stack::{Redis, Stack};
use crate::support::bad_network::Fault;
use crate::support::runner::pause;

/// One fault under load.
pub struct Scenario {
    /// Its name in the report.
    pub name: &'static str,
    /// The Redis it runs on; the rest is PostgreSQL and S3 always.
    pub redis: Redis,
    /// What it takes away for good, so that a mismatch of it is no false one.
    pub takes: Takes,
    /// True if a process or an answer dies in it: an object that was half done may be left for a while.
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
    ($($name:ident on $redis:ident, takes $takes:ident, kills $kills:literal, |$stack:ident| $fault:block)+) => {
        /// All of them.
        pub const ALL: &[Scenario] = &[$(Scenario {
            name: stringify!($name),
            redis: Redis::$redis,
            takes: Takes::$takes,
            kills: $kills,
            fault: |$stack| Box::pin(async move $fault),
        }),+];
    };
}

scenarios! {
    nothing_happens on Alone, takes Nothing, kills false, |_stack| {
        tokio::time::sleep(AWAY).await;
    }
    redis_restarted_that_keeps on Keeps, takes Nothing, kills false, |stack| {
        stack.redis().kill();
        tokio::time::sleep(AWAY).await;
        stack.redis().restart();
    }
    redis_wiped on Alone, takes LiveBytes, kills false, |stack| {
        stack.redis().command(&["FLUSHALL"]);
    }
    redis_restarted_empty on Alone, takes LiveBytes, kills false, |stack| {
        stack.redis().restart();
    }
    redis_set_back on Alone, takes LiveBytes, kills false, |stack| {
        stack.redis().command(&["SAVE"]);
        tokio::time::sleep(AWAY / 2).await;
        stack.redis().restart();
    }
    redis_paused on Alone, takes Nothing, kills true, |stack| {
        stack.redis().pause();
        // Longer than a command waits.
        tokio::time::sleep(Duration::from_secs(7)).await;
        stack.redis().go_on();
    }
    redis_full on Alone, takes Nothing, kills false, |stack| {
        stack.redis().command(&["CONFIG", "SET", "maxmemory", "1"]);
        tokio::time::sleep(AWAY).await;
        stack.redis().command(&["CONFIG", "SET", "maxmemory", "0"]);
    }
    redis_failed_over on Sentinels, takes LiveBytes, kills false, |stack| {
        tokio::task::block_in_place(|| stack.sentinels().fail_over());
    }
    postgres_restarted on Alone, takes Nothing, kills true, |stack| {
        stack.engines.postgres.stop();
        tokio::time::sleep(AWAY).await;
        stack.engines.postgres.restart();
    }
    postgres_paused on Alone, takes Nothing, kills true, |stack| {
        stack.engines.postgres.pause();
        tokio::time::sleep(Duration::from_secs(6)).await;
        stack.engines.postgres.resume();
    }
    s3_down on Alone, takes Nothing, kills true, |stack| {
        stack.engines.weed.stop();
        tokio::time::sleep(AWAY * 2).await;
        tokio::task::block_in_place(|| stack.engines.weed.restart());
    }
    s3_slow on Alone, takes Nothing, kills true, |stack| {
        stack.network.always(Some(("PUT", Fault::Slow(Duration::from_millis(1500)))));
        tokio::time::sleep(AWAY).await;
        stack.network.always(None);
    }
    s3_answers_503 on Alone, takes Nothing, kills true, |stack| {
        stack.network.always(Some(("PUT", Fault::Refuse(503))));
        tokio::time::sleep(AWAY).await;
        stack.network.always(None);
    }
    s3_takes_objects_and_answers_500 on Alone, takes Nothing, kills true, |stack| {
        stack.network.always(Some(("PUT", Fault::Deny(500))));
        tokio::time::sleep(AWAY).await;
        stack.network.always(None);
    }
    s3_cuts_uploads on Alone, takes Nothing, kills true, |stack| {
        stack.network.always(Some(("PUT", Fault::CutRequest)));
        tokio::time::sleep(AWAY).await;
        stack.network.always(None);
    }
    s3_cuts_downloads on Alone, takes Nothing, kills true, |stack| {
        stack.network.always(Some(("GET", Fault::CutAnswer)));
        tokio::time::sleep(AWAY).await;
        stack.network.always(None);
    }
    s3_loses_objects_after_their_read_back on Alone, takes Objects, kills false, |stack| {
        for job in stack.lose_objects(6).await {
            // The reader that meets the hole reports it, and the runner is asked again.
            stack.read(job).await;
        }
    }
    a_node_killed on Alone, takes Nothing, kills true, |stack| {
        stack.kill_node(0);
        tokio::time::sleep(AWAY).await;
        stack.restart_node(0);
    }
    nodes_killed_one_after_the_other on Alone, takes Nothing, kills true, |stack| {
        for node in 0..stack.nodes() {
            stack.kill_node(node);
            pause(500).await;
            stack.restart_node(node);
        }
    }
    a_node_paused_and_back on Alone, takes Nothing, kills true, |stack| {
        stack.pause_node(1);
        // Longer than its turn at the sweeps lasts.
        tokio::time::sleep(Duration::from_secs(8)).await;
        stack.resume_node(1);
    }
}
