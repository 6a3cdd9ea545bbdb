//! The way from the canary to the API, as runners and readers go it.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use crate::trace::{ByteSize, Crc32, JobId, Offset, ProjectId};

/// A job of the canary's.
#[derive(Clone, Debug)]
pub struct CanaryJob {
    /// Its number.
    pub id: JobId,
    /// Its project's number.
    pub project: ProjectId,
    /// The token of its runner; empty where it is only read.
    pub token: String,
}

/// An answer to a runner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// 200: proven.
    Proven,
    /// 202: kept, or not proven yet.
    Accepted,
    /// 416: the log goes on there.
    Moved(Offset),
    /// 412: begin again.
    Again,
    /// Come again after this time.
    Later(Duration),
}

/// Why there is no such answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoAnswer {
    /// It was answered with a status that ends it.
    #[error("it was answered {0}")]
    Refused(u16),
    /// It was not answered, or the answer broke off.
    #[error("there was no whole answer: {0}")]
    Broken(String),
}

/// A client of the API.
#[async_trait]
pub trait CanaryClient: Send + Sync {
    /// A PATCH with bytes that begin at `at`.
    async fn append(&self, job: &CanaryJob, at: Offset, bytes: Bytes) -> Result<Reply, NoAnswer>;

    /// The final PUT, with the checksum and size of the whole.
    async fn finish(&self, job: &CanaryJob, crc32: Crc32, size: ByteSize) -> Result<Reply, NoAnswer>;

    /// The whole log, as a reader gets it.
    async fn read(&self, job: &CanaryJob) -> Result<Bytes, NoAnswer>;
}
