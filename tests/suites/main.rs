//! One suite per store contract; every implementation passes it, and so do the wrappers.

#[path = "../support/mod.rs"]
mod support;

mod live;
