//! What the admin asks.

mod jobs;
