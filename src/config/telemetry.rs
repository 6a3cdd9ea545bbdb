//! Settings of log messages, metrics and traces.

use super::settings::settings;
use super::value::{Secret, Span};
use crate::telemetry::logs::Format;

settings! {
    /// What Veritail tells about itself.
    Telemetry, "telemetry." {
        /// `text` or `json`.
        log_format: Format = Format::Text, env "VERITAIL_LOG_FORMAT";
        /// Which messages are written: a list of `level` or `target=level`.
        log: String = "info".to_owned(), env "VERITAIL_LOG";
        /// Time between two samplings of gauges.
        gauge_interval: Span = Span::secs(10), range Span::ms(100)..=Span::secs(300), env "VERITAIL_GAUGE_INTERVAL";
        /// Where spans are sent over OTLP/HTTP: the address of a collector, such as `http://collector:4318`. `unset`: there
        /// are none.
        otlp_endpoint: Option<Secret> = None, env "VERITAIL_OTLP_ENDPOINT";
        /// Of so many traces that begin here one is sent. What a client sent along with its request decides for itself.
        otlp_one_in: u32 = 1, range 1..=1_000_000, env "VERITAIL_OTLP_ONE_IN";
    }
}
