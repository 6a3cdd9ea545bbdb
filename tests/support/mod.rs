//! What the tests stand on: models of the stores, real servers, and hooks that record or fail.
#![allow(dead_code, reason = "each test binary uses a part of it")]
#![allow(unreachable_pub, reason = "public to the test binary that includes it")]
#![allow(clippy::disallowed_methods, reason = "the tests wait for real servers")]

pub mod azurite;
pub mod bad_network;
pub mod certificates;
pub mod clock;
pub mod free_ports;
pub mod hooks;
pub mod model;
pub mod postgres_server;
pub mod production;
pub mod program;
pub mod redis_cluster;
pub mod redis_sentinel;
pub mod redis_server;
pub mod runner;
pub mod server;
pub mod wait;
pub mod weed;
