//! Texts that people give and the database keeps.

use std::str::FromStr;

use serde::Deserialize;

/// A text without NUL: not every database can keep one with it, or look for it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct Text(pub(super) String);

/// A text with NUL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a text with a NUL character (U+0000) cannot be kept; leave the character out")]
pub(super) struct HasNul;

impl TryFrom<String> for Text {
    type Error = HasNul;

    fn try_from(text: String) -> Result<Self, HasNul> {
        if text.contains('\0') { Err(HasNul) } else { Ok(Self(text)) }
    }
}

impl FromStr for Text {
    type Err = HasNul;

    fn from_str(text: &str) -> Result<Self, HasNul> {
        text.to_owned().try_into()
    }
}
