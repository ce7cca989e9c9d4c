//! The operator's end: takes machines' connections, and for each machine listens where others dial its kubelet.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use cooperator_core::time::Clock;
use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::limits::Limits;
use crate::tls;

mod door;

use door::{Door, Link};

/// Machines whose connections are not made yet, at a time: more are refused.
const MOST_UNKNOWN: usize = 256;
/// After a socket could not be taken: as a rule there are too many open files.
const PAUSE: Duration = Duration::from_millis(100);

/// Why a machine has no connection, or no door.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It showed no certificate of a node.
    #[error(transparent)]
    Certificate(#[from] tls::Error),
    /// TLS failed: the certificate is not the cluster's, or nobody spoke it.
    #[error("TLS: {0}")]
    Tls(io::Error),
    /// No live claim has a node of this name.
    #[error("no claim has a node called {0:?}")]
    Unknown(String),
    /// It took too long.
    #[error("it did not answer within {} s", .0.as_secs())]
    Slow(Duration),
    /// The connection broke.
    #[error("the connection broke: {0}")]
    Broken(#[from] h2::Error),
    /// Nothing can listen for it.
    #[error("cannot listen on {at}: {source}")]
    Listen {
        /// Where.
        at: SocketAddr,
        /// Why.
        source: io::Error,
    },
}

/// The operator's end. Dropping the last of its clones ends all connections.
#[derive(Clone)]
pub struct Server {
    limits: Limits,
    clock: Arc<dyn Clock>,
    /// By name of their node.
    doors: Arc<Mutex<BTreeMap<String, Door>>>,
}

impl Server {
    /// One that knows no machine yet.
    pub fn new(limits: Limits, clock: Arc<dyn Clock>) -> Self {
        Self { limits, clock, doors: Arc::default() }
    }

    /// These nodes, and no others, may connect; connections to each one's address go to its kubelet. The connections of those
    /// that may no longer are cut. Calling it again with the same changes nothing.
    ///
    /// # Errors
    /// The nodes at whose address nothing can listen. They are tried again when this is called again.
    pub async fn allow(&self, nodes: &BTreeMap<String, SocketAddr>) -> Vec<(String, Error)> {
        let over: Vec<Door> = self
            .doors()
            .extract_if(.., |node, door| nodes.get(node) != Some(&door.at))
            .map(|(_, door)| door)
            .collect();
        for door in over {
            door.close().await;
        }
        let mut failed = Vec::new();
        for (node, at) in nodes {
            if self.doors().contains_key(node) {
                continue;
            }
            match Door::open(*at, self.limits) {
                Ok(door) => drop(self.doors().insert(node.clone(), door)),
                Err(source) => failed.push((node.clone(), Error::Listen { at: *at, source })),
            }
        }
        failed
    }

    /// Whether a node is connected.
    pub fn is_connected(&self, node: &str) -> bool {
        self.doors().get(node).is_some_and(Door::is_connected)
    }

    /// Takes machines' connections, for ever.
    pub async fn run(&self, listener: TcpListener, config: Arc<ServerConfig>) -> std::convert::Infallible {
        let acceptor = TlsAcceptor::from(config);
        let mut machines = JoinSet::new();
        let unknown = Arc::new(tokio::sync::Semaphore::new(MOST_UNKNOWN));
        loop {
            while machines.try_join_next().is_some() {}
            let Ok((socket, from)) = listener.accept().await else {
                sleep(PAUSE).await;
                continue;
            };
            let Ok(permit) = unknown.clone().try_acquire_owned() else { continue };
            let (server, acceptor) = (self.clone(), acceptor.clone());
            machines.spawn(async move {
                let greeted = timeout(server.limits.handshake, server.greet(socket, &acceptor)).await;
                let greeted = greeted.unwrap_or(Err(Error::Slow(server.limits.handshake)));
                drop(permit);
                match greeted {
                    Ok((link, until)) => link.run(until).await,
                    Err(error) => tracing::info!(%from, "a machine was refused: {error}"),
                }
            });
        }
    }

    /// Finds out whose connection it is, and lets it in. With how long its certificate is good still.
    async fn greet(&self, socket: TcpStream, acceptor: &TlsAcceptor) -> Result<(Link, Duration), Error> {
        // Keystrokes are not to wait for more of them. Where that cannot be set they do.
        let _ = socket.set_nodelay(true);
        let stream = acceptor.accept(socket).await.map_err(Error::Tls)?;
        let peer = peer(&stream)?;
        // Before it costs more: what is not known gets no HTTP/2.
        if !self.doors().contains_key(&peer.node) {
            return Err(Error::Unknown(peer.node));
        }
        let link = Link::make(stream, self.limits, &peer.node).await?;
        let until = Duration::try_from(peer.until.duration_since(self.clock.now())).unwrap_or_default();
        match self.doors().get(&peer.node) {
            Some(door) => Ok((link.through(door), until)),
            None => Err(Error::Unknown(peer.node)),
        }
    }

    fn doors(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Door>> {
        self.doors.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn peer(stream: &TlsStream<TcpStream>) -> Result<tls::Peer, tls::Error> {
    let (_, session) = stream.get_ref();
    tls::peer(session.peer_certificates().unwrap_or_default())
}
