//! A stand-in for Azure's blob storage: Azurite on a free loopback port, which keeps everything in memory.

use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tempfile::TempDir;

use super::free_ports;
use super::program::{Running, installed};
use super::weed::http;

/// The account and key that Azurite's documentation gives to everybody.
const ACCOUNT: &str = "devstoreaccount1";
const KEY: &str = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

/// The server; it dies with this value.
pub struct Azurite {
    port: u16,
    _process: Running,
    _folder: TempDir,
}

/// The one server that the tests of a program share, while any of them holds it.
static SHARED: Mutex<Weak<Azurite>> = Mutex::new(Weak::new());

impl Azurite {
    /// Starts a server that answers when this returns.
    pub fn start() -> Self {
        for _ in 0..5 {
            let folder = tempfile::tempdir().expect("a folder for the server");
            let port = free_ports::in_a_row(1, 0);
            let mut command = Command::new("node");
            command.arg(installed("node/node_modules/azurite/dist/src/blob/main.js"));
            command.args(["--blobHost", "127.0.0.1", "--blobPort", &port.to_string(), "--inMemoryPersistence"]);
            command.args(["--silent", "--skipApiVersionCheck", "--disableTelemetry"]);
            let mut process = Running::start(command.current_dir(folder.path()));
            if process.wait_until(|| http(port, "GET", "/", b"").is_some()) {
                return Self { port, _process: process, _folder: folder };
            }
        }
        panic!("azurite did not start on any of five free ports");
    }

    /// The shared server. Tests tell their objects apart by their containers.
    pub fn shared() -> Arc<Self> {
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        shared.upgrade().unwrap_or_else(|| {
            let azurite = Arc::new(Self::start());
            *shared = Arc::downgrade(&azurite);
            azurite
        })
    }

    /// Makes a container.
    pub fn make_container(&self, container: &str) {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients/node/container.mjs");
        let made = Command::new("node").arg(script).args([&self.endpoint(), ACCOUNT, KEY, container]).output();
        let made = made.expect("node is installed");
        assert!(made.status.success(), "the container was not made: {}", String::from_utf8_lossy(&made.stderr));
    }

    /// The environment of a client that may do everything.
    pub fn variables(&self) -> Vec<(String, String)> {
        let variables = [
            ("AZURE_STORAGE_ACCOUNT_NAME", ACCOUNT.to_owned()),
            ("AZURE_STORAGE_ACCOUNT_KEY", KEY.to_owned()),
            ("AZURE_STORAGE_ENDPOINT", self.endpoint()),
            ("AZURE_ALLOW_HTTP", "true".to_owned()),
        ];
        variables.map(|(name, value)| (name.to_owned(), value)).to_vec()
    }

    fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}/{ACCOUNT}", self.port)
    }
}
