//! The service over HTTP: every row of the protocol, what is hostile, and what an operation costs.
#![allow(clippy::disallowed_methods, reason = "the tests wait for real servers")]

#[path = "../support/mod.rs"]
mod support;

mod access;
mod admin;
mod bad_input;
mod cli;
mod cost;
mod described;
mod drills;
mod limits;
mod nodes;
mod reader;
mod records;
mod restored;
mod runner;
mod sweeps;
mod whole;
