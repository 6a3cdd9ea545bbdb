//! What the demo asks Veritail over HTTP as its admin and as a reader; runners speak for themselves.

use futures::StreamExt;
use reqwest::{Client, Method, RequestBuilder, StatusCode};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use crate::cli::Failed;

/// The project of all jobs.
pub(super) const PROJECT: &str = "demo/app";

/// A Veritail that listens somewhere.
#[derive(Clone)]
pub(super) struct Service {
    client: Client,
    url: String,
    admin: String,
}

/// A job as it was made.
#[derive(Debug, Deserialize)]
pub(super) struct Made {
    pub(super) id: i64,
    pub(super) token: String,
}

/// A reader's experience.
pub(super) struct Read {
    pub(super) status: StatusCode,
    pub(super) bytes: Vec<u8>,
    /// The connection broke before the announced end.
    pub(super) broken: bool,
}

/// The integrity document, as far as the demo looks at it.
#[derive(Debug, Deserialize)]
pub(super) struct Report {
    pub(super) size: usize,
    pub(super) crc32: Option<String>,
    pub(super) verdict: String,
    pub(super) chunks: Vec<Chunk>,
    pub(super) mismatches: Vec<Mismatch>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Chunk {
    pub(super) index: u32,
    pub(super) size: usize,
    pub(super) crc32: Option<String>,
    pub(super) sha256: Option<String>,
    pub(super) epoch: u32,
    pub(super) copies: Vec<Copy>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Copy {
    pub(super) store: String,
    pub(super) state: String,
    pub(super) key: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Mismatch {
    pub(super) chunk_index: Option<u32>,
    pub(super) kind: String,
    pub(super) store: String,
    pub(super) detector: String,
    pub(super) state: String,
}

impl Service {
    /// The one at `url`, of which we have the admin token.
    pub(super) fn at(url: String, admin: &str) -> Result<Self, Failed> {
        // It listens on the loopback interface: no proxy stands between.
        let client = Client::builder().no_proxy().build().map_err(Failed::because)?;
        Ok(Self { client, url, admin: admin.to_owned() })
    }

    /// A request without a token.
    pub(super) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{path}", self.url))
    }

    fn as_admin(&self, method: Method, path: &str) -> RequestBuilder {
        self.request(method, path).header("PRIVATE-TOKEN", &self.admin)
    }

    /// Makes a job whose runner can send its log again.
    pub(super) async fn make_job(&self, name: &str) -> Result<Made, Failed> {
        let wanted = json!({ "project": PROJECT, "name": name, "trace_reset": true });
        document(self.as_admin(Method::POST, "/api/v1/jobs").json(&wanted)).await
    }

    /// What was promised of a job's log, and where it lies.
    pub(super) async fn integrity(&self, job: i64) -> Result<Report, Failed> {
        document(self.as_admin(Method::GET, &format!("/api/v1/jobs/{job}/integrity"))).await
    }

    /// Reads a log to its end, or until the connection breaks.
    pub(super) async fn read(&self, job: i64, query: &str, range: Option<&str>) -> Result<Read, Failed> {
        let mut request = self.as_admin(Method::GET, &format!("{}/{job}/trace{query}", jobs_path()));
        if let Some(range) = range {
            request = request.header("Range", range);
        }
        let answer = request.send().await.map_err(Failed::because)?;
        let status = answer.status();
        let mut stream = answer.bytes_stream();
        let mut bytes = Vec::new();
        while let Some(piece) = stream.next().await {
            match piece {
                Ok(piece) => bytes.extend_from_slice(&piece),
                Err(_) => return Ok(Read { status, bytes, broken: true }),
            }
        }
        Ok(Read { status, bytes, broken: false })
    }

    /// The series of a metric that are not at zero.
    pub(super) async fn series(&self, name: &str) -> Result<Vec<String>, Failed> {
        let answer = self.request(Method::GET, "/metrics").send().await.map_err(Failed::because)?;
        let page = answer.text().await.map_err(Failed::because)?;
        let begins = format!("{name}{{");
        let lines = page.lines().filter(|line| line.starts_with(&begins) && !line.ends_with(" 0"));
        Ok(lines.map(ToOwned::to_owned).collect())
    }
}

/// Where readers find the jobs of the project.
pub(super) fn jobs_path() -> String {
    format!("/api/v4/projects/{}/jobs", PROJECT.replace('/', "%2F"))
}

async fn document<T: DeserializeOwned>(request: RequestBuilder) -> Result<T, Failed> {
    let answer = request.send().await.and_then(reqwest::Response::error_for_status).map_err(Failed::because)?;
    answer.json().await.map_err(Failed::because)
}
