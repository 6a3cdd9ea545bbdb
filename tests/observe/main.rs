//! What whoever runs the service sees of it: metrics, logs and traces, and what is made of them.

#![allow(clippy::disallowed_methods, reason = "the tests wait for real servers")]
#![allow(unreachable_pub, reason = "public to this test binary")]

#[path = "../support/mod.rs"]
mod support;

mod alertmanager;
mod alerts;
mod dashboards;
mod deployed;
mod logs;
mod metrics;
mod mutation;
mod page;
mod rules;
mod runbooks;
mod spans;
mod way;
