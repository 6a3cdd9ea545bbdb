//! What runners ask.

mod append;
mod finalize;
mod tokens;
mod unwell;
