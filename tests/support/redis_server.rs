//! A real redis-server on a free loopback port, in a folder of its own.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

/// What the server writes to its disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// Nothing: a restart begins empty.
    Nothing,
    /// Every write before it is answered: a restart loses nothing.
    Always,
}

/// The server; it dies with this value.
pub struct RedisServer {
    port: u16,
    folder: TempDir,
    durability: Durability,
    child: Option<Child>,
}

impl RedisServer {
    /// Starts a server that answers when this returns.
    pub fn start(durability: Durability) -> Self {
        // Between finding a free port and taking it somebody else may take it.
        for _ in 0..5 {
            let mut server = Self {
                port: free_port(),
                folder: tempfile::tempdir().expect("a folder for the server"),
                durability,
                child: None,
            };
            if server.launch() {
                return server;
            }
        }
        panic!("redis-server did not start on any of five free ports");
    }

    /// The URL to connect to.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/", self.port)
    }

    /// Stops the server as `kill -9` does. Nothing answers until [`restart`](Self::restart).
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().expect("the server's own handle");
            child.wait().expect("the server's own handle");
        }
    }

    /// Kills the server, if it runs, and starts it again on the same port and folder.
    pub fn restart(&mut self) {
        self.kill();
        assert!(self.launch(), "redis-server did not start again on port {}", self.port);
    }

    /// Stops it where it is; its connections stay open and nothing is answered.
    pub fn pause(&self) {
        self.signal("STOP");
    }

    /// Lets it go on.
    pub fn go_on(&self) {
        self.signal("CONT");
    }

    fn signal(&self, name: &str) {
        let pid = self.child.as_ref().expect("it runs").id().to_string();
        let sent = Command::new("kill").args([&format!("-{name}"), &pid]).status().expect("kill is installed");
        assert!(sent.success(), "kill -{name} {pid}");
    }

    /// Says something to the server, which must answer without an error.
    pub fn command(&self, words: &[&str]) {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).expect("it listens");
        stream.set_read_timeout(Some(Duration::from_secs(10))).expect("a time");
        let mut command = format!("*{}\r\n", words.len());
        for word in words {
            command += &format!("${}\r\n{word}\r\n", word.len());
        }
        stream.write_all(command.as_bytes()).expect("it reads");
        let mut answer = [0; 1];
        stream.read_exact(&mut answer).expect("it answers");
        assert_ne!(answer[0], b'-', "{words:?} was refused");
    }

    fn launch(&mut self) -> bool {
        let append_only = if self.durability == Durability::Always { "yes" } else { "no" };
        let child = Command::new("redis-server")
            .args(["--bind", "127.0.0.1", "--port", &self.port.to_string(), "--daemonize", "no", "--save", ""])
            .args(["--appendonly", append_only, "--appendfsync", "always", "--maxmemory-policy", "noeviction"])
            .arg("--dir")
            .arg(self.folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("redis-server is installed");
        self.child = Some(child);
        // 10 seconds at most.
        for _ in 0..1000 {
            if self.answers() {
                return true;
            }
            let exited = self.child.as_mut().is_none_or(|child| !matches!(child.try_wait(), Ok(None)));
            if exited {
                self.child = None;
                return false;
            }
            pause();
        }
        self.kill();
        false
    }

    fn answers(&self) -> bool {
        let Ok(mut stream) = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)) else { return false };
        let mut answer = [0; 5];
        stream.set_read_timeout(Some(Duration::from_secs(1))).is_ok()
            && stream.write_all(b"PING\r\n").is_ok()
            && stream.read_exact(&mut answer).is_ok()
            && &answer == b"+PONG"
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        self.kill();
    }
}

fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free loopback port");
    listener.local_addr().expect("a bound address").port()
}

#[allow(clippy::disallowed_methods, reason = "waits for a real process, between looks at it")]
fn pause() {
    std::thread::sleep(Duration::from_millis(10));
}
