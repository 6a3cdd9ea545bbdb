//! Crash tests: the real process dies at every named point between two durable steps, and at random moments under load.
//!
//! After each death it is started again on the same folder, its runners go on as runners do, and then everything that was
//! acknowledged is there, proven, and nothing is left behind but what a later step is known to remove.

#![allow(clippy::disallowed_methods, reason = "drives real processes in real time")]
#![allow(unreachable_pub, reason = "public to this test binary")]

#[path = "../support/mod.rs"]
mod support;

mod erase;
mod ground;
mod kills;
mod points;
mod remains;
mod runner;
mod server;
