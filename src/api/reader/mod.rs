//! What readers ask: the trace of a job.

mod range;
mod trace;

pub(super) use trace::trace;
