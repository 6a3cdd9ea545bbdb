//! The real program, with a data folder and a port of its own.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use tempfile::TempDir;

use super::Client;

/// How long the program may take to say where it listens.
const START_MAX: Duration = Duration::from_secs(30);
/// The admin's token.
const ADMIN_TOKEN: &str = "admin-token-of-the-tests";

/// A running `veritail serve`; it dies with this value.
pub struct Binary {
    child: Option<Child>,
    client: Client,
    folder: TempDir,
    variables: Vec<(String, String)>,
}

impl Binary {
    /// Starts the program with `VERITAIL_*` variables; it answers when this returns.
    pub fn start(variables: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().expect("a folder for the server");
        let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let nowhere = SocketAddr::from(([127, 0, 0, 1], 1));
        let mut binary = Self { child: None, client: Client::new(nowhere, ADMIN_TOKEN), folder, variables };
        binary.launch();
        binary
    }

    /// Its process, for `/proc`.
    pub fn pid(&self) -> u32 {
        self.child.as_ref().expect("it runs").id()
    }

    /// A client with the admin's token.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Its data folder.
    pub fn data_dir(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// What it logged so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.log_file()).unwrap_or_default()
    }

    /// Ends it as `kill -9` does.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().expect("the server's own handle");
            child.wait().expect("the server's own handle");
        }
    }

    /// Kills it, if it runs, and starts it again over the same folder, on another port.
    pub fn restart(&mut self) {
        self.kill();
        self.launch();
    }

    /// Takes the object store away, as an unmounted disk would be: nothing can be written to it.
    pub fn take_objects_away(&self) {
        std::fs::rename(self.objects(), self.objects().with_extension("away")).expect("the folder is there");
    }

    /// Brings it back as it was.
    pub fn bring_objects_back(&self) {
        std::fs::rename(self.objects().with_extension("away"), self.objects()).expect("the folder is there");
    }

    /// Its resident memory in KiB, as the kernel counts it.
    pub fn rss_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("the kernel says so");
        line.trim().trim_end_matches(" kB").parse().expect("a number")
    }

    /// No panic was counted, no request was answered 5xx, nothing in the log needs a person. For the end of a test in
    /// which nothing is wrong with the stores.
    pub async fn assert_untroubled(&self) {
        assert_eq!(self.client.metric("veritail_panics_total", "").await, 0.0, "{}", self.log());
        for class in ["500", "501", "502", "503", "504", "5xx"] {
            let status = format!("status=\"{class}\"");
            let seen = self.client.metric("veritail_http_request_duration_seconds_count", &status).await;
            assert_eq!(seen, 0.0, "answers with {class}; {}", self.log());
        }
        assert!(!self.log().contains("ERROR"), "{}", self.log());
    }

    fn objects(&self) -> PathBuf {
        self.data_dir().join("objects")
    }

    fn log_file(&self) -> PathBuf {
        self.folder.path().join("log")
    }

    fn launch(&mut self) {
        let log = open_to_append(&self.log_file());
        let mut child = Command::new(env!("CARGO_BIN_EXE_veritail"))
            .args(["serve", "--listen", "127.0.0.1:0", "--data-dir"])
            .arg(self.data_dir())
            .env_clear()
            .env("VERITAIL_ADMIN_TOKEN", ADMIN_TOKEN)
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::from(log))
            .spawn()
            .expect("the program was built for this test");
        let stdout = child.stdout.take().expect("piped");
        self.child = Some(child);
        let (said, hears) = mpsc::channel();
        std::thread::spawn(move || {
            let mut lines = BufReader::new(stdout).lines();
            let _ = said.send(lines.next().and_then(Result::ok).unwrap_or_default());
            // The pipe stays open for as long as the program has something to say.
            lines.for_each(drop);
        });
        let line = hears.recv_timeout(START_MAX).unwrap_or_default();
        let address = line.split_once("http://").and_then(|(_, rest)| rest.split_once(';')).map(|(address, _)| address);
        let Some(address) = address.and_then(|address| address.parse().ok()) else {
            panic!("the server did not start; it said {line:?} and logged\n{}", self.log());
        };
        self.client = Client::new(address, ADMIN_TOKEN);
    }
}

impl Drop for Binary {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the server logged:\n{}", self.log());
        }
        self.kill();
    }
}

fn open_to_append(path: &Path) -> std::fs::File {
    std::fs::File::options().create(true).append(true).open(path).expect("a file for the log")
}
