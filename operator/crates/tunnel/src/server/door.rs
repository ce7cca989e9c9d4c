//! Where one machine's kubelet is dialled, and the connection that leads there now.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use h2::client::{Connection, SendRequest};
use http::{Method, Request, StatusCode};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{sleep, timeout};
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;

use super::{Error, PAUSE};
use crate::limits::Limits;
use crate::pulse;
use crate::relay::relay;

/// What a stream is opened for; at the machine it leads to the kubelet, whatever this says.
const TARGET: &str = "kubelet:10250";

/// The connection that leads to the machine now.
type Slot = Arc<Mutex<Option<Way>>>;

/// A way to the machine.
#[derive(Clone, Debug)]
struct Way {
    open: SendRequest<Bytes>,
    room: Arc<Semaphore>,
    /// Cancelled when another has taken its place, or the machine may not connect any more.
    replaced: CancellationToken,
}

/// Where one machine's kubelet is dialled. It listens for as long as it lives, and its machine's connection ends with it.
#[derive(Debug)]
pub(super) struct Door {
    /// Where.
    pub(super) at: SocketAddr,
    slot: Slot,
    listening: JoinHandle<()>,
}

impl Door {
    /// Listens for connections to a machine.
    pub(super) fn open(at: SocketAddr, limits: Limits) -> io::Result<Self> {
        let listener = crate::socket::listen(at, limits.window)?;
        let slot = Slot::default();
        let listening = tokio::spawn(listen(listener, slot.clone(), limits));
        Ok(Self { at, slot, listening })
    }

    /// Listens no more, and returns once another can listen there.
    pub(super) async fn close(mut self) {
        self.listening.abort();
        // That it was aborted is what was wanted.
        let _ = (&mut self.listening).await;
    }

    pub(super) fn is_connected(&self) -> bool {
        way(&self.slot).is_some()
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        self.listening.abort();
        if let Some(way) = self.slot.lock().unwrap_or_else(PoisonError::into_inner).take() {
            way.replaced.cancel();
        }
    }
}

fn way(slot: &Slot) -> Option<Way> {
    slot.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

/// Takes connections to the machine. One that comes while the machine has none, or too many streams, is closed at once:
/// whoever dials tries again.
async fn listen(listener: TcpListener, slot: Slot, limits: Limits) {
    let mut streams = JoinSet::new();
    loop {
        while streams.try_join_next().is_some() {}
        let Ok((socket, _)) = listener.accept().await else {
            sleep(PAUSE).await;
            continue;
        };
        let Some(way) = way(&slot) else { continue };
        let Ok(permit) = way.room.clone().try_acquire_owned() else { continue };
        streams.spawn(async move {
            if let Err(error) = carry(socket, way, limits).await {
                tracing::debug!("a stream broke: {error}");
            }
            drop(permit);
        });
    }
}

/// Why a connection to a machine was not carried to its end.
#[derive(Debug, thiserror::Error)]
enum Lost {
    #[error("the machine's connection: {0}")]
    Link(#[from] h2::Error),
    #[error("the machine did not answer within {} s", .0.as_secs())]
    Slow(Duration),
    #[error("the kubelet does not listen: {0}")]
    Refused(StatusCode),
    #[error(transparent)]
    Broken(#[from] crate::relay::Broken),
}

async fn carry(socket: TcpStream, way: Way, limits: Limits) -> Result<(), Lost> {
    let mut request = Request::new(());
    *request.method_mut() = Method::CONNECT;
    *request.uri_mut() = http::Uri::from_static(TARGET);
    let open = async {
        let (response, to_peer) = way.open.ready().await?.send_request(request, false)?;
        Ok::<_, h2::Error>((response.await?, to_peer))
    };
    let (response, to_peer) =
        timeout(limits.handshake, open).await.map_err(|_| Lost::Slow(limits.handshake))??;
    if response.status() != StatusCode::OK {
        return Err(Lost::Refused(response.status()));
    }
    Ok(relay(socket, to_peer, response.into_body(), limits.idle).await?)
}

/// A machine's connection, from the operator's end.
pub(super) struct Link {
    connection: Connection<TlsStream<TcpStream>, Bytes>,
    way: Way,
    limits: Limits,
    node: String,
    slot: Slot,
}

impl Link {
    /// Speaks HTTP/2 with a machine whose name is known.
    pub(super) async fn make(
        stream: TlsStream<TcpStream>,
        limits: Limits,
        node: &str,
    ) -> Result<Self, Error> {
        let made = h2::client::Builder::new()
            .enable_push(false)
            .initial_window_size(limits.window)
            .initial_connection_window_size(limits.all_windows())
            .max_send_buffer_size(usize::try_from(limits.window).unwrap_or(usize::MAX))
            .handshake(stream);
        let (open, connection) = made.await?;
        let room =
            Arc::new(Semaphore::new(usize::try_from(limits.streams).unwrap_or(Semaphore::MAX_PERMITS)));
        let way = Way { open, room, replaced: CancellationToken::new() };
        Ok(Self { connection, way, limits, node: node.to_owned(), slot: Slot::default() })
    }

    /// From now on what comes to this door goes here, and no longer where it went.
    pub(super) fn through(self, door: &Door) -> Self {
        let before = door.slot.lock().unwrap_or_else(PoisonError::into_inner).replace(self.way.clone());
        if let Some(before) = before {
            before.replaced.cancel();
        }
        Self { slot: door.slot.clone(), ..self }
    }

    /// Carries all streams, until the connection ends, or has to: its certificate is good for `until` still.
    pub(super) async fn run(self, until: Duration) {
        let Self { mut connection, way, limits, node, slot } = self;
        tracing::info!(node, "a machine connected");
        let replaced = way.replaced.clone();
        let silence = pulse::silence(connection.ping_pong(), limits);
        // What is kept of the way would keep the connection open.
        drop(way);
        let why = tokio::select! {
            ended = connection => match ended {
                Ok(()) => "it ended".to_owned(),
                Err(error) => error.to_string(),
            },
            () = silence => "it is silent".to_owned(),
            () = replaced.cancelled() => "another took its place, or its claim is over".to_owned(),
            () = sleep(until) => "its certificate has expired".to_owned(),
        };
        tracing::info!(node, "a machine's connection is over: {why}");
        if !replaced.is_cancelled() {
            slot.lock().unwrap_or_else(PoisonError::into_inner).take();
        }
    }
}
