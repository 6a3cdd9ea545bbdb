//! What a request makes its answer depend on: `If-Match`, `If-None-Match` and `If-Range`, as RFC 9110 has them.

use axum::http::header::{IF_MATCH, IF_NONE_MATCH, IF_RANGE};
use axum::http::{HeaderMap, HeaderName};

/// What the conditions of a request come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The request is answered.
    Go,
    /// 304: the client has this version.
    NotModified,
    /// 412: the client asked for a version that is not this one.
    Failed,
}

/// Holds `If-Match` and `If-None-Match`, each of any number of lines, against the version that there is. `None` has no
/// name, so only `*` is it.
pub(super) fn outcome(headers: &HeaderMap, etag: Option<&str>) -> Outcome {
    let asks = |name: &HeaderName| headers.contains_key(name);
    if asks(&IF_MATCH) && !any(headers, IF_MATCH, |tag| tag == b"*" || Some(tag) == etag.map(str::as_bytes)) {
        return Outcome::Failed;
    }
    let weakly = |tag: &[u8]| Some(tag.strip_prefix(b"W/").unwrap_or(tag)) == etag.map(str::as_bytes);
    if any(headers, IF_NONE_MATCH, |tag| tag == b"*" || weakly(tag)) { Outcome::NotModified } else { Outcome::Go }
}

/// Whether a range is of the version that the client has a part of: a part of another one would not fit to it. What cannot
/// be read, or is said twice, is not this version.
pub(super) fn range_applies(headers: &HeaderMap, etag: Option<&str>) -> bool {
    let mut lines = headers.get_all(IF_RANGE).iter();
    match (lines.next(), lines.next()) {
        (None, _) => true,
        (Some(of), None) => Some(of.as_bytes().trim_ascii()) == etag.map(str::as_bytes),
        (Some(_), Some(_)) => false,
    }
}

/// Whether one of the tags in a list is it. Our own tags have no commas in them.
fn any(headers: &HeaderMap, name: HeaderName, is: impl Fn(&[u8]) -> bool) -> bool {
    let mut tags = headers.get_all(name).iter().flat_map(|line| line.as_bytes().split(|byte| *byte == b','));
    tags.any(|tag| is(tag.trim_ascii()))
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    const ETAG: Option<&str> = Some("\"1-1-5\"");

    fn headers(name: HeaderName, lines: &[&[u8]]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(name.clone(), HeaderValue::from_bytes(line).expect("a value"));
        }
        headers
    }

    #[test]
    fn tags_are_compared_weakly_for_if_none_match_over_all_its_lines() {
        let known: [&[&[u8]]; 6] = [
            &[b"*"],
            &[b"\"1-1-5\""],
            &[b"W/\"1-1-5\""],
            &[b"\"a\", \"1-1-5\""],
            &[b"\"a\"", b"\"1-1-5\""],
            &[b"\xff", b"*"],
        ];
        for lines in known {
            assert_eq!(outcome(&headers(IF_NONE_MATCH, lines), ETAG), Outcome::NotModified, "{lines:?}");
        }
        let others: [&[&[u8]]; 5] = [&[], &[b""], &[b"\"1-1-4\""], &[b"1-1-5"], &[b"\"a\"", b"\xe9"]];
        for lines in others {
            assert_eq!(outcome(&headers(IF_NONE_MATCH, lines), ETAG), Outcome::Go, "{lines:?}");
        }
    }

    #[test]
    fn tags_are_compared_strongly_for_if_match() {
        let met: [&[&[u8]]; 4] = [&[], &[b"*"], &[b"\"1-1-5\""], &[b"\"a\"", b"\"b\" , \"1-1-5\""]];
        for lines in met {
            assert_eq!(outcome(&headers(IF_MATCH, lines), ETAG), Outcome::Go, "{lines:?}");
        }
        let failed: [&[&[u8]]; 4] = [&[b""], &[b"W/\"1-1-5\""], &[b"\"1-1-4\""], &[b"\xff"]];
        for lines in failed {
            assert_eq!(outcome(&headers(IF_MATCH, lines), ETAG), Outcome::Failed, "{lines:?}");
        }
    }

    #[test]
    fn a_range_is_of_exactly_the_version_that_is_named() {
        let applies: [&[&[u8]]; 2] = [&[], &[b"\"1-1-5\""]];
        for lines in applies {
            assert!(range_applies(&headers(IF_RANGE, lines), ETAG), "{lines:?}");
        }
        let other: [&[&[u8]]; 5] =
            [&[b"\"1-1-4\""], &[b"W/\"1-1-5\""], &[b"\xff"], &[b"*"], &[b"\"1-1-5\"", b"\"1-1-5\""]];
        for lines in other {
            assert!(!range_applies(&headers(IF_RANGE, lines), ETAG), "{lines:?}");
        }
    }

    #[test]
    fn what_has_no_name_is_only_a_star() {
        assert_eq!(outcome(&headers(IF_MATCH, &[b"\"1-1-5\""]), None), Outcome::Failed);
        assert_eq!(outcome(&headers(IF_NONE_MATCH, &[b"\"1-1-5\""]), None), Outcome::Go);
        assert!(!range_applies(&headers(IF_RANGE, &[b"\"1-1-5\""]), None));
    }
}
