//! The machine's end: dials the operator, and takes streams to one address for as long as the connection lives.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cooperator_core::backoff::Backoff;
use h2::RecvStream;
use h2::server::SendResponse;
use http::{Method, Request, Response, StatusCode};
use rustls::ClientConfig;
use rustls::pki_types::{InvalidDnsNameError, ServerName};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use tokio_rustls::TlsConnector;

use crate::limits::Limits;
use crate::relay::relay;
use crate::socket::dial;
use crate::{pulse, tls};

/// Between two attempts to connect. Never long: behind one address are all replicas of the operator, and those that do not
/// lead refuse.
pub const BACKOFF: Backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(5));
/// A connection that lived for so long was a good one: what failed before it is forgotten.
const GOOD: Duration = Duration::from_secs(60);

/// Why there is no connection, or no longer one.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file cannot be read: as a rule, that of a kubelet that has no certificate yet.
    #[error("{}: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// What the files hold is not taken.
    #[error(transparent)]
    Tls(#[from] tls::Error),
    /// The server's name is none.
    #[error("{0}: no name of a server")]
    Name(#[from] InvalidDnsNameError),
    /// The server cannot be reached, or its certificate is not that of its authority.
    #[error("cannot connect: {0}")]
    Connect(#[from] io::Error),
    /// It took too long.
    #[error("the server did not answer within {} s", .0.as_secs())]
    Slow(Duration),
    /// The connection broke, or the server does not take this machine.
    #[error("the connection broke: {0}")]
    Broken(#[from] h2::Error),
    /// The server has not answered a ping.
    #[error("the server is silent")]
    Silent,
    /// The server has ended the connection.
    #[error("the server ended the connection")]
    Ended,
}

/// What the machine shows, and believes: files, read anew for each connection, since a kubelet renews its certificate.
#[derive(Clone, Debug)]
pub struct Identity {
    /// The authority of the operator's certificate, PEM.
    pub authority: PathBuf,
    /// The kubelet's client certificate, PEM.
    pub certificate: PathBuf,
    /// Its key, PEM; the kubelet keeps both in one file.
    pub key: PathBuf,
}

impl Identity {
    /// # Errors
    /// [`Error::File`], [`Error::Tls`]
    fn read(&self) -> Result<Arc<ClientConfig>, Error> {
        let read =
            |path: &Path| std::fs::read(path).map_err(|source| Error::File { path: path.to_owned(), source });
        Ok(tls::client(&read(&self.authority)?, &read(&self.certificate)?, &read(&self.key)?)?)
    }
}

/// The machine's end.
#[derive(Clone, Debug)]
pub struct Client {
    /// Who it is.
    pub identity: Identity,
    /// Where the operator is: `host:port`.
    pub server: String,
    /// The name in the operator's certificate.
    pub server_name: String,
    /// Where all streams go: the kubelet, on this machine.
    pub target: SocketAddr,
    /// Bounds.
    pub limits: Limits,
}

impl Client {
    /// Connects, and connects again, for ever.
    pub async fn run(&self, backoff: Backoff) -> std::convert::Infallible {
        let mut failures = 0_u32;
        loop {
            let begun = Instant::now();
            let ended = self.once().await;
            failures = if begun.elapsed() < GOOD { failures.saturating_add(1) } else { 1 };
            let wait = backoff.jittered(failures, rand::random());
            tracing::info!(wait_ms = wait.as_millis(), "{ended}");
            sleep(wait).await;
        }
    }

    /// One connection, until it ends: why it did.
    pub async fn once(&self) -> Error {
        let connection = match timeout(self.limits.handshake, self.connect()).await {
            Err(_) => return Error::Slow(self.limits.handshake),
            Ok(Err(error)) => return error,
            Ok(Ok(connection)) => connection,
        };
        tracing::info!(server = self.server, "connected");
        self.serve(connection).await
    }

    async fn connect(&self) -> Result<Connection, Error> {
        let config = self.identity.read()?;
        let name = ServerName::try_from(self.server_name.clone())?;
        let socket = TcpStream::connect(&self.server).await?;
        // Keystrokes are not to wait for more of them. Where that cannot be set they do.
        let _ = socket.set_nodelay(true);
        let stream = TlsConnector::from(config).connect(name, socket).await?;
        let made = h2::server::Builder::new()
            .initial_window_size(self.limits.window)
            .initial_connection_window_size(self.limits.all_windows())
            .max_concurrent_streams(self.limits.streams)
            .max_send_buffer_size(usize::try_from(self.limits.window).unwrap_or(usize::MAX))
            .handshake(stream);
        Ok(made.await?)
    }

    /// Takes streams until the connection ends; all that are left end with it.
    async fn serve(&self, mut connection: Connection) -> Error {
        let mut streams = JoinSet::new();
        let silence = pulse::silence(connection.ping_pong(), self.limits);
        tokio::pin!(silence);
        loop {
            tokio::select! {
                next = connection.accept() => match next {
                    Some(Ok((request, respond))) => {
                        streams.spawn(stream(request, respond, self.target, self.limits));
                    }
                    Some(Err(error)) => return Error::Broken(error),
                    None => return Error::Ended,
                },
                Some(_) = streams.join_next() => {}
                () = &mut silence => return Error::Silent,
            }
        }
    }
}

type Connection = h2::server::Connection<tokio_rustls::client::TlsStream<TcpStream>, Bytes>;

/// One stream: a connection to the target, whatever the request names.
async fn stream(
    request: Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
    target: SocketAddr,
    limits: Limits,
) {
    let socket = match *request.method() {
        Method::CONNECT => {
            timeout(limits.handshake, dial(target, limits.window)).await.ok().and_then(Result::ok)
        }
        _ => None,
    };
    let status = if socket.is_some() { StatusCode::OK } else { StatusCode::BAD_GATEWAY };
    let mut response = Response::new(());
    *response.status_mut() = status;
    let (Ok(to_peer), Some(socket)) = (respond.send_response(response, socket.is_none()), socket) else {
        tracing::debug!(%target, "nothing listens there");
        return;
    };
    if let Err(broken) = relay(socket, to_peer, request.into_body(), limits.idle).await {
        tracing::debug!("a stream broke: {broken}");
    }
}
