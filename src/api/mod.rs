//! HTTP in and out; no storage. Every route is in [`router`], every error becomes a status in [`error`].

mod admin;
pub mod auth;
pub mod error;
mod last_seen;
pub mod limits;
mod observe;
pub mod openapi;
mod ops;
mod outage;
mod path;
mod query;
mod reader;
pub mod router;
mod runner;
pub mod server;
mod text;
pub mod token;

pub use runner::final_update;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::config::value::ExternalUrl;
use crate::pipeline::Pipeline;
use crate::store::database::listing::Listing;
use crate::telemetry::exporter::Exporter;
use crate::trace::{ByteSize, ChunkSize};
use crate::verify::Verifier;

/// What every handler can reach. Cheap to clone.
#[derive(Clone)]
pub struct Api(Arc<Inner>);

/// The parts of an [`Api`].
pub struct Inner {
    /// The life of traces.
    pub pipeline: Pipeline,
    /// What verifies what is stored.
    pub verifier: Verifier,
    /// The lists for readers.
    pub listing: Arc<dyn Listing>,
    /// Who may do what.
    pub auth: auth::Auth,
    /// The metrics.
    pub exporter: &'static Exporter,
    /// How long a body may bring nothing.
    pub body_timeout: Duration,
    /// The chunk size of new traces.
    pub chunk_size: ChunkSize,
    /// The limit of new traces; 0 = none.
    pub trace_limit: ByteSize,
    /// Since when stores are away, as requests see it.
    pub outage: outage::Outage,
    /// The address under which clients reach this server, if it was configured.
    pub external_url: Option<ExternalUrl>,
    /// True from the moment the server begins to stop.
    pub draining: AtomicBool,
}

impl std::ops::Deref for Api {
    type Target = Inner;

    fn deref(&self) -> &Inner {
        &self.0
    }
}

impl Api {
    /// An API over the pipeline that `verifier` stands on. `body_timeout` bounds how long a body may bring nothing; `chunk_size` and `trace_limit` are
    /// those of traces that are made here; `external_url` goes into links.
    #[allow(clippy::too_many_arguments, reason = "each is a part of its own, given once")]
    pub fn new(
        verifier: Verifier,
        listing: Arc<dyn Listing>,
        auth: auth::Auth,
        exporter: &'static Exporter,
        body_timeout: Duration,
        chunk_size: ChunkSize,
        trace_limit: ByteSize,
        external_url: Option<ExternalUrl>,
    ) -> Self {
        Self(Arc::new(Inner {
            pipeline: verifier.node().clone(),
            verifier,
            listing,
            auth,
            exporter,
            body_timeout,
            chunk_size,
            trace_limit,
            outage: outage::Outage::default(),
            external_url,
            draining: AtomicBool::new(false),
        }))
    }

    /// From now on `/readyz` says that this process takes no more work.
    pub fn begin_draining(&self) {
        self.draining.store(true, Ordering::SeqCst);
    }

    fn is_draining(&self) -> bool {
        self.draining.load(Ordering::SeqCst)
    }

    fn clock(&self) -> &dyn crate::seams::Clock {
        self.pipeline.seams().clock.as_ref()
    }
}
