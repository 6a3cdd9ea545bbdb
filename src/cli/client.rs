//! Talking to a running Veritail: where it is, with which token, and what its refusals mean for whoever typed the command.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde::de::DeserializeOwned;

use super::Failed;
use crate::api::auth::ADMIN_TOKEN_FILE;
use crate::telemetry::errors::innermost;

/// Which Veritail, and with which token.
#[derive(Clone, Debug, Args)]
pub(super) struct Connection {
    /// Where Veritail listens.
    #[arg(long, env = "VERITAIL_URL", default_value = "http://127.0.0.1:8080")]
    pub(super) url: String,
    /// The token to use; without it the admin token in the data folder.
    #[arg(long, env = "VERITAIL_TOKEN", hide_env_values = true)]
    pub(super) token: Option<String>,
    /// Veritail's data folder.
    #[arg(long, value_name = "FOLDER", env = "VERITAIL_DATA_DIR", default_value = "./veritail-data")]
    pub(super) data_dir: PathBuf,
    /// A PEM file with certificates to trust beside those of this machine.
    #[arg(long, value_name = "FILE", env = "VERITAIL_CA_CERTIFICATE")]
    pub(super) ca_certificate: Option<PathBuf>,
}

/// How long a connection may take to come to be.
const CONNECT: Duration = Duration::from_secs(10);

/// A connection with its token.
#[derive(Clone)]
pub(super) struct Client {
    http: reqwest::Client,
    url: String,
    token: String,
}

impl Connection {
    /// A client with the token that was given, or the one in the data folder.
    pub(super) fn client(&self) -> Result<Client, Failed> {
        let token = match &self.token {
            Some(token) => token.clone(),
            None => self.kept_token()?,
        };
        let scheme = ["http://", "https://"].iter().any(|scheme| self.url.starts_with(scheme));
        if !scheme || reqwest::Url::parse(&self.url).is_err() {
            let url = &self.url;
            return Err(Failed(format!(
                "--url (or VERITAIL_URL) {url:?} is not a URL such as \"http://127.0.0.1:8080\""
            )));
        }
        self.client_with(token)
    }

    /// A client with this token.
    pub(super) fn client_with(&self, token: String) -> Result<Client, Failed> {
        let mut builder = reqwest::Client::builder().connect_timeout(CONNECT);
        if let Some(path) = &self.ca_certificate {
            let failed = |error: &dyn std::fmt::Display| Failed(format!("{}: {error}", path.display()));
            let pem = std::fs::read(path).map_err(|error| failed(&error))?;
            let trusted = reqwest::Certificate::from_pem_bundle(&pem).map_err(|error| failed(&error))?;
            if trusted.is_empty() {
                return Err(failed(&"there is no certificate in it; a PEM file is needed"));
            }
            builder = builder.tls_certs_merge(trusted);
        }
        let http = builder.build().map_err(Failed::because)?;
        Ok(Client { http, url: self.url.trim_end_matches('/').to_owned(), token })
    }

    fn kept_token(&self) -> Result<String, Failed> {
        let path = self.data_dir.join(ADMIN_TOKEN_FILE);
        let read = std::fs::read_to_string(&path).map(|token| token.trim().to_owned());
        read.map_err(|error| {
            Failed(format!("no --token, and {} cannot be read ({error}); give --token or --data-dir", path.display()))
        })
    }
}

impl Client {
    /// A client of a server in this process, or beside it, with this token: no proxy stands between.
    pub(super) fn loopback(url: String, token: String) -> Result<Self, Failed> {
        let http = reqwest::Client::builder().no_proxy().connect_timeout(CONNECT).build().map_err(Failed::because)?;
        Ok(Self { http, url, token })
    }

    /// A request to `path`, such as `/api/v1/jobs`, with the token.
    pub(super) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.bare(method, path).bearer_auth(&self.token)
    }

    /// A request to `path` without a token.
    pub(super) fn bare(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}{path}", self.url))
    }

    /// Sends a request. `what` names what it is about, such as `job 7`, for the message where there is no such thing.
    pub(super) async fn send(&self, request: RequestBuilder, what: &str) -> Result<Response, Failed> {
        self.good(self.answer(request).await?, what).await
    }

    /// The answer to a request, whatever it is.
    pub(super) async fn answer(&self, request: RequestBuilder) -> Result<Response, Failed> {
        request.send().await.map_err(|error| self.silent(&error))
    }

    /// The answer, if it is a good one.
    pub(super) async fn good(&self, answer: Response, what: &str) -> Result<Response, Failed> {
        match answer.status() {
            status if status.is_success() => Ok(answer),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                let why = detail(answer).await.map_or_else(String::new, |detail| format!(": {detail}"));
                Err(Failed(format!("the token is not accepted for this{why}; give another with --token")))
            }
            StatusCode::NOT_FOUND => {
                Err(Failed(format!("there is no {what}, or this token may not know of it; see --token and --url")))
            }
            status => {
                let detail = detail(answer).await.unwrap_or_else(|| "its log says why".to_owned());
                Err(Failed(format!("{} answered {status}: {detail}", self.url)))
            }
        }
    }

    /// What to say where no answer came. A certificate that nobody vouches for is no sign of a server that is away.
    fn silent(&self, error: &reqwest::Error) -> Failed {
        let (url, cause) = (&self.url, innermost(error));
        if cause.contains("certificate") {
            return Failed(format!("{url} is not trusted ({cause}); see --ca-certificate"));
        }
        if let Some(hint) = wrong_scheme(error) {
            return Failed(format!("{url}: {hint} in --url ({cause})"));
        }
        Failed(format!("{url} does not answer ({cause}); is `veritail serve` running there? See --url"))
    }

    /// A document.
    pub(super) async fn get<T: DeserializeOwned>(&self, path: &str, what: &str) -> Result<T, Failed> {
        self.document(self.request(Method::GET, path), what).await
    }

    /// The document that a request is answered with.
    pub(super) async fn document<T: DeserializeOwned>(&self, request: RequestBuilder, what: &str) -> Result<T, Failed> {
        let answer = self.send(request, what).await?;
        answer.json().await.map_err(|error| Failed(format!("{} answered something unexpected: {error}", self.url)))
    }
}

/// What to write instead where TLS is spoken to a server that speaks none, or the other way around.
pub(super) fn wrong_scheme(error: &reqwest::Error) -> Option<&'static str> {
    let secured = error.url()?.scheme() == "https";
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        // The answer to a request that was no TLS is an alert of TLS, which is no HTTP.
        if !secured && cause.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_parse) {
            return Some("what answers there is not HTTP but perhaps TLS: try https://");
        }
        if secured && cause.to_string().contains("InvalidContentType") {
            return Some("what answers there is not TLS: try http://");
        }
        source = cause.source();
    }
    None
}

/// What a problem document says about itself.
async fn detail(answer: Response) -> Option<String> {
    let problem: serde_json::Value = answer.json().await.ok()?;
    problem["detail"].as_str().map(str::to_owned)
}
