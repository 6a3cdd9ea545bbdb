//! Veritail: verified build logs.
//!
//! Data flows down, and nothing imports what is above it:
//! `cli`, `api` > `pipeline` > `tasks` > `store` > `trace`; `telemetry` is a leaf.

pub mod api;
pub mod app;
pub mod cli;
pub mod config;
pub mod pipeline;
pub mod seams;
pub mod store;
pub mod telemetry;
pub mod trace;
pub mod verify;
