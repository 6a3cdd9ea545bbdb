//! Models of the stores: in memory, deterministic, with the same answers as the real ones, and open to every kind of harm.

mod accounts;
pub mod backup;
pub mod database;
mod drills;
pub mod leases;
pub mod listing;
pub mod live;
mod mismatches;
pub mod objects;
mod verifications;
