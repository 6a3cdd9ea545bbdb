//! Sizes on the command line, such as `4KiB` or `1MiB`.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;

/// A number of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub(super) struct Size(pub(super) u64);

const UNITS: [(&str, u64); 4] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bad = || format!("{text:?} is not a size such as \"4096\", \"4KiB\" or \"1MiB\"");
        let (number, unit) = UNITS
            .iter()
            .find_map(|(name, unit)| text.strip_suffix(name).map(|number| (number.trim_end(), *unit)))
            .unwrap_or((text, 1));
        let number: u64 = number.parse().map_err(|_| bad())?;
        number.checked_mul(unit).filter(|bytes| *bytes > 0).map(Self).ok_or_else(bad)
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, unit) = UNITS.into_iter().find(|(_, unit)| self.0 >= *unit).unwrap_or(("B", 1));
        if self.0.is_multiple_of(unit) {
            write!(f, "{}{name}", self.0 / unit)
        } else {
            write!(f, "{:.1}{name}", self.0 as f64 / unit as f64)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_and_shown() {
        for (text, bytes, shown) in
            [("4KiB", 4096, "4KiB"), ("17", 17, "17B"), ("1 MiB", 1 << 20, "1MiB"), ("1536", 1536, "1.5KiB")]
        {
            let size: Size = text.parse().expect("a size");
            assert_eq!((size.0, size.to_string().as_str()), (bytes, shown));
        }
        for bad in ["", "0", "KiB", "-1", "4kb", "99999999999GiB", "1.5MiB"] {
            assert!(bad.parse::<Size>().is_err(), "{bad}");
        }
    }
}
