//! Models of the stores: in memory, deterministic, and open to every kind of harm.

pub mod live;
