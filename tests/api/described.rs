//! `/openapi.json` describes every route, and nothing else.

use std::collections::BTreeSet;

use reqwest::Method;
use serde_json::Value;

use crate::support::server::{Binary, Send as _};

/// The router's own text: one route on a line or two, with names for some of the paths.
const ROUTER: &str = include_str!("../../src/api/router.rs");

/// The paths of the router with the methods they take.
fn routed() -> BTreeSet<(String, String)> {
    let named = |name: &str| {
        let place = format!("const {name}: &str = \"");
        let rest = ROUTER.split(&place).nth(1).unwrap_or_else(|| panic!("{name} is a constant of the router"));
        rest.split('"').next().unwrap_or_default().to_owned()
    };
    let mut routes = BTreeSet::new();
    for route in ROUTER.split(".route(").skip(1) {
        let (path, rest) = route.split_once(',').expect("a path and what answers");
        let path = path.trim();
        let path = path.strip_prefix('"').map_or_else(|| named(path), |path| path.trim_end_matches('"').to_owned());
        let end = rest.find(".route(").unwrap_or(rest.len());
        let answers = rest[..end].split("\n        .").next().unwrap_or_default();
        for method in ["get", "put", "post", "patch", "delete"] {
            let is_there =
                answers.split(|c: char| !c.is_alphanumeric() && c != '_' && c != ':').any(|word| word == method);
            if is_there {
                routes.insert((path.clone(), method.to_owned()));
            }
        }
    }
    assert!(routes.len() >= 19, "the routes are found: {routes:?}");
    routes
}

fn described(document: &Value) -> BTreeSet<(String, String)> {
    let paths = document["paths"].as_object().expect("paths");
    let operations = paths.iter().flat_map(|(path, item)| {
        let methods = item.as_object().expect("operations").keys();
        methods.map(|method| (path.clone(), method.clone())).collect::<Vec<_>>()
    });
    operations.collect()
}

#[tokio::test]
async fn every_route_is_described_and_nothing_else() {
    let server = Binary::start(&[]);
    let answer = server.client().request(Method::GET, "/openapi.json").answer().await;
    assert_eq!((answer.status, answer.header("Content-Type")), (200, "application/json"));
    let document = answer.json();
    assert_eq!(
        (&document["openapi"], &document["info"]["version"]),
        (&"3.1.0".into(), &env!("CARGO_PKG_VERSION").into())
    );
    assert_eq!(described(&document), routed());
}

/// The server itself says which methods a path takes.
#[tokio::test]
async fn every_described_operation_is_answered() {
    let server = Binary::start(&[]);
    let client = server.client();
    let document = client.request(Method::GET, "/openapi.json").answer().await.json();
    let described = described(&document);
    let paths: BTreeSet<&String> = described.iter().map(|(path, _)| path).collect();
    for path in paths {
        let parts: Vec<&str> = path.split('/').map(|part| if part.starts_with('{') { "1" } else { part }).collect();
        let other = Method::from_bytes(b"PROPFIND").expect("a method");
        let answer = client.admin(other, &parts.join("/")).answer().await;
        assert_eq!(answer.status, 405, "{path}");
        let allowed = answer.header("Allow").split(',').filter(|method| *method != "HEAD" && !method.is_empty());
        let allowed: BTreeSet<String> = allowed.map(str::to_lowercase).collect();
        let methods = described.iter().filter(|(of, _)| of == path).map(|(_, method)| method.clone());
        assert_eq!(allowed, methods.collect(), "{path}");
    }
    server.assert_untroubled().await;
}

/// Names that somebody would give: no generated client has to live with `Page_Token`.
#[tokio::test]
async fn schemas_have_plain_names_and_every_reference_leads_to_one() {
    let server = Binary::start(&[]);
    let answer = server.client().request(Method::GET, "/openapi.json").answer().await;
    let document = answer.json();
    let schemas = document["components"]["schemas"].as_object().expect("schemas");
    for name in schemas.keys() {
        assert!(name.chars().all(char::is_alphanumeric) && name.starts_with(char::is_uppercase), "{name}");
    }
    for name in ["TokenPage", "RunnerPage"] {
        assert!(schemas.contains_key(name), "{:?}", schemas.keys());
    }
    for part in answer.text().split("#/components/schemas/").skip(1) {
        let name = part.split('"').next().unwrap_or_default();
        assert!(schemas.contains_key(name), "{name} is referred to and not there");
    }
}
