//! Spans as a collector gets them, over OTLP/HTTP.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message as _;

use crate::support::server::{Binary, Send as _, ended, log};
use crate::support::wait::{PATIENCE, holds_within, until};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00f067aa0ba902b7";

/// All names that spans have.
const NAMES: &[&str] = &[
    "request append",
    "request finalize",
    "request read",
    "request other",
    "append",
    "record",
    "migrate",
    "put",
    "read_back",
    "persist",
    "evaluate",
    "read",
];

/// A collector that keeps what it gets, or refuses it.
#[derive(Clone, Default)]
struct Receiver {
    spans: Arc<Mutex<Vec<Span>>>,
    about: Arc<Mutex<BTreeSet<String>>>,
    refuses: Arc<Mutex<bool>>,
}

impl Receiver {
    /// Listens; answers the address.
    async fn start(&self) -> String {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let receiver = self.clone();
        let take = move |headers: HeaderMap, body: Bytes| std::future::ready(receiver.take(&headers, body));
        let router = Router::new().route("/v1/traces", post(take));
        tokio::spawn(async move { axum::serve(listener, router).await });
        format!("http://{address}")
    }

    fn take(&self, headers: &HeaderMap, body: Bytes) -> StatusCode {
        if *self.refuses.lock().expect("no panic") {
            return StatusCode::FORBIDDEN;
        }
        assert_eq!(headers["content-type"], "application/x-protobuf");
        let batch = ExportTraceServiceRequest::decode(body).expect("a batch of spans");
        for of_resource in batch.resource_spans {
            let resource = of_resource.resource.expect("it says whose they are");
            self.about.lock().expect("no panic").extend(resource.attributes.iter().map(said));
            let spans = of_resource.scope_spans.into_iter().flat_map(|of_scope| of_scope.spans);
            self.spans.lock().expect("no panic").extend(spans);
        }
        StatusCode::OK
    }

    /// All spans, once `are_there` holds.
    async fn spans_until(&self, what: &str, are_there: impl Fn(&[Span]) -> bool) -> Vec<Span> {
        let mut spans = Vec::new();
        let look = async || {
            spans = self.spans.lock().expect("no panic").clone();
            are_there(&spans)
        };
        let came = holds_within(PATIENCE, look).await;
        assert!(came, "{what}: there are {:?}", spans.iter().map(|span| &span.name).collect::<Vec<_>>());
        spans
    }
}

/// `name=value`.
fn said(attribute: &KeyValue) -> String {
    let value = match attribute.value.as_ref().and_then(|value| value.value.as_ref()) {
        Some(Value::StringValue(text)) => text.clone(),
        Some(Value::IntValue(number)) => number.to_string(),
        other => format!("{other:?}"),
    };
    format!("{}={value}", attribute.key)
}

fn attributes(span: &Span) -> BTreeMap<String, String> {
    let said = span.attributes.iter().map(said);
    said.filter_map(|said| said.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()))).collect()
}

/// The one span of this name with this parent.
fn child<'a>(spans: &'a [Span], name: &str, parent: &[u8]) -> &'a Span {
    let found = spans.iter().find(|span| span.name == name && span.parent_span_id == parent);
    found.unwrap_or_else(|| panic!("no {name} below {}: {:?}", hex::encode(parent), names(spans)))
}

fn names(spans: &[Span]) -> Vec<(&str, String)> {
    spans.iter().map(|span| (span.name.as_str(), hex::encode(&span.parent_span_id))).collect()
}

#[tokio::test]
async fn a_collector_sees_a_request_and_a_chunks_way_to_the_store() {
    let receiver = Receiver::default();
    let server = Binary::start(&[
        ("VERITAIL_OTLP_ENDPOINT", &receiver.start().await),
        ("VERITAIL_NODE_NAME", "node-7"),
        ("OTEL_BSP_SCHEDULE_DELAY", "100"),
        ("VERITAIL_LOG_FORMAT", "json"),
        ("VERITAIL_LOG", "debug"),
    ]);
    let client = server.client();
    let job = client.make_job().await;
    let mut bytes = b"a line that nobody else may read\n".to_vec();
    bytes.extend(log(200_000));
    let request = client.append_request(&job, 0, &bytes).header("traceparent", format!("00-{TRACE}-{PARENT}-01"));
    assert_eq!(request.answer().await.status, 202);
    assert_eq!(client.put_until_decided(&job, &ended("success", &bytes, true)).await.status, 200);
    assert_eq!(client.trace(&job).await, bytes);

    let all = |spans: &[Span]| {
        let first = |span: &Span| span.name == "migrate" && attributes(span)["chunk"] == "0";
        NAMES.iter().all(|name| spans.iter().any(|span| span.name == *name)) && spans.iter().any(first)
    };
    let spans = receiver.spans_until("a span of every name", all).await;

    // The request is part of its client's trace, and what it waited for is below it.
    let parent = hex::decode(PARENT).expect("hex");
    let append = child(&spans, "request append", &parent);
    assert_eq!(hex::encode(&append.trace_id), TRACE);
    assert_eq!(attributes(append)["http.response.status_code"], "202");
    let stored = child(&spans, "append", &append.span_id);
    assert_eq!((&stored.trace_id, &attributes(stored)["job_id"]), (&append.trace_id, &job.id.to_string()));
    // The record is written beside the answer, and is the request's all the same.
    let record = spans.iter().find(|span| span.name == "record" && span.trace_id == append.trace_id);
    assert!(record.is_some(), "{:?}", names(&spans));

    // A chunk's way, by its number.
    let migrate = spans.iter().find(|span| span.name == "migrate" && attributes(span)["chunk"] == "0");
    let migrate = migrate.expect("chunk 0 was migrated");
    for stage in ["put", "read_back", "persist"] {
        let stage = child(&spans, stage, &migrate.span_id);
        assert_eq!(attributes(stage)["chunk"], "0");
        assert!(stage.end_time_unix_nano >= stage.start_time_unix_nano);
    }
    // A read goes on for as long as its answer.
    let read = spans.iter().find(|span| span.name == "request read").expect("it was read");
    child(&spans, "read", &read.span_id);

    // What was logged is found by what was sent.
    let log = server.log();
    let answered = log.lines().find(|line| line.contains("\"answered\"") && line.contains(TRACE)).expect("logged");
    assert!(answered.contains(&format!("\"span_id\":\"{}\"", hex::encode(&append.span_id))), "{answered}");

    // Names are a closed set, and no byte of a log is in a span.
    let known: BTreeSet<&str> = NAMES.iter().copied().collect();
    for span in &spans {
        assert!(known.contains(span.name.as_str()), "{}", span.name);
        assert!(!format!("{span:?}").contains("nobody else may read"), "{span:?}");
    }
    let about = receiver.about.lock().expect("no panic").clone();
    for wanted in ["service.name=veritail", "service.instance.id=node-7"] {
        assert!(about.contains(wanted), "{about:?}");
    }
    assert!(about.iter().any(|said| said.starts_with("service.version=")), "{about:?}");
}

#[tokio::test]
async fn a_collector_that_refuses_is_told_of_once_and_costs_nothing_else() {
    let receiver = Receiver::default();
    *receiver.refuses.lock().expect("no panic") = true;
    let endpoint = receiver.start().await;
    let server = Binary::start(&[("VERITAIL_OTLP_ENDPOINT", &endpoint), ("OTEL_BSP_SCHEDULE_DELAY", "50")]);
    let client = server.client();
    let refused = || server.log().matches("the collector takes no spans").count();
    until("the refusal is logged", async || {
        let job = client.make_job().await;
        client.append_all(&job, 0, b"hello").await;
        refused() > 0
    })
    .await;
    *receiver.refuses.lock().expect("no panic") = false;
    client.make_job().await;
    receiver.spans_until("spans come again", |spans| !spans.is_empty()).await;
    server.until_logged("the collector takes spans again").await;
    assert_eq!(refused(), 1, "{}", server.log());
}

#[test]
fn an_address_that_is_none_stops_the_start_without_being_repeated() {
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_veritail"))
        .args(["serve", "--listen", "127.0.0.1:0", "--data-dir"])
        .arg(tempfile::tempdir().expect("a folder").path())
        .env_clear()
        .env("VERITAIL_OTLP_ENDPOINT", "collector-of-s3cret:4318")
        .output()
        .expect("run");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains("VERITAIL_OTLP_ENDPOINT") && !said.contains("s3cret"), "{said}");
}
