//! The canary: a synthetic trace, written and read back through the API as a runner and a reader do it; and damage that is
//! done to it on purpose, to see that it is found.
//!
//! It uses what it watches: whatever keeps logs from being taken, moved, proven, served or verified shows here first. Of
//! all nodes one has the turn. What is damaged next follows from what was damaged last, which the database knows.

mod client;
mod content;
mod damage;
mod leftovers;
mod written;

use futures::FutureExt as _;

pub use client::{CanaryClient, CanaryJob, NoAnswer, Reply};
use damage::Damage;

use crate::seams::within;
use crate::store::database::NewJob;
use crate::store::database::drills::CANARY_PROJECT;
use crate::store::database::leases::When;
use crate::store::{Result, StoreError};
use crate::telemetry::verification::{self as telemetry, CanaryResult};
use crate::trace::{ByteSize, ChunkSize, JobStatus, Sha256};

use super::Verifier;

/// How long a trace may take from its first append to being read back as a whole, damage apart.
const RUN_MAX: std::time::Duration = std::time::Duration::from_secs(120);
/// The size of its chunks in bytes: small, so that it has several and costs little.
const CHUNK_SIZE: u32 = 16 * 1024;

/// Why a run of the canary did not end well.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("{0}")]
    Differs(String),
    #[error("{0}")]
    Refused(String),
    #[error("it was not read back as a whole within {} s", RUN_MAX.as_secs())]
    TookTooLong,
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<NoAnswer> for Failure {
    fn from(why: NoAnswer) -> Self {
        Self::Refused(why.to_string())
    }
}

impl From<&std::result::Result<(), Failure>> for CanaryResult {
    fn from(ended: &std::result::Result<(), Failure>) -> Self {
        match ended {
            Ok(()) => Self::Ok,
            Err(Failure::Differs(_)) => Self::Mismatch,
            Err(Failure::TookTooLong) => Self::Timeout,
            Err(Failure::Refused(_) | Failure::Store(_)) => Self::Error,
        }
    }
}

impl Verifier {
    /// From now on this node's ticks of the canary go through this client. Only the first counts.
    pub fn set_canary_client(&self, client: std::sync::Arc<dyn CanaryClient>) {
        let _ = self.canary_client.set(client);
    }

    /// One tick. True if this node had the turn.
    pub(super) async fn canary(&self) -> Result<bool> {
        let Some(client) = self.canary_client.get() else { return Ok(false) };
        // A little less than the interval, so that the next tick finds the turn due whatever the jitter.
        let every = self.settings.canary_interval.mul_f64(0.75);
        let run = self.run_canary(client.as_ref()).boxed();
        Ok(self.node.in_turn("verify/canary", When::Due, every, run).await?.transpose()?.is_some())
    }

    async fn run_canary(&self, client: &dyn CanaryClient) -> Result<()> {
        let kept = self.clear_canaries().await?;
        let mut damages = self.next_damages().await?;
        let job = self.make_canary_job().await?;
        let clock = self.node.seams().clock.clone();
        let ended = async {
            let written = within(clock.as_ref(), RUN_MAX, self.begin_canary_trace(client, &job)).await;
            written.unwrap_or(Err(Failure::TookTooLong))?;
            // A live copy can only be damaged while its trace is written.
            if let Some(damage) = damages.front().copied().filter(Damage::is_live)
                && self.damage_and_watch(&job, damage).await?
            {
                damages.clear();
            }
            let proven = within(clock.as_ref(), RUN_MAX, self.end_canary_trace(client, &job)).await;
            proven.unwrap_or(Err(Failure::TookTooLong))?;
            self.read_old_canary(client, &kept).await
        };
        let ended = ended.await;
        telemetry::canary_ran((&ended).into(), self.now());
        if let Err(error) = ended {
            tracing::error!(job_id = job.id.0, %error, "the canary's run failed: {error}");
            return Ok(());
        }
        // What cannot be damaged now leaves its turn to the next. Whether objects are spared is known for sure once one was put.
        damages.retain(|damage| !damage.needs_new_copy() || !self.spares_objects());
        for damage in damages.into_iter().filter(|damage| !damage.is_live()) {
            if self.damage_and_watch(&job, damage).await? {
                break;
            }
        }
        Ok(())
    }

    /// A job of the canary's. Not made over the API: nobody can make one there.
    async fn make_canary_job(&self) -> Result<CanaryJob> {
        let chance = &self.node.seams().chance;
        let token = format!("vtj_{}{}", chance.name(), chance.name());
        let chunk_size = ChunkSize::new(CHUNK_SIZE).map_err(|error| StoreError::unreadable("database", error))?;
        let new = NewJob {
            project_path: CANARY_PROJECT.to_owned(),
            name: "canary".to_owned(),
            token_sha256: Sha256::of(token.as_bytes()).0,
            status: JobStatus::Running,
            payload: None,
            chunk_size,
            trace_limit: ByteSize::ZERO,
            trace_reset: Some(true),
            at: self.now(),
        };
        let made = self.node.stores().database.create_job(new).await?;
        Ok(CanaryJob { id: made.id, project: made.project, token })
    }
}
