//! Log messages: to standard error, as text or as JSON, and warnings and errors counted.

use serde::{Deserialize, Serialize};
use tracing::Subscriber;
use tracing_subscriber::filter::{EnvFilter, LevelFilter, ParseError};
use tracing_subscriber::fmt::format::JsonFields;
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;

use super::metrics;
use super::traces::Collector;
use json::{RememberIds, WithIds};

mod json;

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

/// What the libraries below say, unless they are asked by name: at `debug` statements and compactions would drown the
/// rest, and what sqlx warns of (a slow statement, in full) is in the durations of requests to the database.
const QUIET: &str = "sqlx=error,fjall=warn,lsm_tree=warn,tokio_cron_scheduler=warn,hyper=info,hyper_util=info,\
                     reqwest=info,h2=info,mio=info";

/// Begins to log, once per process. `filter` is a list of `level` or `target=level`, such as `info,veritail=debug`. A bare
/// level is about Veritail; the libraries below are asked by name, such as `sqlx=debug`. Spans go to `collector`.
pub fn install(format: Format, filter: &str, collector: Option<&Collector>) -> Result<(), CannotLog> {
    let filter = filter_of(filter)?;
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let lines = match format {
        Format::Text => lines.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr())).boxed(),
        Format::Json => {
            let lines = lines.with_ansi(false).fmt_fields(JsonFields::new()).event_format(WithIds::new());
            lines.and_then(RememberIds).boxed()
        }
    };
    let counted = Counted.with_filter(LevelFilter::WARN);
    tracing_subscriber::registry()
        .with(lines.with_filter(filter))
        .with(counted)
        .with(collector.map(Collector::layer))
        .try_init()
        .map_err(|_| CannotLog::Taken)
}

/// Of two directives about the same target the later one counts.
fn filter_of(text: &str) -> Result<EnvFilter, ParseError> {
    EnvFilter::builder().parse(format!("{QUIET},{text}"))
}

/// Counts warnings and errors, also those that the filter keeps from being written.
struct Counted;

impl<S: Subscriber> Layer<S> for Counted {
    fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
        metrics::logged(*event.metadata().level());
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    /// Which of four messages a filter lets pass.
    fn passing(filter: &str) -> Vec<&'static str> {
        #[derive(Clone, Default)]
        struct Seen(Arc<Mutex<Vec<&'static str>>>);
        impl<S: Subscriber> Layer<S> for Seen {
            fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
                let name = match (event.metadata().target(), *event.metadata().level()) {
                    ("sqlx::query", tracing::Level::DEBUG) => "sqlx debug",
                    ("sqlx::query", _) => "sqlx warn",
                    (_, tracing::Level::DEBUG) => "veritail debug",
                    _ => "veritail info",
                };
                self.0.lock().expect("no panic").push(name);
            }
        }
        let seen = Seen::default();
        let filter = filter_of(filter).expect("a filter");
        let subscriber = tracing_subscriber::registry().with(seen.clone().with_filter(filter));
        tracing::subscriber::with_default(subscriber, || {
            tracing::warn!(target: "sqlx::query", "slow statement");
            tracing::debug!(target: "sqlx::query", "a statement");
            tracing::info!(target: "veritail::api", "made");
            tracing::debug!(target: "veritail::api", "answered");
        });
        seen.0.lock().expect("no panic").clone()
    }

    #[test]
    fn libraries_are_quiet_unless_they_are_asked_by_name() {
        assert_eq!(passing("info"), ["veritail info"]);
        assert_eq!(passing("debug"), ["veritail info", "veritail debug"]);
        assert_eq!(passing("info,sqlx=debug"), ["sqlx warn", "sqlx debug", "veritail info"]);
        assert!(filter_of("loud=very").is_err());
    }
}
