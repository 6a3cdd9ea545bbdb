//! What whoever runs Veritail sees: the metrics, and the dashboards that show them.

#![allow(clippy::disallowed_methods, reason = "the tests wait for real servers")]
#![allow(unreachable_pub, reason = "public to this test binary")]

#[path = "../support/mod.rs"]
mod support;

mod boards;
mod dashboards;
mod grafana;
mod known;
mod live;
mod pictures;
mod prometheus;
mod promql;
mod sources;
mod stage;
