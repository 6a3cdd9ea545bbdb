//! The commands for people and operators, and the server's edge: the real program in processes of its own.
#![allow(clippy::disallowed_methods, reason = "the tests wait for real processes")]
#![allow(unreachable_pub, reason = "one test binary, nothing outside of it")]

#[path = "../support/mod.rs"]
mod support;

mod bench;
mod cat;
mod drill;
mod edge;
mod messages;
mod mismatches;
mod plain;
mod program;
mod send;
mod tls;
mod verify;
