//! Clients that other people wrote, unmodified, against the real program.
#![allow(clippy::disallowed_methods, reason = "the tests wait for real servers")]

#[path = "../support/mod.rs"]
mod support;

mod python;
