//! An authority of the test's own, and certificates signed by it, in files where servers want them.

use std::path::{Path, PathBuf};

use tempfile::TempDir;

/// The authority; its files go with it.
pub struct Authority {
    pem: String,
    issuer: rcgen::Issuer<'static, rcgen::KeyPair>,
    folder: TempDir,
}

/// A certificate with its key, PEM.
pub struct Certificate {
    /// The certificate.
    pub certificate: String,
    /// Its key.
    pub key: String,
}

impl Authority {
    /// A new one, which nobody trusts yet.
    pub fn new() -> Self {
        let key = rcgen::KeyPair::generate().expect("a key");
        let mut parameters = rcgen::CertificateParams::new(Vec::new()).expect("no names");
        parameters.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let pem = parameters.self_signed(&key).expect("a certificate").pem();
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("ca.pem"), &pem).expect("a file");
        Self { pem, issuer: rcgen::Issuer::new(parameters, key), folder }
    }

    /// Its own certificate, PEM.
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// The same in a file.
    pub fn file(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// A certificate for a name or an address.
    pub fn sign(&self, name: &str) -> Certificate {
        let key = rcgen::KeyPair::generate().expect("a key");
        let mut parameters = rcgen::CertificateParams::new(vec![name.to_owned()]).expect("a name");
        // One that is named like its authority passes for its own.
        parameters.distinguished_name.push(rcgen::DnType::CommonName, name);
        let certificate = parameters.signed_by(&key, &self.issuer).expect("a certificate").pem();
        Certificate { certificate, key: key.serialize_pem() }
    }
}

impl Certificate {
    /// Writes both below a folder: the certificate's file and its key's.
    pub fn write(&self, folder: &Path) -> (PathBuf, PathBuf) {
        let files = (folder.join("server.pem"), folder.join("server.key"));
        std::fs::write(&files.0, &self.certificate).expect("a file");
        std::fs::write(&files.1, &self.key).expect("a file");
        files
    }
}
