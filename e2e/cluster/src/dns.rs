//! CoreDNS as a process on the node: names of Services for pods.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::Duration;

use crate::control_plane::ControlPlane;
use crate::files;
use crate::network;
use crate::processes::{self, Processes};
use crate::tools;

/// The port its readiness is asked at, on the node's address.
const READY_PORT: u16 = 8181;
/// How long it has to become ready.
const PATIENCE: Duration = Duration::from_secs(60);

/// A DNS server that did not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It did not become ready.
    #[error(transparent)]
    Process(#[from] processes::Error),
    /// Its configuration could not be written.
    #[error(transparent)]
    Files(#[from] files::Error),
}

/// Starts it and waits until it knows the cluster's Services.
///
/// # Errors
/// When it is not ready in time: with the end of its log.
pub fn start(dir: &Path, processes: &Processes, plane: &ControlPlane<'_>) -> Result<(), Error> {
    let config = dir.join("Corefile");
    files::write(&config, corefile(&plane.kubeconfig))?;
    let mut coredns = network::inside(tools::COREDNS.program("coredns"));
    coredns.arg("-conf").arg(&config);
    processes.start("coredns", &coredns)?;
    Ok(processes.wait("coredns", PATIENCE, || ready().map_err(|error| error.to_string()))?)
}

/// Names of the cluster are answered from its API; all others do not exist, since pods have no way out.
fn corefile(kubeconfig: &Path) -> String {
    let (address, kubeconfig) = (network::NODE_ADDRESS, kubeconfig.display());
    format!(
        "cluster.local:53 in-addr.arpa:53 {{
    bind {address}
    errors
    ready {address}:{READY_PORT}
    kubernetes cluster.local in-addr.arpa {{
        kubeconfig \"{kubeconfig}\"
        ttl 5
    }}
    loadbalance
}}
.:53 {{
    bind {address}
    errors
    template ANY ANY {{
        rcode NXDOMAIN
    }}
}}
"
    )
}

fn ready() -> std::io::Result<()> {
    let address: SocketAddr =
        format!("{}:{READY_PORT}", network::NODE_ADDRESS).parse().map_err(std::io::Error::other)?;
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(1))?;
    stream.set_read_timeout(Some(Duration::from_secs(2)))?;
    stream.write_all(b"GET /ready HTTP/1.0\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    match answer.lines().next() {
        Some(line) if line.contains(" 200 ") => Ok(()),
        line => Err(std::io::Error::other(format!("it answers {}", line.unwrap_or("nothing")))),
    }
}
