//! Carries bytes between a socket and a stream, both ways, until both have ended, one has broken, or nothing comes any more.

use std::future::poll_fn;
use std::io;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;

use bytes::Bytes;
use h2::{Reason, RecvStream, SendStream};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::time::{Instant, sleep_until};

/// Most bytes that are read from a socket at once.
const CHUNK: usize = 16 << 10;

/// Why a stream ended before both of its ends wanted it to.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Broken {
    /// At the socket.
    #[error("the socket: {0}")]
    Socket(#[from] io::Error),
    /// At the stream.
    #[error("the stream: {0}")]
    Stream(#[from] h2::Error),
    /// No byte has come for too long.
    #[error("nothing was sent for {} s", .0.as_secs())]
    Idle(Duration),
}

/// When a byte last went either way.
struct Activity(Mutex<Instant>);

impl Activity {
    fn new() -> Self {
        Self(Mutex::new(Instant::now()))
    }

    fn note(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    fn last(&self) -> Instant {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns once nothing has gone either way for so long.
    async fn idle(&self, most: Duration) -> Broken {
        loop {
            let due = self.last() + most;
            if due <= Instant::now() {
                return Broken::Idle(most);
            }
            sleep_until(due).await;
        }
    }
}

/// Carries all bytes both ways. An end of one direction is passed on, and leaves the other open.
///
/// # Errors
/// [`Broken`]: the stream was reset.
pub(crate) async fn relay(
    socket: TcpStream,
    mut to_peer: SendStream<Bytes>,
    from_peer: RecvStream,
    idle: Duration,
) -> Result<(), Broken> {
    // Keystrokes are not to wait for more of them. Where that cannot be set they do.
    let _ = socket.set_nodelay(true);
    let (reader, writer) = socket.into_split();
    let activity = Activity::new();
    let both = async {
        tokio::try_join!(send(reader, &mut to_peer, &activity), receive(from_peer, writer, &activity))
    };
    let carried = tokio::select! {
        carried = both => carried.map(drop),
        broken = activity.idle(idle) => Err(broken),
    };
    if carried.is_err() {
        to_peer.send_reset(Reason::CANCEL);
    }
    carried
}

/// From the socket into the stream. There is room in the window before anything is read, so nothing piles up here.
async fn send(
    mut from: OwnedReadHalf,
    to: &mut SendStream<Bytes>,
    activity: &Activity,
) -> Result<(), Broken> {
    let mut buffer = vec![0; CHUNK];
    loop {
        let room = room(to).await?.min(CHUNK);
        let read = tokio::select! {
            read = from.read(&mut buffer[..room]) => read?,
            reason = poll_fn(|context| to.poll_reset(context)) => return Err(h2::Error::from(reason?).into()),
        };
        activity.note();
        if read == 0 {
            to.reserve_capacity(0);
            return Ok(to.send_data(Bytes::new(), true)?);
        }
        to.send_data(Bytes::copy_from_slice(&buffer[..read]), false)?;
    }
}

/// Waits until the window has room.
async fn room(to: &mut SendStream<Bytes>) -> Result<usize, h2::Error> {
    to.reserve_capacity(CHUNK);
    loop {
        if to.capacity() > 0 {
            return Ok(to.capacity());
        }
        match poll_fn(|context| to.poll_capacity(context)).await {
            Some(room) => drop(room?),
            None => return Err(Reason::STREAM_CLOSED.into()),
        }
    }
}

/// From the stream into the socket. The window opens again once the socket has taken what came.
async fn receive(mut from: RecvStream, mut to: OwnedWriteHalf, activity: &Activity) -> Result<(), Broken> {
    while let Some(bytes) = from.data().await {
        let bytes = bytes?;
        to.write_all(&bytes).await?;
        activity.note();
        from.flow_control().release_capacity(bytes.len())?;
    }
    Ok(to.shutdown().await?)
}
