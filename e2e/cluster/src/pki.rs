//! The keys and certificates of one cluster: an authority, and what it signs.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, SanType,
};

use crate::files;

/// A key or certificate that could not be made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The certificate library refused.
    #[error("cannot make the certificate of {subject}: {source}")]
    Certificate {
        /// Whose it is.
        subject: String,
        /// Why not.
        source: rcgen::Error,
    },
    /// A file could not be written.
    #[error(transparent)]
    Files(#[from] files::Error),
}

/// What a certificate says.
#[derive(Debug, Default)]
pub struct Subject<'a> {
    /// The common name: for Kubernetes, the user.
    pub name: &'a str,
    /// The organisation: for Kubernetes, the group.
    pub group: Option<&'a str>,
    /// DNS names it serves under; with `addresses` empty too, it is for clients only.
    pub names: &'a [&'a str],
    /// Addresses it serves on.
    pub addresses: &'a [IpAddr],
}

/// A certificate and its key, as files.
#[derive(Debug, Clone)]
pub struct Pair {
    /// The certificate, PEM.
    pub certificate: PathBuf,
    /// The private key, PEM, readable by its owner alone.
    pub key: PathBuf,
}

/// The authority of one cluster and the folder its files lie in.
pub struct Authority {
    folder: PathBuf,
    issuer: CertifiedIssuer<'static, KeyPair>,
    /// Its own certificate and key.
    pub pair: Pair,
}

impl Authority {
    /// Makes a new authority; its files go to `folder`.
    ///
    /// # Errors
    /// When a key cannot be made or a file not written.
    pub fn create(folder: &Path) -> Result<Self, Error> {
        let failed = |source| Error::Certificate { subject: "the cluster's authority".to_owned(), source };
        files::create_dir(folder)?;
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "cooperator-local-cluster");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages =
            vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign, KeyUsagePurpose::DigitalSignature];
        let key = KeyPair::generate().map_err(failed)?;
        let issuer = CertifiedIssuer::self_signed(params, key).map_err(failed)?;
        let pair = write_pair(folder, "ca", &issuer.pem(), &issuer.key().serialize_pem())?;
        Ok(Self { folder: folder.to_owned(), issuer, pair })
    }

    /// Signs a certificate for `subject`, in files named `file`.
    ///
    /// # Errors
    /// When a name is no DNS name or a file cannot be written.
    pub fn sign(&self, file: &str, subject: &Subject<'_>) -> Result<Pair, Error> {
        let failed = |source| Error::Certificate { subject: subject.name.to_owned(), source };
        let names: Vec<String> = subject.names.iter().map(|&name| name.to_owned()).collect();
        let mut params = CertificateParams::new(names).map_err(failed)?;
        params.subject_alt_names.extend(subject.addresses.iter().map(|&address| SanType::IpAddress(address)));
        params.distinguished_name.push(DnType::CommonName, subject.name);
        if let Some(group) = subject.group {
            params.distinguished_name.push(DnType::OrganizationName, group);
        }
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        if !params.subject_alt_names.is_empty() {
            params.extended_key_usages.push(ExtendedKeyUsagePurpose::ServerAuth);
        }
        let key = KeyPair::generate().map_err(failed)?;
        let certificate = params.signed_by(&key, &self.issuer).map_err(failed)?;
        write_pair(&self.folder, file, &certificate.pem(), &key.serialize_pem())
    }

    /// Makes the key pair that service account tokens are signed and checked with: `Pair::certificate` is
    /// the public key.
    ///
    /// # Errors
    /// When it cannot be made or written.
    pub fn service_account_keys(&self) -> Result<Pair, Error> {
        let failed = |source| Error::Certificate { subject: "service accounts".to_owned(), source };
        let key = KeyPair::generate().map_err(failed)?;
        write_pair(&self.folder, "service-accounts", &key.public_key_pem(), &key.serialize_pem())
    }

    /// Writes a kubeconfig file for a signed `user`.
    ///
    /// # Errors
    /// When a file cannot be read or written.
    pub fn kubeconfig(&self, path: &Path, server: &str, user: &Pair) -> Result<(), Error> {
        let encode = |file: &Path| -> Result<String, Error> {
            Ok(base64::engine::general_purpose::STANDARD.encode(files::read(file)?))
        };
        // JSON is YAML: no writer of YAML is needed.
        let config = serde_json::json!({
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "cooperator",
            "clusters": [{"name": "cooperator", "cluster": {
                "server": server, "certificate-authority-data": encode(&self.pair.certificate)?}}],
            "users": [{"name": "cooperator", "user": {
                "client-certificate-data": encode(&user.certificate)?, "client-key-data": encode(&user.key)?}}],
            "contexts": [{"name": "cooperator", "context": {"cluster": "cooperator", "user": "cooperator"}}],
        });
        Ok(files::write_secret(path, format!("{config:#}"))?)
    }
}

fn write_pair(folder: &Path, name: &str, certificate: &str, key: &str) -> Result<Pair, Error> {
    let pair =
        Pair { certificate: folder.join(format!("{name}.crt")), key: folder.join(format!("{name}.key")) };
    files::write(&pair.certificate, certificate)?;
    files::write_secret(&pair.key, key)?;
    Ok(pair)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_authority_signs_verifies_against_it() {
        let dir = tempfile::tempdir().unwrap();
        let authority = Authority::create(dir.path()).unwrap();
        let subject = Subject { name: "kube-apiserver", names: &["kubernetes"], ..Subject::default() };
        let pair = authority.sign("apiserver", &subject).unwrap();
        let mut openssl = crate::command::command("openssl", ["verify", "-CAfile"]);
        openssl.arg(&authority.pair.certificate).arg(&pair.certificate);
        assert!(crate::command::output("verify", &mut openssl).unwrap().trim().ends_with("OK"));
    }

    #[test]
    fn a_kubeconfig_is_readable_by_its_owner_alone() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let authority = Authority::create(dir.path()).unwrap();
        let admin = authority.sign("admin", &Subject { name: "admin", ..Subject::default() }).unwrap();
        let path = dir.path().join("kubeconfig");
        authority.kubeconfig(&path, "https://127.0.0.1:6443", &admin).unwrap();
        assert!(files::read(&path).unwrap().contains("https://127.0.0.1:6443"));
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }
}
