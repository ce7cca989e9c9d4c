//! Ports of loopback for servers that are told where to listen.

use std::io;
use std::net::{Ipv4Addr, TcpListener};

/// Ports that nobody listens on, all taken at once so that they differ. Another program may take one before it is used.
///
/// # Errors
/// When none is free.
pub fn free<const N: usize>() -> io::Result<[u16; N]> {
    let mut held = Vec::with_capacity(N);
    let mut ports = [0; N];
    for port in &mut ports {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        *port = listener.local_addr()?.port();
        held.push(listener);
    }
    Ok(ports)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn free_ports_differ() {
        let [a, b, c] = free().unwrap();
        assert!(a != b && b != c && a != c);
    }
}
