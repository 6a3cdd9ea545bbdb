//! The program as a person runs it: commands with their output and exit code, and a server on a port that stays the same.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use crate::support::server::{ADMIN_TOKEN, Client, Job, kill, launch, log_of};

/// How long anything may take.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// The program with these arguments; nothing of this process's environment but what it cannot do without.
pub fn veritail(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_veritail"));
    command.args(arguments).env_clear().stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Runs a command to its end.
pub fn run(arguments: &[&str]) -> Output {
    veritail(arguments).output().expect("the program was built for this test")
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The exit code, and what was said.
pub fn code(output: &Output) -> (Option<i32>, String) {
    (output.status.code(), text(&output.stderr))
}

/// `veritail serve`, on one port for its whole life; it dies with this value.
pub struct Server {
    child: Option<Child>,
    port: u16,
    variables: Vec<(String, String)>,
    pub folder: TempDir,
}

impl Server {
    pub fn start(variables: &[(&str, &str)]) -> Self {
        let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let folder = tempfile::tempdir().expect("a folder");
        let mut server = Self { child: None, port: 0, variables, folder };
        server.launch();
        server
    }

    pub fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.port))
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address())
    }

    /// A client with the admin's token.
    pub fn client(&self) -> Client {
        Client::new(self.address(), ADMIN_TOKEN)
    }

    pub fn data_dir(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    pub fn log(&self) -> String {
        log_of(self.folder.path())
    }

    /// A command that speaks to this server as the admin.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = veritail(arguments);
        command.env("VERITAIL_URL", self.url()).env("VERITAIL_TOKEN", ADMIN_TOKEN).env("NO_PROXY", "*");
        command.env("VERITAIL_SPOOL_DIR", self.spool());
        command
    }

    /// Where its senders keep their logs.
    pub fn spool(&self) -> PathBuf {
        self.folder.path().join("spool")
    }

    /// How many files are in the spool.
    pub fn spooled(&self) -> usize {
        std::fs::read_dir(self.spool()).map_or(0, Iterator::count)
    }

    /// The one spool that can be resumed.
    pub fn left_over(&self) -> PathBuf {
        let entries = std::fs::read_dir(self.spool()).expect("a spool").map(|entry| entry.expect("an entry").path());
        let mut files: Vec<PathBuf> =
            entries.filter(|path| path.extension().is_some_and(|extension| extension == "json")).collect();
        assert_eq!(files.len(), 1, "{files:?}");
        files.remove(0)
    }

    /// Sends a signal to the server.
    pub fn signal(&self, name: &str) {
        signal(self.child.as_ref().expect("it runs"), name);
    }

    /// As `kill -9` does.
    pub fn kill(&mut self) {
        kill(&mut self.child);
    }

    /// Waits for the server to end by itself.
    pub fn ends(&mut self) -> Option<i32> {
        self.child.take().expect("it runs").wait().expect("the server's own handle").code()
    }

    /// Starts it on its port, over its folder.
    pub fn launch(&mut self) {
        let (child, address) = launch(self.folder.path(), self.port, &self.variables);
        self.child = Some(child);
        self.port = address.port();
    }

    /// A bare connection.
    pub fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address()).expect("connected");
        stream.set_read_timeout(Some(PATIENCE)).expect("set");
        stream
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Sends a signal to a child of this test.
pub fn signal(child: &Child, name: &str) {
    let sent = Command::new("kill").args([&format!("-{name}"), &child.id().to_string()]).status().expect("kill runs");
    assert!(sent.success());
}

/// A command whose standard input is written to by hand.
pub struct Running {
    pub child: Child,
}

impl Running {
    pub fn start(mut command: Command) -> Self {
        Self { child: command.stdin(Stdio::piped()).spawn().expect("the program was built for this test") }
    }

    pub fn write(&mut self, bytes: &[u8]) {
        let stdin = self.child.stdin.as_mut().expect("piped");
        stdin.write_all(bytes).and_then(|()| stdin.flush()).expect("it reads");
    }

    /// Closes its input and waits for its end.
    pub fn end(mut self) -> Output {
        drop(self.child.stdin.take());
        self.child.wait_with_output().expect("it ends")
    }
}

/// Everything until the other side closes.
pub fn rest(stream: &mut TcpStream) -> String {
    let mut rest = Vec::new();
    let _ = stream.read_to_end(&mut rest);
    text(&rest)
}

/// The number of the newest job, and its project.
pub fn job(id: i64) -> Job {
    Job { id, token: String::new(), project: 1 }
}
