//! Settings of the HTTP side.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use super::networks::Networks;
use super::settings::settings;
use super::value::{ExternalUrl, Secret, Span};

settings! {
    /// How requests are taken.
    Http, "http." {
        /// Address and port to listen on; port 0 takes a free one.
        listen: SocketAddr = SocketAddr::from((Ipv4Addr::LOCALHOST, 8080)), env "VERITAIL_LISTEN";
        /// The token that may do everything. Unset: the first start makes one and keeps it in `<data_dir>/admin-token`.
        admin_token: Option<Secret> = None, env "VERITAIL_ADMIN_TOKEN";
        /// A PEM file with the server's certificate and those that vouch for it. Unset: no TLS. Read again on SIGHUP.
        tls_certificate: Option<PathBuf> = None, env "VERITAIL_TLS_CERTIFICATE";
        /// A PEM file with the key of the certificate.
        tls_key: Option<PathBuf> = None, env "VERITAIL_TLS_KEY";
        /// Proxies that are believed when they say in `Forwarded` or `X-Forwarded-For` whom they speak for: addresses and networks, separated by commas.
        trusted_proxies: Networks = Networks::default(), env "VERITAIL_TRUSTED_PROXIES";
        /// The address under which clients reach this server, for links in answers, such as `https://ci.example`. Unset: the one that a
        /// request names, or that a trusted proxy names in `Forwarded`, `X-Forwarded-Proto` and `X-Forwarded-Host`.
        external_url: Option<ExternalUrl> = None, env "VERITAIL_EXTERNAL_URL";
        /// Connections at a time; further ones wait until one ends.
        max_connections: usize = 10_000, range 1..=1_000_000, env "VERITAIL_HTTP_MAX_CONNECTIONS";
        /// How long a request's head or a TLS handshake may take, and how long a connection may bring no request.
        header_timeout: Span = Span::secs(30), range Span::ms(100)..=Span::hours(1), env "VERITAIL_HTTP_HEADER_TIMEOUT";
        /// The longest head of a request in bytes.
        header_limit: usize = 32_768, range 1024..=1_048_576, env "VERITAIL_HTTP_HEADER_LIMIT";
        /// How long a request's body may come slowly before `http.body_rate` is asked of it.
        body_grace: Span = Span::secs(60), range Span::ms(100)..=Span::hours(1), env "VERITAIL_HTTP_BODY_GRACE";
        /// Bytes a second that a request's body must bring on average once `http.body_grace` is over; 0 = any.
        body_rate: u64 = 100, range 0..=1_000_000_000, env "VERITAIL_HTTP_BODY_RATE";
        /// How long a request's body may bring nothing, or an answer may not be taken, before the request is ended.
        body_timeout: Span = Span::secs(60), range Span::ms(100)..=Span::hours(1), env "VERITAIL_HTTP_BODY_TIMEOUT";
        /// How long a token is remembered, and so how long it may live on other nodes after it was revoked on one.
        auth_ttl: Span = Span::secs(30), range Span::secs(0)..=Span::secs(30), env "VERITAIL_HTTP_AUTH_TTL";
        /// Requests a second that are taken with one token, ten times as many at once; 0 = no limit. The admin's own
        /// token has none.
        token_requests_per_second: u32 = 1000, range 0..=1_000_000, env "VERITAIL_HTTP_TOKEN_REQUESTS_PER_SECOND";
        /// Requests with one token that may be under way at the same time; 0 = no limit.
        token_concurrency: u32 = 256, range 0..=1_000_000, env "VERITAIL_HTTP_TOKEN_CONCURRENCY";
        /// Requests a second that all readers of one job may make together, ten times as many at once; 0 = no limit.
        job_requests_per_second: u32 = 1000, range 0..=1_000_000, env "VERITAIL_HTTP_JOB_REQUESTS_PER_SECOND";
        /// Requests of all readers of one job that may be under way at the same time; 0 = no limit.
        job_concurrency: u32 = 1024, range 0..=1_000_000, env "VERITAIL_HTTP_JOB_CONCURRENCY";
        /// How long a stopping server says that it is not ready before it takes no more connections.
        drain_delay: Span = Span::secs(1), range Span::secs(0)..=Span::hours(1), env "VERITAIL_HTTP_DRAIN_DELAY";
        /// How long a stopping server waits for requests in flight, and then for work in the pipeline.
        drain_timeout: Span = Span::secs(30), range Span::secs(0)..=Span::hours(1), env "VERITAIL_HTTP_DRAIN_TIMEOUT";
    }
}
