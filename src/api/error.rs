//! What went wrong, and the one place where it becomes a status.
//!
//! Under `/api/v1` an error is a problem document (RFC 9457), under `/api/v4` GitLab's `{"message": ...}`.

use std::panic::AssertUnwindSafe;

use axum::Json;
use axum::extract::Request;
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures::FutureExt as _;
use serde::Serialize;
use utoipa::ToSchema;

use super::Api;
use super::observe::Ends;
use crate::pipeline::ReadError;
use crate::store::StoreError;
use crate::telemetry::metrics::Status;

/// Why a request gets no answer to what it asked.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// It carries no token.
    #[error("401 Unauthorized")]
    NoToken,
    /// Its token does not allow this.
    #[error("403 Forbidden")]
    NotAllowed,
    /// There is no such thing, or this token may not know of it.
    #[error("404 Not Found")]
    Unknown,
    /// It was there, and was erased on request; told only to those who might have read it.
    #[error("410 Gone: the log of this job was erased")]
    Erased,
    /// It cannot be understood.
    #[error("400 Bad Request: {0}")]
    Bad(String),
    /// Its body is longer than anything that is asked here.
    #[error("413 Content Too Large")]
    TooLong,
    /// Its token, or all readers of its job together, asked too much at once.
    #[error("429 Too Many Requests")]
    TooMany {
        /// When to come again.
        seconds: u64,
    },
    /// The bytes that it asks for are wrong or gone.
    #[error("{0}; unverified=1 shows what there is")]
    Damaged(ReadError),
    /// A store is away, full, or answers nonsense.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Whose manners an error has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manners {
    /// Veritail's own: problem documents.
    Own,
    /// GitLab's.
    GitLab,
}

impl Manners {
    /// Those of a path.
    pub fn of(path: &str) -> Self {
        let below = path.strip_prefix("/api/v4");
        if below.is_some_and(|rest| rest.is_empty() || rest.starts_with('/')) { Self::GitLab } else { Self::Own }
    }
}

impl From<ReadError> for Refused {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Store(error) => Self::Store(error),
            ReadError::Damaged { .. } | ReadError::Lost { .. } => Self::Damaged(error),
        }
    }
}

impl Refused {
    /// The status. A store that answers nonsense needs a person; the others only time.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::NoToken => StatusCode::UNAUTHORIZED,
            Self::NotAllowed => StatusCode::FORBIDDEN,
            Self::Unknown => StatusCode::NOT_FOUND,
            Self::Erased => StatusCode::GONE,
            Self::Bad(_) => StatusCode::BAD_REQUEST,
            Self::TooLong => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TooMany { .. } => StatusCode::TOO_MANY_REQUESTS,
            Self::Store(StoreError::Unavailable { .. } | StoreError::Full { .. }) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Damaged(_) | Self::Store(StoreError::Unreadable { .. }) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// What the client is told; what a store said stays in the log.
    fn detail(&self) -> Option<String> {
        match self {
            Self::NoToken => Some("send a token in PRIVATE-TOKEN, Authorization: Bearer or JOB-TOKEN".to_owned()),
            Self::NotAllowed => Some("this needs the admin token, or one with the scope admin".to_owned()),
            Self::Unknown => None,
            Self::Erased => Some("the log of this job was erased".to_owned()),
            Self::Bad(what) => Some(what.clone()),
            Self::TooLong => Some("the body is too long".to_owned()),
            Self::TooMany { seconds } => Some(format!("too many requests at once; come again in {seconds} s")),
            Self::Damaged(_) => Some(self.to_string()),
            Self::Store(StoreError::Unavailable { store, .. }) => Some(format!("{store} is unavailable")),
            Self::Store(StoreError::Full { store, .. }) => Some(format!("{store} is full")),
            Self::Store(StoreError::Unreadable { store, .. }) => Some(format!("{store} answered something unreadable")),
        }
    }

    /// The whole answer.
    pub fn answer(self, api: &Api, manners: Manners) -> Response {
        let status = self.status();
        let mut response = match manners {
            Manners::Own => problem(status, self.detail()),
            Manners::GitLab => (status, Json(self.message(status))).into_response(),
        };
        let headers = response.headers_mut();
        match &self {
            Self::NoToken => {
                headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            Self::TooMany { seconds } => {
                headers.insert(RETRY_AFTER, HeaderValue::from(*seconds));
            }
            Self::Damaged(error) => {
                tracing::warn!(job_id = error.job().map(|job| job.0), %error, "a log could not be read");
                response.extensions_mut().insert(Ends::As(Status::Damaged));
            }
            Self::Store(error) => {
                match error {
                    StoreError::Unreadable { .. } => tracing::error!(%error, "a request failed"),
                    StoreError::Unavailable { .. } | StoreError::Full { .. } => {
                        tracing::warn!(%error, "a request failed for now");
                    }
                }
                let seams = api.pipeline.seams();
                let wait = api.outage.retry_after(seams.clock.as_ref(), seams.chance.as_ref());
                headers.insert(RETRY_AFTER, HeaderValue::from(wait));
            }
            Self::Erased | Self::NotAllowed | Self::Unknown | Self::Bad(_) | Self::TooLong => {}
        }
        response
    }

    /// In GitLab's words.
    fn message(&self, status: StatusCode) -> Message {
        let (message, error) = match self {
            Self::Bad(_) => (self.to_string(), None),
            Self::Damaged(_) => (format!("{}: {self}", titled(status)), Some(DAMAGED)),
            _ => (titled(status), None),
        };
        Message { message, error }
    }
}

/// What [`Message::error`] says of a log that is damaged where it is asked for: no other time is better.
pub const DAMAGED: &str = "damaged";

/// `403 Forbidden`.
fn titled(status: StatusCode) -> String {
    format!("{} {}", status.as_u16(), status.canonical_reason().unwrap_or_default())
}

/// An error, or an acknowledgement, in GitLab's words.
#[derive(Debug, Serialize, ToSchema)]
pub struct Message {
    /// The status, and what is to be said about it.
    message: String,
    /// `damaged`: the bytes that are asked for are wrong or gone.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'static str>,
}

/// A problem document, RFC 9457.
#[derive(Debug, Serialize, ToSchema)]
pub struct Problem {
    /// Always `about:blank`: the status says it.
    r#type: &'static str,
    /// The status in words.
    title: &'static str,
    /// The status.
    status: u16,
    /// What is wrong, and what can be done.
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
}

/// An answer in GitLab's words.
pub fn message(status: StatusCode, text: &str) -> Response {
    (status, Json(Message { message: text.to_owned(), error: None })).into_response()
}

/// A problem document.
pub fn problem(status: StatusCode, detail: Option<String>) -> Response {
    let title = status.canonical_reason().unwrap_or_default();
    let document = Problem { r#type: "about:blank", title, status: status.as_u16(), detail };
    let mut response = (status, Json(document)).into_response();
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    response
}

/// A path that leads nowhere.
pub async fn no_such_route(uri: Uri) -> Response {
    nothing_there(&uri, StatusCode::NOT_FOUND, "there is no such path")
}

/// A path that takes other methods; which ones is said in `Allow`.
pub async fn no_such_method(uri: Uri) -> Response {
    nothing_there(&uri, StatusCode::METHOD_NOT_ALLOWED, "this path does not take this method")
}

fn nothing_there(uri: &Uri, status: StatusCode, detail: &str) -> Response {
    match Manners::of(uri.path()) {
        Manners::GitLab => message(status, &titled(status)),
        Manners::Own => problem(status, Some(detail.to_owned())),
    }
}

/// A handler that panics is answered for: the hook counts and logs it, and the server goes on.
pub async fn answer_panics(request: Request, next: Next) -> Response {
    let manners = Manners::of(request.uri().path());
    // What the handler held is gone with it; what it shares with others is behind locks that do not mind.
    let answered = AssertUnwindSafe(next.run(request)).catch_unwind().await;
    answered.unwrap_or_else(|_| {
        let status = StatusCode::INTERNAL_SERVER_ERROR;
        match manners {
            Manners::GitLab => message(status, &titled(status)),
            Manners::Own => problem(status, Some("this is a defect; the log says where".to_owned())),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::{JobId, Offset};

    #[test]
    fn every_refusal_has_its_status() {
        let cases = [
            (Refused::NoToken, 401),
            (Refused::NotAllowed, 403),
            (Refused::Unknown, 404),
            (Refused::Bad("x".to_owned()), 400),
            (Refused::TooLong, 413),
            (Refused::TooMany { seconds: 1 }, 429),
            (StoreError::unavailable("redis", "gone").into(), 503),
            (StoreError::Full { store: "redis", message: "OOM".to_owned() }.into(), 503),
            (StoreError::unreadable("database", "?").into(), 500),
            (ReadError::Lost { job: JobId(1), offset: Offset(2) }.into(), 500),
            (ReadError::Store(StoreError::unavailable("redis", "gone")).into(), 503),
        ];
        for (refused, status) in cases {
            assert_eq!(refused.status().as_u16(), status, "{refused:?}");
        }
    }

    #[tokio::test]
    #[allow(clippy::disallowed_methods, reason = "a server beside the test that asks it")]
    async fn a_panic_in_a_handler_is_500_with_its_paths_manners_and_the_server_goes_on() {
        use axum::routing::get;

        let fine = || async { "fine" };
        let panics = || async {
            if true {
                panic!("on purpose")
            }
        };
        let routes = axum::Router::new().route("/fine", get(fine)).route("/{*any}", get(panics));
        let routes = routes.layer(axum::middleware::from_fn(answer_panics));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let server = tokio::spawn(async move { axum::serve(listener, routes).await });

        crate::api::server::tls::choose_cryptography();
        let client = reqwest::Client::new();
        for (path, kind, part) in [
            ("/api/v4/jobs/1", "application/json", r#"{"message":"500 Internal Server Error"}"#),
            ("/api/v1/jobs", "application/problem+json", r#""status":500"#),
        ] {
            let panicked = client.get(format!("{url}{path}")).send().await.expect("answered");
            assert_eq!(
                (panicked.status().as_u16(), &panicked.headers()["Content-Type"]),
                (500, &kind.parse().expect("a value"))
            );
            let body = panicked.text().await.expect("a body");
            assert!(body.contains(part), "{body}");
        }
        assert_eq!(client.get(format!("{url}/fine")).send().await.expect("answered").status(), 200);
        server.abort();
    }

    #[test]
    fn gitlabs_manners_are_those_below_api_v4() {
        for path in ["/api/v4", "/api/v4/", "/api/v4/jobs/1"] {
            assert_eq!(Manners::of(path), Manners::GitLab, "{path}");
        }
        for path in ["/", "/api/v1", "/api/v1/jobs", "/api/v44", "/metrics", ""] {
            assert_eq!(Manners::of(path), Manners::Own, "{path}");
        }
    }

    #[test]
    fn what_a_store_said_stays_inside() {
        let refused = Refused::from(StoreError::unavailable("redis", "10.1.2.3:6379 refused"));
        assert!(!refused.detail().unwrap_or_default().contains("10.1.2.3"));
        assert!(!refused.message(refused.status()).message.contains("10.1.2.3"));
    }
}
