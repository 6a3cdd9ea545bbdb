//! The verifier over real stores: every kind of damage, in every store, at every moment of a chunk's life, done to the real
//! bytes; and that it finds nothing where nothing is wrong, and goes on after whatever ends it.

#![allow(clippy::disallowed_methods, reason = "the tests wait for real stores")]
#![allow(unreachable_pub, reason = "public to this test binary")]

#[path = "../support/mod.rs"]
mod support;

mod canary;
mod case;
mod cells;
mod clean;
mod counted;
mod damage;
mod gate;
mod ground;
mod killed;
mod matrix;
mod turns;
mod unreadable;
