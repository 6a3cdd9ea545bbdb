//! A real redis-server or valkey-server on a free loopback port, in a folder of its own.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use super::certificates::Authority;

/// What the server writes to its disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// Nothing: a restart begins empty.
    Nothing,
    /// Every write before it is answered: a restart loses nothing.
    Always,
}

/// Whose server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Product {
    /// redis-server.
    Redis,
    /// valkey-server.
    Valkey,
}

impl Product {
    /// Its program, as `tests/run prepare` installs it.
    fn program(self) -> PathBuf {
        let (name, own) = match self {
            Self::Redis => ("redis-server", None),
            Self::Valkey => ("valkey-server", Some("target/clients/valkey/usr/bin/valkey-server")),
        };
        let own = own.map(|own| Path::new(env!("CARGO_MANIFEST_DIR")).join(own)).filter(|own| own.exists());
        own.unwrap_or_else(|| name.into())
    }
}

/// The server; it dies with this value.
pub struct RedisServer {
    port: u16,
    folder: TempDir,
    durability: Durability,
    product: Product,
    arguments: Vec<String>,
    /// The text of a Sentinel's file; it is written anew for every start.
    sentinel: Option<String>,
    /// Its second port, where it speaks TLS; 0 without.
    tls_port: u16,
    child: Option<Child>,
}

impl RedisServer {
    /// Starts a server that answers when this returns.
    pub fn start(durability: Durability) -> Self {
        Self::start_with(Product::Redis, durability, &[])
    }

    /// The same of a product, with further arguments.
    pub fn start_with(product: Product, durability: Durability, arguments: &[&str]) -> Self {
        Self::start_any(product, durability, arguments, None, None)
    }

    /// The same with a second port for TLS, if there is an authority that signs its certificate.
    pub fn start_over(tls: Option<&Authority>, product: Product, arguments: &[&str]) -> Self {
        Self::start_any(product, Durability::Nothing, arguments, tls, None)
    }

    /// Starts a Sentinel; `file` says what it watches.
    pub fn start_sentinel(tls: Option<&Authority>, product: Product, arguments: &[&str], file: &str) -> Self {
        Self::start_any(product, Durability::Nothing, arguments, tls, Some(file.to_owned()))
    }

    fn start_any(
        product: Product,
        durability: Durability,
        arguments: &[&str],
        tls: Option<&Authority>,
        sentinel: Option<String>,
    ) -> Self {
        let arguments: Vec<String> = arguments.iter().map(ToString::to_string).collect();
        // Between finding a free port and taking it somebody else may take it.
        for _ in 0..5 {
            let mut server = Self {
                port: free_port(),
                folder: tempfile::tempdir().expect("a folder for the server"),
                durability,
                product,
                arguments: arguments.clone(),
                sentinel: sentinel.clone(),
                tls_port: 0,
                child: None,
            };
            if let Some(authority) = tls {
                server.speak_tls(authority);
            }
            if server.launch() {
                return server;
            }
        }
        panic!("{product:?} did not start on any of five free ports with {arguments:?}");
    }

    /// The URL to connect to.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/", self.port)
    }

    /// Its port, without TLS.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its port with TLS.
    pub fn tls_port(&self) -> u16 {
        self.tls_port
    }

    fn speak_tls(&mut self, authority: &Authority) {
        self.tls_port = free_port();
        let (certificate, key) = authority.sign("127.0.0.1").write(self.folder.path());
        let files =
            [("--tls-cert-file", certificate), ("--tls-key-file", key), ("--tls-ca-cert-file", authority.file())];
        let files = files.into_iter().flat_map(|(name, file)| [name.to_owned(), file.display().to_string()]);
        self.arguments.extend(["--tls-port".to_owned(), self.tls_port.to_string()]);
        self.arguments.extend(files);
        // Clients need no certificate unless a test says so.
        if !self.arguments.iter().any(|argument| argument == "--tls-auth-clients") {
            self.arguments.extend(["--tls-auth-clients".to_owned(), "no".to_owned()]);
        }
    }

    /// Its folder.
    pub fn folder(&self) -> &Path {
        self.folder.path()
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
        assert!(self.launch(), "{:?} did not start again on port {}", self.product, self.port);
    }

    /// Its process stands still, and goes on again.
    pub fn stand_still(&self, still: bool) {
        let child = self.child.as_ref().expect("the server runs");
        let signal = if still { "-STOP" } else { "-CONT" };
        let sent = Command::new("kill").args([signal, &child.id().to_string()]).status().expect("kill is installed");
        assert!(sent.success(), "the server's own process");
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
        let program = self.product.program();
        let mut command = Command::new(&program);
        let port = self.port.to_string();
        if let Some(text) = &self.sentinel {
            let file = self.folder.path().join("sentinel.conf");
            std::fs::write(&file, text).expect("a file that can be written");
            command.arg(file).args(["--sentinel", "--bind", "127.0.0.1", "--port", &port, "--daemonize", "no"]);
        } else {
            let append_only = if self.durability == Durability::Always { "yes" } else { "no" };
            command.args(["--bind", "127.0.0.1", "--port", &port, "--daemonize", "no", "--save", ""]).args([
                "--appendonly",
                append_only,
                "--appendfsync",
                "always",
                "--maxmemory-policy",
                "noeviction",
            ]);
        }
        command.arg("--dir").arg(self.folder.path()).args(&self.arguments);
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let child = child.unwrap_or_else(|error| {
            panic!("{} does not start: {error}; `tests/run prepare` installs what tests need", program.display())
        });
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

    /// True if *this* server answers: while it was down its port may have become another's.
    fn answers(&self) -> bool {
        let own = self.child.as_ref().map(|child| child.id().to_string()).unwrap_or_default();
        answers(self.port) && [String::new(), own].contains(&info(self.port, "process_id"))
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        self.kill();
    }
}

/// True if a server on this port answers, also one that wants to know who asks first.
pub fn answers(port: u16) -> bool {
    let Ok(mut stream) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)) else { return false };
    let mut answer = [0; 5];
    stream.set_read_timeout(Some(Duration::from_secs(1))).is_ok()
        && stream.write_all(b"PING\r\n").is_ok()
        && stream.read_exact(&mut answer).is_ok()
        && (&answer == b"+PONG" || &answer == b"-NOAU")
}

/// A port that is free now.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free loopback port");
    listener.local_addr().expect("a bound address").port()
}

#[allow(clippy::disallowed_methods, reason = "waits for a real process, between looks at it")]
fn pause() {
    std::thread::sleep(Duration::from_millis(10));
}

/// One command to the server on a port, over a connection of its own.
pub fn order(port: u16, words: &[&str]) -> redis::RedisResult<redis::Value> {
    let client = redis::Client::open(("127.0.0.1", port))?;
    let mut connection = client.get_connection_with_timeout(Duration::from_secs(2))?;
    connection.set_read_timeout(Some(Duration::from_secs(5)))?;
    redis::cmd(words[0]).arg(&words[1..]).query(&mut connection)
}

/// What INFO of the server on a port says under a name.
pub fn info(port: u16, name: &str) -> String {
    let Ok(info) = order(port, &["INFO"]) else { return String::new() };
    let info: redis::InfoDict = redis::FromRedisValue::from_redis_value(info).expect("INFO");
    info.get(name).unwrap_or_default()
}
