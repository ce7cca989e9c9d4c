//! TLS for one client: it shows a certificate of this authority and this name, or nothing is said to it.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use axum::serve::Listener;
use rustls::RootCertStore;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use x509_parser::prelude::{FromDer as _, X509Certificate};

/// What the server's own certificate says: nobody checks it, as of most kubelets.
const NAME: &str = "cooperator-operator";
/// A handshake that takes longer is given up.
const PATIENCE: Duration = Duration::from_secs(10);
/// Handshakes at once: whoever has no certificate must not keep others out for long.
const MOST_AT_ONCE: usize = 64;
/// After an accept that failed, such as for want of file descriptors.
const PAUSE: Duration = Duration::from_millis(200);

/// Who may come in.
#[derive(Clone, Debug)]
pub struct Client {
    /// The certificate authority, PEM.
    pub authority: Vec<u8>,
    /// Common name of the client's certificate.
    pub name: String,
}

/// Connections of that client.
#[derive(Debug)]
pub struct Door {
    address: SocketAddr,
    entered: mpsc::Receiver<(TlsStream<TcpStream>, SocketAddr)>,
}

impl Door {
    /// Opens it. It is closed when it is dropped.
    ///
    /// # Errors
    /// When the authority is none, or no certificate can be made.
    pub fn open(listener: TcpListener, client: &Client) -> Result<Self> {
        let acceptor = TlsAcceptor::from(Arc::new(config(client)?));
        let address = listener.local_addr()?;
        let (enter, entered) = mpsc::channel(1);
        tokio::spawn(accept(listener, acceptor, client.name.clone(), enter));
        Ok(Self { address, entered })
    }
}

impl Listener for Door {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        match self.entered.recv().await {
            Some(connection) => connection,
            // Nobody comes any more.
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        Ok(self.address)
    }
}

fn config(client: &Client) -> Result<ServerConfig> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&client.authority) {
        roots.add(certificate.context("the authority is no certificate")?)?;
    }
    ensure!(!roots.is_empty(), "the authority has no certificate");
    let verifier = WebPkiClientVerifier::builder(Arc::new(roots)).build()?;
    let own = rcgen::generate_simple_self_signed([NAME.to_owned()])?;
    let key = PrivateKeyDer::try_from(own.signing_key.serialize_der()).map_err(anyhow::Error::msg)?;
    let chain = vec![own.cert.der().clone()];
    Ok(ServerConfig::builder().with_client_cert_verifier(verifier).with_single_cert(chain, key)?)
}

/// Lets in whoever may; each handshake by itself, so that a slow one keeps nobody waiting.
async fn accept(
    listener: TcpListener,
    acceptor: TlsAcceptor,
    name: String,
    enter: mpsc::Sender<(TlsStream<TcpStream>, SocketAddr)>,
) {
    let places = Arc::new(Semaphore::new(MOST_AT_ONCE));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        let connection = tokio::select! {
            connection = listener.accept() => connection,
            () = enter.closed() => return,
        };
        let Ok((stream, address)) = connection else {
            tokio::time::sleep(PAUSE).await;
            continue;
        };
        let (acceptor, name, enter) = (acceptor.clone(), name.clone(), enter.clone());
        tokio::spawn(async move {
            let greeted = tokio::time::timeout(PATIENCE, acceptor.accept(stream)).await;
            drop(place);
            match greeted {
                Ok(Ok(stream)) if is_called(&stream, &name) => drop(enter.send((stream, address)).await),
                Ok(Ok(_)) => tracing::warn!(%address, "a client of another name is not let in"),
                Ok(Err(error)) => tracing::debug!(%address, %error, "no handshake"),
                Err(_) => tracing::debug!(%address, "a handshake took too long"),
            }
        });
    }
}

/// Whether the certificate that was shown and checked has this common name.
fn is_called(stream: &TlsStream<TcpStream>, name: &str) -> bool {
    let (_, connection) = stream.get_ref();
    let Some(shown) = connection.peer_certificates().and_then(<[_]>::first) else { return false };
    let Ok((_, certificate)) = X509Certificate::from_der(shown) else { return false };
    let mut names = certificate.subject().iter_common_name();
    matches!((names.next().map(|found| found.as_str()), names.next()), (Some(Ok(found)), None) if found == name)
}
