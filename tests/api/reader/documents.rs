//! Projects and jobs, as readers see them.

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::server::{Answer, Binary, Client, Job, Send as _, ended, log};

async fn get(client: &Client, path: &str) -> Answer {
    client.admin(Method::GET, path).answer().await
}

async fn document(client: &Client, job: &Job) -> Value {
    let answer = get(client, &format!("/api/v4/projects/{}/jobs/{}", job.project, job.id)).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()
}

fn ids(list: &Answer) -> Vec<i64> {
    let items = list.json();
    items.as_array().expect("a list").iter().map(|item| item["id"].as_i64().expect("a number")).collect()
}

#[tokio::test]
async fn a_job_is_shown_in_gitlabs_words_from_running_to_its_end() {
    let server = Binary::start(&[]);
    let client = server.client();
    let job = client.make_job().await;
    let running = document(client, &job).await;
    assert_eq!(
        (&running["id"], &running["name"], &running["status"]),
        (&json!(job.id), &json!("rspec"), &json!("running"))
    );
    assert_eq!(running["started_at"], running["created_at"]);
    for unknown in ["finished_at", "duration", "failure_reason", "erased_at", "runner", "user", "commit", "ref"] {
        assert_eq!(running.get(unknown), Some(&Value::Null), "{unknown}");
    }
    assert_eq!(running["project"]["path_with_namespace"], "group/demo");
    assert_eq!((&running["artifacts"], &running["pipeline"]["project_id"]), (&json!([]), &json!(job.project)));
    // The job's own address leads to its log.
    let address = running["web_url"].as_str().expect("an address");
    let place =
        address.strip_prefix(&format!("http://{}", client.address())).expect("the address that the client used");
    assert_eq!(get(client, place).await.status, 200);

    let log = log(1000);
    client.append_all(&job, 0, &log).await;
    let mut end = ended("failed", &log, true);
    end["failure_reason"] = "script_failure".into();
    assert_eq!(client.put_until_decided(&job, &end).await.status, 200);
    let failed = document(client, &job).await;
    assert_eq!((&failed["status"], &failed["failure_reason"]), (&json!("failed"), &json!("script_failure")));
    assert!(failed["finished_at"].is_string() && failed["duration"].is_f64(), "{failed}");
    let own = get(client, &format!("/api/v1/jobs/{}", job.id)).await.json();
    assert_eq!((&own["state"], &own["verdict"], &own["size"]), (&json!("closed"), &json!("verified"), &json!(1000)));
    assert_eq!((&own["project"], &own["exit_code"]), (&json!("group/demo"), &json!(0)));
    server.assert_untroubled().await;
}

#[tokio::test]
async fn a_waiting_job_has_not_begun_and_one_that_was_canceled_then_never_did() {
    let server = Binary::start(&[]);
    let client = server.client();
    let job = client.make_job_of(json!({"payload": {}})).await;
    let waiting = document(client, &job).await;
    assert_eq!((&waiting["status"], &waiting["started_at"]), (&json!("pending"), &Value::Null));
    client.cancel(&job).await;
    let canceled = document(client, &job).await;
    assert_eq!((&canceled["status"], &canceled["started_at"]), (&json!("canceled"), &Value::Null));
    assert_eq!((&canceled["duration"], canceled["finished_at"].is_string()), (&Value::Null, true));
    server.assert_untroubled().await;
}

/// While the final PUT waits for a proof that cannot be had, readers hear of no end.
#[tokio::test]
async fn no_final_status_is_shown_before_the_trace_is_proven() {
    let server = Binary::start(&[("VERITAIL_FINALIZE_WAIT", "100ms")]);
    let client = server.client();
    let job = client.make_job().await;
    let log = log(5000);
    client.append_all(&job, 0, &log).await;
    server.take_objects_away();
    assert_eq!(client.put(&job, &ended("failed", &log, true)).await.status, 202);
    let document_now = document(client, &job).await;
    assert_eq!((&document_now["status"], &document_now["finished_at"]), (&json!("running"), &Value::Null));
    assert_eq!(document_now["failure_reason"], Value::Null);
    let own = get(client, &format!("/api/v1/jobs/{}", job.id)).await.json();
    assert_eq!(
        (&own["status"], &own["exit_code"], &own["finished_at"]),
        (&json!("running"), &Value::Null, &Value::Null)
    );
    server.bring_objects_back();
    assert_eq!(client.put_until_decided(&job, &ended("failed", &log, true)).await.status, 200);
    assert_eq!(document(client, &job).await["status"], "failed");
}

#[tokio::test]
async fn lists_lead_from_page_to_page_and_keep_their_filters() {
    let server = Binary::start(&[]);
    let client = server.client();
    let mut made = Vec::new();
    for _ in 0..5 {
        made.push(client.make_job().await.id);
    }
    let pending = client.make_job_of(json!({"payload": {}})).await;
    made.reverse();
    let list = "/api/v4/projects/group%2Fdemo/jobs?scope[]=running&per_page=2";
    let first = get(client, list).await;
    assert_eq!((first.status, ids(&first)), (200, made[..2].to_vec()));
    let fields = ["X-Page", "X-Per-Page", "X-Next-Page", "X-Prev-Page", "X-Total", "X-Total-Pages"];
    assert_eq!(fields.map(|name| first.header(name)), ["1", "2", "2", "", "5", "3"]);
    let last = get(client, &format!("{list}&page=3&unknown=%ff")).await;
    assert_eq!(ids(&last), made[4..]);
    assert_eq!(fields.map(|name| last.header(name)), ["3", "2", "", "2", "5", "3"]);

    // By what `Link` says alone.
    let mut seen = Vec::new();
    let mut next = Some(format!("{list}&pagination=keyset"));
    while let Some(path) = next.filter(|_| seen.len() < 10) {
        let page = get(client, &path).await;
        assert_eq!((page.status, page.header("X-Total")), (200, ""), "{path}");
        seen.extend(ids(&page));
        let link = page.header("Link").to_owned();
        let address = link.split_once('<').and_then(|(_, rest)| rest.split_once(">; rel=\"next\"")).map(|(to, _)| to);
        next = address.map(|to| to.strip_prefix(&format!("http://{}", client.address())).expect("here").to_owned());
    }
    assert_eq!(seen, made);
    let both = get(client, "/api/v4/projects/1/jobs?scope=pending&scope=running").await;
    assert_eq!((ids(&both)[0], ids(&both).len()), (pending.id, 6));
    for bad in ["page=0", "per_page=x", "sort=up", "scope[]=gone", "pagination=x"] {
        let refused = get(client, &format!("/api/v4/projects/1/jobs?{bad}")).await;
        assert_eq!((refused.status, refused.json()["message"].is_string()), (400, true), "{bad}");
    }
    server.assert_untroubled().await;
}

#[tokio::test]
async fn projects_are_found_by_number_and_path_and_listed() {
    let server = Binary::start(&[]);
    let client = server.client();
    let one = client.make_job_of(json!({"project": "group/sub/one"})).await;
    let two = client.make_job_of(json!({"project": "alone"})).await;
    let by_path = get(client, "/api/v4/projects/group%2Fsub%2Fone").await.json();
    assert_eq!(by_path, get(client, &format!("/api/v4/projects/{}", one.project)).await.json());
    assert_eq!((&by_path["name"], &by_path["namespace"]["full_path"]), (&json!("one"), &json!("group/sub")));
    assert_eq!(ids(&get(client, "/api/v4/projects?membership=true&simple=true").await), [two.project, one.project]);
    assert_eq!(ids(&get(client, "/api/v4/projects?search=SUB").await), [one.project]);
    assert_eq!(ids(&get(client, "/api/v4/projects?sort=asc&order_by=id").await), [one.project, two.project]);
    for (path, status) in [
        ("/api/v4/projects/group%2Fsub", 404),
        ("/api/v4/projects/99", 404),
        ("/api/v4/projects/-1", 404),
        ("/api/v4/projects/99/jobs", 404),
        ("/api/v4/projects/%ff", 404),
        ("/api/v4/projects/99/jobs/1", 404),
        ("/api/v4/projects/1/jobs/999", 404),
        ("/api/v4/projects/1/jobs/x", 404),
    ] {
        let answer = get(client, path).await;
        assert_eq!((answer.status, answer.json()["message"].is_string()), (status, true), "{path}");
    }
    server.assert_untroubled().await;
}

#[tokio::test]
async fn without_a_token_that_is_known_nothing_is_listed() {
    let server = Binary::start(&[]);
    let client = server.client();
    let job = client.make_job().await;
    let lists = ["/api/v4/projects", "/api/v4/projects/1", "/api/v4/projects/1/jobs", "/api/v4/projects/9/jobs"];
    for path in lists.into_iter().chain(["/api/v4/user", "/api/v4/version"]) {
        let bare = client.request(Method::GET, path).answer().await;
        assert_eq!((bare.status, bare.text()), (401, r#"{"message":"401 Unauthorized"}"#), "{path}");
        for token in ["wrong", &job.token] {
            let wrong = client.request(Method::GET, path).header("PRIVATE-TOKEN", token).answer().await;
            assert_eq!(wrong.looks(), bare.looks(), "{path}");
        }
    }
    // A job's own token opens that job and no other.
    let other = client.make_job().await;
    for (id, status) in [(job.id, 200), (other.id, 404), (999, 404)] {
        for path in [format!("/api/v4/projects/1/jobs/{id}"), format!("/api/v1/jobs/{id}")] {
            let answer = client.request(Method::GET, &path).header("JOB-TOKEN", &job.token).answer().await;
            assert_eq!(answer.status, status, "{path}");
        }
    }
    let user = get(client, "/api/v4/user").await.json();
    assert_eq!((&user["username"], &user["is_admin"]), (&json!("admin"), &json!(true)));
    assert_eq!(get(client, "/api/v4/version").await.json()["version"], env!("CARGO_PKG_VERSION"));
    server.assert_untroubled().await;
}

/// A job that waits has not begun: it begins when a runner takes it, and the time before is not part of it.
#[tokio::test]
async fn a_job_begins_when_a_runner_takes_it() {
    let server = Binary::start(&[]);
    let client = server.client();
    let wanted = json!({"description": "x", "projects": "all"});
    let runner = client.admin(Method::POST, "/api/v1/runners").json(&wanted).answer().await.json();
    let job = client.make_job_of(json!({"payload": {}})).await;
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    let ask = json!({"token": runner["token"]});
    let taken = client.request(Method::POST, "/api/v4/jobs/request").json(&ask).answer().await;
    assert_eq!(taken.status, 201);
    let document = document(client, &job).await;
    let waited = document["queued_duration"].as_f64().expect("a number");
    assert!((0.3..30.0).contains(&waited), "{document}");
    assert!(document["started_at"].as_str() > document["created_at"].as_str(), "{document}");
    let own = get(client, &format!("/api/v1/jobs/{}", job.id)).await.json();
    assert_eq!(own["started_at"], document["started_at"]);
}

/// Behind a proxy that is believed, links lead where the client came in; what is configured goes before.
#[tokio::test]
async fn links_lead_where_the_client_came_in() {
    for (variables, expected) in [
        (vec![("VERITAIL_TRUSTED_PROXIES", "127.0.0.0/8")], "https://ci.example"),
        (vec![("VERITAIL_TRUSTED_PROXIES", "10.0.0.0/8")], "http://inner"),
        (vec![("VERITAIL_EXTERNAL_URL", "https://logs.example/ci/")], "https://logs.example/ci"),
    ] {
        let server = Binary::start(&variables);
        let client = server.client();
        let job = client.make_job().await;
        client.make_job().await;
        let through = |path: &str| {
            let request =
                client.admin(Method::GET, path).header("Host", "inner").header("X-Forwarded-For", "192.0.2.1");
            request.header("X-Forwarded-Proto", "https").header("X-Forwarded-Host", "ci.example")
        };
        let shown = through(&format!("/api/v4/projects/1/jobs/{}", job.id)).answer().await.json();
        assert_eq!(shown["web_url"], format!("{expected}/api/v4/projects/1/jobs/{}/trace", job.id));
        let list = through("/api/v4/projects/1/jobs?per_page=1").answer().await;
        let first = format!("<{expected}/api/v4/projects/1/jobs?per_page=1&page=2>; rel=\"next\"");
        assert!(list.header("Link").contains(&first), "{}", list.header("Link"));
    }
}
