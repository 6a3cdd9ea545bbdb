//! `veritail cat JOB`: a log, verified on the way by the server and as a whole by the one who reads it.

mod output;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use crc32fast::Hasher;
use futures::StreamExt as _;
use reqwest::header::{CONTENT_RANGE, ETAG, IF_NONE_MATCH, RANGE};
use reqwest::{Method, Response, StatusCode};
use serde::Deserialize;

use super::client::{Client, Connection};
use super::{Failed, exit};
use crate::api::error::DAMAGED;
use crate::seams::Clock as _;
use crate::seams::real::SystemClock;
use output::Output;

/// Write a job's log to standard output or a file.
///
/// The server sends only bytes that are as they were recorded, and breaks off where they are not. Size and checksum of what
/// came are held against the recorded ones here once more where the job has ended.
#[derive(Debug, Args)]
#[command(after_help = exit::OF_CAT)]
pub(super) struct Cat {
    /// The job's number.
    job: i64,
    /// Go on while the log grows, until the job ends.
    #[arg(long, short, conflicts_with = "unverified")]
    follow: bool,
    /// What is there, also where it is not as recorded; NUL bytes stand where nothing is.
    #[arg(long)]
    unverified: bool,
    /// Write to this file; it gets its name once the log is whole.
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    #[command(flatten)]
    connection: Connection,
}

/// The integrity document, as far as it matters here.
#[derive(Debug, Deserialize)]
struct Report {
    project_id: i64,
    size: u64,
    crc32: Option<String>,
    verdict: String,
}

impl Report {
    fn is_final(&self) -> bool {
        self.verdict != "pending"
    }
}

/// Between two looks at a log that grows.
const POLL: Duration = Duration::from_secs(1);
/// Looks in a row that may fail before following ends.
const FAILURES_MAX: u32 = 30;
/// The same where the log itself breaks off each time and not a byte more comes.
const BREAKS_MAX: u32 = 3;

impl Cat {
    pub(super) async fn run(self) -> Result<ExitCode, Failed> {
        let client = self.connection.client()?;
        let report = report(&client, self.job).await?;
        let output = Output::open(self.output.as_deref())?;
        let path = format!("/api/v4/projects/{}/jobs/{}/trace", report.project_id, self.job);
        let mut reading = Reading {
            client,
            job: self.job,
            path,
            output,
            size: 0,
            crc32: Hasher::new(),
            etag: None,
            broken: None,
            unwritten: false,
        };
        let read = if self.follow { reading.follow().await } else { reading.whole(self.unverified).await };
        let ended = match read {
            Ok(ended) => ended,
            Err(_) if reading.output.is_closed() => return Ok(exit::code(exit::OTHER)),
            Err(broken) => {
                reading.output.abandon();
                return Err(broken);
            }
        };
        if let Some(wrong) = ended {
            eprintln!("veritail: job {}: {wrong}; {}", self.job, reading.output.abandon());
            eprintln!("veritail: `veritail inspect {}` says what is wrong, --unverified shows what is there", self.job);
            return Ok(exit::code(exit::NOT_AS_RECORDED));
        }
        reading.output.keep()?;
        Ok(ExitCode::SUCCESS)
    }
}

async fn report(client: &Client, job: i64) -> Result<Report, Failed> {
    client.get(&format!("/api/v1/jobs/{job}/integrity"), &format!("job {job}")).await
}

/// A log, as far as it was read.
struct Reading {
    client: Client,
    job: i64,
    path: String,
    output: Output,
    size: u64,
    crc32: Hasher,
    etag: Option<String>,
    /// Why the last stream ended early.
    broken: Option<String>,
    /// The output took not all that it was given.
    unwritten: bool,
}

impl Reading {
    /// Reads everything at once. What is wrong with it, if anything is.
    async fn whole(&mut self, unverified: bool) -> Result<Option<String>, Failed> {
        let path = format!("{}{}", self.path, if unverified { "?unverified=1" } else { "" });
        let request = self.client.request(Method::GET, &path);
        let answer = self.client.answer(request).await?;
        let announced = answer.content_length().filter(|_| answer.status().is_success());
        if answer.status() == StatusCode::INTERNAL_SERVER_ERROR {
            self.broken = Some(self.damage(answer).await?);
        } else {
            let answer = self.client.good(answer, &format!("job {}", self.job)).await?;
            self.take(answer).await?;
        }
        if let Some(why) = &self.broken {
            let of = announced.map_or_else(String::new, |announced| format!(" of {announced}"));
            return Ok(Some(format!("the log broke off after {}{of} bytes ({why})", self.size)));
        }
        if unverified {
            return Ok(None);
        }
        let report = report(&self.client, self.job).await?;
        Ok(if report.is_final() { self.differs(&report) } else { None })
    }

    /// Reads what is there and what comes, until the job has ended and all of it was read.
    async fn follow(&mut self) -> Result<Option<String>, Failed> {
        let (mut failures, mut breaks) = (0, 0);
        loop {
            let before = self.size;
            match self.look().await {
                Ok(()) => failures = 0,
                // What could not be written was perhaps written in part: asking for it again would write that part twice.
                Err(failed) if self.unwritten || failures >= FAILURES_MAX => return Err(failed),
                Err(_) => failures += 1,
            }
            breaks = if self.broken.is_some() && self.size == before { breaks + 1 } else { 0 };
            if let Some(why) = self.broken.take().filter(|_| breaks >= BREAKS_MAX) {
                return Ok(Some(format!("the log broke off after {} bytes ({why})", self.size)));
            }
            if self.size > before {
                continue;
            }
            if let Ok(report) = report(&self.client, self.job).await
                && report.is_final()
                && (self.size >= report.size || report.crc32.is_none())
            {
                return Ok(self.differs(&report));
            }
            SystemClock.sleep(POLL).await;
        }
    }

    /// Asks for what is behind the bytes that were read.
    async fn look(&mut self) -> Result<(), Failed> {
        let mut request = self.client.request(Method::GET, &self.path);
        request = request.header(RANGE, format!("bytes={}-", self.size));
        if let Some(etag) = &self.etag {
            request = request.header(IF_NONE_MATCH, etag);
        }
        let answer = request.send().await.map_err(Failed::because)?;
        match answer.status() {
            StatusCode::PARTIAL_CONTENT if self.begins_here(&answer) => {
                let etag = answer.headers().get(ETAG).and_then(|etag| Some(etag.to_str().ok()?.to_owned()));
                self.take(answer).await?;
                // After a stream that broke off there is more under the same tag.
                self.etag = etag.filter(|_| self.broken.is_none());
                Ok(())
            }
            StatusCode::NOT_MODIFIED | StatusCode::RANGE_NOT_SATISFIABLE => Ok(()),
            StatusCode::INTERNAL_SERVER_ERROR => {
                self.broken = Some(self.damage(answer).await?);
                Ok(())
            }
            status => Err(Failed(format!("{} answered {status}", self.path))),
        }
    }

    /// What a server error says is wrong with the bytes that were asked for: the log breaks off before them. An error where
    /// it says nothing of the kind.
    async fn damage(&self, answer: Response) -> Result<String, Failed> {
        let status = answer.status();
        let said: serde_json::Value = answer.json().await.unwrap_or_default();
        let why = said["message"].as_str().map(str::to_owned);
        match why.filter(|_| said["error"] == DAMAGED) {
            Some(why) => Ok(why),
            None => Err(Failed(format!("{} answered {status}: its log says why", self.path))),
        }
    }

    fn begins_here(&self, answer: &Response) -> bool {
        let range = answer.headers().get(CONTENT_RANGE).and_then(|range| range.to_str().ok());
        let start = range.and_then(|range| range.strip_prefix("bytes ")?.split('-').next()?.parse().ok());
        start == Some(self.size)
    }

    /// Writes what an answer brings. A stream that breaks off is noted, one that cannot be written is an error.
    async fn take(&mut self, answer: Response) -> Result<(), Failed> {
        let mut stream = answer.bytes_stream();
        while let Some(piece) = stream.next().await {
            match piece {
                Ok(bytes) => {
                    self.output.write(&bytes).inspect_err(|_| self.unwritten = true)?;
                    self.crc32.update(&bytes);
                    self.size += bytes.len() as u64;
                }
                Err(error) => {
                    self.broken = Some(error.to_string());
                    break;
                }
            }
        }
        self.output.flush().inspect_err(|_| self.unwritten = true)
    }

    /// What was read, against what is recorded of a finished log.
    fn differs(&self, report: &Report) -> Option<String> {
        let crc32 = format!("{:08x}", self.crc32.clone().finalize());
        if self.size != report.size {
            return Some(format!("{} bytes came, {} are recorded", self.size, report.size));
        }
        match &report.crc32 {
            None => Some(format!("a part of it is lost, the verdict is {}", report.verdict)),
            Some(recorded) if *recorded != crc32 => Some(format!("its crc32 is {crc32}, recorded is {recorded}")),
            Some(_) => None,
        }
    }
}
