//! A simulated runner, which keeps the protocol as gitlab-runner does: it goes where a 416 says, repeats the same bytes
//! after a 5xx, begins again after a 412, and repeats its final PUT until that is answered 200.

use std::sync::Arc;
use std::time::Duration;

use super::clock::{self, Instant};
use super::content::Content;
use super::load::{Plan, Shared};
use super::wire::{Job, Means, Wire};

/// One runner and its job.
pub(super) struct Runner {
    pub(super) wire: Wire,
    pub(super) content: Arc<Content>,
    pub(super) shared: Arc<Shared>,
    /// Which part of the content it says.
    pub(super) number: u64,
    pub(super) job: Job,
    pub(super) patch: u64,
    /// What its job has said so far.
    pub(super) said: u64,
    /// What the server has acknowledged, or where it wants to go on.
    offset: u64,
    /// How much it will say, if that is known.
    whole: Option<u64>,
}

/// Tries of one patch, places that 416s send to, and rounds of the final PUT, before something is badly wrong.
const TRIES: u32 = 60;
const BACKOFF_MAX: Duration = Duration::from_secs(5);

impl Runner {
    pub(super) fn new(
        wire: Wire,
        content: Arc<Content>,
        shared: Arc<Shared>,
        number: u64,
        job: Job,
        patch: u64,
    ) -> Self {
        Self { wire, content, shared, number, job, patch, said: 0, offset: 0, whole: None }
    }

    /// Says `size` bytes more and sends them. `intended` is when that should have begun; without it, nothing is timed.
    pub(super) async fn say(&mut self, size: u64, intended: Option<Instant>) -> Result<(), String> {
        self.said += size;
        let mut tries = 0;
        while self.offset < self.said {
            let size = self.patch.min(self.said - self.offset);
            let bytes = self.content.piece(self.number, self.offset, usize::try_from(size).unwrap_or_default());
            let began = clock::now();
            let reply = self.wire.append(&self.job, self.offset, bytes).await;
            let took = began.elapsed();
            self.shared.answered(reply.status);
            tries += 1;
            if tries > TRIES {
                return Err(format!("job {}: no way on from {} after {TRIES} tries", self.job.id, self.offset));
            }
            match reply.means {
                Means::Accepted(_) => {
                    self.offset += size;
                    tries = 0;
                    if let Some(intended) = intended {
                        self.shared.appended(size, took, intended.elapsed(), self.tenth());
                    }
                }
                Means::Moved(position) if position <= self.said => {
                    let no_way_on = position == self.offset;
                    self.offset = position;
                    if no_way_on {
                        clock::sleep(backoff(tries)).await;
                    }
                }
                Means::Moved(position) => {
                    return Err(format!("job {}: sent to {position}, but only {} were said", self.job.id, self.said));
                }
                Means::Later(after) => clock::sleep(after.unwrap_or_else(|| backoff(tries))).await,
                Means::Refused(why) => return Err(format!("job {}: a patch was refused: {why}", self.job.id)),
                Means::Done | Means::Again => {
                    return Err(format!("job {}: a patch was answered {}", self.job.id, reply.status));
                }
            }
        }
        Ok(())
    }

    /// In which tenth of its job the last patch was.
    fn tenth(&self) -> Option<u64> {
        self.whole.map(|whole| (10 * self.offset.saturating_sub(1) / whole).min(9))
    }

    /// Says what the plan asks for, from `start` to its end, at its rate or as fast as it is taken.
    pub(super) async fn work(&mut self, plan: &Plan, start: Instant) -> Result<(), String> {
        self.whole = plan.bytes;
        let interval = (plan.rate > 0.0).then(|| Duration::from_secs_f64(1.0 / plan.rate));
        // Not all at the same moment: they are strangers to each other.
        let phase =
            interval.map_or(Duration::ZERO, |interval| interval.mul_f64(self.number as f64 / plan.runners as f64));
        let end = plan.span.map(|span| start + span);
        let mut count = 0u32;
        loop {
            let left = plan.bytes.map_or(u64::MAX, |bytes| bytes.saturating_sub(self.said));
            let now = clock::now();
            let intended = interval.map_or(now, |interval| start + phase + interval * count);
            if left == 0 || end.is_some_and(|end| intended >= end) {
                return Ok(());
            }
            if let Some(end) = end.filter(|end| now >= *end) {
                // Not sent in time, and not to be forgotten either.
                let interval = interval.unwrap_or(Duration::from_secs(1));
                let missed = (end - intended).as_secs_f64() / interval.as_secs_f64();
                self.shared.missed(missed.ceil() as u64);
                return Ok(());
            }
            if interval.is_some() {
                clock::sleep_until(intended).await;
            }
            self.say(self.patch.min(left), Some(intended)).await?;
            count += 1;
        }
    }

    /// Ends the job, and repeats that until the whole is proven.
    pub(super) async fn finish(&mut self) -> Result<(), String> {
        let crc32 = self.content.crc32(self.number, self.said);
        let began = clock::now();
        for round in 1..=TRIES {
            let reply = self.wire.finish(&self.job, crc32, self.said).await;
            self.shared.answered(reply.status);
            match reply.means {
                Means::Done => {
                    self.shared.finished(round, began.elapsed());
                    return Ok(());
                }
                Means::Accepted(interval) => clock::sleep(interval.min(BACKOFF_MAX)).await,
                // From the start again; the first 416 says where really.
                Means::Again => {
                    self.offset = 0;
                    self.say(0, None).await?;
                }
                Means::Later(after) => clock::sleep(after.unwrap_or_else(|| backoff(round))).await,
                Means::Moved(_) | Means::Refused(_) => {
                    return Err(format!("job {}: its final PUT was answered {}", self.job.id, reply.status));
                }
            }
        }
        Err(format!("job {}: not proven after {TRIES} final PUTs", self.job.id))
    }
}

fn backoff(tries: u32) -> Duration {
    Duration::from_millis(20).saturating_mul(1 << tries.min(10)).min(BACKOFF_MAX)
}
