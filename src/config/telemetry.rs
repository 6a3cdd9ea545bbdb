//! Settings of log messages and metrics.

use super::settings::settings;
use super::value::Span;
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
    }
}
