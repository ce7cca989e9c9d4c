//! The sockets at both ends of a stream. The kernel would let their buffers grow to megabytes, each for a reader who does not
//! read: they are as large as the stream's window.

use std::io;
use std::net::SocketAddr;

use tokio::net::{TcpListener, TcpSocket, TcpStream};

/// Connections that wait to be taken, at most.
const BACKLOG: u32 = 256;

fn socket(address: SocketAddr) -> io::Result<TcpSocket> {
    if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }
}

/// Connects; what comes back is held back by `window` bytes that were not read.
pub(crate) async fn dial(to: SocketAddr, window: u32) -> io::Result<TcpStream> {
    let socket = socket(to)?;
    socket.set_recv_buffer_size(window)?;
    socket.connect(to).await
}

/// Listens; what is written to those who connect is held back by `window` bytes that they have not read.
pub(crate) fn listen(at: SocketAddr, window: u32) -> io::Result<TcpListener> {
    let socket = socket(at)?;
    socket.set_reuseaddr(true)?;
    socket.set_keepalive(true)?;
    socket.set_send_buffer_size(window)?;
    socket.bind(at)?;
    socket.listen(BACKLOG)
}
