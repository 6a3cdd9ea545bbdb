//! Where notifications arrive: what Alertmanager posts, by receiver.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::extract::{Path, State};
use axum::routing::post;
use axum::{Json, Router};
use serde_json::Value;

use super::mail::Mail;
use crate::support::wait::holds_within;

/// The longest time until a message comes: what is kept longest is over after 45 minutes, which are shorter here.
const PATIENCE: Duration = Duration::from_secs(400);

/// One alert of one notification.
#[derive(Clone, Debug)]
pub struct Message {
    /// The receiver.
    pub to: String,
    pub firing: bool,
    pub labels: Labels,
    annotations: BTreeMap<String, String>,
}

/// The labels of an alert, for people too.
#[derive(Clone, Debug)]
pub struct Labels(BTreeMap<String, String>);

impl std::fmt::Display for Labels {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|(name, value)| write!(f, "{name}={value} "))
    }
}

impl Message {
    pub fn label(&self, name: &str) -> &str {
        self.labels.0.get(name).map_or("", String::as_str)
    }

    pub fn annotation(&self, name: &str) -> &str {
        self.annotations.get(name).map_or("", String::as_str)
    }

    pub fn name(&self) -> &str {
        self.label("alertname")
    }
}

type Heard = Arc<Mutex<Vec<Message>>>;

/// The receivers, all of one server, and one for mail.
pub struct Post {
    address: SocketAddr,
    heard: Heard,
    mail: Mail,
}

impl Post {
    pub async fn open() -> Self {
        let heard = Heard::default();
        let router = Router::new().route("/{to}", post(hear)).with_state(heard.clone());
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.expect("a free loopback port");
        let address = listener.local_addr().expect("a bound address");
        tokio::spawn(async move {
            let _ = axum::serve(listener, router).await;
        });
        Self { address, heard, mail: Mail::open().await }
    }

    /// The URL of a receiver.
    pub fn url(&self, to: &str) -> String {
        format!("http://{}/{to}", self.address)
    }

    /// The port of all receivers but that for mail.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Where mail goes.
    pub fn mail(&self) -> &Mail {
        &self.mail
    }

    /// Everything that came so far.
    pub fn all(&self) -> Vec<Message> {
        self.heard.lock().expect("no test panics here").clone()
    }

    /// The first message to a receiver that is what is waited for.
    pub async fn until(&self, to: &str, what: &str, is: impl Fn(&Message) -> bool) -> Message {
        let mut found = None;
        let look = async || {
            found = self.all().into_iter().find(|message| message.to == to && is(message));
            found.is_some()
        };
        holds_within(PATIENCE, look).await;
        found.unwrap_or_else(|| {
            let heard: Vec<String> = self
                .all()
                .iter()
                .map(|message| format!("{} {} {}", message.to, message.firing, message.labels))
                .collect();
            panic!("{to} did not hear: {what}; it came\n{}", heard.join("\n"))
        })
    }
}

async fn hear(State(heard): State<Heard>, Path(to): Path<String>, Json(body): Json<Value>) {
    let texts = |of: &Value| -> BTreeMap<String, String> {
        let pairs = of.as_object().into_iter().flatten();
        pairs.map(|(name, value)| (name.clone(), value.as_str().unwrap_or_default().to_owned())).collect()
    };
    for alert in body["alerts"].as_array().into_iter().flatten() {
        let message = Message {
            to: to.clone(),
            firing: alert["status"] == "firing",
            labels: Labels(texts(&alert["labels"])),
            annotations: texts(&alert["annotations"]),
        };
        heard.lock().expect("no test panics here").push(message);
    }
}
