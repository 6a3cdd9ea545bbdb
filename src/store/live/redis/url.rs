//! Where Redis is, as its URL says: one server, a master that Sentinels know, or a Cluster.

use std::fmt;

use ::redis::{ConnectionInfo, IntoConnectionInfo};

/// A host and a port.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Address {
    pub(super) host: String,
    pub(super) port: u16,
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// What a URL says.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) shape: Shape,
    pub(super) tls: bool,
    pub(super) user: Option<String>,
    pub(super) password: Option<String>,
    pub(super) db: i64,
}

/// How many servers there are, and who knows which of them to ask.
#[derive(Clone, Debug)]
pub(super) enum Shape {
    /// One server.
    Single(Address),
    /// One server, as the client library reads its URL: a Unix socket, or parameters behind `?` or `#`.
    Given(Box<ConnectionInfo>),
    /// The master of this name, which these Sentinels know.
    Sentinel { sentinels: Vec<Address>, name: String },
    /// The masters of a Cluster, which these nodes know.
    Cluster(Vec<Address>),
}

/// Why a URL cannot be used. Names the part, and repeats nothing of it: what looks like a host may be half a password.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(super) enum BadUrl {
    #[error(
        "its scheme is none of redis, rediss, redis-sentinel, rediss-sentinel, redis-cluster, rediss-cluster, redis+unix"
    )]
    Scheme,
    #[error("it has no host")]
    NoHost,
    #[error("host {0} is empty")]
    EmptyHost(usize),
    #[error("the port of host {0} is not a number from 1 to 65535")]
    Port(usize),
    #[error("it names several hosts; only redis-sentinel:// and redis-cluster:// do that")]
    SeveralHosts,
    #[error("its user or password is not percent-encoded UTF-8")]
    UserOrPassword,
    #[error("its database is not a number")]
    Database,
    #[error("a Cluster has one database; the path must be empty or /0")]
    ClusterDatabase,
    #[error("it names no master; write redis-sentinel://host:26379,host:26379/mymaster")]
    NoMasterName,
    #[error("it has parameters behind ? or #, which Sentinel and Cluster URLs do not take")]
    Parameters,
    #[error("the client library says: {0}")]
    Library(String),
}

const REDIS_PORT: u16 = 6379;
const SENTINEL_PORT: u16 = 26379;

impl Target {
    /// Reads a URL.
    pub(super) fn read(url: &str) -> Result<Self, BadUrl> {
        let (scheme, rest) = url.split_once("://").ok_or(BadUrl::Scheme)?;
        let scheme = scheme.to_ascii_lowercase();
        let (tls, kind) = match scheme.as_str() {
            "unix" | "redis+unix" | "valkey+unix" => return Self::given(url),
            "redis" | "valkey" => (false, ""),
            "rediss" | "valkeys" => (true, ""),
            _ => {
                let (product, kind) = scheme.split_once(['-', '+']).ok_or(BadUrl::Scheme)?;
                match product {
                    "redis" | "valkey" => (false, kind),
                    "rediss" | "valkeys" => (true, kind),
                    _ => return Err(BadUrl::Scheme),
                }
            }
        };
        if !matches!(kind, "" | "sentinel" | "cluster") {
            return Err(BadUrl::Scheme);
        }
        if rest.contains(['?', '#']) {
            return if kind.is_empty() { Self::given(url) } else { Err(BadUrl::Parameters) };
        }
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        if path.contains('@') {
            // A slash in the password has cut it.
            return Err(BadUrl::UserOrPassword);
        }
        let (credentials, hosts) = match authority.rsplit_once('@') {
            Some((credentials, hosts)) => (credentials, hosts),
            None => ("", authority),
        };
        let (user, password) = credentials.split_once(':').unwrap_or((credentials, ""));
        let port = if kind == "sentinel" { SENTINEL_PORT } else { REDIS_PORT };
        let hosts = addresses(hosts, port)?;
        let path = path.trim_end_matches('/');
        let (shape, db) = match kind {
            "sentinel" => {
                let (name, db) = path.split_once('/').unwrap_or((path, ""));
                let name = decoded(name)?.ok_or(BadUrl::NoMasterName)?;
                (Shape::Sentinel { sentinels: hosts, name }, database(db)?)
            }
            "cluster" if matches!(path, "" | "0") => (Shape::Cluster(hosts), 0),
            "cluster" => return Err(BadUrl::ClusterDatabase),
            _ => {
                let [address] = <[Address; 1]>::try_from(hosts).map_err(|_| BadUrl::SeveralHosts)?;
                (Shape::Single(address), database(path)?)
            }
        };
        Ok(Self { shape, tls, user: decoded(user)?, password: decoded(password)?, db })
    }

    /// Where it is, for messages.
    pub(super) fn place(&self) -> String {
        let list = |all: &[Address]| all.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        match &self.shape {
            Shape::Single(address) => address.to_string(),
            Shape::Given(given) => given.addr().to_string(),
            Shape::Sentinel { sentinels, name } => format!("the master {name} of the Sentinels {}", list(sentinels)),
            Shape::Cluster(nodes) => format!("the Cluster of {}", list(nodes)),
        }
    }

    fn given(url: &str) -> Result<Self, BadUrl> {
        // Its category only: the library may repeat what it could not read.
        let given = url.into_connection_info().map_err(|error| BadUrl::Library(error.category().to_owned()))?;
        let tls = matches!(given.addr(), ::redis::ConnectionAddr::TcpTls { .. });
        Ok(Self { shape: Shape::Given(Box::new(given)), tls, user: None, password: None, db: 0 })
    }
}

fn database(text: &str) -> Result<i64, BadUrl> {
    match text {
        "" => Ok(0),
        number => number.parse::<u16>().map(i64::from).map_err(|_| BadUrl::Database),
    }
}

/// Reads `host:port,host:port`; counts from 1 in its errors.
fn addresses(hosts: &str, default_port: u16) -> Result<Vec<Address>, BadUrl> {
    if hosts.is_empty() {
        return Err(BadUrl::NoHost);
    }
    let read = |(at, text): (usize, &str)| {
        let at = at + 1;
        let (host, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((host, "")) => (host, None),
            Some((host, port)) => (host, Some(port.strip_prefix(':').ok_or(BadUrl::Port(at))?)),
            None => text.rsplit_once(':').map_or((text, None), |(host, port)| (host, Some(port))),
        };
        if host.is_empty() {
            return Err(BadUrl::EmptyHost(at));
        }
        let port = match port {
            None => default_port,
            Some(port) => port.parse().ok().filter(|port| *port != 0).ok_or(BadUrl::Port(at))?,
        };
        Ok(Address { host: host.to_owned(), port })
    };
    hosts.split(',').enumerate().map(read).collect()
}

/// Undoes percent-encoding; `None` for an empty text.
fn decoded(text: &str) -> Result<Option<String>, BadUrl> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let (digits, after) = rest.split_at_checked(2).ok_or(BadUrl::UserOrPassword)?;
        bytes.extend(hex::decode(digits).map_err(|_| BadUrl::UserOrPassword)?);
        rest = after;
    }
    let text = String::from_utf8(bytes).map_err(|_| BadUrl::UserOrPassword)?;
    Ok(Some(text).filter(|text| !text.is_empty()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(url: &str) -> String {
        match Target::read(url) {
            Ok(Target { shape, tls, user, password, db }) => {
                let list = |all: &[Address]| all.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
                let shape = match &shape {
                    Shape::Single(address) => format!("single {address}"),
                    Shape::Given(given) => format!("given {}", given.addr()),
                    Shape::Sentinel { sentinels, name } => format!("sentinel {} of {name}", list(sentinels)),
                    Shape::Cluster(nodes) => format!("cluster {}", list(nodes)),
                };
                format!("{shape} tls={tls} {user:?} {password:?} {db}")
            }
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn every_form_is_read() {
        for (url, expected) in [
            ("redis://127.0.0.1", "single 127.0.0.1:6379 tls=false None None 0"),
            (
                "rediss://u:p%40ss@redis.example:7000/3",
                "single redis.example:7000 tls=true Some(\"u\") Some(\"p@ss\") 3",
            ),
            ("valkey://:p@[::1]:7/", "single [::1]:7 tls=false None Some(\"p\") 0"),
            (
                "redis-sentinel://:p@a:1,b,[::2]/mymaster/2",
                "sentinel a:1 b:26379 [::2]:26379 of mymaster tls=false None Some(\"p\") 2",
            ),
            ("rediss+sentinel://a/m", "sentinel a:26379 of m tls=true None None 0"),
            ("redis-cluster://u:p@a:7000,b:7001", "cluster a:7000 b:7001 tls=false Some(\"u\") Some(\"p\") 0"),
            ("rediss-cluster://a/0", "cluster a:6379 tls=true None None 0"),
            ("redis+unix:///run/redis.sock?db=2", "given /run/redis.sock tls=false None None 0"),
            ("redis://a:5/?protocol=resp3", "given a:5 tls=false None None 0"),
        ] {
            assert_eq!(shown(url), expected, "{url}");
        }
    }

    #[test]
    fn a_bad_url_names_the_part_and_repeats_nothing_of_it() {
        for (url, expected) in [
            ("hunter2", BadUrl::Scheme),
            ("http://:hunter2@a", BadUrl::Scheme),
            ("redis-ring://:hunter2@a", BadUrl::Scheme),
            ("redis://:hunter2@", BadUrl::NoHost),
            ("redis://:hunter2@a:x", BadUrl::Port(1)),
            ("redis://:hunter2@a,b", BadUrl::SeveralHosts),
            ("redis://:hunter2%zz@a", BadUrl::UserOrPassword),
            ("redis://:hunter2@a/x", BadUrl::Database),
            ("redis-sentinel://:hunter2@a:1,b:0/m", BadUrl::Port(2)),
            ("redis-sentinel://:hunter2@a,,b/m", BadUrl::EmptyHost(2)),
            ("redis-sentinel://:hunter2@a", BadUrl::NoMasterName),
            ("redis-cluster://:hunter2@a/1", BadUrl::ClusterDatabase),
            ("redis-cluster://:hunter2@a?db=1", BadUrl::Parameters),
            // A password that was not encoded, cut at its slash.
            ("redis://:hunter2/x@a", BadUrl::UserOrPassword),
        ] {
            let error = Target::read(url).expect_err(url);
            assert_eq!(error, expected, "{url}");
            assert!(!format!("{error} {error:?}").contains("hunter2"), "{error}");
        }
    }
}
