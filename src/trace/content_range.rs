//! `Content-Range` as CI runners write it: only the start counts.
//!
//! Clients send the end inclusive, exclusive, as a length, with `/total`, or wrong altogether; the body's own length is
//! what was sent. An explicit `bytes ` unit is accepted as well.

use super::ids::Offset;

/// A `Content-Range` whose start cannot be read.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("Content-Range is not START-END")]
pub struct BadContentRange;

/// The start offset of a `Content-Range` value: digits up to the dash. The end must be there but may be anything made of
/// digits, with an optional `/total`.
pub fn parse_start(value: &str) -> Result<Offset, BadContentRange> {
    let value = value.trim();
    let value = match value.split_at_checked(5) {
        Some((unit, rest)) if unit.eq_ignore_ascii_case("bytes") && rest.starts_with([' ', '=']) => {
            rest[1..].trim_start()
        }
        _ => value,
    };
    let (start, rest) = value.split_once('-').ok_or(BadContentRange)?;
    let (end, total) = match rest.split_once('/') {
        Some((end, total)) => (end, total),
        None => (rest, "*"),
    };
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    // "-1" is what an empty first patch of some clients computes as its end.
    let end_is_readable = digits(end.strip_prefix('-').unwrap_or(end));
    if !digits(start) || !end_is_readable || !(total == "*" || digits(total)) {
        return Err(BadContentRange);
    }
    start.parse().map(Offset).map_err(|_| BadContentRange)
}
