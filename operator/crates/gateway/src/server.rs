//! Accepts callers' connections: bounded in number, in the time their headers take, and in the time they may leave
//! unread what they are sent; ended in peace.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_io_timeout::TimeoutWriter;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::call::Gateway;

/// Bytes of the headers of a request, first line and all; of trailers likewise.
const MOST_HEAD: usize = 32 * 1024;
/// After a failure to accept, such as too many open files.
const PAUSE: Duration = Duration::from_millis(100);

/// Serves until `stop`; then takes no more connections or requests, lets those under way finish for `grace`, cuts
/// what is left then, and returns when every row is in the log.
pub async fn serve(
    listener: TcpListener,
    gateway: Arc<Gateway>,
    connections: usize,
    stop: CancellationToken,
    grace: Duration,
) {
    let slots = Arc::new(Semaphore::new(connections));
    let open = TaskTracker::new();
    loop {
        let accepted = tokio::select! {
            accepted = accept(&listener, &slots) => accepted,
            () = stop.cancelled() => break,
        };
        match accepted {
            Ok((stream, slot)) => {
                open.spawn(connection(stream, Arc::clone(&gateway), stop.clone(), slot));
            }
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
    drop(listener);
    open.close();
    gateway.tracker.close();
    let finished = async {
        open.wait().await;
        gateway.tracker.wait().await;
    };
    if tokio::time::timeout(grace, finished).await.is_err() {
        tracing::warn!(
            "requests under way are cut at the end of the grace period; nothing is billed for them"
        );
        gateway.cut.cancel();
        gateway.tracker.wait().await;
    }
}

async fn accept(
    listener: &TcpListener,
    slots: &Arc<Semaphore>,
) -> std::io::Result<(TcpStream, OwnedSemaphorePermit)> {
    let slot = Arc::clone(slots).acquire_owned().await.map_err(std::io::Error::other)?;
    let (stream, _) = listener.accept().await?;
    stream.set_nodelay(true)?;
    Ok((stream, slot))
}

async fn connection(
    stream: TcpStream,
    gateway: Arc<Gateway>,
    stop: CancellationToken,
    _slot: OwnedSemaphorePermit,
) {
    let (cut, bounds) = (gateway.cut.clone(), gateway.bounds);
    // A caller that reads nothing would keep its place for ever: nothing else notices that it takes no bytes.
    let mut stream = TimeoutWriter::new(stream);
    stream.set_timeout(Some(bounds.stall));
    let service = service_fn(move |request| {
        let gateway = Arc::clone(&gateway);
        async move { Ok::<_, Infallible>(gateway.answer(request).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(bounds.head_time)
        .max_header_size(MOST_HEAD)
        .max_buf_size(64 * 1024)
        .serve_connection(TokioIo::new(Box::pin(stream)), service);
    tokio::pin!(connection);
    let mut stopping = false;
    loop {
        tokio::select! {
            ended = connection.as_mut() => {
                if let Err(error) = ended {
                    tracing::debug!(%error, "a connection broke");
                }
                return;
            }
            () = stop.cancelled(), if !stopping => {
                stopping = true;
                connection.as_mut().graceful_shutdown();
            }
            () = cut.cancelled() => return,
        }
    }
}
