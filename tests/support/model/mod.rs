//! Models of the stores: in memory, deterministic, without a runtime, with the same answers as the real ones.

#![allow(unreachable_pub, dead_code, reason = "every test crate uses its own part of what is shared")]

pub mod database;
pub mod objects;
