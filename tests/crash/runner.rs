//! A runner as gitlab-runner is: it keeps its whole log, sends it from where the last answer said, and asks until its
//! final update is answered 200.

use reqwest::{Client, Method, RequestBuilder, Response};
use serde_json::{Value, json};

use super::server::ADMIN_TOKEN;

/// The server did not answer, or broke off: it is gone, or about to be.
#[derive(Debug)]
pub struct Unanswered;

pub type Answered<T> = Result<T, Unanswered>;

pub struct Runner {
    pub id: i64,
    pub log: Vec<u8>,
    /// Where the next patch begins.
    pub sent: usize,
    /// Up to where the server must have everything.
    pub acknowledged: usize,
    /// Up to where the log is sent before the first final update; later ones come when everything is sent.
    pub says_it_is_done_at: usize,
    pub done: bool,
    token: String,
    client: Client,
    base: String,
}

impl Runner {
    /// Makes a job for `log`.
    pub async fn new(port: u16, log: Vec<u8>) -> Answered<Self> {
        // A connection to a process that died is not used again.
        veritail::api::server::tls::choose_cryptography();
        let client = Client::builder().pool_max_idle_per_host(0).build().expect("a client");
        let base = format!("http://127.0.0.1:{port}");
        let wanted = json!({"project": "group/demo", "name": "crash", "trace_reset": true});
        let made = client.post(format!("{base}/api/v1/jobs")).header("PRIVATE-TOKEN", ADMIN_TOKEN).json(&wanted);
        let made = answer(made).await?;
        assert_eq!(made.status(), 201);
        let made: Value = made.json().await.map_err(|_| Unanswered)?;
        Ok(Self {
            id: made["id"].as_i64().expect("a number"),
            sent: 0,
            acknowledged: 0,
            says_it_is_done_at: log.len(),
            done: false,
            token: made["token"].as_str().expect("a token").to_owned(),
            log,
            client,
            base,
        })
    }

    /// One request: a patch of at most `size` bytes, or the final update.
    pub async fn step(&mut self, size: usize) -> Answered<()> {
        if self.sent < self.says_it_is_done_at { self.patch(size).await } else { self.put().await }
    }

    async fn patch(&mut self, size: usize) -> Answered<()> {
        let (start, end) = (self.sent, self.says_it_is_done_at.min(self.sent + size));
        let patch = self
            .request(Method::PATCH, &format!("/api/v4/jobs/{}/trace", self.id))
            .header("JOB-TOKEN", &self.token)
            .header("Content-Range", format!("{start}-{end}"))
            .body(self.log[start..end].to_vec());
        let answer = answer(patch).await?;
        match answer.status().as_u16() {
            202 => {
                assert_eq!(position(&answer), end, "job {}: all of the patch is stored", self.id);
                self.sent = end;
                self.acknowledged = self.acknowledged.max(end);
            }
            416 => {
                self.sent = position(&answer);
                assert!(self.sent <= self.log.len(), "job {}: told to go on at {}", self.id, self.sent);
            }
            503 => {}
            status => panic!("job {}: a patch was answered {status}", self.id),
        }
        Ok(())
    }

    async fn put(&mut self) -> Answered<()> {
        self.says_it_is_done_at = self.log.len();
        let checksum = format!("crc32:{:08x}", crc32fast::hash(&self.log));
        let put = json!({"token": self.token, "state": "success", "exit_code": 0,
            "output": {"checksum": checksum, "bytesize": self.log.len()}, "info": {"features": {"trace_reset": true}}});
        let answer = answer(self.request(Method::PUT, &format!("/api/v4/jobs/{}", self.id)).json(&put)).await?;
        match answer.status().as_u16() {
            200 => self.done = true,
            202 | 503 => {}
            412 => self.sent = 0,
            status => panic!("job {}: its final update was answered {status}", self.id),
        }
        Ok(())
    }

    /// What the server has is a part of the log, and reaches at least as far as was acknowledged.
    pub async fn finds_what_was_acknowledged(&self) -> Answered<()> {
        let found = self.read().await?;
        let same = found.iter().zip(&self.log).take_while(|(found, sent)| found == sent).count();
        assert_eq!(same, found.len(), "job {}: a wrong byte is served", self.id);
        assert!(found.len() >= self.acknowledged, "job {}: {} of {}", self.id, found.len(), self.acknowledged);
        Ok(())
    }

    /// The whole log, as readers get it.
    pub async fn read(&self) -> Answered<Vec<u8>> {
        let path = format!("/api/v4/projects/group%2Fdemo/jobs/{}/trace", self.id);
        let trace = answer(self.admin(&path)).await?;
        assert_eq!(trace.status(), 200);
        Ok(trace.bytes().await.map_err(|_| Unanswered)?.to_vec())
    }

    pub async fn integrity(&self) -> Answered<Value> {
        let report = answer(self.admin(&format!("/api/v1/jobs/{}/integrity", self.id))).await?;
        assert_eq!(report.status(), 200);
        report.json().await.map_err(|_| Unanswered)
    }

    fn admin(&self, path: &str) -> RequestBuilder {
        self.request(Method::GET, path).header("PRIVATE-TOKEN", ADMIN_TOKEN)
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{path}", self.base))
    }
}

async fn answer(request: RequestBuilder) -> Answered<Response> {
    request.send().await.map_err(|_| Unanswered)
}

/// The number in `Range: 0-N`.
fn position(answer: &Response) -> usize {
    let range = answer.headers().get("Range").expect("a range is always there").to_str().expect("text");
    range.strip_prefix("0-").and_then(|number| number.parse().ok()).expect("0-N")
}

/// A log that is nowhere the same.
pub fn log(name: u64, size: usize) -> Vec<u8> {
    let lines = (0u64..).map(|line| format!("{name:04}:{line:06} {:016x}\n", line.wrapping_mul(0x9e37_79b9_7f4a_7c15)));
    lines.flat_map(String::into_bytes).take(size).collect()
}
