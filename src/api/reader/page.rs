//! Lists page by page, as GitLab's clients ask for them and find their way through them: by number (`page`, `per_page`),
//! or by what a page goes on behind (`pagination=keyset`), in both cases by the addresses in `Link`.

use axum::Json;
use axum::http::header::LINK;
use axum::http::{HeaderName, HeaderValue};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::{IntoParams, ToSchema};

use super::links::Place;
use crate::api::error::Refused;
use crate::api::query::{Parameters, shown};
use crate::store::database::listing::{Page, PageStart};

/// Items on a page, unless asked otherwise.
const PER_PAGE: u64 = 20;
/// Items on a page at most; who asks for more gets these, as GitLab does it.
const PER_PAGE_MAX: u64 = 100;

/// Pages by number.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code, reason = "read one by one; here they are described")]
pub(super) struct Numbered {
    /// The page, from 1.
    #[param(minimum = 1)]
    page: Option<u64>,
    /// Items on a page, 20 if not said. More than 100 counts as 100.
    #[param(minimum = 1)]
    per_page: Option<u64>,
    /// `desc`, the default: newest first. `asc`: oldest first.
    #[param(inline)]
    sort: Option<Sort>,
}

/// Pages by what they go on behind.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code, reason = "read one by one; here they are described")]
pub(super) struct Keyset {
    /// `keyset`: pages are found by `id_before` or `id_after`, which costs the same however far in they lie.
    #[param(inline)]
    pagination: Option<Pagination>,
    /// Newest first: only items with a smaller number.
    id_before: Option<i64>,
    /// Oldest first: only items with a greater number.
    id_after: Option<i64>,
}

/// The order of a list.
#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
#[allow(dead_code, reason = "for the description")]
enum Sort {
    Asc,
    Desc,
}

/// How pages are found.
#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
#[allow(dead_code, reason = "for the description")]
enum Pagination {
    Offset,
    Keyset,
}

/// The page that a client asks for.
#[derive(Debug)]
pub(super) struct Asked {
    /// As the database is asked for it.
    pub(super) page: Page,
    /// Its number, unless it is found by what it goes on behind.
    number: Option<u64>,
}

impl Asked {
    /// Reads `page`, `per_page`, `pagination`, `sort`, `id_before` and `id_after`.
    pub(super) fn of(parameters: &Parameters) -> Result<Self, Refused> {
        let size = parameters.positive("per_page")?.unwrap_or(PER_PAGE).min(PER_PAGE_MAX);
        let size = u32::try_from(size).unwrap_or(u32::MAX);
        let newest_first = match parameters.text("sort") {
            None | Some("desc") => true,
            Some("asc") => false,
            Some(other) => return Err(Refused::Bad(format!("sort {:?} is neither asc nor desc", shown(other)))),
        };
        let page = |start| Page { start, size, newest_first };
        if is_keyset(parameters)? {
            let behind = parameters.value(behind(newest_first))?;
            return Ok(Self { page: page(PageStart::Behind(behind)), number: None });
        }
        let number = parameters.positive("page")?.unwrap_or(1);
        let skipped = (number - 1).saturating_mul(u64::from(size));
        Ok(Self { page: page(PageStart::Skip(skipped)), number: Some(number) })
    }
}

fn is_keyset(parameters: &Parameters) -> Result<bool, Refused> {
    match parameters.text("pagination") {
        None | Some("offset" | "legacy") => Ok(false),
        Some("keyset") => Ok(true),
        Some(other) => Err(Refused::Bad(format!("pagination {:?} is neither offset nor keyset", shown(other)))),
    }
}

/// The parameter with the number that a page goes on behind.
fn behind(newest_first: bool) -> &'static str {
    if newest_first { "id_before" } else { "id_after" }
}

/// A page to be shown.
pub(super) struct Shown<T> {
    /// What is on it, as documents.
    pub(super) items: Vec<T>,
    /// The number of the last one.
    pub(super) last: Option<i64>,
    /// True if there is more behind it.
    pub(super) more: bool,
    /// How many there are on all pages together, if they were counted.
    pub(super) total: Option<u64>,
}

/// The answer: the items, and in the headers the way to the other pages.
pub(super) fn answer<T: Serialize>(asked: &Asked, shown: Shown<T>, parameters: &Parameters, place: &Place) -> Response {
    let size = u64::from(asked.page.size);
    let mut fields: Vec<(&'static str, String)> = vec![("x-per-page", size.to_string())];
    let mut ways: Vec<(&'static str, Vec<(&'static str, String)>)> = Vec::new();
    match asked.number {
        Some(number) => {
            let pages = shown.total.map(|total| total.div_ceil(size).max(1));
            let next = shown.more.then(|| number.saturating_add(1));
            // Whoever leafed behind the end is led back to the last page.
            let previous = (number > 1).then(|| pages.map_or(number - 1, |pages| (number - 1).min(pages)));
            let text = |number: Option<u64>| number.map_or_else(String::new, |number| number.to_string());
            fields.push(("x-page", number.to_string()));
            fields.push(("x-next-page", text(next)));
            fields.push(("x-prev-page", text(previous)));
            fields.extend(shown.total.map(|total| ("x-total", total.to_string())));
            fields.extend(pages.map(|pages| ("x-total-pages", pages.to_string())));
            let way = |name, page: Option<u64>| page.map(|page| (name, vec![("page", page.to_string())]));
            let all = [way("prev", previous), way("next", next), way("first", Some(1)), way("last", pages)];
            ways.extend(all.into_iter().flatten());
        }
        None => {
            let next = shown.last.filter(|_| shown.more);
            ways.extend(next.map(|last| ("next", vec![(behind(asked.page.newest_first), last.to_string())])));
        }
    }
    let mut response = Json(shown.items).into_response();
    let into = response.headers_mut();
    for (name, value) in fields {
        if let Ok(value) = HeaderValue::try_from(value) {
            into.insert(HeaderName::from_static(name), value);
        }
    }
    let links: Vec<String> = ways
        .into_iter()
        .filter_map(|(name, changed)| {
            let link = place.with_parameters(&changed_in(parameters, size, &changed))?;
            Some(format!("<{link}>; rel=\"{name}\""))
        })
        .collect();
    if let Some(value) = HeaderValue::try_from(links.join(", ")).ok().filter(|_| !links.is_empty()) {
        into.insert(LINK, value);
    }
    response
}

/// The request's own parameters, so that filters stay, with those that make it another page.
fn changed_in(parameters: &Parameters, size: u64, changed: &[(&'static str, String)]) -> Vec<(String, String)> {
    let stays = |name: &str| name != "per_page" && !changed.iter().any(|(key, _)| *key == name);
    let mut all: Vec<(String, String)> = parameters.0.iter().filter(|(name, _)| stays(name)).cloned().collect();
    all.push(("per_page".to_owned(), size.to_string()));
    all.extend(changed.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
    all
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderMap;

    use super::*;

    fn parameters(text: &str) -> Parameters {
        let pairs = text.split('&').filter_map(|pair| pair.split_once('='));
        Parameters(pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
    }

    fn headers_of(query: &str, count: usize, last: i64, more: bool, total: Option<u64>) -> HeaderMap {
        let parameters = parameters(query);
        let asked = Asked::of(&parameters).expect("readable");
        let shown = Shown { items: vec![0; count], last: Some(last), more, total };
        let place = Place { base: "http://localhost".to_owned(), path: "/api/v4/projects".to_owned() };
        answer(&asked, shown, &parameters, &place).headers().clone()
    }

    fn field<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
        headers.get(name).map(|value| value.to_str().expect("text"))
    }

    #[test]
    fn pages_are_numbered_and_lead_to_each_other() {
        let headers = headers_of("page=2&per_page=3&search=x", 3, 4, true, Some(8));
        let fields = ["x-page", "x-per-page", "x-next-page", "x-prev-page", "x-total", "x-total-pages"];
        let fields = fields.map(|name| field(&headers, name).expect(name));
        assert_eq!(fields, ["2", "3", "3", "1", "8", "3"]);
        let link = field(&headers, "link").expect("links");
        let way = |name: &str, page: u64| {
            format!("<http://localhost/api/v4/projects?search=x&per_page=3&page={page}>; rel=\"{name}\"")
        };
        assert_eq!(link, [way("prev", 1), way("next", 3), way("first", 1), way("last", 3)].join(", "));
    }

    #[test]
    fn the_ends_of_a_list_lead_no_further() {
        let only = headers_of("", 0, 0, false, Some(0));
        assert_eq!((field(&only, "x-next-page"), field(&only, "x-prev-page")), (Some(""), Some("")));
        assert_eq!(field(&only, "x-total-pages"), Some("1"));
        let behind = headers_of("page=9&per_page=3", 0, 0, false, Some(8));
        assert_eq!(field(&behind, "x-prev-page"), Some("3"));
        // A list that is too long to be counted has no last page.
        let long = headers_of("page=2", 20, 4, true, None);
        assert_eq!((field(&long, "x-total"), field(&long, "x-total-pages")), (None, None));
        assert!(!field(&long, "link").expect("links").contains("last"));
    }

    #[test]
    fn a_keyset_page_leads_on_behind_its_last_item() {
        let headers = headers_of("pagination=keyset&per_page=2&id_before=9", 2, 7, true, None);
        let link = "<http://localhost/api/v4/projects?pagination=keyset&per_page=2&id_before=7>; rel=\"next\"";
        assert_eq!((field(&headers, "link"), field(&headers, "x-page")), (Some(link), None));
        let upwards = headers_of("pagination=keyset&sort=asc&per_page=2", 2, 7, true, None);
        assert!(field(&upwards, "link").expect("links").contains("id_after=7"));
        assert_eq!(field(&headers_of("pagination=keyset", 2, 7, false, None), "link"), None);
    }

    #[test]
    fn what_is_no_page_is_refused_and_what_is_too_much_is_cut() {
        for bad in ["page=0", "page=x", "per_page=0", "per_page=-1", "sort=up", "pagination=cursor"] {
            assert!(Asked::of(&parameters(bad)).is_err(), "{bad}");
        }
        let asked = Asked::of(&parameters("per_page=1000&page=18446744073709551615")).expect("readable");
        assert_eq!((asked.page.size, asked.page.start), (100, PageStart::Skip(u64::MAX)));
    }
}
