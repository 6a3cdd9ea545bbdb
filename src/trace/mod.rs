//! What a trace is, in numbers and states: pure, without a clock, a runtime or I/O.
//!
//! Everything above (`store`, `pipeline`, `api`) acts on what is decided here. A rule that can be written as a
//! function of its arguments belongs in this folder, where a property test can reach it.

pub mod checksum;
pub mod chunks;
pub mod claim;
pub mod content_range;
pub mod difference;
pub mod ids;
#[cfg(target_arch = "x86_64")]
mod lanes;
pub mod open_end;
pub mod plan;
pub mod proof;
pub mod ranges;
pub mod state;
pub mod verdict;
pub mod verification;

pub use checksum::{Crc32, Midstate, Record, Sha256, Stored};
pub use chunks::{ChunkSize, Span};
pub use claim::{Claim, Ending, Origin};
pub use ids::{ByteSize, ChunkId, ChunkIndex, Epoch, JobId, Offset, ProjectId, Timestamp, Version};
pub use open_end::{Head, OpenEnd, Phase};
pub use state::{ChunkRow, ChunkState, JobStatus, Location, StoredObject, TraceState};
pub use verdict::{DataStore, Detector, Kind, Look, Verdict};
pub use verification::{Detection, RunState, Schedule, Tally};
