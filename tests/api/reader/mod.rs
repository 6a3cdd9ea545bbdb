//! What readers ask.

mod documents;
mod trace;
