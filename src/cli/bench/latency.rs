//! How long requests took: the whole distribution, for a mean hides what the last runner in a hundred waits for.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde_json::{Value, json};

/// Durations in microseconds, to three digits.
#[derive(Clone, Debug)]
pub(super) struct Latency(Histogram<u64>);

/// Longer ones count as this long: ten minutes.
const LONGEST: u64 = 600_000_000;

impl Latency {
    pub(super) fn new() -> Self {
        Self(Histogram::new_with_bounds(1, LONGEST, 3).expect("the bounds are constants and valid"))
    }

    pub(super) fn record(&mut self, took: Duration) {
        self.0.saturating_record(u64::try_from(took.as_micros()).unwrap_or(LONGEST).clamp(1, LONGEST));
    }

    pub(super) fn count(&self) -> u64 {
        self.0.len()
    }

    /// The value below which so much of all lies, in milliseconds.
    pub(super) fn at(&self, quantile: f64) -> f64 {
        milliseconds(self.0.value_at_quantile(quantile))
    }

    pub(super) fn json(&self) -> Value {
        let round = |ms: f64| (ms * 1000.0).round() / 1000.0;
        json!({
            "count": self.count(), "mean": round(self.0.mean() / 1000.0),
            "p50": round(self.at(0.5)), "p90": round(self.at(0.9)), "p99": round(self.at(0.99)),
            "p99.9": round(self.at(0.999)), "max": round(milliseconds(self.0.max())),
        })
    }

    /// For people.
    pub(super) fn row(&self, name: &str) -> Vec<String> {
        let mut row = vec![name.to_owned(), self.count().to_string()];
        row.extend([0.5, 0.9, 0.99, 0.999].map(|quantile| format!("{:.2}", self.at(quantile))));
        row.push(format!("{:.2}", milliseconds(self.0.max())));
        row
    }

    pub(super) const HEAD: [&str; 7] = ["milliseconds", "count", "p50", "p90", "p99", "p99.9", "max"];
}

fn milliseconds(microseconds: u64) -> f64 {
    microseconds as f64 / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_in_milliseconds() {
        let mut latency = Latency::new();
        for ms in 1..=1000 {
            latency.record(Duration::from_millis(ms));
        }
        latency.record(Duration::from_secs(100_000));
        for (quantile, ms) in [(0.5, 500.0), (0.99, 990.0), (1.0, 600_000.0)] {
            assert!((latency.at(quantile) / ms - 1.0).abs() < 0.005, "{quantile}: {}", latency.at(quantile));
        }
        assert_eq!(latency.json()["count"], 1001);
    }
}
