//! A real S3: SeaweedFS on free loopback ports, in a folder of its own. Signatures are checked.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use tempfile::TempDir;

use super::free_ports;
use super::program::{Running, installed};

/// Who may do everything.
const KEY: (&str, &str) = ("veritail-key", "veritail-secret");
/// Who may only read and list.
const READER: (&str, &str) = ("reader-key", "reader-secret");
/// How far above a port its second one lies.
const ABOVE: u16 = 10_000;

/// The server; it dies with this value.
pub struct Weed {
    port: u16,
    folder: TempDir,
    process: Option<Running>,
}

/// The one server that the tests of a program share, while any of them holds it.
static SHARED: Mutex<Weak<Weed>> = Mutex::new(Weak::new());

impl Weed {
    /// Starts a server that takes objects when this returns.
    pub fn start() -> Self {
        // Between finding free ports and taking them somebody else may take one.
        for _ in 0..5 {
            let folder = tempfile::tempdir().expect("a folder for the server");
            let mut weed = Self { port: free_ports::in_a_row(4, ABOVE), folder, process: None };
            if weed.launch() {
                return weed;
            }
        }
        panic!("weed did not start on any of five groups of free ports");
    }

    /// The shared server: it takes seconds to start. Tests tell their objects apart by their buckets.
    pub fn shared() -> Arc<Self> {
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        shared.upgrade().unwrap_or_else(|| {
            let weed = Arc::new(Self::start());
            *shared = Arc::downgrade(&weed);
            weed
        })
    }

    /// Makes a bucket. To the server it is a folder of its file tree.
    pub fn make_bucket(&self, bucket: &str) {
        let status = self.file_tree("POST", &format!("/buckets/{bucket}/"), b"");
        assert!((200..300).contains(&status), "the bucket was not made: {status}");
    }

    /// Removes a bucket with everything in it.
    pub fn remove_bucket(&self, bucket: &str) {
        let status = self.file_tree("DELETE", &format!("/buckets/{bucket}/?recursive=true"), b"");
        assert!((200..300).contains(&status), "the bucket was not removed: {status}");
    }

    /// Writes over an object, past S3.
    pub fn overwrite(&self, bucket: &str, key: &str, bytes: &[u8]) {
        let status = self.file_tree("PUT", &format!("/buckets/{bucket}/{key}"), bytes);
        assert!((200..300).contains(&status), "the object was not written over: {status}");
    }

    /// The port of its S3.
    pub fn port(&self) -> u16 {
        self.port + 3
    }

    /// The environment of a client that may do everything.
    pub fn variables(&self) -> Vec<(String, String)> {
        variables(self.port(), KEY)
    }

    /// That of one that may only read and list.
    pub fn reader_variables(&self) -> Vec<(String, String)> {
        variables(self.port(), READER)
    }

    /// Stops the server as `kill -9` does. Nothing answers until [`restart`](Self::restart).
    pub fn stop(&mut self) {
        self.process = None;
    }

    /// Stops the server, if it runs, and starts it again on the same ports and folder.
    pub fn restart(&mut self) {
        self.stop();
        assert!(self.launch(), "weed did not start again");
    }

    fn launch(&mut self) -> bool {
        let config = self.folder.path().join("s3.json");
        let identity = |name: &str, (key, secret): (&str, &str), actions: &str| {
            format!(
                r#"{{"name":"{name}","credentials":[{{"accessKey":"{key}","secretKey":"{secret}"}}],"actions":[{actions}]}}"#
            )
        };
        let all = identity("veritail", KEY, r#""Admin","Read","Write","List""#);
        let reader = identity("reader", READER, r#""Read","List""#);
        std::fs::write(&config, format!(r#"{{"identities":[{all},{reader}]}}"#)).expect("a file");
        let data = self.folder.path().join("data");
        std::fs::create_dir_all(&data).expect("a folder");
        let port = |index: u16| (self.port + index).to_string();
        let mut command = Command::new(installed("python/bin/weed"));
        command.args(["server", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-filer", "-s3", "-s3.iam=false"]);
        command.args(["-master.telemetry=false", "-master.electionTimeout=1s", "-master.volumeSizeLimitMB=64"]);
        command.args(["-volume.max=2000", "-s3.port.iceberg=0", "-s3.port.lance=0"]);
        command.arg(format!("-dir={}", data.display())).arg(format!("-s3.config={}", config.display()));
        command.arg(format!("-master.port={}", port(0))).arg(format!("-volume.port={}", port(1)));
        command.arg(format!("-filer.port={}", port(2))).arg(format!("-s3.port={}", port(3)));
        let mut process = Running::start(command.current_dir(self.folder.path()));
        let up = process.wait_until(|| {
            // S3 answers before there is room for the first object.
            http(self.port(), "GET", "/", b"").is_some_and(|status| status == 403)
                && self.file_tree("PUT", "/ready/file", b"ready") == 201
        });
        self.process = up.then_some(process);
        up
    }

    fn file_tree(&self, method: &str, path: &str, body: &[u8]) -> u16 {
        http(self.port + 2, method, path, body).unwrap_or_default()
    }
}

/// Of a client with these credentials, which speaks to `port`.
fn variables(port: u16, (key, secret): (&str, &str)) -> Vec<(String, String)> {
    let variables = [
        ("AWS_ACCESS_KEY_ID", key.to_owned()),
        ("AWS_SECRET_ACCESS_KEY", secret.to_owned()),
        ("AWS_REGION", "us-east-1".to_owned()),
        ("AWS_ENDPOINT_URL", format!("http://127.0.0.1:{port}")),
        ("AWS_ALLOW_HTTP", "true".to_owned()),
    ];
    variables.map(|(name, value)| (name.to_owned(), value)).to_vec()
}

/// One request over a connection of its own: the status, or `None` without an answer.
pub fn http(port: u16, method: &str, path: &str, body: &[u8]) -> Option<u16> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(10))).ok()?;
    let size = body.len();
    let head =
        format!("{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\nContent-Length: {size}");
    stream.write_all(format!("{head}\r\n\r\n").as_bytes()).ok()?;
    stream.write_all(body).ok()?;
    let mut answer = Vec::new();
    stream.take(4096).read_to_end(&mut answer).ok()?;
    String::from_utf8_lossy(&answer).split(' ').nth(1)?.parse().ok()
}
