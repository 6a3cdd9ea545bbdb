//! The upload loop of a runner over HTTP, against the real program on the embedded stores, on Redis, and on Redis,
//! PostgreSQL and S3, with faults in between. Each run ends with the log byte for byte, the right verdict, the right mismatches, and a count of what was
//! sent again.
#![allow(clippy::disallowed_methods, reason = "the tests wait for real servers")]
#![allow(unreachable_pub, reason = "one test binary, nothing outside of it")]

#[path = "../support/mod.rs"]
mod support;

mod long;
mod loss;
mod proxy;
mod quiet;
mod redis;
mod spill;
mod stage;
