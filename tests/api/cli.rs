//! `veritail runner|token|project` against a running server.

use std::process::{Command, Output};

use serde_json::Value;

use crate::support::server::Binary;

fn veritail(server: &Binary, token: &str, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_veritail"))
        .args(args)
        .env_clear()
        .env("VERITAIL_URL", format!("http://{}", server.client().address()))
        .env("VERITAIL_TOKEN", token)
        .env("no_proxy", "*")
        .output()
        .expect("the program was built for this test")
}

fn good(server: &Binary, args: &[&str]) -> String {
    let output = veritail(server, "admin-token-of-the-tests", args);
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

#[tokio::test(flavor = "multi_thread")]
async fn runners_tokens_and_projects_from_the_command_line() {
    let server = Binary::start(&[]);
    let job = server.client().make_job().await;

    let secret = good(&server, &["runner", "create", "builds", "--all-projects"]);
    assert!(secret.starts_with("vtk_") && secret.lines().count() == 1, "{secret}");
    let list = good(&server, &["runner", "list"]);
    assert!(list.starts_with("runner  description  state"), "{list}");
    assert!(list.lines().nth(1).is_some_and(|line| line.starts_with("1       builds       active  all")), "{list}");
    assert_eq!(good(&server, &["runner", "revoke", "1"]), "runner 1 is revoked\n");

    let secret = good(&server, &["token", "create", "reader", "--project", "group/demo", "--expires-in", "90d"]);
    let read = veritail(&server, secret.trim(), &["inspect", &job.id.to_string()]);
    assert!(read.status.success(), "{}", String::from_utf8_lossy(&read.stderr));
    let rotated: Value = serde_json::from_str(&good(&server, &["token", "rotate", "1", "--json"])).expect("JSON");
    assert_eq!((&rotated["rotated_from"], &rotated["projects"]), (&1.into(), &vec![job.project].into()));
    assert!(rotated["expires_at"].is_string());
    let refused = veritail(&server, secret.trim(), &["inspect", &job.id.to_string()]);
    assert!(!refused.status.success());
    good(&server, &["token", "revoke", "2"]);
    let list: Value = serde_json::from_str(&good(&server, &["token", "list", "--json"])).expect("JSON");
    assert!(list.as_array().is_some_and(|all| all.len() == 2 && all.iter().all(|one| one["state"] == "revoked")));

    assert_eq!(good(&server, &["project", "list"]), "project  path\n1        group/demo\n");

    // What goes wrong says what to do.
    for (args, says) in [
        (["token", "revoke", "99"].as_slice(), "there is no token 99"),
        (&["token", "create", "x"], "--all-projects"),
        (&["token", "create", "x", "--project", "no/such"], "no/such"),
        (&["token", "create", "x", "--all-projects", "--expires-in", "soon"], "is not a time span"),
    ] {
        let output = veritail(&server, "admin-token-of-the-tests", args);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && errors.contains(says), "{args:?}: {errors}");
    }
    let output = veritail(&server, "wrong-token-of-nobody", &["token", "list"]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("--token"));
    server.assert_untroubled().await;
}
