//! Who we are to the servers: user, password, certificates.

use ::redis::io::tcp::TcpSettings;
use ::redis::{
    Client, ClientTlsConfig, ConnectionAddr, ConnectionInfo, IntoConnectionInfo, RedisConnectionInfo, RedisResult,
    TlsCertificates,
};

use super::RESPONSE_TIMEOUT;
use super::url::Address;

/// What it takes to connect to any server of a set.
#[derive(Clone)]
pub(super) struct Access {
    pub(super) tls: bool,
    pub(super) certificates: Certificates,
    pub(super) user: Option<String>,
    pub(super) password: Option<String>,
    pub(super) db: i64,
    /// For the Sentinels themselves.
    pub(super) sentinel_user: Option<String>,
    pub(super) sentinel_password: Option<String>,
}

/// Certificates, PEM.
#[derive(Clone, Default)]
pub(super) struct Certificates {
    /// Whom to trust; `None`: whom the system trusts.
    pub(super) authority: Option<Vec<u8>>,
    /// Our own and its key.
    pub(super) own: Option<(Vec<u8>, Vec<u8>)>,
}

impl Access {
    /// A client of a server that keeps data.
    pub(super) fn client(&self, address: &Address) -> RedisResult<Client> {
        self.open(address, settings(self.user.as_deref(), self.password.as_deref()).set_db(self.db))
    }

    /// A client of a Sentinel.
    pub(super) fn sentinel(&self, address: &Address) -> RedisResult<Client> {
        self.open(address, settings(self.sentinel_user.as_deref(), self.sentinel_password.as_deref()))
    }

    /// A client of the server that the library read from a URL.
    pub(super) fn given(&self, given: &ConnectionInfo) -> RedisResult<Client> {
        self.with_certificates(given.clone().set_tcp_settings(tcp_settings()))
    }

    fn open(&self, address: &Address, settings: RedisConnectionInfo) -> RedisResult<Client> {
        let (host, port) = (address.host.clone(), address.port);
        let address = if self.tls {
            ConnectionAddr::TcpTls { host, port, insecure: false, tls_params: None }
        } else {
            ConnectionAddr::Tcp(host, port)
        };
        let target = address.into_connection_info()?.set_redis_settings(settings).set_tcp_settings(tcp_settings());
        self.with_certificates(target)
    }

    fn with_certificates(&self, target: ConnectionInfo) -> RedisResult<Client> {
        if !self.tls {
            return Client::open(target);
        }
        let own = self.certificates.own.clone();
        let client_tls = own.map(|(client_cert, client_key)| ClientTlsConfig { client_cert, client_key });
        Client::build_with_tls(target, TlsCertificates { client_tls, root_cert: self.certificates.authority.clone() })
    }
}

fn settings(user: Option<&str>, password: Option<&str>) -> RedisConnectionInfo {
    let mut settings = RedisConnectionInfo::default().set_lib_name("veritail", env!("CARGO_PKG_VERSION"));
    if let Some(user) = user {
        settings = settings.set_username(user);
    }
    if let Some(password) = password {
        settings = settings.set_password(password);
    }
    settings
}

fn tcp_settings() -> TcpSettings {
    let settings = TcpSettings::default().set_nodelay(true);
    // A connection into nothing (a host that died without a word) is given up for a new one, not kept for the quarter of
    // an hour in which the system repeats what it sent.
    #[cfg(target_os = "linux")]
    let settings = settings.set_user_timeout(RESPONSE_TIMEOUT);
    settings
}
