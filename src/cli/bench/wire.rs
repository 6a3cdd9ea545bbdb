//! The requests of runners, readers and the admin, and what the answers mean to them.

use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt as _;
use reqwest::header::{CONTENT_RANGE, CONTENT_TYPE, RANGE, RETRY_AFTER};
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};

use super::clock::{self, Instant};
use crate::api::final_update;
use crate::cli::Failed;
use crate::cli::client::Client;
use crate::trace::{ByteSize, Crc32};

/// How long one request may take.
const REQUEST: Duration = Duration::from_secs(60);

/// A job to write to or read from.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Job {
    pub(super) id: i64,
    #[serde(default)]
    pub(super) token: String,
    pub(super) project_id: i64,
}

/// An answer as a runner takes it.
#[derive(Debug)]
pub(super) struct Reply {
    /// The status code; 0 where there was no answer.
    pub(super) status: u16,
    pub(super) means: Means,
}

#[derive(Debug)]
pub(super) enum Means {
    /// 200.
    Done,
    /// 202: kept, or not proven yet; the interval until the next.
    Accepted(Duration),
    /// 416: the log goes on there.
    Moved(u64),
    /// 412: begin again.
    Again,
    /// Come back later, perhaps with a word when.
    Later(Option<Duration>),
    /// Never.
    Refused(String),
}

/// A reader's experience.
#[derive(Debug, Default)]
pub(super) struct Taken {
    pub(super) status: u16,
    pub(super) first_byte: Duration,
    pub(super) whole: Duration,
    pub(super) bytes: u64,
    pub(super) crc32: u32,
    pub(super) sha256: [u8; 32],
    /// Why the answer is not whole.
    pub(super) broken: Option<String>,
    /// When to come again, where the server says so.
    pub(super) after: Option<Duration>,
}

/// A way to a server.
#[derive(Clone)]
pub(super) struct Wire {
    pub(super) client: Client,
}

impl Wire {
    pub(super) async fn make_job(&self, project: &str, name: &str) -> Result<Job, Failed> {
        let wanted = json!({ "project": project, "name": name, "trace_reset": true });
        let request = self.client.request(Method::POST, "/api/v1/jobs").json(&wanted).timeout(REQUEST);
        self.client.document(request, "way to make jobs there").await
    }

    pub(super) async fn append(&self, job: &Job, at: u64, bytes: Bytes) -> Reply {
        let range = format!("{at}-{}", (at + bytes.len() as u64).saturating_sub(1));
        let request = self.of_job(Method::PATCH, job, "/trace").header(CONTENT_RANGE, range);
        reply_to(request.header(CONTENT_TYPE, "text/plain").body(bytes)).await
    }

    pub(super) async fn finish(&self, job: &Job, crc32: u32, size: u64) -> Reply {
        let put = final_update(&job.token, "success", Some(0), (Crc32(crc32), ByteSize(size)));
        reply_to(self.of_job(Method::PUT, job, "").json(&put)).await
    }

    /// What was promised of a job's log.
    pub(super) async fn integrity(&self, job: i64) -> Result<Value, Failed> {
        self.client.get(&format!("/api/v1/jobs/{job}/integrity"), &format!("job {job}")).await
    }

    /// Reads a log, or a range of it.
    pub(super) async fn read(&self, job: &Job, range: Option<String>) -> Taken {
        let path = format!("/api/v4/projects/{}/jobs/{}/trace", job.project_id, job.id);
        let mut request = self.client.request(Method::GET, &path).timeout(10 * REQUEST);
        if let Some(range) = range {
            request = request.header(RANGE, range);
        }
        let began = clock::now();
        match request.send().await {
            Ok(answer) => take(answer, began).await,
            Err(error) => Taken { broken: Some(chain(&error)), whole: began.elapsed(), ..Taken::default() },
        }
    }

    pub(super) async fn metrics(&self) -> Result<String, Failed> {
        let answer = self.client.send(self.client.bare(Method::GET, "/metrics"), "metrics").await?;
        answer.text().await.map_err(Failed::because)
    }

    fn of_job(&self, method: Method, job: &Job, more: &str) -> RequestBuilder {
        let path = format!("/api/v4/jobs/{}{more}", job.id);
        self.client.bare(method, &path).header("JOB-TOKEN", &job.token).timeout(REQUEST)
    }
}

async fn take(answer: Response, began: Instant) -> Taken {
    let after = seconds(&answer, RETRY_AFTER.as_str());
    let mut taken = Taken { status: answer.status().as_u16(), after, ..Taken::default() };
    if answer.status() == StatusCode::INTERNAL_SERVER_ERROR {
        // It says why: most often the first bytes are wrong or gone.
        taken.broken = Some(answer.text().await.unwrap_or_else(|error| chain(&error)));
        taken.whole = began.elapsed();
        return taken;
    }
    let (mut crc32, mut sha256) = (crc32fast::Hasher::new(), <sha2::Sha256 as sha2::Digest>::new());
    let mut stream = answer.bytes_stream();
    while let Some(piece) = stream.next().await {
        match piece {
            Ok(bytes) => {
                if taken.bytes == 0 {
                    taken.first_byte = began.elapsed();
                }
                taken.bytes += bytes.len() as u64;
                crc32.update(&bytes);
                sha2::Digest::update(&mut sha256, &bytes);
            }
            Err(error) => {
                taken.broken = Some(chain(&error));
                break;
            }
        }
    }
    taken.whole = began.elapsed();
    taken.crc32 = crc32.finalize();
    taken.sha256 = sha2::Digest::finalize(sha256).into();
    taken
}

async fn reply_to(request: RequestBuilder) -> Reply {
    let answer = match request.send().await {
        Ok(answer) => answer,
        Err(_) => return Reply { status: 0, means: Means::Later(None) },
    };
    let status = answer.status().as_u16();
    let over = text(&answer, "job-status").filter(|job| ["failed", "canceled", "success"].contains(job));
    let position = text(&answer, "range").and_then(|range| range.split_once('-')?.1.parse().ok());
    let means = match (status, over, position) {
        (200, ..) => Means::Done,
        (202, None, _) => {
            Means::Accepted(seconds(&answer, "x-gitlab-trace-update-interval").unwrap_or(Duration::from_secs(1)))
        }
        (416, None, Some(position)) => Means::Moved(position),
        (412, None, _) => Means::Again,
        (408 | 429 | 500..=599, None, _) => Means::Later(seconds(&answer, RETRY_AFTER.as_str())),
        (status, Some(over), _) => Means::Refused(format!("{status}: the job is over, {over}")),
        (status, None, _) => Means::Refused(format!("{status}")),
    };
    // Read to its end, so that the connection can be used again.
    let _ = answer.bytes().await;
    Reply { status, means }
}

fn text<'a>(answer: &'a Response, name: &str) -> Option<&'a str> {
    answer.headers().get(name)?.to_str().ok()
}

fn seconds(answer: &Response, name: &str) -> Option<Duration> {
    text(answer, name)?.parse().ok().map(Duration::from_secs)
}

fn chain(error: &reqwest::Error) -> String {
    let mut why = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(deeper) = cause {
        why = format!("{why}: {deeper}");
        cause = deeper.source();
    }
    why
}
