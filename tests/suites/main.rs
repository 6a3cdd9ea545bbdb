//! One conformance suite per store contract; every implementation passes it, and so do the wrappers.

#![allow(clippy::unwrap_used, reason = "a test that unwraps nothing has failed")]

#[path = "../support/mod.rs"]
mod support;

mod database;
mod inventory;
mod live;
mod object;
