//! The canary's way to the API: over HTTP, to this node or to where it was told, as any runner and reader.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use reqwest::header::{CONTENT_RANGE, CONTENT_TYPE, RANGE, RETRY_AFTER};
use reqwest::{Client, Method, RequestBuilder, Response};

use super::CannotStart;
use crate::api::final_update;
use crate::config::Verify;
use crate::config::value::Secret;
use crate::telemetry::errors::innermost;
use crate::trace::{ByteSize, Crc32, Offset};
use crate::verify::canary::{CanaryClient, CanaryJob, NoAnswer, Reply};

/// How long one request may take.
const REQUEST: Duration = Duration::from_secs(30);
/// When to come again, where the server does not say.
const LATER: Duration = Duration::from_secs(1);

/// A client of one address.
pub(super) struct HttpClient {
    http: Client,
    url: String,
    admin_token: Secret,
}

impl HttpClient {
    /// A client of the configured address, or of this process at `listens`.
    pub(super) fn of(
        config: &Verify,
        listens: SocketAddr,
        tls: bool,
        admin_token: &Secret,
    ) -> Result<Self, CannotStart> {
        let builder = Client::builder().timeout(REQUEST);
        let (builder, url) = match &config.canary_url {
            Some(url) => (builder, url.as_str().to_owned()),
            None => {
                let scheme = if tls { "https" } else { "http" };
                // It speaks to itself: no proxy stands between, and no certificate is for a loopback address.
                (builder.no_proxy().tls_danger_accept_invalid_certs(true), format!("{scheme}://{}", reachable(listens)))
            }
        };
        let http = builder.build().map_err(CannotStart::Canary)?;
        Ok(Self { http, url, admin_token: admin_token.clone() })
    }

    fn of_runner(&self, method: Method, job: &CanaryJob, more: &str) -> RequestBuilder {
        let path = format!("{}/api/v4/jobs/{}{more}", self.url, job.id);
        self.http.request(method, path).header("JOB-TOKEN", &job.token)
    }
}

/// Who listens everywhere is reached at home.
fn reachable(listens: SocketAddr) -> SocketAddr {
    let ip = match listens.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, listens.port())
}

#[async_trait]
impl CanaryClient for HttpClient {
    async fn append(&self, job: &CanaryJob, at: Offset, bytes: Bytes) -> Result<Reply, NoAnswer> {
        let range = format!("{at}-{}", (at.0 + bytes.len() as u64).saturating_sub(1));
        let request = self.of_runner(Method::PATCH, job, "/trace").header(CONTENT_RANGE, range);
        reply_to(request.header(CONTENT_TYPE, "text/plain").body(bytes)).await
    }

    async fn finish(&self, job: &CanaryJob, crc32: Crc32, size: ByteSize) -> Result<Reply, NoAnswer> {
        let put = final_update(&job.token, "success", Some(0), (crc32, size));
        reply_to(self.of_runner(Method::PUT, job, "").json(&put)).await
    }

    async fn read(&self, job: &CanaryJob) -> Result<Bytes, NoAnswer> {
        let path = format!("{}/api/v4/projects/{}/jobs/{}/trace", self.url, job.project, job.id);
        let request = self.http.get(path).header("PRIVATE-TOKEN", self.admin_token.reveal());
        let answer = request.send().await.map_err(broken)?;
        match answer.status().as_u16() {
            200 => answer.bytes().await.map_err(broken),
            status => Err(NoAnswer::Refused(status)),
        }
    }
}

async fn reply_to(request: RequestBuilder) -> Result<Reply, NoAnswer> {
    let answer = request.send().await.map_err(broken)?;
    let status = answer.status().as_u16();
    let position = text(&answer, RANGE.as_str()).and_then(|range| range.split_once('-')?.1.parse().ok());
    match (status, position) {
        (200, _) => Ok(Reply::Proven),
        (202, _) => Ok(Reply::Accepted),
        (416, Some(position)) => Ok(Reply::Moved(Offset(position))),
        (412, _) => Ok(Reply::Again),
        (408 | 429 | 500..=599, _) => {
            let after = text(&answer, RETRY_AFTER.as_str()).and_then(|after| after.parse().ok());
            Ok(Reply::Later(after.map_or(LATER, Duration::from_secs)))
        }
        _ => Err(NoAnswer::Refused(status)),
    }
}

fn text<'a>(answer: &'a Response, name: &str) -> Option<&'a str> {
    answer.headers().get(name)?.to_str().ok()
}

fn broken(error: reqwest::Error) -> NoAnswer {
    NoAnswer::Broken(innermost(&error.without_url()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_listens_everywhere_is_reached_at_home() {
        for (listens, reached) in
            [("0.0.0.0:8080", "127.0.0.1:8080"), ("[::]:8080", "[::1]:8080"), ("192.0.2.7:80", "192.0.2.7:80")]
        {
            let listens: SocketAddr = listens.parse().expect("an address");
            assert_eq!(reachable(listens).to_string(), reached);
        }
    }
}
