//! A node that panics when it is told to. No request makes the program do that, so this one is another program: the same node in
//! a process of the tests', with the same hook for panics.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};

use tempfile::TempDir;
use veritail::app;
use veritail::config::{Config, Flags};
use veritail::telemetry::panics;

use super::super::only;
use super::super::post::Post;
use super::super::site::Watched;
use super::{over, ticket};

/// Says where the other half's folder is.
const FOLDER: &str = "THE_FOLDER_OF_A_NODE_THAT_PANICS";

/// The process; it ends with this value.
pub(super) struct Panicking {
    process: Child,
    told: ChildStdin,
    target: String,
    folder: TempDir,
}

impl Panicking {
    pub(super) fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let log = std::fs::File::create(folder.path().join("log")).expect("a file for the log");
        let mut process = Command::new(std::env::current_exe().expect("this program"))
            .args(["--exact", "page::tickets::panics::when_it_is_told_to", "--ignored", "--nocapture"])
            .env(FOLDER, folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .expect("this program starts");
        let told = process.stdin.take().expect("piped");
        let mut lines = BufReader::new(process.stdout.take().expect("piped")).lines().map_while(Result::ok);
        let target = lines.find_map(|line| Some(line.split_once("listens on ")?.1.to_owned())).expect("it listens");
        std::thread::spawn(move || lines.for_each(drop));
        Self { process, told, target, folder }
    }
}

impl Drop for Panicking {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Watched for Panicking {
    fn job(&self) -> String {
        "veritail-panics".to_owned()
    }

    fn targets(&self) -> Vec<String> {
        vec![self.target.clone()]
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }
}

/// Once, and it goes on.
pub(super) async fn once(mut site: Panicking, post: &Post) {
    const NAME: &str = "VeritailPanics";
    site.told.write_all(b"now\n").expect("it reads");
    let message = ticket(post, &site, NAME, &[]).await;
    assert_eq!(message.annotation("summary"), format!("{} panicked 1 time(s)", site.target));
    assert!(site.log().contains("panic: as it was told to"), "{}", site.log());
    over(post, &site, NAME, &[]).await;
    only(post, &site, &[NAME]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "the other half of what_nobody_gets_up_for_is_a_ticket_and_over_after_the_repair"]
async fn when_it_is_told_to() {
    let Some(folder) = std::env::var_os(FOLDER).map(PathBuf::from) else { return };
    let mut config = Config::load(None, [], &Flags::default()).expect("defaults");
    config.data_dir = folder.join("data");
    config.http.listen = ([127, 0, 0, 1], 0).into();
    config.verify.canary = "off".parse().expect("a schedule");
    veritail::telemetry::logs::install(config.telemetry.log_format, &config.telemetry.log, None).expect("a log");
    panics::install();
    let node = app::start(config).await.expect("started");
    println!("listens on {}", node.address);
    let lines = tokio::task::spawn_blocking(|| std::io::stdin().lines().next());
    if lines.await.expect("no panic").is_some() {
        let told = tokio::spawn(async { panic!("as it was told to") });
        assert!(told.await.is_err_and(|error| error.is_panic()));
    }
    // Until its process is ended.
    std::future::pending().await
}
