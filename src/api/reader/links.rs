//! Addresses that clients follow: whole ones, as the client came here.

use axum::http::header::HOST;
use axum::http::{HeaderMap, Uri};
use reqwest::Url;

/// Where nothing better is known.
const NOWHERE: &str = "http://localhost";

/// The address under which the client reached this server. A client that sends nonsense gets addresses that lead nowhere.
pub(super) fn base(headers: &HeaderMap) -> String {
    let host = headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let is_host = |b: u8| b.is_ascii_alphanumeric() || b"-._:[]".contains(&b);
    if host.is_empty() || !host.bytes().all(is_host) {
        return NOWHERE.to_owned();
    }
    let base = format!("http://{host}");
    if Url::parse(&base).is_ok() { base } else { NOWHERE.to_owned() }
}

/// This request's address, with other parameters.
pub(super) fn with_parameters(base: &str, uri: &Uri, parameters: &[(String, String)]) -> Option<String> {
    Url::parse_with_params(&format!("{base}{}", uri.path()), parameters).ok().map(String::from)
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn a_host_that_is_none_is_not_repeated() {
        let of = |host: &str| base(&HeaderMap::from_iter([(HOST, HeaderValue::from_str(host).expect("a value"))]));
        assert_eq!(of("ci.example:8080"), "http://ci.example:8080");
        assert_eq!(of("[::1]:80"), "http://[::1]:80");
        for bad in ["", "a>; rel=\"x\"", "a/b", "user@host", "a b", ":", "[", "a:b"] {
            assert_eq!(of(bad), NOWHERE, "{bad}");
        }
    }

    #[test]
    fn parameters_are_encoded_and_the_path_stays_as_it_came() {
        let uri = Uri::from_static("/api/v4/projects/group%2Fdemo/jobs?page=1");
        let pairs = [("scope[]".to_owned(), "failed".to_owned()), ("x".to_owned(), "> &".to_owned())];
        let link = with_parameters("http://h", &uri, &pairs).expect("an address");
        assert_eq!(link, "http://h/api/v4/projects/group%2Fdemo/jobs?scope%5B%5D=failed&x=%3E+%26");
    }
}
