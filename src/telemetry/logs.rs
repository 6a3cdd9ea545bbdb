//! Log messages: to standard error, as text or as JSON, and warnings and errors counted.

use serde::{Deserialize, Serialize};
use tracing::Subscriber;
use tracing_subscriber::filter::{EnvFilter, LevelFilter, ParseError};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;

use super::metrics;

/// How log messages are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// A line for people.
    #[default]
    Text,
    /// A JSON object a line, with the fields of the request beside those of the message.
    Json,
}

/// Why messages cannot be logged as asked.
#[derive(Debug, thiserror::Error)]
pub enum CannotLog {
    /// The filter cannot be read.
    #[error("the log filter is not level or target=level, separated by commas: {0}")]
    Filter(#[from] ParseError),
    /// Somebody else logs already.
    #[error("messages are logged by something else already")]
    Taken,
}

/// Begins to log, once per process. `filter` is a list of `level` or `target=level`, such as `info,veritail=debug`.
pub fn install(format: Format, filter: &str) -> Result<(), CannotLog> {
    let filter = EnvFilter::builder().parse(filter)?;
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let lines = match format {
        Format::Text => lines.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr())).boxed(),
        Format::Json => lines.json().flatten_event(true).with_current_span(true).with_span_list(false).boxed(),
    };
    let counted = Counted.with_filter(LevelFilter::WARN);
    tracing_subscriber::registry()
        .with(lines.with_filter(filter))
        .with(counted)
        .try_init()
        .map_err(|_| CannotLog::Taken)
}

/// Counts warnings and errors, also those that the filter keeps from being written.
struct Counted;

impl<S: Subscriber> Layer<S> for Counted {
    fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
        metrics::logged(*event.metadata().level());
    }
}
