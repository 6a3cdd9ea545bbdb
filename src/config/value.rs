//! The types of settings: durations as "2s", secrets that are never shown.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Deserializer, de};

use super::cron::Cron;
use super::networks::Networks;
use super::verify::{Mode, Orphans};
use crate::telemetry::logs;
use crate::verify::CanaryDamage;

/// A time span, written as a number and a unit, such as `500ms`, `2s`, `10m`, `1h30m` or `7d`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span(pub Duration);

impl Span {
    /// So many milliseconds.
    pub const fn ms(ms: u64) -> Self {
        Self(Duration::from_millis(ms))
    }

    /// So many seconds.
    pub const fn secs(seconds: u64) -> Self {
        Self(Duration::from_secs(seconds))
    }

    /// So many hours.
    pub const fn hours(hours: u64) -> Self {
        Self::secs(hours * 3600)
    }
}

/// The units, greatest first.
const UNITS: &[(&str, u64)] = &[("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)];

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut left = u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX);
        if left == 0 {
            return f.write_str("0s");
        }
        for (unit, ms) in UNITS {
            if left >= *ms {
                write!(f, "{}{unit}", left / ms)?;
                left %= ms;
            }
        }
        Ok(())
    }
}

/// A text that is no time span.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{0:?} is not a time span such as \"500ms\", \"2s\", \"10m\" or \"1h30m\"")]
pub struct BadSpan(String);

impl FromStr for Span {
    type Err = BadSpan;

    fn from_str(text: &str) -> Result<Self, BadSpan> {
        let bad = || BadSpan(text.chars().take(64).collect());
        let mut rest = text.trim();
        let mut total = 0u64;
        if rest.is_empty() {
            return Err(bad());
        }
        while !rest.is_empty() {
            let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(bad)?;
            let (number, after) = rest.split_at(digits);
            let letters = after.find(|c: char| c.is_ascii_digit()).unwrap_or(after.len());
            let (unit, after) = after.split_at(letters);
            let (_, ms) = UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(bad)?;
            let number: u64 = number.parse().map_err(|_| bad())?;
            total = number.checked_mul(*ms).and_then(|ms| total.checked_add(ms)).ok_or_else(bad)?;
            rest = after;
        }
        Ok(Self(Duration::from_millis(total)))
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

/// A text that is never shown: not in `Debug`, not in an error, not in a log.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Keeps `text` to itself.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text, for the one who needs it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

/// The address under which clients reach a server, such as `https://ci.example/logs`; without a slash at its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExternalUrl(String);

/// A text that is no such address.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{0:?} is not an address such as \"https://ci.example\"")]
pub struct BadUrl(String);

impl ExternalUrl {
    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ExternalUrl {
    type Err = BadUrl;

    fn from_str(text: &str) -> Result<Self, BadUrl> {
        let url = reqwest::Url::parse(text).ok();
        let good = url.filter(|url| {
            let plain = url.query().is_none() && url.fragment().is_none() && url.username().is_empty();
            plain && url.password().is_none() && matches!(url.scheme(), "http" | "https") && url.has_host()
        });
        let good = good.ok_or_else(|| BadUrl(text.chars().take(64).collect()))?;
        Ok(Self(good.as_str().trim_end_matches('/').to_owned()))
    }
}

impl<'de> Deserialize<'de> for ExternalUrl {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

/// What the type of a setting must be able to do.
pub trait Value {
    /// True if the value is a text even where it looks like a number.
    const TEXT: bool;

    /// The value as it is written in a file, for messages and the reference page.
    fn show(&self) -> String;
}

macro_rules! values {
    ($($value:ty: $text:literal, $show:expr;)+) => {
        $(impl Value for $value {
            const TEXT: bool = $text;

            fn show(&self) -> String {
                let show: fn(&Self) -> String = $show;
                show(self)
            }
        })+
    };
}

values! {
    Span: true, |span| format!("{:?}", span.to_string());
    SocketAddr: true, |address| format!("{:?}", address.to_string());
    PathBuf: true, |path| format!("{path:?}");
    Networks: true, |networks| format!("{:?}", networks.to_string());
    Option<PathBuf>: true, |path| path.as_ref().map_or_else(|| "unset".to_owned(), Value::show);
    Option<String>: true, |text| text.as_ref().map_or_else(|| "unset".to_owned(), Value::show);
    Option<Secret>: true, |secret| if secret.is_some() { "(secret)" } else { "unset" }.to_owned();
    Option<ExternalUrl>: true, |url| url.as_ref().map_or_else(|| "unset".to_owned(), |url| format!("{:?}", url.as_str()));
    Cron: true, |cron| format!("{:?}", cron.to_string());
    CanaryDamage: true, |damage| format!("{:?}", damage.as_str());
    Mode: true, |mode| format!("{:?}", mode.as_str());
    Orphans: true, |orphans| format!("{:?}", orphans.as_str());
    String: true, |text| format!("{text:?}");
    logs::Format: true, |format| format!("{:?}", format!("{format:?}").to_lowercase());
    bool: false, ToString::to_string;
    u32: false, ToString::to_string;
    u64: false, ToString::to_string;
    usize: false, ToString::to_string;
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_span_reads_as_it_is_written(ms in 0u64..100_000_000_000) {
            let span = Span::ms(ms);
            prop_assert_eq!(span.to_string().parse::<Span>(), Ok(span));
        }

        #[test]
        fn no_text_makes_reading_a_span_panic(text in ".*") {
            let _ = text.parse::<Span>();
        }
    }

    #[test]
    fn a_span_needs_a_unit() {
        for bad in ["", "10", "s", "-1s", "1.5s", "1 s", "2x", "99999999999999999999s"] {
            assert!(bad.parse::<Span>().is_err(), "{bad}");
        }
        assert_eq!("1h30m".parse(), Ok(Span::secs(5400)));
    }

    #[test]
    fn an_external_url_is_a_whole_address_of_the_web() {
        let read = |text: &str| text.parse::<ExternalUrl>().map(|url| url.as_str().to_owned());
        assert_eq!(read("https://ci.example/"), Ok("https://ci.example".to_owned()));
        assert_eq!(read("http://[::1]:8080/logs/"), Ok("http://[::1]:8080/logs".to_owned()));
        for bad in ["", "ci.example", "ftp://ci.example", "https://", "https://a/?b", "https://a/#b", "https://u:p@a"] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_secret_is_not_shown() {
        assert_eq!(format!("{:?}", Some(Secret::new("s3cret"))), "Some((secret))");
    }
}
