//! How a job ended, and what the runner claims about its log.

use serde::{Deserialize, Serialize};

use super::checksum::Crc32;
use super::ids::ByteSize;
use super::state::{JobStatus, names};

/// What a runner says about its whole log in its final PUT.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Claim {
    /// CRC-32 of the whole log.
    pub crc32: Crc32,
    /// Size of the whole log; old runners leave it out.
    pub size: Option<ByteSize>,
}

names! {
    /// Who ended a job.
    Origin {
        /// The runner, by its final PUT.
        Runner = "runner",
        /// A cancel that no final PUT followed in time.
        Cancel = "cancel",
        /// The trace limit.
        SizeLimit = "size_limit",
        /// Nothing was heard of the runner for too long.
        Vanished = "vanished",
    }
}

/// The first statement of every ending; it is stored before anything else happens, and the first one stays.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ending {
    /// The job's final status: success, failed or canceled.
    pub status: JobStatus,
    /// GitLab's failure reason, such as `script_failure`.
    pub failure_reason: Option<String>,
    /// The script's exit code.
    pub exit_code: Option<i64>,
    /// The runner's checksum of its whole log, if it sent one.
    pub claim: Option<Claim>,
    /// Who ended the job.
    pub origin: Origin,
}

/// A checksum that is not `crc32:` and hexadecimal digits.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
#[error("not \"crc32:\" and one to eight hexadecimal digits")]
pub struct BadChecksum;

/// Reads `crc32:%08x`; old runners leave leading zeros out, so it is a number and not a text of eight digits.
pub fn parse_checksum(text: &str) -> Result<Crc32, BadChecksum> {
    text.strip_prefix("crc32:")
        .filter(|digits| (1..=8).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_hexdigit()))
        .and_then(|digits| u32::from_str_radix(digits, 16).ok())
        .map(Crc32)
        .ok_or(BadChecksum)
}

impl Ending {
    /// True if a repeated final PUT says the same as the first: the same status and the same checksum.
    pub fn same_as(&self, other: &Self) -> bool {
        self.status == other.status && self.claim == other.claim && self.origin == other.origin
    }
}
