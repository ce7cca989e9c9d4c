//! `cooperator-tunnel`: a rented machine's end. It keeps one connection to the operator, which reaches the kubelet by it.

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Result;
use clap::Parser;
use cooperator_tunnel::{BACKOFF, Client, Identity, Limits};
use tracing_subscriber::EnvFilter;

/// Keeps a connection to the operator, by which the API server reaches this machine's kubelet.
#[derive(Debug, Parser)]
#[command(name = "cooperator-tunnel", version)]
struct Args {
    /// Where the operator is: host:port.
    #[arg(long)]
    server: String,
    /// The name in the operator's certificate. Default: the host of --server.
    #[arg(long)]
    server_name: Option<String>,
    /// File with the authority of that certificate, PEM.
    #[arg(long)]
    authority: PathBuf,
    /// File with the kubelet's client certificate, PEM. It may come later.
    #[arg(long)]
    certificate: PathBuf,
    /// File with its key, PEM. Default: the file of the certificate.
    #[arg(long)]
    key: Option<PathBuf>,
    /// The kubelet.
    #[arg(long, default_value = "127.0.0.1:10250")]
    target: SocketAddr,
}

impl Args {
    fn client(self) -> Client {
        let host = self.server.rsplit_once(':').map_or(self.server.as_str(), |(host, _)| host);
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let key = self.key.unwrap_or_else(|| self.certificate.clone());
        Client {
            identity: Identity { authority: self.authority, certificate: self.certificate, key },
            server_name: self.server_name.unwrap_or(host),
            server: self.server,
            target: self.target,
            limits: Limits::default(),
        }
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt().with_env_filter(filter).with_ansi(false).with_writer(std::io::stderr).init();
    let client = Args::parse().client();
    let mut stop = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    tokio::select! {
        never = client.run(BACKOFF) => match never {},
        _ = stop.recv() => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(server: &str) -> Client {
        let words = ["tunnel", "--server", server, "--authority", "ca", "--certificate", "kubelet.pem"];
        Args::parse_from(words).client()
    }

    #[test]
    fn the_name_in_the_certificate_is_the_host_unless_another_is_given() {
        assert_eq!(client("tunnel.example.org:6445").server_name, "tunnel.example.org");
        assert_eq!(client("[2001:db8::1]:6445").server_name, "2001:db8::1");
    }

    #[test]
    fn the_kubelet_keeps_its_key_in_the_file_of_its_certificate() {
        assert_eq!(client("a:1").identity.key, PathBuf::from("kubelet.pem"));
    }
}
