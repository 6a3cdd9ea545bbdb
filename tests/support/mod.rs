//! What the tests stand on: models of the stores, real servers, and hooks that record or fail.
#![allow(dead_code, reason = "each test binary uses a part of it")]
#![allow(unreachable_pub, reason = "public to the test binary that includes it")]

pub mod clock;
pub mod hooks;
pub mod model;
pub mod postgres_server;
pub mod redis_cluster;
pub mod redis_sentinel;
pub mod redis_server;
pub mod runner;
pub mod server;
