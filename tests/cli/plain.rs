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

#[test]
fn a_job_is_made_shown_and_canceled() {
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
    assert!(page.contains("pending") && page.starts_with("id "), "{page}");
    assert!(run(&["job", "cancel", "1"]).contains("cancel"));
    let (status, said) = code(&server.command(&["job", "show", "9"]).output().expect("it runs"));
    assert_eq!(status, Some(1));
    assert!(said.contains("there is no job 9"), "{said}");
}
