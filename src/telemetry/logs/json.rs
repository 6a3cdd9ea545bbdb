//! Messages as JSON, with the ids of their request's trace right beside the message.

use std::fmt::{self, Debug};

use tracing::field::{Field, Visit};
use tracing::span::{Id, Record};
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::{Format, Json, JsonFields, Writer};
use tracing_subscriber::fmt::{FmtContext, FormatEvent};
use tracing_subscriber::layer::{Context, Layer};
use tracing_subscriber::registry::LookupSpan;

use crate::telemetry::traces::{SPAN_ID, TRACE_ID};

/// The ids that a span was given.
#[derive(Clone, Default)]
struct Ids {
    trace: String,
    span: String,
}

impl Visit for Ids {
    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            TRACE_ID => value.clone_into(&mut self.trace),
            SPAN_ID => value.clone_into(&mut self.span),
            _ => {}
        }
    }

    fn record_debug(&mut self, _: &Field, _: &dyn Debug) {}
}

/// Remembers with a span the ids that are written into its fields.
pub(super) struct RememberIds;

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for RememberIds {
    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        let mut kept = span.extensions_mut();
        let mut ids = kept.remove::<Ids>().unwrap_or_default();
        values.record(&mut ids);
        kept.insert(ids);
    }
}

/// The usual JSON of a message, beginning with the ids of the innermost span that has any.
pub(super) struct WithIds(Format<Json>);

impl WithIds {
    pub(super) fn new() -> Self {
        let format = tracing_subscriber::fmt::format().json();
        Self(format.flatten_event(true).with_current_span(true).with_span_list(false))
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> FormatEvent<S, JsonFields> for WithIds {
    fn format_event(
        &self,
        context: &FmtContext<'_, S, JsonFields>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let scope = context.event_scope();
        let ids = scope.and_then(|mut scope| scope.find_map(|span| span.extensions().get::<Ids>().cloned()));
        let Some(ids) = ids else { return self.0.format_event(context, writer, event) };
        let mut line = String::new();
        self.0.format_event(context, Writer::new(&mut line), event)?;
        let rest = line.strip_prefix('{').unwrap_or(&line);
        write!(writer, "{{\"{TRACE_ID}\":\"{}\",\"{SPAN_ID}\":\"{}\",{rest}", ids.trace, ids.span)
    }
}
