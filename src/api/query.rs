//! The parameters of a query: what is unknown is ignored, what is known and wrong is said.

use std::fmt::Display;
use std::str::FromStr;

use axum::extract::Query;
use axum::extract::rejection::QueryRejection;

use super::error::Refused;

/// The parameters, as an extractor gives them.
pub(super) type Raw = Result<Query<Vec<(String, String)>>, QueryRejection>;

/// The parameters of a request.
#[derive(Debug, Default)]
pub(super) struct Parameters(pub(super) Vec<(String, String)>);

impl Parameters {
    /// What can be read of a query; one that cannot be read at all counts as empty.
    pub(super) fn of(raw: Raw) -> Self {
        Self(raw.map(|Query(all)| all).unwrap_or_default())
    }

    /// The last value of a parameter, unless it is empty.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .rev()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
            .filter(|text| !text.is_empty())
    }

    /// A value that has a type.
    pub(super) fn value<T: FromStr<Err: Display>>(&self, name: &str) -> Result<Option<T>, Refused> {
        let read =
            |text: &str| text.parse().map_err(|error| Refused::Bad(format!("{name} {:?}: {error}", shown(text))));
        self.text(name).map(read).transpose()
    }

    /// A whole number of at least 1.
    pub(super) fn positive(&self, name: &str) -> Result<Option<u64>, Refused> {
        match self.value::<u64>(name)? {
            Some(0) => Err(Refused::Bad(format!("{name} must be at least 1"))),
            number => Ok(number),
        }
    }

    /// All values of a list, which clients write `name[]=a&name[]=b`, `name[0]=a` or `name=a`.
    pub(super) fn list<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let is_meant = move |key: &str| match key.strip_prefix(name) {
            Some("") => true,
            Some(index) => index.starts_with('[') && index.ends_with(']'),
            None => false,
        };
        self.0.iter().filter(move |(key, value)| is_meant(key) && !value.is_empty()).map(|(_, value)| value.as_str())
    }
}

/// What is repeated to a client of what it sent.
pub(super) fn shown(text: &str) -> String {
    text.chars().take(64).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_read_in_every_way_that_clients_write_them() {
        let pairs = [("scope[]", "a"), ("scope", "b"), ("scope[1]", "c"), ("scope[]", ""), ("scopes", "d"), ("x", "e")];
        let parameters = Parameters(pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec());
        assert_eq!(parameters.list("scope").collect::<Vec<_>>(), ["a", "b", "c"]);
    }

    #[test]
    fn a_wrong_value_is_named_and_an_empty_one_is_absent() {
        let parameters = Parameters(vec![
            ("page".to_owned(), "x".to_owned()),
            ("per_page".to_owned(), "0".to_owned()),
            ("id_after".to_owned(), String::new()),
        ]);
        let said = parameters.value::<u64>("page").expect_err("wrong").to_string();
        assert!(said.starts_with("400 Bad Request: page \"x\""), "{said}");
        assert!(parameters.positive("per_page").is_err());
        assert_eq!(parameters.value::<u64>("id_after").expect("absent"), None);
    }
}
