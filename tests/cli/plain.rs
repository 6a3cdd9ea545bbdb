//! Commands that need little: `config`, `completions`, `job`.

use serde_json::{Value, json};

use crate::program::{Server, code, run, text, veritail};

#[test]
fn config_shows_every_value_with_its_origin_and_no_secret() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("veritail.toml");
    let toml = "data_dir = 'here'\n[http]\nbody_timeout = '5s'\nadmin_token = 'a-secret-of-the-file'\n";
    std::fs::write(&file, toml).expect("written");
    let mut command = veritail(&["config", "--json", "--listen", "127.0.0.1:9", "--config"]);
    command.arg(&file).env("VERITAIL_CHUNK_SIZE", "4096").env("VERITAIL_REDIS_URL", "redis://:a-password@127.0.0.1/0");
    let output = command.output().expect("it runs");
    assert_eq!(code(&output), (Some(0), String::new()));
    let page = text(&output.stdout);
    assert!(!page.contains("a-secret") && !page.contains("a-password"), "{page}");
    let shown: Value = serde_json::from_str(&page).expect("JSON");
    let file = file.display().to_string();
    for (key, value, origin) in [
        ("http.listen", json!("127.0.0.1:9"), "the command line"),
        ("data_dir", json!("here"), file.as_str()),
        ("http.body_timeout", json!("5s"), file.as_str()),
        ("http.admin_token", json!("(secret)"), file.as_str()),
        ("live.redis_url", json!("(secret)"), "VERITAIL_REDIS_URL"),
        ("pipeline.chunk_size", json!(4096), "VERITAIL_CHUNK_SIZE"),
        ("pipeline.finalize_wait", json!("2s"), "default"),
        ("http.tls_key", json!(null), "default"),
    ] {
        assert_eq!(shown[key], json!({"value": value, "origin": origin}), "{key}");
    }
    let page = text(&run(&["config"]).stdout);
    assert!(page.starts_with("key ") && page.contains("pipeline.chunk_size") && !page.contains('\x1b'), "{page}");
    assert_eq!(shown.as_object().expect("an object").len(), veritail_rows(), "every setting is there");
}

fn veritail_rows() -> usize {
    veritail::config::Config::rows().len()
}

#[test]
fn config_names_the_place_of_a_mistake_and_what_is_allowed() {
    for (name, value, wanted) in [
        ("VERITAIL_CHUNK_SIZE", "1", "1024 to 16777216"),
        ("VERITAIL_CHUNKSIZE", "1", "VERITAIL_CHUNK_SIZE"),
        ("VERITAIL_TRUSTED_PROXIES", "10.0.0.0/99", "is not a network"),
    ] {
        let output = veritail(&["config"]).env(name, value).output().expect("it runs");
        let (status, said) = code(&output);
        assert_eq!(status, Some(1));
        assert!(said.contains(name) && said.contains(wanted), "{said}");
    }
}

#[test]
fn completions_are_there_for_every_shell() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let output = run(&["completions", shell]);
        assert_eq!(code(&output), (Some(0), String::new()));
        assert!(text(&output.stdout).contains("give-up-after"), "{shell}");
    }
    assert_eq!(run(&["completions", "sh"]).status.code(), Some(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_goes_on_behind_its_first_page() {
    let server = Server::start(&[]);
    let client = server.client();
    for _ in 0..105 {
        client.make_job().await;
    }
    let list = |limit: &str| {
        let output =
            server.command(&["job", "list", "--project", "group/demo", "--limit", limit]).output().expect("it runs");
        assert_eq!(code(&output), (Some(0), String::new()));
        text(&output.stdout)
            .lines()
            .skip(1)
            .map(|line| line.split(' ').next().unwrap_or_default().parse().expect("a number"))
            .collect::<Vec<u32>>()
    };
    assert_eq!(list("1000"), (1..=105).rev().collect::<Vec<_>>());
    assert_eq!(list("103"), (3..=105).rev().collect::<Vec<_>>());
}

#[test]
fn a_job_is_made_shown_listed_and_canceled() {
    let server = Server::start(&[]);
    let run = |arguments: &[&str]| {
        let output = server.command(arguments).output().expect("it runs");
        assert_eq!(code(&output), (Some(0), String::new()));
        text(&output.stdout)
    };
    let made: Value =
        serde_json::from_str(&run(&["job", "create", "--project", "g/d", "--name", "n", "--json"])).expect("JSON");
    assert_eq!((&made["id"], &made["status"]), (&json!(1), &json!("running")));
    assert!(made["token"].as_str().expect("a token").starts_with("vtj_"));
    let payload = server.folder.path().join("payload");
    std::fs::write(&payload, "{}").expect("written");
    let payload = payload.display().to_string();
    let page = run(&["job", "create", "--project", "g/d", "--name", "n", "--payload", &payload]);
    assert!(page.contains("pending"), "{page}");
    let page = run(&["job", "show", "1"]);
    for part in [
        "id               1\n",
        "project          g/d\n",
        "status           running\n",
        "job 1: pending\n",
        "no mismatches",
    ] {
        assert!(page.contains(part), "{part:?} is not in {page}");
    }
    let both: Value = serde_json::from_str(&run(&["job", "show", "1", "--json"])).expect("JSON");
    assert_eq!((&both["job"]["id"], &both["integrity"]["verdict"]), (&json!(1), &json!("pending")));

    let page = run(&["job", "list", "--project", "g/d"]);
    let lines: Vec<&str> = page.lines().collect();
    assert!(
        lines.len() == 3 && lines[0].starts_with("id ") && lines[1].starts_with("2 ") && lines[2].starts_with("1 "),
        "{page}"
    );
    let ids = |arguments: &[&str]| {
        let list: Value = serde_json::from_str(&run(&[&["job", "list", "--json"], arguments].concat())).expect("JSON");
        list.as_array().expect("a list").iter().map(|job| job["id"].as_i64().expect("a number")).collect::<Vec<_>>()
    };
    assert_eq!(ids(&["--project", "1", "--status", "pending"]), [2]);
    assert_eq!(ids(&["--project", "g/d", "--status", "pending", "--status", "running"]), [2, 1]);
    assert_eq!(ids(&["--project", "g/d", "--limit", "1"]), [2]);
    assert_eq!(ids(&["--project", "g/d", "--status", "failed"]), Vec::<i64>::new());
    let (status, said) = code(&server.command(&["job", "list", "--project", "no/such"]).output().expect("it runs"));
    assert!(status == Some(1) && said.contains("there is no project no/such"), "{said}");
    assert_eq!(
        server.command(&["job", "list", "--project", "g/d", "--status", "gone"]).output().expect("runs").status.code(),
        Some(2)
    );

    assert!(run(&["job", "cancel", "1"]).contains("cancel"));
    let (status, said) = code(&server.command(&["job", "show", "9"]).output().expect("it runs"));
    assert_eq!(status, Some(1));
    assert!(said.contains("there is no job 9"), "{said}");
}
