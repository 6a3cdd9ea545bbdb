//! A runner, as gitlab-runner is one: it keeps the whole log until the final PUT is answered 200, takes the number of a
//! 416 as its next offset in either direction, and polls while the answer is 202. Only its pace is another: a real one
//! sends every few seconds, and nobody would watch that.

use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::json;

use super::logs::Dice;
use super::progress::Progress;
use super::service::Service;
use crate::cli::Failed;
use crate::seams::Clock as _;
use crate::seams::real::SystemClock;

/// A job's runner with its log.
pub(super) struct Runner {
    service: Service,
    dice: Dice,
    pub(super) job: i64,
    token: String,
    pub(super) name: &'static str,
    pub(super) log: Vec<u8>,
    offset: usize,
    /// Bytes in patches that were taken, those sent again counted again.
    pub(super) taken: usize,
    /// Patches that were taken.
    pub(super) patches: usize,
    /// Refused patches: where each began, and where the log was to go on instead.
    pub(super) refused: Vec<(usize, usize)>,
}

/// The patches of one runner, in bytes.
const PATCH_MIN: u64 = 24 * 1024;
const PATCH_MAX: u64 = 112 * 1024;
/// The pause between two of them, in milliseconds.
const PAUSE_MAX: u64 = 200;
/// Rounds of a final PUT, and refusals in all, before something is badly wrong.
const ROUNDS: usize = 60;

impl Runner {
    /// Makes the job; nothing is sent yet.
    pub(super) async fn of_new_job(service: &Service, name: &'static str, log: Vec<u8>) -> Result<Self, Failed> {
        let made = service.make_job(name).await?;
        let dice = Dice::new(made.id.unsigned_abs());
        let (service, job, token) = (service.clone(), made.id, made.token);
        Ok(Self { service, dice, job, token, name, log, offset: 0, taken: 0, patches: 0, refused: Vec::new() })
    }

    /// Sends the log from where it is up to `to`.
    pub(super) async fn send_until(&mut self, to: usize, progress: &mut Progress) -> Result<(), Failed> {
        progress.is("running");
        while self.offset < to {
            let size = PATCH_MIN + self.dice.below(PATCH_MAX - PATCH_MIN);
            let end = to.min(self.offset + usize::try_from(size).unwrap_or(usize::MAX));
            self.patch(end).await?;
            progress.at(self.offset);
            SystemClock.sleep(Duration::from_millis(self.dice.below(PAUSE_MAX))).await;
        }
        Ok(())
    }

    async fn patch(&mut self, end: usize) -> Result<(), Failed> {
        let start = self.offset;
        let answer = self
            .service
            .request(Method::PATCH, &format!("/api/v4/jobs/{}/trace", self.job))
            .header("JOB-TOKEN", &self.token)
            .header("Content-Range", format!("{start}-{end}"))
            .body(self.log[start..end].to_vec())
            .send()
            .await
            .map_err(Failed::because)?;
        match answer.status() {
            StatusCode::ACCEPTED => {
                self.taken += end - start;
                self.patches += 1;
                self.offset = end;
                Ok(())
            }
            StatusCode::RANGE_NOT_SATISFIABLE if self.refused.len() < ROUNDS => {
                let range = answer.headers().get("Range").and_then(|range| range.to_str().ok());
                let position = range.and_then(|range| range.split_once('-')?.1.parse::<usize>().ok());
                let position = position.filter(|position| *position <= self.log.len()).ok_or_else(|| {
                    Failed(format!("job {}: the 416 says no offset of this log: {range:?}", self.job))
                })?;
                self.refused.push((start, position));
                self.offset = position;
                Ok(())
            }
            status => Err(Failed(format!("job {}: a patch at {start} was answered {status}", self.job))),
        }
    }

    /// Says that the job is over, and goes on until that is answered 200. Answers how many rounds that took.
    pub(super) async fn finish(&mut self, progress: &mut Progress) -> Result<usize, Failed> {
        let checksum = format!("crc32:{:08x}", crc32fast::hash(&self.log));
        let put = json!({
            "token": self.token, "state": "success", "exit_code": 0,
            "output": { "checksum": checksum, "bytesize": self.log.len() },
            "info": { "features": { "trace_reset": true } },
        });
        for round in 1..=ROUNDS {
            progress.is("proving");
            let path = format!("/api/v4/jobs/{}", self.job);
            let answer = self.service.request(Method::PUT, &path).json(&put).send().await;
            let answer = answer.map_err(Failed::because)?;
            match answer.status() {
                StatusCode::OK => return Ok(round),
                StatusCode::ACCEPTED => {
                    let seconds = answer.headers().get("X-GitLab-Trace-Update-Interval");
                    let seconds = seconds.and_then(|seconds| seconds.to_str().ok()?.parse().ok()).unwrap_or(1);
                    SystemClock.sleep(Duration::from_secs(seconds)).await;
                }
                // From the start again; the first 416 says where really.
                StatusCode::PRECONDITION_FAILED => {
                    self.offset = 0;
                    self.send_until(self.log.len(), progress).await?;
                }
                status => return Err(Failed(format!("job {}: the final PUT was answered {status}", self.job))),
            }
        }
        Err(Failed(format!("job {} is not proven after {ROUNDS} final PUTs", self.job)))
    }
}
