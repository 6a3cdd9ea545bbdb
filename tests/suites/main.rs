//! One conformance suite per store trait, run by every implementation.

#[path = "../support/mod.rs"]
mod support;

mod database;
mod object;
