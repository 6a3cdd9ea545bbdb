//! Addresses that clients follow: whole ones, as the client came here.

use std::convert::Infallible;

use axum::extract::FromRequestParts;
use axum::http::HeaderMap;
use axum::http::header::HOST;
use axum::http::request::Parts;
use reqwest::Url;

use crate::api::Api;
use crate::api::server::Reached;

/// Where nothing better is known.
const NOWHERE: &str = "http://localhost";

/// Where a request came.
pub(in crate::api) struct Place {
    /// The address under which the client reached this server: the configured one, else the one that the request names. A
    /// client that sends nonsense gets addresses that lead nowhere.
    pub(super) base: String,
    /// The path, as it came.
    pub(super) path: String,
}

impl FromRequestParts<Api> for Place {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Infallible> {
        let configured = api.external_url.as_ref().map(|url| url.as_str().to_owned());
        let base = configured.unwrap_or_else(|| named(&parts.headers, parts.extensions.get()));
        Ok(Self { base, path: parts.uri.path().to_owned() })
    }
}

impl Place {
    /// This request's address, with other parameters.
    pub(super) fn with_parameters(&self, parameters: &[(String, String)]) -> Option<String> {
        Url::parse_with_params(&format!("{}{}", self.base, self.path), parameters).ok().map(String::from)
    }
}

fn named(headers: &HeaderMap, reached: Option<&Reached>) -> String {
    let own = || headers.get(HOST).and_then(|host| host.to_str().ok());
    let host = reached.and_then(|reached| reached.host.as_deref()).or_else(own).unwrap_or_default();
    let is_host = |b: u8| b.is_ascii_alphanumeric() || b"-._:[]".contains(&b);
    if host.is_empty() || !host.bytes().all(is_host) {
        return NOWHERE.to_owned();
    }
    let scheme = if reached.is_some_and(|reached| reached.https) { "https" } else { "http" };
    let base = format!("{scheme}://{host}");
    if Url::parse(&base).is_ok() { base } else { NOWHERE.to_owned() }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn a_host_that_is_none_is_not_repeated() {
        let of =
            |host: &str| named(&HeaderMap::from_iter([(HOST, HeaderValue::from_str(host).expect("a value"))]), None);
        assert_eq!(of("ci.example:8080"), "http://ci.example:8080");
        assert_eq!(of("[::1]:80"), "http://[::1]:80");
        for bad in ["", "a>; rel=\"x\"", "a/b", "user@host", "a b", ":", "[", "a:b"] {
            assert_eq!(of(bad), NOWHERE, "{bad}");
        }
    }

    #[test]
    fn scheme_and_host_are_those_that_the_client_used() {
        let headers = HeaderMap::from_iter([(HOST, HeaderValue::from_static("inner:8080"))]);
        let of = |https, host: Option<&str>| named(&headers, Some(&Reached { https, host: host.map(str::to_owned) }));
        assert_eq!(of(true, None), "https://inner:8080");
        assert_eq!(of(true, Some("ci.example")), "https://ci.example");
        assert_eq!(of(false, Some("ci.example")), "http://ci.example");
        assert_eq!(of(true, Some("a b")), NOWHERE);
    }

    #[test]
    fn parameters_are_encoded_and_the_path_stays_as_it_came() {
        let place = Place { base: "http://h".to_owned(), path: "/api/v4/projects/group%2Fdemo/jobs".to_owned() };
        let pairs = [("scope[]".to_owned(), "failed".to_owned()), ("x".to_owned(), "> &".to_owned())];
        let link = place.with_parameters(&pairs).expect("an address");
        assert_eq!(link, "http://h/api/v4/projects/group%2Fdemo/jobs?scope%5B%5D=failed&x=%3E+%26");
    }
}
