//! When something that goes on by itself is due: a cron expression, or never.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use croner::parser::{CronParser, Seconds};
use serde::{Deserialize, Deserializer, de};

/// A cron expression of six fields, the first of them seconds, in UTC; or `off`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cron(Option<String>);

/// A text that is neither.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{0:?} is neither \"off\" nor a cron expression of six fields such as \"0 */5 * * * *\": {1}")]
pub struct BadCron(String, String);

impl Cron {
    /// Never.
    pub const OFF: Self = Self(None);

    /// The expression; `None`: off.
    pub fn expression(&self) -> Option<&str> {
        self.0.as_deref()
    }

    /// The time between the next two moments at which it is due; zero if it is off or there are no two.
    pub fn interval(&self) -> Duration {
        let Some(cron) = self.0.as_deref().and_then(|text| parser().parse(text).ok()) else { return Duration::ZERO };
        let next = |after| cron.find_next_occurrence(&after, false).ok();
        let one = next(chrono::DateTime::UNIX_EPOCH);
        let other = one.and_then(next);
        one.zip(other).and_then(|(one, other)| (other - one).to_std().ok()).unwrap_or_default()
    }
}

/// A default, which is known to be one.
impl From<&'static str> for Cron {
    fn from(text: &'static str) -> Self {
        Self(Some(text.to_owned()))
    }
}

fn parser() -> CronParser {
    CronParser::builder().seconds(Seconds::Required).build()
}

impl FromStr for Cron {
    type Err = BadCron;

    fn from_str(text: &str) -> Result<Self, BadCron> {
        if text == "off" {
            return Ok(Self(None));
        }
        match parser().parse(text) {
            Ok(_) => Ok(Self(Some(text.to_owned()))),
            Err(error) => Err(BadCron(text.chars().take(64).collect(), error.to_string())),
        }
    }
}

impl fmt::Display for Cron {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_deref().unwrap_or("off"))
    }
}

impl<'de> Deserialize<'de> for Cron {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expression_has_seconds_and_an_interval() {
        let cron: Cron = "30 */5 * * * *".parse().expect("a good one");
        assert_eq!((cron.to_string().as_str(), cron.interval()), ("30 */5 * * * *", Duration::from_secs(300)));
        assert_eq!(Cron::from("* * * * * *").interval(), Duration::from_secs(1));
        let off: Cron = "off".parse().expect("off");
        assert_eq!((off.expression(), off.interval()), (None, Duration::ZERO));
        for bad in ["", "on", "* * * * *", "61 * * * * *", "every minute"] {
            assert!(bad.parse::<Cron>().is_err(), "{bad}");
        }
    }
}
