//! Fail points for crash tests: the process dies at one of them, as if by `kill -9`.
//!
//! Only in force with `VERITAIL_FAIL_POINT=<name>[:n]` set: the n-th time (default: the first) that the named point is
//! reached, the process aborts. Never set it where logs matter.

use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;

use super::FailPoints;

/// The environment variable that names the point.
pub const VARIABLE: &str = "VERITAIL_FAIL_POINT";

/// Dies at one named point.
#[derive(Debug)]
pub struct AbortAt {
    point: String,
    left: AtomicU64,
}

/// A value that does not name a point.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{VARIABLE}: {0:?} is not <name> or <name>:<n> with n from 1")]
pub struct BadFailPoint(String);

impl std::str::FromStr for AbortAt {
    type Err = BadFailPoint;

    fn from_str(text: &str) -> Result<Self, BadFailPoint> {
        let bad = || BadFailPoint(text.to_owned());
        let (point, times) = match text.split_once(':') {
            Some((point, times)) => (point, times.parse().map_err(|_| bad())?),
            None => (text, 1),
        };
        if point.is_empty() || times == 0 {
            return Err(bad());
        }
        Ok(Self { point: point.to_owned(), left: AtomicU64::new(times) })
    }
}

impl AbortAt {
    /// The point at which the process dies.
    pub fn point(&self) -> &str {
        &self.point
    }

    /// True when this is the time to die.
    fn is_due(&self, point: &str) -> bool {
        point == self.point && self.left.fetch_sub(1, Ordering::SeqCst) == 1
    }
}

#[async_trait]
impl FailPoints for AbortAt {
    async fn reached(&self, point: &'static str) {
        if self.is_due(point) {
            std::process::abort();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dies_at_the_nth_time_and_at_no_other_point() {
        let points: AbortAt = "migrate.put:2".parse().expect("a good value");
        assert!(!points.is_due("migrate.put"));
        assert!(!points.is_due("migrate.flipped"));
        assert!(points.is_due("migrate.put"));
        assert!(!points.is_due("migrate.put"));
    }

    #[test]
    fn a_bad_value_is_refused() {
        for bad in ["", ":1", "a:", "a:0", "a:x"] {
            assert!(bad.parse::<AbortAt>().is_err(), "{bad}");
        }
    }
}
