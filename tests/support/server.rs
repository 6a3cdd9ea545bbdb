//! A whole Veritail for a test, and a client that speaks to it over HTTP.
//!
//! [`Binary`] is the real program in a process of its own; [`Node`] is the same parts put together in the test's process,
//! where a test can put hooks between the pipeline and its stores and reach the stores themselves.

#![allow(clippy::disallowed_methods, reason = "the tests wait for a real server")]
#![allow(unused_imports, reason = "each test binary uses a part of it")]

mod away;
mod binary;
mod client;
mod launch;
mod node;

pub use away::Away;
pub use binary::Binary;
pub use client::{Answer, Client, Job, Send, ended, flipped, log};
pub use launch::{ADMIN_TOKEN, PROGRAM, kill, launch, log_of};
pub use node::{Front, Hooks, Node};
