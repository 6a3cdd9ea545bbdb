//! What was found to be wrong, for the admin.

pub(in crate::api) mod list;
pub(in crate::api) mod one;
