use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use tempfile::TempDir;

use super::folder::folder;

/// An authority of its own, and what it has certified: a server on this machine, and a client.
#[derive(Clone)]
pub struct Certificates(Arc<TempDir>);

impl Certificates {
    pub fn new() -> Self {
        let certificates = Self(Arc::new(folder()));
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let own = params.self_signed(&key).unwrap();
        fs::write(certificates.authority(), own.pem()).unwrap();
        let authority = Issuer::new(params, key);
        certificates.certify(
            &authority,
            "server",
            &["localhost", "127.0.0.1"],
            ExtendedKeyUsagePurpose::ServerAuth,
        );
        let client = ExtendedKeyUsagePurpose::ClientAuth;
        certificates.certify(&authority, "client", &["client"], client);
        certificates
    }

    fn certify(
        &self,
        authority: &Issuer<'_, KeyPair>,
        who: &str,
        names: &[&str],
        usage: ExtendedKeyUsagePurpose,
    ) {
        let key = KeyPair::generate().unwrap();
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.extended_key_usages = vec![usage];
        let certificate = params.signed_by(&key, authority).unwrap();
        fs::write(self.file(who, "pem"), certificate.pem()).unwrap();
        fs::write(self.file(who, "key"), key.serialize_pem()).unwrap();
    }

    fn file(&self, who: &str, kind: &str) -> PathBuf {
        self.0.path().join(format!("{who}.{kind}"))
    }

    /// What a client has to trust.
    pub fn authority(&self) -> PathBuf {
        self.file("authority", "pem")
    }

    pub fn client_certificate(&self) -> PathBuf {
        self.file("client", "pem")
    }

    pub fn client_key(&self) -> PathBuf {
        self.file("client", "key")
    }

    pub(super) fn folder(&self) -> Arc<TempDir> {
        Arc::clone(&self.0)
    }

    /// How a server is told that it is to demand TLS, and of its clients a certificate too if `verify`.
    pub(super) fn line(&self, verify: bool) -> String {
        let (certificate, key) = (self.file("server", "pem"), self.file("server", "key"));
        let authority = self.authority();
        format!(
            "tls {{ cert_file: {certificate:?}, key_file: {key:?}, ca_file: {authority:?}, verify: {verify} }}"
        )
    }
}
