//! TLS: the certificate and its key, read at the start and again when asked to, for all connections from then on.

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::stream::Watched;

/// Why there is no TLS.
#[derive(Debug, thiserror::Error)]
pub enum NoTls {
    /// One of the two settings is missing.
    #[error("TLS needs both http.tls_certificate and http.tls_key; only one is set")]
    Half,
    /// A file cannot be read.
    #[error("{}: {error}; a PEM file is needed", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        error: rustls::pki_types::pem::Error,
    },
    /// The certificate and the key do not fit, or cannot be used.
    #[error("{} and {}: {error}", certificate.display(), key.display())]
    Pair {
        /// The file with the certificate.
        certificate: PathBuf,
        /// The file with the key.
        key: PathBuf,
        /// Why.
        error: rustls::Error,
    },
}

/// Chooses the cryptography of this process, for servers and clients alike, once.
pub fn choose_cryptography() {
    // Fails where it was chosen before, which is as good.
    let _ = ring::default_provider().install_default();
}

/// How this server proves who it is.
#[derive(Debug)]
pub struct Tls {
    certificate: PathBuf,
    key: PathBuf,
    held: Arc<Held>,
    config: Arc<rustls::ServerConfig>,
}

/// The pair in use.
#[derive(Debug)]
struct Held(RwLock<Arc<CertifiedKey>>);

impl ResolvesServerCert for Held {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.read().unwrap_or_else(PoisonError::into_inner).clone())
    }
}

impl Tls {
    /// With these files, if both are set; `None` if none is.
    pub fn of(certificate: Option<&Path>, key: Option<&Path>) -> Result<Option<Arc<Self>>, NoTls> {
        let (certificate, key) = match (certificate, key) {
            (Some(certificate), Some(key)) => (certificate, key),
            (None, None) => return Ok(None),
            _ => return Err(NoTls::Half),
        };
        choose_cryptography();
        let provider = Arc::new(ring::default_provider());
        let held = Arc::new(Held(RwLock::new(Arc::new(read(certificate, key, &provider)?))));
        let pair = |error| NoTls::Pair { certificate: certificate.to_owned(), key: key.to_owned(), error };
        let config = rustls::ServerConfig::builder_with_provider(provider);
        let config = config.with_safe_default_protocol_versions().map_err(pair)?;
        let mut config = config.with_no_client_auth().with_cert_resolver(held.clone());
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let (certificate, key) = (certificate.to_owned(), key.to_owned());
        Ok(Some(Arc::new(Self { certificate, key, held, config: Arc::new(config) })))
    }

    /// Reads both files again. What does not fit is not taken, and the old pair stays in use.
    pub fn reload(&self) -> Result<(), NoTls> {
        let fresh = read(&self.certificate, &self.key, &Arc::new(ring::default_provider()))?;
        *self.held.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(fresh);
        Ok(())
    }

    pub(super) async fn accept(&self, stream: Watched) -> std::io::Result<TlsStream<Watched>> {
        TlsAcceptor::from(self.config.clone()).accept(stream).await
    }
}

fn read(certificate: &Path, key: &Path, provider: &Arc<CryptoProvider>) -> Result<CertifiedKey, NoTls> {
    let of = |path: &Path| {
        let path = path.to_owned();
        move |error| NoTls::File { path, error }
    };
    let chain = CertificateDer::pem_file_iter(certificate).and_then(Iterator::collect).map_err(of(certificate))?;
    let secret = PrivateKeyDer::from_pem_file(key).map_err(of(key))?;
    let pair = |error| NoTls::Pair { certificate: certificate.to_owned(), key: key.to_owned(), error };
    CertifiedKey::from_der(chain, secret, provider).map_err(pair)
}
