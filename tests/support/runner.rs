#![allow(clippy::disallowed_methods, reason = "a real runner waits for a real server")]
//! A runner as gitlab-runner is: its log is in a local file until the final PUT is answered 200, and it goes where a 416
//! sends it.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::server::{Answer, Client, Job, Send as _, ended};

/// The most that one patch holds.
pub const PATCH_MAX: usize = 1024 * 1024;
/// How often the same body is sent again after 429 or 5xx, before the next tick.
const RETRIES: u32 = 5;
/// Failed tries in a row after which the log is given up, unless it was made more patient.
const FINAL_TRIES: u32 = 10;
/// Requests of one job, so that no loop is without an end.
const REQUESTS_MAX: u32 = 5000;

/// One job's runner.
pub struct Runner {
    client: Client,
    job: Job,
    trace_reset: bool,
    patch_max: usize,
    patience: u32,
    position: usize,
    requests: u32,
    /// What it did.
    pub counts: Counts,
}

/// What a runner did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Bytes of all PATCH bodies, refused ones too.
    pub sent: usize,
    /// Answers 416.
    pub moved: u32,
    /// Answers 412.
    pub asked_again: u32,
    /// Answers 202 to a final PUT.
    pub polled: u32,
    /// Answers 429 or 5xx, and requests without an answer.
    pub failed: u32,
}

impl Runner {
    /// A runner of `job` that has sent nothing yet.
    pub fn new(client: &Client, job: &Job) -> Self {
        let (client, job) = (client.clone(), job.clone());
        let counts = Counts::default();
        Self {
            client,
            job,
            trace_reset: true,
            patch_max: PATCH_MAX,
            patience: FINAL_TRIES,
            position: 0,
            requests: 0,
            counts,
        }
    }

    /// The same, with smaller patches.
    pub fn with_patches_of(mut self, size: usize) -> Self {
        self.patch_max = size;
        self
    }

    /// The same, but it gives up only after so many failed tries in a row.
    pub fn with_patience(mut self, tries: u32) -> Self {
        self.patience = tries;
        self
    }

    /// The same, but it cannot send its log again.
    pub fn without_reset(mut self) -> Self {
        self.trace_reset = false;
        self
    }

    /// Where it will send from next.
    pub fn position(&self) -> usize {
        self.position
    }

    /// Goes on at an offset, as after a 412.
    pub fn resume_at(&mut self, position: usize) {
        self.position = position;
    }

    /// Says that the job goes on, as a runner does now and then; here also what it can do.
    pub async fn touch(&mut self) {
        let features = json!({"state": "running", "info": {"features": {"trace_reset": self.trace_reset}}});
        assert_eq!(self.client.put(&self.job, &features).await.status, 200);
    }

    /// Sends everything of the log so far.
    pub async fn send(&mut self, log: &[u8]) {
        let mut failures = 0;
        while self.position != log.len() {
            if self.patch(log).await {
                failures = 0;
            } else {
                failures += 1;
                assert!(failures < self.patience, "the log is given up at {}: {:?}", self.position, self.counts);
                pause(100).await;
            }
        }
    }

    /// One patch, however it ends; a server that is not well is waited for.
    pub async fn try_once(&mut self, log: &[u8]) {
        if !self.patch(log).await {
            pause(100).await;
        }
    }

    /// Sends the rest and ends the job: until 200, however often it is told to wait or to send again.
    pub async fn finish(&mut self, log: &[u8]) -> Answer {
        let put = ended("success", log, self.trace_reset);
        let mut failures = 0;
        loop {
            self.send(log).await;
            self.count_request();
            match self.client.put_request(&self.job, &put).try_answer().await {
                Ok(answer) => match answer.status {
                    202 => {
                        self.counts.polled += 1;
                        assert_eq!(answer.header("Job-Status"), "running");
                        pause(50).await;
                    }
                    412 => {
                        self.counts.asked_again += 1;
                        assert_eq!(answer.header("Job-Status"), "running");
                        self.position = 0;
                        // The whole log is sent again from its start, also where it has no end yet to be compared with.
                        self.patch(log).await;
                    }
                    429 | 500..=599 => {
                        failures += 1;
                        self.counts.failed += 1;
                    }
                    _ => return answer,
                },
                Err(_) => {
                    failures += 1;
                    self.counts.failed += 1;
                }
            }
            assert!(failures < self.patience, "the log is given up: {:?}", self.counts);
        }
    }

    /// One patch, tried again while the server is not well. True if there was an answer to go by.
    async fn patch(&mut self, log: &[u8]) -> bool {
        let end = log.len().min(self.position.saturating_add(self.patch_max));
        let body = log.get(self.position..end).unwrap_or_default();
        for _ in 0..=RETRIES {
            self.count_request();
            self.counts.sent += body.len();
            let answer = self.client.append_request(&self.job, self.position, body).try_answer().await;
            match answer {
                Ok(answer) if answer.status == 202 => {
                    self.position += body.len();
                    return true;
                }
                Ok(answer) if answer.status == 416 => {
                    self.counts.moved += 1;
                    let next = answer.header("Range").strip_prefix("0-").and_then(|next| next.parse().ok());
                    let next: usize = next.expect("a 416 says where to go on");
                    assert!(next <= log.len(), "sent to {next}, beyond its log of {}", log.len());
                    self.position = next;
                    return true;
                }
                Ok(answer) if answer.status == 429 || answer.status >= 500 => self.counts.failed += 1,
                Ok(answer) => panic!("job {} is given up: {answer:?}", self.job.id),
                // No answer: the next tick sends from the same place.
                Err(_) => {
                    self.counts.failed += 1;
                    return false;
                }
            }
            pause(50).await;
        }
        false
    }

    fn count_request(&mut self) {
        self.requests += 1;
        let few = REQUESTS_MAX.max(u32::try_from(PATCH_MAX / self.patch_max * 200).unwrap_or(u32::MAX));
        assert!(self.requests < few, "job {}: it goes on for ever: {:?}", self.job.id, self.counts);
    }
}

/// A log that is proven, and has one copy of each chunk, in such a store; and what is said of it then.
pub async fn kept(client: &Client, log: &[u8], is_meant: impl Fn(&str) -> bool) -> (Job, Value) {
    let job = client.make_job().await;
    assert_eq!(Runner::new(client, &job).with_patience(200).finish(log).await.status, 200);
    let is_kept = |document: &Value| {
        let mut chunks = document["chunks"].as_array().expect("chunks").iter();
        chunks.all(|chunk| {
            let copies = chunk["copies"].as_array().expect("copies");
            copies.len() == 1 && copies[0]["store"].as_str().is_some_and(&is_meant)
        })
    };
    let document = client.integrity_until(&job, "each chunk has one copy", is_kept).await;
    (job, document)
}

/// Between two tries.
pub async fn pause(ms: u64) {
    tokio::time::sleep(Duration::from_millis(ms)).await;
}
