//! What readers ask.

mod trace;
