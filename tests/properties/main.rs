//! Properties of the pure core, and of the pipeline over models: whatever the input, this always holds.

#![allow(unreachable_pub, reason = "public to this test binary")]

#[path = "../support/mod.rs"]
mod support;

mod agreeing;
mod arithmetic;
mod canary;
mod checksums;
mod closing;
mod copies;
mod examining;
mod hot;
mod late;
mod left_over;
mod listed;
mod live_ends;
mod manual;
mod open_end;
mod passing;
mod patches;
mod pipeline;
mod plans;
mod repairs;
mod rig;
mod standing;
mod summed;
mod turns;
mod unnamed;
mod verdicts;
mod verifier;
mod walks;
mod wholes;
