//! Every new mismatch is told to the webhook, at least once, whatever fails or dies meanwhile.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Value, json};
use sha2::Sha256;
use veritail::pipeline::{Message, NotDelivered, Settings, Webhook};
use veritail::trace::Kind;

use super::mismatches::{found, found_and_told};
use crate::support::server::{Away, Binary, Hooks, Job, Node, Send as _, ended};
use crate::support::wait::until;

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// A server on loopback that answers everything with one status, and remembers what it got.
#[derive(Clone, Default)]
struct Receiver {
    status: Arc<AtomicU16>,
    got: Arc<Mutex<Vec<(HeaderMap, Bytes)>>>,
}

impl Receiver {
    async fn start(status: u16) -> (Self, SocketAddr) {
        let receiver = Self::default();
        receiver.answers(status);
        let routes = Router::new().route("/hook", post(Self::take)).with_state(receiver.clone());
        let free = SocketAddr::from(([127, 0, 0, 1], 0));
        let listener = tokio::net::TcpListener::bind(free).await.expect("a free loopback port");
        let address = listener.local_addr().expect("a bound address");
        tokio::spawn(async move { axum::serve(listener, routes).await });
        (receiver, address)
    }

    async fn take(State(receiver): State<Self>, headers: HeaderMap, body: Bytes) -> StatusCode {
        receiver.got.lock().expect("no panic").push((headers, body));
        StatusCode::from_u16(receiver.status.load(Ordering::SeqCst)).expect("a status")
    }

    fn answers(&self, status: u16) {
        self.status.store(status, Ordering::SeqCst);
    }

    fn got(&self) -> Vec<(HeaderMap, Bytes)> {
        self.got.lock().expect("no panic").clone()
    }

    /// The ids of the messages, in the order in which they came.
    fn ids(&self) -> Vec<String> {
        self.got().iter().map(|(headers, _)| headers["webhook-id"].to_str().expect("text").to_owned()).collect()
    }
}

/// A finished log whose only copy goes bad, and a reader who meets it.
async fn damage(server: &Binary) -> Job {
    let client = server.client();
    let job = client.make_job().await;
    client.append_all(&job, 0, b"abcd").await;
    assert_eq!(client.put_until_decided(&job, &ended("success", b"abcd", true)).await.status, 200);
    let key = client.integrity(&job).await["chunks"][0]["copies"][0]["key"].as_str().expect("a key").to_owned();
    std::fs::write(server.data_dir().join("objects").join(key), "rot").expect("written");
    assert_eq!(client.trace_request(&job).answer().await.status, 500);
    job
}

#[tokio::test]
async fn a_mismatch_is_told_after_failures_and_a_crash_signed_and_once() {
    let (receiver, address) = Receiver::start(500).await;
    let url = format!("http://{address}/hook");
    let mut server = Binary::start(&[
        ("VERITAIL_LIVE_GRACE", "0s"),
        ("VERITAIL_WEBHOOK_URL", &url),
        ("VERITAIL_WEBHOOK_SECRET", SECRET),
        ("VERITAIL_NODE_NAME", "node-7"),
        ("VERITAIL_LEASE_TIME", "1s"),
        ("NO_PROXY", "*"),
    ]);
    let job = damage(&server).await;
    until("a first try", async || !receiver.got().is_empty()).await;
    let refused = "result=\"refused\"";
    server.client().metric_until("veritail_webhook_deliveries_total", refused, |count| count >= 1.0).await;
    assert!(!server.log().contains(&url), "the address is a secret: {}", server.log());

    server.kill();
    let tries = receiver.got().len();
    receiver.answers(204);
    server.restart();
    until("a delivery", async || receiver.got().len() > tries).await;
    let (headers, body) = receiver.got().pop().expect("one");
    let sent: Value = serde_json::from_slice(&body).expect("JSON");
    let known = server.client().integrity(&job).await["mismatches"][0].clone();
    assert_eq!(sent, json!({"type": "mismatch.opened", "timestamp": known["first_seen"], "data": known}));
    assert_eq!((&known["node"], &known["state"]), (&json!("node-7"), &json!("open")));
    let text = |name: &str| headers[name].to_str().expect("text");
    assert_eq!((text("content-type"), text("webhook-id")), ("application/json", "mismatch_1"));
    let key = STANDARD.decode(SECRET.trim_start_matches("whsec_")).expect("base64");
    let mut mac = Hmac::<Sha256>::new_from_slice(&key).expect("a key");
    mac.update(format!("mismatch_1.{}.", text("webhook-timestamp")).as_bytes());
    mac.update(&body);
    assert_eq!(text("webhook-signature"), format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes())));

    // What was taken is not sent again, and the next one is.
    damage(&server).await;
    until("the next one", async || receiver.ids().contains(&"mismatch_2".to_owned())).await;
    assert_eq!(receiver.ids()[tries..], ["mismatch_1", "mismatch_2"]);
    assert_eq!(server.client().metric("veritail_webhook_deliveries_total", "result=\"unreachable\"").await, 0.0);
}

#[tokio::test]
async fn nobody_is_told_where_there_is_no_webhook_nor_of_what_was_found_before() {
    let mut hooks = Hooks::new(Arc::new(Away::default()));
    hooks.settings = Settings { lease_time: Duration::from_secs(1), ..hooks.settings };
    let node = Node::start(hooks).await;
    let job = node.client().make_job().await;
    found(&node, &job, 0, Kind::Checksum).await;
    found_and_told(&node, &job, 1, Kind::Checksum).await;
    let picky = Arc::new(Picky::default());
    node.pipeline().start_notifying(picky.clone());
    until("one is told", async || !picky.ids().is_empty()).await;
    assert_eq!(picky.ids(), ["mismatch_2"]);
    node.stop().await;
}

/// Takes everything but the first mismatch.
#[derive(Default)]
struct Picky(Mutex<Vec<String>>);

impl Picky {
    fn ids(&self) -> Vec<String> {
        self.0.lock().expect("no panic").clone()
    }
}

#[async_trait]
impl Webhook for Picky {
    async fn deliver(&self, message: &Message) -> Result<(), NotDelivered> {
        self.0.lock().expect("no panic").push(message.id.clone());
        if message.id == "mismatch_1" { Err(NotDelivered::Refused(422)) } else { Ok(()) }
    }
}

#[tokio::test]
async fn one_that_is_never_taken_does_not_hold_up_the_others() {
    let node = Node::start(Hooks::new(Arc::new(Away::default()))).await;
    let job = node.client().make_job().await;
    for chunk in 0..5 {
        found_and_told(&node, &job, chunk, Kind::Checksum).await;
    }
    let picky = Arc::new(Picky::default());
    node.pipeline().start_notifying(picky.clone());
    let all: BTreeSet<String> = (1..=5).map(|id| format!("mismatch_{id}")).collect();
    until("all were tried", async || picky.ids().into_iter().collect::<BTreeSet<_>>() == all).await;
    let told = picky.ids().into_iter().filter(|id| id != "mismatch_1").collect::<Vec<_>>();
    assert_eq!(told.len(), 4, "each once: {told:?}");
    node.stop().await;
}
