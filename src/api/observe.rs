//! Around every request: its id, its line in every log message, its place in the metrics and in its client's trace.

use axum::extract::{MatchedPath, Request, State};
use axum::http::header::CONTENT_LENGTH;
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::middleware::Next;
use axum::response::Response;
use tracing::Instrument as _;
use tracing::field::Empty;

use super::server::ClientAddress;
use super::{Api, router};
use crate::telemetry::metrics::{self, Method, Route, Status};
use crate::telemetry::traces::{self, TraceParent};
use crate::trace::ByteSize;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
/// The longest id that is taken over from a client.
const ID_MAX: usize = 128;

/// What a request counts as, of an answer whose head does not say it.
#[derive(Clone, Copy)]
pub(super) enum Ends {
    /// It is not known yet: whoever writes the body counts the request.
    Later,
    /// As this.
    As(Status),
}

/// Wraps a request.
pub(super) async fn observe(State(api): State<Api>, request: Request, next: Next) -> Response {
    let matched = request.extensions().get::<MatchedPath>().map(|path| path.as_str().to_owned());
    let route = route_of(matched.as_deref(), request.method());
    let method = method_of(request.method());
    let id = request.headers().get(REQUEST_ID).filter(|id| is_sane(id)).cloned();
    let id = id.unwrap_or_else(|| made(&api));
    let client = request.extensions().get::<ClientAddress>().map(|client| tracing::field::display(client.0));
    let span = tracing::info_span!(
        "request",
        client,
        request_id = id.to_str().unwrap_or_default(),
        method = method.as_str(),
        path = request.uri().path(),
        trace_id = Empty,
        span_id = Empty,
    );
    let chance = &api.pipeline.seams().chance;
    traces::join(&span, parent(request.headers()), span_name(route), || chance.bits());

    if let Some(size) = declared(request.headers()).filter(|_| !matches!(route, Route::Append | Route::Finalize)) {
        metrics::request_size(route, size);
    }
    let _in_flight = metrics::request_began(route);
    let began = api.clock().passed();
    let mut response = next.run(request).instrument(span.clone()).await;
    let took = api.clock().passed().saturating_sub(began);

    let status = response.status().as_u16();
    metrics::request_answered(route, status, took);
    match response.extensions().get() {
        Some(Ends::Later) => {}
        Some(Ends::As(ended)) => metrics::request_ended(route, method, *ended),
        None => metrics::request_ended(route, method, Status::of(status)),
    }
    traces::answered(&span, status);
    let took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
    span.in_scope(|| tracing::debug!(status, took_ms, "answered"));
    response.headers_mut().insert(REQUEST_ID, id);
    response
}

/// The client's span that a request is part of. One that cannot be read, or more than one, is none.
fn parent(headers: &HeaderMap) -> Option<TraceParent> {
    let mut all = headers.get_all(TRACEPARENT).iter();
    let (parent, another) = (all.next()?, all.next());
    if another.is_some() { None } else { parent.to_str().ok()?.parse().ok() }
}

fn made(api: &Api) -> HeaderValue {
    HeaderValue::try_from(api.pipeline.seams().chance.name()).unwrap_or_else(|_| HeaderValue::from_static("none"))
}

/// Short, and made of what cannot hurt a log line.
fn is_sane(id: &HeaderValue) -> bool {
    let id = id.as_bytes();
    (1..=ID_MAX).contains(&id.len()) && id.iter().all(|b| b.is_ascii_alphanumeric() || b"-_.:/+=".contains(b))
}

fn route_of(matched: Option<&str>, method: &axum::http::Method) -> Route {
    match (matched, method.as_str()) {
        (Some(router::APPEND), "PATCH") => Route::Append,
        (Some(router::FINALIZE), "PUT") => Route::Finalize,
        (Some(router::TRACE), "GET" | "HEAD") => Route::Read,
        _ => Route::Other,
    }
}

/// What a collector of spans sees; the stages below have names of their own.
fn span_name(route: Route) -> &'static str {
    match route {
        Route::Append => "request append",
        Route::Finalize => "request finalize",
        Route::Read => "request read",
        Route::Other => "request other",
    }
}

/// The size that a request says its body has.
pub(super) fn declared(headers: &HeaderMap) -> Option<ByteSize> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok().map(ByteSize)
}

pub(super) fn method_of(method: &axum::http::Method) -> Method {
    method.as_str().parse().unwrap_or(Method::Other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_harmless_request_ids_are_taken_over() {
        for good in ["a", "4bf92f3577b34da6", "a-b_c.d:e/f+g="] {
            assert!(is_sane(&HeaderValue::from_str(good).expect("a value")), "{good}");
        }
        for bad in ["", "a b", "a\"b", "a{b", &"x".repeat(129)] {
            assert!(!is_sane(&HeaderValue::from_str(bad).expect("a value")), "{bad}");
        }
    }
}
