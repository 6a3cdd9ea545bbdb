//! One trace of the canary's, from its first append to being read back as a whole.

use std::time::Duration;

use bytes::Bytes;

use crate::telemetry::verification::{self as telemetry, CanaryStage};
use crate::trace::difference::first_difference;
use crate::trace::{ByteSize, ChunkIndex, ChunkState, Crc32, Offset};

use super::super::Verifier;
use super::client::{CanaryClient, CanaryJob, NoAnswer, Reply};
use super::{Failure, content};

/// Bytes in one append.
const PATCH: usize = 4_000;
/// Requests without any progress before it is given up.
const TRIES: u32 = 100;
/// Between two looks at something that takes its time.
const POLL: Duration = Duration::from_millis(50);
/// Between two final PUTs.
const AGAIN: Duration = Duration::from_millis(500);

impl Verifier {
    /// Appends all but the last bytes, and waits until the first chunk has moved on.
    pub(super) async fn begin_canary_trace(&self, client: &dyn CanaryClient, job: &CanaryJob) -> Result<(), Failure> {
        let content = content::of(job.id);
        self.append(client, job, &content, 0, PATCH).await?;
        let accepted = self.now();
        let first = content.slice(..PATCH);
        loop {
            let read = client.read(job).await?;
            if read.len() >= first.len() || !first.starts_with(&read) {
                compare(&read, &first, job)?;
                break;
            }
            self.node.seams().clock.sleep(POLL).await;
        }
        telemetry::append_to_read(self.now().ms_since(accepted));
        let began = self.now();
        self.append(client, job, &content, PATCH, content.len() - PATCH).await?;
        let appended = self.now();
        telemetry::canary_stage(CanaryStage::Append, appended.ms_since(began));
        while !self.has_moved(job).await? {
            self.node.seams().clock.sleep(POLL).await;
        }
        telemetry::canary_stage(CanaryStage::Migrate, self.now().ms_since(appended));
        Ok(())
    }

    /// Appends the rest, ends the trace and reads it back.
    pub(super) async fn end_canary_trace(&self, client: &dyn CanaryClient, job: &CanaryJob) -> Result<(), Failure> {
        let content = content::of(job.id);
        self.append(client, job, &content, content.len() - PATCH, content.len()).await?;
        let ended = self.now();
        self.finish(client, job, &content).await?;
        let proven = self.now();
        telemetry::canary_stage(CanaryStage::Finalize, proven.ms_since(ended));
        compare(&client.read(job).await?, &content, job)?;
        telemetry::canary_stage(CanaryStage::Read, self.now().ms_since(proven));
        Ok(())
    }

    /// Appends from `at` to `to`, going wherever it is sent.
    async fn append(
        &self,
        client: &dyn CanaryClient,
        job: &CanaryJob,
        content: &Bytes,
        mut at: usize,
        to: usize,
    ) -> Result<(), Failure> {
        let mut tries = 0;
        while at < to {
            let end = to.min(at + PATCH);
            let reply = client.append(job, offset(at), content.slice(at..end)).await;
            tries += 1;
            match reply {
                Ok(Reply::Accepted) => (at, tries) = (end, 0),
                Ok(Reply::Moved(position)) => at = position_in(content, position)?,
                Ok(Reply::Later(after)) => self.node.seams().clock.sleep(after).await,
                Err(NoAnswer::Broken(_)) if tries < TRIES => self.node.seams().clock.sleep(AGAIN).await,
                Ok(reply) => return Err(Failure::Refused(format!("an append was answered as {reply:?}"))),
                Err(error) => return Err(error.into()),
            }
            if tries >= TRIES {
                return Err(Failure::Refused(format!("no way on from {at} in {TRIES} appends")));
            }
        }
        Ok(())
    }

    async fn finish(&self, client: &dyn CanaryClient, job: &CanaryJob, content: &Bytes) -> Result<(), Failure> {
        for _ in 0..TRIES {
            match client.finish(job, Crc32::of(content), ByteSize::of(content)).await {
                Ok(Reply::Proven) => return Ok(()),
                // From the start: the first answer says where it goes on really.
                Ok(Reply::Again) => self.append(client, job, content, 0, content.len()).await?,
                Ok(Reply::Later(after)) => self.node.seams().clock.sleep(after).await,
                Ok(Reply::Accepted | Reply::Moved(_)) | Err(NoAnswer::Broken(_)) => {
                    self.node.seams().clock.sleep(AGAIN).await;
                }
                Err(error) => return Err(error.into()),
            }
        }
        Err(Failure::Refused(format!("it was not proven after {TRIES} final PUTs")))
    }

    async fn has_moved(&self, job: &CanaryJob) -> Result<bool, Failure> {
        let row = self.node.stores().database.chunk(job.id, ChunkIndex(0)).await?;
        Ok(row.is_some_and(|row| matches!(row.state, ChunkState::Persisted { .. })))
    }

    /// Reads one of the older traces, and compares it with what was said then.
    pub(super) async fn read_old_canary(&self, client: &dyn CanaryClient, kept: &[CanaryJob]) -> Result<(), Failure> {
        let count = u64::try_from(kept.len()).unwrap_or(u64::MAX).max(1);
        let chosen = usize::try_from(self.node.seams().chance.bits() % count).unwrap_or_default();
        let Some(old) = kept.get(chosen) else { return Ok(()) };
        compare(&client.read(old).await?, &content::of(old.id), old)
    }
}

fn compare(read: &Bytes, said: &Bytes, job: &CanaryJob) -> Result<(), Failure> {
    if read == said {
        return Ok(());
    }
    let at = first_difference(read, said).map_or(0, |at| at.0);
    let (id, read, said) = (job.id, read.len(), said.len());
    Err(Failure::Differs(format!("job {id}: of {said} bytes {read} were read, and they differ from byte {at} on")))
}

fn offset(at: usize) -> Offset {
    Offset(at as u64)
}

fn position_in(content: &Bytes, position: Offset) -> Result<usize, Failure> {
    let at = usize::try_from(position.0).ok().filter(|at| *at <= content.len());
    at.ok_or_else(|| Failure::Refused(format!("it was sent to {position}, and has only {} bytes", content.len())))
}
