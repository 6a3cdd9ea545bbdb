//! When the runner should come again.

use crate::trace::{ByteSize, Timestamp};

/// Seconds between two patches while somebody watches the trace.
pub const WATCHED: u32 = 3;
/// Seconds between two patches while nobody does.
pub const UNWATCHED: u32 = 60;
/// Seconds until a runner that is behind should send the next patch.
pub const BEHIND: u32 = 1;
/// gitlab-runner sends at most this much in one patch, and outside its final flush one patch per interval: a body of
/// this size means that more is waiting.
pub const FULL_PATCH: ByteSize = ByteSize(1024 * 1024);

/// The update interval after an accepted patch, in whole seconds, never 0 (0 crashes gitlab-runner-rs).
pub fn after_append(now: Timestamp, watched_until: Timestamp, body: ByteSize, behind: bool) -> u32 {
    if behind || body >= FULL_PATCH {
        BEHIND
    } else if watched_until > now {
        WATCHED
    } else {
        UNWATCHED
    }
}

/// The update interval while a final PUT is answered 202: GitLab's backoff by whole seconds since it first came.
pub fn while_proving(first_put: Timestamp, now: Timestamp) -> u32 {
    match now.ms_since(first_put) / 1000 {
        0..4 => 1,
        4..8 => 2,
        8..16 => 4,
        16..32 => 8,
        32..64 => 16,
        64..128 => 32,
        _ => 64,
    }
}
