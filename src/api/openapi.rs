//! `GET /openapi.json`: what is answered here, generated from the handlers and the types of their answers.
//!
//! A handler's annotation says what is its own: parameters, success, and the refusals that it alone has. What all have in
//! common is put in here: who may ask (by tag), what an error looks like (by the path's manners), the errors that any
//! request may meet, and the headers of lists.

use axum::Json;
use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::path::{Operation, PathItem};
use utoipa::openapi::response::{Response, ResponseBuilder};
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::security::{
    ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme,
};
use utoipa::openapi::{Components, ContentBuilder, OpenApi as Document, Ref, RefOr};
use utoipa::{Modify, OpenApi};

use super::error::{Message, Problem};
use super::{admin, ops, reader, runner};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Veritail",
        description = "Verified CI build logs. Under `/api/v4` GitLab's API, as far as runners and readers of logs need it; \
                       under `/api/v1` Veritail's own.",
    ),
    paths(
        runner::append::append,
        runner::finalize::finalize,
        runner::queue::verify,
        runner::queue::request_job,
        reader::login::version,
        reader::login::user,
        reader::projects::projects,
        reader::projects::project,
        reader::jobs::jobs,
        reader::jobs::job,
        reader::trace::trace,
        reader::erase::erase,
        admin::job::job,
        admin::integrity::integrity,
        admin::jobs::create_job,
        admin::jobs::cancel_job,
        admin::drills::list_drills,
        admin::drills::start_drill,
        admin::mismatches::list::mismatches,
        admin::mismatches::one::show,
        admin::mismatches::one::resolve,
        admin::verify::ask::start_run,
        admin::verify::runs::list_runs,
        admin::verify::runs::show_run,
        admin::verify::runs::stop_run,
        admin::verify::status::status,
        admin::runners::create_runner,
        admin::runners::list_runners,
        admin::runners::revoke_runner,
        admin::runners::list_projects,
        admin::tokens::create_token,
        admin::tokens::list_tokens,
        admin::tokens::revoke_token,
        admin::tokens::rotate_token,
        ops::healthz,
        ops::readyz,
        ops::metrics,
        openapi,
    ),
    components(schemas(Message, Problem)),
    tags(
        (name = "Runners", description = "What runners ask: for jobs, to append to a trace, and to say how a job is."),
        (name = "Readers", description = "What readers ask: projects, jobs, and logs, as GitLab's clients ask for them."),
        (name = "Jobs", description = "Jobs and the integrity of their traces, in Veritail's own words."),
        (name = "Mismatches", description = "What was found to be wrong, and people who take note of it."),
        (name = "Drills", description = "Damage that is done on purpose, to see that it is found."),
        (name = "Verification", description = "Runs of the verifier that are asked for, watched and stopped, and how it stands."),
        (name = "Access", description = "Who may come in: tokens, runners, and the projects that they are for."),
        (name = "Operations", description = "For whoever runs this process. No token is needed."),
    ),
    modifiers(&Common),
)]
struct Api;

/// The description of everything that is answered.
pub fn document() -> Document {
    Api::openapi()
}

/// This description.
#[utoipa::path(
    get, path = "/openapi.json", tag = "Operations",
    responses((status = 200, description = "OpenAPI 3.1.", body = Object)),
)]
pub(super) async fn openapi() -> Json<Document> {
    Json(document())
}

/// What all operations have in common.
struct Common;

/// The header with a reader's or the admin's token.
const PRIVATE_TOKEN: &str = "private_token";
/// The same, as OAuth has it.
const BEARER: &str = "bearer";
/// The header with the token of a job; readers may send theirs in it too.
const JOB_TOKEN: &str = "job_token";
/// The header with a runner's own token; it may be in the body instead.
const RUNNER_TOKEN: &str = "runner_token";

/// The headers of a list that is found by page number, and what they say.
const PAGED: &[(&str, &str)] = &[
    ("Link", "The addresses of the other pages: `prev`, `next`, `first`, `last`."),
    ("X-Page", "This page; absent with `pagination=keyset`."),
    ("X-Per-Page", "Items on a page."),
    ("X-Next-Page", "The next page, if there is one."),
    ("X-Prev-Page", "The page before, if there is one."),
    ("X-Total", "Items on all pages; absent above 10,000."),
    ("X-Total-Pages", "Pages; absent above 10,000 items."),
];

impl Modify for Common {
    fn modify(&self, document: &mut Document) {
        let components = document.components.get_or_insert_with(Components::new);
        add_schemes(components);
        let schemas = std::mem::take(&mut components.schemas);
        components.schemas = schemas.into_iter().map(|(name, schema)| (renamed(&name), schema)).collect();
        for (path, item) in &mut document.paths.paths {
            for operation in operations_of(item) {
                complete(path, operation);
            }
        }
    }
}

fn add_schemes(components: &mut Components) {
    let header = |name: &str| SecurityScheme::ApiKey(ApiKey::Header(ApiKeyValue::new(name)));
    components.add_security_scheme(PRIVATE_TOKEN, header("PRIVATE-TOKEN"));
    components.add_security_scheme(JOB_TOKEN, header("JOB-TOKEN"));
    components.add_security_scheme(RUNNER_TOKEN, header("RUNNER-TOKEN"));
    let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build();
    components.add_security_scheme(BEARER, SecurityScheme::Http(bearer));
}

/// The operations of a path.
fn operations_of(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    [&mut item.get, &mut item.put, &mut item.post, &mut item.delete, &mut item.patch].into_iter().flatten()
}

fn complete(path: &str, operation: &mut Operation) {
    let tag = operation.tags.as_ref().and_then(|tags| tags.first()).map_or("", String::as_str);
    let (schemes, common): (&[&str], &[u16]) = match tag {
        "Operations" => (&[], &[]),
        "Runners" => (&[JOB_TOKEN], &[400, 403, 408, 429, 500, 503]),
        _ => (&[PRIVATE_TOKEN, BEARER, JOB_TOKEN], &[400, 401, 429, 500, 503]),
    };
    let required = |scheme: &&str| SecurityRequirement::new::<_, [&str; 0], &str>(*scheme, []);
    // Runners that ask for jobs have a token of their own, and say so.
    if operation.security.is_none() {
        operation.security = (!schemes.is_empty()).then(|| schemes.iter().map(required).collect());
    }
    let is_list = operation.parameters.iter().flatten().any(|parameter| parameter.name == "per_page");
    let responses = &mut operation.responses.responses;
    for status in common {
        responses.entry(status.to_string()).or_insert_with(|| RefOr::T(Response::new("")));
    }
    for (status, response) in responses.iter_mut() {
        let RefOr::T(response) = response else { continue };
        rename_in(response);
        let Ok(code) = status.parse::<u16>() else { continue };
        if code >= 400 && path.starts_with("/api/") {
            to_error(path, code, response);
        }
        if code == 200 && is_list && path.starts_with("/api/v4/") {
            for (name, description) in PAGED {
                let text = ObjectBuilder::new().schema_type(Type::String);
                let header = HeaderBuilder::new().schema(text).description(Some(*description)).build();
                response.headers.insert((*name).to_owned(), header);
            }
        }
    }
}

/// `Page_Token`, as a schema with a parameter is called, becomes `TokenPage`.
fn renamed(name: &str) -> String {
    name.split_once('_').map_or_else(|| name.to_owned(), |(outer, inner)| format!("{inner}{outer}"))
}

/// The same for what an answer refers to.
fn rename_in(response: &mut Response) {
    for content in response.content.values_mut() {
        if let Some(RefOr::Ref(to)) = &mut content.schema
            && let Some((place, name)) = to.ref_location.rsplit_once('/')
        {
            to.ref_location = format!("{place}/{}", renamed(name));
        }
    }
}

/// An error in the manners of its path, unless the handler said more about it.
fn to_error(path: &str, code: u16, response: &mut Response) {
    if response.description.is_empty() {
        response.description = meaning(code).to_owned();
    }
    if response.content.is_empty() {
        let (media, schema) = match path.starts_with("/api/v4/") {
            true => ("application/json", "Message"),
            false => ("application/problem+json", "Problem"),
        };
        let content = ContentBuilder::new().schema(Some(Ref::from_schema_name(schema))).build();
        response.content.insert(media.to_owned(), content);
    }
    if code == 429 || code == 503 {
        let seconds = ObjectBuilder::new().schema_type(Type::Integer);
        let header =
            HeaderBuilder::new().schema(seconds).description(Some("Seconds after which to come again.")).build();
        *response = with_header(std::mem::replace(response, Response::new("")), "Retry-After", header);
    }
}

fn with_header(response: Response, name: &str, header: utoipa::openapi::header::Header) -> Response {
    ResponseBuilder::from(response).header(name, header).build()
}

fn meaning(code: u16) -> &'static str {
    match code {
        400 => "It cannot be understood.",
        401 => "There is no token, or none that is known here.",
        403 => "The token does not allow this.",
        404 => "There is no such thing, or the token may not know of it.",
        408 => "The body stalled or broke off.",
        429 => "The token, or all readers of the job together, asked too much at once.",
        500 => "Something in a store is as no version wrote it, or the program has a fault: a person must look.",
        503 => "A store is away or full; come again.",
        _ => "It is refused.",
    }
}
