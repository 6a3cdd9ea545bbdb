//! Spans, sent to a collector over OTLP/HTTP.
//!
//! They wait in a bounded queue; a collector that is away costs spans and nothing else.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use opentelemetry::KeyValue;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{SpanExporter, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider};
use tokio::runtime::Handle;
use tracing::Subscriber;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::Layer;
use tracing_subscriber::registry::LookupSpan;

use crate::telemetry::errors::innermost;
use crate::telemetry::exporter::VERSION;

/// What a collector's address is followed by.
const PATH: &str = "/v1/traces";
/// How long a collector has to take a batch.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a process that stops waits for it.
const FAREWELL: Duration = Duration::from_secs(5);

/// Why spans cannot be sent as configured. The address is not repeated: it may hold a password.
#[derive(Debug, thiserror::Error)]
pub enum CannotCollect {
    /// The address is none.
    #[error("telemetry.otlp_endpoint (VERITAIL_OTLP_ENDPOINT) is not a URL such as \"http://collector:4318\"")]
    Endpoint,
    /// The client cannot be made.
    #[error("the client for telemetry.otlp_endpoint cannot be made")]
    Client,
}

/// The way to a collector.
#[derive(Debug)]
pub struct Collector {
    provider: SdkTracerProvider,
}

impl Collector {
    /// Spans go to the collector at `endpoint`, those of one trace in `one_in`. `node` tells this process from others, and
    /// `runtime` sends. `OTEL_EXPORTER_OTLP_HEADERS`, `OTEL_RESOURCE_ATTRIBUTES` and `OTEL_BSP_*` of the environment apply.
    pub fn connect(endpoint: &str, one_in: u32, node: Option<&str>, runtime: Handle) -> Result<Self, CannotCollect> {
        let url = reqwest::Url::parse(endpoint).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
        let url = url.ok_or(CannotCollect::Endpoint)?;
        let base = url.as_str().trim_end_matches('/');
        let address = if base.ends_with(PATH) { base.to_owned() } else { format!("{base}{PATH}") };
        let http = reqwest::Client::builder().timeout(PATIENCE).build().map_err(|_| CannotCollect::Client)?;
        let post = Post { http, runtime, failing: AtomicBool::new(false) };
        let exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(post)
            .with_endpoint(address)
            .with_timeout(PATIENCE)
            .build()
            .map_err(|_| CannotCollect::Client)?;
        let root = if one_in == 1 { Sampler::AlwaysOn } else { Sampler::TraceIdRatioBased(1.0 / f64::from(one_in)) };
        let mut resource =
            Resource::builder().with_service_name("veritail").with_attribute(KeyValue::new("service.version", VERSION));
        if let Some(node) = node {
            resource = resource.with_attribute(KeyValue::new("service.instance.id", node.to_owned()));
        }
        let provider = SdkTracerProvider::builder()
            .with_batch_exporter(exporter)
            .with_sampler(Sampler::ParentBased(Box::new(root)))
            .with_resource(resource.build())
            .build();
        Ok(Self { provider })
    }

    /// Takes Veritail's own spans, and messages down to `info` as their events.
    pub(in crate::telemetry) fn layer<S>(&self) -> impl Layer<S> + use<S>
    where
        S: Subscriber + for<'a> LookupSpan<'a>,
    {
        let ours = filter_fn(|of| {
            of.target().starts_with("veritail") && (of.is_span() || *of.level() <= tracing::Level::INFO)
        });
        tracing_opentelemetry::layer()
            .with_tracer(self.provider.tracer("veritail"))
            .with_location(false)
            .with_threads(false)
            .with_target(false)
            .with_tracked_inactivity(false)
            .with_context_activation(false)
            .with_filter(ours.with_max_level_hint(LevelFilter::DEBUG))
    }

    /// Sends what waits, and ends. Waits for the collector: not for a thread of the runtime.
    pub fn stop(self) {
        // What cannot be delivered was told of when it could not.
        let _ = self.provider.shutdown_with_timeout(FAREWELL);
    }
}

/// Sends batches. The exporter's thread is none of the runtime's, so they are handed over.
#[derive(Debug)]
struct Post {
    http: reqwest::Client,
    runtime: Handle,
    failing: AtomicBool,
}

#[async_trait]
impl HttpClient for Post {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let sent = self.runtime.spawn(send(self.http.clone(), request)).await;
        let answer = sent.map_err(HttpError::from).flatten();
        self.tell(&answer);
        answer
    }
}

impl Post {
    /// Says once that a collector does not take spans, and once that it does again.
    fn tell(&self, answer: &Result<Response<Bytes>, HttpError>) {
        let wrong = match answer {
            Ok(response) if response.status().is_success() => None,
            Ok(response) => Some(format!("it answers {}", response.status())),
            Err(error) => Some(innermost(error.as_ref())),
        };
        let was_failing = self.failing.swap(wrong.is_some(), Ordering::Relaxed);
        match wrong {
            Some(why) if !was_failing => {
                tracing::warn!("the collector takes no spans, they are lost until it does: {why}")
            }
            None if was_failing => tracing::info!("the collector takes spans again"),
            _ => {}
        }
    }
}

async fn send(http: reqwest::Client, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
    let answer = http.execute(request.try_into()?).await.map_err(reqwest::Error::without_url)?;
    let mut response = Response::builder().status(answer.status());
    for (name, value) in answer.headers() {
        response = response.header(name, value);
    }
    Ok(response.body(answer.bytes().await.map_err(reqwest::Error::without_url)?)?)
}
