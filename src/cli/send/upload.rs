//! The log on its way: patches from the spool, the place where the server wants to go on, the end, the proof.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::time::Duration;

use tokio::sync::watch;

use super::intake::{End, Taken};
use super::spool::{Ending, Job, Spool};
use super::wire::{Answer, Wire};
use crate::cli::Failed;
use crate::seams::real::{SystemChance, SystemClock};
use crate::seams::{Chance as _, Clock as _, within};
use crate::trace::Timestamp;

/// How it went.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Every byte is stored, was read back, and the whole is what was sent.
    Proven,
    /// It may still be: it can be sent on.
    NotYet(String),
    /// The server does not take it.
    Refused(String),
    /// The job has ended, and this is what the server makes of its log.
    Verdict(String),
}

/// A log being sent.
pub(super) struct Upload {
    /// The log.
    pub(super) spool: Spool,
    wire: Wire,
    taken: watch::Receiver<Taken>,
    ending: Ending,
    give_up_after: Duration,
    /// From here on the server has nothing, as far as is known.
    offset: u64,
    /// When the next patch is due, however little there is to send.
    due: Timestamp,
    failures: u32,
    /// Set once the log has ended.
    deadline: Option<Timestamp>,
}

/// The most that one patch holds.
const PATCH_MAX: u64 = 1024 * 1024;
/// The first patch goes out soon: somebody may be waiting to see a line.
const FIRST: Duration = Duration::from_secs(1);
/// The longest time between two patches, whatever the server says.
const INTERVAL_MAX: Duration = Duration::from_secs(60);
/// The longest wait after a failure.
const BACKOFF_MAX: Duration = Duration::from_secs(30);

impl Upload {
    /// `ending` says how the job will have ended if nothing comes between.
    pub(super) fn new(
        wire: Wire,
        spool: Spool,
        taken: watch::Receiver<Taken>,
        ending: Ending,
        give_up_after: Duration,
    ) -> Self {
        let due = after(FIRST);
        Self { spool, wire, taken, ending, give_up_after, offset: 0, due, failures: 0, deadline: None }
    }

    /// Sends until the log is proven, or will not be.
    pub(super) async fn run(&mut self) -> Outcome {
        match self.send_all().await {
            Ok(outcome) | Err(Stop::With(outcome)) => outcome,
            Err(Stop::Failed(failed)) => Outcome::NotYet(failed.to_string()),
        }
    }

    async fn send_all(&mut self) -> Result<Outcome, Stop> {
        let job = self.job().await?;
        eprintln!("veritail: sends to job {} at {}", job.id, self.spool.origin().url);
        if self.spool.origin().ending.is_some() || self.taken.borrow().end.is_some() {
            // Sent on: the server knows where.
            self.ask_where(&job).await?;
        }
        loop {
            self.wait().await;
            let taken = self.taken.borrow_and_update().clone();
            if taken.end.is_some() {
                self.ends(&taken)?;
            }
            if taken.end.is_none() || self.offset < taken.size {
                self.patch(&job, &taken).await?;
            } else if self.finish(&job).await? {
                return self.verdict(&job).await;
            }
        }
    }

    /// The job, made now if it is not.
    async fn job(&mut self) -> Result<Job, Stop> {
        loop {
            if let Some(job) = &self.spool.origin().job {
                return Ok(job.clone());
            }
            match self.wire.make_job(self.spool.origin()).await {
                Ok(job) => self.spool.belongs_to(job)?,
                Err(answer) => self.come_again(answer).await?,
            }
        }
    }

    /// Returns when a patch is due or full, or the log has ended.
    async fn wait(&mut self) {
        loop {
            let (size, ended) = {
                let taken = self.taken.borrow_and_update();
                (taken.size, taken.end.is_some())
            };
            let now = SystemClock.now();
            if ended || now >= self.due || size.saturating_sub(self.offset) >= PATCH_MAX {
                return;
            }
            let _ = within(&SystemClock, Duration::from_millis(self.due.ms_since(now)), self.taken.changed()).await;
        }
    }

    /// Writes down how the log ended, once.
    fn ends(&mut self, taken: &Taken) -> Result<(), Stop> {
        if self.deadline.is_none() {
            self.deadline = Some(after(self.give_up_after));
        }
        if self.spool.origin().ending.is_some() {
            return Ok(());
        }
        let state = match &taken.end {
            Some(End::Canceled) => "canceled".to_owned(),
            Some(End::Broken(why)) => {
                eprintln!("veritail: {why}; the job is failed");
                "failed".to_owned()
            }
            Some(End::Whole) | None => self.ending.state.clone(),
        };
        let ending = Ending { state, size: taken.size, crc32: taken.crc32.clone().finalize(), ..self.ending.clone() };
        self.spool.log()?.sync_data().map_err(Failed::because)?;
        Ok(self.spool.ends(ending)?)
    }

    /// Sends what is there, at most [`PATCH_MAX`]; nothing at all says that the job goes on, and hears where.
    async fn patch(&mut self, job: &Job, taken: &Taken) -> Result<(), Stop> {
        let (log, start) = (self.spool.log()?, self.offset);
        let size = taken.size.saturating_sub(start).min(PATCH_MAX);
        let bytes = tokio::task::spawn_blocking(move || kept(&log, start, size)).await;
        let bytes = bytes.map_err(Failed::because)?.map_err(Failed::because)?;
        match self.wire.append(job, start, bytes).await {
            Answer::Accepted { interval } => {
                self.failures = 0;
                self.offset = start + size;
                self.due = after(interval.min(INTERVAL_MAX));
            }
            Answer::Elsewhere { position } => self.go_to(position, taken.size).await?,
            other => self.come_again(other).await?,
        }
        Ok(())
    }

    async fn ask_where(&mut self, job: &Job) -> Result<(), Stop> {
        let size = self.taken.borrow().size;
        self.offset = 0;
        loop {
            match self.wire.append(job, 0, Vec::new()).await {
                // The log is empty there.
                Answer::Accepted { .. } => return Ok(()),
                Answer::Elsewhere { position } => return self.go_to(position, size).await,
                // It may have ended with its proof, and only the answer was lost: the final PUT tells.
                Answer::Refused(_) if self.spool.origin().ending.is_some() => {
                    self.offset = size;
                    return Ok(());
                }
                other => self.come_again(other).await?,
            }
        }
    }

    async fn go_to(&mut self, position: u64, size: u64) -> Result<(), Stop> {
        if position > size {
            let why = format!("the server has {position} bytes of this log, and only {size} were read here");
            return Err(Stop::With(Outcome::Refused(why)));
        }
        // The same place again is no progress: a server that keeps saying so is asked less and less often.
        if position == self.offset {
            let why = format!("the server does not go on at {position}");
            return self.come_again(Answer::Later { why, after: None }).await;
        }
        self.offset = position;
        Ok(())
    }

    /// Says that the log has ended. True if the server says so too.
    async fn finish(&mut self, job: &Job) -> Result<bool, Stop> {
        let Some(ending) = self.spool.origin().ending.clone() else { return Ok(false) };
        match self.wire.finish(job, &ending).await {
            Answer::Done => return Ok(true),
            Answer::Accepted { interval } => {
                self.failures = 0;
                self.pause(interval, "the server has not proven it yet").await?;
            }
            Answer::Again => self.ask_where(job).await?,
            other => self.come_again(other).await?,
        }
        Ok(false)
    }

    async fn verdict(&mut self, job: &Job) -> Result<Outcome, Stop> {
        loop {
            match self.wire.verdict(job).await {
                Ok(verdict) if verdict == "verified" => return Ok(Outcome::Proven),
                Ok(verdict) => return Ok(Outcome::Verdict(verdict)),
                Err(answer) => self.come_again(answer).await?,
            }
        }
    }

    /// Waits after an answer that brought nothing; ends where no answer ever will.
    async fn come_again(&mut self, answer: Answer) -> Result<(), Stop> {
        let (why, said) = match answer {
            Answer::Refused(why) => return Err(Stop::With(Outcome::Refused(why))),
            Answer::Later { why, after } => (why, after),
            other => (format!("the server answered something odd: {other:?}"), None),
        };
        if self.failures == 0 {
            eprintln!("veritail: {why}; trying again");
        }
        self.failures += 1;
        let backoff = Duration::from_millis(500).saturating_mul(1 << self.failures.min(6));
        // Up to half of it more, so that not everybody comes back at once.
        let jitter = backoff.mul_f64((SystemChance.bits() % 512) as f64 / 1024.0);
        self.pause(said.unwrap_or(backoff + jitter).min(BACKOFF_MAX), &why).await
    }

    /// Sleeps, unless the time is up before.
    async fn pause(&mut self, time: Duration, why: &str) -> Result<(), Stop> {
        if self.deadline.is_none() && self.taken.borrow().end.is_some() {
            self.deadline = Some(after(self.give_up_after));
        }
        let now = SystemClock.now();
        let left = self.deadline.map(|deadline| deadline.ms_since(now));
        if left == Some(0) {
            return Err(Stop::With(Outcome::NotYet(why.to_owned())));
        }
        SystemClock.sleep(left.map_or(time, |left| time.min(Duration::from_millis(left)))).await;
        Ok(())
    }
}

/// Why sending ends before the proof.
enum Stop {
    With(Outcome),
    Failed(Failed),
}

impl From<Failed> for Stop {
    fn from(failed: Failed) -> Self {
        Self::Failed(failed)
    }
}

/// Bytes of the log, once the disk has them: what was sent may be the only copy that is asked for again.
fn kept(log: &File, start: u64, size: u64) -> std::io::Result<Vec<u8>> {
    log.sync_data()?;
    let mut bytes = vec![0; usize::try_from(size).unwrap_or(0)];
    log.read_exact_at(&mut bytes, start)?;
    Ok(bytes)
}

fn after(time: Duration) -> Timestamp {
    let ms = i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
    Timestamp(SystemClock.now().0.saturating_add(ms))
}
