//! What `send` asks the server, and what its answers mean.

use std::time::Duration;

use reqwest::header::{CONTENT_RANGE, CONTENT_TYPE, RETRY_AFTER};
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde_json::{Value, json};

use super::spool::{Ending, Job, Origin};
use crate::api::final_update;
use crate::cli::Failed;
use crate::cli::client::{Client, Connection, wrong_scheme};
use crate::telemetry::errors::innermost;
use crate::trace::{ByteSize, Crc32};

/// How long one request may take.
const REQUEST: Duration = Duration::from_secs(60);

/// A way to the server.
pub(super) struct Wire {
    client: Client,
}

/// An answer to a PATCH or a PUT.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// 202 to a PATCH: kept. 202 to a PUT: not proven yet. Come again after the interval.
    Accepted { interval: Duration },
    /// 200 to a PUT: proven, or decided otherwise.
    Done,
    /// 416: the log goes on at another place.
    Elsewhere { position: u64 },
    /// 412: bytes are missing; begin again, and the server says where.
    Again,
    /// It will not be taken, however often it is sent.
    Refused(String),
    /// Perhaps later; the server may say when.
    Later { why: String, after: Option<Duration> },
}

impl Wire {
    /// To the server that a log is for. A job that is to be made needs the admin's token.
    pub(super) fn new(connection: &Connection, origin: &Origin, resumed: bool) -> Result<Self, Failed> {
        let mut connection = connection.clone();
        if resumed {
            connection.url.clone_from(&origin.url);
        }
        let client = match &origin.job {
            Some(job) => connection.client_with(job.token.clone())?,
            None => connection.client()?,
        };
        Ok(Self { client })
    }

    /// Makes the job whose log this is.
    pub(super) async fn make_job(&self, origin: &Origin) -> Result<Job, Answer> {
        let wanted = json!({ "project": origin.project, "name": origin.name, "trace_reset": true });
        let request = self.client.request(Method::POST, "/api/v1/jobs").json(&wanted).timeout(REQUEST);
        let answer = request.send().await.map_err(|error| later(&error))?;
        if [StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN].contains(&answer.status()) {
            let why =
                "this token may not make jobs; give the admin's with --token, or a job with --job and --job-token";
            return Err(Answer::Refused(format!("the server answered {}: {why}", answer.status())));
        }
        if answer.status() != StatusCode::CREATED {
            return Err(read(answer).await);
        }
        let made: Value = answer.json().await.map_err(|error| later(&error))?;
        match (made["id"].as_i64(), made["token"].as_str()) {
            (Some(id), Some(token)) => Ok(Job { id, token: token.to_owned() }),
            _ => Err(Answer::Refused("the server made a job without a number or a token".to_owned())),
        }
    }

    /// Appends `bytes` at `start`. None at all asks where the log goes on.
    pub(super) async fn append(&self, job: &Job, start: u64, bytes: Vec<u8>) -> Answer {
        let end = (start + bytes.len() as u64).saturating_sub(1);
        let request = self.of_job(Method::PATCH, job, "/trace");
        let request = request.header(CONTENT_RANGE, format!("{start}-{end}")).header(CONTENT_TYPE, "text/plain");
        answer_to(request.body(bytes)).await
    }

    /// Says how the job ended, and what its log is.
    pub(super) async fn finish(&self, job: &Job, ending: &Ending) -> Answer {
        let whole = (Crc32(ending.crc32), ByteSize(ending.size));
        let put = final_update(&job.token, &ending.state, ending.exit_code, whole);
        answer_to(self.of_job(Method::PUT, job, "").json(&put)).await
    }

    /// What is known of the whole.
    pub(super) async fn verdict(&self, job: &Job) -> Result<String, Answer> {
        let path = format!("/api/v1/jobs/{}/integrity", job.id);
        let request = self.client.bare(Method::GET, &path).header("JOB-TOKEN", &job.token).timeout(REQUEST);
        let answer = request.send().await.map_err(|error| later(&error))?;
        if !answer.status().is_success() {
            return Err(read(answer).await);
        }
        let report: Value = answer.json().await.map_err(|error| later(&error))?;
        Ok(report["verdict"].as_str().unwrap_or("unknown").to_owned())
    }

    fn of_job(&self, method: Method, job: &Job, more: &str) -> RequestBuilder {
        let path = format!("/api/v4/jobs/{}{more}", job.id);
        self.client.bare(method, &path).header("JOB-TOKEN", &job.token).timeout(REQUEST)
    }
}

async fn answer_to(request: RequestBuilder) -> Answer {
    match request.send().await {
        Ok(answer) => read(answer).await,
        Err(error) => later(&error),
    }
}

fn later(error: &reqwest::Error) -> Answer {
    let server = error.url().map_or_else(|| "the server".to_owned(), |url| url.origin().ascii_serialization());
    let hint = wrong_scheme(error).map_or_else(String::new, |hint| format!("; {hint}"));
    Answer::Later { why: format!("{server}: {}{hint}", innermost(error)), after: None }
}

async fn read(answer: Response) -> Answer {
    let field = |name: &str| answer.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let seconds = |name: &str| field(name).and_then(|seconds| seconds.parse().ok()).map(Duration::from_secs);
    let (status, job) = (answer.status(), field("job-status"));
    let ended = job.filter(|job| ["failed", "canceled", "success"].contains(&job.as_str()));
    let position = field("range").and_then(|range| range.split_once('-')?.1.parse().ok());
    let (interval, after) = (seconds("x-gitlab-trace-update-interval"), seconds(RETRY_AFTER.as_str()));
    match (status, ended) {
        (StatusCode::OK, _) => Answer::Done,
        (StatusCode::ACCEPTED, None) => Answer::Accepted { interval: interval.unwrap_or(Duration::from_secs(1)) },
        (StatusCode::RANGE_NOT_SATISFIABLE, None) => Answer::Elsewhere { position: position.unwrap_or(0) },
        (StatusCode::PRECONDITION_FAILED, None) => Answer::Again,
        (StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS, None) => {
            Answer::Later { why: format!("the server answered {status}"), after }
        }
        (status, None) if status.is_server_error() => {
            Answer::Later { why: format!("the server answered {status}"), after }
        }
        (status, Some(ended)) => Answer::Refused(format!("the server answered {status}: the job is over, {ended}")),
        (StatusCode::FORBIDDEN | StatusCode::UNAUTHORIZED | StatusCode::NOT_FOUND, None) => {
            Answer::Refused(format!("the server answered {status}: there is no such job, or the token is another"))
        }
        (status, None) => {
            let said: Option<Value> = answer.json().await.ok();
            let said = said.as_ref().and_then(|said| said["detail"].as_str().or(said["message"].as_str()));
            Answer::Refused(format!("the server answered {status}: {}", said.unwrap_or("it does not say why")))
        }
    }
}
