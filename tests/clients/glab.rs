//! GitLab's own command line.

use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use tokio::process::Command;

use super::{client, installed, run};
use crate::support::server::{Binary, Job, ended};

const LIMIT: Duration = Duration::from_secs(60);
const TOKEN: &str = "admin-token-of-the-tests";

/// A server with a finished job, a project that is a repository's remote, and glab set to speak to it over HTTP.
struct Ground {
    server: Binary,
    folder: TempDir,
    job: Job,
    log: String,
}

impl Ground {
    async fn prepare() -> Self {
        let server = Binary::start(&[]);
        let folder = tempfile::tempdir().expect("a folder");
        let http = server.client();
        let log: String = (0..20_000).map(|line| format!("{line} gr\u{fc}n\n")).collect();
        let job = http.make_job().await;
        http.append_all(&job, 0, log.as_bytes()).await;
        assert_eq!(http.put_until_decided(&job, &ended("success", log.as_bytes(), true)).await.status, 200);
        // It takes a host for a project's without its port, so the port is said beside.
        let (host, address) = (http.address().ip(), http.address());
        let config = format!(
            "git_protocol: http\ncheck_update: false\nhost: {host}\nhosts:\n    {host}:\n        api_protocol: http\n        api_host: {address}\n        token: {TOKEN}\n"
        );
        let file = folder.path().join("config.yml");
        std::fs::write(&file, config).expect("written");
        // glab takes no other.
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).expect("its user's alone");
        let ground = Self { server, folder, job, log };
        // glab takes its project from the remote of the repository in which it is called.
        for arguments in
            [vec!["init", "--quiet"], vec!["remote", "add", "origin", &format!("http://{host}/group/demo.git")]]
        {
            let mut git = client("git");
            git.args(arguments).current_dir(ground.folder.path());
            let (content, said) = run(git, LIMIT).await;
            assert!(content, "{said}");
        }
        ground
    }

    fn glab(&self, arguments: &[&str]) -> Command {
        let mut glab = client(installed("glab/usr/bin/glab"));
        glab.args(arguments).current_dir(self.folder.path()).env("GLAB_CONFIG_DIR", self.folder.path());
        glab.env("HOME", self.folder.path()).env("NO_COLOR", "1").env("GLAB_SEND_TELEMETRY", "0");
        glab
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn glab_traces_a_job_and_asks_the_api() {
    let ground = Ground::prepare().await;
    let number = ground.job.id.to_string();
    let (content, said) = run(ground.glab(&["ci", "trace", &number]), LIMIT).await;
    assert!(content && said.contains(&ground.log), "{}", &said[..said.len().min(2000)]);

    let api = async |path: &str| {
        let (content, said) = run(ground.glab(&["api", path]), LIMIT).await;
        assert!(content, "{path}: {said}");
        said
    };
    assert_eq!(api(&format!("projects/:fullpath/jobs/{number}/trace")).await, ground.log);
    assert_eq!(api(&format!("projects/{}/jobs/{number}/trace", ground.job.project)).await, ground.log);
    let job: Value = serde_json::from_str(&api(&format!("projects/:fullpath/jobs/{number}")).await).expect("JSON");
    assert_eq!((&job["status"], &job["name"]), (&"success".into(), &"rspec".into()));
    let user: Value = serde_json::from_str(&api("user").await).expect("JSON");
    assert_eq!(user["username"], "admin");

    let (content, said) = run(ground.glab(&["repo", "view"]), LIMIT).await;
    assert!(content && said.contains("group / demo"), "{said}");
    let (content, said) = run(ground.glab(&["ci", "trace", "4711"]), LIMIT).await;
    assert!(!content, "{said}");
    let mut stranger = ground.glab(&["api", &format!("projects/1/jobs/{number}/trace")]);
    stranger.env("GITLAB_TOKEN", "wrong-token-of-nobody");
    let (content, said) = run(stranger, LIMIT).await;
    assert!(said.contains("404 Not Found") && !said.contains("gr\u{fc}n"), "{content} {said}");
    ground.server.assert_untroubled().await;
}

/// `glab api --paginate` finds its way by `Link`, whatever the address.
#[tokio::test(flavor = "multi_thread")]
async fn glab_follows_the_pages_of_a_list() {
    let ground = Ground::prepare().await;
    for _ in 0..4 {
        ground.server.client().make_job().await;
    }
    let pages = ["api", "--paginate", "projects/:fullpath/jobs?per_page=2"];
    let (content, said) = run(ground.glab(&pages), LIMIT).await;
    assert!(content, "{said}");
    let pages = serde_json::Deserializer::from_str(&said).into_iter::<Vec<Value>>();
    let ids: Vec<i64> =
        pages.flat_map(|page| page.expect("a page")).map(|job| job["id"].as_i64().expect("a number")).collect();
    assert_eq!(ids, [5, 4, 3, 2, 1]);
    ground.server.assert_untroubled().await;
}
