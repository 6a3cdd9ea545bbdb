//! Who may do what: every endpoint by everybody, with the exact status; what is limited; what is revoked.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};
use veritail::api::auth::REFUSAL_MIN;

use crate::support::server::{Answer, Binary, Client, Job, Send as _, ended};

/// Everybody there is, in the order of the columns below.
const WHO: [&str; 11] = [
    "nobody",
    "wrong",
    "expired",
    "revoked",
    "runner",
    "other job",
    "no scope",
    "other project",
    "reader",
    "admin scope",
    "admin",
];

/// Every endpoint with the status for each of [`WHO`]. `{job}` is a running job of the reader's project, `{done}` one that
/// ended; `{n}` a number that nothing has.
const MATRIX: &[(&str, &str, [u16; 11])] = &[
    // Reading: 401 without a token, else 404 to whoever may not know of it.
    ("GET", "/api/v4/projects/{project}/jobs/{job}/trace", [401, 404, 404, 404, 404, 404, 404, 404, 200, 200, 200]),
    ("HEAD", "/api/v4/projects/{project}/jobs/{job}/trace", [401, 404, 404, 404, 404, 404, 404, 404, 200, 200, 200]),
    ("GET", "/api/v4/projects/group%2Fdemo/jobs/{job}/trace", [401, 404, 404, 404, 404, 404, 404, 404, 200, 200, 200]),
    ("GET", "/api/v4/projects/{project}/jobs/{n}/trace", [401, 404, 404, 404, 404, 404, 404, 404, 404, 404, 404]),
    ("GET", "/api/v4/projects/{n}/jobs/{job}/trace", [401, 404, 404, 404, 404, 404, 404, 404, 404, 404, 404]),
    ("GET", "/api/v1/jobs/{job}/integrity", [401, 404, 404, 404, 404, 404, 404, 404, 200, 200, 200]),
    ("GET", "/api/v1/jobs/{n}/integrity", [401, 404, 404, 404, 404, 404, 404, 404, 404, 404, 404]),
    // Lists and what is about more than one job: a job's token, and one without the scope, are as good as none.
    ("GET", "/api/v4/version", [401, 401, 401, 401, 401, 401, 401, 200, 200, 200, 200]),
    ("GET", "/api/v4/user", [401, 401, 401, 401, 401, 401, 401, 200, 200, 200, 200]),
    ("GET", "/api/v4/projects", [401, 401, 401, 401, 401, 401, 401, 200, 200, 200, 200]),
    ("GET", "/api/v4/projects/{project}", [401, 401, 401, 401, 401, 401, 401, 404, 200, 200, 200]),
    ("GET", "/api/v4/projects/{n}", [401, 401, 401, 401, 401, 401, 401, 404, 404, 404, 404]),
    ("GET", "/api/v4/projects/{project}/jobs", [401, 401, 401, 401, 401, 401, 401, 404, 200, 200, 200]),
    ("GET", "/api/v4/projects/{n}/jobs", [401, 401, 401, 401, 401, 401, 401, 404, 404, 404, 404]),
    // Only a finished job can be erased, also by the admin.
    ("POST", "/api/v4/projects/{project}/jobs/{job}/erase", [401, 404, 404, 404, 404, 404, 404, 404, 403, 403, 403]),
    ("POST", "/api/v4/projects/{project}/jobs/{n}/erase", [401, 404, 404, 404, 404, 404, 404, 404, 404, 404, 404]),
    // One job, in GitLab's words and in Veritail's.
    ("GET", "/api/v4/projects/{project}/jobs/{job}", [401, 404, 404, 404, 404, 404, 404, 404, 200, 200, 200]),
    ("GET", "/api/v4/projects/{project}/jobs/{n}", [401, 404, 404, 404, 404, 404, 404, 404, 404, 404, 404]),
    ("GET", "/api/v1/jobs/{job}", [401, 404, 404, 404, 404, 404, 404, 404, 200, 200, 200]),
    ("GET", "/api/v1/jobs/{n}", [401, 404, 404, 404, 404, 404, 404, 404, 404, 404, 404]),
    // What only the admin may, and whoever has the scope.
    ("POST", "/api/v1/jobs", [401, 403, 403, 403, 403, 403, 403, 403, 403, 201, 201]),
    ("POST", "/api/v1/jobs/{done}/cancel", [401, 403, 403, 403, 403, 403, 403, 403, 403, 200, 200]),
    ("POST", "/api/v1/jobs/{n}/cancel", [401, 403, 403, 403, 403, 403, 403, 403, 403, 404, 404]),
    ("POST", "/api/v1/runners", [401, 403, 403, 403, 403, 403, 403, 403, 403, 201, 201]),
    ("GET", "/api/v1/runners", [401, 403, 403, 403, 403, 403, 403, 403, 403, 200, 200]),
    ("DELETE", "/api/v1/runners/{n}", [401, 403, 403, 403, 403, 403, 403, 403, 403, 404, 404]),
    ("POST", "/api/v1/tokens", [401, 403, 403, 403, 403, 403, 403, 403, 403, 201, 201]),
    ("GET", "/api/v1/tokens", [401, 403, 403, 403, 403, 403, 403, 403, 403, 200, 200]),
    ("DELETE", "/api/v1/tokens/{n}", [401, 403, 403, 403, 403, 403, 403, 403, 403, 404, 404]),
    ("POST", "/api/v1/tokens/{n}/rotate", [401, 403, 403, 403, 403, 403, 403, 403, 403, 404, 404]),
    ("GET", "/api/v1/projects", [401, 403, 403, 403, 403, 403, 403, 403, 403, 200, 200]),
    ("GET", "/api/v1/drills", [401, 403, 403, 403, 403, 403, 403, 403, 403, 200, 200]),
    ("POST", "/api/v1/drills", [401, 403, 403, 403, 403, 403, 403, 403, 403, 400, 400]),
    ("GET", "/api/v1/mismatches", [401, 403, 403, 403, 403, 403, 403, 403, 403, 200, 200]),
    ("GET", "/api/v1/mismatches/{n}", [401, 403, 403, 403, 403, 403, 403, 403, 403, 404, 404]),
    ("POST", "/api/v1/mismatches/{n}/resolve", [401, 403, 403, 403, 403, 403, 403, 403, 403, 404, 404]),
    ("POST", "/api/v1/verify/runs", [401, 403, 403, 403, 403, 403, 403, 403, 403, 202, 202]),
    ("GET", "/api/v1/verify/runs", [401, 403, 403, 403, 403, 403, 403, 403, 403, 200, 200]),
    ("GET", "/api/v1/verify/runs/{n}", [401, 403, 403, 403, 403, 403, 403, 403, 403, 404, 404]),
    ("POST", "/api/v1/verify/runs/{n}/stop", [401, 403, 403, 403, 403, 403, 403, 403, 403, 404, 404]),
    ("GET", "/api/v1/verify/status", [401, 403, 403, 403, 403, 403, 403, 403, 403, 200, 200]),
    // Runners: the token of this job, or of a runner, and nobody else's, not even the admin's.
    ("PATCH", "/api/v4/jobs/{job}/trace", [403; 11]),
    ("PATCH", "/api/v4/jobs/{n}/trace", [403; 11]),
    ("PUT", "/api/v4/jobs/{job}", [403; 11]),
    ("PUT", "/api/v4/jobs/{n}", [403; 11]),
    ("POST", "/api/v4/runners/verify", [403, 403, 403, 403, 200, 403, 403, 403, 403, 403, 403]),
    ("POST", "/api/v4/jobs/request", [403, 403, 403, 403, 204, 403, 403, 403, 403, 403, 403]),
    // Open to whoever reaches it.
    ("GET", "/healthz", [200; 11]),
    ("GET", "/readyz", [200; 11]),
    ("GET", "/metrics", [200; 11]),
    ("GET", "/openapi.json", [200; 11]),
    ("GET", "/api/v4/nothing", [404; 11]),
    ("GET", "/api/v1/nothing", [404; 11]),
];

struct Ground {
    server: Binary,
    job: Job,
    done: Job,
    tokens: BTreeMap<&'static str, String>,
}

/// Makes a token or a runner: its document.
async fn make(client: &Client, path: &str, wanted: &Value) -> Value {
    let answer = client.admin(Method::POST, path).json(wanted).answer().await;
    assert_eq!(answer.status, 201, "{}", answer.text());
    answer.json()
}

fn secret(document: &Value) -> String {
    document["token"].as_str().expect("a token").to_owned()
}

async fn reader(client: &Client, projects: Value) -> Value {
    make(client, "/api/v1/tokens", &json!({"name": "reader", "projects": projects})).await
}

impl Ground {
    async fn new() -> Self {
        let server = Binary::start(&[]);
        let client = server.client();
        let (job, done) = (client.make_job().await, client.make_job().await);
        let other = client.make_job_of(json!({"project": "group/other"})).await;
        client.append_all(&job, 0, b"secret").await;
        assert_eq!(client.put_until_decided(&done, &ended("success", b"", true)).await.status, 200);
        let own = json!([job.project]);
        let token = |wanted: Value| async move { make(client, "/api/v1/tokens", &wanted).await };
        let expired = token(json!({"name": "x", "projects": own, "expires_in": "1ms"})).await;
        let revoked = token(json!({"name": "x", "projects": own})).await;
        let path = format!("/api/v1/tokens/{}", revoked["id"]);
        assert_eq!(client.admin(Method::DELETE, &path).answer().await.json()["state"], "revoked");
        let runner = make(client, "/api/v1/runners", &json!({"description": "x", "projects": "all"})).await;
        let tokens = BTreeMap::from([
            ("wrong", format!("vtr_{}", "0".repeat(40))),
            ("expired", secret(&expired)),
            ("revoked", secret(&revoked)),
            ("runner", secret(&runner)),
            ("other job", other.token.clone()),
            ("no scope", secret(&token(json!({"name": "x", "projects": "all", "scopes": []})).await)),
            ("other project", secret(&token(json!({"name": "x", "projects": ["group/other"]})).await)),
            ("reader", secret(&token(json!({"name": "x", "projects": ["group/demo"]})).await)),
            ("admin scope", secret(&token(json!({"name": "x", "projects": "all", "scopes": ["admin"]})).await)),
            ("admin", "admin-token-of-the-tests".to_owned()),
        ]);
        Self { server, job, done, tokens }
    }

    /// What somebody is answered; readers' tokens in one of the headers that clients use, runners' where they put them.
    async fn ask(&self, method: &str, path: &str, who: &str, header: usize) -> Answer {
        let filled = path
            .replace("{project}", &self.job.project.to_string())
            .replace("{job}", &self.job.id.to_string())
            .replace("{done}", &self.done.id.to_string())
            .replace("{n}", "4711");
        let mut request = self.server.client().request(method.parse().expect("a method"), &filled);
        let token = self.tokens.get(who);
        let mut body = match (method, path) {
            ("POST", "/api/v1/jobs") => json!({"project": "group/demo", "name": "rspec"}),
            ("POST", "/api/v1/runners") => json!({"description": "x", "projects": "all"}),
            ("POST", "/api/v1/tokens") => json!({"name": "x", "projects": "all"}),
            ("POST", "/api/v1/mismatches/{n}/resolve") => json!({"comment": "x"}),
            ("POST", "/api/v1/verify/runs") => json!({"jobs": [self.done.id]}),
            ("PUT", _) => json!({"state": "running"}),
            _ => json!({}),
        };
        let is_runners = path.starts_with("/api/v4/jobs/") || path.starts_with("/api/v4/runners/");
        if method == "PATCH" {
            request = request.header("Content-Range", "6-6").body("x");
            if let Some(token) = token {
                request = request.header("JOB-TOKEN", token);
            }
            return request.answer().await;
        }
        match token {
            Some(token) if is_runners => body["token"] = token.as_str().into(),
            Some(token) => {
                request = match header {
                    0 => request.header("PRIVATE-TOKEN", token),
                    1 => request.bearer_auth(token),
                    _ => request.header("JOB-TOKEN", token),
                };
            }
            None => {}
        }
        if method == "POST" || method == "PUT" {
            request = request.json(&body);
        }
        request.answer().await
    }
}

#[tokio::test]
async fn every_endpoint_answers_everybody_as_the_matrix_says() {
    let ground = Ground::new().await;
    let mut wrong = Vec::new();
    for (method, path, statuses) in MATRIX {
        let mut refused: BTreeMap<u16, Vec<(&str, Answer)>> = BTreeMap::new();
        for (who, status) in WHO.iter().zip(statuses) {
            for header in 0..3 {
                let answer = ground.ask(method, path, who, header).await;
                if answer.status != *status {
                    wrong.push(format!("{method} {path} by {who}: {} instead of {status}", answer.status));
                }
                if [403, 404].contains(&answer.status) && !["admin scope", "admin"].contains(who) {
                    refused.entry(answer.status).or_default().push((who, answer));
                }
            }
        }
        // Whoever is refused is refused alike: nothing tells one from another.
        for answers in refused.values() {
            for (who, answer) in &answers[1..] {
                assert_eq!(answer.looks(), answers[0].1.looks(), "{method} {path} by {who}");
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));

    // A job that is there and foreign looks like one that is not.
    for who in WHO.iter().filter(|who| **who != "nobody") {
        for (there, absent) in [
            ("/api/v4/projects/{project}/jobs/{job}/trace", "/api/v4/projects/{project}/jobs/{n}/trace"),
            ("/api/v1/jobs/{job}/integrity", "/api/v1/jobs/{n}/integrity"),
        ] {
            let there = ground.ask("GET", there, who, 0).await;
            if there.status == 404 {
                assert_eq!(there.looks(), ground.ask("GET", absent, who, 0).await.looks(), "{who}");
            }
        }
    }
    ground.server.assert_untroubled().await;
}

/// A refusal takes its least time whether the job is there or not, and whatever is remembered of it; medians of many
/// requests in turn, so that whatever else the machine does falls on both.
#[tokio::test]
async fn a_stranger_learns_nothing_from_how_long_an_answer_takes() {
    let ground = Ground::new().await;
    let pairs = [
        ("GET", "/api/v4/projects/{project}/jobs/{job}/trace", "/api/v4/projects/{project}/jobs/{n}/trace"),
        ("GET", "/api/v1/jobs/{job}/integrity", "/api/v1/jobs/{n}/integrity"),
        ("GET", "/api/v4/projects/{project}", "/api/v4/projects/{n}"),
        ("PATCH", "/api/v4/jobs/{job}/trace", "/api/v4/jobs/{n}/trace"),
        ("PUT", "/api/v4/jobs/{job}", "/api/v4/jobs/{n}"),
    ];
    for (method, there, absent) in pairs {
        for who in ["wrong", "other project", "other job"] {
            // A project is refused to a good token only; the others are told so before anything is looked up.
            if there == "/api/v4/projects/{project}" && who != "other project" {
                continue;
            }
            let mut tries = 0;
            loop {
                let [there, absent] = compared(&ground, method, [there, absent], who).await;
                let (less, more) = (there.min(absent), there.max(absent));
                println!("{method} by {who}: {there:?} if it is there, {absent:?} if not");
                if more < less * 23 / 20 {
                    break;
                }
                tries += 1;
                assert!(tries < TRIES, "{method} by {who}: {there:?} and {absent:?}");
            }
        }
    }
}

/// A difference that is there is there every time; what else the machine does is not.
const TRIES: u32 = 3;

/// How long refusals of these two paths take, asked for in turn.
async fn compared(ground: &Ground, method: &str, paths: [&str; 2], who: &str) -> [Duration; 2] {
    let mut times = [Vec::new(), Vec::new()];
    for round in 0..110 {
        for (path, times) in paths.iter().zip(&mut times) {
            let began = Instant::now();
            let answer = ground.ask(method, path, who, 0).await;
            let took = began.elapsed();
            assert!([403, 404].contains(&answer.status));
            assert!(took >= REFUSAL_MIN, "{method} {path} by {who} took {took:?}");
            if round >= 10 {
                times.push(took);
            }
        }
    }
    times.map(median)
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

#[tokio::test]
async fn a_revoked_token_is_good_for_nothing_at_once_and_a_rotated_one_passes_its_rights_on() {
    let server = Binary::start(&[]);
    let client = server.client();
    let job = client.make_job().await;
    client.append_all(&job, 0, b"log").await;
    let path = format!("/api/v4/projects/{}/jobs/{}/trace", job.project, job.id);
    let read = |token: String| {
        let request = client.request(Method::GET, &path).header("PRIVATE-TOKEN", token);
        async move { request.answer().await.status }
    };
    let first = reader(client, json!([job.project])).await;
    assert!(secret(&first).starts_with("vtr_"));
    assert_eq!((&first["state"], &first["scopes"]), (&json!("active"), &json!(["read"])));
    assert_eq!(read(secret(&first)).await, 200);

    let rotate = format!("/api/v1/tokens/{}/rotate", first["id"]);
    let second = client.admin(Method::POST, &rotate).answer().await;
    assert_eq!((second.status, &second.json()["rotated_from"]), (201, &first["id"]));
    let second = second.json();
    assert_eq!((read(secret(&first)).await, read(secret(&second)).await), (404, 200));
    assert_eq!(client.admin(Method::POST, &rotate).answer().await.status, 404);

    let revoke = format!("/api/v1/tokens/{}", second["id"]);
    assert_eq!(client.admin(Method::DELETE, &revoke).answer().await.status, 200);
    assert_eq!(read(secret(&second)).await, 404);

    // It can be read in the list how it went, and no secret.
    let list = client.admin(Method::GET, "/api/v1/tokens").answer().await;
    let states: Vec<_> = list.json()["items"].as_array().expect("items").iter().map(|i| i["state"].clone()).collect();
    assert_eq!(states, ["revoked", "revoked"]);
    assert!(!list.text().contains("vtr_") && !server.log().contains("vtr_"));
    server.assert_untroubled().await;
}

#[tokio::test]
async fn a_runner_gets_a_pending_job_with_a_token_of_its_own_and_is_revoked() {
    let server = Binary::start(&[]);
    let client = server.client();
    let runner = make(client, "/api/v1/runners", &json!({"description": "x", "projects": "all"})).await;
    let token = secret(&runner);
    let ask = |path: &str, body: Value| {
        let request = client.request(Method::POST, path).json(&body);
        async move { request.answer().await }
    };
    let verified = ask("/api/v4/runners/verify", json!({"token": token})).await;
    assert_eq!(verified.json(), json!({"id": runner["id"], "token": token, "token_expires_at": null}));
    let none = ask("/api/v4/jobs/request", json!({"token": token, "last_update": ""})).await;
    assert_eq!(none.status, 204);
    assert!(!none.header("X-GitLab-Last-Update").is_empty());

    let payload = json!({"steps": [{"name": "script", "script": ["true"]}], "run": "x", "inputs": [1], "id": 0});
    let made = client.make_job_of(json!({"payload": payload})).await;
    // A reader looks at it before a runner takes it: what is remembered then must not keep the runner out.
    assert_eq!(client.trace_request(&made).answer().await.status, 200);
    // Nobody took it, so nobody can say how it goes.
    for state in ["running", "success"] {
        let put = client.put(&made, &json!({"state": state})).await;
        assert_eq!(put.state(), (403, "pending"), "{state}");
    }
    assert_eq!(client.append(&made, 0, b"log").await.state(), (403, "pending"));
    let info = json!({"features": {"trace_reset": true}});
    let given = ask("/api/v4/jobs/request", json!({"token": token, "info": info})).await;
    assert_eq!(given.status, 201);
    let given = given.json();
    assert_eq!((&given["id"], &given["steps"]), (&json!(made.id), &payload["steps"]));
    assert!(given.get("run").is_none() && given.get("inputs").is_none());
    let taken = Job { token: secret(&given), ..made.clone() };
    assert!(taken.token.starts_with("vtj_") && taken.token != made.token);
    assert_eq!(client.append(&made, 0, b"log").await.status, 403, "the placeholder is good for nothing");
    client.append_all(&taken, 0, b"log").await;
    assert_eq!(ask("/api/v4/jobs/request", json!({"token": token})).await.status, 204);

    let path = format!("/api/v1/runners/{}", runner["id"]);
    assert_eq!(client.admin(Method::DELETE, &path).answer().await.json()["state"], "revoked");
    for path in ["/api/v4/runners/verify", "/api/v4/jobs/request"] {
        assert_eq!(ask(path, json!({"token": token})).await.status, 403);
    }
    assert_eq!(client.put_until_decided(&taken, &ended("success", b"log", true)).await.status, 200);
    assert_eq!(client.integrity(&taken).await["verdict"], "verified");
    server.assert_untroubled().await;
}

#[tokio::test]
async fn lists_are_paged_and_bad_input_is_refused() {
    let server = Binary::start(&[]);
    let client = server.client();
    let job = client.make_job().await;
    for _ in 0..5 {
        reader(client, json!("all")).await;
    }
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    for _ in 0..5 {
        let page =
            client.admin(Method::GET, &format!("/api/v1/tokens?per_page=2&cursor={cursor}")).answer().await.json();
        seen.extend(page["items"].as_array().expect("items").iter().map(|item| item["id"].as_i64().expect("a number")));
        match page["next"].as_str() {
            Some(next) => next.clone_into(&mut cursor),
            None => break,
        }
    }
    assert_eq!(seen, [1, 2, 3, 4, 5]);
    for (path, wanted) in [
        ("/api/v1/tokens", json!({"name": "x"})),
        ("/api/v1/tokens", json!({"name": "x", "projects": "some"})),
        ("/api/v1/tokens", json!({"name": "x", "projects": [4711]})),
        ("/api/v1/tokens", json!({"name": "x", "projects": ["no/such"]})),
        ("/api/v1/tokens", json!({"name": "", "projects": "all"})),
        ("/api/v1/tokens", json!({"name": "x", "projects": "all", "scopes": ["write"]})),
        ("/api/v1/tokens", json!({"name": "x", "projects": [job.project], "scopes": ["admin"]})),
        ("/api/v1/tokens", json!({"name": "x", "projects": "all", "expires_in": "soon"})),
        ("/api/v1/tokens", json!({"name": "x", "projects": "all", "expires_at": "2001-01-01T00:00:00Z"})),
        ("/api/v1/runners", json!({"description": "x"})),
        ("/api/v1/runners", json!({"description": "x", "projects": "all", "tags": []})),
        ("/api/v1/jobs", json!({"project": 4711, "name": "x"})),
        ("/api/v1/jobs", json!({"project": -1, "name": "x"})),
    ] {
        let answer = client.admin(Method::POST, path).json(&wanted).answer().await;
        assert_eq!((answer.status, answer.header("Content-Type")), (400, "application/problem+json"), "{wanted}");
    }
    let by_number = client.make_job_of(json!({"project": job.project})).await;
    assert_eq!(by_number.project, job.project);
    server.assert_untroubled().await;
}

#[tokio::test]
async fn a_token_that_asks_too_much_is_told_when_to_come_again() {
    let server = Binary::start(&[
        ("VERITAIL_HTTP_TOKEN_REQUESTS_PER_SECOND", "1"),
        ("VERITAIL_HTTP_JOB_REQUESTS_PER_SECOND", "0"),
    ]);
    let client = server.client();
    let job = client.make_job().await;
    let token = secret(&reader(client, json!("all")).await);
    let paths = [
        (format!("/api/v4/projects/{}/jobs/{}/trace", job.project, job.id), "application/json"),
        (format!("/api/v1/jobs/{}/integrity", job.id), "application/problem+json"),
    ];
    for (path, kind) in &paths {
        let mut last = None;
        for _ in 0..30 {
            let answer = client.request(Method::GET, path).bearer_auth(&token).answer().await;
            let limited = answer.status == 429;
            last = Some(answer);
            if limited {
                break;
            }
        }
        let answer = last.expect("answered");
        assert_eq!((answer.status, answer.header("Content-Type")), (429, *kind));
        let wait: u64 = answer.header("Retry-After").parse().expect("seconds");
        assert!((1..=3).contains(&wait), "{wait}");
    }
    // Neither the admin nor another token is kept out, and nobody can keep a runner out with a wrong token.
    assert_eq!(client.trace_request(&job).answer().await.status, 200);
    for _ in 0..30 {
        let stranger = Job { token: "vtj_wrong".to_owned(), ..job.clone() };
        assert_eq!(client.append(&stranger, 0, b"x").await.status, 403);
    }
    client.append_all(&job, 0, b"log").await;
    let mut limited = 0;
    for at in 0..30 {
        let answer = client.append(&job, 3 + at, b"x").await;
        if answer.status == 429 {
            assert!(!answer.header("Retry-After").is_empty());
            assert_eq!(answer.text(), r#"{"message":"429 Too Many Requests"}"#);
            limited += 1;
            break;
        }
    }
    assert_eq!(limited, 1);
    server.assert_untroubled().await;
}

/// Who did it is kept: the admin, or the token that may do the same.
#[tokio::test]
async fn what_an_admin_did_names_the_token_that_it_was_done_with() {
    let server = Binary::start(&[("VERITAIL_LIVE_GRACE", "0s")]);
    let client = server.client();
    reader(client, json!("all")).await;
    let oncall = json!({"name": "oncall", "projects": "all", "scopes": ["admin"]});
    let oncall = make(client, "/api/v1/tokens", &oncall).await;
    assert_eq!(oncall["id"], 2);
    for (token, by) in [("admin-token-of-the-tests".to_owned(), "admin"), (secret(&oncall), "token 2 (oncall)")] {
        let job = client.make_job().await;
        client.append_all(&job, 0, b"abcd").await;
        assert_eq!(client.put_until_decided(&job, &ended("success", b"abcd", true)).await.status, 200);
        let key = client.integrity(&job).await["chunks"][0]["copies"][0]["key"].as_str().expect("a key").to_owned();
        std::fs::write(server.data_dir().join("objects").join(key), "rot").expect("written");
        assert_eq!(client.trace_request(&job).answer().await.status, 500);
        let ask = |method: Method, path: String| client.request(method, &path).header("PRIVATE-TOKEN", &token);
        let found = ask(Method::GET, format!("/api/v1/mismatches?job_id={}", job.id)).answer().await.json();
        let path = format!("/api/v1/mismatches/{}/resolve", found["items"][0]["id"]);
        let noted = ask(Method::POST, path).json(&json!({"comment": "seen"})).answer().await;
        assert_eq!((noted.status, &noted.json()["resolved_by"]), (200, &json!(by)));
        let path = format!("/api/v4/projects/{}/jobs/{}/erase", job.project, job.id);
        assert_eq!(ask(Method::POST, path).answer().await.status, 201);
        let log = server.log();
        assert!(log.lines().any(|line| line.contains("erase") && line.contains(by)), "{log}");
    }
}
