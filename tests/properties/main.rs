//! Properties of the pure core, and of the pipeline over models: whatever the input, this always holds.

#![allow(unreachable_pub, reason = "public to this test binary")]

#[path = "../support/mod.rs"]
mod support;

mod agreeing;
mod arithmetic;
mod checksums;
mod late;
mod open_end;
mod patches;
mod pipeline;
mod plans;
mod rig;
mod verdicts;
mod verifier;
mod wholes;
