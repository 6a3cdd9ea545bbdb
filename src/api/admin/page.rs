//! What the lists and forms of the admin have in common: pages by cursor, moments, projects by name.

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::api::Api;
use crate::api::error::Refused;
use crate::api::query::Parameters;
use crate::config::value::Span;
use crate::store::database::accounts::Reach;
use crate::trace::{ProjectId, Timestamp};

/// Items of a page where the request says nothing.
const PER_PAGE: u32 = 50;
/// Items of a page at most.
const PER_PAGE_MAX: u32 = 100;
/// Projects that one token or runner can name; more are better served by all.
const PROJECTS_MAX: usize = 1000;
/// The longest name or description.
const NAME_MAX: usize = 255;

/// Which page to show.
#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code, reason = "read one by one; here they are described")]
pub(super) struct Which {
    /// How many on a page, 50 if not said.
    #[param(minimum = 1, maximum = 100)]
    per_page: Option<u32>,
    /// `next` of the page before.
    cursor: Option<String>,
}

/// Which page: behind which number, and how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Page {
    pub(super) after: i64,
    pub(super) limit: u32,
}

/// Items in order of number, and where the next page begins.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Page)]
pub(super) struct Listed<S> {
    /// What was found, in order of number.
    items: Vec<S>,
    /// The `cursor` of the next page; null on the last.
    #[schema(required)]
    next: Option<String>,
}

impl Page {
    /// Out of a query; what cannot be read is an error, what is unknown is passed over.
    pub(super) fn of(parameters: &Parameters) -> Result<Self, Refused> {
        let limit = match parameters.text("per_page") {
            None => PER_PAGE,
            Some(text) => text
                .parse()
                .ok()
                .filter(|limit| (1..=PER_PAGE_MAX).contains(limit))
                .ok_or_else(|| Refused::Bad(format!("per_page must be a number from 1 to {PER_PAGE_MAX}")))?,
        };
        let after = match parameters.text("cursor") {
            None => 0,
            Some(text) => {
                let bad = || Refused::Bad("cursor must be the \"next\" of another page".to_owned());
                text.parse().ok().filter(|after| *after >= 0).ok_or_else(bad)?
            }
        };
        Ok(Self { after, limit })
    }

    /// How many to ask for, to know whether there are more.
    pub(super) fn ask(self) -> u32 {
        self.limit + 1
    }

    /// The document: the items, and where the next page begins.
    pub(super) fn document<T, S>(
        self,
        mut items: Vec<T>,
        number: impl Fn(&T) -> i64,
        show: impl Fn(&T) -> S,
    ) -> Listed<S> {
        let more = items.len() > self.limit as usize;
        items.truncate(self.limit as usize);
        let next = items.last().filter(|_| more).map(|last| number(last).to_string());
        Listed { items: items.iter().map(show).collect(), next }
    }
}

/// A body as JSON.
pub(super) fn form<T: DeserializeOwned>(body: Result<Bytes, BytesRejection>) -> Result<T, Refused> {
    // Too long, or broken off: to be said like every other error.
    let body = body.map_err(|rejection| Refused::Bad(rejection.body_text()))?;
    serde_json::from_slice(&body).map_err(|error| Refused::Bad(error.to_string()))
}

/// A name that people gave.
pub(super) fn name(what: &str, name: String) -> Result<String, Refused> {
    if (1..=NAME_MAX).contains(&name.trim().len()) {
        Ok(name.trim().to_owned())
    } else {
        Err(Refused::Bad(format!("{what} must have 1 to {NAME_MAX} bytes")))
    }
}

/// A moment out of a query or a body.
pub(super) fn moment(what: &str, text: &str) -> Result<Timestamp, Refused> {
    let at: jiff::Timestamp =
        text.parse().map_err(|_| Refused::Bad(format!("{what} must be a time as in RFC 3339")))?;
    Ok(Timestamp(at.as_millisecond()))
}

/// An end of validity: a moment, or a time from now.
pub(super) fn expiry(at: Option<&str>, within: Option<&str>, now: Timestamp) -> Result<Option<Timestamp>, Refused> {
    let expires = match (at, within) {
        (None, None) => return Ok(None),
        (Some(_), Some(_)) => return Err(Refused::Bad("give expires_at or expires_in, not both".to_owned())),
        (Some(at), None) => moment("expires_at", at)?,
        (None, Some(within)) => {
            let span: Span = within.parse().map_err(|error| Refused::Bad(format!("expires_in: {error}")))?;
            now.after(span.0)
        }
    };
    // A moment that cannot be written down is not one to wait for.
    if expires <= now || jiff::Timestamp::from_millisecond(expires.0).is_err() {
        return Err(Refused::Bad("it must expire in the future, and before the year 10000".to_owned()));
    }
    Ok(Some(expires))
}

/// All projects there are and will be.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum Everything {
    /// The word for it.
    All,
}

/// `"all"`, or a list of numbers and paths, at most 1,000.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(untagged, expecting = "projects must be \"all\" or a list of numbers and paths")]
#[schema(as = NamedProjects)]
pub(super) enum Named {
    /// All of them.
    All(Everything),
    /// Each by number or path.
    List(Vec<OneNamed>),
}

/// A project by its number, or by its path.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(untagged)]
#[schema(as = NamedProject)]
pub(super) enum OneNamed {
    /// Its number.
    Number(ProjectId),
    /// Its path.
    Path(String),
}

/// The project that a query names by its number or path; it must be there.
pub(super) async fn project(api: &Api, name: &str) -> Result<ProjectId, Refused> {
    let named = name.parse().map_or_else(|_| OneNamed::Path(name.to_owned()), |id| OneNamed::Number(ProjectId(id)));
    find(api, &named).await
}

async fn find(api: &Api, named: &OneNamed) -> Result<ProjectId, Refused> {
    let found = match named {
        OneNamed::Number(id) => api.auth.accounts().project(*id).await?,
        OneNamed::Path(path) => api.auth.accounts().project_at(path).await?,
    };
    let shown = || match named {
        OneNamed::Number(id) => id.to_string(),
        OneNamed::Path(path) => format!("{:?}", path.chars().take(64).collect::<String>()),
    };
    let found =
        found.ok_or_else(|| Refused::Bad(format!("there is no project {}; its first job makes it", shown())))?;
    Ok(found.id)
}

/// The projects that were named; each must be there.
pub(super) async fn reach(api: &Api, named: &Named) -> Result<Reach, Refused> {
    let list = match named {
        Named::All(Everything::All) => return Ok(Reach::All),
        Named::List(list) if list.len() <= PROJECTS_MAX => list,
        Named::List(_) => return Err(Refused::Bad(format!("projects: at most {PROJECTS_MAX}, or \"all\""))),
    };
    let mut projects = Vec::with_capacity(list.len());
    for one in list {
        projects.push(find(api, one).await?);
    }
    projects.sort_unstable();
    projects.dedup();
    Ok(Reach::These(projects))
}

/// `"all"`, or the numbers of projects in order.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
#[schema(as = Projects)]
pub(super) enum ShownReach {
    /// All of them.
    All(Everything),
    /// Only these.
    These(Vec<ProjectId>),
}

impl From<&Reach> for ShownReach {
    fn from(reach: &Reach) -> Self {
        match reach {
            Reach::All => Self::All(Everything::All),
            Reach::These(projects) => Self::These(projects.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn page(query: &[(&str, &str)]) -> Result<Page, Refused> {
        let all: Vec<_> = query.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Page::of(&Parameters(all))
    }

    #[test]
    fn a_page_has_a_length_and_a_beginning() {
        assert_eq!(page(&[]).expect("good"), Page { after: 0, limit: 50 });
        assert_eq!(page(&[("cursor", "7"), ("per_page", "2"), ("x", "y")]).expect("good"), Page { after: 7, limit: 2 });
        for bad in [("per_page", "0"), ("per_page", "101"), ("per_page", "x"), ("cursor", "-1"), ("cursor", "x")] {
            assert!(page(&[bad]).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_page_that_is_not_the_last_names_the_next() {
        let page = Page { after: 0, limit: 2 };
        let show = |items: Vec<i64>| json!(page.document(items, |item| *item, |item| *item));
        assert_eq!(show(vec![1, 5, 9]), json!({"items": [1, 5], "next": "5"}));
        assert_eq!(show(vec![1, 5]), json!({"items": [1, 5], "next": null}));
        assert_eq!(show(vec![]), json!({"items": [], "next": null}));
    }

    #[test]
    fn a_reach_is_a_word_or_a_list() {
        assert_eq!(json!(ShownReach::from(&Reach::All)), json!("all"));
        assert_eq!(json!(ShownReach::from(&Reach::These(vec![ProjectId(1), ProjectId(4)]))), json!([1, 4]));
    }

    #[test]
    fn an_expiry_lies_ahead() {
        let now = Timestamp(1_000);
        assert_eq!(expiry(None, None, now).expect("good"), None);
        assert_eq!(expiry(None, Some("2s"), now).expect("good"), Some(Timestamp(3_000)));
        assert_eq!(expiry(Some("1970-01-01T00:00:05Z"), None, now).expect("good"), Some(Timestamp(5_000)));
        for (at, within) in [
            (Some("1970-01-01T00:00:01Z"), None),
            (Some("tomorrow"), None),
            (None, Some("0s")),
            (None, Some("soon")),
            (None, Some("99999999d")),
            (Some("2030-01-01T00:00:00Z"), Some("1d")),
        ] {
            assert!(expiry(at, within, now).is_err(), "{at:?} {within:?}");
        }
    }
}
