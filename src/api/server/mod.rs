//! Taking connections: so many at a time, with TLS where there is a certificate, and for no longer than a client keeps up.
//!
//! A connection ends when its client is too slow with a head, with a body or with taking its answer, so that no client
//! can hold a place for long by doing nothing. Stopping lets requests finish whose first byte has come.

mod drip;
mod proxies;
mod stream;
pub mod tls;

pub use proxies::{ClientAddress, Reached};

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tower::ServiceExt as _;

use crate::config::Http;
use crate::config::networks::Networks;
use crate::seams::{Seams, within};
use crate::telemetry::metrics;
use crate::trace::Timestamp;
use stream::Watched;
use tls::Tls;

/// What a server allows its clients.
#[derive(Clone)]
pub struct Edge {
    /// How connections are encrypted, if they are.
    pub tls: Option<Arc<Tls>>,
    /// Whose word about the client's address is taken.
    pub trusted_proxies: Networks,
    /// Connections at a time; further ones wait to be taken.
    pub max_connections: usize,
    /// How long a handshake or a head may take, and how long a connection may bring no request.
    pub header_timeout: Duration,
    /// The longest head, in bytes.
    pub header_limit: usize,
    /// How long a client may bring nothing of a body, or take nothing of an answer.
    pub stall: Duration,
    /// How long a body may come slowly.
    pub body_grace: Duration,
    /// Bytes a second that a body must bring on average after that; 0 = any.
    pub body_rate: u64,
}

impl Edge {
    /// As configured.
    pub fn new(http: &Http, tls: Option<Arc<Tls>>) -> Self {
        Self {
            tls,
            trusted_proxies: http.trusted_proxies.clone(),
            max_connections: http.max_connections,
            header_timeout: http.header_timeout.0,
            header_limit: http.header_limit,
            stall: http.body_timeout.0,
            body_grace: http.body_grace.0,
            body_rate: http.body_rate,
        }
    }
}

/// How long to wait after the machine had no connection to give.
const ACCEPT_PAUSE: Duration = Duration::from_secs(1);
/// The most that fields of one head there may be.
const FIELDS_MAX: usize = 100;
/// How long a stopping server waits for a connection that has brought nothing.
const SILENT: Duration = Duration::from_millis(250);
/// The time between two warnings that all places are taken.
const WARN_EVERY_MS: u64 = 60_000;

/// Serves until `stop`, and returns when the requests that had begun by then are answered.
pub async fn serve(listener: TcpListener, router: Router, edge: Edge, seams: Seams, stop: impl Future<Output = ()>) {
    let mut stop = pin!(stop);
    let places = Arc::new(Semaphore::new(edge.max_connections));
    let (stopping, _) = watch::channel(false);
    let connection = Arc::new(Connections { router, edge, seams: seams.clone() });
    let mut warned = None;
    loop {
        if places.available_permits() == 0 {
            warn_of_no_place(&connection.edge, seams.clock.now(), &mut warned);
        }
        let place = tokio::select! {
            place = places.clone().acquire_owned() => place,
            () = &mut stop => break,
        };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = &mut stop => break,
        };
        match accepted {
            Ok((stream, peer)) => {
                let (connection, stops) = (connection.clone(), stopping.subscribe());
                let served = async move {
                    let _counted = metrics::connection_opened();
                    connection.serve(stream, peer, stops).await;
                    drop(place);
                };
                seams.spawn.spawn("connection", Box::pin(served));
            }
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => {
                tracing::error!(%error, "no connection can be taken: {error}");
                tokio::select! {
                    () = seams.clock.sleep(ACCEPT_PAUSE) => {}
                    () = &mut stop => break,
                }
            }
        }
    }
    drop(listener);
    let _ = stopping.send(true);
    stopping.closed().await;
}

/// The client was gone before it was taken.
fn is_of_one_connection(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

fn warn_of_no_place(edge: &Edge, now: Timestamp, warned: &mut Option<Timestamp>) {
    if warned.is_none_or(|last| now.ms_since(last) >= WARN_EVERY_MS) {
        *warned = Some(now);
        let max = edge.max_connections;
        tracing::warn!(max, "all {max} connections are taken, others wait; see http.max_connections");
    }
}

/// The server stops, or is gone.
async fn asked(stops: &mut watch::Receiver<bool>) {
    let _ = stops.wait_for(|stops| *stops).await;
}

/// What all connections share.
struct Connections {
    router: Router,
    edge: Edge,
    seams: Seams,
}

impl Connections {
    async fn serve(&self, stream: TcpStream, peer: SocketAddr, mut stops: watch::Receiver<bool>) {
        // Answers are small and awaited: they go out at once. Where that cannot be set, they go out a bit later.
        let _ = stream.set_nodelay(true);
        let watched = Watched::new(stream, self.seams.clock.clone(), self.edge.stall);
        let Some(tls) = &self.edge.tls else { return self.speak(watched, peer, stops).await };
        let handshake = within(self.seams.clock.as_ref(), self.edge.header_timeout, tls.accept(watched));
        let shaken = tokio::select! {
            shaken = handshake => shaken,
            () = asked(&mut stops) => return,
        };
        match shaken {
            Some(Ok(stream)) => {
                stream::Begun::begun(&stream).again();
                self.speak(stream, peer, stops).await;
            }
            Some(Err(error)) => tracing::debug!(%peer, %error, "{peer}: no TLS connection came to be: {error}"),
            None => tracing::debug!(%peer, "{peer}: the TLS handshake took too long"),
        }
    }

    /// HTTP/1 on one connection, until its client goes, stalls, or the server stops.
    async fn speak<S>(&self, stream: S, peer: SocketAddr, mut stops: watch::Receiver<bool>)
    where
        S: stream::Begun + AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let begun = stream.begun();
        let service = service_fn(|request: Request<Incoming>| self.answer(request, peer));
        let http = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(self.edge.header_timeout)
            .max_header_size(self.edge.header_limit)
            .max_headers(FIELDS_MAX)
            .serve_connection(TokioIo::new(stream), service);
        let mut http = pin!(http);
        let ended = tokio::select! {
            ended = http.as_mut() => ended,
            () = asked(&mut stops) => {
                http.as_mut().graceful_shutdown();
                // Nobody waits for an answer on a connection that has brought nothing, or not for long: behind a TLS
                // handshake a request may be on its way that cannot be seen yet.
                let ended = if begun.has() {
                    None
                } else {
                    within(self.seams.clock.as_ref(), SILENT, http.as_mut()).await
                };
                match ended {
                    Some(ended) => ended,
                    None if begun.has() => http.await,
                    None => return,
                }
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%peer, %error, "{peer}: the connection ended: {error}");
        }
    }

    fn answer(
        &self,
        request: Request<Incoming>,
        peer: SocketAddr,
    ) -> Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>> {
        let clock = self.seams.clock.clone();
        let pace = drip::Pace { stall: self.edge.stall, grace: self.edge.body_grace, rate: self.edge.body_rate };
        let mut request = request.map(|body| drip::bounded(Body::new(body), clock, pace));
        let https = self.edge.tls.is_some();
        let (client, reached) = proxies::seen(peer.ip(), https, request.headers(), &self.edge.trusted_proxies);
        request.extensions_mut().insert(client);
        request.extensions_mut().insert(reached);
        Box::pin(self.router.clone().oneshot(request))
    }
}
