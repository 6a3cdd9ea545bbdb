//! The real program, with a data folder and a port of its own.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Child;

use tempfile::TempDir;

use super::Client;
use super::launch::{self, ADMIN_TOKEN};
use crate::support::wait::{PATIENCE, holds_within};

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
        Self::start_program(Path::new(launch::PROGRAM), variables)
    }

    /// The same with another program, such as an earlier version, until it is restarted.
    pub fn start_program(program: &Path, variables: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().expect("a folder for the server");
        let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let nowhere = SocketAddr::from(([127, 0, 0, 1], 1));
        let mut binary = Self { child: None, client: Client::new(nowhere, ADMIN_TOKEN), folder, variables };
        binary.launch(program);
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

    /// Where it logs.
    pub fn log_file(&self) -> PathBuf {
        launch::log_file(self.folder.path())
    }

    /// Its data folder.
    pub fn data_dir(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// What it logged so far.
    pub fn log(&self) -> String {
        launch::log_of(self.folder.path())
    }

    /// Waits until its log says this: what is seen from outside may come before the message about it.
    pub async fn until_logged(&self, text: &str) {
        let is_there = holds_within(PATIENCE, async || self.log().contains(text)).await;
        assert!(is_there, "never logged: {text}\n{}", self.log());
    }

    /// Ends it as `kill -9` does.
    pub fn kill(&mut self) {
        launch::kill(&mut self.child);
    }

    /// Kills it, if it runs, and starts it again over the same folder, on another port.
    pub fn restart(&mut self) {
        self.kill();
        self.launch(Path::new(launch::PROGRAM));
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
            let seen = self.client.metric("veritail_http_requests_total", &status).await;
            assert_eq!(seen, 0.0, "answers with {class}; {}", self.log());
        }
        assert!(!self.log().contains("ERROR"), "{}", self.log());
    }

    fn objects(&self) -> PathBuf {
        self.data_dir().join("objects")
    }

    fn launch(&mut self, program: &Path) {
        let (child, address) = launch::launch_program(program, self.folder.path(), 0, &self.variables);
        self.child = Some(child);
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
