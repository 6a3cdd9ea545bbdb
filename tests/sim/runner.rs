//! Runners as they are: one request after another, resuming where the answer says, giving up when their clients do.

use std::sync::Arc;

use veritail::pipeline::{AppendRequest, Appended, FinalPut, Finalized, Pipeline};
use veritail::trace::{ByteSize, Claim, Crc32, Ending, JobId, JobStatus, Offset, Origin, Timestamp};

use super::machine::Dice;
use super::plan::{JobPlan, Kind};
use super::world::{NoAnswer, World};

/// Retries of one request with the same body, on an unwell server or a broken connection.
const RETRIES: u32 = 5;
/// Tries of the final update before the log is thrown away.
const FINAL_TRIES: u32 = 10;
/// More rounds than any log needs: beyond them the two sides talk for ever.
const ROUNDS_MAX: u32 = 3000;

pub struct Runner {
    pub world: Arc<World>,
    pub dice: Dice,
    pub job: JobId,
    made_at: Timestamp,
    pub plan: JobPlan,
    pub log: Vec<u8>,
    sent: usize,
    canceled: bool,
    /// Nothing more is sent but the final PUT.
    lost_the_thread: bool,
    rounds: u32,
}

/// How a patch ended, as the runner's client sees it.
enum Patch {
    Accepted,
    Moved(usize),
    Failed,
    Over,
}

enum Put {
    Done,
    Poll(u32),
    Again,
    Failed,
    Over,
}

impl Runner {
    pub fn new(world: Arc<World>, dice: Dice, job: JobId, plan: JobPlan, log: Vec<u8>) -> Self {
        let made_at = world.database.jobs().iter().find(|made| made.id == job).expect("it was made").created_at;
        Self { world, dice, job, made_at, plan, log, sent: 0, canceled: false, lost_the_thread: false, rounds: 0 }
    }

    pub async fn run(mut self) {
        let outcome = self.work().await;
        self.world.oracle.lock().expect("not poisoned").runner_ended(self.job, outcome);
    }

    async fn work(&mut self) -> &'static str {
        let stops_at = if self.plan.kind == Kind::Vanishes { self.log.len() / 2 } else { self.log.len() };
        let mut written = 0;
        while written < stops_at && !self.canceled {
            let (pause, most) = if (written as u64) < self.plan.burst {
                (self.dice.below(3), 40)
            } else {
                (self.dice.between(100, 6000), 600)
            };
            self.world.sleep_ms(pause).await;
            written = (written + self.dice.between(1, most) as usize).min(stops_at);
            if self.dice.chance(100) {
                self.touch().await;
            }
            match self.patch(written).await {
                Patch::Accepted | Patch::Failed => {}
                Patch::Moved(position) => self.move_to(position),
                Patch::Over => return "told that the job is over",
            }
        }
        if self.plan.kind == Kind::Vanishes {
            return "vanished";
        }
        if self.canceled {
            self.log.truncate(written.max(self.sent));
            self.world.oracle.lock().expect("not poisoned").log_ends_at(self.job, self.log.len());
        }
        self.finish().await
    }

    /// The final update: everything sent, then the claim, until the answer is final.
    async fn finish(&mut self) -> &'static str {
        let mut failures = 0;
        while failures < FINAL_TRIES {
            while self.sent < self.log.len() && !self.lost_the_thread {
                match self.patch(self.log.len()).await {
                    Patch::Accepted => {}
                    Patch::Moved(position) => self.move_to(position),
                    Patch::Failed => {
                        failures += 1;
                        if failures >= FINAL_TRIES {
                            return "gave up";
                        }
                        self.world.sleep_ms(1000).await;
                    }
                    Patch::Over => return "told that the job is over",
                }
            }
            match self.put().await {
                Put::Done => return "finished",
                Put::Poll(seconds) => self.world.sleep_ms(u64::from(seconds) * 1000).await,
                Put::Again if self.can_resend() => self.sent = 0,
                Put::Again => {
                    self.world
                        .oracle
                        .lock()
                        .expect("not poisoned")
                        .violation(format!("job {}: a runner that cannot send again was asked to", self.job));
                    return "asked for what it cannot do";
                }
                Put::Failed => {
                    failures += 1;
                    self.world.sleep_ms(1000).await;
                }
                Put::Over => return "told that the job is over",
            }
        }
        "gave up"
    }

    fn can_resend(&self) -> bool {
        matches!(self.plan.kind, Kind::Resends { .. } | Kind::Liar | Kind::Vanishes)
    }

    /// The number of a 416 is the next offset, in either direction.
    fn move_to(&mut self, position: usize) {
        let forward = position >= self.sent && !matches!(self.plan.kind, Kind::Forgetful { .. });
        if self.can_resend() || forward {
            self.sent = position;
        } else {
            self.lost_the_thread = true;
        }
    }

    async fn patch(&mut self, written: usize) -> Patch {
        self.rounds += 1;
        if self.rounds > ROUNDS_MAX {
            self.world
                .oracle
                .lock()
                .expect("not poisoned")
                .violation(format!("job {}: more than {ROUNDS_MAX} rounds", self.job));
            return Patch::Over;
        }
        if self.lost_the_thread || self.sent > written {
            return Patch::Accepted;
        }
        let end = written.min(self.sent + self.plan.patch_max as usize);
        let start = self.sent;
        let body = self.log[start..end].to_vec();
        for retry in 0..=RETRIES {
            let erased_before = self.world.oracle.lock().expect("not poisoned").is_erased(self.job);
            let answer = self.send(start, &body).await;
            tracing::debug!("job {}: PATCH [{start}, {end}): {answer:?}", self.job);
            match answer {
                Ok(Ok(Appended::Accepted { length, status, interval })) => {
                    let mut oracle = self.world.oracle.lock().expect("not poisoned");
                    if length != Offset(end as u64) || interval == 0 {
                        oracle.violation(format!("job {}: [{start}, {end}) accepted as up to {length}", self.job));
                    }
                    if erased_before {
                        oracle.violation(format!("job {}: erased, and [{start}, {end}) is taken", self.job));
                    }
                    oracle.acknowledged(self.job, start, &body, self.world.clock.elapsed_ms());
                    self.canceled |= status == JobStatus::Canceling;
                    self.sent = end;
                    return Patch::Accepted;
                }
                Ok(Ok(Appended::Elsewhere { position } | Appended::Closing { length: position })) => {
                    if position.0 as usize > self.log.len() && !matches!(self.plan.kind, Kind::Forgetful { .. }) {
                        self.world.oracle.lock().expect("not poisoned").violation(format!(
                            "job {}: told to go on at {position}, the log has {} bytes",
                            self.job,
                            self.log.len()
                        ));
                        return Patch::Over;
                    }
                    return Patch::Moved(position.0 as usize);
                }
                Ok(Ok(Appended::Ended { .. } | Appended::TooLarge | Appended::Gone)) => return Patch::Over,
                Ok(Err(_) | Ok(Appended::Broken { .. })) | Err(NoAnswer) => {
                    if retry < RETRIES {
                        self.world.sleep_ms(1000 << retry).await;
                    }
                }
            }
        }
        if matches!(self.plan.kind, Kind::Forgetful { .. }) {
            // What could not be sent is gone; other bytes will come from the same start.
            self.log.drain(start..end);
            self.world.oracle.lock().expect("not poisoned").log_ends_at(self.job, self.log.len());
        }
        Patch::Failed
    }

    async fn send(&self, start: usize, body: &[u8]) -> Result<veritail::store::Result<Appended>, NoAnswer> {
        let request = AppendRequest {
            job: self.job,
            made_at: self.made_at,
            trace_limit: ByteSize(self.plan.trace_limit),
            start: Offset(start as u64),
            declared: Some(ByteSize::of(body)),
        };
        let world = &self.world;
        if world.is_stormy() && self.dice.chance(world.weather.trouble.delivered_twice) {
            let send = |node: Pipeline| {
                let body = world.body(&self.dice, body);
                async move { node.append(request, body).await }
            };
            return world.request_twice(&self.dice, send).await;
        }
        let body = world.body(&self.dice, body);
        world.request(&self.dice, move |node| async move { node.append(request, body).await }).await
    }

    async fn touch(&self) {
        let (job, reset) = (self.job, self.trace_reset());
        let _ = self.world.request(&self.dice, move |node| async move { node.still_running(job, reset).await }).await;
    }

    fn trace_reset(&self) -> Option<bool> {
        match self.plan.kind {
            Kind::Resends { .. } | Kind::Liar | Kind::Vanishes => Some(true),
            Kind::ClaimsOnly => Some(false),
            Kind::Forgetful { .. } => None,
        }
    }

    async fn put(&self) -> Put {
        let crc32 = Crc32::of(&self.log);
        let size = Some(ByteSize::of(&self.log));
        let claim = match self.plan.kind {
            Kind::Resends { with_size, .. } => Some(Claim { crc32, size: size.filter(|_| with_size) }),
            Kind::ClaimsOnly | Kind::Vanishes => Some(Claim { crc32, size }),
            Kind::Liar => Some(Claim { crc32: Crc32(!crc32.0), size }),
            Kind::Forgetful { .. } => None,
        };
        let ending = Ending {
            status: if self.canceled { JobStatus::Failed } else { JobStatus::Success },
            failure_reason: None,
            exit_code: Some(0),
            claim,
            origin: Origin::Runner,
        };
        for retry in 0..=RETRIES {
            let put = FinalPut { job: self.job, ending: ending.clone(), trace_reset: self.trace_reset() };
            let finalize = |node: Pipeline| {
                let put = put.clone();
                async move { node.finalize(put).await }
            };
            let twice = self.world.is_stormy() && self.dice.chance(self.world.weather.trouble.delivered_twice);
            let answer = match twice {
                true => self.world.request_twice(&self.dice, finalize).await,
                false => self.world.request(&self.dice, finalize).await,
            };
            tracing::debug!("job {}: final PUT of {} bytes: {answer:?}", self.job, self.log.len());
            match answer {
                Ok(Finalized::Done { status }) => {
                    self.world.check_done(self.job, status, claim.is_some(), &self.log);
                    return Put::Done;
                }
                Ok(Finalized::Proving { .. }) if claim.is_none() => return Put::Failed,
                Ok(Finalized::Proving { interval }) => return Put::Poll(interval),
                Ok(Finalized::Resend { .. }) => {
                    self.world.check_asked(self.job, self.log.len() as u64).await;
                    return Put::Again;
                }
                Ok(Finalized::Ended { .. } | Finalized::Gone) => return Put::Over,
                Err(NoAnswer) => {
                    if retry < RETRIES {
                        self.world.sleep_ms(1000 << retry).await;
                    }
                }
            }
        }
        Put::Failed
    }
}
