//! Starting the real program: `veritail serve` over a folder, until it says where it listens.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

/// How long the program may take to say where it listens.
const START_MAX: Duration = Duration::from_secs(30);
/// The admin's token of every server.
pub const ADMIN_TOKEN: &str = "admin-token-of-the-tests";

/// The file below a server's folder to which it logs.
pub fn log_file(folder: &Path) -> PathBuf {
    folder.join("log")
}

/// What a server logged so far.
pub fn log_of(folder: &Path) -> String {
    std::fs::read_to_string(log_file(folder)).unwrap_or_default()
}

/// Ends a server as `kill -9` does, if it runs.
pub fn kill(child: &mut Option<Child>) {
    if let Some(mut child) = child.take() {
        child.kill().expect("the server's own handle");
        child.wait().expect("the server's own handle");
    }
}

/// The program as it is now.
pub const PROGRAM: &str = env!("CARGO_BIN_EXE_veritail");

/// Starts a server below `folder` on this port of the loopback, 0 for a free one, with nothing of this process's
/// environment but what is given. It answers when this returns.
pub fn launch(folder: &Path, port: u16, variables: &[(String, String)]) -> (Child, SocketAddr) {
    launch_program(Path::new(PROGRAM), folder, port, variables)
}

/// The same with another program, such as an earlier version.
pub fn launch_program(program: &Path, folder: &Path, port: u16, variables: &[(String, String)]) -> (Child, SocketAddr) {
    let log = std::fs::File::options().create(true).append(true).open(log_file(folder));
    let mut command = Command::new(program);
    command.env_clear();
    if program == Path::new(PROGRAM) {
        // Its jobs would come between those of the tests. An earlier version knows no canary.
        command.env("VERITAIL_VERIFY_CANARY", "off");
    }
    let mut child = command
        .args(["serve", "--listen", &format!("127.0.0.1:{port}"), "--data-dir"])
        .arg(folder.join("data"))
        .env("VERITAIL_ADMIN_TOKEN", ADMIN_TOKEN)
        .envs(variables.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::from(log.expect("a file for the log")))
        .spawn()
        .unwrap_or_else(|error| panic!("{} does not start: {error}", program.display()));
    let stdout = child.stdout.take().expect("piped");
    let (said, hears) = mpsc::channel();
    std::thread::spawn(move || {
        let mut lines = BufReader::new(stdout).lines();
        let _ = said.send(lines.next().and_then(Result::ok).unwrap_or_default());
        // The pipe stays open for as long as the program has something to say.
        lines.for_each(drop);
    });
    let line = hears.recv_timeout(START_MAX).unwrap_or_default();
    let address = line.split_once("://").and_then(|(_, rest)| rest.split_once(';')).map(|(address, _)| address);
    match address.and_then(|address| address.parse().ok()) {
        Some(address) => (child, address),
        None => {
            kill(&mut Some(child));
            panic!("the server did not start; it said {line:?} and logged\n{}", log_of(folder));
        }
    }
}
