//! Redis over TLS, as a user who may do what the documentation says and nothing else.

use std::sync::Arc;
use std::time::Duration;

use veritail::seams::real::{SystemChance, SystemClock};
use veritail::store::live::LiveStore;
use veritail::store::live::redis::{Options, RedisLive};
use veritail::store::{Result, StoreError};

use super::steps::{JOB, append, bury, chunk, open as open_trace, scan};
use crate::support::redis_server::{Durability, Product, RedisServer, free_port, order};

/// The rules in docs/operations/redis.md, between these marks.
const PAGE: &str = include_str!("../../../docs/operations/redis.md");

/// A server with a TLS port, its authority, and a certificate for clients.
pub(super) struct Server {
    server: RedisServer,
    port: u16,
    authority: String,
    client: (String, String),
    _certificates: tempfile::TempDir,
}

impl Server {
    /// Starts it; `strict` wants a certificate of its clients.
    pub(super) fn start(strict: bool) -> Self {
        let key = rcgen::KeyPair::generate().expect("a key");
        let mut parameters = rcgen::CertificateParams::new(Vec::new()).expect("no names");
        parameters.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let authority = parameters.self_signed(&key).expect("a certificate");
        let issuer = rcgen::Issuer::new(parameters, key);
        let sign = |name: &str| {
            let key = rcgen::KeyPair::generate().expect("a key");
            let mut parameters = rcgen::CertificateParams::new(vec![name.to_owned()]).expect("a name");
            // One that is named like its authority passes for its own.
            parameters.distinguished_name.push(rcgen::DnType::CommonName, name);
            (parameters.signed_by(&key, &issuer).expect("a certificate").pem(), key.serialize_pem())
        };
        let (certificate, key) = sign("127.0.0.1");
        let folder = tempfile::tempdir().expect("a folder");
        let place = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).expect("a file");
            path.display().to_string()
        };
        let authority_file = place("ca.pem", &authority.pem());
        let (certificate, key) = (place("server.pem", &certificate), place("server.key", &key));
        let port = free_port();
        let (tls_port, clients) = (port.to_string(), if strict { "yes" } else { "no" });
        let mut arguments = vec!["--tls-port", &tls_port, "--tls-cert-file", &certificate, "--tls-key-file", &key];
        arguments.extend(["--tls-ca-cert-file", &authority_file, "--tls-auth-clients", clients]);
        let server = RedisServer::start_with(Product::Redis, Durability::Nothing, &arguments);
        let rules = documented_rules();
        let mut user = vec!["ACL", "SETUSER", "veritail", "on", ">p@ss/word"];
        user.extend(rules.split_whitespace());
        order(server.port(), &user).expect("the documented rules are rules");
        Self { server, port, authority: authority.pem(), client: sign("veritail"), _certificates: folder }
    }

    /// How to get in.
    pub(super) fn options(&self) -> Options {
        let url = format!("rediss://veritail:p%40ss%2Fword@127.0.0.1:{}", self.port);
        Options { url, authority: Some(self.authority.clone().into_bytes()), ..Options::default() }
    }
}

/// What the page tells operators to give to the user.
fn documented_rules() -> String {
    let from = PAGE.find("ACL SETUSER veritail on >password ").expect("the page has the rules");
    let rules = &PAGE[from + "ACL SETUSER veritail on >password ".len()..];
    rules[..rules.find("```").expect("the end of the block")].replace('\\', " ")
}

pub(super) async fn open(options: Options) -> Result<RedisLive> {
    RedisLive::open(options, Arc::new(SystemClock), Arc::new(SystemChance)).await
}

async fn refusal(options: Options) -> String {
    match open(options).await {
        Err(error @ StoreError::Unavailable { .. }) => error.to_string(),
        Err(error) => panic!("{error:?}"),
        Ok(_) => panic!("it is let in"),
    }
}

#[tokio::test]
async fn documented_user_can_do_everything() {
    let server = Server::start(false);
    let store = open(server.options()).await.unwrap();
    let end = append(&store, JOB, &open_trace(&store, JOB).await, b"abc").await;
    store.release(JOB, chunk(0), Duration::from_secs(9)).await.unwrap();
    assert_eq!(scan(&store, 10).await.len(), 2);
    bury(&store, JOB, &end, Some(Duration::from_secs(9))).await;
    assert!(store.look_for_rollbacks().await.is_empty());
    store.usage().await.unwrap();
    store.ping().await.unwrap();
}

#[tokio::test]
async fn user_that_may_too_little_is_told_what() {
    let server = Server::start(false);
    let store = open(server.options()).await.unwrap();
    let end = open_trace(&store, JOB).await;
    order(server.server.port(), &["ACL", "SETUSER", "veritail", "-append"]).unwrap();
    let end = append(&store, JOB, &end, b"abc").await;
    let (more, _) = super::steps::append_of(&end, b"def");
    let error = store.append(JOB, more).await.unwrap_err().to_string();
    assert!(error.contains("ACL") && error.contains("append"), "{error}");
    order(server.server.port(), &["ACL", "SETUSER", "veritail", "-evalsha"]).unwrap();
    let error = store.release(JOB, chunk(0), Duration::ZERO).await.unwrap_err().to_string();
    assert!(error.contains("ACL") && error.contains("evalsha"), "{error}");
}

#[tokio::test]
async fn unknown_authority_and_missing_certificate_are_refused() {
    let server = Server::start(true);
    let own = (server.client.0.clone().into_bytes(), server.client.1.clone().into_bytes());
    refusal(server.options()).await;
    let options = Options { certificate: Some(own.clone()), ..server.options() };
    open(options.clone()).await.unwrap().ping().await.unwrap();
    let stranger = Server::start(false).authority.into_bytes();
    let error = refusal(Options { authority: Some(stranger), ..options }).await;
    assert!(error.contains("certificate"), "{error}");
}

#[tokio::test]
async fn wrong_password_is_refused_and_not_repeated() {
    let server = Server::start(false);
    let url = server.options().url.replace("p%40ss%2Fword", "hunter2");
    let error = refusal(Options { url, ..server.options() }).await;
    assert!(!error.contains("hunter2") && error.contains("127.0.0.1"), "{error}");
}
