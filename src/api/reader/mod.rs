//! What readers ask: the trace of a job, and to erase it.

mod conditions;
mod erase;
mod range;
mod trace;

pub(super) use erase::erase;
pub(super) use trace::trace;
