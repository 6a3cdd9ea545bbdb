//! What the admin asks.

mod jobs;
mod mismatches;
mod verify;
mod webhook;
