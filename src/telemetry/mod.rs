//! What Veritail tells about itself: metrics, log messages, traces, panics.
//!
//! A leaf: everything may call it, and it knows nothing but the words of `trace`. [`table`] declares every metric once;
//! registration, the zeroes at start and the reference page all come from there. [`metrics`] has one recording function
//! for everything that happens, so that nobody else spells a metric's name or a label's value.

pub mod combinations;
pub mod errors;
pub mod exporter;
pub mod family;
pub mod labels;
pub mod logs;
pub mod metrics;
pub mod panics;
pub mod table;
pub mod traces;
pub mod verification;
