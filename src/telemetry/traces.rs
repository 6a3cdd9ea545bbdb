//! Traces: a request takes its place in what its client traces (W3C trace context), and spans go to a collector, if one
//! is configured.
//!
//! Where none is, a request has its ids all the same, so that log messages can be found by those of the client's trace.

mod collector;
mod parent;

pub use collector::{CannotCollect, Collector};
pub use parent::TraceParent;

use opentelemetry::trace::{Status, TraceContextExt as _};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

/// The fields of a request's span that hold its ids.
pub(super) const TRACE_ID: &str = "trace_id";
pub(super) const SPAN_ID: &str = "span_id";

/// Makes `span`, which nobody has entered yet, part of its parent's trace, or the begin of one, and writes the ids of
/// both into its fields `trace_id` and `span_id`. `name` is what a collector sees; `bits` gives random numbers.
pub fn join(span: &Span, parent: Option<TraceParent>, name: &'static str, mut bits: impl FnMut() -> u64) {
    if let Some(parent) = parent {
        // Fails where no spans are collected: then there is nobody to tell.
        let _ = span.set_parent(parent.context());
    }
    let context = span.context();
    let collected = context.span();
    let ids = collected.span_context();
    let (trace, own) = if ids.is_valid() {
        collected.update_name(name);
        (ids.trace_id().to_string(), ids.span_id().to_string())
    } else {
        let trace = parent.map_or_else(|| (u128::from(bits()) << 64) | u128::from(bits()), |parent| parent.trace());
        (format!("{trace:032x}"), format!("{:016x}", bits()))
    };
    span.record(TRACE_ID, trace.as_str());
    span.record(SPAN_ID, own.as_str());
}

/// Notes in a request's span how it was answered.
pub fn answered(span: &Span, status: u16) {
    span.set_attribute("http.response.status_code", i64::from(status));
    if status >= 500 {
        span.set_status(Status::error("the server could not do it"));
    }
}
