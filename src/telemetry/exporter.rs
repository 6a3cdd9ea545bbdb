//! The metrics as Prometheus reads them.

use std::sync::OnceLock;

use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};

use super::family::{self, Row, Type};
use super::table;

/// How often [`Exporter::upkeep`] must run; what histograms take in piles up until it does.
pub const UPKEEP_INTERVAL: std::time::Duration = std::time::Duration::from_secs(5);

/// The version that runs.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
/// What `VERITAIL_REVISION` was when this was built, such as a commit; a build that was not told says `unknown`.
pub const REVISION: &str = match option_env!("VERITAIL_REVISION") {
    Some(revision) => revision,
    None => "unknown",
};

/// The installed recorder of this process.
#[derive(Debug)]
pub struct Exporter {
    handle: PrometheusHandle,
    process: metrics_process::Collector,
}

/// Why metrics cannot be recorded.
#[derive(Debug, thiserror::Error)]
pub enum CannotExport {
    /// A histogram has no buckets.
    #[error("a metric of the table cannot be declared: {0}")]
    Table(#[from] BuildError),
    /// Another recorder was there first.
    #[error("metrics are recorded by something else already")]
    Taken,
}

/// Installs the recorder, once per process; later calls get the same one.
pub fn install() -> Result<&'static Exporter, CannotExport> {
    static INSTALLED: OnceLock<Exporter> = OnceLock::new();
    static ONE: std::sync::Mutex<()> = std::sync::Mutex::new(());
    let _one = ONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if let Some(exporter) = INSTALLED.get() {
        return Ok(exporter);
    }
    let rows = table::rows();
    let recorder = builder(&rows)?.build_recorder();
    let handle = recorder.handle();
    metrics::set_global_recorder(recorder).map_err(|_| CannotExport::Taken)?;
    family::recorder_is_installed();
    for row in &rows {
        row.register();
    }
    register_build();
    let process = metrics_process::Collector::default();
    process.describe();
    Ok(INSTALLED.get_or_init(|| Exporter { handle, process }))
}

/// A histogram without buckets would be exposed as a summary, which nothing can aggregate.
fn builder(rows: &[Row]) -> Result<PrometheusBuilder, BuildError> {
    rows.iter().filter(|row| row.metric_type == Type::Histogram).try_fold(PrometheusBuilder::new(), |builder, row| {
        builder.set_buckets_for_metric(Matcher::Full(row.name.to_owned()), row.buckets)
    })
}

/// The one metric whose label values are not closed sets: what was built.
fn register_build() {
    let help = "Constant 1, with the version and revision that run.";
    metrics::describe_gauge!("veritail_build_info", help);
    metrics::gauge!("veritail_build_info", "version" => VERSION, "revision" => REVISION).set(1.0);
}

impl Exporter {
    /// Everything, in the text format.
    pub fn render(&self) -> String {
        self.process.collect();
        self.handle.render()
    }

    /// Sorts what histograms took in; to be called every [`UPKEEP_INTERVAL`].
    pub fn upkeep(&self) {
        self.handle.run_upkeep();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_series_is_there_from_the_start_and_none_is_a_summary() {
        let rows = table::rows();
        let recorder = builder(&rows).expect("every histogram has buckets").build_recorder();
        let handle = recorder.handle();
        metrics::with_local_recorder(&recorder, || rows.iter().for_each(Row::register));
        let text = handle.render();
        assert!(!text.contains("summary"), "{text}");
        let mismatches = text.lines().filter(|line| line.starts_with("veritail_integrity_mismatches_total{")).count();
        assert_eq!(mismatches, 10 * 4 * 9);
        for row in &rows {
            for values in row.initial() {
                let labels: Vec<String> =
                    row.labels.iter().zip(&values).map(|((name, _), value)| format!("{name}=\"{value}\"")).collect();
                let series = text.lines().any(|line| {
                    line.starts_with(row.name)
                        && labels.iter().all(|label| line.contains(label))
                        && (line.ends_with(" 0") || line.contains("_bucket"))
                });
                assert!(series, "{} {labels:?} is not there at zero", row.name);
            }
        }
    }

    #[test]
    fn names_end_with_their_unit_and_every_metric_is_explained() {
        for row in table::rows() {
            assert!(row.name.starts_with("veritail_"), "{}", row.name);
            assert!(row.help.ends_with('.'), "{} has no sentence for a HELP", row.name);
            assert_eq!(row.name.ends_with("_total"), row.metric_type == Type::Counter, "{}", row.name);
            assert_eq!(row.buckets.is_empty(), row.metric_type != Type::Histogram, "{}", row.name);
        }
    }

    #[test]
    fn a_series_that_is_kept_is_its_own() {
        use crate::telemetry::labels::Source;

        let exporter = install().expect("the only recorder");
        for (source, bytes) in [(Source::Ledger, 3.0), (Source::Store, 5.0), (Source::Ledger, 7.0)] {
            table::LIVE_BYTES.set((source,), bytes);
        }
        let text = exporter.render();
        for line in ["veritail_live_bytes{source=\"ledger\"} 7", "veritail_live_bytes{source=\"store\"} 5"] {
            assert!(text.contains(line), "{text}");
        }
    }
}
