//! Runners at work: each sends a log in patches over some time, by way of the balancer, and ends its job.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use crate::stack::Stack;
use crate::support::runner::{Counts, Runner, pause};
use crate::support::server::{Client, Job};

/// How much is sent.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// Runners at the same time.
    pub runners: usize,
    /// How long each takes to write its log, at least: nobody ends before the fault is over.
    pub time: Duration,
}

impl Default for Load {
    fn default() -> Self {
        Self { runners: 24, time: Duration::from_secs(6) }
    }
}

/// Failed tries in a row after which a runner gives up: longer than any fault lasts.
const PATIENCE: u32 = 600;
/// Bytes of a patch, at most.
const PATCH_MAX: usize = 9_000;

/// A job, and the log that its runner sent.
pub struct Sent {
    pub job: Job,
    pub log: Vec<u8>,
    pub counts: Counts,
    /// Why the runner gave up, if it did.
    pub gave_up: Option<String>,
}

/// The runners at work.
pub struct UnderWay {
    runners: JoinSet<Sent>,
    may_end: Arc<AtomicBool>,
}

/// Starts them.
pub fn start(stack: &Stack, load: &Load) -> UnderWay {
    let mut runners = JoinSet::new();
    let may_end = Arc::<AtomicBool>::default();
    for number in 0..load.runners {
        runners.spawn(work(stack.client(), number as u64, load.time, may_end.clone()));
    }
    UnderWay { runners, may_end }
}

impl UnderWay {
    /// The fault is over: waits until every job is.
    pub async fn finish(mut self) -> Vec<Sent> {
        self.may_end.store(true, Ordering::Relaxed);
        let mut sent = Vec::new();
        while let Some(done) = self.runners.join_next().await {
            sent.push(done.expect("a runner's panic is caught where it happens"));
        }
        sent.sort_by_key(|sent| sent.job.id);
        sent
    }
}

async fn work(client: Client, number: u64, time: Duration, may_end: Arc<AtomicBool>) -> Sent {
    let job = make_job(&client).await;
    let mut dice = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut roll = move |below: usize| {
        dice ^= dice << 13;
        dice ^= dice >> 7;
        dice ^= dice << 17;
        (dice % below as u64) as usize
    };
    let runner = Runner::new(&client, &job).with_patches_of(PATCH_MAX).with_patience(PATIENCE);
    let (job_of_task, began) = (job.clone(), Instant::now());
    let task = tokio::spawn(async move {
        let (mut runner, mut log) = (runner, Vec::new());
        while began.elapsed() < time || !may_end.load(Ordering::Relaxed) {
            let line = format!("job {} line {} {:08x} ", job_of_task.id, log.len(), roll(usize::MAX));
            log.extend(line.repeat(1 + roll(200)).into_bytes());
            log.push(b'\n');
            runner.send(&log).await;
            pause(roll(120) as u64).await;
        }
        let done = runner.finish(&log).await;
        let gave_up = (done.state() != (200, "success")).then(|| format!("its final PUT was answered {done:?}"));
        (log, runner.counts, gave_up)
    });
    match task.await {
        Ok((log, counts, gave_up)) => Sent { job, log, counts, gave_up },
        Err(panic) => {
            Sent { job, log: Vec::new(), counts: Counts::default(), gave_up: Some(format!("it gave up: {panic}")) }
        }
    }
}

/// Makes a job, however often the stack does not answer.
async fn make_job(client: &Client) -> Job {
    for _ in 0..PATIENCE {
        let made = client.clone();
        if let Ok(job) = tokio::spawn(async move { made.make_job_with_reset(true).await }).await {
            return job;
        }
        pause(100).await;
    }
    panic!("no job could be made");
}
