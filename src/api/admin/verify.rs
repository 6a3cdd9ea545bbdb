//! The verifier, for the admin: runs that are asked for, watched and stopped, and how it stands.

pub(in crate::api) mod ask;
pub(in crate::api) mod runs;
pub(in crate::api) mod status;
