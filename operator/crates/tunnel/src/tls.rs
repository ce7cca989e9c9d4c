//! Who is at the other end: configurations of both ends' TLS, and the name of a node in its certificate.

use std::sync::Arc;

use cooperator_core::time::Timestamp;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{VerifierBuilderError, WebPkiClientVerifier};
use rustls::version::TLS13;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use x509_parser::prelude::{FromDer as _, X509Certificate};

/// What both ends speak, so that nobody else's connection is taken for one of ours.
const PROTOCOL: &[u8] = b"cooperator-tunnel/1";
/// What the name in a kubelet's certificate begins with.
const USER: &str = "system:node:";
/// The group in a kubelet's certificate.
const GROUP: &str = "system:nodes";

/// Why there is no TLS.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// What should be PEM is none.
    #[error("{what}: {source}")]
    Pem {
        /// What.
        what: &'static str,
        /// Why.
        source: pem::Error,
    },
    /// A file has no certificate.
    #[error("{0} holds no certificate")]
    Empty(&'static str),
    /// The certificates and keys are not taken.
    #[error(transparent)]
    Tls(#[from] rustls::Error),
    /// The authority of clients is not taken.
    #[error("the authority of clients: {0}")]
    Verifier(#[from] VerifierBuilderError),
    /// A certificate that was shown is not that of a node.
    #[error("the certificate is not that of a node: {0}")]
    NotANode(String),
}

/// The operator's end: its certificate and key, and the authority that signs kubelets' client certificates; all PEM.
///
/// # Errors
/// [`Error`]
pub fn server(certificate: &[u8], key: &[u8], clients: &[u8]) -> Result<Arc<ServerConfig>, Error> {
    let roots = Arc::new(roots(clients, "the authority of clients")?);
    let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider()).build()?;
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])?
        .with_client_cert_verifier(verifier)
        .with_single_cert(certificates(certificate, "the certificate")?, private_key(key)?)?;
    config.alpn_protocols = vec![PROTOCOL.to_vec()];
    Ok(Arc::new(config))
}

/// The machine's end: the authority of the operator's certificate, and the kubelet's client certificate with its key; all
/// PEM.
///
/// # Errors
/// [`Error`]
pub fn client(authority: &[u8], certificate: &[u8], key: &[u8]) -> Result<Arc<ClientConfig>, Error> {
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])?
        .with_root_certificates(roots(authority, "the authority")?)
        .with_client_auth_cert(certificates(certificate, "the kubelet's certificate")?, private_key(key)?)?;
    config.alpn_protocols = vec![PROTOCOL.to_vec()];
    Ok(Arc::new(config))
}

/// What a certificate says of the node that showed it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// The node's name.
    pub node: String,
    /// Until when the certificate is good.
    pub until: Timestamp,
}

/// The node that showed these certificates, which TLS has verified.
///
/// # Errors
/// [`Error::NotANode`]
pub fn peer(shown: &[CertificateDer<'_>]) -> Result<Peer, Error> {
    let not = |why: &str| Error::NotANode(why.to_owned());
    let first = shown.first().ok_or_else(|| not("none was shown"))?;
    let (_, certificate) =
        X509Certificate::from_der(first).map_err(|error| Error::NotANode(error.to_string()))?;
    let subject = certificate.subject();
    let mut names = subject.iter_common_name().filter_map(|name| name.as_str().ok());
    let (Some(name), None) = (names.next(), names.next()) else { return Err(not("it has not one name")) };
    let node = name.strip_prefix(USER).filter(|node| !node.is_empty());
    let node = node.ok_or_else(|| Error::NotANode(format!("its name is {name:?}")))?.to_owned();
    if !subject.iter_organization().any(|group| group.as_str() == Ok(GROUP)) {
        return Err(not("its group is another"));
    }
    let until = certificate.validity().not_after.timestamp();
    Ok(Peer { node, until: Timestamp::from_second(until).unwrap_or(Timestamp::MIN) })
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

fn certificates(text: &[u8], what: &'static str) -> Result<Vec<CertificateDer<'static>>, Error> {
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text).collect();
    let all = all.map_err(|source| Error::Pem { what, source })?;
    if all.is_empty() { Err(Error::Empty(what)) } else { Ok(all) }
}

fn private_key(text: &[u8]) -> Result<PrivateKeyDer<'static>, Error> {
    PrivateKeyDer::from_pem_slice(text).map_err(|source| Error::Pem { what: "the key", source })
}

fn roots(text: &[u8], what: &'static str) -> Result<RootCertStore, Error> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(text, what)? {
        roots.add(certificate)?;
    }
    Ok(roots)
}
