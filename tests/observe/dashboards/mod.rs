//! The dashboards: what they have to be, that they are what their sources say, and that everything on them has an answer
//! from a live service.

mod boards;
mod grafana;
pub mod known;
mod live;
mod pictures;
mod prometheus;
pub mod promql;
mod rules;
mod sources;
mod stage;
