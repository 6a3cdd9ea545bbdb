//! A client over HTTP: what a runner, a reader and the admin send.

use std::net::SocketAddr;

use bytes::Bytes;
use reqwest::header::HeaderMap;
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use crate::support::wait::{PATIENCE, holds_within};

/// The project of every job that [`Client::make_job`] makes.
const PROJECT: &str = "group/demo";

/// Speaks to one server as the admin, or with a job's token.
#[derive(Clone)]
pub struct Client {
    address: SocketAddr,
    admin_token: String,
    http: reqwest::Client,
}

/// A job as its creator got it.
#[derive(Clone, Debug)]
pub struct Job {
    /// Its number.
    pub id: i64,
    /// Its runner's token.
    pub token: String,
    /// Its project's number.
    pub project: i64,
}

/// An answer, read to its end.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The header fields.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

impl Answer {
    /// A header field; empty if it is absent.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("text"))
    }

    /// Status and `Range`: what a runner goes by.
    pub fn place(&self) -> (u16, &str) {
        (self.status, self.header("Range"))
    }

    /// Status and `Job-Status`.
    pub fn state(&self) -> (u16, &str) {
        (self.status, self.header("Job-Status"))
    }

    /// `X-GitLab-Trace-Update-Interval`.
    pub fn interval(&self) -> &str {
        self.header("X-GitLab-Trace-Update-Interval")
    }

    /// The body as text.
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("text")
    }

    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("JSON")
    }

    /// Everything that a stranger could tell answers apart by; date and request id differ always.
    pub fn looks(&self) -> (u16, Vec<(String, String)>, Bytes) {
        let told = |name: &str| name != "date" && name != "x-request-id";
        let mut fields: Vec<(String, String)> = self
            .headers
            .iter()
            .filter(|(name, _)| told(name.as_str()))
            .map(|(name, value)| (name.to_string(), value.to_str().expect("text").to_owned()))
            .collect();
        fields.sort();
        (self.status, fields, self.body.clone())
    }
}

/// Sends a request and reads the answer to its end.
pub trait Send {
    /// The answer; fails where the connection breaks, also in the middle of the body.
    fn try_answer(self) -> impl Future<Output = reqwest::Result<Answer>> + std::marker::Send;

    /// The answer.
    fn answer(self) -> impl Future<Output = Answer> + std::marker::Send;
}

impl Send for RequestBuilder {
    async fn try_answer(self) -> reqwest::Result<Answer> {
        let response = self.send().await?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Ok(Answer { status, headers, body: response.bytes().await? })
    }

    async fn answer(self) -> Answer {
        self.try_answer().await.expect("answered")
    }
}

impl Client {
    /// A client of the server at `address`.
    pub fn new(address: SocketAddr, admin_token: &str) -> Self {
        veritail::api::server::tls::choose_cryptography();
        let http = reqwest::Client::builder().no_proxy().build().expect("a client");
        Self { address, admin_token: admin_token.to_owned(), http }
    }

    /// The same client, by way of another address, with a connection for each request.
    pub fn by_way_of(&self, address: SocketAddr) -> Self {
        veritail::api::server::tls::choose_cryptography();
        let http = reqwest::Client::builder().no_proxy().pool_max_idle_per_host(0).build().expect("a client");
        Self { address, admin_token: self.admin_token.clone(), http }
    }

    /// Where the server listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// A request with no token.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("http://{}{path}", self.address))
    }

    /// A request with the admin's token.
    pub fn admin(&self, method: Method, path: &str) -> RequestBuilder {
        self.request(method, path).header("PRIVATE-TOKEN", &self.admin_token)
    }

    /// A running job of whose runner nothing is known.
    pub async fn make_job(&self) -> Job {
        self.make_job_of(json!({})).await
    }

    /// A running job whose runner is known to be able to send its log again, or not to.
    pub async fn make_job_with_reset(&self, trace_reset: bool) -> Job {
        self.make_job_of(json!({ "trace_reset": trace_reset })).await
    }

    /// A job with more said about it.
    pub async fn make_job_of(&self, more: Value) -> Job {
        let mut wanted = json!({"project": PROJECT, "name": "rspec"});
        for (name, value) in more.as_object().expect("an object") {
            wanted[name] = value.clone();
        }
        let answer = self.admin(Method::POST, "/api/v1/jobs").json(&wanted).answer().await;
        assert_eq!(answer.status, 201, "{}", answer.text());
        let made = answer.json();
        let number = |name: &str| made[name].as_i64().expect("a number");
        Job {
            id: number("id"),
            token: made["token"].as_str().expect("a token").to_owned(),
            project: number("project_id"),
        }
    }

    /// Cancels a job.
    pub async fn cancel(&self, job: &Job) -> Answer {
        self.admin(Method::POST, &format!("/api/v1/jobs/{}/cancel", job.id)).answer().await
    }

    /// A PATCH with the job's token and no `Content-Range` yet.
    pub fn patch(&self, job: &Job) -> RequestBuilder {
        self.request(Method::PATCH, &append_path(job)).header("JOB-TOKEN", &job.token)
    }

    /// A PATCH as gitlab-runner sends it.
    pub fn append_request(&self, job: &Job, start: usize, bytes: &[u8]) -> RequestBuilder {
        let range = format!("{start}-{}", (start + bytes.len()).saturating_sub(1));
        self.patch(job).header("Content-Range", range).header("Content-Type", "text/plain").body(bytes.to_vec())
    }

    /// Appends.
    pub async fn append(&self, job: &Job, start: usize, bytes: &[u8]) -> Answer {
        self.append_request(job, start, bytes).answer().await
    }

    /// Appends, and expects to be accepted.
    pub async fn append_all(&self, job: &Job, start: usize, bytes: &[u8]) {
        let answer = self.append(job, start, bytes).await;
        assert_eq!(answer.place(), (202, format!("0-{}", start + bytes.len()).as_str()), "{}", answer.text());
    }

    /// A PUT with the job's token in its body.
    pub fn put_request(&self, job: &Job, body: &Value) -> RequestBuilder {
        let mut body = body.clone();
        body["token"] = job.token.clone().into();
        self.request(Method::PUT, &format!("/api/v4/jobs/{}", job.id)).json(&body)
    }

    /// Puts once.
    pub async fn put(&self, job: &Job, body: &Value) -> Answer {
        self.put_request(job, body).answer().await
    }

    /// Puts for as long as the answer is 202, as gitlab-runner does.
    pub async fn put_until_decided(&self, job: &Job, body: &Value) -> Answer {
        for _ in 0..30 {
            let answer = self.put(job, body).await;
            if answer.status != 202 {
                return answer;
            }
        }
        panic!("job {} is never decided", job.id);
    }

    /// A GET of the trace as the admin.
    pub fn trace_request(&self, job: &Job) -> RequestBuilder {
        self.admin(Method::GET, &trace_path(job))
    }

    /// The whole trace.
    pub async fn trace(&self, job: &Job) -> Bytes {
        let answer = self.trace_request(job).answer().await;
        assert_eq!((answer.status, answer.header("Content-Type")), (200, "text/plain; charset=utf-8"));
        answer.body
    }

    /// The integrity document.
    pub async fn integrity(&self, job: &Job) -> Value {
        let answer = self.admin(Method::GET, &format!("/api/v1/jobs/{}/integrity", job.id)).answer().await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json()
    }

    /// Asks for the integrity document until `is` holds.
    pub async fn integrity_until(&self, job: &Job, what: &str, is: impl Fn(&Value) -> bool) -> Value {
        let mut last = Value::Null;
        let look = async || {
            last = self.integrity(job).await;
            is(&last)
        };
        assert!(holds_within(PATIENCE, look).await, "job {}: {what} never came to be: {last:#}", job.id);
        last
    }

    /// The sum of a metric over all series that have `label` in them.
    pub async fn metric(&self, name: &str, label: &str) -> f64 {
        let page = self.request(Method::GET, "/metrics").answer().await;
        page.text()
            .lines()
            .filter(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' '])))
            .filter(|line| line.contains(label))
            .filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok())
            .sum()
    }

    /// Waits until `is` holds of a metric.
    pub async fn metric_until(&self, name: &str, label: &str, is: impl Fn(f64) -> bool) {
        let mut last = 0.0;
        let look = async || {
            last = self.metric(name, label).await;
            is(last)
        };
        assert!(holds_within(PATIENCE, look).await, "{name} with {label:?} stays {last}");
    }
}

fn append_path(job: &Job) -> String {
    format!("/api/v4/jobs/{}/trace", job.id)
}

fn trace_path(job: &Job) -> String {
    format!("/api/v4/projects/{}/jobs/{}/trace", job.project, job.id)
}

/// A final PUT with a claim about `log`.
pub fn ended(state: &str, log: &[u8], trace_reset: bool) -> Value {
    let checksum = format!("crc32:{:08x}", crc32fast::hash(log));
    json!({
        "state": state, "exit_code": 0, "checksum": checksum,
        "output": {"checksum": checksum, "bytesize": log.len()},
        "info": {"features": {"trace_reset": trace_reset, "trace_checksum": true, "trace_size": true}},
    })
}

/// Bytes that look random and repeat only after a long time, so that misplaced ones are seen; the same every time.
pub fn log(size: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut log = Vec::with_capacity(size + 8);
    while log.len() < size {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        log.extend_from_slice(&state.to_le_bytes());
    }
    log.truncate(size);
    log
}

/// The same with another bit in the middle.
pub fn flipped(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    bytes
}
