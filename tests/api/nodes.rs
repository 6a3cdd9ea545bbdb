//! Two nodes over the same stores, in this process; and what is written when one stops.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};
use veritail::app::{self, Running};
use veritail::config::value::{Secret, Span};
use veritail::config::{Config, Flags};

use crate::support::redis_server::{Durability, RedisServer};
use crate::support::server::{Client, Send as _};

const ADMIN_TOKEN: &str = "admin-token-of-the-tests";
const TTL: Duration = Duration::from_secs(2);

fn config(shared: &Path, own: &str, redis: Option<&RedisServer>) -> Config {
    let mut config = Config::load(None, [], &Flags::default()).expect("defaults");
    config.data_dir = shared.join(own);
    config.http.listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    config.http.admin_token = Some(Secret::new(ADMIN_TOKEN));
    config.http.auth_ttl = Span(TTL);
    config.database.path = Some(shared.join("veritail.db"));
    config.object.path = Some(shared.join("objects"));
    config.live.redis_url = redis.map(|redis| Secret::new(redis.url()));
    config
}

async fn node(config: Config) -> (Running, Client) {
    let running = app::start(config).await.expect("started");
    let client = Client::new(running.address, ADMIN_TOKEN);
    (running, client)
}

async fn made(client: &Client, path: &str, wanted: Value) -> Value {
    let answer = client.admin(Method::POST, path).json(&wanted).answer().await;
    assert_eq!(answer.status, 201, "{}", answer.text());
    answer.json()
}

/// What was made on one node is good on the other at once; what was revoked on one is remembered by the other for the
/// time that is configured, and no longer.
#[tokio::test(flavor = "multi_thread")]
async fn a_revocation_reaches_the_other_node_in_time() {
    let redis = RedisServer::start(Durability::Nothing);
    let folder = tempfile::tempdir().expect("a folder");
    let (one, here) = node(config(folder.path(), "one", Some(&redis))).await;
    let (two, there) = node(config(folder.path(), "two", Some(&redis))).await;
    let job = here.make_job().await;
    here.append_all(&job, 0, b"half ").await;
    there.append_all(&job, 5, b"and half").await;

    let token = made(&here, "/api/v1/tokens", json!({"name": "x", "projects": "all"})).await;
    let runner = made(&here, "/api/v1/runners", json!({"description": "x", "projects": "all"})).await;
    let path = format!("/api/v4/projects/{}/jobs/{}/trace", job.project, job.id);
    let read = async |client: &Client| {
        let secret = token["token"].as_str().expect("a token");
        client.request(Method::GET, &path).header("PRIVATE-TOKEN", secret).answer().await.status
    };
    let verify = async |client: &Client| {
        let body = json!({ "token": runner["token"] });
        client.request(Method::POST, "/api/v4/runners/verify").json(&body).answer().await.status
    };
    assert_eq!((read(&there).await, verify(&there).await), (200, 200), "made here, good there at once");
    assert_eq!((read(&here).await, verify(&here).await), (200, 200));
    for path in [format!("/api/v1/tokens/{}", token["id"]), format!("/api/v1/runners/{}", runner["id"])] {
        assert_eq!(here.admin(Method::DELETE, &path).answer().await.status, 200);
    }
    let revoked = Instant::now();
    assert_eq!((read(&here).await, verify(&here).await), (404, 403), "revoked here at once");
    let mut last = Duration::ZERO;
    while (read(&there).await, verify(&there).await) != (404, 403) {
        last = revoked.elapsed();
        assert!(last < TTL + Duration::from_secs(1), "it is still let in after {last:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    println!("let in on the other node for {last:?} more");
    assert!(one.stop().await && two.stop().await);
}

/// They are written once a minute, so a stop has to write what is left.
#[tokio::test(flavor = "multi_thread")]
async fn when_tokens_were_last_used_is_written_when_a_node_stops() {
    let folder = tempfile::tempdir().expect("a folder");
    let (running, client) = node(config(folder.path(), "one", None)).await;
    let token = made(&client, "/api/v1/tokens", json!({"name": "x", "projects": "all"})).await;
    let runner = made(&client, "/api/v1/runners", json!({"description": "x", "projects": "all"})).await;
    let unused = made(&client, "/api/v1/tokens", json!({"name": "y", "projects": "all"})).await;
    let secret = token["token"].as_str().expect("a token");
    assert_eq!(client.request(Method::GET, "/api/v4/version").bearer_auth(secret).answer().await.status, 200);
    let body = json!({ "token": runner["token"] });
    assert_eq!(client.request(Method::POST, "/api/v4/runners/verify").json(&body).answer().await.status, 200);
    assert!(running.stop().await);

    let (running, client) = node(config(folder.path(), "one", None)).await;
    let tokens = client.admin(Method::GET, "/api/v1/tokens").answer().await.json();
    let used = |id: &Value| {
        let mut items = tokens["items"].as_array().expect("items").iter();
        items.find(|item| item["id"] == *id).expect("listed")["last_used_at"].is_string()
    };
    assert_eq!((used(&token["id"]), used(&unused["id"])), (true, false), "{tokens}");
    let runners = client.admin(Method::GET, "/api/v1/runners").answer().await.json();
    assert!(runners["items"][0]["last_contact_at"].is_string(), "{runners}");
    assert!(running.stop().await);
}
